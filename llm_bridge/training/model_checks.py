"""Checks of a base model: its files before any work, its weights and head once they are loaded.

    folder ──► files whole? ──► configuration ──► tokenizer ──► modules: head, blocks, adapters' targets     (no weight)
    loaded ──► weights are numbers ──► stored as asked ──► our logits are the model's own                    (one pass)

The first row costs seconds whatever the size of the model, and names every problem that it finds, one line each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_bridge.training.architecture import (
    head_problem,
    is_encoder,
    meta_model,
    num_positions,
    positions_problem,
    read_config,
    target_problem,
)
from llm_bridge.training.common import ModelError, first_line, quiet
from llm_bridge.training.examples import chat_frame
from llm_bridge.training.methods import LLAMA_LINEARS, method_named

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

LFS_POINTER = b"version https://git-lfs"
LOGIT_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
"""Largest difference of two ways to the same logits, over their largest magnitude, by the stored precision."""


def check_folder(
    folder: Path,
    methods: Sequence[str] = (),
    *,
    storages: Sequence[str] = (),
    target_modules: Sequence[str] = LLAMA_LINEARS,
    distils: bool = False,
    max_tokens: int = 1,
    chat_template: bool = False,
) -> None:
    """Refuse a model folder that cannot be used as asked, before any weight is loaded.

    Parameters
    ----------
    folder
        A model in the transformers layout.
    methods
        Names in `methods.METHODS` that are to be applied to it.
    storages
        Further ways in which its weights are to be stored, "full" or "nf4".
    target_modules
        Linear layers that get adapters, where a method trains adapters.
    distils
        Whether the untrained model is asked too (the objective "distil").
    max_tokens
        Longest text that the model shall read, in tokens.
    chat_template
        Whether texts are to be put into the model's chat template.

    Raises
    ------
    ModelError
        One line for each problem.
    """
    problems = file_problems(folder)
    try:
        config = read_config(folder)
    except ModelError as error:
        raise ModelError("\n".join([*problems, str(error)])) from error
    rows = [method_named(name) for name in methods]
    wanted = {*storages, *(row.storage for row in rows), *(["full"] if distils else [])}
    problems += [text for storage in sorted(wanted) if (text := storage_problem(config, folder, storage))]
    try:
        tokenizer = read_tokenizer(folder)
    except ModelError as error:
        problems.append(str(error))
    else:
        problems += tokenizer_problems(tokenizer, config)
        if chat_template:
            try:
                chat_frame(tokenizer)
            except ValueError as error:
                problems.append(str(error))
    positions = num_positions(config)
    if positions is not None and max_tokens > positions:
        problems.append(f"'max_tokens' must be at most the model's {positions} positions (got {max_tokens})")
    try:
        model = meta_model(config)
        checks = [head_problem(model), positions_problem(model)]
        if any(row.trained == "adapters" for row in rows):
            checks.append(target_problem(model, target_modules))
        problems += [text for text in checks if text]
    except ModelError as error:
        problems.append(str(error))
    if problems:
        raise ModelError("\n".join(dict.fromkeys(problems)))


def encoder_problems(
    config: PreTrainedConfig, methods: Sequence[str], tasks: Sequence[str], objectives: Sequence[Mapping[str, float]]
) -> list[str]:
    """Problems of a recipe with an encoder: it has no likelihoods, so it detects, and learns that alone.

    Parameters
    ----------
    config
        Configuration of the model; of a causal one there are no problems here.
    methods, tasks, objectives
        Methods and tasks of the recipe, and the weights of the objectives of each method that trains.
    """
    if not is_encoder(config):
        return []
    causal = [task for task in dict.fromkeys(tasks) if task != "detect"]
    learnt = sorted({name for weights in objectives for name, weight in weights.items() if weight and name != "detect"})
    packed = [name for name in methods if method_named(name).storage == "nf4"]
    scored = [name for name in methods if method_named(name).strategy == "fisher"]
    kind = f"an encoder ({config.model_type}) has no likelihoods"
    problems = [f"{kind} and classifies: 'score.tasks' can be detect alone (got {', '.join(causal)})"] if causal else []
    if learnt:
        problems.append(f"{kind}: 'training.objectives' must be {{detect = 1.0}} alone (got also {', '.join(learnt)})")
    if scored:
        problems.append(f"{kind} whose gradients {', '.join(scored)} could look at; choose layers by cka, or by index")
    if packed:
        problems.append(f"an encoder ({config.model_type}) is not stored in 4 bits: no method {', '.join(packed)}")
    return problems


def file_problems(folder: Path) -> list[str]:
    """Problems of a folder's weight files: none there, a pointer in place of a file, or a torn one."""
    indices = sorted(folder.glob("*.safetensors.index.json")) + sorted(folder.glob("*.bin.index.json"))
    weights = {*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")}
    problems = []
    for index in indices:
        if text := _pointer_problem(index):
            problems.append(text)
            continue
        try:
            named = {folder / name for name in json.loads(index.read_text())["weight_map"].values()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
            problems.append(f"{index} cannot be read; fetch it again")
            continue
        problems += [f"{path} is missing, and {index.name} names it" for path in sorted(named - weights)]
    if not weights and not indices:
        problems.append(f"{folder} holds no weights (*.safetensors or pytorch_model*.bin)")
    for path in sorted(weights):
        text = _pointer_problem(path) or (safetensors_problem(path) if path.suffix == ".safetensors" else None)
        if text:
            problems.append(text)
    return problems


def safetensors_problem(path: Path) -> str | None:
    """Reason why a safetensors file is not whole: an unreadable header, or a size other than the header's."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                return f"{path} is torn: its header is cut; delete it and fetch it again"
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return f"{path} is no safetensors file; delete it and fetch it again"
    if wanted != size:
        return f"{path} is torn: {size} bytes, its header says {wanted}; delete it and fetch it again"
    return None


def _pointer_problem(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            found = file.read(len(LFS_POINTER))
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return f"{path} is a git-lfs pointer, not the file: run `git lfs pull` there" if found == LFS_POINTER else None


def storage_problem(config: PreTrainedConfig, folder: Path, storage: str) -> str | None:
    """Reason why a model cannot be loaded with this storage: its weights were saved quantised."""
    saved = getattr(config, "quantization_config", None)
    if saved is None:
        return None
    fields = dict(saved) if isinstance(saved, dict) else saved.to_dict()
    kind = fields.get("quant_method") or ("bitsandbytes" if "load_in_4bit" in fields else "an unknown method")
    if storage == "full":
        return (
            f"{folder} was saved quantised ({kind}): there is no full-precision base in it for storage 'full', the "
            "methods full, lora and zero-shot, or the teacher of 'distil'; give the unquantised model"
        )
    if not (fields.get("load_in_4bit") and fields.get("bnb_4bit_quant_type") == "nf4"):
        return f"{folder} was saved quantised ({kind}), not as 4-bit NF4; give the unquantised model"
    return None


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A folder's tokenizer, or a `ModelError`; code of the repository is never run."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library raises whatever its parsers raise
        raise ModelError(f"{folder} holds no readable tokenizer ({first_line(error)})") from error
    return tokenizer


def tokenizer_problems(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> list[str]:
    """Problems of a tokenizer: it must be fast, have a begin or end token, and fit the embedding."""
    problems = []
    if not tokenizer.is_fast:
        problems.append("the tokenizer does not know which characters a token covers: a tokenizer.json is needed")
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        problems.append("the tokenizer has neither a begin-of-text nor an end-of-text token")
    if len(tokenizer) > config.vocab_size:
        problems.append(
            f"the tokenizer has {len(tokenizer)} entries, the embedding {config.vocab_size} rows: "
            "an added token would have no row"
        )
    return problems


# ------------------------------------------------------------------------------------------------------ once loaded


def check_loaded(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, storage: str) -> None:
    """Refuse a loaded model whose numbers cannot be trusted.

    Raises
    ------
    ModelError
        A weight that is not a number; weights stored otherwise than asked; logits that are not those which scores are
        read from (`objectives.head_logits`, `objectives.line_verdicts`).
    """
    import torch

    for name, parameter in model.named_parameters():
        # the extremes, which a NaN is too: asked number by number, the largest matrix would exist twice
        if parameter.is_floating_point() and not bool(torch.isfinite(torch.stack(parameter.aminmax())).all()):
            bad = int((~torch.isfinite(parameter)).sum())
            raise ModelError(f"{bad} of the weights in {name} are not finite numbers: the model's likelihoods are none")
    stored = {
        type(module).__name__ for module in model.modules() if hasattr(getattr(module, "weight", 0), "quant_state")
    }
    packed = [name for name, parameter in model.named_parameters() if not parameter.is_floating_point()]
    if storage == "full" and (stored or packed):
        raise ModelError(f"the weights are stored quantised ({packed[0] if packed else min(stored)}), not in full")
    if storage == "nf4" and not stored:
        raise ModelError("no linear layer could be stored in 4 bits: this architecture has none that NF4 packs")
    _check_head(model, tokenizer)


def _check_head(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Compare the logits and verdicts that scores are read from with the model's own, on one short text."""
    import torch

    from llm_bridge.training.examples import class_frame, encode_text, make_batch, verdict_ids
    from llm_bridge.training.objectives import class_logits, head_logits, hidden_states, verdict_direction

    if is_encoder(model.config):
        row = encode_text("def f(x):\n    return x\n", tokenizer, frame=class_frame(tokenizer))
        with torch.inference_mode():
            logits = class_logits(model, make_batch([row], pad_id=row.input_ids[0], device=model.device))
        if not bool(torch.isfinite(logits).all()):
            raise ModelError("the model's logits are not finite numbers")
        return
    if problem := head_problem(model):
        raise ModelError(problem)
    ids = encode_text("def f(x):\n    return x\n", tokenizer).input_ids
    batch = torch.tensor([ids], device=next(model.parameters()).device)
    bug, ok = verdict_ids(tokenizer)
    with torch.inference_mode():
        own = model(input_ids=batch, attention_mask=torch.ones_like(batch), use_cache=False).logits.float()
        hidden = hidden_states(model, batch, torch.ones_like(batch))
        ours = head_logits(model.get_output_embeddings(), hidden)
        verdicts = hidden.float() @ verdict_direction(model, (bug, ok)).float()
    if not bool(torch.isfinite(own).all()):
        raise ModelError("the model's logits are not finite numbers: it has no likelihoods")
    largest = float(own.abs().max())
    apart = max(float((own - ours).abs().max()), float((own[..., bug] - own[..., ok] - verdicts).abs().max()))
    if apart > LOGIT_TOLERANCE.get(str(hidden.dtype).removeprefix("torch."), 2e-2) * largest:
        raise ModelError(
            f"{type(model).__name__} does more with its hidden states than multiply them by its head: "
            f"logits read from it are up to {apart:.3g} off (the largest is {largest:.3g})"
        )
