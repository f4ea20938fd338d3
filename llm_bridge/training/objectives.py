"""Training objectives: verdicts read from hidden states, and their losses.

With h_t the last hidden state at token t and w the rows of the output head,

    verdict(t)   = h_t · (w_bug − w_ok)                                          one number, no vocabulary needed
                   or what a trained head reads in a middle block (`verdict_head`), for lines and for the program
    line         = −log softmax(verdict(line ends))[gold]                         buggy texts: where is it, given a bug?
    distil       = mean KL(untrained p(· | tokens before) ‖ p(· | tokens before))  all texts, see `distillation`
    likelihood   = mean −log p(token | tokens before)                             correct texts, over the vocabulary
    localise     = −log softmax([verdict(line ends), none])[gold],  none = −verdict(end of the suffix)
    detect       = −log p(answer | text, suffix)                                  over the vocabulary, or two classes
                   or, with a trained head, −log sigmoid(± verdict(end of the suffix))
    repair       = mean −log p(fix | text up to the line, request)                over the whole vocabulary

*line* teaches the place, on the buggy text of a pair; *distil* (on both texts) or *likelihood* (on the correct one)
keeps the model's likelihoods of code, which *paired* rests on. For *localise* a correct program's gold is
"none". A missing line has two gold lines, and their probabilities add. *repair* has a text of its own, the prompt of
`repair_prompts`; a row without a fix (a correct program, a lost line) costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from llm_bridge.training.architecture import is_encoder
from llm_bridge.training.examples import IGNORED, Batch
from llm_bridge.training.precision import stored_arithmetic
from llm_bridge.training.settings import OBJECTIVES, require_readable
from llm_bridge.training.verdict_head import VerdictHead, first_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LOWEST = -1e30
"""The score of what is no candidate: finite, so that a row without one has a gradient of zero and not of NaN."""

LEAST_REST = 1e-5
"""Least probability of all tokens that are not kept: below it float32 has no digits."""


@dataclass(frozen=True, kw_only=True)
class TokenPredictions:
    """The likeliest tokens at some places ``(places, kept)`` and their log-probabilities."""

    ids: torch.Tensor
    log_p: torch.Tensor


def hidden_states(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, num_blocks: int | None = None
) -> torch.Tensor:
    """Last hidden states ``(rows, tokens, width)``, without the product with the vocabulary (a quarter of the work).

    With `num_blocks`, those after so many blocks, and nothing beyond them is computed.
    """
    if is_encoder(model.config):
        encoded: torch.Tensor = model.base_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return encoded
    with first_blocks(model, num_blocks):
        output = model.get_decoder()(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
    hidden: torch.Tensor = output.last_hidden_state
    return hidden


def verdict_direction(model: PreTrainedModel, ids: tuple[int, int]) -> torch.Tensor:
    """The difference of the head's rows for "bug" and "ok", ``(width,)``."""
    weight: torch.Tensor = model.get_output_embeddings().weight
    return weight[ids[0]] - weight[ids[1]]


