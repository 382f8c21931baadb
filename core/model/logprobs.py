"""Log-probabilities of completions under a causal language model, with gradients.

The policy that is trained and the one that is sampled must give the same numbers: tests/with_torch/test_decoder.py.
A group shares its prompt, so the prompt runs once per group and its keys and values are read by all completions:
the same gradient as the padded form, for about half the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from core.model.recomputed import FAMILIES, PromptCache, checkpoints_layers, recomputed

ATTENTION = {"full_attention", "sliding_attention"}  # layers whose cache is keys and values
HEAD_CHUNK = 1024  # tokens whose logits exist at once where the vocabulary is large


@dataclass(frozen=True)
class TokenBatch:
    """P prompts and N completions; `group[n]` is the row of completion n's prompt."""

    prompt_ids: Tensor  # (P, Lp) left-padded
    prompt_mask: Tensor  # (P, Lp) bool
    completion_ids: Tensor  # (N, Lc) right-padded
    completion_mask: Tensor  # (N, Lc) bool; an end token counts as a token
    group: Tensor  # (N,)

    @classmethod
    def pad(
        cls, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], group: Sequence[int], device: str
    ) -> TokenBatch:
        prompt_width = max(map(len, prompts))
        completion_width = max(map(len, completions))
        prompt_ids = torch.zeros(len(prompts), prompt_width, dtype=torch.long)
        prompt_mask = torch.zeros(len(prompts), prompt_width, dtype=torch.bool)
        for i, tokens in enumerate(prompts):
            prompt_ids[i, prompt_width - len(tokens) :] = torch.tensor(tokens)
            prompt_mask[i, prompt_width - len(tokens) :] = True
        completion_ids = torch.zeros(len(completions), completion_width, dtype=torch.long)
        completion_mask = torch.zeros(len(completions), completion_width, dtype=torch.bool)
        for i, tokens in enumerate(completions):
            completion_ids[i, : len(tokens)] = torch.tensor(tokens)
            completion_mask[i, : len(tokens)] = True
        tensors = (prompt_ids, prompt_mask, completion_ids, completion_mask, torch.tensor(group))
        return cls(*(t.to(device) for t in tensors))

    def take(self, rows: Tensor) -> TokenBatch:
        """The batch of some completions and the prompts they need, cut to their longest."""
        kept, group = torch.unique(self.group[rows], return_inverse=True)
        prompt_mask = self.prompt_mask[kept]
        completion_mask = self.completion_mask[rows]
        prompt_width = int(prompt_mask.sum(1).max())
        completion_width = int(completion_mask.sum(1).max())
        return TokenBatch(
            self.prompt_ids[kept, -prompt_width:],
            prompt_mask[:, -prompt_width:],
            self.completion_ids[rows, :completion_width],
            completion_mask[:, :completion_width],
            group,
        )


def completion_logps(
    model: Any, batch: TokenBatch, shared_prefix: bool | None = None, temperature: float = 1.0
) -> Tensor:
    """log p(token | prompt, earlier tokens) of logits / temperature, shape (N, Lc), zero outside the mask.

    `model` is a Hugging Face causal LM, with adapters in place or without. Without `shared_prefix` each row is the
    whole sequence: for hooks and masks by row, and for architectures whose cache is not differentiable. None: shared
    where the model can. Raises ValueError where it is asked for and the model cannot.
    """
    shared = can_share_prefix(model) if shared_prefix is None else shared_prefix
    hidden = _shared_hidden(model, batch) if shared else _padded_hidden(model, batch)
    targets = batch.completion_ids[batch.completion_mask]
    flat = _token_logps(model.get_output_embeddings(), hidden[batch.completion_mask], targets, temperature)
    return torch.zeros_like(batch.completion_ids, dtype=flat.dtype).masked_scatter(batch.completion_mask, flat)


def can_share_prefix(model: Any) -> bool:
    """Whether a second forward goes on from the cache of a first. Linear attention's does not, for more than a token.
    Layers that transformers checkpoints drop theirs; those of known families are then core.model.recomputed's."""
    if not set(getattr(model.config, "layer_types", None) or ()) <= ATTENTION:
        return False
    return model.config.model_type in FAMILIES or not checkpoints_layers(model)


def _shared_hidden(model: Any, batch: TokenBatch) -> Tensor:
    """Hidden states that predict each completion token, (N, Lc, H)."""
    if not can_share_prefix(model):
        raise ValueError(
            f"shared_prefix = True of a {model.config.model_type} model: its layers are checkpointed or linear "
            "attention and go on from no cache, so completions would not see their prompt; leave shared_prefix out"
        )
    backbone = model.base_model if hasattr(model, "base_model") else model.model
    if not checkpoints_layers(model):
        return _prompt_then_rest(backbone, batch, DynamicCache(config=model.config))
    with recomputed(backbone):
        return _prompt_then_rest(backbone, batch, PromptCache(model.config))


def _prompt_then_rest(backbone: Any, batch: TokenBatch, cache: DynamicCache) -> Tensor:
    positions = (batch.prompt_mask.cumsum(1) - 1).clamp(min=0)
    prompt = backbone(
        input_ids=batch.prompt_ids,
        attention_mask=batch.prompt_mask.long(),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    first = prompt[batch.group, -1:]  # (N, 1, H) predicts the first completion token
    if batch.completion_ids.shape[1] == 1:
        return first
    cache.batch_select_indices(batch.group)
    lengths = batch.prompt_mask.sum(1)[batch.group]
    steps = torch.arange(batch.completion_ids.shape[1] - 1, device=lengths.device)
    rest = backbone(
        input_ids=batch.completion_ids[:, :-1],
        attention_mask=torch.cat([batch.prompt_mask[batch.group], batch.completion_mask[:, :-1]], 1).long(),
        position_ids=lengths[:, None] + steps,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return torch.cat([first, rest], 1)


def _padded_hidden(model: Any, batch: TokenBatch) -> Tensor:
    backbone = model.base_model if hasattr(model, "base_model") else model.model
    ids = torch.cat([batch.prompt_ids[batch.group], batch.completion_ids], 1)
    mask = torch.cat([batch.prompt_mask[batch.group], batch.completion_mask], 1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    hidden = backbone(
        input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False
    ).last_hidden_state
    return hidden[:, batch.prompt_ids.shape[1] - 1 : -1]


def _token_logps(head: torch.nn.Linear, hidden: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """(T, H), (T,) -> (T,) fp32. Logits of a large vocabulary are made chunk by chunk, and again in the backward."""
    width = head.out_features
    if hidden.shape[0] * width <= HEAD_CHUNK * 65_536:
        return _chunk_logps(head, hidden, targets, temperature)
    pieces = [
        checkpoint(_chunk_logps, head, h, t, temperature, use_reentrant=False)
        for h, t in zip(hidden.split(HEAD_CHUNK), targets.split(HEAD_CHUNK), strict=True)
    ]
    return torch.cat(pieces)


def _chunk_logps(head: torch.nn.Linear, hidden: Tensor, targets: Tensor, temperature: float) -> Tensor:
    logits = head(hidden).float().div_(temperature)  # in place: a second copy of a large vocabulary's would not fit
    return -F.cross_entropy(logits, targets, reduction="none")
