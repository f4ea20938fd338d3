"""Taking a known frame out of the IQ: rebuild it, fit it, subtract it.

    payload ─ encode, modulate ─ delay, clock, carrier ─► template t[n]
    c_m = Σ y[n] t*[n] over block m of one symbol,     e_m = Σ |t[n]|²
    g_m = Σ c / Σ e over the 2 W + 1 blocks around m,  y[n] -= g(n) t[n],  g linear between block centres

The fit is data-aided. An upchirp that is late looks like one that is low in frequency, so carrier and delay are told
apart by phase: a carrier error turns c_m from block to block, a delay does not. Each maximises the energy of c_m summed
coherently over eight symbols. Gains are local, so a channel that fades slowly against 2 W + 1 symbols is followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ, Symbols
from lora_phy.channel.offsets import phasor, time_and_clock_offset
from lora_phy.coding.chain import decode_nibbles, encode_nibbles, encode_payload, frame_nibbles
from lora_phy.modem.modulation import modulate_frame
from lora_phy.params import LoRaParams
from lora_phy.receiver.frame_reception import RxFrame

MARGIN = 256
"""Samples around a template for the interpolator's tails."""
COHERENT_SYMBOLS = 8
GAIN_REACH = 2
"""W: blocks on either side that share in a gain."""
MAX_MISPLACED = 16
"""Symbols by which a preamble's length may have been misjudged."""
UNKNOWN_NIBBLE = 3
"""Nibble of the header whose upper three bits no document names."""

ComplexArray = npt.NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Replica:
    """A frame as it arrived but for its gain: ``template[0]`` lies at sample `first` of the stream.

    `start` (samples, fractional), `cfo_hz`, `sfo_ppm` and `waveform` are those of the template.
    """

    template: IQ
    first: int
    start: float
    cfo_hz: float
    block: int
    waveform: Literal["chip", "textbook"]
    sfo_ppm: float = 0.0


def sent_symbols(frame: RxFrame) -> tuple[Symbols, LoRaParams]:
    """The symbols a received frame was sent with, and the parameters that send them.

    The payload says most of them. What a chip pads its last block with, and the header's unknown bits, it does not say:
    those nibbles are taken from the symbols as received.

    Examples
    --------
    >>> from lora_phy import receive, transmit
    >>> [frame] = receive(transmit(b"hello", LoRaParams(sf=7, cr=3)), LoRaParams(sf=7))
    >>> bool(np.all(sent_symbols(frame)[0] == encode_payload(b"hello", LoRaParams(sf=7, cr=3))))
    True
    """
    params = frame.params
    if frame.header is not None:
        params = replace(params, cr=frame.header.cr, crc=frame.header.crc)
    encoded = encode_payload(frame.payload, params)
    if len(frame.symbols) < len(encoded):
        return encoded, params
    nibbles = decode_nibbles(frame.symbols[: len(encoded)], params)
    known = frame_nibbles(frame.payload, params)
    if params.explicit_header:
        known[UNKNOWN_NIBBLE] = known[UNKNOWN_NIBBLE] & 1 | nibbles[UNKNOWN_NIBBLE] & 14
    nibbles[: len(known)] = known
    return encode_nibbles(nibbles, len(encoded), params), params


def fit_frame(stream: IQ, frame: RxFrame, *, clocks: Iterable[float] | None = None) -> Replica:
    """The replica of a correctly received frame, aligned with `stream` (at ``frame.params.sample_rate_hz``).

    Both waveforms are tried, and several `clocks` (ppm; None: the frame's beside a perfect one): what explains most of
    the stream counts.

    Examples
    --------
    >>> from lora_phy import receive, transmit
    >>> sent = 0.3j * np.pad(transmit(b"hello", LoRaParams(sf=7)), 500)
    >>> [frame] = receive(sent, LoRaParams(sf=7))
    >>> left = sent - contribution(sent, fit_frame(sent, frame))
    >>> bool(np.vdot(left, left).real < 1e-3 * np.vdot(sent, sent).real)
    True
    """
    symbols, params = sent_symbols(frame)
    params = replace(params, preamble_len=max(frame.preamble_len, 1))  # as heard, not as told
    start = frame.start_sample + frame.sto_samples
    other = replace(params, waveform="textbook" if params.waveform == "chip" else "chip")
    waves = [(form, modulate_frame(symbols, form, sync_symbols=frame.sync_symbols)) for form in (params, other)]
    fits = []
    for sfo_ppm in {0.0, frame.sfo_ppm} if clocks is None else clocks:
        fit = fit_wave(stream, waves[0][1], params, start, frame.cfo_hz, sfo_ppm, misplaced=MAX_MISPLACED)
        fits.append(fit)
        # the preambles are one, so the other waveform begins at the same place
        twin = make_replica(waves[1][1], other, fit.start, fit.cfo_hz, sfo_ppm)
        if explained(stream, twin) > explained(stream, fit):
            fits.append(fit_wave(stream, waves[1][1], other, twin.start, twin.cfo_hz, sfo_ppm))
    return max(fits, key=lambda item: explained(stream, item))


def explained(stream: IQ, replica: Replica) -> float:
    """Fit of a replica: energy of the stream along it, summed coherently over eight symbols at a time."""
    return _coherent_energy(block_sums(stream, replica)[0])


