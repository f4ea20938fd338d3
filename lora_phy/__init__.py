"""LoRa (the radio) at the physical layer: coding, modem, channel, receiver, simulation and theory.

    bytes ─ transmit ─► IQ ─ apply_channel ─► IQ ─ receive ─► frames          one frame, or a recording
            collect(points) ─► packet error rates        symbol_errors ─► symbol error rates, by simulation
            theory ─► both in closed form                airtime_s, preset ─► planning

The names below are the public ones. Each is imported when it is first used (PEP 562), so that ``import lora_phy`` and
``python -m lora_phy --help`` cost as little as the interpreter itself; type checkers and editors see them all the same.
"""

from __future__ import annotations

import importlib
import importlib.util

TYPE_CHECKING = False  # `typing` is a file, and `python -m lora_phy` looks for it in the caller's folder first
if TYPE_CHECKING:
    from typing import Any

    from lora_phy import theory as theory
    from lora_phy.channel import ChannelParams as ChannelParams
    from lora_phy.channel import Interferer as Interferer
    from lora_phy.channel import Multipath as Multipath
    from lora_phy.channel import apply_channel as apply_channel
    from lora_phy.coding.chain import Decoded as Decoded
    from lora_phy.coding.chain import FrameStatus as FrameStatus
    from lora_phy.coding.chain import decode_symbols as decode_symbols
    from lora_phy.coding.chain import encode_payload as encode_payload
    from lora_phy.coding.decisions import decide_symbols as decide_symbols
    from lora_phy.coding.header import Header as Header
    from lora_phy.frames.airtime import airtime_s as airtime_s
    from lora_phy.frames.transceiver import transmit as transmit
    from lora_phy.modem.demodulation import demodulate as demodulate
    from lora_phy.modem.modulation import modulate as modulate
    from lora_phy.monte_carlo.collect import LinkResult as LinkResult
    from lora_phy.monte_carlo.collect import collect as collect
    from lora_phy.monte_carlo.counts import LinkCounts as LinkCounts
    from lora_phy.monte_carlo.counts import SymbolCounts as SymbolCounts
    from lora_phy.monte_carlo.counts import WeightedCounts as WeightedCounts
    from lora_phy.monte_carlo.engines import symbol_errors as symbol_errors
    from lora_phy.monte_carlo.frame_blocks import replay_frame as replay_frame
    from lora_phy.monte_carlo.keyed_frames import SentFrames as SentFrames
    from lora_phy.monte_carlo.keyed_frames import send_frames as send_frames
    from lora_phy.monte_carlo.points import LinkPoint as LinkPoint
    from lora_phy.monte_carlo.saved_results import load_results as load_results
    from lora_phy.params import LoRaParams as LoRaParams
    from lora_phy.presets import preset as preset
    from lora_phy.receiver.channelizer import ChannelFrame as ChannelFrame
    from lora_phy.receiver.channelizer import GatewayReceiver as GatewayReceiver
    from lora_phy.receiver.channelizer import receive_channels as receive_channels
    from lora_phy.receiver.collisions import receive_collided as receive_collided
    from lora_phy.receiver.frame_reception import RxFrame as RxFrame
    from lora_phy.receiver.stream import Receiver as Receiver
    from lora_phy.receiver.stream import receive as receive
    from lora_phy.recordings import Recording as Recording
    from lora_phy.recordings import read_recording as read_recording
    from lora_phy.studies.tables import results_table as results_table

__version__ = "0.1.0"

# where each name is defined: a new one gets a line here and one above (a test compares the two)
_HOME = {
    "theory": "lora_phy",
    "ChannelParams": "lora_phy.channel",
    "Interferer": "lora_phy.channel",
    "Multipath": "lora_phy.channel",
    "apply_channel": "lora_phy.channel",
    "Decoded": "lora_phy.coding.chain",
    "FrameStatus": "lora_phy.coding.chain",
    "decode_symbols": "lora_phy.coding.chain",
    "encode_payload": "lora_phy.coding.chain",
    "decide_symbols": "lora_phy.coding.decisions",
    "Header": "lora_phy.coding.header",
    "airtime_s": "lora_phy.frames.airtime",
    "transmit": "lora_phy.frames.transceiver",
    "demodulate": "lora_phy.modem.demodulation",
    "modulate": "lora_phy.modem.modulation",
    "LinkResult": "lora_phy.monte_carlo.collect",
    "collect": "lora_phy.monte_carlo.collect",
    "LinkCounts": "lora_phy.monte_carlo.counts",
    "SymbolCounts": "lora_phy.monte_carlo.counts",
    "WeightedCounts": "lora_phy.monte_carlo.counts",
    "symbol_errors": "lora_phy.monte_carlo.engines",
    "replay_frame": "lora_phy.monte_carlo.frame_blocks",
    "SentFrames": "lora_phy.monte_carlo.keyed_frames",
    "send_frames": "lora_phy.monte_carlo.keyed_frames",
    "LinkPoint": "lora_phy.monte_carlo.points",
    "load_results": "lora_phy.monte_carlo.saved_results",
    "LoRaParams": "lora_phy.params",
    "preset": "lora_phy.presets",
    "ChannelFrame": "lora_phy.receiver.channelizer",
    "GatewayReceiver": "lora_phy.receiver.channelizer",
    "receive_channels": "lora_phy.receiver.channelizer",
    "receive_collided": "lora_phy.receiver.collisions",
    "RxFrame": "lora_phy.receiver.frame_reception",
    "Receiver": "lora_phy.receiver.stream",
    "receive": "lora_phy.receiver.stream",
    "Recording": "lora_phy.recordings",
    "read_recording": "lora_phy.recordings",
    "results_table": "lora_phy.studies.tables",
}
__all__ = [
    "ChannelFrame",
    "ChannelParams",
    "Decoded",
    "FrameStatus",
    "GatewayReceiver",
    "Header",
    "Interferer",
    "LinkCounts",
    "LinkPoint",
    "LinkResult",
    "LoRaParams",
    "Multipath",
    "Receiver",
    "Recording",
    "RxFrame",
    "SentFrames",
    "SymbolCounts",
    "WeightedCounts",
    "airtime_s",
    "apply_channel",
    "collect",
    "decide_symbols",
    "decode_symbols",
    "demodulate",
    "encode_payload",
    "load_results",
    "modulate",
    "preset",
    "read_recording",
    "receive",
    "receive_channels",
    "receive_collided",
    "replay_frame",
    "results_table",
    "send_frames",
    "symbol_errors",
    "theory",
    "transmit",
]


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of this package, on its first use."""
    if name in _HOME and _HOME[name] != __name__:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Every name, imported or not: what `help` and a tab show."""
    return sorted({*globals(), *__all__})
