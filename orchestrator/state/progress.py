"""How far a run has come: steps that count. Reads only; standard library only."""

from __future__ import annotations

from core.runs.run_dir import RunDir


def steps_done(run: RunDir) -> int:
    """Steps that a new attempt would not repeat, or that the living one has made."""
    attempts = run.attempts()
    beat = (run.heartbeat(attempts[-1]) or {}) if attempts and run.is_alive(attempts[-1]) else {}
    return max(beat.get("step") or 0, newest_checkpoint(run) or 0)


def newest_checkpoint(run: RunDir) -> int | None:
    steps = [int(p.parent.name[5:]) for p in run.checkpoints.glob("step_*/state.json") if p.parent.name[5:].isdigit()]
    return max(steps, default=None)
