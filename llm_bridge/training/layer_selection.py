r"""Layer selection: the blocks that get adapters.

    strategy          picks N = floor(ratio * M) of M blocks (or a given number)
    cka               largest 1 − CKA(R_{i−1}, R_i): blocks that change the representation most
    fisher            largest mean squared gradient of the log-likelihood
    random            N at random, by seed
    first, last       the N nearest the input, the output
    bottom_and_last   the first N − 1 and the last: what "cka" comes close to on the published models
    all, manual       every block; the given ones

R_0 is the embedding of a text, R_i the output of block i, before the final norm, at one position. With X and Y the
centred rows R of n texts, K = XXᵀ, L = YYᵀ,

    CKA = HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))

    biased     HSIC_0 = tr(K H L H) / (n − 1)²
    unbiased   HSIC_1 = [tr(AB) + 1ᵀA1 · 1ᵀB1 / ((n−1)(n−2)) − 2 · 1ᵀAB1 / (n−2)] / (n (n−3))
               A, B = K, L without their diagonals

that is the linear kernel; with `kernel="rbf"`, K_ij = exp(−|x_i − x_j|² / 2 s²), s the median distance of two texts.
The biased estimator is near 1 for noise when n is well below the width: 0.97 at n = 128, width 4096. Hence the default.

Sources: Kornblith et al., ICML 2019 (CKA); Song et al., JMLR 13, 2012 (HSIC_1); Ogawa et al., arXiv 2602.05988 (layers
by CKA); Lodha et al., Findings of EMNLP 2023, arXiv 2310.17041 (layers by Fisher information).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from llm_bridge.annotations import Progress
from llm_bridge.arrays import FloatArray
from llm_bridge.training.adapter_modules import num_blocks, with_adapters
from llm_bridge.training.architecture import decoder_blocks
from llm_bridge.training.examples import encode_text, length_batches, make_batch
from llm_bridge.training.methods import LLAMA_LINEARS, STRATEGIES, AdapterSettings
from llm_bridge.training.models import LoadedModel
from llm_bridge.training.objectives import completion_loss, hidden_states

ESTIMATORS = ("unbiased", "biased")
KERNELS = ("linear", "rbf")
POSITIONS = ("last", "first", "mean", "suffix")
CONSTANT = 1e-6  # variance of R_0 over its mean square, below which it counts as the same for all texts


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """The chosen blocks, and why.

    `scores` has one number for each block (`None` for strategies that score nothing), `per_parameter` the same divided
    by the block's size, `order` the eligible blocks from best to worst, `excluded` those that could not be chosen.
    """

    strategy: str
    layers: tuple[int, ...]
    scores: tuple[float, ...] | None = None
    per_parameter: tuple[float, ...] | None = None
    order: tuple[int, ...] | None = None
    excluded: tuple[int, ...] = ()
    num_texts: int = 0
    details: tuple[tuple[str, object], ...] = ()

    def provenance(self) -> dict[str, object]:
        """A record for the results folder."""
        record = asdict(self)
        record["details"] = dict(self.details)
        return record


def select_layers(
    strategy: str,
    loaded: LoadedModel,
    texts: Sequence[str] = (),
    *,
    num_texts: int = 128,
    ratio: float = 0.5,
    num_layers: int | None = None,
    layers: Sequence[int] | None = None,
    estimator: str = "unbiased",
    kernel: str = "linear",
    position: str = "last",
    exclude_first: bool | str = "auto",
    target_modules: Sequence[str] = LLAMA_LINEARS,
    seed: int = 0,
    blocks: int | None = None,
    progress: Progress | None = None,
) -> LayerChoice:
    """Choose blocks.

    Parameters
    ----------
    strategy
        A row of the module's table.
    loaded
        A base model without adapters.
    texts
        Training texts; the first `num_texts` distinct ones that are not empty are used ("cka" needs at least 4,
        "fisher" 1).
    ratio, num_layers
        How many blocks: `num_layers`, or ``floor(ratio * blocks)``.
    layers
        Indices of the blocks for "manual".
    estimator
        Estimator of CKA: "unbiased", or "biased" as published.
    kernel
        Kernel of CKA: "linear" as published, or "rbf".
    position
        Position of the state for CKA: the text's "last" token as published for decoders, the "first" of all tokens as
        published for encoders (their class token), the "mean" over the text's tokens, or the end of the fixed "suffix".
    exclude_first
        Leave block 0 out, by index: `True`, `False`, or "auto": when R_0 is the same for all texts (as it is where all
        texts end in the same token), for then CKA with it means nothing.
    target_modules
        On which adapters "fisher" looks, where the base is stored in 4 bits and has no gradients of its own.
    blocks
        Number of first blocks to choose among (those in front of a head that reads there); the default is all.

    Raises
    ------
    ValueError
        An unknown option, too few texts, or a choice that comes out empty.
    """
    every = num_blocks(loaded)
    blocks = every if blocks is None else blocks
    if not 1 <= blocks <= every:
        raise ValueError(f"'blocks' must lie in 1...{every}, the model's blocks (got {blocks})")
    if strategy not in STRATEGIES:
        raise ValueError(f"'strategy' must be one of {', '.join(STRATEGIES)} (got {strategy!r})")
    if strategy == "manual":
        if not layers:
            raise ValueError("'layers' must name at least one block for the strategy 'manual'")
        return LayerChoice(strategy=strategy, layers=tuple(sorted(set(layers))))
    if strategy == "all":
        return LayerChoice(strategy=strategy, layers=tuple(range(blocks)))
    count = int(ratio * blocks) if num_layers is None else num_layers
    if not 1 <= count <= blocks:
        raise ValueError(f"the number of layers must lie in 1...{blocks} (got {count}, from ratio {ratio})")
    if strategy in ("first", "last", "bottom_and_last", "random"):
        return LayerChoice(strategy=strategy, layers=_by_index(strategy, blocks, count, seed))
    used = [text for text in dict.fromkeys(texts) if text.strip()][:num_texts]
    needed = 4 if strategy == "cka" else 1
    if len(used) < needed:
        raise ValueError(f"strategy {strategy!r} needs at least {needed} distinct texts (got {len(used)})")
    if strategy == "fisher":
        scores, sizes = fisher_scores(loaded, used, target_modules=target_modules, progress=progress)
        return _best(strategy, scores[:blocks], count, (), len(used), per_parameter=(scores / sizes)[:blocks])
    if exclude_first not in (True, False, "auto"):
        raise ValueError(f"'exclude_first' must be True, False or 'auto' (got {exclude_first!r})")
    states = block_states(loaded, used, position=position, progress=progress)[: blocks + 1]
    constant = float(states[0].var(axis=0).sum()) <= CONSTANT * float((states[0] ** 2).sum(axis=1).mean())
    excluded = (0,) if exclude_first is True or (exclude_first == "auto" and constant) else ()
    scores = np.array([1 - cka(a, b, estimator=estimator, kernel=kernel) for a, b in pairwise(states)])
    details = (("estimator", estimator), ("kernel", kernel), ("position", position), ("first_is_constant", constant))
    return _best(strategy, scores, count, excluded, len(used), details=details)


def cka(x: FloatArray, y: FloatArray, *, estimator: str = "unbiased", kernel: str = "linear") -> float:
    """Centred kernel alignment of two sets of features of the same n texts.

    Parameters
    ----------
    x, y
        ``(n, width)`` each, n at least 4; the widths may differ.
    estimator
        "unbiased" (may fall slightly below 0) or "biased" (in [0, 1]).
    kernel
        "linear" or "rbf" (module's docstring).

    Returns
    -------
    float
        1 for features equal up to rotation and scale; 0 where one of them is constant.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((2, 128, 4096))
    >>> round(cka(x, y, estimator="biased"), 2), abs(cka(x, y)) < 0.05
    (0.97, True)
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"'estimator' must be one of {', '.join(ESTIMATORS)} (got {estimator!r})")
    if kernel not in KERNELS:
        raise ValueError(f"'kernel' must be one of {', '.join(KERNELS)} (got {kernel!r})")
    if len(x) != len(y) or len(x) < 4:
        raise ValueError(f"'x' and 'y' must hold the same texts, at least 4 (got {len(x)} and {len(y)})")
    gram = [_gram(np.asarray(features, dtype=np.float64), kernel) for features in (x, y)]
    hsic = _hsic_unbiased if estimator == "unbiased" else _hsic_biased
    scale = hsic(gram[0], gram[0]) * hsic(gram[1], gram[1])
    return hsic(gram[0], gram[1]) / scale**0.5 if scale > 1e-24 else 0.0


