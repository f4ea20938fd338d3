"""Path loss, budgets, rejection and tables against published numbers and brute force."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from lora_phy import LoRaParams, airtime_s, demodulate, modulate, theory
from lora_phy.channel import ChannelParams, Interferer, apply_channel, path_loss
from lora_phy.studies import budget, rejection, tables


def test_thermal_noise_and_semtech_sensitivities() -> None:
    """-174 dBm/Hz + 10 log B + 6 dB + SNR: -124.5 dBm (SF7) and -137 dBm (SF12) at 125 kHz, data sheet's SNR."""
    assert path_loss.thermal_noise_dbm(1.0, 0.0) == pytest.approx(-173.975, abs=0.001)
    assert path_loss.thermal_noise_dbm(125e3) - 7.5 == pytest.approx(-124.5, abs=0.05)
    assert path_loss.thermal_noise_dbm(125e3) - 20.0 == pytest.approx(-137.0, abs=0.05)


def test_free_space_and_log_distance() -> None:
    assert path_loss.free_space_db(1e3, 2.4e9) == pytest.approx(32.45 + 20 * math.log10(2400), abs=0.01)  # km, MHz form
    d = np.array([[1.0, 10.0], [100.0, 5e3]])
    np.testing.assert_allclose(path_loss.log_distance_db(d, 868e6, exponent=2.0), path_loss.free_space_db(d, 868e6))
    steep = path_loss.log_distance_db(d, 868e6, exponent=4.0, reference_m=10.0)
    assert steep[1, 0] - steep[0, 1] == pytest.approx(40.0)
    assert path_loss.snr_db(14.0, 130.0, 125e3, tx_gain_dbi=2.0, rx_gain_dbi=3.0, noise_figure_db=0.0) == pytest.approx(
        14 + 5 - 130 + 173.975 - 10 * math.log10(125e3), abs=1e-3
    )


def test_okumura_hata_against_its_quoted_forms() -> None:
    """900 MHz, 30 m, 1.5 m: 126.4 + 35.2 log d; the corrections by their formulas; slope 44.9 - 6.55 log h."""
    for d_km in (1.0, 5.0, 20.0):
        assert path_loss.okumura_hata_db(1e3 * d_km, 900e6) == pytest.approx(126.4 + 35.22 * math.log10(d_km), abs=0.06)
    city = path_loss.okumura_hata_db(5e3, 900e6)
    suburban = city - path_loss.okumura_hata_db(5e3, 900e6, environment="suburban")
    rural = city - path_loss.okumura_hata_db(5e3, 900e6, environment="open")
    assert suburban == pytest.approx(9.9, abs=0.1) and rural == pytest.approx(
        28.5, abs=0.1
    )  # textbook values at 900 MHz
    low = path_loss.okumura_hata_db(5e3, 160e6, environment="large city", mobile_height_m=3.0)
    assert low == pytest.approx(
        69.55 + 26.16 * math.log10(160) - 13.82 * math.log10(30) - (8.29 * math.log10(1.54 * 3) ** 2 - 1.1)
        + (44.9 - 6.55 * math.log10(30)) * math.log10(5), abs=1e-9,
    )  # fmt: skip


def test_3gpp_macro_models() -> None:
    """Continuous at the break point, 40 dB a decade beyond it, never better without sight; hand-computed points."""
    for model, break_point in (
        (path_loss.rural_macro_db, 2 * math.pi * 35 * 1.5 * 868e6 / 299_792_458),
        (path_loss.urban_macro_db, 4 * 24 * 0.5 * 868e6 / 299_792_458),
    ):
        before, after = model(np.array([break_point * (1 - 1e-9), break_point * (1 + 1e-9)]), 868e6)
        assert after - before == pytest.approx(0.0, abs=0.2)
        far = model(np.array([4.5e3, 4.5e4]), 868e6)
        assert far[1] - far[0] == pytest.approx(40.0, abs=0.02)
        d = np.geomspace(30, 5000, 50)
        assert np.all(model(d, 868e6, line_of_sight=False) >= model(d, 868e6))
    slant = math.hypot(100.0, 23.5)
    assert path_loss.urban_macro_db(100.0, 2e9) == pytest.approx(28 + 22 * math.log10(slant) + 20 * math.log10(2))
    nlos = 13.54 + 39.08 * math.log10(math.hypot(1e3, 23.5)) + 20 * math.log10(2)
    assert path_loss.urban_macro_db(1e3, 2e9, line_of_sight=False) == pytest.approx(nlos)
    assert path_loss.line_of_sight_probability(18.0, "urban") == 1.0
    assert path_loss.line_of_sight_probability(63.0, "urban") == pytest.approx(18 / 63 + math.exp(-1) * (1 - 18 / 63))


def test_shadowing_is_gaussian_in_decibels() -> None:
    x = path_loss.shadowing_db(6.0, (100, 500), rng=np.random.default_rng(1))
    assert x.shape == (100, 500) and stats.kstest(x.ravel() / 6.0, "norm").pvalue > 1e-6


