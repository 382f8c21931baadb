"""What is trained: a small change to a frozen model. Attach it, switch it off for the reference, merge it to sample.

An adapter is one function in ADAPTERS: (language model, config, seed) -> Adapter.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor

from core.models import LanguageModel
from core.spec import TrainConfig

LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Adapter:
    model: Any  # the causal LM with the adapter in place; its forward is the policy
    modules: dict[str, Any]  # changed linear modules, by name in `model`
    parameters: dict[str, torch.nn.Parameter]  # trained, by the name they have on disk, sorted
    merged: Callable[[str], Tensor]  # weight name -> weight with the adapter in it
    zeroed: Callable[[], contextlib.AbstractContextManager[Any]]  # inside: the model as it was, the free reference
    save: Callable[[Path], None]  # the final form, loadable without us where the format allows it
    notes: dict[str, Any] = field(default_factory=dict)

    def state(self) -> dict[str, Tensor]:
        return {name: p.detach().cpu().contiguous() for name, p in self.parameters.items()}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        if set(state) != set(self.parameters):
            wrong = sorted(set(state) ^ set(self.parameters))[:3]
            raise ValueError(f"adapter state does not fit the model, first differences: {wrong}")
        for name, parameter in self.parameters.items():
            parameter.copy_(state[name])


def attach_lora(language_model: LanguageModel, config: TrainConfig, seed: int) -> Adapter:
    """W + (alpha / r) B A on every attention and MLP projection; B = 0 at the start, so the model is unchanged."""
    torch.manual_seed(seed)
    settings = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=0.0,
        target_modules=LORA_TARGETS,
        task_type="CAUSAL_LM",
    )
    wrapped: PeftModel = get_peft_model(language_model.model, settings)
    model = wrapped.get_base_model()
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

    def save(folder: Path) -> None:
        wrapped.save_pretrained(str(folder))

    return Adapter(model, modules, parameters, merged, wrapped.disable_adapter, save)


ADAPTERS: dict[str, Callable[[LanguageModel, TrainConfig, int], Adapter]] = {"lora": attach_lora}


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes in sorted order: equal exactly when every number is."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


@contextlib.contextmanager
def switched_off(adapter: Adapter) -> Iterator[None]:
    """The reference policy: no adapter, no gradient."""
    with adapter.zeroed(), torch.no_grad():
        yield
