"""LoRA by peft: W + (alpha / r) B A, Hu et al. 2021 (2106.09685, eq. 3), and the same with A frozen.

With A frozen the change of W is linear in what is trained, so a projection of B's gradient is one of W's. With A
trained it is not: B = 0 at the start, A has no gradient there, and a direction extracted then lies in B alone.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file
from torch import Tensor

from core.model.adapters.base import TARGETS, Adapter, follow_umask
from core.model.adapters.branch import Branch
from core.model.load import LanguageModel
from core.model.origin import public_name
from core.spec import TrainConfig


def attach_lora(language_model: LanguageModel, config: TrainConfig, seed: int) -> Adapter:
    """A and B of every attention and MLP projection; B = 0 at the start, so the model is unchanged."""
    return _adapter(_wrapped(language_model, config, seed), {})


@torch.no_grad()
def attach_frozen_a(language_model: LanguageModel, config: TrainConfig, seed: int) -> Adapter:
    """Only B is trained; the rows of A are orthonormal and stay as they were drawn."""
    wrapped = _wrapped(language_model, config, seed)
    frozen = {}
    for name, parameter in wrapped.named_parameters():
        if "lora_A" in name:
            if parameter.shape[0] > parameter.shape[1]:
                raise ValueError(f"lora_r = {config.lora_r}: {name} has only {parameter.shape[1]} inputs; lower lora_r")
            parameter.requires_grad_(False)
            parameter.copy_(torch.linalg.qr(parameter.float().T).Q.T)
            frozen[name] = parameter.data
    return _adapter(wrapped, frozen)


def _wrapped(language_model: LanguageModel, config: TrainConfig, seed: int) -> PeftModel:
    torch.manual_seed(seed)
    settings = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=0.0,
        target_modules=list(TARGETS),
        task_type="CAUSAL_LM",
    )
    wrapped = get_peft_model(language_model.model, settings)
    assert isinstance(wrapped, PeftModel)
    # Where the model came from here is a folder of this machine, or nothing for random weights.
    wrapped.peft_config["default"].base_model_name_or_path = public_name(config.model)
    return wrapped


def _adapter(wrapped: PeftModel, frozen: dict[str, Tensor]) -> Adapter:
    model: Any = wrapped.get_base_model()
    modules = {name: m for name, m in model.named_modules() if hasattr(m, "lora_A") and "default" in m.lora_A}
    parameters = {name: p for name, p in sorted(wrapped.named_parameters()) if p.requires_grad}

    def merged(weight_name: str) -> Tensor:
        name = weight_name.removesuffix(".weight")
        if name not in modules:
            return model.get_parameter(weight_name)
        module = modules[name]
        delta = module.lora_B["default"].weight.detach() @ module.lora_A["default"].weight.detach()
        base = module.base_layer.weight
        return (base.float() + module.scaling["default"] * delta.float()).to(base.dtype)

    @torch.no_grad()
    def branch(name: str) -> Branch:
        module = modules[name]
        A, B = module.lora_A["default"].weight, module.lora_B["default"].weight
        return Branch(A.clone(), module.scaling["default"] * B)

    def save(folder: Path, ablated: bool) -> None:
        # No embedding is trained; to find that out, peft would ask the hub for a model of this name.
        wrapped.save_pretrained(str(folder), save_embedding_layers=False)
        follow_umask(folder / SAFETENSORS_WEIGHTS_NAME)

    def load(folder: Path) -> None:
        found: Any = set_peft_model_state_dict(wrapped, load_file(folder / SAFETENSORS_WEIGHTS_NAME))
        assert not found.unexpected_keys, f"{folder} is of another adapter: {found.unexpected_keys[:3]}"

    module_of = {name: name.removeprefix("base_model.model.").partition(".lora_")[0] for name in parameters}
    assert set(module_of.values()) == set(modules), "parameter names do not lead back to their modules"
    return Adapter(
        model=model,
        modules=modules,
        parameters=parameters,
        merged=merged,
        branch=branch,
        zeroed=functools.partial(_disabled, wrapped),
        save=save,
        load=load,
        frozen=frozen,
        module_of=module_of,
    )


@contextlib.contextmanager
def _disabled(wrapped: PeftModel) -> Iterator[None]:
    """peft's own switch, which at its end marks every tensor of the adapter as trained: frozen ones are frozen again.

    A layer that is checkpointed meanwhile would else be run again with other tensors that need a gradient.
    """
    frozen = [p for name, p in wrapped.named_parameters() if "lora_" in name and not p.requires_grad]
    try:
        with wrapped.disable_adapter():
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
