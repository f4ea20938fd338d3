"""Distillation from the untrained model: its predictions at each token of a text, written down once.

Asked which line is wrong, a model forgets what code is likely, which *paired* rests on; and a 4-bit base has forgotten
part of it before it is trained. The objective *distil* pulls each token's prediction back to that of the untrained,
unquantised model (the teacher):

    distil = mean over a text's tokens of  KL(teacher ‖ model),  over the teacher's `NUM_KEPT` likeliest and "the rest"

The teacher's predictions are numbers on file, so that it need not stay in memory beside the model that learns. Lumping
the rest of the vocabulary together makes the divergence smaller, never larger, and zero where the two agree.

Source: Hinton, Vinyals & Dean, arXiv 1503.02531 (distillation).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from llm_bridge.annotations import Progress
from llm_bridge.corpora.contexts import InContext, Reading, parts_of
from llm_bridge.training.common import ModelError, first_line, load_saved
from llm_bridge.training.examples import encode_text, length_batches, make_batch
from llm_bridge.training.models import LoadedModel
from llm_bridge.training.objectives import TokenPredictions, head_logits, hidden_states
from llm_bridge.training.settings import MAX_TOKENS

NUM_KEPT = 64
BATCH_TOKENS = 2048


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Predictions of one model for some texts, each cut to the same number of tokens.

    Parameters
    ----------
    predictions
        Predictions by text (in its context): token ids and their log-probabilities, ``(tokens of the text, kept)``.
    max_tokens
        Longest encoded text, in tokens.
    """

    predictions: Mapping[Reading, TokenPredictions]
    max_tokens: int = MAX_TOKENS

    @property
    def digest(self) -> str:
        """SHA-256 of all predictions."""
        total = hashlib.sha256()
        for text in sorted(self.predictions, key=parts_of):
            kept = self.predictions[text]
            total.update("".join(parts_of(text)).encode("utf-8", errors="surrogatepass"))
            total.update(kept.ids.numpy().tobytes() + kept.log_p.numpy().tobytes())
        return total.hexdigest()

    def require(self, texts: Iterable[Reading], *, max_tokens: int) -> None:
        """Raise `ValueError` unless there are predictions for every text, cut to `max_tokens`."""
        missing = set(texts) - set(self.predictions)
        if missing:
            raise ValueError(f"'teacher' must hold a prediction for every text ({len(missing)} have none)")
        if self.max_tokens != max_tokens:
            raise ValueError(f"'teacher' must have cut its texts to {max_tokens} tokens (got {self.max_tokens})")

    def of(self, texts: Sequence[Reading], device: torch.device) -> TokenPredictions:
        """Predictions for several texts, one after the other ``(tokens of all, kept)``."""
        some = [self.predictions[text] for text in texts]
        return TokenPredictions(
            ids=torch.cat([kept.ids for kept in some]).to(device, torch.long),
            log_p=torch.cat([kept.log_p for kept in some]).to(device),
        )


@torch.inference_mode()
def predict(
    loaded: LoadedModel, texts: Iterable[Reading], *, max_tokens: int = MAX_TOKENS, progress: Progress | None = None
) -> Teacher:
    """Predictions of `loaded` at each token of each distinct text, behind its context where it has one.

    Examples
    --------
    >>> from llm_bridge.training.models import load_model
    >>> teacher = predict(load_model("toy"), ["a = 1\\n"])
    >>> tuple(teacher.predictions["a = 1\\n"].ids.shape)
    (6, 64)
    """
    distinct = list(dict.fromkeys(texts))
    # one token less: an example has its answer behind the text
    rows = [
        encode_text(text, loaded.tokenizer, max_tokens=max_tokens - 1, frame=loaded.frame, context=context)
        for context, text in map(parts_of, distinct)
    ]
    head = loaded.base.get_output_embeddings()
    predictions: dict[Reading, TokenPredictions] = {}
    was_training = loaded.model.training
    loaded.model.eval()
    for picked in length_batches([len(row.input_ids) for row in rows], BATCH_TOKENS):
        some = [rows[index] for index in picked]
        batch = make_batch(some, pad_id=int(loaded.tokenizer.pad_token_id), device=loaded.device)
        with loaded.arithmetic():
            hidden = hidden_states(loaded.base, batch.input_ids, batch.attention_mask)
        for place, index in enumerate(picked):  # one row's logits at a time
            start = rows[index].text_start - 1  # token i predicts token i + 1
            states = hidden[place, start : start + rows[index].num_text]
            log_p = torch.log_softmax(head_logits(head, states), dim=1)
            values, ids = log_p.topk(min(NUM_KEPT, log_p.shape[1] - 1), dim=1)
            predictions[distinct[index]] = TokenPredictions(ids=ids.to("cpu", torch.int32), log_p=values.cpu())
        if progress:
            progress(len(predictions), len(distinct))
    loaded.model.train(was_training)
    return Teacher(predictions=predictions, max_tokens=max_tokens)


def save_teacher(teacher: Teacher, file: Path) -> None:
    """Write a teacher whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        kept = {_key(text): (rows.ids, rows.log_p) for text, rows in teacher.predictions.items()}
        torch.save({"max_tokens": teacher.max_tokens, "predictions": kept}, temporary)
        os.replace(temporary, file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise ModelError(f"{file} cannot be written ({first_line(error)}); is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_teacher(file: Path) -> Teacher:
    """Read what `save_teacher` wrote; a `ModelError` that names the file where it is torn, or another kind of file."""
    try:
        state = load_saved(file)
        kept = {
            text if isinstance(text, str) else InContext(*text): TokenPredictions(ids=ids, log_p=log_p)
            for text, (ids, log_p) in state["predictions"].items()
        }
        shapes = [(rows.ids.shape, rows.log_p.shape, torch.isfinite(rows.log_p).all()) for rows in kept.values()]
        whole = all(ids == log_p and bool(finite) for ids, log_p, finite in shapes)
        max_tokens = int(state["max_tokens"])
    except Exception as error:  # a torn or foreign file raises whatever its reader raises
        raise ModelError(f"{file} cannot be read ({first_line(error)}); delete it, and it is made anew") from error
    if not whole:
        raise ModelError(f"{file} holds no predictions that can be used; delete it, and it is made anew")
    return Teacher(predictions=kept, max_tokens=max_tokens)


def _key(text: Reading) -> str | tuple[str, str]:
    """A text as a file of plain values knows it."""
    return text if isinstance(text, str) else (text.context, text.text)
