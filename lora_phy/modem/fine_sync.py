"""The fine estimate: delay, carrier offset and drift that maximise the energy of all preamble symbols."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from lora_phy.arrays import IQ, FloatArray
from lora_phy.modem import _fine_sync_kernels as _kernels
from lora_phy.modem.interpolation import extract
from lora_phy.modem.preamble import Energies, reference_chirp, zoom_table
from lora_phy.modem.sync import NUM_UPCHIRPS, Sync
from lora_phy.modem.sync_words import chirps_of_bytes, sync_alternatives
from lora_phy.modem.transforms import transformed
from lora_phy.params import LoRaParams

CLOCK_SIGMA_PPM = 12.0
MAX_CLOCK_PPM = 60.0
SYNC_MARGIN = 7.0
"""Nats by which another sync word must be likelier before a frame counts as another network's."""
MISREAD_BINS = 0.25
"""Bins by which a clock's drift may move a sync chirp against the upchirps before it is read again."""
CLEANEST = 1e-9
"""Least noise, in units of the signal."""
_ZOOM_STEP = 0.125
_ZOOM_RANGE = 1.5


def fine_sync(samples: IQ, coarse: Sync, params: LoRaParams, *, rate: int = 1) -> Sync:
    """Maximise the summed energy of the preamble's symbols over delay, carrier offset and drift, near `coarse`.

    `samples` at `rate` per chip, `coarse` counts chips. The sync word is decided, so that its chirps take part.
    """
    num_bins, sf = params.num_bins, params.sf
    num_up = min(NUM_UPCHIRPS, params.preamble_len)
    num_before = num_up + 2
    stretch = extract(
        samples,
        coarse.start - num_before * num_bins,
        (num_before + 2) * num_bins,
        coarse.cfo_bins / num_bins,
        rate=rate,
    )
    rows = stretch.reshape(num_before + 2, num_bins)
    scale = np.empty(len(rows), dtype=np.float32)
    chirp, zoom, drifts = _tables(sf)
    _kernels.dechirp_preamble(rows, num_before, chirp, scale)
    spectra = transformed(rows.copy())
    symbols, own_network = decide_sync(spectra[num_up:num_before], scale[num_up:num_before], params)
    up_centre, down_centre = -0.5 * (num_before + 1), 0.5
    for _ in range(2):
        # symbol i, counted from the first downchirp, begins i * drift chips before its place
        fit = _kernels.fit_preamble(
            rows, spectra, scale, num_up, *symbols, chirp, *zoom, drifts, CLOCK_SIGMA_PPM * 1e-6 * num_bins, _ZOOM_STEP,
        )  # fmt: skip
        drift, carrier, up_column, down_column, up_energy, sync_energy, down_energy, weakest, going_on = fit[:9]
        if carrier == 0.0 and abs(drift * (up_centre + 1.0)) < MISREAD_BINS:
            break
        # a carrier that moves, or a clock, has moved the sync chirps' tones, which may have been misread
        tones = up_column * _ZOOM_STEP - _ZOOM_RANGE + (np.array([-2.0, -1.0]) - up_centre) * (drift + carrier)
        turned = rows[num_up:num_before] * np.exp(-2j * np.pi / num_bins * np.outer(tones, np.arange(num_bins)))
        again, own_network = decide_sync(transformed(turned.astype(np.complex64)), scale[num_up:num_before], params)
        if again == symbols:
            break
        symbols = again
    signal, noise, difference = fit[9:12]
    up_tone, down_tone = up_column * _ZOOM_STEP - _ZOOM_RANGE, down_column * _ZOOM_STEP - _ZOOM_RANGE
    # tones: cfo - D at up_centre, cfo + D at down_centre, with D(i) = D(0) - i drift and cfo(i) = cfo(0) + i carrier
    between, both = down_centre - up_centre, down_centre + up_centre
    cfo_step = 0.5 * (up_tone + down_tone + between * drift - both * carrier)
    delay = cfo_step - up_tone + up_centre * (drift + carrier)
    signal = max(signal, 1e-4 * noise, 1e-37)
    least = CLEANEST * signal  # a recording without noise
    noise = max(noise, least)
    # what a strong signal leaks into other bins is not noise
    actual = min(noise, max(difference, least)) if signal > noise else noise
    return Sync(
        start=coarse.start + delay,
        cfo_bins=coarse.cfo_bins + cfo_step,
        drift=drift,
        rate=carrier,
        sync_symbols=symbols,
        num_up=num_up,
        up_energy=up_energy,
        sync_energy=sync_energy,
        down_energy=down_energy,
        weakest=weakest,
        going_on=going_on,
        as_received=fit[12:15],
        unevenness=fit[15],
        signal_power=signal,
        noise_power=noise,
        snr_db=10 * math.log10(signal / actual),
        own_network=own_network,
    )


def decide_sync(
    spectra: npt.NDArray[np.complex64], scale: npt.NDArray[np.float32], params: LoRaParams
) -> tuple[tuple[int, int], bool]:
    """The sync chirps from the spectra ``(2, 2**sf)`` of their windows, and whether they may be the network's own.

    Own unless another byte's pair is likelier by `SYNC_MARGIN`: a hard decision among all words would lose frames that
    the payload's code still decodes. Where the word is open, a byte's pair unless one of all the others is likelier by
    as much, their number discounted.
    """
    own, any_word = sync_alternatives(params), params.sync_word is None
    others = np.arange(params.num_bins) if any_word else chirps_of_bytes(params.sf)
    *pairs, lead = _kernels.sync_decision(spectra, scale, others, own)
    other, best = (int(pairs[0]), int(pairs[1])), (int(pairs[2]), int(pairs[3]))
    if any_word:
        margin = SYNC_MARGIN + 2 * math.log(params.num_bins / own.shape[1])
        return (other if lead > margin else best), True
    return best, bool(lead <= SYNC_MARGIN)


@cache
def _tables(sf: int) -> tuple[IQ, tuple[Energies, Energies], FloatArray]:
    """The reference chirp, the rotors of the zoom's tones, and the drifts."""
    tones = np.arange(-_ZOOM_RANGE, _ZOOM_RANGE + _ZOOM_STEP / 2, _ZOOM_STEP)
    return reference_chirp(sf), zoom_table(sf, tuple(tones.tolist())), _drift_grid(sf)


def _drift_grid(sf: int) -> FloatArray:
    """Drifts worth telling apart over a preamble: a quarter bin over its length, within `MAX_CLOCK_PPM`."""
    largest = MAX_CLOCK_PPM * 1e-6 * (1 << sf)
    count = int(np.ceil(largest / 0.02))
    return np.linspace(-largest, largest, 2 * count + 1) if largest > 0.01 else np.zeros(1)
