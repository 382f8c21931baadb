"""Qwen3-4B with random weights, made on the card and kept as a folder: what all that is measured here runs on.

The final norm is so large that 64 tokens hold the nucleus, as in a trained model; 0.15 % of the vocabulary end a
completion. Its words are nano's, which stand for 151,936 tokens as well as any.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.gpu.phase import Finding, Phase, Visit, settled
from bench.gpu.planned import sized_config
from core.spec import TrainConfig, resolve_config

PEAKED = 10.0  # times the final norm: logits of that spread
ENDS = 0.0015


def folder_of(visit: Visit) -> Path:
    return visit.folder / "model"


def work(visit: Visit) -> Finding:
    began = settled(visit)
    folder = folder_of(visit)
    if not folder.is_dir():
        _make(visit, folder)
    made = settled(visit)
    model = policy_of(visit).adapter.model
    loaded = settled(visit)
    frequencies = model.model.rotary_emb.inv_freq
    figures = {
        "parameters": sum(p.numel() for p in model.parameters() if not p.requires_grad),
        "made_s": round(made - began, 1),
        "loaded_s": round(loaded - made, 1),
        "rotary": str(frequencies.dtype).removeprefix("torch."),
        "allocated_GB": allocated_gb(visit),
    }
    says = f"{figures['parameters'] / 1e9:.2f} B parameters; rotary frequencies in {figures['rotary']}"
    return Finding(figures["rotary"] == "float32", says, figures)


def _make(visit: Visit, folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    from core.model.load import NANO

    torch.manual_seed(0)
    shape = Qwen3Config(**visit.sizes.model)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(visit.device):
            model = Qwen3ForCausalLM(shape)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        model.model.norm.weight.mul_(PEAKED)
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    every = round(1 / ENDS)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *range(every - 1, shape.vocab_size, every)]
    making = folder.with_name("model.making")
    tokenizer.save_pretrained(making)
    model.to("cpu").save_pretrained(making)
    making.rename(folder)


def full_config(visit: Visit, **fields: Any) -> TrainConfig:
    """The preset `full` on this model, with nano's problems, planned for this card."""
    s = visit.sizes
    own = {
        **visit.of_the_machine, "model": str(folder_of(visit)), "problems": "nano", "pairs": "nano", "batch": s.rows,
        "completions": s.members, "micro_batch": s.micro_batch, "max_prompt": s.longest_prompt, "max_new": s.max_new,
        "loss_micro_batch": s.micro_batch, "loss_ranks": 1, "disk_floor_gb": 0.01, "grade_workers": 2,
        "require_solves": False, "collapse_evals": 0, "warmup": 0, "warmup_from_zero": False,
    }  # fmt: skip
    return sized_config(visit, resolve_config("full", own | fields))


def policy_of(visit: Visit) -> Any:
    """The run's policy on this model, as a worker of `full` has it; made once a process."""

    def make() -> Any:
        from core.model.policy import attached

        if not folder_of(visit).is_dir():
            _make(visit, folder_of(visit))
        visit.machine()
        policy = attached(full_config(visit), 7)
        policy.refresh()
        return policy

    return visit.once("policy", make)


def allocated_gb(visit: Visit) -> float | None:
    if not visit.on_card:
        return None
    import torch

    return round(torch.cuda.memory_allocated() / 1e9, 2)


def peak_gb(visit: Visit) -> float | None:
    """Since the last time that it was asked."""
    if not visit.on_card:
        return None
    import torch

    found = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    torch.cuda.reset_peak_memory_stats()
    return found


MODEL = Phase("model", 35, "rotary frequencies in float32", work)
