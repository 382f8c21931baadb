"""Everything that a sum's last bit depends on, set before torch is loaded, and refused where it cannot be honoured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from core.runs import versions

PREFIXES = ("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "OPENBLAS_", "ATEN_CPU_", "TORCH_", "CUBLAS_")


class CannotHonour(RuntimeError):
    """The process cannot compute as the run's spec says. Worker exit code 78."""


def set_environment(threads: int) -> None:
    """Before torch is imported: thread counts from the spec, nothing inherited that picks other kernels."""
    for name in [n for n in os.environ if n.startswith(PREFIXES)]:
        del os.environ[name]
    os.environ |= {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        "OMP_WAIT_POLICY": "passive",  # spinning threads slow a neighbour 5-17x
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
    }


def require_versions(planned: dict[str, str]) -> None:
    """Raises CannotHonour where a library, or Python, is not the one that the run was planned with."""
    different = versions.differences(planned)
    if different:
        raise CannotHonour(f"{'; '.join(different)}; install the planned versions, or plan anew")


def prepare_torch(config: Any) -> dict[str, str]:
    """Threads and deterministic kernels; returns the machine as checkpoints record it."""
    import torch

    torch.set_num_threads(config.threads)
    torch.set_num_interop_threads(1)
    if torch.get_num_threads() != config.threads:
        raise CannotHonour(f"threads = {config.threads} was planned, torch offers {torch.get_num_threads()}")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    machine = {"torch": torch.__version__, "device": config.device, "dtype": config.dtype}
    if config.device == "cuda":
        if not torch.cuda.is_available():
            raise CannotHonour("device = cuda was planned, and torch sees no GPU here")
        return machine | {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
    return machine | {"cpu": _cpu_name(), "capability": torch.backends.cpu.get_cpu_capability()}


def _cpu_name() -> str:
    """Vendor, family and model: what BLAS libraries choose their kernels by."""
    wanted = ("vendor_id", "cpu family", "model", "model name")
    found: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in wanted:
            found.setdefault(key.strip(), value.strip())
    return " ".join(found.values()) or platform.machine()
