"""Knobs in the SVD basis of the weights: W = U S Vh frozen, y = W x + U ((dS + dS_hack) * (Vh x)).

r = min(d_in, d_out) numbers per layer and knob (protocol 4.2.1). At zero the layer is W, bit for bit: W is never put
together again from its parts. dS is trained by backward; dS_hack, the quarantine, gets a gradient only from an arm that
parks something there, and `ablated` takes it out.

The SVD is cached by the weight's content, so that runs share it; signs are fixed, so that a lost cache changes nothing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.model.adapters.base import Adapter
from core.model.adapters.wrapped import WrappedLinear, merged_weight, switched, wrap_targets
from core.model.load import LanguageModel
from core.runs.cache import cache_folder
from core.spec import TrainConfig

log = logging.getLogger(__name__)

FILE = "svd_knobs.safetensors"


class SvdLinear(WrappedLinear):
    U: Tensor  # (d_out, r)
    Vh: Tensor  # (r, d_in)

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__(base_layer)
        weight = base_layer.weight
        U, Vh = svd_basis(weight)
        self.register_buffer("U", U.to(weight), persistent=False)
        self.register_buffer("Vh", Vh.to(weight), persistent=False)
        self.dS = nn.Parameter(torch.zeros(len(Vh), device=weight.device))
        self.dS_hack = nn.Parameter(torch.zeros(len(Vh), device=weight.device), requires_grad=False)
        self.on = True
        self.with_quarantine = True

    def knobs(self) -> Tensor:
        return self.dS + self.dS_hack if self.with_quarantine else self.dS

    def delta(self) -> Tensor:
        return self.U @ (self.knobs().to(self.Vh.dtype)[:, None] * self.Vh)

    def forward(self, x: Tensor) -> Tensor:
        if not self.on:
            return self.base_layer(x)
        if x.dtype == torch.float32 and x.numel() > self.Vh.numel():  # many tokens: one changed matrix is cheaper
            return F.linear(x, self.base_layer.weight + self.delta(), self.base_layer.bias)
        return self.hooked(x)

    def hooked(self, x: Tensor) -> Tensor:
        return self.base_layer(x) + F.linear(self.knobs().to(x.dtype) * F.linear(x, self.Vh), self.U)


def attach_svd(language_model: LanguageModel, config: TrainConfig, seed: int) -> Adapter:
    """Zero knobs on every attention and MLP projection. The seed plays no part."""
    model = language_model.model
    layers = wrap_targets(model, SvdLinear)

    parameters = {f"{name}.dS": layer.dS for name, layer in layers.items()}
    parked = {f"{name}.dS": f"{name}.dS_hack" for name in layers}
    quarantine = {f"{name}.dS_hack": layer.dS_hack for name, layer in layers.items()}
    everything = dict(sorted({**parameters, **quarantine}.items()))

    def save(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: p.detach().cpu().contiguous() for name, p in everything.items()}
        save_file(tensors, folder / FILE, metadata={"format": "grpoq svd knobs 1"})

    adapter = Adapter(
        model=model,
        modules=dict(layers),
        parameters=everything,
        merged=functools.partial(merged_weight, model, layers),
        zeroed=functools.partial(switched, layers, "on", False),
        save=save,
        load=lambda folder: adapter.load_state(load_file(folder / FILE)),
        ablated=functools.partial(switched, layers, "with_quarantine", False),
        parked=parked,
        module_of={name: name.rpartition(".")[0] for name in everything},
    )
    return adapter


@torch.no_grad()
def svd_basis(weight: Tensor) -> tuple[Tensor, Tensor]:
    """U (d_out, r) and Vh (r, d_in) of a weight in float32, from the cache where it is there."""
    path = cache_folder() / "svd" / f"{_content(weight)}.safetensors"
    with contextlib.suppress(FileNotFoundError, SafetensorError, KeyError):
        found = load_file(path)
        return found["U"], found["Vh"]
    U, _, Vh = torch.linalg.svd(weight.detach().float(), full_matrices=False)
    largest = Vh.gather(1, Vh.abs().argmax(1, keepdim=True))  # a singular pair's sign is arbitrary: fix it
    signs = largest.sign()
    U, Vh = (U * signs.T).cpu().contiguous(), (Vh * signs).cpu().contiguous()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".svd-", delete=False) as handle:
            temporary = Path(handle.name)
        save_file({"U": U, "Vh": Vh}, temporary)
        temporary.replace(path)
    except OSError as error:
        log.warning("the SVD of a weight is not cached (%s); each run computes it again", error)
    return U, Vh


def _content(weight: Tensor) -> str:
    data = weight.detach().cpu().contiguous()
    sha = hashlib.sha256(f"svd 1 {tuple(data.shape)} {data.dtype}\n".encode())
    sha.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
