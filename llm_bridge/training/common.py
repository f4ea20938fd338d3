"""Errors about models, and the care that the model libraries need: nothing printed, nothing drawn at random."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class ModelDownloadError(RuntimeError):
    """The model could not be had, or what came is not what was pinned."""


class ModelError(ValueError):
    """The model was found, and cannot be used here."""


def first_line(error: BaseException) -> str:
    """First line of an error's message; its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def require_all_weights(info: Mapping[str, Any], where: Path, *, drawn: tuple[str, ...] = ()) -> None:
    """Refuse a model of which weights are missing: the library draws them at random, and only warns.

    `info` is what ``from_pretrained(..., output_loading_info=True)`` returns beside the model; names that begin with
    one of `drawn` may be missing.
    """
    missing = sorted(key for key in map(str, info.get("missing_keys") or ()) if not key.startswith(drawn or ("\0",)))
    wrong = sorted(str(key) for key in info.get("mismatched_keys") or ())
    if missing or wrong:
        first = ", ".join([*missing, *wrong][:3])
        raise ModelError(f"{where} lacks {len(missing)} weights and has {len(wrong)} of another shape: {first}, ...")


def load_saved(file: Path) -> Any:
    """Tensors and plain values that ``torch.save`` wrote, on the CPU, their checksums verified: torch skips them.

    A torn or foreign file raises whatever its reader raises.
    """
    import torch

    with zipfile.ZipFile(file) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("it is compressed, as torch writes none")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the checksum of its part {damaged!r} is wrong")
    return torch.load(file, map_location="cpu", weights_only=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back the progress bars and notices of transformers and bitsandbytes: a library prints nothing."""
    from transformers.utils import logging as hf_logging

    shown, level = hf_logging.is_progress_bar_enabled(), hf_logging.get_verbosity()
    others = {name: logging.getLogger(name) for name in ("bitsandbytes", "huggingface_hub")}
    levels = {name: logger.level for name, logger in others.items()}
    hf_logging.disable_progress_bar()
    hf_logging.set_verbosity_error()
    for logger in others.values():
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # the GGUF reader has its own bar
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for name, logger in others.items():
            logger.setLevel(levels[name])
        hf_logging.set_verbosity(level)
        if shown:
            hf_logging.enable_progress_bar()
