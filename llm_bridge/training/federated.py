r"""Federated aggregation of adapters: several receivers train one each, a server makes one of them.

With site k's adapter B_k A_k, weight p_k (the p add up to 1), Ā = Σ p_k A_k and B̄ = Σ p_k B_k,

    average    B̄ Ā                       A and B averaged apart; not the average of the products ΔW = Σ p_k B_k A_k
    refined    (B̄ + ΔB) Ā                 ΔB moves the product back towards ΔW:

        ΔB = argmin ‖ΔW − (B̄ + ΔB) Ā‖² + λ ‖ΔB‖²  =  (ΔW − B̄ Ā) Āᵀ (Ā Āᵀ + λ I)⁻¹          "least-squares"
        ΔB = argmax cos(ΔW, (B̄ + ΔB) Ā) − λ ‖ΔB‖²,  by gradient ascent                          "cosine"

The published method maximises a similarity (cosine) with the penalty; the squared distance has the closed form. Ā and
B̄ + ΔB are also what every site's next round starts from. ΔW is never formed: it is as large as the layer. A trained
head, where the model has one, is no product: it is averaged.

LoRA-FAIR: Bian et al., arXiv 2411.14961v3, equations 7 to 9. Average of the factors: FedIT, Zhang et al., arXiv
2305.05644.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

AGGREGATIONS = ("average", "least-squares", "cosine")
COSINE_STEPS = 200
COSINE_RATE = 0.05


@dataclass(frozen=True, kw_only=True)
class SiteAdapter:
    """One site's adapter after a round.

    Parameters
    ----------
    name
        The site's name, for messages.
    weight
        How much the site counts, at least 0: the number of texts that arrived there. A site where nothing arrived has
        weight 0 and changes nothing.
    a, b
        Factors by the name of the adapted layer, A ``(rank, inputs)`` and B ``(outputs, rank)``.
    head
        Tensors of the trained head by their name; none where the model has no head.
    """

    name: str
    weight: float
    a: Mapping[str, torch.Tensor]
    b: Mapping[str, torch.Tensor]
    head: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The server's adapter.

    Parameters
    ----------
    a, b
        Factors by layer (`SiteAdapter`).
    distance
        Distance by layer, ‖ΔW − B A‖ / ‖ΔW‖ of the merged adapter; 0 where ΔW is 0.
    left_out
        Names of the sites of weight 0.
    head
        Average of the sites' heads.
    """

    a: Mapping[str, torch.Tensor]
    b: Mapping[str, torch.Tensor]
    distance: Mapping[str, float]
    left_out: tuple[str, ...]
    head: Mapping[str, torch.Tensor]


def merge(sites: Sequence[SiteAdapter], *, how: str = "least-squares", penalty: float = 0.01) -> Merged:
    """One adapter of several.

    Parameters
    ----------
    sites
        At least one of a weight above 0; all with the same layers and ranks.
    how
        "average", "least-squares" or "cosine", see the module.
    penalty
        Penalty λ, at least 0. For "least-squares" it is relative to the mean eigenvalue of Ā Āᵀ, so that it has no
        unit.

    Raises
    ------
    ValueError
        For an unknown way, a negative weight or penalty, no site with a text, or adapters of unequal shape.

    Examples
    --------
    >>> a, b = torch.eye(2, 3), torch.ones(4, 2)
    >>> merged = merge([SiteAdapter(name="sf7", weight=5, a={"q": a}, b={"q": b})])
    >>> bool(torch.allclose(merged.b["q"], b)), merged.distance["q"] < 1e-6
    (True, True)
    """
    if how not in AGGREGATIONS:
        raise ValueError(f"'how' must be one of {', '.join(AGGREGATIONS)} (got {how!r})")
    if not penalty >= 0:
        raise ValueError(f"'penalty' must be at least 0 (got {penalty!r})")
    _check(sites)
    total = sum(site.weight for site in sites)
    shares = [site.weight / total for site in sites]
    a, b, distance = {}, {}, {}
    for layer in sites[0].a:
        factors = [
            (share, site.b[layer].double(), site.a[layer].double())
            for share, site in zip(shares, sites, strict=True)
            if share > 0
        ]
        mean_a = _mean([(share, right) for share, _, right in factors])
        mean_b = _mean([(share, left) for share, left, _ in factors])
        if how == "least-squares":
            mean_b = mean_b + _least_squares(factors, mean_a, mean_b, penalty)
        elif how == "cosine":
            mean_b = mean_b + _cosine(factors, mean_a, mean_b, penalty)
        kind = sites[0].a[layer].dtype
        a[layer], b[layer] = mean_a.to(kind), mean_b.to(kind)
        distance[layer] = _distance(factors, mean_a, mean_b)
    head = {
        name: _mean([(share, site.head[name]) for share, site in zip(shares, sites, strict=True)])
        for name in sites[0].head
    }
    left_out = tuple(site.name for site in sites if site.weight == 0)
    return Merged(a=a, b=b, distance=distance, left_out=left_out, head=head)


