"""No adapter: the model as it was loaded, in the shape in which a policy asks for one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from core.model.adapters.base import Adapter
from core.model.adapters.branch import Branch
from core.model.load import LanguageModel


def bare(language_model: LanguageModel) -> Adapter:
    model = language_model.model
    return Adapter(
        model=model,
        modules={},
        parameters={},
        merged=model.get_parameter,
        branch=_nothing_is_added,
        zeroed=contextlib.nullcontext,
        save=lambda folder, ablated: _nothing_is_trained(folder),
        load=_nothing_is_trained,
    )


def _nothing_is_added(module_name: str) -> Branch:
    raise KeyError(f"{module_name}: the bare model has no module that an adapter changes")


def _nothing_is_trained(folder: Path) -> None:
    raise ValueError(f"{folder}: the bare model has no trained weights of its own to save or load")
