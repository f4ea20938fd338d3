"""``rx``: every frame of a recording or a live pipe, each printed as it is found."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lora_phy.commands.options import Subparsers, add_command, all_params_from

if TYPE_CHECKING:
    from lora_phy.arrays import IQ
    from lora_phy.params import LoRaParams
    from lora_phy.receiver.channelizer import ChannelFrame, GatewayReceiver
    from lora_phy.receiver.frame_reception import RxFrame
    from lora_phy.receiver.stream import Receiver
    from lora_phy.recordings import RecordingStream

_EXAMPLES = """examples:
  python -m lora_phy rx capture.sigmf-meta
  python -m lora_phy rx sdrsharp.wav --sf 7 8 9 --sync-word any --center-offset-hz -100e3
  rtl_sdr -f 868.1M -s 1M - | python -m lora_phy rx - --format cu8 --sample-rate-hz 1e6 --sf any --sync-word any
  python -m lora_phy rx crowded.cs16 --sample-rate-hz 1e6 --sf any --bandwidth-hz 125e3 250e3 --sync-word any --cancel
  python -m lora_phy rx gateway.cs16 --sample-rate-hz 2e6 --sf any --channels 8 --json --pcap frames.pcap

exit status: 0 where a frame was found, 1 where none was, 2 on an error"""
WHOLE_SAMPLES = 1 << 25
"""Length of a recording that is held in memory as a whole unless told otherwise: 256 MiB."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    rx = add_command(commands, "rx", run, "find and decode every frame of a recording or a live pipe", several=True)
    rx.epilog = _EXAMPLES
    add_input(rx)
    rx.add_argument(
        "--channels", type=int, help="channels around the recording's centre, as a gateway has; 1 unless given"
    )
    rx.add_argument("--spacing-hz", type=float, help="between neighbours of --channels, 200e3 unless given")
    rx.add_argument("--keep-dc", action="store_true", help="do not remove the receiver's DC spike")
    rx.add_argument("--hard", action="store_true", help="decide symbol by symbol")
    rx.add_argument("--num-trials", type=int, default=0, help="alternatives a failed CRC may choose from")
    rx.add_argument(
        "--cancel",
        action=argparse.BooleanOptionalAction,
        help="subtract strong frames and search under them for other spreading factors and bandwidths; frames are"
        " printed at the end (default: for files of at most 33 million samples, where several are looked for)",
    )
    rx.add_argument("--json", action="store_true", help="JSON lines: one object a frame")
    rx.add_argument("--pcap", metavar="FILE", help="also write the frames as LoRaTap (link type 270), for Wireshark")


def add_input(parser: argparse.ArgumentParser) -> None:
    """Declare the recording that a command reads."""
    parser.add_argument(
        "file", help="SigMF, .wav (I and Q), raw .cf32, .cs16, .cs8, .cu8, a named pipe, or - (the input)"
    )
    parser.add_argument(
        "--sample-rate-hz",
        type=float,
        help="of raw samples; unless given, that of the file, else bandwidth times oversampling",
    )
    parser.add_argument(
        "--format", choices=("cf32", "cs16", "cs8", "cu8"), help="of raw samples without a telling suffix"
    )
    parser.add_argument("--center-offset-hz", type=float, help="frequency of the channel within the recording")
    parser.add_argument("--start-time", metavar="ISO", help="instant of the first sample, such as 2026-01-31T12:00:00Z")


