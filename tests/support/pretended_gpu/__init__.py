"""A GPU that is not there: real numbers on the CPU, in tensors that say cuda:0 and refuse what CUDA would refuse.

    with pretended_gpu():
        ...  # device = "cuda" works

It sees what lies on the wrong side, fresh or after a resume. It is blind to kernels, their numerics and determinism,
to memory and to time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from support.pretended_gpu import dispatch
from support.pretended_gpu.calls import Calls
from support.pretended_gpu.driver import driver


@contextlib.contextmanager
def pretended_gpu() -> Iterator[None]:
    """torch believes in one CUDA device for as long as the context lasts; its tensors cannot be used afterwards."""
    lifting = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(...) is made on the CPU and then moved
    try:
        with driver(), dispatch.watching(), Calls(), dispatch.Factories():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(lifting)
