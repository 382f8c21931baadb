"""What bfloat16 must not change: the model that is read, and that the policy that speaks is the one that is trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from core.model.adapters import ADAPTERS
from core.model.adapters.bare import bare
from core.model.adapters.base import Adapter
from core.model.decoder import FUSED, Decoder, DenseDecoder, ModuleDecoder
from core.model.load import NANO, load
from core.model.logprobs import TokenBatch, completion_logps
from core.model.projection import projection
from core.model.rotary import require_exact_rotary
from support import small_policy

LENGTH = 3000


@pytest.fixture(scope="module", params=[1e6, 5e6])
def long_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen3's heads and theta; attention peaked, so that it matters where a token stands."""
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 128}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1, "tie_word_embeddings": True}
    rope = {"rope_type": "default", "rope_theta": request.param}
    model = Qwen3ForCausalLM(
        Qwen3Config(vocab_size=len(tokenizer), max_position_embeddings=4096, rope_parameters=rope, **shape, **heads)
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(2 if "q_norm" in name or "k_norm" in name else 3 if parameter.dim() == 2 else 1)
    folder = tmp_path_factory.mktemp("long")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def test_a_far_token_is_read_as_in_float32(long_model: Path) -> None:
    ids = torch.randint(5, 700, (1, LENGTH), generator=torch.Generator().manual_seed(1))

    def logps(model: Any) -> Tensor:
        return model(ids).logits[0].float().log_softmax(-1)

    loaded = load(str(long_model), dtype="bfloat16")
    ours = logps(loaded.model)
    assert torch.equal(ours, logps(AutoModelForCausalLM.from_pretrained(long_model, dtype=torch.bfloat16)))
    error = (ours - logps(load(str(long_model)).model))[:-1].gather(1, ids[0, 1:, None]).abs()
    assert error[2000:].mean() < 2 * error[:1000].mean() and error.mean() < 0.05

    decoder = DenseDecoder(loaded.model)
    decoder.refresh(bare(loaded))
    logits = decoder.prefill(ids[:, :-1], torch.ones_like(ids[:, :-1], dtype=torch.bool), torch.zeros(1).long(), 1)
    sampled = logits[0].float().log_softmax(-1)
    assert float((sampled.exp() * (sampled - ours[-2])).sum()) < 1e-4


def test_the_smoke_models_weights_are_cast_and_its_frequencies_are_not() -> None:
    wide, narrow = load("smoke").model, load("smoke", dtype="bfloat16").model
    assert {p.dtype for p in narrow.parameters()} == {torch.bfloat16}
    assert narrow.lm_head.weight is narrow.model.embed_tokens.weight
    assert torch.equal(narrow.model.rotary_emb.inv_freq, wide.model.rotary_emb.inv_freq)


@pytest.mark.parametrize("back", [False, True])
def test_rounded_frequencies_are_refused_also_where_they_were_made_wide_again(back: bool) -> None:
    model = load("nano").model
    require_exact_rotary("nano", model)
    model = model.to(torch.bfloat16).to(torch.float32) if back else model.to(torch.bfloat16)
    with pytest.raises(RuntimeError, match=r"model 'nano': model\.rotary_emb\.inv_freq .*from_pretrained"):
        require_exact_rotary("nano", model)


RATES = {
    "svd": 1.2e-2,
    "lora_blocks": 1e-4,
}  # a fifth of nano's: the first updates are then as small beside a weight as those of `full`
RATE = 3e-4
WARM_UP = 10
PROMPTS = [[5, 77, 300, 12, 9, 41, 8], [60, 61, 62, 8]]
COMPLETIONS = [[7, 8, 9, 10, 1], [100, 101, 7, 7, 1], [5, 5, 5, 12], [300, 1, 40, 41, 42]]
BATCH = TokenBatch.pad(PROMPTS, COMPLETIONS, [0, 0, 1, 1], "cpu")


@torch.no_grad()
def spoken(decoder: Decoder) -> Tensor:
    """(N, L, V) log-probabilities of the sampler, token by token."""
    logits = [decoder.prefill(BATCH.prompt_ids, BATCH.prompt_mask, BATCH.group, 5)]
    logits += [decoder.step(BATCH.completion_ids[:, i]) for i in range(BATCH.completion_ids.shape[1] - 1)]
    return torch.stack(logits, 1).float().log_softmax(-1)


@torch.no_grad()
def trained(model: Any) -> Tensor:
    ids = torch.cat([BATCH.prompt_ids[BATCH.group], BATCH.completion_ids], 1)
    mask = torch.cat([BATCH.prompt_mask[BATCH.group], BATCH.completion_mask], 1)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask.long(), position_ids=positions, use_cache=False).logits
    return logits[:, BATCH.prompt_ids.shape[1] - 1 : -1].float().log_softmax(-1)


