"""Provenance of a number: the code and the model that shape it, and the machine that computed it.

`code_identity` and `model_hashes` are part of identities: other code, or other weights, make other numbers. What
`provenance` tells is stored beside every result and shapes none.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType
from typing import Any

from llm_bridge.files import StoreError, canonical_json, digest, file_digest, read_json, write_json
from lora_phy.monte_carlo.results_file import LINK_VERSION

PACKAGES = ("chirpbridge", "numpy", "scipy", "numba", "torch", "transformers", "peft", "bitsandbytes", "tokenizers")
ROOT = Path(__file__).resolve().parents[2]
ROOT_PACKAGE = __name__.partition(".")[0]
RADIO_CODE = (
    "params",
    "coding",
    "modem",
    "channel",
    "frames",
    "receiver",
    "monte_carlo",
    "kernels",
    "resampling",
    "theory",
)
MODEL_SCORING = ("_isolation", "likelihood", "prefix_trees", "repair", "sandbox", "text_scores")
CODE: Mapping[str, tuple[str, ...]] = {
    "link": (*(f"lora_phy/{name}" for name in RADIO_CODE), *(f"llm_bridge/{x}" for x in ("axes", "link", "transport"))),
    "model": (
        "llm_bridge/training",
        *(f"llm_bridge/scoring/{name}" for name in MODEL_SCORING),
        "llm_bridge/study/shuffling",
    ),
    "score": ("llm_bridge/scoring", "llm_bridge/study/rows"),
}
"""Modules and packages that shape what arrives over a link, what a model makes of it, and how that is scored: a change
of the last costs no training."""
MODEL_PARTS: Mapping[str, tuple[str, ...]] = {
    "weights": ("*.safetensors", "*.safetensors.index.json", "*.bin"),
    "config": ("config.json", "generation_config.json", "quantization_config.json"),
    "tokenizer": ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model"),
}


def simulator_version() -> str:
    """Version of this distribution and of its link simulation; part of every result's identity."""
    return f"{_version('chirpbridge') or 'unknown'}, link {LINK_VERSION}"


@lru_cache(maxsize=4)
def code_identity(part: str) -> str:
    """Hash of the source files of a part of `CODE`; comments, docstrings and layout do not count.

    Examples
    --------
    >>> len(code_identity("model"))
    16
    """
    found = hashlib.sha256()
    for place in CODE[part]:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            found.update(f"{file.relative_to(ROOT).as_posix()}\0{_bare(file)}\0".encode())
    return found.hexdigest()[:16]


def function_identity(function: object) -> object:
    """Identity of a function: its byte code and constants as plain values, independent of its file.

    To a function that is not this package's (whose modules are hashed as a whole: `code_identity`) belongs also what it
    reads besides its arguments: defaults, variables of an outer function, and the constants and functions of its own
    module that it names.
    """
    return _identity_of(function, set())


def model_hashes(name: str, directory: Path) -> dict[str, str]:
    """Hash of each of the `MODEL_PARTS` of a model, so that a moved model is the same one and a changed model another.

    Hashing gigabytes takes minutes; a file's hash is remembered by its path, size and time of change.

    Parameters
    ----------
    name
        Name as in a recipe; a model that is not there yet is fetched. The toy model is its source text.
    directory
        Folder of the study, where hashes of files are remembered.
    """
    from llm_bridge.training.fetching import TOY, fetch_model

    if name == TOY:
        from llm_bridge.training import toy

        return dict.fromkeys(MODEL_PARTS, hashlib.sha256(Path(toy.__file__).read_bytes()).hexdigest())
    folder, memory = fetch_model(name), directory / "cache" / "file_hashes.json"
    before = _remembered(memory)
    known, hashes = dict(before), {}
    for part, patterns in MODEL_PARTS.items():
        files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
        hashes[part] = digest([[path.name, _file_sha256(path, known)] for path in files], length=64)
    if known != before:
        write_json(memory, known)
    return hashes


def model_sha256(hashes: Mapping[str, str]) -> str:
    """One hash for the model.

    Examples
    --------
    >>> len(model_sha256({"weights": "a", "config": "b", "tokenizer": "c"}))
    64
    """
    return hashlib.sha256(canonical_json(dict(hashes)).encode()).hexdigest()


def provenance() -> dict[str, object]:
    """Versions of what computes, the commit where the source lies in a repository, and the machine.

    Examples
    --------
    >>> sorted(provenance())
    ['commit', 'machine', 'python', 'versions']
    """
    return {
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "commit": _commit(),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            **_accelerator(),
        },
    }


# --- helpers ----------------------------------------------------------------------------------------------------------


def _bare(file: Path) -> str:
    """A source file without comments, docstrings and layout."""
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [x for x in body if not (isinstance(x, ast.Expr) and isinstance(x.value, ast.Constant))]
    return ast.unparse(tree)


def _plain_code(code: CodeType) -> list[object]:
    def plain(constant: object) -> object:
        if isinstance(constant, CodeType):
            return _plain_code(constant)
        return sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)

    return [code.co_code.hex(), [plain(constant) for constant in code.co_consts], list(code.co_names)]


def _identity_of(value: object, seen: set[int]) -> object:
    """Identity of a function, or of a value that one reads; `seen` are functions that are being read already."""
    if isinstance(value, partial):
        parts = (value.func, *value.args, *itertools.chain.from_iterable(sorted(value.keywords.items())))
        return ["partial", *(_identity_of(part, seen) for part in parts)]
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    code = getattr(value, "__code__", None)
    if not isinstance(code, CodeType):
        return repr(getattr(value, "__qualname__", value))
    plain = _plain_code(code)
    if str(getattr(value, "__module__", "")).partition(".")[0] == ROOT_PACKAGE or id(code) in seen:
        return plain
    seen = seen | {id(code)}
    function: Any = getattr(value, "__func__", value)
    read = [*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
    read += [cell.cell_contents for cell in function.__closure__ or ()]
    for name in sorted(_names_in(code)):
        found = function.__globals__.get(name)
        own = getattr(found, "__module__", None) == function.__module__ and hasattr(found, "__code__")
        if own or isinstance(found, (bool, int, float, complex, str, bytes, tuple, frozenset)):
            read += [name, found]
    return [*plain, [_identity_of(part, seen) for part in read]] if read else plain


def _names_in(code: CodeType) -> set[str]:
    """Names of globals and attributes in a function and in those inside it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names_in, inner))


def _remembered(path: Path) -> dict[str, object]:
    try:
        return dict(read_json(path)) if path.exists() else {}
    except (StoreError, ValueError, TypeError):  # a memory that cannot be read is no memory
        return {}


def _file_sha256(file: Path, known: dict[str, object]) -> str:
    file = file.resolve()
    status = file.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    entry = known.get(str(file))
    if isinstance(entry, list) and entry[:2] == stamp and re.fullmatch(r"[0-9a-f]{64}", str(entry[-1])):
        return str(entry[-1])
    found = file_digest(file)
    known[str(file)] = [*stamp, found]
    return found


def _accelerator() -> dict[str, object]:
    """Threads of torch and the GPU's name; nothing where no model was used in this process."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {"threads": None, "gpu": None}
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"threads": torch.get_num_threads(), "gpu": gpu}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def _commit() -> str | None:
    """Commit of the repository that holds this file, "+changes" where the working tree differs; None outside one.

    As it was when first asked for: what runs was read then.
    """
    if not (ROOT / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    """Name of the processor as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
