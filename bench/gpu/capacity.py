"""How many rows the card that is there can decode: a visit plans for it as a plan does for the one that it names."""

from __future__ import annotations

from bench.gpu.phase import Visit

WEIGHTS_BYTES = 16e9  # Qwen3-4B twice, as trained and as sampled, and its adapter
SPARE_BYTES = 4e9  # the CUDA context, logits, what the allocator has cut into pieces
PREFILL_BYTES = 120e3  # of activations that exist at once, for every token of every prompt
SHARE = 0.9  # of the card


def rows_that_fit(visit: Visit, prompt: int, max_new: int, most: int, sharing: int | None = None) -> int:
    """At most `most`, and that many without a card. `sharing`: rows of one prompt; None: a group's members."""
    sharing = sharing or visit.sizes.members
    if not visit.on_card or visit.tiny:
        return most
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    row = visit.sizes.cache_bytes * (prompt + max_new) + PREFILL_BYTES * prompt / sharing
    rows = int((SHARE * total - WEIGHTS_BYTES - SPARE_BYTES) / row)
    return max(sharing, min(most, rows // sharing * sharing))