def run(options: argparse.Namespace) -> int:
    """Print every frame, as it is found or, with cancellation, at the end; where there is none, say what to look at."""
    from lora_phy.commands.diagnosis import FirstSecond, diagnose
    from lora_phy.receiver.frame_reception import RxFrame

    with ExitStack() as opened:
        pcap = _open_pcap(options.pcap, options.file, opened)  # before the work, so that it is not in vain
        stream, wanted, settings = open_input(options)
        rate, offset = settings["sample_rate_hz"], settings["center_offset_hz"]
        settings |= {"soft": not options.hard, "num_trials": options.num_trials}
        if options.keep_dc:
            settings["remove_dc"] = False
        receiver: Receiver | GatewayReceiver | _Cancelling
        if options.channels is None and options.spacing_hz is None:
            receiver = _receiver(wanted, settings | {"in_order": not stream.live}, stream.live, options.cancel)
        elif options.cancel:
            raise ValueError("'--cancel' must not be given with '--channels' or '--spacing-hz': channels do not cancel")
        else:
            receiver = _gateway(wanted, settings, options)
        first_second = FirstSecond(rate)
        channel_hz = 0.0 if stream.frequency_hz is None else stream.frequency_hz + offset
        count = num_samples = 0

        def hand_out(found: Sequence[RxFrame | ChannelFrame]) -> None:
            nonlocal count
            for item in found:
                frame, shift_hz = (item, None) if isinstance(item, RxFrame) else (item.frame, item.channel_hz)
                count += 1
                elapsed_s = (frame.start_sample + frame.sto_samples) / rate
                if options.json:
                    print(
                        json.dumps(frame_as_dict(frame) | {"channel_hz": offset if shift_hz is None else shift_hz}),
                        flush=True,
                    )
                else:
                    print(line_of(frame, elapsed_s, channel_hz=shift_hz), flush=True)
                if pcap is not None:
                    from lora_phy.recordings.loratap import write_pcap_frame

                    frequency_hz = channel_hz + (0.0 if shift_hz is None else shift_hz - offset)
                    write_pcap_frame(pcap, frame, frequency_hz=frequency_hz, elapsed_s=elapsed_s)

        try:
            for chunk in stream.chunks:
                num_samples += len(chunk)
                first_second.add(chunk)
                hand_out(receiver.push(chunk))
        except KeyboardInterrupt:  # how a live pipe ends
            pass
        hand_out(receiver.flush())
    duration_s = num_samples / rate
    print(f"{count} frame{'s' * (count != 1)} in {duration_s:.3f} s", file=sys.stderr)
    if not count:
        given = stream.sample_rate_hz is not None or options.sample_rate_hz is not None
        print(diagnose(stream, wanted, first_second, num_samples, offset, rate_given=given), file=sys.stderr)
    return 0 if count else 1


def frame_as_dict(frame: RxFrame) -> dict[str, Any]:
    """A frame as plain values, for JSON."""
    header = frame.header
    return {
        "status": str(frame.status),
        "payload": frame.payload.hex(),
        "crc_ok": frame.crc_ok,
        "start_sample": frame.start_sample,
        "sto_samples": frame.sto_samples,
        "time": None if frame.time is None else frame.time.isoformat(),
        "cfo_hz": frame.cfo_hz,
        "sfo_ppm": frame.sfo_ppm,
        "drift_hz_per_s": frame.drift_hz_per_s,
        "snr_db": frame.snr_db,
        "power_dbfs": frame.power_dbfs,
        "sf": frame.params.sf,
        "bandwidth_hz": frame.params.bandwidth_hz,
        "ldro": frame.params.ldro,
        "inverted_iq": frame.params.inverted_iq,
        "preamble_len": frame.preamble_len,
        "sync_word": frame.sync_word,
        "sync_symbols": [int(symbol) for symbol in frame.sync_symbols],
        "header": None if header is None else {"payload_len": header.payload_len, "cr": header.cr, "crc": header.crc},
        "symbols": [int(symbol) for symbol in frame.symbols],
    }


def line_of(frame: RxFrame, elapsed_s: float, *, channel_hz: float | None = None) -> str:
    """A frame in one line: time, channel of a gateway, SF and bandwidth, status, SNR, power, offset, sync word, length,
    bytes and text.
    """
    params = frame.params
    when = f"{elapsed_s:11.6f} s" if frame.time is None else frame.time.isoformat(timespec="milliseconds")
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in frame.payload)
    sync = "sync --" if frame.sync_word is None else f"sync {frame.sync_word:02x}"
    channel = "" if channel_hz is None else f"  {channel_hz / 1e3:+6.0f} kHz"
    return (
        f"{when}{channel}  SF{params.sf}/{params.bandwidth_hz / 1e3:g}  {frame.status!s:<10}  {frame.snr_db:5.1f} dB"
        f"  {frame.power_dbfs:6.1f} dBFS  {frame.cfo_hz:+7.0f} Hz  {sync}  {len(frame.payload):3d} B"
        f"  {frame.payload.hex()}  {text}"
    )


