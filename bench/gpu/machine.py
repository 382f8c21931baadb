"""What the machine is, and whether attention there costs a plan for every length of the keys."""

from __future__ import annotations

import platform
import statistics
import subprocess
from typing import Any

from bench.gpu.phase import Finding, Phase, Visit, judged, settled
from core.runs import versions

MOST_MS = 1.0  # for a length of the keys that was not asked for before


def work(visit: Visit) -> Finding:
    import torch
    import torch.nn.functional as F

    about: dict[str, Any] = {
        "python": platform.python_version(),
        **{name: versions.version_of(name) for name in ("torch", "transformers", "peft", "safetensors", "numpy")},
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "card": card(visit),
        "driver": nvidia_smi("driver_version"),
    }
    visit.machine()
    cudnn_is_on = torch.backends.cuda.cudnn_sdp_enabled()

    def lengths_ms(first: int) -> list[float]:
        """(key_lengths,) milliseconds of decode-shaped attention, each with keys one longer than the last."""
        q = torch.zeros(visit.sizes.rows, 8, 4, 128, device=visit.device, dtype=torch.bfloat16)
        k = torch.zeros(visit.sizes.rows, 8, 2048, 128, device=visit.device, dtype=torch.bfloat16)
        seen = torch.ones(visit.sizes.rows, 1, 1, 2048, device=visit.device, dtype=torch.bool)
        found = []
        for length in range(first, first + visit.sizes.key_lengths + 3):
            began = settled(visit)
            F.scaled_dot_product_attention(q, k[:, :, :length], k[:, :, :length], attn_mask=seen[..., :length])
            found.append(1e3 * (settled(visit) - began))
        return found[3:]  # the first few load kernels

    own = lengths_ms(800)
    about["as the worker has it, ms"] = {"median": _short(statistics.median(own)), "max": _short(max(own))}
    if visit.on_card:
        torch.backends.cuda.enable_cudnn_sdp(True)
        with_cudnn = lengths_ms(1200)
        torch.backends.cuda.enable_cudnn_sdp(cudnn_is_on)
        about["with cudnn, ms"] = {"median": _short(statistics.median(with_cudnn)), "max": _short(max(with_cudnn))}
    passed = not cudnn_is_on and statistics.median(own) < MOST_MS
    says = f"{about['card'].get('name', 'no card')}; cudnn attention is {'on' if cudnn_is_on else 'off'} in the worker"
    return Finding(judged(visit, passed), f"{says}; {statistics.median(own):.2f} ms a new length", about)


def card(visit: Visit) -> dict[str, Any]:
    """Name, bytes and capability of the card; empty where there is none."""
    if not visit.on_card:
        return {}
    import torch

    found = torch.cuda.get_device_properties(0)
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    return {"name": torch.cuda.get_device_name(), "bytes": found.total_memory, "capability": capability}


def nvidia_smi(field: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _short(value: float) -> float:
    return float(f"{value:.3g}")


MACHINE = Phase("machine", 15, f"cudnn attention off in the worker, < {MOST_MS:g} ms a new key length", work)
