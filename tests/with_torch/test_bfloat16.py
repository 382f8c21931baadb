"""What bfloat16 must not change: the model that is read, and that the policy that speaks is the one that is trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from core.model.load import NANO, load
from core.model.rotary import require_exact_rotary

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
        logits = model(ids).logits[0, :-1].float()
        return logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]

    exact = logps(load(str(long_model)).model)
    loaded = load(str(long_model), dtype="bfloat16")
    plain = logps(AutoModelForCausalLM.from_pretrained(long_model, dtype=torch.bfloat16))
    ours = logps(loaded.model)
    assert torch.equal(ours, plain)
    error = (ours - exact).abs()
    assert error[2000:].mean() < 2 * error[:1000].mean() and error.mean() < 0.05


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