def test_range_inverts_the_loss() -> None:
    for model in (
        lambda d: path_loss.okumura_hata_db(d, 868e6, environment="open"),
        lambda d: path_loss.rural_macro_db(d, 868e6, line_of_sight=False),
        lambda d: path_loss.log_distance_db(d, 868e6, exponent=3.2),
    ):
        reach = path_loss.max_range_m(model, 140.0)
        assert model(reach) == pytest.approx(140.0, abs=1e-6)
    assert path_loss.max_range_m(lambda d: 200.0 + d, 140.0) == 0.0
    assert path_loss.max_range_m(lambda d: 0.0, 140.0) == 1e7


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("distance_m", lambda: path_loss.free_space_db([1.0, 0.0], 868e6)),
        ("frequency_hz", lambda: path_loss.okumura_hata_db(1e3, 2.4e9)),
        ("base_height_m", lambda: path_loss.okumura_hata_db(1e3, 868e6, base_height_m=10.0)),
        ("environment", lambda: path_loss.okumura_hata_db(1e3, 868e6, environment="moon")),  # type: ignore[arg-type]
        ("scenario", lambda: path_loss.line_of_sight_probability(1.0, "sea")),  # type: ignore[arg-type]
        ("sigma_db", lambda: path_loss.shadowing_db(-1.0, 3, rng=np.random.default_rng(0))),
        ("bandwidth_hz", lambda: path_loss.thermal_noise_dbm(0.0)),
        ("duty_cycle", lambda: budget.off_time_s(1.0, 0.0)),
        ("on_air_s", lambda: budget.off_time_s(-1.0, 0.1)),
        ("region", lambda: budget.link_budget(LoRaParams(sf=7), 16, 120.0, region="MOON")),
        ("tx_power_dbm", lambda: budget.link_budget(LoRaParams(sf=7), 16, 120.0, tx_power_dbm=20.0)),
        ("tx_power_dbm", lambda: budget.energy_per_frame_j(16, LoRaParams(sf=7), 30.0)),
        ("chip", lambda: budget.energy_per_frame_j(16, LoRaParams(sf=7), 14.0, chip="CC1101")),
        ("supply_v", lambda: budget.energy_per_frame_j(16, LoRaParams(sf=7), 14.0, supply_v=0.0)),
        ("criterion", lambda: rejection.rejection_matrix(criterion="per")),  # type: ignore[arg-type]
        ("target", lambda: rejection.rejection_matrix(target=0.0)),
        ("num_symbols", lambda: rejection.rejection_matrix(num_symbols=0)),
        ("sf", lambda: rejection.rejection_matrix((4,), num_symbols=10)),
        ("path", lambda: tables.save(tables.Table(columns=(), rows=(), provenance={}), "x.xlsx")),
        ("rows", lambda: tables.Table(columns=("a",), rows=((1, 2),), provenance={})),
    ],
)
def test_bad_parameters_are_named(name: str, make: object) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        make()  # type: ignore[operator]


def test_dwell_time_gives_the_regional_payloads() -> None:
    """RP002, 400 ms dwell time: MACPayload 19 / 61 / 133 at SF10 / SF9 / SF8, plus 5 bytes of header and MIC."""
    for sf, mac_payload in ((10, 19), (9, 61), (8, 133)):
        longest = budget.max_payload_within(0.4, LoRaParams(sf=sf))
        assert longest is not None and longest >= mac_payload + 5
        assert airtime_s(longest, LoRaParams(sf=sf)) <= 0.4 < airtime_s(longest + 1, LoRaParams(sf=sf))
    assert budget.max_payload_within(0.4, LoRaParams(sf=10)) == 24
    assert budget.max_payload_within(0.4, LoRaParams(sf=12)) is None
    assert budget.off_time_s(0.05, None) == 0.0 and budget.off_time_s(1.0, 0.1) == pytest.approx(9.0)


def test_a_budget_is_consistent() -> None:
    params = LoRaParams(sf=9)
    found = budget.link_budget(params, 16, 140.0, rx_gain_dbi=3.0)
    assert found.snr_db == pytest.approx(14 + 3 - 140 - found.noise_dbm)
    assert theory.per_awgn(params, 16, found.required_snr_db) == pytest.approx(0.01, rel=1e-6)
    assert found.margin_db == pytest.approx(found.snr_db - found.required_snr_db)
    assert found.energy_j == pytest.approx(3.3 * 0.090 * airtime_s(16, params))
    assert len(budget.format_budget(found).splitlines()) == 14
    assert not budget.link_budget(LoRaParams(sf=12), 16, 140.0, region="US915").within_dwell_time


