"""Batch coding against `lora_phy.coding.chain`, frame by frame; the drawn bins against their distributions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from lora_phy.coding.chain import FrameStatus, decode_symbols, encode_payload
from lora_phy.kernels import shortcuts
from lora_phy.kernels.lanes import aligned_empty
from lora_phy.kernels.modem import soft_buffer
from lora_phy.kernels.randomness import new_state
from lora_phy.monte_carlo.counts import LinkCounts
from lora_phy.monte_carlo.engines import unit_gains
from lora_phy.monte_carlo.frame_batches import BATCH_FRAMES, batch_block
from lora_phy.monte_carlo.points import LinkPoint
from lora_phy.params import LoRaParams

FALSE_ALARM = 1e-6
CASES = [
    (LoRaParams(sf=7, cr=1), 16, -9.5),
    (LoRaParams(sf=7, cr=4), 5, -12.0),
    (LoRaParams(sf=8, cr=3, explicit_header=False), 20, -14.0),
    (LoRaParams(sf=7, cr=2, crc=False), 3, -11.0),
    (LoRaParams(sf=5, cr=2), 9, -5.5),
    (LoRaParams(sf=5, cr=3, variant="sx127x"), 9, -6.5),
    (LoRaParams(sf=9, cr=4, ldro=True), 0, -17.0),
    (LoRaParams(sf=6, cr=1, crc=False, explicit_header=False), 1, -8.0),
]


@pytest.mark.parametrize("decoding", ["hard", "soft"])
@pytest.mark.parametrize(("params", "payload_len", "snr_db"), CASES)
def test_batches_decode_as_the_chain_does(params, payload_len, snr_db, decoding):
    """Counts of a block of damaged frames are those of `decode_symbols` on what the kernels' decoder saw."""
    snr_db -= 1.0 * (decoding == "soft")
    point = LinkPoint(params, snr_db, payload_len, sync="perfect", decoding=decoding)
    result, payloads, observed = batch_block(point, "bins", (1, 2), 0, BATCH_FRAMES)
    counts, failed = LinkCounts(), []
    for i in range(BATCH_FRAMES):
        payload = payloads[i].tobytes()
        decoded = decode_symbols(observed(i), point.receiver_params)
        good = decoded.status is FrameStatus.OK and decoded.payload == payload
        counts += LinkCounts(
            frames=1,
            frame_errors=int(not good),
            bad_header=int(decoded.status in (FrameStatus.BAD_HEADER, FrameStatus.UNSUPPORTED)),
            bad_crc=int(decoded.status is FrameStatus.BAD_CRC),
            truncated=int(decoded.status is FrameStatus.TRUNCATED),
            undetected=int(decoded.status is FrameStatus.OK and not good),
        )
        failed += [] if good else [i]
    assert result.counts == counts
    assert list(result.failed) == failed
    assert payload_len == 0 or 0 < len(failed) < BATCH_FRAMES  # the block did see damage


@pytest.mark.parametrize(("params", "payload_len", "snr_db"), CASES)
def test_batches_encode_as_the_chain_does(params, payload_len, snr_db):
    """Without noise the decisions of a frame are its symbols."""
    point = LinkPoint(params, float("inf"), payload_len, sync="perfect", decoding="hard")
    result, payloads, observed = batch_block(point, "order-statistics", (3,), 5, 40)
    assert result.counts == LinkCounts(frames=40)
    for i in range(40):
        np.testing.assert_array_equal(observed(i), encode_payload(payloads[i].tobytes(), point.receiver_params))


def test_frames_do_not_depend_on_how_many_are_asked_for():
    point = LinkPoint(LoRaParams(sf=7), -9.0, 16, sync="perfect", decoding="hard")
    whole, part = (batch_block(point, "bins", (1,), 0, n)[0] for n in (BATCH_FRAMES, 50))
    assert part.failed == tuple(i for i in whole.failed if i < 50)
    assert dataclasses.astuple(part.counts)[:2] == (50, len(part.failed))


def _soft_bins(sf, amplitude, count):
    symbols = np.random.default_rng(1).integers(0, 1 << sf, count, dtype=np.uint32)
    out = aligned_empty(count << sf)
    order = np.zeros(0, np.uint32)
    shortcuts.bins_soft(new_state(4), symbols, amplitude, unit_gains(), 0, 1 << sf, soft_buffer(sf), order, 0, out)
    return symbols, out.reshape(count, -1).astype(np.float64) ** 2


def test_bins_have_their_distributions():
    symbols, power = _soft_bins(7, 3.0, 4096)
    right = power[np.arange(4096), symbols]
    power[np.arange(4096), symbols] = np.nan
    wrong = power[~np.isnan(power)]
    assert stats.kstest(right, "ncx2", args=(2, 18.0, 0, 0.5)).pvalue > FALSE_ALARM  # |3 + n|^2
    assert stats.kstest(wrong, "expon").pvalue > FALSE_ALARM


def test_the_largest_wrong_bin_decides():
    """Without a signal the right bin wins one time in M, whichever engine draws."""
    n = 1 << 18
    for kernel in (shortcuts.bins_decide, shortcuts.order_decide):
        errors = aligned_empty(n, np.uint32)
        kernel(new_state(9), 0.0, unit_gains(), 0, 127, errors)
        assert set(np.unique(errors)) == {0, 1}
        right = n - int(errors.sum())
        assert stats.binomtest(right, n, 1 / 128).pvalue > FALSE_ALARM / 2


@pytest.mark.parametrize("step", [1, 4])
def test_wrong_decisions_are_uniform_over_the_other_legal_bins(step):
    n = 1 << 16
    symbols = np.full(n, 5, np.uint32)
    errors = (np.arange(n) % 3 != 0).astype(np.uint32)
    decisions = np.empty(n, np.uint32)
    shortcuts.wrong_decisions(new_state(2), errors, symbols, 128, step, decisions)
    assert (decisions[errors == 0] == 5).all()
    values, counts = np.unique(decisions[errors == 1], return_counts=True)
    np.testing.assert_array_equal(values, [k for k in range(5 % step, 128, step) if k != 5])
    assert stats.chisquare(counts).pvalue > FALSE_ALARM
