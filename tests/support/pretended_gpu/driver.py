"""What torch and the libraries around it ask of the CUDA driver, answered for one device that is never full."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import peft.peft_model
import pytest
import torch

NOTHING: tuple[str, ...] = (
    *("_lazy_init", "manual_seed", "manual_seed_all", "synchronize", "empty_cache", "reset_peak_memory_stats"),
    *("set_rng_state", "set_device"),
)
ANSWERS: dict[str, Any] = {
    "is_available": True,
    "is_initialized": True,
    "is_bf16_supported": True,
    "is_current_stream_capturing": False,
    "device_count": 1,
    "current_device": 0,
    "get_device_name": "pretended",
    "get_device_capability": (12, 0),
    "get_device_properties": types.SimpleNamespace(total_memory=96_000_000_000),
    "max_memory_allocated": 0,
    "max_memory_reserved": 0,
    "memory_allocated": 0,
    "memory_reserved": 0,
    "mem_get_info": (0, 0),
}


@contextlib.contextmanager
def driver() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in NOTHING:
            patch.setattr(torch.cuda, name, lambda *args, **kwargs: None)
        for name, answer in ANSWERS.items():
            patch.setattr(torch.cuda, name, lambda *args, answer=answer, **kwargs: answer)
        patch.setattr(torch.cuda, "get_rng_state", lambda *args: torch.zeros(16, dtype=torch.uint8))
        for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            patch.setattr(torch.optim.Optimizer, name, lambda self: None, raising=False)
        # safetensors copies from a device in Rust, which asks C++ where a tensor lies.
        save_file = peft.peft_model.safe_save_file
        patch.setattr(
            peft.peft_model,
            "safe_save_file",
            lambda tensors, *args, **kwargs: save_file({n: t.cpu() for n, t in tensors.items()}, *args, **kwargs),
        )
        yield