REFERENCE_MATRIX = {  # noise-free dechirp simulation, uncoded BER 1 %, good to 0.5 dB
    7: (0.1, -10.3, -11.4, -12.6),
    8: (-12.6, -0.2, -12.9, -14.1),
    9: (-15.9, -15.3, -0.2, -15.9),
    10: (-18.3, -18.6, -18.0, -0.8),
}


def test_rejection_matrix_agrees_with_the_reference_simulation() -> None:
    """Both are good to about 0.5 dB; and the structure is Croce's, within 3.5 dB of it up to SF10."""
    matrix = rejection.rejection_matrix((7, 8, 9, 10), num_symbols=3000, seed=1)
    reference = np.array(list(REFERENCE_MATRIX.values()))
    assert np.max(np.abs(matrix.sir_db - reference)) < 1.0
    assert np.max(np.abs(matrix.sir_db - rejection.CROCE_DB[:4, :4])) < 3.6
    assert np.min(matrix.sir_db - rejection.GOURSAUD_DB[:4, :4], where=~np.eye(4, dtype=bool), initial=9) > 5  # not his
    assert "SF10" in matrix.text()


@pytest.mark.slow
def test_full_rejection_matrix() -> None:
    """All pairs within 5 dB of Croce, equal SFs near 0 dB, and rows that fall by 1.5 to 3.6 dB for each step of SF."""
    matrix = rejection.rejection_matrix(num_symbols=20_000)
    print("\n" + matrix.text())
    apart = ~np.eye(6, dtype=bool)
    assert np.all(np.abs(matrix.sir_db - rejection.CROCE_DB)[apart] < 5.0)
    assert np.all(np.abs(np.diag(matrix.sir_db)) < 1.0)
    means = np.array([row[keep].mean() for row, keep in zip(matrix.sir_db, apart, strict=True)])
    assert np.all((np.diff(means) < -1.5) & (np.diff(means) > -3.6))


def test_a_pair_does_not_depend_on_the_others() -> None:
    both = rejection.rejection_matrix((7, 8), num_symbols=300, seed=3)
    alone = rejection.rejection_matrix((8,), num_symbols=300, seed=3)
    assert both.sir_db[1, 1] == alone.sir_db[0, 0]


@pytest.mark.parametrize(("sf", "other", "sir_db"), [(7, 7, -1.0), (7, 9, -13.0), (8, 7, -14.0)])
def test_critical_amplitudes_agree_with_a_brute_force_link(sf: int, other: int, sir_db: float) -> None:
    """The same criterion through apply_channel and demodulate: two independent samples, difference within 1e-6."""
    wanted, loud = LoRaParams(sf=sf), LoRaParams(sf=other, oversampling=4)
    rng = np.random.default_rng(9)
    num_symbols, errors = 3000, 0
    for _ in range(num_symbols):
        sent = rng.integers(0, wanted.num_bins, 1)
        stream = modulate(rng.integers(0, loud.num_bins, 2 + wanted.num_bins // loud.num_bins), loud)
        heard = stream[rng.integers(0, loud.samples_per_symbol) :: 4][: wanted.num_bins]
        other_signal = Interferer(heard * np.exp(2j * np.pi * rng.random()), 0, -sir_db)
        y = apply_channel(modulate(sent, wanted), ChannelParams(interferers=(other_signal,)), wanted, rng=rng)
        errors += int(demodulate(y, wanted)[0] != sent[0])
    curve = rejection.capture_curve(sf, other, [sir_db], num_symbols=20_000)[0]
    assert 0.01 < curve < 0.9
    low, high = stats.binom.ppf([0.5e-6, 1 - 0.5e-6], num_symbols, curve)
    slack = stats.norm.isf(0.5e-6) * math.sqrt(curve * (1 - curve) / 20_000) * num_symbols
    assert low - slack <= errors <= high + slack


def test_tables_come_back_as_they_went(tmp_path: object) -> None:
    links = [LoRaParams(sf=sf) for sf in (7, 12)]
    matrix = rejection.rejection_matrix((7, 8), num_symbols=100)
    for table in (
        tables.per_table(links, 16, [-25.0, -8.0]),
        tables.sensitivity_table(links, 16),
        tables.rejection_table(matrix),
    ):
        for suffix, read in ((".csv", tables.from_csv), (".json", tables.from_json)):
            path = tables.save(table, tmp_path / f"table{suffix}")  # type: ignore[operator]
            assert read(path.read_text(encoding="utf-8")) == table
        assert {"generator", "version", "method"} <= set(table.provenance)
    per = tables.per_table(links, 16, [-25.0, -8.0])
    assert per.rows[1][-1] == theory.per_awgn(links[0], 16, -8.0)
    assert json.loads(tables.rejection_source(matrix, "python").split("\n", 1)[1]) == [
        [round(float(v), 1) for v in row] for row in matrix.sir_db
    ]
    assert tables.rejection_source(matrix, "c++").count("{") == 3
    with pytest.raises(ValueError, match="'style'"):
        tables.rejection_source(matrix, "fortran")  # type: ignore[arg-type]
