r"""Four ways to simulate a synchronised chirp link, under one name each, and `symbol_errors`, which counts with them.

==================  ===========================================================  ==============================
engine              what is drawn                                                valid for
==================  ===========================================================  ==============================
waveform            every IQ sample: chirp, channel, noise, dechirp, FFT         any channel
bins                every FFT bin: independent complex Gaussians                 AWGN, flat fading
order-statistics    the right bin and the largest of the wrong ones              AWGN, flat fading; hard decisions
importance          the right bin, shifted towards errors; weights, not counts   AWGN, flat fading; hard decisions
==================  ===========================================================  ==============================

The last three are exact in distribution with perfect synchronisation and refuse anything else. Chunk i of a run is
seeded by (seed, i), so counts depend neither on threads nor on what ran before, and memory does not grow with the
number of symbols.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from lora_phy.channel.compose import apply_channel
from lora_phy.channel.params import ChannelParams
from lora_phy.kernels import shortcuts
from lora_phy.kernels.lanes import LANES, aligned_empty
from lora_phy.kernels.modem import bin_of_label, soft_buffer
from lora_phy.kernels.randomness import fill_gaussians, fill_uniform_bits, new_state
from lora_phy.kernels.select import announce, pipeline
from lora_phy.kernels.tables import buffers, offset_factors, tables
from lora_phy.modem.demodulation import demodulate
from lora_phy.modem.modulation import modulate
from lora_phy.monte_carlo.counts import SymbolCounts, WeightedCounts
from lora_phy.monte_carlo.flat_channel import FLAT_FIELDS, FlatChannel, as_channel, flat_channel
from lora_phy.params import LoRaParams

Engine = Literal["waveform", "bins", "order-statistics", "importance"]
ENGINES: tuple[str, ...] = get_args(Engine)
Floats = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]

GROUP = 2 * LANES
"""Symbols come in multiples of this: the noise is made for two groups of lanes at a time."""
_CHUNK_SAMPLES = 1 << 23
_STREAM_CHUNK_SAMPLES = 1 << 19
_SYMBOLS, _CHANNEL, _FADES = 0, 1, 2  # streams of a chunk


def symbol_errors(
    params: LoRaParams,
    channel: ChannelParams | float,
    num_symbols: int,
    *,
    seed: int,
    engine: Engine = "waveform",
    threads: int = 1,
) -> SymbolCounts | WeightedCounts:
    """Send random chirp symbols through a channel, uncoded, and count wrong hard decisions.

    Nothing is estimated: carrier, timing and clock offsets act as residual errors. Flat fading is drawn anew for each
    symbol; with a Doppler spread each symbol meets its own stretch of the process. With a timing or clock offset or
    multipath every symbol stands between two random neighbours and time starts with the first of the three. With
    interferers the symbols form one stream as long as the longest of them, over and over.

    Parameters
    ----------
    params
        `sf`, `bandwidth_hz`, `oversampling` and `inverted_iq` matter.
    channel
        SNR in dB in the bandwidth, or a `ChannelParams`.
    num_symbols
        How many, from 0 up; 10**12 takes time but no memory.
    seed
        Non-negative integer. The counts are a function of the arguments without `threads`.
    engine
        See the module.
    threads
        Worker threads, at most as many as there are chunks of work.

    Returns
    -------
    SymbolCounts
        ``(symbols, errors, engine)``; `WeightedCounts` for "importance".

    Raises
    ------
    ValueError
        A NaN SNR, a negative number of symbols, or an engine outside its validity.

    Examples
    --------
    >>> symbol_errors(LoRaParams(sf=7), -9.0, 0, seed=1)
    SymbolCounts(symbols=0, errors=0, engine='waveform')
    """
    channel = as_channel(channel)
    num_symbols, threads = _natural("num_symbols", num_symbols, 0), _natural("threads", threads, 1)
    seed = _natural("seed", seed, 0)
    flat = flat_channel(params, channel)
    require_valid(engine, channel)
    if engine == "importance":
        from lora_phy.monte_carlo.importance import weighted_symbol_errors

        return weighted_symbol_errors(params, channel, num_symbols, seed=seed)
    if engine == "waveform" and (flat is None or params.oversampling > 1):
        size = max(1, _STREAM_CHUNK_SAMPLES // params.samples_per_symbol)

        def work(chunk: int, count: int) -> int:
            return _stream_errors(params, channel, count, seed, chunk)
    else:
        assert flat is not None
        size = _CHUNK_SAMPLES >> params.sf

        def work(chunk: int, count: int) -> int:
            return _flat_errors(engine, params.sf, flat, count, seed, chunk)

    num_chunks = -(-num_symbols // size)
    threads = min(threads, max(num_chunks, 1))
    # noise and a flat gain favour no wrong symbol
    uniform = params.sf if flat is not None and flat.cfo_bins == 0.0 else None

    def share(thread: int) -> int:
        return sum(work(i, min(size, num_symbols - i * size)) for i in range(thread, num_chunks, threads))

    if num_chunks <= 1 or threads == 1:
        errors = share(0) if threads == 1 else work(0, num_symbols) if num_chunks else 0
        return SymbolCounts(num_symbols, errors, engine, uniform)
    with ThreadPoolExecutor(threads) as pool:
        return SymbolCounts(num_symbols, sum(pool.map(share, range(threads))), engine, uniform)


def require_valid(engine: str, channel: ChannelParams) -> None:
    """Raise the ValueError that says why an engine cannot simulate a channel."""
    if engine not in ENGINES:
        raise ValueError(f"'engine' must be one of {ENGINES} (got {engine!r})")
    if engine == "waveform":
        return
    for field in dataclasses.fields(ChannelParams):
        value = getattr(channel, field.name)
        if field.name not in FLAT_FIELDS and value != field.default:
            raise ValueError(
                f"'engine' {engine!r} draws the independent bins of a perfectly synchronised receiver in flat fading,"
                f" so {field.name!r} must be {field.default!r} (got {value!r}); use engine='waveform'"
            )


# ---- drawing decisions and metrics ----------------------------------------------------------------------------------
def unit_gains() -> Floats:
    """The gains of a channel that does not fade, for a stride of 0."""
    gains = aligned_empty(2 * GROUP)
    gains[:] = 0
    gains[:LANES] = 1
    gains[GROUP : GROUP + LANES] = 1
    return gains


def lane_gains(gains: npt.NDArray[np.complex128]) -> Floats:
    """Complex ``(8 * n,)`` to lane layout ``(16 * n,)``: eight real parts, eight imaginary parts."""
    out = aligned_empty(2 * gains.size)
    rows = out.reshape(-1, 2, LANES)
    rows[:, 0], rows[:, 1] = gains.real.reshape(-1, LANES), gains.imag.reshape(-1, LANES)
    return out


def draw_decisions(
    engine: str, sf: int, flat: FlatChannel, symbols: Words, gains: Floats, state: Words, *, legal_only: bool = False
) -> Words:
    """Uint32, like `symbols` (a multiple of 16): what a synchronised receiver decides.

    `gains` in lane layout, for all symbols or the 32 floats of `unit_gains`. `legal_only`: only bins 4k + 1 compete.
    """
    decisions: Words = aligned_empty(symbols.size, np.uint32)
    stride = 0 if gains.size == 2 * GROUP else GROUP
    if engine == "waveform":
        pipeline("link", sf)(
            state,
            symbols,
            gains,
            stride,
            offset_factors(sf, flat.cfo_bins),
            flat.noise_power,
            1 if legal_only else 0,
            4 if legal_only else 1,
            tables(sf),
            buffers(sf),
            decisions,
        )
        return decisions
    kernel = shortcuts.bins_decide if engine == "bins" else shortcuts.order_decide
    announce(kernel, f"the {engine} engine")
    errors: Words = aligned_empty(symbols.size, np.uint32)
    step = 4 if legal_only else 1
    kernel(state, flat.amplitude(sf), gains, stride, (1 << sf) // step - 1, errors)
    shortcuts.wrong_decisions(state, errors, symbols, 1 << sf, step, decisions)
    return decisions


def draw_metrics(
    engine: str, sf: int, flat: FlatChannel, symbols: Words, gains: Floats, state: Words, *, reduced: bool
) -> Floats:
    """Float32 ``(symbols.size, bits)``: max-log bit metrics; of reduced-rate symbols, sf - 2 from the legal bins."""
    num_bits = sf - 2 * reduced
    out = aligned_empty(symbols.size * num_bits)
    stride = 0 if gains.size == 2 * GROUP else GROUP
    tail = (soft_buffer(sf), bin_of_label(sf, reduced), num_bits, out)
    if engine == "waveform":
        offset = offset_factors(sf, flat.cfo_bins)
        pipeline("link_soft", sf)(
            state, symbols, gains, stride, offset, flat.noise_power, tables(sf), buffers(sf), *tail
        )
    else:
        announce(shortcuts.bins_soft, "the bins engine")
        shortcuts.bins_soft(state, symbols, flat.amplitude(sf), gains, stride, 1 << sf, *tail)
    return out.reshape(symbols.size, num_bits)


# ---- chunks ---------------------------------------------------------------------------------------------------------
def _flat_errors(engine: str, sf: int, flat: FlatChannel, count: int, seed: int, chunk: int) -> int:
    """Errors among the first `count` symbols of a chunk."""
    padded = -(-count // GROUP) * GROUP
    symbols: Words = aligned_empty(padded, np.uint32)
    fill_uniform_bits(new_state(seed, chunk, _SYMBOLS), symbols)
    symbols >>= np.uint32(32 - sf)
    state = new_state(seed, chunk, _CHANNEL)
    if flat.fading is None:
        gains = unit_gains()
    elif flat.fading == "nakagami":
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(chunk, _FADES))))
        gains = lane_gains(flat.gains(padded, rng))
    else:  # as `FlatChannel.gains`, a hundred times faster
        steady = math.sqrt(flat.k_factor / (flat.k_factor + 1.0)) if math.isfinite(flat.k_factor) else 1.0
        gains = aligned_empty(2 * padded)
        fill_gaussians(new_state(seed, chunk, _FADES), max(1.0 - steady**2, 0.0), gains)
        gains.reshape(-1, 2, LANES)[:, 0] += np.float32(steady)
    decisions = draw_decisions(engine, sf, flat, symbols, gains, state)
    return int(np.count_nonzero(decisions[:count] != symbols[:count]))


def _stream_errors(params: LoRaParams, channel: ChannelParams, count: int, seed: int, chunk: int) -> int:
    """The same by the modulator, the channel and the demodulator, for any channel."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(chunk, _CHANNEL))))
    guard = 1 if channel.sto_samples or channel.sfo_ppm or channel.multipath is not None else 0
    length = 1
    if channel.interferers:
        end = max(i.start_sample + len(i.iq) for i in channel.interferers)
        length = max(1, -(-end // params.samples_per_symbol) - guard)
    rows = -(-count // length)
    total = 0
    for part in _parts(rows, max(1, _STREAM_CHUNK_SAMPLES // ((length + 2 * guard) * params.samples_per_symbol))):
        symbols = rng.integers(0, params.num_bins, (part, length + 2 * guard), dtype=np.int32)
        iq = modulate(symbols, params)
        still = channel
        if channel.fading is not None and channel.doppler_hz == 0.0:
            fading = {name: getattr(channel, name) for name in FLAT_FIELDS}
            flat = flat_channel(params, ChannelParams(**fading))
            assert flat is not None
            gains = flat.gains(symbols.size, rng).astype(np.complex64)
            iq = (iq.reshape(symbols.size, -1) * gains[:, None]).reshape(iq.shape)
            still = replace(channel, fading=None, k_factor_db=None, nakagami_m=None)
        decided = demodulate(apply_channel(iq, still, params, rng=rng), params)
        middle = slice(guard, guard + length)
        wrong = (decided[:, middle] != symbols[:, middle]).reshape(-1)
        total += int(np.count_nonzero(wrong[:count]))
        count -= wrong.size
    return total


def _parts(total: int, size: int) -> Iterator[int]:
    for start in range(0, total, size):
        yield min(size, total - start)


def _natural(name: str, value: Any, low: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < low:
        raise ValueError(f"{name!r} must be an integer of at least {low} (got {value!r})")
    return int(value)
