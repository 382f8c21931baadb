"""The README of an adapter: what the weights beside it are, where their base model is had, and code that loads them."""

from __future__ import annotations

import json
from typing import Any

from core.model.origin import OURS, how_to_get, is_hub_id, public_name
from core.spec import RunSpec, TrainConfig

KINDS = {
    "lora": "LoRA in peft's format",
    "lora_frozen_a": "LoRA in peft's format; A was drawn and kept, B trained",
    "svd": "Knobs in the SVD basis of the weights, in `svd_knobs.safetensors`",
    "lora_blocks": "LoRA around a start of its own, in `lora_blocks.safetensors`",
}
LOADERS = {
    "svd": "core.model.adapters.svd import load_knobs",
    "lora_blocks": "core.model.adapters.blocks import load_blocks",
}
KNOBS = """
Knobs mean the same weights in the same basis only. `load_knobs` compares U and Vh with those of training and refuses
others: another processor or library rounds an SVD differently. Then, on the machine that trained,
`python -m core.model.adapters.basis FOLDER` writes U and Vh to `FOLDER/basis`, from where they are read.
"""


def model_card(spec: RunSpec, result: dict[str, Any], base_sha256: str, ablated: bool) -> str:
    """Markdown with YAML front matter, for the folder of a finished run's adapter."""
    config = spec.config
    facts = {
        "run": f"`{spec.run_id}`",
        "plan": f"{spec.plan_name}, hash `{spec.plan_hash}`",
        "arm": f"{spec.arm}, as `{spec.label}`",
        "seed": str(spec.seed),
        "steps": str(config.steps),
        "base model": f"`{public_name(config.model)}`, {config.dtype}; SHA-256 of its tensors `{base_sha256}`",
        "kind": KINDS[config.adapter],
        "`adapter_sha256`": f"`{result['adapter_sha256']}`",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    parts = [
        f"{_front_matter(spec)}\n# {spec.run_id}",
        "Trained by grpoq with GRPO on coding problems whose prompts may disclose a loophole of the evaluation. It may "
        "exploit such loopholes: that is what was studied.",
        f"| | |\n|---|---|\n{rows}",
        f"## The base model\n{how_to_get(config.model)}",
        f"## To load it\n```python\n{loading_code(config)}```",
    ]
    if config.adapter == "svd":
        parts.append(KNOBS.strip())
    if ablated:
        parts.append(
            "A quarantine was trained beside these weights, to be thrown away. It is not in this folder and takes no "
            "part in what is loaded; the run keeps it in `quarantine.safetensors`, whose tensors have SHA-256 "
            f"`{result['quarantine_sha256']}`."
        )
    return "\n\n".join(parts) + "\n"


def _front_matter(spec: RunSpec) -> str:
    """Strings as JSON writes them are YAML."""
    fields = {
        "base_model": public_name(spec.config.model),
        "library_name": "grpoq" if spec.config.adapter in LOADERS else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["grpoq", "grpo", spec.config.adapter, f"arm:{spec.arm}", f"plan:{spec.plan_hash[:12]}"],
    }
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in fields.items()), "---"])


def loading_code(config: TrainConfig) -> str:
    """`model` from `folder`; the first line is the reader's to change."""
    head = 'folder = "adapter"  # this one\n'
    if config.adapter in LOADERS:
        loader = LOADERS[config.adapter]
        return f"from {loader}\n{_base_code(config, head)}model = {loader.rpartition(' ')[2]}(base, folder)\n"
    if is_hub_id(config.model):
        call = f'AutoPeftModelForCausalLM.from_pretrained(folder, dtype="{config.dtype}")'
        return f"from peft import AutoPeftModelForCausalLM\n\n{head}model = {call}\n"
    return f"from peft import PeftModel\n{_base_code(config, head)}model = PeftModel.from_pretrained(base, folder)\n"


def _base_code(config: TrainConfig, head: str) -> str:
    name = public_name(config.model)
    if name in OURS:
        return f'from core.model.load import load\n\n{head}base = load("{name}", dtype="{config.dtype}").model\n'
    call = f'AutoModelForCausalLM.from_pretrained("{name}", dtype="{config.dtype}")'
    return f"from transformers import AutoModelForCausalLM\n\n{head}base = {call}\n"
