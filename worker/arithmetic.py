"""Everything that a sum's last bit depends on, set before torch is loaded, and refused where it cannot be honoured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from core.runs import versions

PREFIXES = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "OPENBLAS_", "ATEN_CPU_"),
    *("TORCH_", "PYTORCH_", "CUBLAS_", "CUBLASLT_", "CUDNN_", "NVIDIA_TF32_"),
)


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
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",  # lengths differ by step, and fixed segments would leave gaps
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
    choose_kernels()
    machine = {"torch": torch.__version__, "device": config.device, "dtype": config.dtype}
    if config.device == "cuda":
        if not torch.cuda.is_available():
            raise CannotHonour("device = cuda was planned, and torch sees no GPU here")
        return machine | _gpu()
    return machine | {"cpu": _cpu_name(), "capability": torch.backends.cpu.get_cpu_capability()}


def choose_kernels() -> None:
    """The same sums in the same order every time: what torch may choose among is narrowed here, for good.

    Strict on purpose: where torch is only to warn, attention's fused backward stays the one that adds in any order.
    docs/guarantees.md lists the operations of a step, and what each of them does in this mode.
    """
    import torch

    torch.use_deterministic_algorithms(True)
    torch.backends.cuda.enable_cudnn_sdp(False)  # builds a plan for every new key length: up to 0.4 s a token
    matmul = torch.backends.cuda.matmul
    settings = (
        (torch.utils.deterministic, "fill_uninitialized_memory"),  # it writes every new tensor once more, for no sum
        # TF32 keeps 10 bits. In float32 are: logits, directions and their projections, LoRA's branch, and the product
        # of positions with rotary frequencies, where 10 bits cannot tell position 3000 from 3001.
        (matmul, "allow_tf32"),
        (torch.backends.cudnn, "allow_tf32"),
        # Parts of a long sum are added in float32: how many parts there are depends on the number of rows, which
        # sampling and training do not share.
        (matmul, "allow_bf16_reduced_precision_reduction"),
    )
    for owner, name in settings:
        setattr(owner, name, False)


def _gpu() -> dict[str, str]:
    """What kernels are chosen by, and what was left to choose from."""
    import torch

    fused = torch.backends.cuda
    enabled = {
        "flash": fused.flash_sdp_enabled(),
        "efficient": fused.mem_efficient_sdp_enabled(),
        "math": fused.math_sdp_enabled(),
        "cudnn": fused.cudnn_sdp_enabled(),
    }
    major, minor = torch.cuda.get_device_capability()
    return {
        "gpu": torch.cuda.get_device_name(),
        "capability": f"{major}.{minor}",
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "attention": ",".join(name for name, is_on in enabled.items() if is_on),
    }


def _cpu_name() -> str:
    """Vendor, family and model: what BLAS libraries choose their kernels by."""
    wanted = ("vendor_id", "cpu family", "model", "model name")
    found: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in wanted:
            found.setdefault(key.strip(), value.strip())
    return " ".join(found.values()) or platform.machine()