def open_input(options: argparse.Namespace) -> tuple[RecordingStream, list[LoRaParams], dict[str, Any]]:
    """The recording, what to look for, and the receiver's settings."""
    from lora_phy.recordings import open_recording

    asked = all_params_from(options)
    start_time = None if options.start_time is None else _instant(options.start_time)
    stream = open_recording(options.file, sample_format=options.format)
    named = options.preset or options.sf
    wanted = asked if named or stream.params is None else all_params_from(options, stream.params)
    rate = stream.sample_rate_hz if options.sample_rate_hz is None else options.sample_rate_hz
    if stream.sample_rate_hz not in (None, rate):
        warnings.warn(f"{stream.name} states {stream.sample_rate_hz:g} Hz, taken for {rate:g} Hz", stacklevel=2)
    settings = {
        "sample_rate_hz": max(item.sample_rate_hz for item in wanted) if rate is None else rate,
        "center_offset_hz": stream.center_offset_hz if options.center_offset_hz is None else options.center_offset_hz,
        "start_time": start_time or stream.start_time,
    }
    return stream, wanted, settings


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"'--start-time' must be an instant such as 2026-01-31T12:00:00Z (got {text!r})") from None


def _receiver(
    wanted: list[LoRaParams], settings: dict[str, Any], live: bool, cancel: bool | None
) -> Receiver | _Cancelling:
    from lora_phy.receiver.stream import Receiver

    streaming = Receiver(wanted, **settings)
    if cancel is False or len(wanted) < 2 or (live and not cancel):
        return streaming
    return _Cancelling(streaming, wanted, settings, None if cancel else WHOLE_SAMPLES)


class _Cancelling:
    """A receiver that holds a recording to its end and cancels; one that turns out longer than `most` samples is handed
    to the `streaming` one.
    """

    def __init__(
        self, streaming: Receiver, wanted: list[LoRaParams], settings: dict[str, Any], most: int | None
    ) -> None:
        self._streaming, self._wanted, self._most = streaming, wanted, most
        self._settings = {name: value for name, value in settings.items() if name != "in_order"}
        self._held: list[IQ] | None = []

    def push(self, chunk: IQ) -> list[RxFrame]:
        if self._held is None:
            return self._streaming.push(chunk)
        self._held.append(chunk)
        if self._most is None or sum(len(item) for item in self._held) <= self._most:
            return []
        held, self._held = self._held, None
        return [frame for item in held for frame in self._streaming.push(item)]

    def flush(self) -> list[RxFrame]:
        import numpy as np

        from lora_phy.receiver.stream import receive

        if self._held is None:
            return self._streaming.flush()
        iq = np.concatenate(self._held) if self._held else np.zeros(0, np.complex64)
        return receive(iq, self._wanted, cancel=True, **self._settings)


def _gateway(wanted: list[LoRaParams], settings: dict[str, Any], options: argparse.Namespace) -> GatewayReceiver:
    """A receiver on each of several channels around the centre; those outside the recording are left out."""
    from lora_phy.receiver.channelizer import GatewayReceiver, equally_spaced

    count = 1 if options.channels is None else options.channels
    spacing_hz = 200e3 if options.spacing_hz is None else options.spacing_hz
    offset_hz = settings.pop("center_offset_hz")
    centres = [offset_hz + hz for hz in equally_spaced(count, spacing_hz)]
    inside = [centre for centre in centres if abs(centre) <= settings["sample_rate_hz"] / 2]
    if not inside:
        raise ValueError(
            f"'--center-offset-hz' must leave a channel in the stream, within half its sample rate,"
            f" {settings['sample_rate_hz'] / 2:.10g} Hz (got {offset_hz!r})"
        )
    if len(inside) < count:
        told = f"{count - len(inside)} of {count} channels lie outside the recording and are left out"
        warnings.warn(told, UserWarning, stacklevel=2)
    return GatewayReceiver(wanted, channels_hz=inside, **settings)


def _open_pcap(name: str | None, recording: str, opened: ExitStack) -> BinaryIO | None:
    """The file that frames are written to, begun; never one that the recording lies in."""
    if name is None:
        return None
    from lora_phy.recordings.loratap import write_pcap_header
    from lora_phy.recordings.sigmf import sigmf_paths

    path = Path(name)
    read = [Path(recording), *sigmf_paths(recording, must_exist=False)] if Path(recording).name else []
    if path.exists() and any(item.exists() and path.samefile(item) for item in read):
        raise ValueError(f"'--pcap' must name another file than the recording, which it would overwrite (got {name!r})")
    try:
        handle = opened.enter_context(path.open("wb", buffering=0))
        write_pcap_header(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from error
    return handle
