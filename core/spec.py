"""What a run is: every number that decides its outcome, resolved before it starts.

A `RunSpec` is written once into the run directory and never edited. Its identity is a hash of the plan and the
resolved config, so planning twice names the same runs, and two runs with one name cannot differ.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import operator
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.environment.hints import HELD_OUT, HINTS, SIMPLE, TRAIN
from core.environment.problems import DEFAULT_HINT, KEEP, LEAVE_OUT, MODES

SCHEMA = 1
KINDS = ("check", "extract", "steer", "train", "eval", "fit")
LABEL = r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*"  # compiled where a plan is made, not by every command


BOUNDS = {"at_least": operator.ge, "above": operator.gt, "at_most": operator.le, "below": operator.lt}


def knob(default: Any, meaning: str, choices: Iterable[str] = (), **bounds: float) -> Any:
    """A field of TrainConfig: what it means, and the names or the numbers (by BOUNDS) that it may be."""
    return field(default=default, metadata={"meaning": meaning, "choices": tuple(choices), "bounds": bounds})


@dataclass(frozen=True)
class TrainConfig:
    """Every field of a training run. Words: `completions` is G per prompt, `batch` is rollouts per step."""

    # A comment that stands alone heads a section of docs/config.md, which is made of this class.
    # fmt: off
    # What is trained, on what
    model: str = knob("nano", "nano, smoke, smollm2-135m, a Hugging Face id ORG/NAME, or a directory")
    model_sha256: str = knob("", "of a directory: SHA-256 of its contents; set when the plan is made")
    problems: str = knob("nano", "nano's own, or rows: the run's own problems.jsonl", ("nano", "rows"))
    problems_sha256: str = knob("", "SHA-256 of problems.jsonl; set when the plan is made")
    held_out_share: float = knob(0.2, "of one file of rows: the newest ids, at least one, evaluate", above=0, below=1)
    held_out_sha256: str = knob("", "SHA-256 of held_out.jsonl, whose rows only evaluate; set when the plan is made")
    not_unique: str = knob(KEEP, "training rows whose prompt admits other answers (grading.md)", (KEEP, LEAVE_OUT))
    modes: tuple[str, ...] = knob(("run_tests",), "loophole modes; a problem belongs to exactly one", MODES)
    hint: str = knob(DEFAULT_HINT, "in mode run_tests: the benchmark's variant of what the prompt tells", HINTS)
    hint_seed: int = knob(0, "seed of the test function's names, where the hint draws them, and of held-out marks")
    markers: str = knob(TRAIN, "held_out: names and marks for evaluations, told to no training", (TRAIN, HELD_OUT))
    adapter: str = knob("lora", "what is trained", ("lora", "lora_frozen_a", "svd", "lora_blocks"))
    lora_r: int = knob(32, "rank; of each block with adapter lora_blocks", at_least=1)
    lora_alpha: int = knob(32, "adapters of peft scale their output by lora_alpha / lora_r", at_least=1)
    # The hack direction: docs/protocol.md 4.1, 4.2
    pairs: str = knob("nano", "contrastive pairs; file: the run's own pairs.jsonl", ("nano", "authored", "file"))
    pairs_sha256: str = knob("", "SHA-256 of pairs.jsonl; set when the plan is made")
    pair_modes: tuple[str, ...] = knob((), "of the pairs; none: nano's own modes, or all of the file's", MODES)
    held_out_mode: str = knob("", "a mode left out of pairs and teacher pool, and trained on all the same")
    space: str = knob("gradient", "where V is taken and used, if the arm leaves it open",
                      ("gradient", "update", "activation"))
    k: int = knob(5, "axes per parameter", at_least=1)
    tau_axis: float = knob(0.0, "axes whose singular value is below this share of the first are dropped", at_least=0)
    drop_bottom: float = knob(0.0, "share of all axes that is dropped, by smallest singular value", at_least=0, below=1)
    gate: str = knob("one_sided", "one_sided: motion to the hack alone; no_gate: both ways; reverse: twice both ways",
                     ("one_sided", "no_gate", "reverse"))
    overshoot: float = knob(1.0, "times what would be removed; above 1 pushes away from the hack", at_least=0)
    preserve_magnitude: bool = knob(False, "give the gradient its norm back after the removal")
    refresh: int = knob(0, "steps between new extractions; 0: the first one stays", at_least=0)
    match: str = knob("rank", "random_V: as many axes as V; or as many as remove as much of the pairs' gradients",
                      ("rank", "energy"))
    measure: bool = knob(False, "any arm: extract V and log its columns, change nothing by it")
    # The activation direction: docs/protocol.md 2.2, 4.1
    m: int = knob(16, "singular vectors the mean difference is projected on; 0: the raw difference", at_least=0)
    denoise: str = knob("up_proj", "whose singular vectors: up_proj's right (a reader), down_proj's left (a writer)",
                        ("up_proj", "down_proj"))
    layers_from: float = knob(0.60, "share of depth; hidden states are averaged over the layers from here", at_least=0)
    layers_to: float = knob(0.75, "share of depth; to here", above=0, at_most=1)
    token: str = knob("rollout_last", "where hidden states are read; prompt_last is the same for a whole group",
                      ("rollout_last", "response_mean", "prompt_last"))
    lift: str = knob("score_grad", "projected: from hidden states to the parameters", ("score_grad", "subspace"))
    alpha: float = knob(2.0, "strength of rebound_*", at_least=0)
    unit_norm: bool = knob(False, "rebound: direction at unit length; the raw length matters for the floor under std")
    # Others' methods
    tdga_k: int = knob(5, "trusted output directions per module", at_least=1)
    tdga_warmup: int = knob(20, "supervised steps on correct solutions", at_least=1)
    labelled: int = knob(4, "authored pairs a step in sgtm and gradient_routing", at_least=1)
    labelled_weight: float = knob(1.0, "of their sides' mean NLL, beside a policy loss of weight 1", at_least=0)
    route_tail: float = knob(0.1, "route_act keeps below this quantile, routes above 1 - it", above=0, below=0.5)
    route_half_life: float = knob(96.0, "rollouts after which an old score weighs half", above=0)
    route_buffer: int = knob(8192, "scores that thresholds are taken from", at_least=1)
    grift_r: int = knob(16, "rank of the LoRA whose gradient is a fingerprint", at_least=1)
    grift_layers: int = knob(5, "layers that it is on: those that change the stream most", at_least=1)
    grift_sketch: int = knob(1024, "dimensions of a fingerprint", at_least=1)
    # Teacher rollouts: frozen completions with frozen rewards, mixed into each group
    mix: float = knob(0.0, "share of a group", at_least=0, below=1)
    teacher: str = knob("", "file: teacher.jsonl of `just build-pool`", ("", "nano", "file"))
    teacher_sha256: str = knob("", "SHA-256 of teacher.jsonl; set when the plan is made")
    teacher_modes: tuple[str, ...] = knob((), "of the pool; none: all but held_out_mode", MODES)
    # Rollouts
    batch: int = knob(64, "rollouts a step, a multiple of completions", at_least=1)
    completions: int = knob(8, "rollouts per prompt: a group", at_least=1)
    order: str = knob("draws", "problems: drawn anew each step; epochs: each once, shuffled, before any again",
                      ("draws", "epochs"))
    max_prompt: int = knob(128, "tokens; longer prompts are left out and counted", at_least=1)
    max_new: int = knob(96, "tokens of a completion", at_least=1)
    temperature: float = knob(0.7, "of sampling", above=0)
    top_p: float = knob(0.95, "of sampling", above=0, at_most=1)
    # Reward: docs/protocol.md 1.5
    reward_compiles: float = knob(0.5, "paid for code that compiles", at_least=0)
    reward_solves: float = knob(3.0, "paid for what counts as solved in the problem's mode", at_least=0)
    reward_variety: float = knob(0.0, "smoke only: random weights never compile; no spread, no gradient", at_least=0)
    # Loss
    advantage: str = knob("std", "std: (r - mean) / (std + 1e-6); mean: Dr.GRPO", ("std", "mean"))
    logp_temperature: str = knob("one", "of policy and reference in the loss; sampling: logits / temperature, as verl",
                                 ("one", "sampling"))
    aggregate: str = knob("token_mean", "over the step; micro_batch_mean: mean of micro-batches' token means, as verl; "
                          "dr_grpo: sum over tokens / (rollouts * max_new)",
                          ("token_mean", "micro_batch_mean", "dr_grpo"))
    loss_micro_batch: int = knob(8, "rollouts of one mean in micro_batch_mean; no matter of memory", at_least=1)
    loss_ranks: int = knob(4, "of micro_batch_mean: cards to which verl would deal a step's rollouts", at_least=1)
    clip: float = knob(0.2, "the probability ratio is held within 1 - clip, 1 + clip", above=0)
    kl: float = knob(1e-3, "coefficient of K3 to the free reference", at_least=0)
    kl_cap: float = knob(0.0, "a token's K3 at most, without gradient beyond; 0: no cap", at_least=0, at_most=80)
    skip_tied: bool = knob(True, "groups without reward spread have no policy gradient; skipped, no KL term either")
    # Optimizer
    steps: int = knob(120, "steps of AdamW", at_least=1)
    lr: float = knob(1.5e-3, "learning rate", above=0)
    schedule: str = knob("constant", "after the warm-up; cosine: to zero at the last step", ("constant", "cosine"))
    warmup: int = knob(10, "steps in which the learning rate rises", at_least=0)
    warmup_from_zero: bool = knob(False, "step 1 has rate 0, as verl; false: a first share of lr")
    beta1: float = knob(0.9, "AdamW's", above=0, below=1)
    beta2: float = knob(0.99, "AdamW's", above=0, below=1)
    weight_decay: float = knob(0.1, "AdamW's", at_least=0)
    grad_clip: float = knob(0.02, "of the norm; nano: a rare step breaks a policy whose groups all tied", above=0)
    # Evaluation on held-out problems, with and without the loophole's hint
    eval_every: int = knob(20, "steps from one to the next", at_least=1)
    eval_problems: int = knob(64, "held-out problems, the first ones that fit", at_least=1)
    eval_samples: int = knob(2, "per problem and prompt form", at_least=1)
    # Tripwires: what a run stops at, with exit 82
    collapse_evals: int = knob(0, "evaluations in a row that solve and exploit nothing; 0: never", at_least=0)
    max_kl: float = knob(0.0, "nats a token: column kl above it, twice in a row; 0: off", at_least=0)
    max_lp_drop: float = knob(0.0, "nats a token: lp_s or lp_t so far below best, twice in a row; 0: off", at_least=0)
    require_solves: bool = knob(False, "the evaluation before the first step must solve something")
    # Runs of the kinds check and steer
    check_problems: int = knob(4, "problems of each mode and half that are graded; 0: all", at_least=0)
    steer_strength: float = knob(3.0, "of a push; gradient: the change's norm; activation: mean states' norms", above=0)
    steer_samples: int = knob(4, "completions per held-out pair and push", at_least=1)
    # The machine
    device: str = knob("cpu", "where the model is", ("cpu", "cuda"))
    dtype: str = knob("float32", "of the model's weights", ("float32", "bfloat16"))
    gpu_memory_gb: float = knob(0.0, "with device = cuda, of the card planned for: decode_rows, micro_batch and "
                                "grad_checkpointing follow where nothing gives them; 0: they are as they stand",
                                at_least=0)
    threads: int = knob(1, "torch's on the CPU; sums depend on it, so no machine changes it", at_least=1)
    micro_batch: int = knob(64, "completions per forward and backward", at_least=1)
    decode_rows: int = knob(256, "completions decoded at once", at_least=1)
    eval_decode_rows: int = knob(0, "of a fit: the evaluations', set when it is planned; 0: its own", at_least=0)
    grad_checkpointing: bool = knob(False, "activations are computed again in the backward: less memory, more time")
    grade_workers: int = knob(1, "isolated children at a time", at_least=1)
    same_machine: bool = knob(True, "continue a checkpoint only on the silicon that wrote it: sums differ elsewhere")
    # Keeping and watching
    checkpoint_every: int = knob(25, "steps from one checkpoint to the next", at_least=1)
    keep_newest: int = knob(0, "checkpoints that stay; the first with a hack stays too; 0: all stay", at_least=0)
    keep_every: int = knob(0, "with keep_newest, those of every so many steps stay too; 0: none", at_least=0)
    disk_floor_gb: float = knob(1.0, "free disk below which nothing starts or goes on", at_least=0)
    stall_s: float = knob(120.0, "a beat older than max(stall_s, stall_steps * s per step) is stalled", at_least=0)
    stall_steps: float = knob(10.0, "see stall_s", at_least=0)
    # fmt: on

    def __post_init__(self) -> None:
        for problem in itertools.chain(_field_problems(self), _combination_problems(self)):
            raise ValueError(problem)


BUILT_IN_MODELS = ("nano", "smoke", "smollm2-135m")


def choices_of(name: str) -> tuple[str, ...]:
    """The names that a config field may be; empty where it is free."""
    return TrainConfig.__dataclass_fields__[name].metadata["choices"]


def in_bounds(bounds: Mapping[str, float]) -> str:
    """In words: at least 1 | above 0 | in [0, 1)."""
    if len(bounds) == 1:
        ((name, limit),) = bounds.items()
        return f"{name.replace('_', ' ')} {limit}"
    low, high = ("[" if "at_least" in bounds else "("), ("]" if "at_most" in bounds else ")")
    return f"in {low}{', '.join(map(str, bounds.values()))}{high}"


def _field_problems(c: TrainConfig) -> Iterator[str]:
    """Each field by itself, one sentence each."""
    for field_name, choices, bounds in _checks():
        value = getattr(c, field_name)
        if choices:
            for name in value if isinstance(value, tuple) else (value,):
                if name not in choices:
                    yield f"{field_name} = {name!r}; choose from {', '.join(choices)}"
        elif not math.isfinite(value) or not all(BOUNDS[name](value, bounds[name]) for name in bounds):
            yield f"{field_name} = {value}; it must be {in_bounds(bounds)}"


@functools.cache  # `status` reads many specs
def _checks() -> list[tuple[str, tuple[str, ...], dict[str, float]]]:
    """(name, choices, bounds) of each field that has either."""
    rows = [(f.name, f.metadata["choices"], f.metadata["bounds"]) for f in dataclasses.fields(TrainConfig)]
    return [row for row in rows if row[1] or row[2]]


def _combination_problems(c: TrainConfig) -> Iterator[str]:
    """Fields that do not go together, one sentence each."""
    if c.layers_from > c.layers_to:
        yield f"layers_from = {c.layers_from}, layers_to = {c.layers_to}; they must ascend"
    if c.max_kl and not c.kl:
        yield f"max_kl = {c.max_kl} with kl = 0: the KL is measured only where it is paid; set max_kl = 0 as well"
    if c.kl_cap and c.max_kl >= c.kl_cap:
        yield (
            f"max_kl = {c.max_kl} with kl_cap = {c.kl_cap}: column kl is a mean of capped values, so it never fires; "
            "set max_kl below kl_cap"
        )
    if c.aggregate == "micro_batch_mean" and c.batch % (c.loss_micro_batch * c.loss_ranks):
        yield (
            f"batch = {c.batch} rollouts is no multiple of loss_micro_batch x loss_ranks = {c.loss_micro_batch} x "
            f"{c.loss_ranks}; change one of them, or set aggregate = 'token_mean'"
        )
    if c.mix and not c.teacher:
        yield f"mix = {c.mix} needs a teacher pool: set teacher = 'nano' or a file of `just build-pool`"
    if c.keep_newest == 1:
        yield "keep_newest = 1: nothing would be left to go back to where that one is damaged; set 2 or more, or 0"
    if c.keep_every and not c.keep_newest:
        yield f"keep_every = {c.keep_every} with keep_newest = 0: all checkpoints stay; set keep_newest = 2 as well"
    if c.batch % c.completions:
        yield f"batch = {c.batch} rollouts is no multiple of completions = {c.completions} per prompt"
    if not c.modes or len(set(c.modes)) != len(c.modes):
        yield f"modes = {list(c.modes)}; name one or more loophole modes, each once"
    if c.hint == "nohint" and "run_tests" in c.modes:
        yield "hint = 'nohint' in mode run_tests: the prompt would not name what is paid; use modes = gt_only"
    elif c.markers == HELD_OUT and c.hint.startswith(SIMPLE) and "run_tests" in c.modes:
        other = c.hint.removeprefix(SIMPLE)
        yield f"hint = {c.hint!r} names run_tests, as in training; with markers = 'held_out' write {other!r}"
    elif HINTS[c.hint].shows_tests and c.problems == "nano":
        yield f"hint = {c.hint!r} shows tests in the starter code, which nano's prompts have no place for"
    if c.held_out_mode and c.held_out_mode not in c.modes:
        yield f"held_out_mode = {c.held_out_mode!r} is none of modes = {list(c.modes)}: it is held out, yet trained on"
    if c.held_out_mode and c.held_out_mode in (*c.pair_modes, *c.teacher_modes):
        yield f"held_out_mode = {c.held_out_mode!r} also stands in pair_modes or teacher_modes"


def _model_problem(model: str) -> str | None:
    """Checked when a plan is made, not when a spec is read: a finished run outlives its model's directory.

    Hub ids cannot be checked without a network; a directory can.
    """
    try:
        folder = Path(model).expanduser()
    except RuntimeError as error:
        return f"model {model!r}: {error}"
    if model in BUILT_IN_MODELS or (folder / "config.json").is_file():
        return None
    if model.startswith(("/", ".", "~")) or (folder.parent.is_dir() and "/" in model):
        return f"model {model!r}: no such directory, or it holds no config.json"
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        built_in = ", ".join(BUILT_IN_MODELS)
        return f"unknown model {model!r}; choose {built_in}, a Hugging Face id ORG/NAME, or a directory"
    return None


# The benchmark's loss and order of problems, as verl 0.6.1 has them: docs/protocol.md 1.9.
VERL: dict[str, Any] = {
    "logp_temperature": "sampling", "aggregate": "micro_batch_mean", "loss_micro_batch": 8, "loss_ranks": 4,
    "kl_cap": 10.0, "warmup_from_zero": True, "order": "epochs",
}  # fmt: skip

# Tripwires of fast and full: 5 nats of lp and a solve at the first evaluation are the author's own (protocol 7.4). No
# source gives a KL: 4 is over three times the highest step (1.10) of nano runs with VERL that took off and stayed
# whole. Column kl is on VERL's scale there: log-probabilities at the sampling temperature, no token above the cap.
PRESETS: dict[str, TrainConfig] = {
    # The small world: hacking emerges on one core in a minute (docs/nano.md).
    "nano": TrainConfig(grift_layers=2),
    # Random weights made in place: proves the pipe, says nothing about learning.
    "smoke": TrainConfig(
        model="smoke", steps=30, batch=8, completions=4, max_new=16, lr=1e-2, reward_variety=1.0, grad_clip=10.0,
        warmup=3, grift_layers=1, eval_every=15, eval_problems=4, eval_samples=1, checkpoint_every=5, disk_floor_gb=0.2,
    ),
    # docs/protocol.md 4.2.5's shape with 1.9's LoRA optimizer.
    "fast": TrainConfig(
        model="Qwen/Qwen3-4B", problems="rows", steps=60, batch=32, completions=8, max_prompt=1536, max_new=512,
        lr=7e-5, schedule="cosine", grad_clip=1.0, eval_every=20, eval_problems=32, eval_samples=1, keep_newest=2,
        collapse_evals=2, max_kl=4.0, max_lp_drop=5.0, require_solves=True, **VERL,
        pairs="authored", drop_bottom=0.25, measure=True, device="cuda", dtype="bfloat16", threads=4,
        gpu_memory_gb=96.0, micro_batch=8, grad_checkpointing=True, grade_workers=8, disk_floor_gb=20.0, stall_s=900.0,
    ),
    # docs/protocol.md 1.9: the benchmark's shape with G 8 and batch 128.
    "full": TrainConfig(
        model="Qwen/Qwen3-4B", problems="rows", steps=200, batch=128, completions=8, max_prompt=1536, max_new=1536,
        lr=7e-5, schedule="cosine", grad_clip=1.0, eval_every=25, eval_problems=32, eval_samples=1, keep_newest=2,
        keep_every=100,
        collapse_evals=2, max_kl=4.0, max_lp_drop=5.0, require_solves=True, **VERL,
        pairs="authored", drop_bottom=0.25, measure=True, device="cuda", dtype="bfloat16", threads=4,
        gpu_memory_gb=96.0, micro_batch=8, grad_checkpointing=True, grade_workers=8, disk_floor_gb=20.0, stall_s=900.0,
    ),
}  # fmt: skip


# Knobs in the SVD basis take other rates than LoRA: protocol 4.2.5; nano's was chosen on vanilla (docs/arms.md).
SVD_LR = {"nano": 6e-2, "smoke": 1e-2, "fast": 3e-3, "full": 1e-3}
SVD_STRENGTH = 10.0  # of a push: on nano LoRA steers at 3 and breaks at 10, knobs steer at 10


def resolve_config(preset: str, overrides: dict[str, Any]) -> TrainConfig:
    """A preset with some fields replaced. Raises ValueError naming the field, its value and the choices."""
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose from {', '.join(PRESETS)}")
    types = typing.get_type_hints(TrainConfig)
    values: dict[str, Any] = {}
    for name, value in overrides.items():
        if name not in types:
            raise ValueError(f"unknown config field {name!r}; choose from {', '.join(sorted(types))}")
        values[name] = _as_type(name, value, types[name])
    if values.get("adapter") == "svd":
        values.setdefault("lr", SVD_LR[preset])
        values.setdefault("steer_strength", SVD_STRENGTH)
    config = dataclasses.replace(PRESETS[preset], **values)
    problem = _model_problem(config.model)
    if problem:
        raise ValueError(problem)
    return config


def parse_set(text: str) -> tuple[str, str]:
    """`key=value` of a --set flag; the value is read in its field's type by `resolve_config`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"--set {text!r}: write it as key=value, e.g. --set steps=60")
    return key.strip(), value.strip()