Factors = list[tuple[float, torch.Tensor, torch.Tensor]]


def _check(sites: Sequence[SiteAdapter]) -> None:
    for site in sites:
        if not 0 <= site.weight < float("inf"):
            raise ValueError(f"site {site.name!r}: 'weight' must be at least 0 and finite (got {site.weight!r})")
    if not any(site.weight > 0 for site in sites):
        names = ", ".join(site.name for site in sites) or "no site"
        raise ValueError(f"nothing arrived at any site ({names}), so there is no adapter to merge")
    first = sites[0]
    for site in sites:
        if set(site.a) != set(first.a) or set(site.b) != set(first.a):
            raise ValueError(f"site {site.name!r} adapts other layers than site {first.name!r}")
        if {k: v.shape for k, v in site.head.items()} != {k: v.shape for k, v in first.head.items()}:
            raise ValueError(f"site {site.name!r} has another head than site {first.name!r}")
        for layer, right in site.a.items():
            if right.shape != first.a[layer].shape or site.b[layer].shape != first.b[layer].shape:
                raise ValueError(
                    f"layer {layer!r}: adapters must have one rank (site {first.name!r} has {first.a[layer].shape[0]},"
                    f" site {site.name!r} has {right.shape[0]})"
                )


def _mean(parts: Sequence[tuple[float, torch.Tensor]]) -> torch.Tensor:
    """Weighted mean in double precision, as the first tensor's type."""
    total = torch.stack([share * value.double() for share, value in parts if share > 0]).sum(dim=0)
    return total.to(parts[0][1].dtype)


def _times(factors: Factors, right: torch.Tensor) -> torch.Tensor:
    """ΔW times a matrix, without ΔW."""
    parts = [share * (left @ (own @ right)) for share, left, own in factors]
    return torch.stack(parts).sum(dim=0)


def _least_squares(factors: Factors, mean_a: torch.Tensor, mean_b: torch.Tensor, penalty: float) -> torch.Tensor:
    gram = mean_a @ mean_a.T
    residual = _times(factors, mean_a.T) - mean_b @ gram
    rank = gram.shape[0]
    ridge = penalty * torch.trace(gram) / rank * torch.eye(rank, dtype=gram.dtype, device=gram.device)
    inverse: torch.Tensor = torch.linalg.pinv(gram + ridge, hermitian=True)
    return residual @ inverse


def _cosine(factors: Factors, mean_a: torch.Tensor, mean_b: torch.Tensor, penalty: float) -> torch.Tensor:
    """ΔB by Adam on −cos + λ ‖ΔB‖² / ‖B̄‖², from 0."""
    gram, cross = mean_a @ mean_a.T, _times(factors, mean_a.T)
    norm = _squared_norm(factors).sqrt()
    scale = mean_b.norm()
    if float(norm) == 0.0 or float(scale) == 0.0:
        return torch.zeros_like(mean_b)
    change = torch.zeros_like(mean_b, requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=COSINE_RATE * float(scale) / mean_b.numel() ** 0.5)
    with torch.enable_grad():
        for _ in range(COSINE_STEPS):
            optimiser.zero_grad()
            left = mean_b + change
            length = ((left @ gram) * left).sum().clamp(min=1e-30).sqrt()
            loss = -(left * cross).sum() / (norm * length) + penalty * (change / scale).square().sum()
            loss.backward()
            optimiser.step()
    return change.detach()


def _squared_norm(factors: Factors) -> torch.Tensor:
    """‖ΔW‖², from products of the factors."""
    terms = [
        share * other * ((left.T @ left_other) * (right @ right_other.T)).sum()
        for share, left, right in factors
        for other, left_other, right_other in factors
    ]
    return torch.stack(terms).sum().clamp(min=0)


def _distance(factors: Factors, a: torch.Tensor, b: torch.Tensor) -> float:
    whole = _squared_norm(factors)
    if float(whole) == 0.0:
        return 0.0
    gap = _squared_norm([*factors, (-1.0, b, a)])
    return float((gap / whole).sqrt())
