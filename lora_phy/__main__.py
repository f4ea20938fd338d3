"""Command line of the radio: ``python -m lora_phy COMMAND …``; the commands are in `lora_phy.commands`."""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `python -m` puts the caller's folder first, where a file may be called json.py: it stays, and comes last, only
    # where this very package was found in it
    caller = sys.path.pop(0)
    sys.path += [caller] if __file__ == f"{caller}/lora_phy/__main__.py" else []

import argparse
import os
import shlex
import warnings
from collections.abc import Sequence
from typing import Any

from lora_phy import __version__
from lora_phy.commands import collided, planning, rx, sweep, tx, warmup, waterfall
from lora_phy.commands.options import HelpFormatter, in_options, names_of_options, with_plain_numbers

FAMILIES = (tx, rx, collided, planning, waterfall, sweep, warmup)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    top = parser()
    options = top.parse_args(with_plain_numbers(arguments))
    options.command_line = shlex.join([*top.prog.split(), *arguments])
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return int(options.run(options))
    except BrokenPipeError:
        # whoever read the output has gone; what is left in the buffer must not raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as interruption:
        print(*("interrupted", *interruption.args), sep=": ", file=sys.stderr)
        return 130
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {in_options(str(error), options.names)}", file=sys.stderr)
        return 2


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    name = "python -m lora_phy" if __name__ == "__main__" else None  # None: the console command's own
    top = argparse.ArgumentParser(prog=name, description="LoRa at the physical layer.")
    top.add_argument("--version", action="version", version=f"chirpbridge {__version__}")
    commands = top.add_subparsers(required=True, metavar="command")
    for family in FAMILIES:
        family.add(commands)
    for command in commands.choices.values():
        command.formatter_class = HelpFormatter
        command.set_defaults(names=names_of_options(command))
    return top


if __name__ == "__main__":
    sys.exit(main())
