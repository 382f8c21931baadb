"""Bytes of GPU memory by phase of a run, counted from the model's shape and the config. Whole numbers, no torch.

Each term is one thing that lives on the card as core.model and core.training keep it; tests/system/test_gpu_memory.py
holds the sums against the real functions on device "meta". e is the bytes of a number of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.spec import TrainConfig
from core.weights.shapes import Shape
from orchestrator.planning.adapter_bytes import ADAPTER_BYTES, WIDE, AdapterBytes

HEAD_TOKENS = 1024  # core.model.logprobs.HEAD_CHUNK: tokens whose logits exist at once
SMALL_VOCABULARY = 65_536  # up to HEAD_TOKENS times so many logits are made in one piece
CONTEXT_BYTES = 700_000_000  # CUDA's context, kernels of torch and cuBLAS, its workspace: 0.5 to 0.7 GB
WASTE_PERCENT = 3  # of all tensors: held by the allocator and too small to give out, with expandable segments

Phases = dict[str, int]  # by name, in the order of a run: bytes of all tensors at its height


@dataclass(frozen=True)
class Batch:
    """Sequences of one forward: `rows` completions of `prompts` prompts, at their full length."""

    prompts: int
    rows: int
    prompt: int
    new: int

    @property
    def length(self) -> int:
        return self.prompt + self.new


@dataclass(frozen=True)
class Pass:
    """One run through the layers: `rows` sequences of `queries` tokens, which attend to `keys`."""

    rows: int
    queries: int
    keys: int

    @property
    def tokens(self) -> int:
        return self.rows * self.queries

    @property
    def mask(self) -> int:
        return self.tokens * self.keys


def on_the_card(tensors: int) -> int:
    """With what the allocator wastes, and the context."""
    return CONTEXT_BYTES + tensors * (100 + WASTE_PERCENT) // 100


# ---- a run's phases


def sampling_phases(shape: Shape, config: TrainConfig, trains: bool) -> Phases:
    """Those that decode_rows decides. A training run samples groups, and evaluates on the way; from its second step on
    gradients and moments are there."""
    loaded = loaded_bytes(shape, config)
    evaluated = _at_once(config, config.eval_samples, config.eval_problems)
    if not trains:
        return {"loaded": loaded, **_beside(loaded, sampling_work(shape, config, evaluated, config.eval_samples))}
    stays = staying_bytes(shape, config)
    groups = _at_once(config, config.completions, config.batch // config.completions)
    evaluation = max(sampling_work(shape, config, evaluated, config.eval_samples).values())
    sampled = _beside(stays, sampling_work(shape, config, groups, config.completions))
    return {"loaded": loaded, **sampled, "evaluation": stays + evaluation}


def step_phases(shape: Shape, config: TrainConfig) -> Phases:
    """Those that micro_batch and grad_checkpointing decide."""
    stays, work = staying_bytes(shape, config), training_work(shape, config)
    found = {"hidden states": work.hidden_states, "forward": work.forward, "reference": work.reference}
    update = WIDE * trained_numbers(shape, config)
    return _beside(stays, {**found, "backward": work.backward, "update": update})


def _at_once(config: TrainConfig, members: int, prompts: int) -> int:
    """Prompts that `Policy.complete` decodes together."""
    return min(max(1, config.decode_rows // members), prompts)


def _beside(stays: int, work: Phases) -> Phases:
    return {name: stays + n for name, n in work.items()}


def staying_bytes(shape: Shape, config: TrainConfig) -> int:
    return loaded_bytes(shape, config) + gradients_and_moments(shape, config) + arm_state(shape, config)


# ---- what stays


def number_bytes(config: TrainConfig) -> int:
    return {"bfloat16": 2, "float32": 4}[config.dtype]


def loaded_bytes(shape: Shape, config: TrainConfig) -> int:
    return weights(shape, config) + adapter(shape, config) + decoder_weights(shape, config)


def weights(shape: Shape, config: TrainConfig) -> int:
    return number_bytes(config) * shape.parameters()


def trained_numbers(shape: Shape, config: TrainConfig) -> int:
    trained = ADAPTER_BYTES[config.adapter].trained
    return sum(linear.count * trained(linear, config) for linear in shape.linears())


def adapter(shape: Shape, config: TrainConfig) -> int:
    """Trained numbers in float32, and what is frozen beside them."""
    frozen, e = ADAPTER_BYTES[config.adapter].frozen, number_bytes(config)
    beside = sum(linear.count * frozen(linear, config, e) for linear in shape.linears())
    return WIDE * trained_numbers(shape, config) + beside


def decoder_weights(shape: Shape, config: TrainConfig) -> int:
    """Of the sampler's own: in float32 merged projections; else the adapter as it was at the last update, whose thin
    matrices stand side by side for projections that read the same, and the weights are the model's."""
    if config.dtype == "float32":
        return number_bytes(config) * shape.adapted()
    return WIDE * ADAPTER_BYTES[config.adapter].beside(shape, config)


