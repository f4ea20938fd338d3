"""Options that commands share: those of the radio, and how they become `LoRaParams`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lora_phy.params import LoRaParams

Subparsers = Any
"""What ``ArgumentParser.add_subparsers`` returns; its class has no public name."""
SPREADING_FACTORS = range(5, 13)
_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def with_plain_numbers(arguments: Sequence[str]) -> list[str]:
    """Arguments in which negative numbers stand in digits alone: argparse takes ``-100e3`` for an option.

    Examples
    --------
    >>> with_plain_numbers(["--center-offset-hz", "-100e3", "-o", "-5.", "-5"])
    ['--center-offset-hz', '-100000', '-o', '-5', '-5']
    """
    return [format(Decimal(item), "f") if _NEGATIVE.fullmatch(item) else item for item in arguments]


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help in which an option tells its default, and examples keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Fold a sentence; what has lines of its own stays as it is."""
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told = action.help or ""
        silent = any(action.default is value for value in (None, False, argparse.SUPPRESS)) or action.default == []
        if action.option_strings and not silent and "default" not in told:
            told += " (default: %(default)s)"
        return told


_ASKED_BY = {
    "name": "--preset",
    "presets": "--preset",
    "regions": "--region",
    "path_losses": "--path-loss",
    "distances_km": "--distance-km",
    "capacity_mah": "--battery-mah",
    "target": "--target-per",
    "sample_format": "--format",
    "payload_lens": "payload_len",
    "num_channels": "--channels",
    "payload_len": "--implicit-len",
}
"""Parameters of the library that a command asks for under another name."""


def names_of_options(command: argparse.ArgumentParser) -> dict[str, str]:
    """A command's option for each parameter of the library that it sets."""
    known = {action.dest: action.option_strings[0] for action in command._actions if action.option_strings}
    there = {*known.values(), *(action.dest for action in command._actions)}
    own = {action.dest for action in command._actions if not action.option_strings}
    return {**{name: option for name, option in _ASKED_BY.items() if option in there and name not in own}, **known}


def in_options(message: str, names: Mapping[str, str]) -> str:
    """An error of the library in the words of the command line: a parameter that it names becomes the option.

    Examples
    --------
    >>> in_options("'k_factor_db' is needed with fading='rician' (got None)",
    ...            {"k_factor_db": "--k-factor-db", "fading": "--fading"})
    "'--k-factor-db' is needed with --fading rician (got None)"
    """
    message = re.sub(r"^'(\w+)'", lambda found: f"'{names.get(found[1], found[1])}'", message)
    return re.sub(
        r"\b(\w+)='(\w+)'", lambda found: f"{names[found[1]]} {found[2]}" if found[1] in names else found[0], message
    )


def add_command(
    commands: Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], int],
    help_text: str,
    *,
    several: bool = False,
    short_sync: bool = True,
) -> argparse.ArgumentParser:
    """A command with the radio's options; `several`: presets, spreading factors and bandwidths may be lists.

    With `short_sync` such a command also takes ``--sync`` for ``--sync-word``.
    """
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    parser.set_defaults(run=run)
    radio = parser.add_argument_group("radio")
    many: dict[str, Any] = {"nargs": "+"} if several else {}
    radio.add_argument("--preset", metavar="NAME", help="such as eu868-dr5, meshtastic-long-fast, sf9", **many)
    radio.add_argument(
        "--sf",
        type=_sf if several else int,
        help="spreading factor, 5–12" + (", or 'any'" if several else ""),
        **many,
    )
    radio.add_argument("--bandwidth-hz", type=float, help="125e3 unless given" + ("; several" * several), **many)
    radio.add_argument("--cr", type=int, help="coding rate 4/(4 + CR), 1–4")
    radio.add_argument("--preamble-len", type=int, help="upchirps before the sync word, 8 unless given")
    radio.add_argument("--oversampling", type=int, help="samples a chip, 1 unless given")
    shorter = ["--sync"] if several and short_sync else []
    radio.add_argument("--sync-word", *shorter, help="a byte such as 0x34" + (", or 'any'" if several else ""))
    radio.add_argument("--implicit-len", type=int, metavar="BYTES", help="implicit header, of this many bytes")
    radio.add_argument("--no-crc", action="store_true", help="no CRC follows the payload")
    radio.add_argument("--inverted-iq", action="store_true", help="conjugated frames: LoRaWAN's downlinks")
    radio.add_argument("--ldro", choices=("on", "off"), help="low-data-rate optimisation; the 16 ms rule unless given")
    return parser


def params_from(options: argparse.Namespace) -> LoRaParams:
    """The parameters that the radio's options name; the first where they name several."""
    return all_params_from(options)[0]


def all_params_from(options: argparse.Namespace, base: LoRaParams | None = None) -> list[LoRaParams]:
    """Every set of parameters that the options name: each preset, or each spreading factor at each bandwidth.

    Without a preset, what no option names is that of `base`; unless given, SF7 and the library's defaults.
    """
    from dataclasses import replace

    from lora_phy.checks import finite, integer
    from lora_phy.params import MAX_PAYLOAD_LEN, LoRaParams
    from lora_phy.presets import preset

    names, sfs, bandwidths = (_listed(getattr(options, name)) for name in ("preset", "sf", "bandwidth_hz"))
    sfs = [sf for item in sfs for sf in (SPREADING_FACTORS if item == "any" else [item])]
    bandwidths = [finite("--bandwidth-hz", item, low=1.0) for item in bandwidths]
    if options.implicit_len is not None:
        integer("--implicit-len", options.implicit_len, 0, MAX_PAYLOAD_LEN)
    bases = [preset(name) for name in names] or [LoRaParams(sf=7) if base is None else base]
    changes: dict[str, Any] = {
        "cr": options.cr,
        "preamble_len": options.preamble_len,
        "oversampling": options.oversampling,
        "payload_len": options.implicit_len,
        "explicit_header": False if options.implicit_len is not None else None,
        "crc": False if options.no_crc else None,
        "inverted_iq": True if options.inverted_iq else None,
        "ldro": {"on": True, "off": False, None: None}[options.ldro],
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    if options.sync_word is not None:
        changes["sync_word"] = _sync_word(options.sync_word)
    found: list[LoRaParams] = []
    for start in bases:
        for bandwidth in bandwidths or [start.bandwidth_hz]:
            for sf in sfs or [start.sf]:
                item = replace(start, sf=sf, bandwidth_hz=bandwidth, **changes)
                if item not in found:
                    found.append(item)
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _sf(text: str) -> int | str:
    try:
        return "any" if text.lower() == "any" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a spreading factor, 5 to 12, or 'any' (got {text!r})") from None


def _sync_word(text: str) -> int | None:
    if text.lower() == "any":
        return None
    try:
        word = int(text, 0)
    except ValueError:
        raise ValueError(f"'--sync-word' must be a byte such as 0x34, or 'any' (got {text!r})") from None
    if word <= 0xFFFF and word & 0x0F0F == 0x0404:  # 0xY4Z4
        byte = word >> 8 & 0xF0 | word >> 4 & 0x0F
        raise ValueError(f"'--sync-word' must be a byte: the SX126x's {word:#06x} is 0x{byte:02x}")
    return word