def fit_wave(
    stream: IQ, wave: IQ, params: LoRaParams, start: float, cfo_hz: float, sfo_ppm: float = 0.0, *, misplaced: int = 0
) -> Replica:
    """The replica of `wave` whose start (within half a chip, and `misplaced` symbols) and carrier fit `stream` best."""
    num = params.samples_per_symbol
    replica = make_replica(wave, params, start, cfo_hz, sfo_ppm)
    # a misjudged preamble moves everything by whole symbols
    moved = [_moved(replica, m * num) for m in range(-misplaced, misplaced + 1)]
    replica = max(moved, key=lambda item: explained(stream, item))
    start = replica.start
    for step in (0.25 * params.oversampling, 0.06 * params.oversampling):
        cfo_hz += _carrier_error(block_sums(stream, replica)[0]) * params.bandwidth_hz / params.num_bins
        around = [make_replica(wave, params, start + d * step, cfo_hz, sfo_ppm) for d in (-1, 0, 1)]
        energy = [explained(stream, item) for item in around]
        bend = energy[0] - 2 * energy[1] + energy[2]
        shift = 0.5 * (energy[0] - energy[2]) / bend if bend < 0 else float(np.sign(energy[2] - energy[0]))
        start += float(np.clip(shift, -2, 2)) * step
        replica = make_replica(wave, params, start, cfo_hz, sfo_ppm)
    return replica


def make_replica(wave: IQ, params: LoRaParams, start: float, cfo_hz: float, sfo_ppm: float = 0.0) -> Replica:
    """`wave` (samples at ``params.sample_rate_hz``) delayed to `start` and moved by `cfo_hz`."""
    whole = int(np.floor(start))
    padded = np.pad(wave, MARGIN)
    template = time_and_clock_offset(padded, start - whole + MARGIN * 1e-6 * sfo_ppm, sfo_ppm)
    template = template * phasor(cfo_hz / params.sample_rate_hz, len(template), start_sample=-MARGIN)
    return Replica(template, whole - MARGIN, start, cfo_hz, params.samples_per_symbol, params.waveform, sfo_ppm)


def block_sums(stream: IQ, replica: Replica) -> tuple[ComplexArray, npt.NDArray[np.float64]]:
    """c_m and e_m of the module's formula; what lies outside the stream counts in neither."""
    low, high = max(replica.first, 0), min(replica.first + len(replica.template), len(stream))
    num_blocks = -(-len(replica.template) // replica.block)
    product = np.zeros(num_blocks * replica.block, dtype=np.complex64)
    energy = np.zeros(num_blocks * replica.block, dtype=np.float32)
    if high > low:
        part = replica.template[low - replica.first : high - replica.first]
        inside = slice(low - replica.first, high - replica.first)
        product[inside] = stream[low:high] * part.conj()
        energy[inside] = part.real**2 + part.imag**2
    return (
        product.reshape(num_blocks, -1).sum(axis=1, dtype=np.complex128),
        energy.reshape(num_blocks, -1).sum(axis=1, dtype=np.float64),
    )


def contribution(stream: IQ, replica: Replica) -> IQ:
    """Contribution of the replica's frame to `stream`, as an array of its length: gains as of the module's formula."""
    gain = gains_at(np.arange(len(replica.template)), stream, replica)
    out = np.zeros(len(stream), dtype=np.complex64)
    low, high = max(replica.first, 0), min(replica.first + len(replica.template), len(stream))
    if high > low:
        inside = slice(low - replica.first, high - replica.first)
        out[low:high] = replica.template[inside] * gain[inside]
    return out


def gains_at(places: npt.NDArray[Any], stream: IQ, replica: Replica) -> IQ:
    """g of the module's formula at `places`, in samples of the template (fractional ones too)."""
    sums, energies = block_sums(stream, replica)
    window = np.ones(2 * GAIN_REACH + 1)
    gains = np.convolve(sums, window, "same") / np.maximum(np.convolve(energies, window, "same"), 1e-9)
    centres = (np.arange(len(gains)) + 0.5) * replica.block
    gain = np.empty(len(places), np.complex64)
    gain.real, gain.imag = np.interp(places, centres, gains.real), np.interp(places, centres, gains.imag)
    return gain


def subtract_all(iq: IQ, replicas: Sequence[Replica], *, sweeps: int = 2) -> IQ:
    """`iq` without the frames of all `replicas`, their gains fitted in turn, each to what the others leave.

    Examples
    --------
    >>> bool(np.all(subtract_all(np.ones(4, np.complex64), []) == 1))
    True
    """
    left = iq.copy()
    parts = [np.zeros(0, dtype=np.complex64)] * len(replicas)
    for sweep in range(sweeps if len(replicas) > 1 else 1):
        for i, replica in enumerate(replicas):
            if sweep:
                left += parts[i]
            parts[i] = contribution(left, replica)
            left -= parts[i]
    return left


def _moved(replica: Replica, samples: int) -> Replica:
    """The same template, whole samples later."""
    return replace(replica, first=replica.first + samples, start=replica.start + samples)


def _coherent_energy(sums: ComplexArray) -> float:
    groups = np.add.reduceat(sums, np.arange(0, len(sums), COHERENT_SYMBOLS))
    return float((np.abs(groups) ** 2).sum())


def _carrier_error(sums: ComplexArray) -> float:
    """Turns a block by which c_m rotates: the peak of its periodogram, within a quarter turn."""
    size = 32 * len(sums)
    spectrum = np.abs(np.fft.fft(sums, size))
    turns = np.fft.fftfreq(size)
    spectrum[np.abs(turns) > 0.25] = 0.0
    return float(turns[int(np.argmax(spectrum))])
