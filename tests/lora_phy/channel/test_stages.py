"""Channels of one's own: stages within `ChannelParams`, and multipath of given taps."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from lora_phy import ChannelParams, LinkPoint, LoRaParams, Multipath, apply_channel, collect, symbol_errors
from lora_phy.channel.multipath import taps

PARAMS = LoRaParams(sf=7)


@dataclass(frozen=True)
class Attenuator:
    """Takes `loss_db` off the wanted signal."""

    loss_db: float

    @property
    def key(self) -> str:
        return f"attenuator {self.loss_db:g} dB"

    def __call__(self, iq, params, rng):
        return iq * 10 ** (-self.loss_db / 20)


class Blocked:
    key = "blocked"

    def __call__(self, iq, params, rng):
        return np.zeros_like(iq)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_a_stage_acts_on_the_signal_and_not_on_the_noise():
    x = np.ones((2, 50_000), np.complex64)
    assert np.allclose(apply_channel(x, ChannelParams(stages=[Attenuator(20.0)]), PARAMS, rng=rng()), 0.1 * x)
    noise = apply_channel(np.zeros_like(x), ChannelParams(snr_db=-10.0), PARAMS, rng=rng())
    behind = apply_channel(x, ChannelParams(snr_db=-10.0, stages=[Blocked()]), PARAMS, rng=rng())
    assert np.array_equal(behind, noise)


def test_stages_follow_each_other_and_keep_the_input():
    x = np.ones(8, np.complex64)
    channel = ChannelParams(stages=(Attenuator(6.0), Attenuator(14.0)))
    assert np.allclose(apply_channel(x, channel, PARAMS, rng=rng()), 0.1)
    assert np.array_equal(x, np.ones(8))


def test_attenuation_is_a_lower_snr():
    """3 dB less signal under the same noise has the error rate of an SNR that is 3 dB lower."""
    weak = symbol_errors(PARAMS, ChannelParams(snr_db=-7.0, stages=(Attenuator(3.0),)), 20_000, seed=1)
    plain = symbol_errors(PARAMS, ChannelParams(snr_db=-10.0, cfo_hz=1e-9), 20_000, seed=1)
    # two binomials of one probability: 6 standard deviations of their difference, false alarm 2e-9
    rate = (weak.errors + plain.errors) / 40_000
    assert abs(weak.errors - plain.errors) < 6 * np.sqrt(2 * 20_000 * rate * (1 - rate))


def test_the_key_is_part_of_a_points_identity():
    keys = {
        LinkPoint(PARAMS, ChannelParams(snr_db=-8.0, stages=stages), 8).key
        for stages in ((), (Attenuator(1.0),), (Attenuator(2.0),), (Attenuator(1.0), Attenuator(2.0)))
    }
    assert len(keys) == 4
    channel = ChannelParams(snr_db=-8.0, stages=(Attenuator(1.0),))
    assert LinkPoint(PARAMS, channel, 8).key == LinkPoint(PARAMS, channel, 8).key


def test_collect_takes_a_stage_in_processes_as_in_this_one():
    point = LinkPoint(PARAMS, ChannelParams(snr_db=-4.0, stages=(Attenuator(3.0),)), 8, sync="perfect", decoding="hard")
    alone = collect([point], max_frames=60, seed=3)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert collect([point], max_frames=60, seed=3, executor=pool) == alone
    with pytest.raises(ValueError, match="'stages' must be"):
        collect([point], max_frames=60, seed=3, engine="bins")


@pytest.mark.parametrize("stage", [3, lambda iq, params, rng: iq, Blocked], ids=["number", "no key", "class"])
def test_what_is_no_stage_is_named(stage):
    if stage is Blocked:  # the class is callable and has a key, and fails when it is called
        with pytest.raises(TypeError):
            apply_channel(np.ones(4), ChannelParams(stages=(stage,)), PARAMS, rng=rng())
        return
    with pytest.raises(ValueError, match="'stages' must hold callables with a text 'key'"):
        ChannelParams(stages=(stage,))


def test_a_stage_that_changes_the_length_is_named():
    class Cut:
        key = "cut"

        def __call__(self, iq, params, rng):
            return iq[:, :-1]

    with pytest.raises(
        ValueError, match=r"channel stage 'cut' must return numbers of shape \(1, 4\) \(got shape \(1, 3\)"
    ):
        apply_channel(np.ones(4), ChannelParams(stages=(Cut(),)), PARAMS, rng=rng())


def test_taps_of_ones_own_have_the_powers_that_were_given():
    """Mean of 20,000 squared Rayleigh gains a tap: 6 standard deviations of the mean, false alarm 2e-9 each."""
    profile = Multipath(taps=[(0.0, 0.0), (16e-6, -3.0), (40e-6, -10.0)])
    delays_s, powers, steady = taps(profile)
    wanted = 10 ** (np.array([0.0, -3.0, -10.0]) / 10)
    assert delays_s.tolist() == [0.0, 16e-6, 40e-6] and not steady
    assert np.allclose(powers, wanted / wanted.sum())
    pulse = np.zeros((20_000, 64), np.complex64)
    pulse[:, 20] = 1
    found = apply_channel(pulse, ChannelParams(multipath=profile), PARAMS, rng=rng())
    for delay, power in ((0, powers[0]), (2, powers[1]), (5, powers[2])):  # in samples of 8 µs
        assert np.mean(np.abs(found[:, 20 + delay]) ** 2) == pytest.approx(power, abs=6 * power / np.sqrt(20_000))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"taps": [(0.0, 0.0)], "profile": "tdl-a"}, "'taps' take the place of 'profile'"),
        ({"taps": [(-1e-6, 0.0)]}, "'taps' must be finite"),
        ({"taps": [1.0]}, "'taps' must be pairs"),
        ({}, "or 'taps' given"),
    ],
)
def test_bad_taps_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        Multipath(**settings)
