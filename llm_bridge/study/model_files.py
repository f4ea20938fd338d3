"""Which model it is: hashes of its files, so that a moved model is the same one and a changed model another.

    name or path ─► folder ─► {"weights", "config", "tokenizer"}: SHA-256 each ─► model_sha256

Hashing gigabytes takes minutes; a file's hash is remembered in the study's folder by its path, size and time of change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from llm_bridge.files import StoreError, canonical_json, digest, read_json, write_json

PARTS: Mapping[str, tuple[str, ...]] = {
    "weights": ("*.safetensors", "*.safetensors.index.json", "*.bin"),
    "config": ("config.json", "generation_config.json", "quantization_config.json"),
    "tokenizer": ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model"),
}


def model_hashes(name: str, directory: Path) -> dict[str, str]:
    """Hash of each of the `PARTS` of a model.

    Parameters
    ----------
    name
        As in a recipe; a model that is not there yet is fetched. The toy model is its source text.
    directory
        The study's folder, where hashes of files are remembered.
    """
    from llm_bridge.training.fetching import TOY, fetch_model

    if name == TOY:
        from llm_bridge.training import toy

        source = hashlib.sha256(Path(toy.__file__).read_bytes()).hexdigest()
        return dict.fromkeys(PARTS, source)
    folder = fetch_model(name)
    known = _Remembered(directory / "cache" / "file_hashes.json")
    hashes = {}
    for part, patterns in PARTS.items():
        files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
        hashes[part] = digest([[path.name, known.sha256(path)] for path in files], length=64)
    known.save()
    return hashes


def model_sha256(hashes: Mapping[str, str]) -> str:
    """One hash for the model.

    Examples
    --------
    >>> len(model_sha256({"weights": "a", "config": "b", "tokenizer": "c"}))
    64
    """
    return hashlib.sha256(canonical_json(dict(hashes)).encode()).hexdigest()


class _Remembered:
    """Hashes of files by path, size and time of change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.known: dict[str, list[object]] = read_json(path) if path.exists() else {}
        except StoreError:  # a memory that cannot be read is no memory
            self.known = {}
        self.changed = False

    def sha256(self, file: Path) -> str:
        file = file.resolve()
        status = file.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        entry = self.known.get(str(file))
        if isinstance(entry, list) and entry[:2] == stamp:
            return str(entry[2])
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        self.known[str(file)] = [*stamp, found]
        self.changed = True
        return found

    def save(self) -> None:
        if self.changed:
            write_json(self.path, self.known)
