"""Write docs/reference/commands.md from the parsers of both packages, from the repository's root:

python docs/reference/make_commands.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from typer.main import get_command

from llm_bridge.__main__ import app
from lora_phy.__main__ import parser

PAGE = Path(__file__).with_name("commands.md")
INTRODUCTION = """# Commands
Written by [`make_commands.py`](make_commands.py) from the parsers. An option given twice takes the last value, unless
its row says that it may be repeated. A mistake in the arguments ends with exit status 2 and one line that says what is
wrong.
"""
PASSED_OVER = ("help", "version")


def page() -> str:
    """The whole page."""
    return INTRODUCTION + "\n" + radio() + bridge()


def radio() -> str:
    """The commands of ``python -m lora_phy``."""
    top = parser()
    [commands] = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    about = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    text = "## Radio: `python -m lora_phy`\n\n"
    for name, command in commands.choices.items():
        rows = [
            (_usage(action), action.help or "", action.default, action.required)
            for action in command._actions
            if action.dest not in PASSED_OVER
        ]
        text += _section(f"python -m lora_phy {name}", command.description or about.get(name, ""), rows)
    return text


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    choices = "|".join(map(str, action.choices)) if action.choices else None
    return f"{names} {action.metavar or choices or action.dest.upper()}"


def bridge() -> str:
    """The commands of ``python -m llm_bridge``."""
    text = "## Bridge: `python -m llm_bridge`\n\n"
    for name, command in _leaves(get_command(app), ()):
        rows = []
        for param in command.params:
            if param.name in PASSED_OVER:
                continue
            usage = ", ".join(param.opts) if param.param_type_name == "option" else str(param.metavar or param.name)
            if param.param_type_name == "option" and not (param.is_flag or param.is_bool_flag):
                usage += f" {param.metavar or param.name.upper()}"
            default = None if param.required or callable(param.default) else param.default
            rows.append((usage, getattr(param, "help", None) or "", default, param.required))
        text += _section(f"python -m llm_bridge {name}", command.help or "", rows)
    return text


def _leaves(command: Any, path: tuple[str, ...]) -> list[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(" ".join(path), command)]
    return [leaf for name, child in inner.items() for leaf in _leaves(child, (*path, name))]


def _section(title: str, about: str, rows: list[tuple[str, str, Any, bool]]) -> str:
    text = f"### `{title}`\n{_sentence(' '.join(about.split()))}\n\n"
    if rows:
        text += "| argument | meaning |\n|---|---|\n"
    for usage, meaning, default, required in rows:
        words = " ".join(meaning.split()).replace("%(default)s", str(default)).replace("%%", "%")
        words = _sentence(words)
        shown = default not in (None, False, "", [], argparse.SUPPRESS, ()) and "default" not in meaning.lower()
        if shown:
            words += f" Default: {default}."
        if required and usage.startswith("-"):
            words += " Required."
        usage, words = (part.replace("|", "\\|") for part in (usage, words))
        text += f"| `{usage}` | {words.strip()} |\n"
    return text + "\n"


def _sentence(words: str) -> str:
    """A help text as a sentence; one that begins with a dot, a dash or a name of an option is left as it begins."""
    if not words:
        return words
    return words[0].upper() + words[1:] + ("" if words.endswith((".", ")")) else ".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
