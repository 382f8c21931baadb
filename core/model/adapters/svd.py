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
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from core.model.adapters.base import Adapter, save_tensors, tensors_sha256
from core.model.adapters.branch import Branch
from core.model.adapters.wrapped import WrappedLinear, branch_of, merged_weight, switched, wrap_targets
from core.model.load import LanguageModel
from core.model.origin import public_name
from core.runs.cache import cache_folder
from core.spec import TrainConfig

log = logging.getLogger(__name__)

GRAM_FLOOR = 1e-4  # of the largest singular value
FILE = "svd_knobs.safetensors"
CARRY = "core.model.adapters.basis"
BASIS = "basis"  # of the file's metadata: hashes by layer; beside it: a folder, U and Vh by the hash of the weight


class SvdLinear(WrappedLinear):
    U: Tensor  # (d_out, r)
    Vh: Tensor  # (r, d_in)

    def __init__(self, base_layer: nn.Linear, basis: Path | None = None) -> None:
        super().__init__(base_layer)
        weight = base_layer.weight
        U, Vh = svd_basis(weight, basis)
        self.register_buffer("U", U.to(weight), persistent=False)
        self.register_buffer("Vh", Vh.to(weight), persistent=False)
        self.dS = nn.Parameter(torch.zeros(len(Vh), device=weight.device))
        self.dS_hack = nn.Parameter(torch.zeros(len(Vh), device=weight.device), requires_grad=False)
        self.on = True
        self.with_quarantine = True
        self.sha256 = ""  # of the basis, once it was asked for: 10 GB of a 4 B model

    @torch.no_grad()
    def use_basis(self, given: Path) -> None:
        for own, tensor in zip((self.U, self.Vh), svd_basis(self.base_layer.weight, given), strict=True):
            own.copy_(tensor)
        self.sha256 = ""

    def basis_sha256(self) -> str:
        self.sha256 = self.sha256 or tensors_sha256({"U": self.U, "Vh": self.Vh})
        return self.sha256

    def knobs(self) -> Tensor:
        return self.dS + self.dS_hack if self.with_quarantine else self.dS

    def delta(self) -> Tensor:
        return self.U @ (self.knobs().to(self.Vh.dtype)[:, None] * self.Vh)

    def branch(self) -> Branch:
        return Branch(self.Vh, self.U, self.knobs().to(self.Vh.dtype, copy=True))

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
    return _attached(language_model.model, public_name(config.model), None)


def load_knobs(model: Any, folder: Path | str) -> Any:
    """`model`, a transformers causal LM, with the knobs of a folder in place; changed in place, and returned.

    Exact where `folder`/basis holds the basis of training (`python -m core.model.adapters.basis FOLDER`, on the machine
    that trained) or the model's own comes out the same. Raises ValueError in another basis, where the knobs would mean
    other weights, and where they are of another model.
    """
    adapter = _attached(model, "", Path(folder) / BASIS)
    adapter.load(Path(folder))
    return model