def line_verdicts(hidden: torch.Tensor, direction: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Verdicts at the line ends ``(rows, lines)`` and at the suffix' end ``(rows,)``."""
    verdicts = node_verdicts(hidden, direction)
    return _at_ends(verdicts, verdicts, batch)


def head_verdicts(hidden: torch.Tensor, reader: VerdictHead, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """As `line_verdicts`, from a trained head."""
    lines, program = reader(hidden).unbind(dim=-1)
    return _at_ends(lines, program, batch)


def _at_ends(lines: torch.Tensor, program: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Of verdicts at each token ``(rows, tokens)``, those on lines at their ends, and on the program at the suffix'."""
    rows = torch.arange(len(lines), device=lines.device)
    return lines.gather(1, batch.line_ends), program[rows, batch.suffix_end]


def node_verdicts(hidden: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Verdict at each hidden state ``(..., width)``: how much likelier "bug" is than "ok", in nats."""
    with stored_arithmetic(hidden.device):
        return hidden.float() @ direction.float()


def line_log_probabilities(lines: torch.Tensor, program: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
    """Log-probability of each line, and last of "none": ``(rows, lines + 1)``; −inf where a line is no candidate."""
    scores = torch.cat([lines.masked_fill(~candidate, float("-inf")), -program[:, None]], dim=1)
    return torch.log_softmax(scores, dim=1)


class BugLoss(nn.Module):
    """The weighted sum of the objectives, one value for each row.

    A module, so that whatever wraps modules for several devices can wrap it.
    """

    def __init__(
        self,
        model: nn.Module,
        base: PreTrainedModel,
        ids: tuple[int, int],
        weights: Mapping[str, float],
        verdict_head: VerdictHead | None = None,
    ):
        """Hold `model` (perhaps wrapped), the language model in it, the answers' token ids, the weights and a head."""
        super().__init__()
        unknown = sorted(set(weights) - set(OBJECTIVES))
        if unknown or not any(weights.values()):
            raise ValueError(f"'objectives' must weigh some of {', '.join(OBJECTIVES)} (got {dict(weights)})")
        require_readable(weights, verdict_head is not None)
        self.model = model
        self._base = [base]  # in a list: the same weights are not registered twice
        self._verdict_head = [verdict_head]  # and the head is not cut into shards
        self._ids = ids
        self._weights = dict(weights)

    def forward(
        self,
        batch: Batch,
        gold: torch.Tensor,
        fixes: Batch | None = None,
        fix_rows: torch.Tensor | None = None,
        teacher: TokenPredictions | None = None,
    ) -> torch.Tensor:
        """Loss of each row ``(rows,)``; `gold` is ``(rows, lines + 1)``, all False where the place is not known.

        `fixes` holds the repair prompts of the rows `fix_rows`, where there are any; `teacher` the predictions for the
        tokens of all texts, one row after the other.
        """
        base = self._base[0]
        if is_encoder(base.config):
            logits = class_logits(base, batch)
            return self._weights["detect"] * functional.cross_entropy(logits, batch.labels[:, 0], reduction="none")
        total = torch.zeros(len(gold), device=gold.device)
        if fixes is not None and fix_rows is not None:
            hidden = hidden_states(base, fixes.input_ids, fixes.attention_mask)
            some = completion_loss(hidden, base.get_output_embeddings(), fixes.labels)
            total = total.index_add(0, fix_rows, self._weights["repair"] * some)
        if not any(weight for name, weight in self._weights.items() if name != "repair"):
            return total
        (reader,) = self._verdict_head
        if reader is not None:
            return total + self._read_loss(reader, batch, gold)
        hidden, head = hidden_states(base, batch.input_ids, batch.attention_mask), base.get_output_embeddings()
        if self._weights.get("line") or self._weights.get("localise"):
            lines, program = line_verdicts(hidden, verdict_direction(base, self._ids), batch)
            if weight := self._weights.get("line"):
                total = total + weight * line_loss(lines, batch.candidate, gold)
            if weight := self._weights.get("localise"):
                total = total + weight * localise_loss(lines, program, batch.candidate, gold)
        if (weight := self._weights.get("distil")) and teacher is not None:
            start = batch.text_start
            total = total + weight * distillation_loss(hidden, head, batch.num_text, teacher, text_start=start)
        if weight := self._weights.get("likelihood"):
            total = total + weight * completion_loss(hidden, head, text_labels(batch, correct=gold[:, -1]))
        if weight := self._weights.get("detect"):
            total = total + weight * completion_loss(hidden, head, batch.labels)
        return total

    def _read_loss(self, reader: VerdictHead, batch: Batch, gold: torch.Tensor) -> torch.Tensor:
        """Loss of each row from a trained head's verdicts."""
        hidden = hidden_states(self._base[0], batch.input_ids, batch.attention_mask, num_blocks=reader.layer)
        lines, program = head_verdicts(hidden, reader, batch)
        losses = {
            "line": lambda: line_loss(lines, batch.candidate, gold),
            "localise": lambda: localise_loss(lines, program, batch.candidate, gold),
            "detect": lambda: functional.softplus(torch.where(gold[:, -1], program, -program)),
        }
        wanted = [(weight, losses[name]()) for name, weight in self._weights.items() if weight]
        return sum((weight * loss for weight, loss in wanted), torch.zeros(len(gold), device=gold.device))


def line_loss(lines: torch.Tensor, candidate: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """Minus log of the probability on gold among the lines ``(rows,)``; 0 where gold is no candidate, or "none"."""
    usable = gold[:, :-1] & candidate
    log_p = torch.log_softmax(lines.masked_fill(~candidate, LOWEST), dim=1)
    return _minus_log(log_p, usable)


def localise_loss(
    lines: torch.Tensor, program: torch.Tensor, candidate: torch.Tensor, gold: torch.Tensor
) -> torch.Tensor:
    """Minus log of the probability on gold ``(rows,)``; 0 for a row whose gold is unknown or lies on no candidate."""
    usable = gold & torch.cat([candidate, torch.ones_like(candidate[:, :1])], dim=1)
    return _minus_log(line_log_probabilities(lines, program, candidate), usable)


def _minus_log(log_p: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """Minus log of the summed probability of `gold` ``(rows,)``; 0, with a gradient of 0, where there is none."""
    known = gold.any(dim=1)
    picked = torch.where(gold | ~known[:, None], log_p, float("-inf"))
    return torch.where(known, -torch.logsumexp(picked, dim=1), torch.zeros_like(log_p[:, 0]))


def head_logits(head: nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    """Logits of the whole vocabulary in float32, multiplied in the precision in which the head is stored."""
    with stored_arithmetic(hidden.device):
        logits: torch.Tensor = head(hidden.to(head.weight.dtype))
        return logits.float()


def class_logits(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Logits of an encoder's two classes, "ok" and "bug", ``(rows, 2)``."""
    logits: torch.Tensor = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    return logits.float()


def completion_loss(hidden: torch.Tensor, head: nn.Linear, labels: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood of the labelled tokens of each row ``(rows,)``; the rest (−100) costs nothing."""
    targets = labels[:, 1:]
    wanted = targets != IGNORED
    logits = head_logits(head, hidden[:, :-1][wanted])
    nll = functional.cross_entropy(logits, targets[wanted], reduction="none")
    rows = torch.nonzero(wanted)[:, 0]
    sums = torch.zeros(labels.shape[0], device=hidden.device).index_add(0, rows, nll)
    return sums / wanted.sum(dim=1).clamp(min=1)


def distillation_loss(
    hidden: torch.Tensor,
    head: nn.Linear,
    num_text: torch.Tensor,
    teacher: TokenPredictions,
    *,
    text_start: torch.Tensor | int = 1,
) -> torch.Tensor:
    """Mean divergence from the teacher over the tokens of each row's text ``(rows,)``, in nats; 0 for an empty text."""
    first = torch.as_tensor(text_start, device=hidden.device).expand_as(num_text)[:, None] - 1
    place = torch.arange(hidden.shape[1], device=hidden.device)
    before = (place >= first) & (place < first + num_text[:, None])  # token i predicts token i + 1
    logits = head_logits(head, hidden[before])
    log_q = logits.gather(1, teacher.ids) - torch.logsumexp(logits, dim=1, keepdim=True)
    ours, theirs = _with_rest(log_q), _with_rest(teacher.log_p)
    divergence = (theirs.exp() * (theirs - ours)).sum(dim=1)
    sums = torch.zeros(len(num_text), device=hidden.device).index_add(0, torch.nonzero(before)[:, 0], divergence)
    return sums / num_text.clamp(min=1)


def _with_rest(log_p: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of some tokens, and of all others together ``(places, kept + 1)``."""
    kept = torch.logsumexp(log_p, dim=1, keepdim=True).clamp(max=-LEAST_REST)
    return torch.cat([log_p, torch.log(-torch.expm1(kept))], dim=1)


def text_labels(batch: Batch, *, correct: torch.Tensor) -> torch.Tensor:
    """The tokens of each correct row's text as labels ``(rows, tokens)``; −100 elsewhere, and on buggy rows."""
    place = torch.arange(batch.input_ids.shape[1], device=batch.input_ids.device)
    start = batch.text_start[:, None]
    of_text = (place >= start) & (place < start + batch.num_text[:, None])
    return torch.where(of_text & correct[:, None], batch.input_ids, IGNORED)


def gold_mask(label_lines: list[tuple[int, ...]], buggy: list[bool], num_lines: int) -> torch.Tensor:
    """Gold ``(rows, num_lines + 1)``: the labelled lines of a buggy row, "none" of a correct one."""
    mask = torch.zeros((len(buggy), num_lines + 1), dtype=torch.bool)
    for row, lines in enumerate(label_lines):
        if not buggy[row]:
            mask[row, -1] = True
        for line in lines:
            if line < num_lines:
                mask[row, line] = True
    return mask
