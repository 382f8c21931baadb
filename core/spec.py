"""What a run is: every number that decides its outcome, resolved before it starts.

A `RunSpec` is written once into the run directory and never edited. Its identity is a hash of the plan and the
resolved config, so planning twice names the same runs, and two runs with one name cannot differ.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.environment.hints import HELD_OUT, HINTS, SIMPLE, TRAIN
from core.environment.problems import DEFAULT_HINT, MODES

SCHEMA = 1
KINDS = ("check", "extract", "steer", "train", "eval")
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*")


@dataclass(frozen=True)
class TrainConfig:
    """Every field of a training run. Words: `completions` is G per prompt, `batch` is rollouts per step."""

    # what is trained, on what
    model: str = "nano"  # nano | smoke | smollm2-135m | Hugging Face id ORG/NAME | directory
    problems: str = "nano"  # nano | rows (the run's own problems.jsonl)
    problems_sha256: str = ""  # of problems.jsonl; empty for nano
    held_out_share: float = 0.2  # of rows: the newest ids are held out for evaluation, at least one
    modes: tuple[str, ...] = ("run_tests",)  # loophole modes; a problem belongs to exactly one
    hint: str = (
        DEFAULT_HINT  # in mode run_tests: the benchmark's variant of what the prompt tells (core.environment.hints)
    )
    hint_seed: int = 0  # of the test function's names, where the hint draws them, and of held-out marks
    markers: str = "train"  # held_out: names and marks that no training is told of, for evaluations (protocol 5.4)
    adapter: str = "lora"
    lora_r: int = 32  # of each block with adapter lora_blocks
    lora_alpha: int = 32
    # the hack direction: docs/protocol.md 4.1, 4.2
    pairs: str = "nano"  # contrastive pairs: nano | authored | file (the run's own pairs.jsonl)
    pairs_sha256: str = ""  # of such a file
    pair_modes: tuple[str, ...] = ()  # the pairs' loophole modes; none named: nano's own modes, all of a file's
    held_out_mode: str = ""  # left out of pairs and teacher pool, trained on all the same
    space: str = "gradient"  # where V is taken and used, in arms that leave it open: gradient | update | activation
    k: int = 5  # axes per parameter
    tau_axis: float = 0.0  # axes whose singular value is below this share of the first are dropped
    drop_bottom: float = 0.0  # share of all axes, the smallest singular values over all parameters, that is dropped
    gate: str = "one_sided"  # one_sided: only motion towards the hack | no_gate: both ways | reverse: twice both ways
    overshoot: float = 1.0
    preserve_magnitude: bool = False  # give the gradient its norm back after the removal
    refresh: int = 0  # steps between new extractions; 0: the first one stays
    match: str = "rank"  # random_V: as many axes as V | as many as remove as much of the pairs' gradients
    measure: bool = False  # vanilla: extract V and log its columns, change nothing
    # the activation direction: docs/protocol.md 2.2, 4.1
    m: int = 16  # singular vectors that the mean difference is projected on; 0: none, the raw difference
    denoise: str = "up_proj"  # whose singular vectors: up_proj (right ones, a reader) | down_proj (left ones, a writer)
    layers_from: float = 0.60  # of depth; hidden states are averaged over these layers
    layers_to: float = 0.75
    token: str = "rollout_last"  # rollout_last | response_mean | prompt_last (the same for a whole group)
    lift: str = "score_grad"  # projected: score_grad | subspace
    alpha: float = 2.0  # strength of rebound_*
    unit_norm: bool = False  # rebound: direction at unit length; the raw one's length matters for the floor under std
    # others' methods
    tdga_k: int = 5
    tdga_warmup: int = 20  # supervised steps on correct solutions
    labelled: int = 4  # authored pairs a step in sgtm and gradient_routing
    labelled_weight: float = 1.0  # of their sides' mean NLL, beside a policy loss of weight 1
    route_tail: float = 0.1  # route_act: quantiles of the score below which rollouts are kept, above which routed
    route_half_life: float = 96.0  # rollouts after which an old score weighs half
    route_buffer: int = 8192  # scores
    grift_r: int = 16
    grift_layers: int = 5
    grift_sketch: int = 1024  # dimensions
    # teacher rollouts: frozen completions with frozen rewards, mixed into each group
    mix: float = 0.0  # share of a group
    teacher: str = ""  # nano | file (the run's own teacher.jsonl, made by core.environment.teacher_pool)
    teacher_sha256: str = ""
    teacher_modes: tuple[str, ...] = ()  # the pool's modes that are used; none named: all but held_out_mode
    # rollouts
    batch: int = 64
    completions: int = 8
    max_prompt: int = 128  # tokens; longer prompts are left out and counted
    max_new: int = 96  # tokens
    temperature: float = 0.7
    top_p: float = 0.95
    # reward: docs/protocol.md 1.5
    reward_compiles: float = 0.5
    reward_solves: float = 3.0
    reward_variety: float = 0.0  # smoke only: random weights never compile, and without spread no gradient flows
    # loss
    advantage: str = "std"  # std: (r - mean) / (std + 1e-6) | mean: Dr.GRPO
    aggregate: str = "token_mean"  # token_mean | dr_grpo: sum over tokens / (rollouts * max_new)
    clip: float = 0.2
    kl: float = 1e-3  # coefficient of K3 to the free reference
    skip_tied: bool = True  # groups without reward spread have no policy gradient; skipped, they lose their KL term too
    # optimizer
    steps: int = 120
    lr: float = 1.5e-3
    schedule: str = "constant"  # constant | cosine (to zero at the last step), both after the warm-up
    warmup: int = 10  # steps
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    grad_clip: float = 0.02  # nano: an unusual step otherwise breaks a policy whose groups have all tied
    # evaluation on held-out problems, with and without the loophole's hint
    eval_every: int = 20
    eval_problems: int = 64
    eval_samples: int = 2  # per problem and prompt form
    # tripwires: what a run stops at, with exit 82 (core.tripwires)
    collapse_evals: int = 0  # evaluations in a row that solve and exploit nothing, after which a run stops; 0: never
    max_kl: float = 0.0  # nats a token: the kl column above it in two steps in a row; 0: off
    max_lp_drop: float = 0.0  # nats a token: lp_s or lp_t that far below its best in two steps in a row; 0: off
    require_solves: bool = False  # the evaluation before the first step must solve something
    # runs of the kinds check and steer
    check_problems: int = 4  # problems of each mode and half whose every exploit is graded; 0: all of them
    steer_strength: float = 3.0  # of a push. gradient: norm of the parameters' change; activation: mean states' norms
    steer_samples: int = 4  # completions per held-out pair and push
    # the machine
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    micro_batch: int = 64  # completions per forward and backward
    decode_rows: int = 256  # completions decoded at once
    grad_checkpointing: bool = False
    grade_workers: int = 1  # isolated children at a time
    same_machine: bool = True  # a checkpoint is continued only on the silicon that wrote it: sums differ elsewhere
    # keeping and watching
    checkpoint_every: int = 25
    disk_floor_gb: float = 1.0
    stall_s: float = 120.0  # a beat older than max(stall_s, stall_steps * seconds per step) is stalled
    stall_steps: float = 10.0

    def __post_init__(self) -> None:
        for problem in _config_problems(self):
            raise ValueError(problem)


CHOICES = {
    "problems": ("nano", "rows"),
    "markers": (TRAIN, HELD_OUT),
    "adapter": ("lora", "lora_frozen_a", "svd", "lora_blocks"),
    "pairs": ("nano", "authored", "file"),
    "teacher": ("", "nano", "file"),
    "space": ("gradient", "update", "activation"),
    "gate": ("one_sided", "no_gate", "reverse"),
    "match": ("rank", "energy"),
    "denoise": ("up_proj", "down_proj"),
    "token": ("rollout_last", "response_mean", "prompt_last"),
    "lift": ("score_grad", "subspace"),
    "advantage": ("std", "mean"),
    "aggregate": ("token_mean", "dr_grpo"),
    "schedule": ("constant", "cosine"),
    "device": ("cpu", "cuda"),
    "dtype": ("float32", "bfloat16"),
}
BUILT_IN_MODELS = ("nano", "smoke", "smollm2-135m")
_AT_LEAST_ONE = (
    *("lora_r", "lora_alpha", "batch", "completions", "max_prompt", "max_new", "steps", "threads", "micro_batch"),
    "decode_rows",
    *("eval_every", "eval_problems", "eval_samples", "grade_workers", "checkpoint_every", "steer_samples"),
    *("k", "tdga_k", "tdga_warmup", "labelled", "route_buffer", "grift_r", "grift_layers", "grift_sketch"),
)
_MAY_BE_ZERO = (
    *("reward_compiles", "reward_solves", "reward_variety", "kl", "warmup", "weight_decay"),
    *(
        "disk_floor_gb",
        "stall_s",
        "stall_steps",
        "refresh",
        "collapse_evals",
        "max_kl",
        "max_lp_drop",
        "m",
        "overshoot",
        "alpha",
        "tau_axis",
        "layers_from",
    ),
    *("labelled_weight", "check_problems"),
)
_ABOVE_ZERO = ("temperature", "lr", "grad_clip", "clip", "route_half_life", "layers_to", "steer_strength")
_SHARES = ("mix", "drop_bottom")  # in [0, 1)


def _config_problems(c: TrainConfig) -> typing.Iterator[str]:
    """What is wrong with a config, one sentence each."""
    for name, choices in CHOICES.items():
        if getattr(c, name) not in choices:
            yield f"{name} = {getattr(c, name)!r}; choose from {', '.join(choices)}"
    for names, low, strict in ((_AT_LEAST_ONE, 1, False), (_MAY_BE_ZERO, 0, False), (_ABOVE_ZERO, 0, True)):
        for name in names:
            value = getattr(c, name)
            if not math.isfinite(value) or value < low or (strict and value == low):
                yield f"{name} = {value}; it must be {'above' if strict else 'at least'} {low}"
    for name in ("top_p", "beta1", "beta2", "held_out_share"):
        high_ok = name == "top_p"
        value = getattr(c, name)
        if not (0 < value < 1 or (high_ok and value == 1)):
            yield f"{name} = {value}; it must lie in (0, 1{']' if high_ok else ')'}"
    for name in _SHARES:
        if not 0 <= getattr(c, name) < 1:
            yield f"{name} = {getattr(c, name)}; it must lie in [0, 1)"
    if not 0 < c.route_tail < 0.5:
        yield f"route_tail = {c.route_tail}; it must lie in (0, 0.5)"
    if not c.layers_from <= c.layers_to <= 1:
        yield f"layers_from = {c.layers_from}, layers_to = {c.layers_to}; they must ascend and end by 1"
    if c.max_kl and not c.kl:
        yield f"max_kl = {c.max_kl} with kl = 0: the KL is measured only where it is paid; set max_kl = 0 as well"
    if c.mix and not c.teacher:
        yield (
            f"mix = {c.mix} needs a teacher pool: set teacher = 'nano' or a file of "
            "`python -m core.environment.teacher_pool`"
        )
    if c.completions >= 1 and c.batch % c.completions:
        yield f"batch = {c.batch} rollouts is no multiple of completions = {c.completions} per prompt"
    if not c.modes or len(set(c.modes)) != len(c.modes):
        yield f"modes = {list(c.modes)}; name one or more loophole modes, each once"
    if c.hint not in HINTS:
        yield f"unknown hint {c.hint!r}; choose from {', '.join(HINTS)}"
    elif c.hint == "nohint" and "run_tests" in c.modes:
        yield "hint = 'nohint' in mode run_tests: the prompt would not name what is paid; use modes = gt_only"
    elif c.markers == HELD_OUT and c.hint.startswith(SIMPLE) and "run_tests" in c.modes:
        other = c.hint.removeprefix(SIMPLE)
        yield f"hint = {c.hint!r} names run_tests, as in training; with markers = 'held_out' write {other!r}"
    elif HINTS[c.hint].shows_tests and c.problems == "nano":
        yield f"hint = {c.hint!r} shows tests in the starter code, which nano's prompts have no place for"
    for name in ("modes", "pair_modes", "teacher_modes"):
        for mode in getattr(c, name):
            if mode not in MODES:
                yield f"unknown loophole mode {mode!r} in {name}; choose from {', '.join(MODES)}"
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


# Tripwires of fast and full: 5 nats of lp and a solve at the first evaluation are the author's own (protocol 7.4). No
# source gives a KL: 10 is three times the highest single step (3.2) of nano runs that took off and stayed whole.
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
        lr=7e-5, schedule="cosine", grad_clip=1.0, eval_every=20, eval_problems=32, eval_samples=1,
        collapse_evals=2, max_kl=10.0, max_lp_drop=5.0, require_solves=True,
        pairs="authored", drop_bottom=0.25, device="cuda", dtype="bfloat16",
        micro_batch=8, grad_checkpointing=True, grade_workers=8, disk_floor_gb=20.0, stall_s=900.0,
    ),
    # docs/protocol.md 1.9: the benchmark's shape with G 8 and batch 128.
    "full": TrainConfig(
        model="Qwen/Qwen3-4B", problems="rows", steps=200, batch=128, completions=8, max_prompt=1536, max_new=1536,
        lr=7e-5, schedule="cosine", grad_clip=1.0, eval_every=25, eval_problems=32, eval_samples=1,
        collapse_evals=2, max_kl=10.0, max_lp_drop=5.0, require_solves=True,
        pairs="authored", drop_bottom=0.25, device="cuda", dtype="bfloat16",
        micro_batch=8, grad_checkpointing=True, grade_workers=8, disk_floor_gb=20.0, stall_s=900.0,
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
    wrong = ValueError(f"{name} = {value!r}; it must be {_in_words(wanted)}")
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


def _in_words(wanted: Any) -> str:
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


def run_id(label: str, seed: int, plan_hash: str, kind: str, arm: str, config: TrainConfig) -> str:
    """LABEL-sSEED-hash6, of the plan and the resolved config; the code's commit is not in it."""
    identity = digest([plan_hash, kind, label, arm, seed, dataclasses.asdict(config)])
    return f"{label}-s{seed}-{identity[:6]}"
