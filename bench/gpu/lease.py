"""Does a worker refuse a card that somebody else holds, name who it is, and take it once it is free?"""

from __future__ import annotations

import os
import subprocess
import sys

from bench.gpu.machine import nvidia_smi
from bench.gpu.phase import Finding, Phase, Visit
from worker import gpu

HOLDER = """
import sys, torch
held = torch.zeros(1 << 28, device=sys.argv[1])
print("holding", flush=True)
sys.stdin.read()
"""


def work(visit: Visit) -> Finding:
    """1 GB of float32 in a child; then nothing."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, visit.device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        if not nvidia_smi("name"):
            return Finding(None, "nvidia-smi says nothing here, so a worker asks nobody")
        refused = refusal(0.0)
    finally:
        child.kill()
        child.communicate()
    after = refusal(10.0)
    named = f"pid {child.pid} " in refused
    figures = {"holder": child.pid, "said": refused, "after its end": after}
    if not refused:
        return Finding(
            False, "the card was taken although a child held 1 GB: nvidia-smi shows no such process", figures
        )
    says = (
        f"GpuBusy {'names' if named else 'does not name'} the holder; {'still held' if after else 'free'} after its end"
    )
    return Finding(named and not after, says, figures)


def refusal(grace_s: float) -> str:
    """What a worker would say that asks for the card now; empty: it has it."""
    os.environ["GRPOQ_GPU_GRACE_S"] = str(grace_s)
    try:
        gpu.take(lambda: None)
    except gpu.GpuBusy as busy:
        return str(busy)
    return ""


LEASE = Phase("lease", 20, "GpuBusy names the pid of the holder; free after its end", work, alone=True)
