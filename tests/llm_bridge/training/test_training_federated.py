"""Merged adapters against the definitions, with ΔW written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llm_bridge.training.federated import SiteAdapter, merge


def sites(count: int = 3, *, rank: int = 2, seed: int = 0, weights: tuple[float, ...] = (1, 2, 3)) -> list[SiteAdapter]:
    rng = torch.Generator().manual_seed(seed)
    return [
        SiteAdapter(
            name=f"sf{7 + k}",
            weight=weights[k],
            a={"q": torch.randn(rank, 7, generator=rng, dtype=torch.float64)},
            b={"q": torch.randn(5, rank, generator=rng, dtype=torch.float64)},
        )
        for k in range(count)
    ]


def product_average(some: list[SiteAdapter]) -> np.ndarray:
    total = sum(site.weight for site in some)
    return sum(site.weight / total * (site.b["q"] @ site.a["q"]).numpy() for site in some)


def test_average_is_that_of_the_factors_apart():
    some = sites()
    merged = merge(some, how="average")
    assert np.allclose(
        merged.a["q"], sum(w * s.a["q"].numpy() for w, s in zip((1 / 6, 2 / 6, 3 / 6), some, strict=True))
    )
    assert np.allclose(
        merged.b["q"], sum(w * s.b["q"].numpy() for w, s in zip((1 / 6, 2 / 6, 3 / 6), some, strict=True))
    )


def test_without_a_penalty_the_refined_product_is_the_best_with_that_right_factor():
    some = sites()
    merged, target = merge(some, penalty=0.0), product_average(some)
    best = np.linalg.lstsq(merged.a["q"].numpy().T, target.T, rcond=None)[0].T
    assert np.allclose(merged.b["q"], best)
    gap = np.linalg.norm(target - merged.b["q"].numpy() @ merged.a["q"].numpy()) / np.linalg.norm(target)
    assert merged.distance["q"] == pytest.approx(gap)


def test_with_a_penalty_the_gradient_vanishes():
    some = sites()
    average, merged, target = merge(some, how="average"), merge(some, penalty=0.3), product_average(some)
    a, change = merged.a["q"].numpy(), merged.b["q"].numpy() - average.b["q"].numpy()
    ridge = 0.3 * np.trace(a @ a.T) / 2
    assert np.allclose((target - merged.b["q"].numpy() @ a) @ a.T, ridge * change)


@pytest.mark.parametrize("how", ["least-squares", "cosine"])
def test_refining_comes_nearer_to_the_average_of_the_products(how):
    some = sites(seed=3)
    target = product_average(some)

    def cosine(merged) -> float:
        product = merged.b["q"].numpy() @ merged.a["q"].numpy()
        return float((target * product).sum() / np.linalg.norm(target) / np.linalg.norm(product))

    assert cosine(merge(some, how=how)) > cosine(merge(some, how="average")) + 0.05


def test_sites_that_share_the_right_factor_are_merged_without_loss():
    some = sites()
    shared = [SiteAdapter(name=s.name, weight=s.weight, a=some[0].a, b=s.b) for s in some]
    assert merge(shared, how="average").distance["q"] < 1e-7
    assert merge(shared, penalty=0.0).distance["q"] < 1e-7


def test_a_site_at_which_nothing_arrived_counts_nothing_and_is_named():
    some = sites(weights=(4, 0, 2))
    merged = merge(some)
    without = merge([some[0], some[2]])
    assert merged.left_out == ("sf8",)
    assert torch.equal(merged.b["q"], without.b["q"]) and torch.equal(merged.a["q"], without.a["q"])


def test_the_adapters_type_is_kept():
    some = [SiteAdapter(name=s.name, weight=1, a={"q": s.a["q"].float()}, b={"q": s.b["q"].float()}) for s in sites()]
    assert merge(some).b["q"].dtype == torch.float32


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="nothing arrived at any site"):
        merge(sites(weights=(0, 0, 0)))
    with pytest.raises(ValueError, match=r"site 'sf7': 'weight' must be at least 0 and finite \(got -1\)"):
        merge(sites(weights=(-1, 1, 1)))
    with pytest.raises(
        ValueError, match=r"layer 'q': adapters must have one rank \(site 'sf7' has 2, site 'other' has 3\)"
    ):
        other = sites(1, rank=3)[0]
        merge([*sites(), SiteAdapter(name="other", weight=1, a=other.a, b=other.b)])
    with pytest.raises(ValueError, match="'how' must be one of"):
        merge(sites(), how="median")
    with pytest.raises(ValueError, match="'penalty' must be at least 0"):
        merge(sites(), penalty=-0.1)