def gradients_and_moments(shape: Shape, config: TrainConfig) -> int:
    """A gradient and AdamW's two moments for each trained number, kept from step to step."""
    return 3 * WIDE * trained_numbers(shape, config)


def arm_state(shape: Shape, config: TrainConfig) -> int:
    """V with its null, in any arm that has or measures one; parameters as they were before the update; with teachers
    the students' gradient."""
    copies = 1 + (1 if config.mix else 0)
    return direction_bytes(shape, config) + copies * WIDE * trained_numbers(shape, config)


def direction_bytes(shape: Shape, config: TrainConfig) -> int:
    """V and its null: as many axes a parameter as there may be, in float32."""
    axes = 1 if config.space == "activation" else config.k
    return 2 * axes * WIDE * trained_numbers(shape, config)


# ---- sampling


def sampling_work(shape: Shape, config: TrainConfig, prompts: int, members: int) -> Phases:
    rows, length = prompts * members, config.max_prompt + config.max_new
    cache = kv_cache(shape, config, rows, length)
    return {
        "prefill": cache + prefill_work(shape, config, prompts, rows),
        "decode": cache + decode_work(shape, config, rows, length),
    }


def kv_cache(shape: Shape, config: TrainConfig, rows: int, tokens: int) -> int:
    """Keys and values of `rows` sequences, allocated at their full length; the states of delta layers."""
    e, deltas = number_bytes(config), shape.layers - shape.attention_layers
    attended = 2 * e * shape.kv * shape.attention_layers * tokens
    return rows * (attended + deltas * delta_state(shape, e))


def delta_state(shape: Shape, e: int) -> int:
    """Of one sequence and gated delta layer: a key by value matrix a head in float32, the convolution's window."""
    if not shape.delta_heads:
        return 0
    recurrent = WIDE * shape.delta_key_dim * shape.delta_value
    return recurrent + e * (2 * shape.delta_key + shape.delta_value) * shape.delta_conv


def prefill_work(shape: Shape, config: TrainConfig, prompts: int, rows: int) -> int:
    """The layer under way, at its MLP: queries, keys and values as they are and repeated; gate and up with what the
    adapter adds to them, or with what comes of them; the mask; logits of the prompts and of their rows."""
    e, s, width = number_bytes(config), shape, config.max_prompt
    added = ADAPTER_BYTES[config.adapter].branch(s, e) + e * s.hidden if config.dtype == "bfloat16" else 0
    mlp = 2 * e * s.intermediate + max(2 * e * s.intermediate, added)
    a_token = e * (5 * s.q + 3 * s.kv + 2 * s.hidden + 2 * s.head_dim) + mlp
    return prompts * width * (a_token + width) + e * (prompts + rows) * s.vocab


