"""Rotary frequencies as the model's config says them, in float32.

An angle is frequency x position: a frequency rounded to bfloat16 is off by up to 0.2 %, whole radians beyond a thousand
tokens. Sampler and trainer then agree, and both read another model than the published one. Su et al. 2021 (2104.09864).
"""

from __future__ import annotations

from typing import Any

import torch

FREQUENCIES = "inv_freq"  # how the buffers' names end


def require_exact_rotary(name: str, model: Any) -> None:
    """Raises RuntimeError where a rotary buffer is not float32, or not what its module makes of the config anew.

    For models as they are loaded, on the CPU: another device may round a power otherwise. A module that does not take
    the config alone is held to float32 only.
    """
    for buffer_name, found in model.named_buffers():
        if not buffer_name.endswith(FREQUENCIES):
            continue
        place = f"model {name!r}: {buffer_name}"
        way_out = "load the model in its dtype by from_pretrained, and cast no buffers afterwards"
        if found.dtype != torch.float32:
            raise RuntimeError(f"{place} is {found.dtype} and must be float32: {way_out}")
        module_name, _, leaf = buffer_name.rpartition(".")
        expected = _made_anew(model.get_submodule(module_name), leaf)
        if expected is not None and not torch.equal(found, expected):
            worst = float(((found - expected) / expected).abs().max())
            raise RuntimeError(f"{place} differs from the config's by up to {worst:.1e} of its value: {way_out}")


def _made_anew(module: Any, buffer_name: str) -> torch.Tensor | None:
    try:
        return type(module)(module.config).get_buffer(buffer_name)
    except (AttributeError, TypeError):
        return None
