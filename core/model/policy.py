"""The policy in use: model, adapter and decoder together, asked in tasks and answering in tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.environment.task import Posed
from core.model.adapters import ADAPTERS
from core.model.adapters.base import Adapter
from core.model.decoder import Decoder, make_decoder
from core.model.load import LanguageModel, load
from core.model.rollouts import sample, uniforms
from core.spec import TrainConfig


@dataclass
class Policy:
    language_model: LanguageModel
    adapter: Adapter
    decoder: Decoder
    config: TrainConfig
    tick: Callable[[], None] = lambda: None  # called while something long is under way

    @classmethod
    def of(
        cls,
        language_model: LanguageModel,
        adapter: Adapter,
        config: TrainConfig,
        tick: Callable[[], None] = lambda: None,
    ) -> Policy:
        return cls(language_model, adapter, make_decoder(adapter.model, adapter.modules), config, tick)

    def refresh(self) -> None:
        """Give the decoder the adapter's present state."""
        self.decoder.refresh(self.adapter)

    def prompt(self, asked: Posed) -> list[int]:
        return self.language_model.encode_prompt(asked.chat())

    def text(self, tokens: Sequence[int]) -> str:
        return self.language_model.decode(tokens)

    def complete(self, tasks: Sequence[Posed], members: int, key: Sequence[object]) -> list[list[list[int]]]:
        """`members` completions of each task, by task: token lists, seeded by (*key, task's place)."""
        c = self.config
        prompts = [self.prompt(task) for task in tasks]
        draws = uniforms(key, len(tasks), members, c.max_new)
        at_once = max(1, c.decode_rows // members)
        flat: list[list[int]] = []
        for i in range(0, len(tasks), at_once):
            rows = draws[i * members : (i + at_once) * members]
            end_ids = self.language_model.end_ids
            chunk = prompts[i : i + at_once]
            flat += sample(self.decoder, chunk, rows, c.temperature, c.top_p, end_ids, c.device, self.tick)
        return [flat[i : i + members] for i in range(0, len(flat), members)]

    def fits(self, asked: Posed) -> bool:
        return len(self.prompt(asked)) <= self.config.max_prompt


def attached(config: TrainConfig, seed: int, tick: Callable[[], None] = lambda: None) -> Policy:
    """The config's model with a fresh adapter around it; `refresh` it before it is asked. Raises DataError."""
    language_model = load(config.model, config.device, config.dtype)
    adapter = ADAPTERS[config.adapter](language_model, config, seed)
    if config.grad_checkpointing:
        adapter.model.train()  # dropout is 0 everywhere; transformers checkpoints only in this mode
        adapter.model.gradient_checkpointing_enable({"use_reentrant": False})
        adapter.model.enable_input_require_grads()
    return Policy.of(language_model, adapter, config, tick)