def kl(p: Tensor, q: Tensor) -> float:
    """Nats a token."""
    return float((p.exp() * (p - q)).sum(-1)[BATCH.completion_mask].mean())


def in_bfloat16(model: str, adapter: str) -> Adapter:
    config = small_policy.config(model=model, adapter=adapter, dtype="bfloat16")
    return ADAPTERS[adapter](load(model, dtype="bfloat16"), config, 3)


def update(adapter: Adapter, optimizer: torch.optim.AdamW, rate: float) -> None:
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad()
    (-(completion_logps(adapter.model, BATCH) * torch.tensor([[1.0], [-1.0], [-1.0], [1.0]])).mean()).backward()
    optimizer.step()


@torch.no_grad()
def change_cosines(adapter: Adapter) -> list[float]:
    """Of what the adapter changes in a module's output: in the sampler, against the trained layers."""
    found = []
    for parts in (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("mlp.down_proj",)):
        names = [f"model.layers.1.{part}" for part in parts]
        layers = [adapter.modules[name] for name in names]
        x = torch.randn(64, layers[0].base_layer.in_features, generator=torch.Generator().manual_seed(2)).bfloat16()
        base = torch.cat([layer.base_layer(x) for layer in layers], -1).float()
        theirs = torch.cat([layer(x) for layer in layers], -1).float() - base
        own = projection(adapter.model, names)
        own.refresh(adapter)
        found.append(float(cosine_similarity((own(x).float() - base).flatten(), theirs.flatten(), 0)))
    return found


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_sampler_follows_the_trainer_from_the_first_update(name: str) -> None:
    adapter, rate = in_bfloat16("nano", name), RATES.get(name, RATE)
    decoders: list[Decoder] = [DenseDecoder(adapter.model), ModuleDecoder(adapter.model, adapter.modules)]
    parameters = [p for p in adapter.parameters.values() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, rate, (0.9, 0.99), weight_decay=0.1)
    start = trained(adapter.model)
    for number in range(1, 11):
        update(adapter, optimizer, rate * number / WARM_UP)
        if number in (1, 3, 10):
            assert min(change_cosines(adapter)) > 0.99, (number, change_cosines(adapter))
            now = trained(adapter.model)
            for decoder in decoders:
                decoder.refresh(adapter)
                print("KL", name, number, kl(spoken(decoder), now))
                assert kl(spoken(decoder), now) < 1e-4, number
    print("MOVED", name, kl(start, now))
    assert kl(start, now) > 1e-3  # there was something to follow


@pytest.mark.parametrize("kind", ["dense", "module"])
def test_weights_are_shared_and_what_was_taken_over_stays(kind: str) -> None:
    """A refresh within `ablated` samples without the quarantine after it, and an update waits for the next refresh."""
    adapter = in_bfloat16("smoke", "lora_blocks")
    decoder: Any = DenseDecoder(adapter.model) if kind == "dense" else ModuleDecoder(adapter.model, adapter.modules)
    with torch.no_grad():
        for parameter in adapter.parameters.values():
            parameter.normal_(generator=torch.Generator().manual_seed(5))
    decoder.refresh(adapter)
    whole = spoken(decoder)
    with adapter.ablated():
        decoder.refresh(adapter)
    deployed = spoken(decoder)
    assert kl(deployed, whole) > 5e-4
    with torch.no_grad():
        for parameter in adapter.parameters.values():
            parameter.zero_()
    assert torch.equal(spoken(decoder), deployed)
    layers = decoder.layers if kind == "dense" else []
    projections = [getattr(layer, part) for layer in layers for part in FUSED] or decoder.projections
    weights = {p.untyped_storage().data_ptr() for p in adapter.model.parameters()}
    assert {p.weight.untyped_storage().data_ptr() for p in projections} <= weights
