"""The adapters by name: each is one function (language model, config, seed) -> Adapter and one entry here."""

from __future__ import annotations

from collections.abc import Callable

from core.model.adapters.base import Adapter
from core.model.adapters.blocks import attach_blocks
from core.model.adapters.lora import attach_frozen_a, attach_lora
from core.model.adapters.svd import attach_svd
from core.model.load import LanguageModel
from core.spec import TrainConfig

ADAPTERS: dict[str, Callable[[LanguageModel, TrainConfig, int], Adapter]] = {
    "lora": attach_lora,
    "lora_frozen_a": attach_frozen_a,
    "svd": attach_svd,
    "lora_blocks": attach_blocks,
}
