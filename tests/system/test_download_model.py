"""`just download-model`: resumable, checked, and short where there is no network."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.model.resumable import CHUNK, PART
from core.weights.places import hub_copy
from core.weights.problem import model_problem
from support.fake_hub import files_of, hub
from support.model_folder import nano_folder
from support.paths import REPO
from support.patience import patient

WEIGHTS = "model.safetensors"


def download(cache: Path, *models: str, **environment: str) -> subprocess.CompletedProcess[str]:
    with started(cache, *models, **environment) as process:
        out, err = process.communicate(timeout=patient(120))
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def started(cache: Path, *models: str, **environment: str) -> subprocess.Popen[str]:
    words = {"HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"} | environment
    command = [sys.executable, "-m", "core.model.download", *models]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | words, cwd=REPO, stdout=pipe, stderr=pipe, text=True)


def largest_part(cache: Path) -> int:
    """Bytes of the file that has come farthest."""
    return max((path.stat().st_size for path in cache.rglob(f"*{PART}")), default=0)


def test_a_killed_download_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    folder = nano_folder(tmp_path / "model")
    padding = {"padding": torch.zeros(2 * CHUNK)}
    save_file(load_file(folder / WEIGHTS) | padding, folder / WEIGHTS)
    with hub(files_of(folder), silent_in=WEIGHTS) as there:
        with started(cache, "org/tiny", HF_ENDPOINT=there.url) as first:
            deadline = time.monotonic() + patient(60)
            while largest_part(cache) < CHUNK and time.monotonic() < deadline:
                time.sleep(0.05)
            first.kill()
        assert largest_part(cache) >= CHUNK
        problem = model_problem("org/tiny")
        assert problem is not None and problem.severity == "missing"
        there.silent_in, asked = "", len(there.ranges)
        there.may_go_on.set()
        second = download(cache, "org/tiny", HF_ENDPOINT=there.url)
        assert second.returncode == 0, second.stderr
        assert "whole and finite" in second.stdout
        assert [start > 0 for name, start in there.ranges[asked:] if name == WEIGHTS] == [True]
    copy = hub_copy("org/tiny")
    assert copy is not None and (copy / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert model_problem("org/tiny") is None


def test_without_a_network_a_sentence_comes_in_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    done = download(tmp_path, "org/tiny", HF_ENDPOINT="http://127.0.0.1:9")
    assert time.monotonic() - began < patient(30)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "org/tiny: the hub cannot be reached" in done.stderr and "models--org--tiny" in done.stderr
    assert "HF_HUB_OFFLINE is set" in download(tmp_path, "org/tiny", HF_HUB_OFFLINE="1").stderr


def test_a_name_that_is_not_there_and_weights_that_are_no_numbers(tmp_path: Path) -> None:
    folder = nano_folder(tmp_path / "model")
    found = load_file(folder / WEIGHTS)
    save_file(found | {"model.norm.weight": torch.full_like(found["model.norm.weight"], torch.nan)}, folder / WEIGHTS)
    done = download(tmp_path, str(folder), "./nowhere", "nano")
    assert done.returncode == 1
    assert "model.norm.weight are NaN or infinite" in done.stderr and "no such directory" in done.stderr
    assert "nano: 0.00 GB of weights, whole and finite" in done.stdout  # the others are fetched all the same