def _gram(features: FloatArray, kernel: str) -> FloatArray:
    """Centred Gram matrix."""
    centred = features - features.mean(axis=0)
    gram = centred @ centred.T
    if kernel == "linear":
        return np.asarray(gram)
    sizes = np.diag(gram)
    squared = np.maximum(sizes[:, None] + sizes[None, :] - 2 * gram, 0.0)
    width = float(np.median(squared[~np.eye(len(squared), dtype=bool)]))
    similar = np.exp(-squared / (2 * width)) if width > 0 else np.ones_like(squared)
    similar = similar - similar.mean(axis=0)
    return np.asarray(similar - similar.mean(axis=1, keepdims=True))


def _hsic_biased(k: FloatArray, m: FloatArray) -> float:
    """HSIC_0 of two centred Gram matrices."""
    return float((k * m).sum()) / (len(k) - 1) ** 2


def _hsic_unbiased(k: FloatArray, m: FloatArray) -> float:
    """HSIC_1 (Song et al. 2012, eq. 5)."""
    n = len(k)
    a, b = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    total = (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 * (a.sum(axis=0) @ b.sum(axis=0)) / (n - 2)
    return float(total) / (n * (n - 3))


@torch.inference_mode()
def block_states(
    loaded: LoadedModel,
    texts: Sequence[str],
    *,
    position: str = "last",
    batch_tokens: int = 1024,
    progress: Progress | None = None,
) -> list[FloatArray]:
    """States R_0 … R_M: for each, ``(texts, width)`` float64 at `position`, read at the blocks (no final norm)."""
    if position not in POSITIONS:
        raise ValueError(f"'position' must be one of {', '.join(POSITIONS)} (got {position!r})")
    most = loaded.limit()
    encodings = [encode_text(text, loaded.tokenizer, max_tokens=most, frame=loaded.frame) for text in texts]
    blocks = _blocks(loaded)
    states = [np.zeros((len(texts), loaded.base.config.hidden_size)) for _ in range(len(blocks) + 1)]
    done = 0
    for batch_rows in length_batches([len(row.input_ids) for row in encodings], batch_tokens):
        rows = [encodings[index] for index in batch_rows]
        batch = make_batch(rows, pad_id=int(loaded.tokenizer.pad_token_id), device=loaded.device)

        def keep(level: int, hidden: torch.Tensor, rows: Any = rows, batch_rows: Any = batch_rows) -> None:
            for place, row in enumerate(rows):
                start, end = row.text_start, row.text_start + row.num_text
                if position == "mean":
                    picked = hidden[place, start:end].float().mean(dim=0)
                else:
                    picked = hidden[place, {"last": end - 1, "first": 0, "suffix": row.suffix_end}[position]]
                states[level][batch_rows[place]] = picked.double().cpu().numpy()

        handles = [blocks[0].register_forward_pre_hook(lambda _, args, keep=keep: keep(0, args[0]))]
        for level, block in enumerate(blocks, start=1):
            handles.append(
                block.register_forward_hook(lambda _, __, out, level=level, keep=keep: keep(level, _first(out)))
            )
        try:
            with loaded.arithmetic():
                hidden_states(loaded.base, batch.input_ids, batch.attention_mask)
        finally:
            for handle in handles:
                handle.remove()
        done += len(rows)
        if progress:
            progress(done, len(texts))
    return states


def fisher_scores(
    loaded: LoadedModel,
    texts: Sequence[str],
    *,
    target_modules: Sequence[str] = LLAMA_LINEARS,
    progress: Progress | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Empirical Fisher information of each block: mean over texts of the sum of squared gradients of log p(text).

    One backward pass for each text: the square of a batch's mean gradient would be smaller by about the batch size.
    A 4-bit base has no gradients of its own; there fresh adapters are put on all blocks, and the gradients of their
    B matrices are taken (those of A vanish while B = 0); the adapters are removed again.

    Returns
    -------
    scores, sizes
        ``(blocks,)`` each: nats squared, and the number of parameters looked at.
    """
    blocks = num_blocks(loaded)
    on_adapters = loaded.fingerprint["storage"] == "nf4"
    if on_adapters:
        settings = AdapterSettings(target_modules=tuple(target_modules))
        model: Any = with_adapters(loaded, settings, tuple(range(blocks)))
    else:
        model = loaded.model
    watched: list[list[torch.nn.Parameter]] = [[] for _ in range(blocks)]
    for level, block in enumerate(_blocks(loaded)):
        for name, parameter in block.named_parameters():
            if not on_adapters or ".lora_B." in name:
                parameter.requires_grad_(True)
                watched[level].append(parameter)
    scores = np.zeros(blocks)
    try:
        for done, text in enumerate(texts, start=1):
            model.zero_grad(set_to_none=True)
            text_log_likelihood(loaded, text).backward()
            for level, parameters in enumerate(watched):
                scores[level] += sum(float(p.grad.double().square().sum()) for p in parameters if p.grad is not None)
            if progress:
                progress(done, len(texts))
    finally:
        model.zero_grad(set_to_none=True)
        if on_adapters:
            model.unload()
        loaded.model.requires_grad_(False)
    sizes = np.array([sum(parameter.numel() for parameter in parameters) for parameters in watched], dtype=float)
    return scores / len(texts), sizes


def text_log_likelihood(loaded: LoadedModel, text: str) -> torch.Tensor:
    """log p(text) in nats, with its graph."""
    encoding = encode_text(text, loaded.tokenizer, max_tokens=loaded.limit(), frame=loaded.frame)
    start = encoding.text_start
    ids = torch.tensor([encoding.input_ids[: start + encoding.num_text]], device=loaded.device)
    labels = ids.clone()
    labels[0, :start] = -100
    with loaded.arithmetic():
        hidden = hidden_states(loaded.base, ids, torch.ones_like(ids))
    return -completion_loss(hidden, loaded.base.get_output_embeddings(), labels)[0] * encoding.num_text


def _blocks(loaded: LoadedModel) -> Any:
    return decoder_blocks(loaded.base)[1]


def _first(output: Any) -> torch.Tensor:
    """A block returns its hidden state, alone or first in a tuple, depending on the library's version."""
    hidden: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def _by_index(strategy: str, blocks: int, count: int, seed: int) -> tuple[int, ...]:
    if strategy == "first":
        return tuple(range(count))
    if strategy == "last":
        return tuple(range(blocks - count, blocks))
    if strategy == "bottom_and_last":
        return (*range(count - 1), blocks - 1)
    return tuple(sorted(np.random.default_rng(seed).choice(blocks, size=count, replace=False).tolist()))


def _best(
    strategy: str,
    scores: FloatArray,
    count: int,
    excluded: tuple[int, ...],
    num_texts: int,
    *,
    per_parameter: FloatArray | None = None,
    details: tuple[tuple[str, object], ...] = (),
) -> LayerChoice:
    """The `count` blocks with the largest scores; earlier ones first among equals."""
    order = [block for block in np.argsort(-scores, kind="stable").tolist() if block not in excluded]
    return LayerChoice(
        strategy=strategy,
        layers=tuple(sorted(order[:count])),
        scores=tuple(scores.tolist()),
        per_parameter=None if per_parameter is None else tuple(per_parameter.tolist()),
        order=tuple(order),
        excluded=excluded,
        num_texts=num_texts,
        details=details,
    )
