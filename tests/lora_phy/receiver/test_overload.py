"""Preambles without end: what a receiver does not follow, that it says so, and that frames are found all the same."""

from __future__ import annotations

import logging
import time

import numpy as np
import pytest

from lora_phy import LoRaParams, Receiver, receive, transmit
from lora_phy.receiver import effort, preamble_detector

PARAMS = LoRaParams(sf=5)
N = PARAMS.num_bins


def noise(rng, num_symbols: int) -> np.ndarray:
    total = num_symbols * N
    return ((rng.standard_normal(total) + 1j * rng.standard_normal(total)) * np.sqrt(0.5)).astype(np.complex64)


def flood(rng, num_symbols: int, snr_db: float, period: float = 5.25, length: float = 12.25) -> np.ndarray:
    """Preambles of `length` symbols, one every `period` symbols: each overlaps the next two."""
    iq = noise(rng, num_symbols)
    piece = 10 ** (snr_db / 20) * transmit(bytes(12), PARAMS)[: int(length * N)]
    for start in np.arange(0, num_symbols * N - len(piece), period * N).astype(int):
        iq[start : start + len(piece)] += piece
    return iq


def cpu_seconds(iq: np.ndarray) -> float:
    taken = []
    for _ in range(3):
        start = time.process_time()
        receive(iq, PARAMS)
        taken.append(time.process_time() - start)
    return min(taken)


def test_overlapping_preambles_cost_a_bounded_multiple_of_noise(rng) -> None:
    """Less than 20 times as measured alone, hundreds of times without a cap; here room for a busy machine."""
    receive(flood(rng, 200, 20.0), PARAMS)  # compiles
    assert cpu_seconds(flood(rng, 3000, 20.0)) <= 40 * cpu_seconds(noise(rng, 3000))


@pytest.mark.parametrize(
    ("sf", "whole", "period", "length", "snr_db"), [(5, True, 0.9927, 1e3, 8.2), (8, False, 3.6248, 11.454, 21.5)]
)
def test_trains_without_end_count_as_work(sf, whole, period, length, snr_db, rng, monkeypatch) -> None:
    """Frames every symbol, and downchirps over downchirps: upchirps that go on, again and again just not enough to be
    passed by. Each look for a frame in them was free, which made 80 times noise.
    """
    params = LoRaParams(sf=sf)
    n, looks = params.num_bins, []
    frame = transmit(bytes(range(12)), params)
    piece = frame if whole else np.resize(np.conj(frame[:n]), int(length * n))
    iq = (rng.standard_normal(1500 * n) + 1j * rng.standard_normal(1500 * n)) * np.sqrt(0.5)
    for first in np.arange(0, len(iq), period * n).astype(int):
        iq[first : first + len(piece)] += 10 ** (snr_db / 20) * piece[: len(iq) - first]
    original = preamble_detector.synchronise
    monkeypatch.setattr(preamble_detector, "synchronise", lambda *a, **k: looks.append(1) or original(*a, **k))
    receive(iq.astype(np.complex64), params)
    a_stretch = effort.STRETCH_SYMBOLS * effort.ALLOWANCE[sf] / effort.OF_SYNCHRONISATION
    assert len(looks) <= 2 * (a_stretch + 8)  # the allowance of two stretches, and what is followed in any case


@pytest.mark.parametrize(("sf", "snr_db"), [(5, -4.5), (7, -10.0)])
def test_a_frame_behind_a_weak_preamble_of_thousands_of_upchirps_is_found(sf, snr_db, rng) -> None:
    """2 dB above the limit of such frames: looking for a frame all along would be too much work."""
    sent, told = (LoRaParams(sf=sf, cr=4, preamble_len=count) for count in (2500, 8))
    silence = np.zeros(40 * sent.num_bins)
    iq = np.concatenate([silence, transmit(b"the end of it", sent), silence])
    noise = (rng.standard_normal(len(iq)) + 1j * rng.standard_normal(len(iq))) * np.sqrt(0.5 * 10 ** (-snr_db / 10))
    for chunks in (1, 9):
        receiver = Receiver(told)
        parts = np.array_split((iq + noise).astype(np.complex64), chunks)
        [frame] = [frame for part in parts for frame in receiver.push(part)] + receiver.flush()
        assert frame.crc_ok and frame.payload == b"the end of it" and abs(frame.preamble_len - 2500) <= 1


def test_peaks_that_are_passed_over_are_counted_and_said_once_whatever_the_chunks(rng, caplog) -> None:
    iq = flood(rng, 3000, 20.0)
    found = []
    for chunks in (1, 7, 64):
        caplog.clear()
        receiver = Receiver(PARAMS)
        with caplog.at_level(logging.WARNING, "lora_phy.receiver"):
            frames = [frame for chunk in np.array_split(iq, chunks) for frame in receiver.push(chunk)]
            frames += receiver.flush()
        assert len(caplog.records) == 1 and "passed over" in caplog.text
        found.append((frames, receiver.passed_over))
    assert found[0] == found[1] == found[2]
    assert 300 <= found[0][1] <= 3000 / 5.25


def test_a_stronger_frame_is_found_in_a_flood_of_preambles(rng) -> None:
    """The weakest are passed over first: frames that come late in a stretch keep their turn."""
    iq, payloads = flood(rng, 3000, -3.0), []
    for start in (900, 1900, 2900):
        payloads.append(rng.integers(0, 256, 12, dtype=np.uint8).tobytes())
        frame = transmit(payloads[-1], PARAMS)
        first = start * N - len(frame)
        iq[first : first + len(frame)] += 10 * frame
    receiver = Receiver(PARAMS)
    frames = receiver.push(iq) + receiver.flush()
    assert [frame.payload for frame in frames if frame.crc_ok] == payloads
    assert receiver.passed_over > 0


def test_no_frame_is_lost_in_dense_traffic(rng, monkeypatch) -> None:
    """Short frames without a gap, and eight at once: as without a cap."""
    for sf in (5, 7):
        params = LoRaParams(sf=sf, cr=1)
        n = params.num_bins
        payloads = [bytes([k] * 8) for k in range(40)]
        gap = np.zeros(2 * n, np.complex64)
        iq = np.concatenate([part for payload in payloads for part in (gap, 2 * transmit(payload, params))])
        iq = np.concatenate([iq, np.zeros(400 * n, np.complex64)])
        for k in range(8):
            frame = 2**k * transmit(bytes([100 + k] * 30), params)
            start = len(iq) - (380 - 7 * k) * n + 3 * k
            iq[start : start + len(frame)] += frame
        total = len(iq)
        iq = iq + (rng.standard_normal(total) + 1j * rng.standard_normal(total)) * np.sqrt(0.5)
        frames = [frame.payload for frame in receive(iq, params) if frame.crc_ok]
        assert frames[:40] == payloads and len(frames) > 40
        with monkeypatch.context() as patch:
            patch.setattr(effort, "ALLOWANCE", dict.fromkeys(effort.ALLOWANCE, 1_000_000))
            assert frames == [frame.payload for frame in receive(iq, params) if frame.crc_ok]
