"""What a worker sets before torch is loaded: nothing inherited picks other kernels, or another rounding."""

from __future__ import annotations

import os

import pytest

from worker import arithmetic

INHERITED = {
    "PYTORCH_ALLOC_CONF": "backend:cudaMallocAsync",
    "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:32",
    "NVIDIA_TF32_OVERRIDE": "1",  # cuBLAS rounds float32 products to 10 bits, whatever torch says
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    "CUBLASLT_WORKSPACE_SIZE": "0",
    "CUDNN_LOGINFO_DBG": "1",
    "OMP_NUM_THREADS": "7",
}


def test_what_would_pick_other_kernels_is_cleared_and_ours_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as environment:
        environment.setattr(os, "environ", {**INHERITED, "CUDA_VISIBLE_DEVICES": "GPU-1", "HOME": "/root"})
        arithmetic.set_environment(2)
        found = dict(os.environ)
    assert not set(INHERITED) & set(found) - {"OMP_NUM_THREADS", "PYTORCH_ALLOC_CONF"}
    assert found["OMP_NUM_THREADS"] == "2" and found["CUDA_VISIBLE_DEVICES"] == "GPU-1" and found["HOME"] == "/root"
    assert found["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert found["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
