"""The policy that is sampled is the policy that is trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM

from core.attempt import Preempted
from core.model.adapters.base import switched_off, tensors_sha256
from core.model.adapters.lora import attach_lora
from core.model.decoder import DenseDecoder, ModuleDecoder, make_decoder
from core.model.load import NANO, LanguageModel, load
from core.model.logprobs import TokenBatch, completion_logps
from core.model.rollouts import exact_cumsum, likely_draw, sample, uniforms, with_full_draws
from core.spec import PRESETS

PROMPTS = [[5, 77, 300, 12, 9, 41, 8], [60, 61, 62, 8]]
COMPLETIONS = [[7, 8, 9, 1], [100, 101], [5, 5, 5], [300, 1]]
GROUP = [0, 0, 1, 1]


def with_random_adapter(name: str) -> tuple[LanguageModel, object]:
    language_model = load(name)
    adapter = attach_lora(language_model, PRESETS["nano"], seed=3)
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in adapter.parameters.values():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return language_model, adapter


def test_fresh_adapter_leaves_the_model_unchanged() -> None:
    ids = torch.tensor([PROMPTS[0]])
    before = load("nano").model(ids).logits
    adapter = attach_lora(load("nano"), PRESETS["nano"], seed=3)
    assert torch.equal(adapter.model(ids).logits, before)


def test_switched_off_adapter_is_the_reference() -> None:
    _, adapter = with_random_adapter("nano")
    ids = torch.tensor([PROMPTS[0]])
    with switched_off(adapter):
        off = adapter.model(ids).logits
    assert torch.equal(off, load("nano").model(ids).logits)
    assert not torch.equal(adapter.model(ids).logits, off)


@pytest.mark.parametrize("kind", [DenseDecoder, ModuleDecoder])
@pytest.mark.parametrize("name", ["nano", "smoke"])
def test_decoder_gives_the_trained_policys_probabilities(kind: type, name: str) -> None:
    _, adapter = with_random_adapter(name)
    decoder = DenseDecoder(adapter.model) if kind is DenseDecoder else ModuleDecoder(adapter.model, adapter.modules)
    decoder.refresh(adapter)
    batch = TokenBatch.pad(PROMPTS, COMPLETIONS, GROUP, "cpu")
    expected = completion_logps(adapter.model, batch).detach()
    logits = decoder.prefill(batch.prompt_ids, batch.prompt_mask, batch.group, 8)
    rows = torch.arange(4)
    for position in range(4):
        here = torch.log_softmax(logits, -1).gather(1, batch.completion_ids[rows, position : position + 1])[:, 0]
        inside = batch.completion_mask[rows, position]
        torch.testing.assert_close(here[inside], expected[rows, position][inside], atol=2e-5, rtol=1e-5)
        if position == 1:
            decoder.keep(torch.tensor([0, 2]))
            rows = rows[[0, 2]]
        if position < 3:
            logits = decoder.step(batch.completion_ids[rows, position])


def test_states_of_linear_attention_follow_their_rows() -> None:
    """Qwen3.5 keeps a state of fixed size in three of four layers, beside keys and values in the fourth."""
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "linear_num_value_heads": 4, "linear_num_key_heads": 2}
    sizes = {"head_dim": 32, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_hidden_layers": 4}
    hybrid = AutoConfig.for_model(
        "qwen3_5_text", vocab_size=768, hidden_size=64, intermediate_size=64, **heads, **sizes
    )
    model = AutoModelForCausalLM.from_config(hybrid).eval().requires_grad_(False)
    adapter = attach_lora(LanguageModel(model, None, frozenset([1])), PRESETS["smoke"], seed=3)
    decoder = make_decoder(adapter.model, adapter.modules)
    decoder.refresh(adapter)
    batch = TokenBatch.pad(PROMPTS, COMPLETIONS, GROUP, "cpu")
    expected = completion_logps(adapter.model, batch, shared_prefix=False).detach()
    decoder.prefill(batch.prompt_ids, batch.prompt_mask, batch.group, 8)
    decoder.step(batch.completion_ids[:, 0])
    decoder.keep(torch.tensor([0, 2]))
    logits = decoder.step(batch.completion_ids[[0, 2], 1])
    here = torch.log_softmax(logits, -1).gather(1, batch.completion_ids[[0, 2], 2:3])[:, 0]
    torch.testing.assert_close(here, expected[[0, 2], 2], atol=2e-5, rtol=1e-5)


def test_shared_prompt_gives_the_padded_forms_gradient() -> None:
    gradients = []
    for shared in (True, False):
        _, adapter = with_random_adapter("nano")
        batch = TokenBatch.pad(PROMPTS, COMPLETIONS, GROUP, "cpu")
        logps = completion_logps(adapter.model, batch, shared)
        (logps * torch.tensor([1.0, -1.0, 0.5, -0.5])[:, None]).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in adapter.parameters.values()]))
    assert gradients[0].norm() > 0.1
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


def test_part_of_a_batch_has_the_wholes_log_probabilities() -> None:
    _, adapter = with_random_adapter("nano")
    batch = TokenBatch.pad(PROMPTS, COMPLETIONS, GROUP, "cpu")
    whole = completion_logps(adapter.model, batch).detach()
    part = completion_logps(adapter.model, batch.take(torch.tensor([2, 3]))).detach()
    torch.testing.assert_close(part, whole[2:, :3], atol=1e-5, rtol=1e-5)


def test_draws_follow_the_nucleus_by_hand() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).expand(5, 4)
    draws = torch.tensor([0.0, 0.52, 0.53, 0.85, 0.999])
    # top_p 0.9 keeps the first three, mass 0.95: borders at 0.5/0.95 = 0.526 and 0.8/0.95 = 0.842
    assert likely_draw(probabilities, draws, 0.9)[0].tolist() == [0, 0, 1, 2, 2]
    assert likely_draw(probabilities, draws, 0.4)[0].tolist() == [0, 0, 0, 0, 0]


def test_wide_nucleus_looks_beyond_the_first_candidates_of_its_own_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    flat, peaked = torch.full((500,), 1 / 500), torch.tensor([0.96, *[0.04 / 499] * 499])
    probabilities, draws = torch.stack([flat, peaked, flat]), torch.tensor([0.5, 0.5, 0.9999])
    drawn, is_short = likely_draw(probabilities, draws, 0.95)
    assert is_short.tolist() == [True, False, True]
    sorted_shapes, sort = [], torch.Tensor.sort
    monkeypatch.setattr(torch.Tensor, "sort", lambda x, **how: sorted_shapes.append(tuple(x.shape)) or sort(x, **how))
    drawn = with_full_draws(drawn, is_short, probabilities, draws, 0.95)
    assert drawn.tolist() == [237, 0, 474] and sorted_shapes == [(2, 500)]  # 0.5 and 0.9999 of the first 475


def test_running_sums_need_no_float_sum_that_a_gpu_orders() -> None:
    probabilities = torch.softmax(torch.randn(8, 300, generator=torch.Generator().manual_seed(1)), -1)
    with Operations() as seen:
        found = exact_cumsum(probabilities)
    assert torch.equal(found, probabilities.double().cumsum(-1).float())
    assert seen.dtypes["cumsum"] == {torch.int64}


class Operations(TorchDispatchMode):
    """Which operations run, with the dtypes of their first tensors; host waits as a GPU would have them."""

    def __init__(self) -> None:
        super().__init__()
        self.dtypes: dict[str, set[torch.dtype]] = {}
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if args and isinstance(args[0], torch.Tensor):
            self.dtypes.setdefault(name, set()).add(args[0].dtype)
        by_mask = name.startswith("index") and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool
            for i in (args[1] if isinstance(args[1], (list, tuple)) else ())
        )
        self.waits += by_mask or name in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2")
        return func(*args, **(kwargs or {}))


class Peaked:
    """A decoder of one likely token a row, so that no row ends or is sorted."""

    def __init__(self) -> None:
        self.cached = False

    def prefill(self, prompt_ids: torch.Tensor, mask: torch.Tensor, group: torch.Tensor, new: int) -> torch.Tensor:
        self.cached = True
        return self.step(group)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.arange(100) == 3, 50.0, 0.0).expand(len(tokens), -1)

    def release(self) -> None:
        self.cached = False


def test_the_host_waits_once_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(torch.Tensor, "tolist", lambda x: waits.append(1) or x.numpy().tolist())
    counts = []
    for length in (10, 20):
        waits.clear()
        with Operations() as seen:
            assert sample(Peaked(), PROMPTS, torch.rand(4, length), 0.7, 0.95, frozenset([1])) == [[3] * length] * 4
        counts.append(seen.waits + len(waits))
    assert counts[1] - counts[0] == 10


@pytest.mark.parametrize("kind", [DenseDecoder, ModuleDecoder])
def test_the_cache_is_given_back_at_the_end_and_at_a_stop(kind: type) -> None:
    language_model, adapter = with_random_adapter("smoke")
    decoder = DenseDecoder(adapter.model) if kind is DenseDecoder else ModuleDecoder(adapter.model, adapter.modules)
    decoder.refresh(adapter)

    def cached() -> list[torch.Tensor]:
        if kind is DenseDecoder:
            return decoder.keys + decoder.values
        return [layer.keys for layer in decoder.cache.layers if layer.keys is not None]

    def stop() -> None:
        assert cached()
        raise Preempted("asked to stop")

    with pytest.raises(Preempted):
        sample(decoder, PROMPTS, torch.rand(4, 5), 0.7, 0.95, language_model.end_ids, tick=stop)
    assert not cached()
    sample(decoder, PROMPTS, torch.rand(4, 5), 0.7, 0.95, language_model.end_ids)
    assert not cached()


def test_completions_do_not_depend_on_how_groups_are_batched() -> None:
    language_model, adapter = with_random_adapter("nano")
    decoder = DenseDecoder(adapter.model)
    decoder.refresh(adapter)
    draws = uniforms((7, 1), 2, 3, 20)
    together = sample(decoder, PROMPTS, draws, 0.7, 0.95, language_model.end_ids)
    alone = [
        sample(decoder, [p], draws[3 * i : 3 * i + 3], 0.7, 0.95, language_model.end_ids) for i, p in enumerate(PROMPTS)
    ]
    assert together == alone[0] + alone[1]
    assert not torch.equal(uniforms((7, 2), 1, 3, 20), draws[:3])


def test_saved_adapter_loads_with_peft(tmp_path: Path) -> None:
    _, adapter = with_random_adapter("nano")
    adapter.save(tmp_path, False)
    base = AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, tmp_path)
    ids = torch.tensor([PROMPTS[0]])
    torch.testing.assert_close(loaded(ids).logits, adapter.model(ids).logits, atol=1e-5, rtol=1e-5)


def test_tensor_hash_sees_every_bit() -> None:
    tensors = {"a": torch.zeros(3), "b": torch.ones(2)}
    changed = {"a": torch.zeros(3), "b": torch.tensor([1.0, torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))])}
    assert tensors_sha256(tensors) != tensors_sha256(changed)
    assert tensors_sha256(tensors) == tensors_sha256(dict(reversed(tensors.items())))
