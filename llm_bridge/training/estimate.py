"""Memory that a model and a method need, estimated before anything is loaded.

    configuration ──► model on the meta device (shapes, no weights) ──► parameters by kind ──► bytes

For N parameters, of which L sit in the blocks' linear layers and T are trained, with batches of B tokens:

    weights       N * 4 (float32) or * 2 (bfloat16); 4-bit: L * 4.127 / 8 + (N − L) * 4
    gradients     T * bytes of a trained number
    optimiser     AdamW two numbers for each of T, as wide as T; 8-bit: 2 bytes
    activations   B * bytes * blocks * (9 width + 4 key-value width + 4 inner width);
                  with checkpointing B * bytes * blocks * width, and one block's full activations
    head          logits of at most 512 tokens, two copies of float32; where an objective asks for the vocabulary (all
                  but "line" and "localise"), three copies for B tokens
    libraries     what Python, torch and the GPU's context take

Full fine-tuning by P processes on GPUs is cut into shards (`sharding`): weights, gradients and optimiser state are
divided by P; a block and what lies outside the blocks are whole while they compute, all weights while they are loaded.

The objective "distil" asks the unquantised model once, before a 4-bit one is loaded: the larger of the two counts.

4.127 bits: 4 for the number, 8 / 64 for its block's constant, 32 / (64 * 256) for that constant's own (Dettmers et al.,
arXiv 2305.14314, §3). Measured peaks of SmolLM2-135M in steps of 500 tokens: QLoRA 2.5 GB, full 3.6 GB; planned with
`batch_tokens=500`: 1.7 and 3.7 GB (loading, which quantises the whole model, sets QLoRA's peak).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_bridge.training.architecture import head_modules, is_encoder, linear_shapes, meta_model, named_by, read_config
from llm_bridge.training.fetching import TOY, ModelDownloadError, ModelError, cache_root, fetch_config
from llm_bridge.training.methods import AdapterSettings, method_named
from llm_bridge.training.settings import DEFAULT_OBJECTIVES, HEAD_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

NF4_BYTES = 4.127 / 8
TEACHER_TOKENS = 2048
VERDICTS_ALONE = ("line", "localise")
LIBRARY_BYTES = {"cpu": 0.6e9, "cuda": 0.8e9}
HEADROOM = 0.95  # share of what is free that may be planned for


def _known_shapes() -> dict[str, dict[str, Any]]:
    text = resources.files("llm_bridge.training").joinpath("known_shapes.toml").read_text(encoding="utf-8")
    return {name: shape for shape in tomllib.loads(text)["model"] for name in shape.pop("names")}


KNOWN_SHAPES: Mapping[str, Mapping[str, Any]] = _known_shapes()
"""Published shapes, so that a plan can be made for gated or absent models, without a network."""


class ModelDoesNotFitError(ModelError):
    """The plan needs more memory than there is."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Peak memory of one method, by part, in bytes.

    `available` is what the device has free (`None` where unknown), `device` "cpu" or "cuda"; of several `processes`
    each needs this much. `teacher` is the peak of the unquantised model that a 4-bit one is distilled from, 0 without.
    """

    model: str
    architecture: str
    method: str
    device: str
    dtype: str
    num_parameters: int
    num_trainable: int
    batch_tokens: int
    parts: tuple[tuple[str, float], ...]
    available: float | None
    processes: int = 1
    teacher: float = 0.0

    @property
    def total(self) -> float:
        """Sum of the parts, or what the teacher needs before them."""
        return max(self.teacher, sum(size for _, size in self.parts))

    @property
    def fits(self) -> bool | None:
        """Whether the total is within 95 % of what is free; `None` where that is unknown."""
        return None if self.available is None else self.total <= HEADROOM * self.available


def estimate_memory(
    name: str,
    method: str,
    *,
    adapter: AdapterSettings | None = None,
    batch_tokens: int = 1024,
    gradient_checkpointing: bool = False,
    optimiser: str = "auto",
    objectives: Mapping[str, float] = DEFAULT_OBJECTIVES,
    dtype: str | None = None,
    device: str | None = None,
    processes: int | None = None,
) -> MemoryEstimate:
    """Estimate peak memory from the model's shape alone; no weight is read.

    Parameters
    ----------
    name
        Name of the model (`load_model`); of `KNOWN_SHAPES` no file is needed.
    method
        A name in `methods.METHODS`.
    adapter, batch_tokens, gradient_checkpointing, optimiser, objectives, dtype
        Fields of `AdapterSettings` and `TrainSettings`, and the `dtype` of `load_model`. A layer-wise method is counted
        with ``floor(ratio * blocks)`` blocks.
    device
        "cpu" or "cuda"; `None` is the one that `load_model` would take.
    processes
        Number of processes that train together, one for each GPU; `None` is what a launcher started (its
        ``WORLD_SIZE``).

    Raises
    ------
    ModelDownloadError
        When neither the model's configuration nor its shape is known.

    Examples
    --------
    >>> plan = estimate_memory("meta-llama/Meta-Llama-3-8B", "qlora", device="cuda", gradient_checkpointing=True)
    >>> plan.num_parameters, plan.num_trainable, round(dict(plan.parts)["weights"] / 1e9, 1)
    (8030261248, 20971520, 7.8)
    """
    import torch

    row = method_named(method)
    adapter = adapter or AdapterSettings()
    device = (device or ("cuda" if torch.cuda.is_available() else "cpu")).partition(":")[0]
    if device not in LIBRARY_BYTES:
        raise ModelError(f"'device' must be cpu or cuda (got {device!r})")
    dtype = dtype or ("bfloat16" if device == "cuda" and row.trained != "everything" else "float32")
    width = {"float32": 4, "bfloat16": 2}[dtype]
    config = config_of(name)
    model = meta_model(config)
    linear = linear_shapes(model)
    total = sum(parameter.numel() for parameter in model.parameters())
    trained, trained_width = _trained(row.trained, row.strategy, adapter, linear, total, width)
    heads = head_modules(model) if is_encoder(config) and row.trained == "adapters" else ()
    trained += sum(parameter.numel() for name in heads for parameter in model.get_submodule(name).parameters())
    in_linears = sum(out * wide for shapes in linear for out, wide in shapes.values())
    weights = in_linears * NF4_BYTES + (total - in_linears) * 4 if row.storage == "nf4" else total * width
    state = 2 if optimiser == "paged_adamw_8bit" else 2 * trained_width
    processes = processes or int(os.environ.get("WORLD_SIZE", "1"))
    shards = processes if row.trained == "everything" and device == "cuda" else 1
    kept = (weights + trained * (trained_width + state)) / shards
    trains = row.trained != "nothing"
    scored = 0.0 if is_encoder(config) else float(2 * HEAD_TOKENS * config.vocab_size * 4)
    asked = trains and scored and any(weight for name, weight in objectives.items() if name not in VERDICTS_ALONE)
    head = max(scored, 3.0 * batch_tokens * config.vocab_size * 4) if asked else scored
    libraries = LIBRARY_BYTES[device]
    teacher = 0.0
    if trains and row.storage == "nf4" and objectives.get("distil"):
        teacher = total * width + _activations(config, TEACHER_TOKENS, width, False, False) + scored + libraries
    whole = (total - in_linears + in_linears / len(linear)) * width if shards > 1 else 0.0
    parts = (
        ("weights", float(weights) / shards),
        ("adapters", float(trained * 4 if row.trained == "adapters" else 0)),
        ("gradients", float(trained * trained_width) / shards),
        ("optimiser", float(trained * state) / shards),
        ("gathered", float(max(whole, weights - kept) if shards > 1 else 0)),
        ("activations", _activations(config, batch_tokens, width, trains, gradient_checkpointing)),
        ("head", head),
        ("libraries", libraries),
    )
    return MemoryEstimate(
        model=name,
        architecture=type(model).__name__,
        method=method,
        device=device,
        dtype=dtype,
        num_parameters=total,
        num_trainable=trained,
        batch_tokens=batch_tokens,
        parts=parts,
        available=_available(device),
        processes=processes,
        teacher=teacher,
    )


def require_fit(estimate: MemoryEstimate) -> None:
    """Refuse what cannot fit, and say what would help; where the free memory is unknown, do nothing."""
    if estimate.fits is not False:
        return
    ideas = []
    if estimate.teacher >= estimate.total:
        ideas.append('the objective "likelihood" in place of "distil" (training.objectives)')
    if dict(estimate.parts)["activations"] > 0.2 * estimate.total:
        ideas.append("gradient_checkpointing = true or smaller batches")
    if method_named(estimate.method).trained == "everything":
        ideas.append('method "qlora"')
        if estimate.device == "cuda":
            ideas.append("more GPUs (accelerate launch --num_processes N -m llm_bridge run ...)")
    elif method_named(estimate.method).storage == "full":
        ideas.append("the 4-bit variant of the method")
    ideas.append("a smaller model, or a device with more memory")
    raise ModelDoesNotFitError(
        f"{estimate.model} with method {estimate.method!r} needs about {estimate.total / 1e9:.1f} GB on the "
        f"{estimate.device}, and {(estimate.available or 0) / 1e9:.1f} GB are free; try " + "; ".join(ideas)
    )


def estimate_line(estimate: MemoryEstimate) -> str:
    """The estimate in one line, for the start of a run."""
    free = "unknown" if estimate.available is None else f"{estimate.available / 1e9:.1f} GB"
    each = f" on each of {estimate.processes} processes" if estimate.processes > 1 else ""
    return (
        f"memory of {estimate.model}, {estimate.method}: about {estimate.total / 1e9:.1f} GB{each}, "
        f"free on the {estimate.device}: {free}"
    )


def render_estimate(estimate: MemoryEstimate) -> str:
    """The estimate as a small table of plain text."""
    lines = [
        f"{estimate.model} ({estimate.architecture}), method {estimate.method}",
        f"  {estimate.dtype} on the {estimate.device}, batches of {estimate.batch_tokens} tokens"
        + (f", {estimate.processes} processes, each:" if estimate.processes > 1 else ""),
        f"  parameters    {estimate.num_parameters:>15,}   trained {estimate.num_trainable:,}",
        *(f"  {name:<12} {size / 1e9:>10.2f} GB" for name, size in estimate.parts if size),
        *([f"  {'teacher':<12} {estimate.teacher / 1e9:>10.2f} GB, before the others"] if estimate.teacher else []),
        f"  {'peak':<12} {estimate.total / 1e9:>10.2f} GB",
    ]
    if estimate.available is None:
        lines.append("  free memory is not known here")
    else:
        verdict = "fits" if estimate.fits else "does NOT fit"
        lines.append(f"  {'free':<12} {estimate.available / 1e9:>10.2f} GB: {verdict}")
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------------------------- helpers


def config_of(name: str) -> PreTrainedConfig:
    """Configuration of a model by known shape, folder, GGUF header or hub id; no weight is read or fetched."""
    from transformers import AutoConfig

    if name == TOY:
        from llm_bridge.training.toy import toy_model

        return toy_model(259).config
    folder = Path(name).expanduser()
    cached = cache_root() / "models" / name
    for place in (folder, cached):
        if (place / "config.json").is_file():
            return read_config(place)
    if folder.suffix == ".gguf" and folder.is_file():
        return read_config(folder.parent, gguf_file=folder.name)
    if folder.is_dir():
        return read_config(folder)  # says what is missing
    if name in KNOWN_SHAPES:
        shape = {"model_type": "llama", **KNOWN_SHAPES[name]}
        known: PreTrainedConfig = AutoConfig.for_model(**shape)
        return known
    try:
        return read_config(fetch_config(name))
    except ModelDownloadError as error:
        raise ModelDownloadError(
            f"no configuration of {name!r} can be read ({error}); pass a folder that holds its config.json, or one of "
            f"{', '.join(KNOWN_SHAPES)}"
        ) from error


def _trained(
    kind: str,
    strategy: str | None,
    adapter: AdapterSettings,
    linear: Sequence[Mapping[str, tuple[int, int]]],
    total: int,
    width: int,
) -> tuple[int, int]:
    """Count and width of the trained numbers: adapters in float32, all weights as they are stored."""
    if kind == "nothing":
        return 0, 4
    if kind == "everything":
        return total, width
    if not 1 <= (blocks := adapter.read_layer or len(linear)) <= len(linear):
        raise ModelError(f"'read_layer' must lie in 1...{len(linear)}, the model's blocks (got {blocks})")
    if strategy in (None, "manual"):
        layers = range(blocks) if adapter.layers is None and strategy is None else adapter.layers or ()
        if bad := sorted({layer for layer in layers if layer >= blocks}):
            raise ModelError(f"'layers' must lie in 0...{blocks - 1} (got {bad})")
        count = len(layers)
    elif strategy == "all":
        count = blocks
    else:
        count = adapter.num_layers or int(adapter.ratio * blocks)
        if not 1 <= count <= blocks:
            raise ModelError(f"the number of layers must lie in 1...{blocks} (got {count}, from ratio {adapter.ratio})")
    one = sum(out + wide for path, (out, wide) in linear[0].items() if named_by(path, adapter.target_modules))
    return adapter.rank * one * count, 4


def _activations(config: PreTrainedConfig, tokens: int, width: int, training: bool, checkpointing: bool) -> float:
    """Bytes of what a step keeps for the way back; without training one block's worth."""
    heads = config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_value = (getattr(config, "num_key_value_heads", None) or heads) * head_width
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size  # GPT-2 names none
    block = 9 * config.hidden_size + 4 * key_value + 4 * inner
    kept = config.num_hidden_layers * config.hidden_size + block if checkpointing else config.num_hidden_layers * block
    return float(tokens * width * (kept if training else block))


def _available(device: str) -> float | None:
    """Free memory of the device in bytes."""
    if device == "cuda":
        import torch

        return float(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return None
