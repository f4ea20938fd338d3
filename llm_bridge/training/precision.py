"""Precision of a model's products, apart from the precision in which its weights are stored.

    compute      the blocks' products            weights, residual stream, norms, head, likelihoods, losses, optimiser
    float32      float32                         as stored (float32 on a CPU)
    bfloat16     bfloat16, sums in float32       as stored

"auto" is bfloat16 where the hardware multiplies it (a CPU with AVX512-BF16 or AMX, Arm with BF16, a GPU since Ampere).
It is twice as fast there, and 10 to 25 times slower on a CPU without. Because scores would then depend on the machine
they were made on, a CPU computes in float32 unless asked.

Source: Micikevicius et al., arXiv 1710.03740 (mixed precision: products narrow, sums and stored weights wide).
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from llm_bridge.training.fetching import ModelError

if TYPE_CHECKING:
    import torch

COMPUTES = ("float32", "bfloat16", "auto")
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Names of /proc/cpuinfo for arithmetic in bfloat16, on x86 and on Arm."""


def resolve_compute(compute: str | None, device: torch.device, *, weights: str | None = None) -> str:
    """Either "float32" or "bfloat16", for what was asked.

    Parameters
    ----------
    compute
        One of `COMPUTES`; `None` is float32 on a CPU, and "auto" on a GPU whose weights were not asked for in float32.
    device
        Device on which the model computes.
    weights
        The stored precision that was asked for, if any.

    Examples
    --------
    >>> import torch
    >>> resolve_compute(None, torch.device("cpu")), resolve_compute("bfloat16", torch.device("cpu"))
    ('float32', 'bfloat16')
    """
    if compute is not None and compute not in COMPUTES:
        raise ModelError(f"'compute' must be one of {', '.join(COMPUTES)} (got {compute!r})")
    if compute is None:
        compute = "float32" if device.type == "cpu" or weights == "float32" else "auto"
    if compute == "auto":
        return "bfloat16" if multiplies_bfloat16(device) else "float32"
    return compute


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has arithmetic in bfloat16; a CPU of unknown features has none."""
    if device.type == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(CPU_FLAGS & cpu_flags())


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Feature names of this machine's first CPU; empty where the system does not list them."""
    if platform.system() != "Linux":
        return frozenset()
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    listed = (line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features")))
    return frozenset(next(listed, "").split())


def blocks_arithmetic(compute: str, device: torch.device) -> torch.autocast:
    """Context in which products are computed in `compute`."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=compute == "bfloat16")


def stored_arithmetic(device: torch.device) -> torch.autocast:
    """Context in which everything is computed as it is stored again: for the head, likelihoods and losses."""
    import torch

    kind = "cpu" if device.type == "meta" else device.type  # a dry run without numbers
    return torch.autocast(kind, enabled=False)