def _attached(model: Any, name: str, basis: Path | None) -> Adapter:
    layers = wrap_targets(model, functools.partial(SvdLinear, basis=basis))
    knobs = {f"{layer_name}.dS": layer.dS for layer_name, layer in layers.items()}
    quarantine = {f"{layer_name}.dS_hack": layer.dS_hack for layer_name, layer in layers.items()}
    everything = dict(sorted({**knobs, **quarantine}.items()))

    def save(folder: Path, ablated: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        hashes = json.dumps({layer_name: layer.basis_sha256() for layer_name, layer in layers.items()})
        dtype = str(next(iter(layers.values())).base_layer.weight.dtype).removeprefix("torch.")
        metadata = {"format": "grpoq svd knobs 2", "model": name, "dtype": dtype, BASIS: hashes}
        save_tensors(adapter.deployed(ablated), folder / FILE, metadata)

    def read(folder: Path) -> None:
        with safe_open(folder / FILE, "pt") as handle:
            metadata = handle.metadata()
        if (folder / BASIS).is_dir():  # brought along from where it was trained
            for layer in layers.values():
                layer.use_basis(folder / BASIS)
        _require_basis(layers, json.loads(metadata.get(BASIS, "{}")), folder)
        adapter.load_deployed(load_file(folder / FILE))

    adapter = Adapter(
        model=model,
        modules=dict(layers),
        parameters=everything,
        merged=functools.partial(merged_weight, model, layers),
        branch=functools.partial(branch_of, layers),
        zeroed=functools.partial(switched, layers, "on", False),
        save=save,
        load=read,
        ablated=functools.partial(switched, layers, "with_quarantine", False),
        parked={f"{layer_name}.dS": f"{layer_name}.dS_hack" for layer_name in layers},
        module_of={parameter: parameter.rpartition(".")[0] for parameter in everything},
    )
    return adapter


def _require_basis(layers: Mapping[str, SvdLinear], trained: Mapping[str, str], folder: Path) -> None:
    """Files of before the hashes were kept name none, and are believed. Raises ValueError."""
    other = [name for name, sha256 in trained.items() if name not in layers or layers[name].basis_sha256() != sha256]
    if other:
        raise ValueError(
            f"{folder / FILE}: {len(other)} of {len(trained)} layers (first: {other[0]}) have another SVD basis here "
            "than the knobs were trained in: other weights, or an SVD that another processor or library rounded. Load "
            f"the base model that the README names, and get the basis: `python -m {CARRY} {folder.name}` where it was "
            f"trained writes {folder.name}/{BASIS}, which belongs beside the knobs"
        )


@torch.no_grad()
def svd_basis(weight: Tensor, given: Path | None = None) -> tuple[Tensor, Tensor]:
    """U (d_out, r) and Vh (r, d_in) of a weight in float32: from the folder `given` or the cache, where it is there."""
    own = basis_file_name(weight)
    path = cache_folder() / "svd" / own
    for known in (path,) if given is None else (given / own, path):
        with contextlib.suppress(FileNotFoundError, SafetensorError, KeyError):
            found = load_file(known)
            return found["U"], found["Vh"]
    U, Vh = _decomposed(weight.detach())
    largest = Vh.gather(1, Vh.abs().argmax(1, keepdim=True))  # a singular pair's sign is arbitrary: fix it
    signs = largest.sign()
    U, Vh = (U * signs.T).cpu().contiguous(), (Vh * signs).cpu().contiguous()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".svd-", delete=False) as handle:
            temporary = Path(handle.name)
        save_tensors({"U": U, "Vh": Vh}, temporary)
        temporary.replace(path)
    except OSError as error:
        log.warning("the SVD of a weight is not cached (%s); each run computes it again", error)
    return U, Vh


def _decomposed(weight: Tensor) -> tuple[Tensor, Tensor]:
    """U and Vh in float32, on the weight's device; a GPU's own SVD takes minutes for one matrix of a 4 B model."""
    found = by_gram(weight) if weight.is_cuda else None
    if found is None:
        U, _, Vh = torch.linalg.svd(weight.float().cpu(), full_matrices=False)
        found = U.to(weight.device), Vh.to(weight.device)
    return found


def by_gram(weight: Tensor) -> tuple[Tensor, Tensor] | None:
    """The same from the eigenvectors of the smaller Gram matrix in float64, and two products.

    Squares of singular values are right to 1e-16 of the largest one's, so vectors are right to float32 down to 1e-4 of
    it. None where the smallest is below: LAPACK is then asked for what this would lose.
    """
    tall = weight.double() if weight.shape[0] >= weight.shape[1] else weight.double().T
    squares, V = torch.linalg.eigh(tall.T @ tall)
    S, V = squares.flip(0).clamp(min=0).sqrt(), V.flip(1)
    if float(S[-1]) < GRAM_FLOOR * float(S[0]):
        return None
    left, right = ((tall @ V) / S).float(), V.T.float()
    return (left, right) if weight.shape[0] >= weight.shape[1] else (right.T, left.T)


def basis_file_name(weight: Tensor) -> str:
    """By content: the same weight has the same name everywhere."""
    data = weight.detach().cpu().contiguous()
    sha = hashlib.sha256(f"svd 1 {tuple(data.shape)} {data.dtype}\n".encode())
    sha.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"{sha.hexdigest()}.safetensors"
