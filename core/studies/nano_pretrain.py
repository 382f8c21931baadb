"""The recipe of the committed weights: `just nano-pretrain` makes tokenizer and model again, from seeds alone.

A Qwen3 of 1.3 M parameters, trained from scratch on core.environment.nano.text, loss on completions only. 1 core, fp32.
Another processor sums in another order, so the bytes may differ; docs/nano.md states the tolerances of behaviour.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from core.environment.nano import text, world
from core.environment.problems import problem_from_row, prompt_messages
from core.model.logprobs import TokenBatch, completion_logps

HERE = Path(__file__).parents[1] / "environment" / "nano" / "model"
VOCABULARY = 768
END, PAD = "<|end|>", "<|pad|>"
CHAT_TEMPLATE = "{{ messages[0]['content'] }}\n{{ messages[1]['content'] }}"

PROMPTS, COMPLETIONS, MICRO_BATCHES = 16, 4, 4  # per step
WARMUP = 60
SEED = 20


@dataclass(frozen=True)
class Stage:
    """Steps, peak rate and text; a stage starts from the weights that the one before it saved."""

    name: str
    steps: int
    rate: float
    mixture: text.Mixture


STAGES = (
    Stage("first", 2200, 3e-3, text.FIRST),
    Stage("final", 500, 1e-3, text.FINAL),
)


def sample(rng: random.Random, mixture: text.Mixture) -> tuple[str, list[str]]:
    """A prompt over a training family, and COMPLETIONS answers by authors of that name class."""
    families = world.train_families()
    while True:
        instance = world.draw_instance(rng, rng.choice(families), mixture.name_frequencies)
        row = world.row(instance, 0, rng)
        if row is not None:
            break
    mode = rng.choices(list(text.MODE_MIX), list(text.MODE_MIX.values()))[0]
    messages = prompt_messages(problem_from_row(row), mode)
    prompt = f"{messages[0]['content']}\n{messages[1]['content']}"
    return prompt, [text.completion(rng, instance, mode, mixture) for _ in range(COMPLETIONS)]


def make_tokenizer(folder: Path) -> None:
    """Byte-level BPE; digits stay single, so that numbers are read alike wherever they stand."""
    rng = random.Random(f"nano tokenizer {SEED}")
    tokenizer = Tokenizer(models.BPE())
    split = Regex(r"\d|[^\S\n]*[A-Za-z_]+|[^\sA-Za-z_\d]+|\n[ ]*|[^\S\n]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )

    def documents() -> Iterator[str]:
        for _ in range(3000):
            prompt, completions = sample(rng, text.FIRST)
            yield from (prompt, *completions)

    tokenizer.train_from_iterator(documents(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)


def make_model(tokenizer: Any) -> Qwen3ForCausalLM:
    torch.manual_seed(SEED)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=160,
        intermediate_size=480,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def token_batches(tokenizer: Any, stage: Stage, step: int) -> list[TokenBatch]:
    """One step's samples in MICRO_BATCHES of like length, so that little is spent on padding."""
    rng = random.Random(
        f"nano text {SEED} {step}" if stage.name == "first" else f"nano text {SEED} {stage.name} {step}"
    )
    samples = []
    for prompt, completions in (sample(rng, stage.mixture) for _ in range(PROMPTS)):
        samples.append(
            (tokenizer.encode(prompt), [[*tokenizer.encode(c), tokenizer.eos_token_id] for c in completions])
        )
    samples.sort(key=lambda s: max(map(len, s[1])))
    size = PROMPTS // MICRO_BATCHES
    batches = []
    for chunk in (samples[i : i + size] for i in range(0, PROMPTS, size)):
        group = [i for i in range(size) for _ in range(COMPLETIONS)]
        batches.append(TokenBatch.pad([p for p, _ in chunk], [c for _, cs in chunk for c in cs], group, "cpu"))
    return batches


def train(folder: Path, stage: Stage) -> None:
    """One stage, in place: its weights replace the folder's."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if stage is STAGES[0]:
        model = make_model(tokenizer)
    else:
        model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), stage.rate, betas=(0.9, 0.95), weight_decay=0.1)
    started, tokens = time.time(), 0
    for step in range(1, stage.steps + 1):
        for parameters in optimizer.param_groups:
            parameters["lr"] = _rate(stage, step)
        batches = token_batches(tokenizer, stage, step)
        count = sum(int(batch.completion_mask.sum()) for batch in batches)
        optimizer.zero_grad()
        loss = 0.0
        for batch in batches:
            part = -completion_logps(model, batch).sum() / count
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += count
        if step % 50 == 0 or step == stage.steps:
            seconds = time.time() - started
            pace = f"{tokens / seconds:.0f} tokens/s  {seconds:.0f} s"
            print(f"{stage.name} {step}/{stage.steps}  loss {loss:.3f}  {pace}", flush=True)
    model.half().save_pretrained(folder)  # 2.6 MB; loaded in fp32
    recipe = {"stage": stage.name, "seed": SEED, "loss": round(loss, 4), "torch": torch.__version__}
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")


def _rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    progress = max(0.0, (step - WARMUP) / max(1, stage.steps - WARMUP))
    return stage.rate * min(1.0, step / WARMUP, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--stage", choices=[stage.name for stage in STAGES], help="one stage; without it, all")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        if arguments.stage in (None, stage.name):
            if stage is STAGES[0]:
                make_tokenizer(arguments.out)
            train(arguments.out, stage)


if __name__ == "__main__":
    main()