def decode_work(shape: Shape, config: TrainConfig, rows: int, tokens: int) -> int:
    """The larger of a draw and of leaving finished rows behind. A draw where no few tokens hold top_p: logits,
    probabilities, all of them sorted, with their places and sums. Rows: three quarters of a layer's keys, copied."""
    e = number_bytes(config)
    return max(rows * shape.vocab * (e + 8 * WIDE), rows * 3 // 4 * tokens * shape.kv * e)


# ---- training


@dataclass(frozen=True)
class Work:
    """Bytes at the height of each part of a micro-batch, beside what stays."""

    forward: int
    reference: int
    backward: int
    hidden_states: int


def training_work(shape: Shape, config: TrainConfig) -> Work:
    """Of the micro-batch that takes most. Prompts run once where the family can and no arm masks rollouts; else whole
    sequences. Rollouts that do not count leave gaps, so it may reach into one group more than it fills."""
    rows = config.micro_batch
    batch = Batch(min(rows, rows // config.completions + 1), rows, config.max_prompt, config.max_new)
    whole = [Pass(rows, batch.length, batch.length)]
    shared = [Pass(batch.prompts, batch.prompt, batch.prompt), Pass(rows, batch.new, batch.length)]
    masked, attends = ADAPTER_BYTES[config.adapter].masks_rollouts, shape.attention_layers == shape.layers
    shares = shape.is_dense or (attends and not config.grad_checkpointing)
    forms = ([shared] if shares else []) + ([whole] if masked or not shares else [])
    return max((work_of(shape, config, batch, form) for form in forms), key=lambda work: work.backward)


def work_of(shape: Shape, config: TrainConfig, batch: Batch, passes: list[Pass]) -> Work:
    e, kind = number_bytes(config), ADAPTER_BYTES[config.adapter]
    tokens, longest, completed = sum(p.tokens for p in passes), max(p.tokens for p in passes), batch.rows * batch.new
    last = tokens * WIDE * shape.hidden + completed * e * shape.hidden  # for the norm before the head, and its result
    prefix = prefix_cache(shape, config, batch) if len(passes) > 1 else 0
    kept = last + kept_bytes(shape, config, passes) + (prefix if config.grad_checkpointing else 0)
    again = [layer_kept(shape, config, p) + p.tokens * kind.backward(shape, e) for p in passes]
    plain = max(plain_work(shape, e, p) for p in passes) + sum(p.mask for p in passes)
    return Work(
        forward=kept + max(prefix + longest * kind.forward(shape, e) - last, head_work(shape, completed)),
        reference=kept + head_kept(shape, completed) + max(prefix + plain, head_work(shape, completed)),
        backward=kept
        + max(max(again) if config.grad_checkpointing else 0, head_work(shape, completed, in_backward=True)),
        hidden_states=hidden_states_work(shape, config, batch, kind),
    )


def prefix_cache(shape: Shape, config: TrainConfig, batch: Batch) -> int:
    """Of all layers: the prompts' keys and values, kept for the backward where layers run again in it; else each row's,
    prompt and completion, until the forward ends."""
    tokens = batch.prompts * batch.prompt if config.grad_checkpointing else batch.rows * batch.length
    return 2 * number_bytes(config) * shape.kv * shape.attention_layers * tokens


def kept_bytes(shape: Shape, config: TrainConfig, passes: list[Pass]) -> int:
    """For the backward, of all layers: all of their activations, or their inputs alone and the mask; the rotations."""
    e, tokens = number_bytes(config), sum(p.tokens for p in passes)
    rotations = 2 * e * shape.head_dim * tokens
    if config.grad_checkpointing:
        return shape.layers * e * shape.hidden * tokens + sum(p.mask for p in passes) + rotations
    return shape.layers * sum(layer_kept(shape, config, p) for p in passes) + rotations


def layer_kept(shape: Shape, config: TrainConfig, p: Pass) -> int:
    """One layer's activations: norms in float32, gate, up and silu, what the adapter wants, attention."""
    e, s = number_bytes(config), shape
    norms = 2 * WIDE * s.hidden + (WIDE * (s.q + s.kv) if s.normed_heads else 0)
    a_token = norms + 3 * e * s.intermediate + ADAPTER_BYTES[config.adapter].kept(s, config, e)
    return p.tokens * a_token + attention_kept(s, e, p)


def plain_work(shape: Shape, e: int, p: Pass) -> int:
    """A layer without adapter and gradient at its height: the MLP's silu, up and product, or attention."""
    mlp = p.tokens * (3 * e * shape.intermediate + 4 * e * shape.hidden)
    attention = p.tokens * e * (2 * shape.hidden + 3 * shape.q) + 2 * e * shape.q * p.rows * p.keys + (e + 1) * p.mask
    return max(mlp, attention)


def attention_kept(shape: Shape, e: int, p: Pass) -> int:
    """Queries, keys and values repeated to as many heads, output, log-sums; the mask as a bias, padded to 16."""
    wide = e * shape.q * p.rows * (2 * p.queries + 2 * p.keys)
    return wide + WIDE * shape.heads * p.tokens + e * p.tokens * (-(-p.keys // 16) * 16)


def head_work(shape: Shape, tokens: int, in_backward: bool = False) -> int:
    """A chunk's logits in float32 and their log-softmax; in the backward their gradient too."""
    at_once = tokens if _in_one_piece(shape, tokens) else HEAD_TOKENS
    return at_once * shape.vocab * (3 if in_backward else 2) * WIDE


def head_kept(shape: Shape, tokens: int) -> int:
    """The log-softmax, where all logits exist at once; chunks are made again in the backward."""
    return tokens * shape.vocab * WIDE if _in_one_piece(shape, tokens) else 0


def _in_one_piece(shape: Shape, tokens: int) -> bool:
    return tokens * shape.vocab <= HEAD_TOKENS * SMALL_VOCABULARY


def hidden_states_work(shape: Shape, config: TrainConfig, batch: Batch, kind: AdapterBytes) -> int:
    """A forward of whole sequences without gradient; the band's outputs, then again in float32 and stacked."""
    e, tokens = number_bytes(config), batch.rows * batch.length
    band = max(1, sum(config.layers_from <= (i + 1) / shape.layers <= config.layers_to for i in range(shape.layers)))
    captured = band * e * shape.hidden
    return tokens * (captured + max(kind.forward(shape, e), 2 * band * WIDE * shape.hidden) + batch.length)