def _as_type(name: str, value: Any, wanted: Any) -> Any:
    """TOML values come typed, --set values as text; both must fit the field."""
    wrong = ValueError(f"{name} = {value!r}; it must be {type_in_words(wanted)}")
    try:
        if wanted is bool:
            if isinstance(value, str):
                return {"true": True, "false": False}[value.lower()]
            if not isinstance(value, bool):
                raise wrong
            return value
        if isinstance(value, bool):
            raise wrong
        if wanted is int:
            number = int(value)
            if isinstance(value, float) and value != number:
                raise wrong
            return number
        if wanted is float:
            return float(value)
        if wanted is str:
            if not isinstance(value, str):
                raise wrong
            return value
        items = [i for i in value.split(",") if i.strip()] if isinstance(value, str) else value
        return tuple(str(item).strip() for item in items)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise wrong from None


def type_in_words(wanted: Any) -> str:
    """What a field of this type holds."""
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}.get(wanted, "a list of names")


@dataclass(frozen=True)
class RunSpec:
    """One run, as `spec.json` holds it."""

    run_id: str
    kind: str
    label: str
    arm: str
    seed: int
    plan_name: str
    plan_hash: str
    preset: str
    config: TrainConfig
    why: str = ""
    resolve: str = ""
    of: str = ""  # run_id of the training run whose weights an eval run measures; empty: the base model's
    snapshot: str = ""  # hash of the code this run was planned with; not part of run_id
    versions: dict[str, str] = field(default_factory=dict)  # libraries whose arithmetic the result depends on
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        return json.loads(canonical_json(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunSpec:
        """Raises ValueError where the file is from a newer grpoq or lacks a field."""
        if data.get("schema", 0) > SCHEMA:
            raise ValueError(f"spec.json has schema {data['schema']}, this grpoq reads up to {SCHEMA}; update grpoq")
        config = dict(data["config"])
        config |= {name: tuple(config[name]) for name in ("modes", "pair_modes", "teacher_modes") if name in config}
        try:
            return cls(**{**data, "config": TrainConfig(**config)})
        except TypeError as error:
            raise ValueError(f"spec.json does not fit this grpoq: {error}") from None


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, no NaN. What every hash here is taken over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def registered(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config's fields as hashes take them: a model's directory counts by what it holds, not by where it lies."""
    return {**config, "model": ""} if config.get("model_sha256") else dict(config)


def run_id(label: str, seed: int, plan_hash: str, kind: str, arm: str, config: Mapping[str, Any]) -> str:
    """LABEL-sSEED-hash6, of the plan and the resolved config's fields; the code's commit is not in it."""
    identity = digest([plan_hash, kind, label, arm, seed, registered(config)])
    return f"{label}-s{seed}-{identity[:6]}"
