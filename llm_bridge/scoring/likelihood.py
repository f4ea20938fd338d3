r"""Likelihoods and verdicts of a text, from one forward pass.

For tokens t_1 … t_n of a text behind a begin-of-text token, in nats,

    nll_i     = −log p(t_i | t_1 … t_{i−1})
    line_nll  = sum of nll_i over the tokens that begin in the line
    verdict   = logit(" bug") − logit(" ok"), at each line's end and at the end of the suffix

In a context (`llm_bridge.corpora.contexts`) all of these are given the tokens of the context too, which are no part of
the text: nll_i = −log p(t_i | context, t_1 … t_{i−1}).

An encoder has no likelihoods: its one number is the verdict on the text, logit("bug") − logit("ok") of its two classes.

Identical texts are scored once: on a good link most programs arrive unchanged. Texts that begin alike are read once as
far as they are alike (`prefix_trees`), so that a text's scores do not depend on its neighbours (beyond rounding, about
1e-5 in float32). Erasures count like any other character: one U+FFFD.

A model with a trained head (`llm_bridge.training.verdict_head`) has verdicts alone: the blocks that likelihoods would
need are not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from llm_bridge.annotations import Progress
from llm_bridge.corpora.contexts import AnyReading, parts_of
from llm_bridge.scoring.prefix_trees import PrefixTree, prefix_trees
from llm_bridge.scoring.text_scores import LikelihoodError
from llm_bridge.scoring.text_scores import TextScores as TextScores
from llm_bridge.training.examples import Encoding, encode_text, length_batches, make_batch, verdict_ids
from llm_bridge.training.models import LoadedModel
from llm_bridge.training.objectives import class_logits, head_logits, node_verdicts, verdict_direction
from llm_bridge.training.settings import HEAD_TOKENS
from llm_bridge.training.verdict_head import first_blocks

MAX_NODES = 512
"""Tokens read at once by default; each attends to all others under the mask, so that more are not cheaper."""


def score_texts(
    loaded: LoadedModel,
    texts: Iterable[AnyReading],
    *,
    max_tokens: int | None = None,
    max_nodes: int = MAX_NODES,
    progress: Progress | None = None,
) -> dict[AnyReading, TextScores]:
    r"""Scores of each distinct text.

    Parameters
    ----------
    loaded
        A base, or a trained model.
    texts
        Anything, damaged or empty; no text raises. An `InContext` is a text with what is known of its program; the same
        text in two contexts has two scores.
    max_tokens
        Longest text in tokens, its context included; a longer one is cut at its end and marked. `None` is 1,024, or the
        model's positions.
    max_nodes
        Largest number of tokens that are read at once: nodes of the prefix tree. Bounds the memory.
    progress
        Called as ``progress(texts done, texts in all)``.

    Raises
    ------
    LikelihoodError
        Where the model's likelihoods are not numbers.

    Examples
    --------
    >>> from llm_bridge.training.models import load_model
    >>> scores = score_texts(load_model("toy"), ["a = 1\nb = 2\n", ""])
    >>> len(scores["a = 1\nb = 2\n"].line_nll), scores[""].num_tokens
    (2, 0)
    """
    distinct = list(dict.fromkeys(texts))
    most = loaded.limit(max_tokens)
    encodings = [
        encode_text(text, loaded.tokenizer, max_tokens=most, frame=loaded.frame, context=context)
        for context, text in map(parts_of, distinct)
    ]
    scores: dict[AnyReading, TextScores] = {}
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        if loaded.frame.classifies:
            classified = _classified(loaded, encodings)
            _require_numbers(loaded, dict(zip(distinct, classified, strict=True)))
            return dict(zip(distinct, classified, strict=True))
        for tree in prefix_trees([encoding.input_ids for encoding in encodings], max_nodes=max_nodes):
            found = _score_tree(loaded, tree, [encodings[i] for i in tree.members])
            for index, result in zip(tree.members, found, strict=True):
                scores[distinct[index]] = result
            _require_numbers(loaded, scores)
            if progress:
                progress(len(scores), len(distinct))
    finally:
        loaded.model.train(was_training)
    return {text: scores[text] for text in distinct}


@torch.inference_mode()
def _classified(loaded: LoadedModel, encodings: Sequence[Encoding]) -> list[TextScores]:
    """Scores of each text by an encoder: the verdict alone."""
    verdicts = np.zeros(len(encodings))
    for picked in length_batches([len(row.input_ids) for row in encodings], 4 * MAX_NODES):
        some, pad = [encodings[index] for index in picked], int(loaded.tokenizer.pad_token_id)
        with loaded.arithmetic():
            logits = class_logits(loaded.base, make_batch(some, pad_id=pad, device=loaded.device))
        verdicts[picked] = (logits[:, 1] - logits[:, 0]).double().cpu().numpy()
    return [
        TextScores(
            num_tokens=row.num_text,
            sum_nll=0.0,
            mean_nll=0.0,
            line_nll=(),
            line_verdict=(),
            none_verdict=-verdict,
            program_verdict=verdict,
            truncated=row.truncated,
        )
        for row, verdict in zip(encodings, verdicts.tolist(), strict=True)
    ]


def _require_numbers(loaded: LoadedModel, scores: Mapping[AnyReading, TextScores]) -> None:
    """Refuse scores that are not numbers: whatever a task made of them would be no answer of the model."""
    bad = sum(
        not np.isfinite([row.sum_nll, row.program_verdict, *row.line_nll, *row.line_verdict]).all()
        for row in scores.values()
    )
    if bad:
        raise LikelihoodError(
            f"likelihoods are not numbers for {bad} of the first {len(scores)} texts "
            f"({loaded.fingerprint.get('method') or 'no method'} on {loaded.fingerprint['name']}): "
            "the model diverged in training, or its weights are damaged"
        )


@torch.inference_mode()
def _score_tree(loaded: LoadedModel, tree: PrefixTree, encodings: Sequence[Encoding]) -> list[TextScores]:
    hidden = _tree_states(loaded, tree)
    if loaded.head is not None:
        read = loaded.head(hidden).cpu().numpy()
        return [
            _collect(encoding, None, read[path[list(encoding.line_ends)], 0], float(read[path[encoding.suffix_end], 1]))
            for encoding, path in zip(encodings, tree.paths, strict=True)
        ]
    verdicts = node_verdicts(hidden, verdict_direction(loaded.base, verdict_ids(loaded.tokenizer))).cpu().numpy()
    # the hidden state at a node predicts its children
    own = [
        path[encoding.text_start : encoding.text_start + encoding.num_text]
        for path, encoding in zip(tree.paths, encodings, strict=True)
    ]
    nodes = np.unique(np.concatenate([*own, np.zeros(0, np.int64)]))
    nll = np.zeros(len(tree.tokens))
    nll[nodes] = _token_nll(
        loaded.base.get_output_embeddings(),
        hidden[torch.as_tensor(tree.parents[nodes], device=hidden.device)],
        torch.as_tensor(tree.tokens[nodes], device=hidden.device),
    )
    return [
        _collect(
            encoding, nll[text], verdicts[path[list(encoding.line_ends)]], float(verdicts[path[encoding.suffix_end]])
        )
        for encoding, path, text in zip(encodings, tree.paths, own, strict=True)
    ]


def _tree_states(loaded: LoadedModel, tree: PrefixTree) -> torch.Tensor:
    """Last hidden states of the nodes ``(nodes, width)``, or those that a trained head reads."""
    device, base = loaded.device, loaded.base
    attention = torch.as_tensor(tree.attention(), device=device)[None, None]
    if getattr(base.config, "_attn_implementation", "eager") != "sdpa":  # the others add the mask to the logits
        lowest = torch.finfo(torch.float32).min
        attention = torch.where(attention, 0.0, lowest)
    depth = None if loaded.head is None else loaded.head.layer
    with loaded.arithmetic(), first_blocks(base, depth):
        states: torch.Tensor = base.get_decoder()(
            input_ids=torch.as_tensor(tree.tokens, device=device)[None],
            position_ids=torch.as_tensor(tree.depths, device=device)[None],
            attention_mask=attention,
            use_cache=False,
        ).last_hidden_state[0]
    return states


def _token_nll(head: torch.nn.Linear, hidden: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """−log p of each target token, float64; the vocabulary's logits exist for `HEAD_TOKENS` tokens at a time."""
    pieces = [np.zeros(0)]
    for start in range(0, len(target), HEAD_TOKENS):
        logits = head_logits(head, hidden[start : start + HEAD_TOKENS])
        wanted = logits.gather(1, target[start : start + HEAD_TOKENS, None])[:, 0]
        pieces.append((torch.logsumexp(logits, dim=1) - wanted).double().cpu().numpy())
    return np.concatenate(pieces)


def _collect(encoding: Encoding, nll: np.ndarray | None, verdicts: np.ndarray, program: float) -> TextScores:
    line_nll = np.zeros(len(encoding.line_ends) if nll is not None else 0)
    if nll is not None:
        np.add.at(line_nll, np.asarray(encoding.token_line, dtype=np.intp), nll)
    total = 0.0 if nll is None else float(nll.sum())
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
