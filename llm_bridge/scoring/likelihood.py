r"""Everything the model says about a text, from one forward pass.

For tokens t_1 … t_n of a text behind a begin-of-text token, in nats,

    nll_i     = −log p(t_i | t_1 … t_{i−1})
    line_nll  = sum of nll_i over the tokens that begin in the line
    verdict   = logit(" bug") − logit(" ok"), at each line's end and at the end of the suffix

Identical texts are scored once: on a good link most programs arrive unchanged. Batches hold texts of near-equal length,
padded on the right, so that a text's scores do not depend on its neighbours (beyond rounding, about 1e-4).
Erasures count like any other character: one U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import torch

from llm_bridge.scoring.text_scores import TextScores as TextScores
from llm_bridge.training.examples import Encoding, encode_text, length_batches, make_batch, verdict_ids
from llm_bridge.training.models import LoadedModel, Progress
from llm_bridge.training.objectives import head_logits, hidden_states, line_verdicts, verdict_direction
from llm_bridge.training.settings import MAX_TOKENS

HEAD_TOKENS = 512  # tokens whose logits exist at once: 100 MB with 49,152 entries, 260 MB with 128,256


def score_texts(
    loaded: LoadedModel,
    texts: Iterable[str],
    *,
    batch_tokens: int = 2048,
    max_tokens: int = MAX_TOKENS,
    progress: Progress | None = None,
) -> dict[str, TextScores]:
    r"""Scores of each distinct text.

    Parameters
    ----------
    loaded
        A base, or a trained model.
    texts
        Anything, damaged or empty; nothing raises.
    batch_tokens
        Largest batch, in tokens with padding.
    max_tokens
        A longer text is cut at its end and marked.
    progress
        Called as ``progress(texts done, texts in all)``.

    Examples
    --------
    >>> from llm_bridge.training.models import load_model
    >>> scores = score_texts(load_model("toy"), ["a = 1\nb = 2\n", ""])
    >>> len(scores["a = 1\nb = 2\n"].line_nll), scores[""].num_tokens
    (2, 0)
    """
    distinct = list(dict.fromkeys(texts))
    encodings = [encode_text(text, loaded.tokenizer, max_tokens=max_tokens) for text in distinct]
    scores: dict[str, TextScores] = {}
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        for batch in length_batches([len(encoding.input_ids) for encoding in encodings], batch_tokens):
            for index, result in zip(batch, _score_batch(loaded, [encodings[i] for i in batch]), strict=True):
                scores[distinct[index]] = result
            if progress:
                progress(len(scores), len(distinct))
    finally:
        loaded.model.train(was_training)
    return {text: scores[text] for text in distinct}


@torch.inference_mode()
def _score_batch(loaded: LoadedModel, encodings: Sequence[Encoding]) -> list[TextScores]:
    device = loaded.device
    batch = make_batch(encodings, pad_id=int(loaded.tokenizer.pad_token_id), device=device)
    with loaded.arithmetic():
        hidden = hidden_states(loaded.base, batch.input_ids, batch.attention_mask)
    direction = verdict_direction(loaded.base, verdict_ids(loaded.tokenizer))
    lines, program = line_verdicts(hidden, direction, batch)
    # the hidden state at token i predicts token i + 1; text tokens are 1 … n
    before = torch.cat([hidden[row, : encoding.num_text] for row, encoding in enumerate(encodings)])
    target = torch.cat([batch.input_ids[row, 1 : 1 + encoding.num_text] for row, encoding in enumerate(encodings)])
    nll = _token_nll(loaded.base.get_output_embeddings(), before, target)
    bounds = np.cumsum([0, *(encoding.num_text for encoding in encodings)])
    return [
        _collect(encoding, nll[start:end], lines[row, : len(encoding.line_ends)].cpu().numpy(), float(program[row]))
        for row, (encoding, (start, end)) in enumerate(zip(encodings, pairwise(bounds), strict=True))
    ]


def _token_nll(head: torch.nn.Linear, hidden: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """−log p of each target token, float64; the vocabulary's logits exist for `HEAD_TOKENS` tokens at a time."""
    pieces = [np.zeros(0)]
    for start in range(0, len(target), HEAD_TOKENS):
        logits = head_logits(head, hidden[start : start + HEAD_TOKENS])
        wanted = logits.gather(1, target[start : start + HEAD_TOKENS, None])[:, 0]
        pieces.append((torch.logsumexp(logits, dim=1) - wanted).double().cpu().numpy())
    return np.concatenate(pieces)


def _collect(encoding: Encoding, nll: np.ndarray, verdicts: np.ndarray, program: float) -> TextScores:
    num_lines = len(encoding.line_ends)
    line_nll = np.zeros(num_lines)
    np.add.at(line_nll, np.asarray(encoding.token_line, dtype=np.intp), nll)
    total = float(nll.sum())
    return TextScores(
        num_tokens=encoding.num_text,
        sum_nll=total,
        mean_nll=total / encoding.num_text if encoding.num_text else 0.0,
        line_nll=tuple(line_nll.tolist()),
        line_verdict=tuple(verdicts.astype(float).tolist()),
        none_verdict=-program,
        program_verdict=program,
        truncated=encoding.truncated,
    )
