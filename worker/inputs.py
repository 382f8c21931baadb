"""What a run reads beside its directory, compared with what the plan registered before anything is computed from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.runs.model_directory import content_sha256
from worker.arithmetic import CannotHonour


def require_model(config: Any) -> None:
    """Raises CannotHonour where the model's directory holds other files than the plan was made with, or is gone."""
    if not config.model_sha256:
        return  # a name
    try:
        found = content_sha256(Path(config.model))
    except OSError as error:
        raise CannotHonour(f"model directory {config.model} cannot be read ({error}); put it back, or a link") from None
    if found != config.model_sha256:
        raise CannotHonour(
            f"model directory {config.model} has SHA-256 {found[:12]}, the plan registered "
            f"{config.model_sha256[:12]}: put back what it was planned with, or plan anew"
        )
