"""Weights & Biases: offline unless WANDB_MODE says online; it never asks for a login.

Offline a run is one transaction log that holds all of its steps, begun anew where the mirror was killed. wandb itself
would begin another log for each process, and of several logs with one id `wandb sync` makes one run only if it gets all
of them, in order, and its version heeds `resume` offline, which older ones do not. A whole log needs no resume: to sync
it again overwrites the run with the same steps. Online a run cannot be rewound: it is resumed by its id, and goes on
after the last step that the server has.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.runs import durable
from orchestrator.refusal import Refused
from orchestrator.trackers import Card, TrackerError

MODES = {"offline": "offline", "dryrun": "offline", "online": "online", "run": "online"}  # the second: old names
REMOVAL_S = 5.0  # for the process that a killed mirror left behind to let go of it


def wanted_mode() -> str:
    """offline, or what WANDB_MODE says. Raises Refused."""
    named = os.environ.get("WANDB_MODE") or "offline"
    if named not in MODES:
        raise Refused(f"WANDB_MODE={named} mirrors nothing; choose offline (the default) or online")
    return MODES[named]


class WandB:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mode = os.environ["WANDB_MODE"] = wanted_mode()  # the library takes an empty one for a mistake
        self.rewinds = self.mode == "offline"
        self._runs: dict[str, Any] = {}
        for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", *(("WANDB_CONFIG_DIR",) if self.rewinds else ())):
            os.environ.setdefault(name, str(folder / "cache"))  # nothing is written outside the home
        if self.rewinds:
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        else:
            self._require_login()

    def _require_login(self) -> None:
        import wandb

        if not wandb.login(prompt=False, verify=False):
            raise Refused("WANDB_MODE=online, and wandb knows no key: set WANDB_API_KEY, or `wandb login` once")

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        import wandb

        return (OSError, TrackerError, wandb.Error)

    def holds(self, card: Card) -> bool:
        return not self.rewinds or bool(self._logs(card.run_id))

    def _logs(self, run_id: str) -> list[Path]:
        """Directories of a run, one for each time it was begun."""
        named = re.compile(rf"offline-run-\d+_\d+-{re.escape(run_id)}")
        return [path for path in (self.folder / "wandb").glob("offline-run-*") if named.fullmatch(path.name)]

    def begin(self, card: Card) -> int:
        import wandb

        if card.run_id in self._runs:
            self.end(card.run_id)
        if self.rewinds:
            self._clear(card.run_id)
        self.folder.mkdir(parents=True, exist_ok=True)
        mode: Any = self.mode
        run = self._runs[card.run_id] = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or card.plan_id,
            dir=str(self.folder),
            mode=mode,
            id=card.run_id,
            resume=None if self.rewinds else "allow",
            name=card.name,
            group=card.label,
            job_type="train",
            notes=card.why,
            config=dict(card.config),
            reinit="create_new",  # several runs in one process
            settings=wandb.Settings(
                console="off",
                silent=True,
                save_code=False,
                disable_git=True,
                x_disable_stats=True,  # of the mirror's process, which nobody asked for
                x_disable_meta=True,
                x_disable_machine_info=True,
            ),
        )
        return 0 if self.rewinds else run.step

    def _clear(self, run_id: str) -> None:
        """wandb names a log's directory by the second: a new one in the same second would be the old one's again, into
        which the process that a killed mirror left behind may still write."""
        old = self._logs(run_id)
        for path in old:
            _remove(path)
        while any(path.name.startswith(time.strftime("offline-run-%Y%m%d_%H%M%S-")) for path in old):
            time.sleep(0.05)

    def log(self, run_id: str, step: int, values: Mapping[str, float]) -> None:
        self._runs[run_id].log(dict(values), step=step, commit=True)  # else the last step waits for a next one

    def flush(self, run_id: str) -> None:
        """wandb writes its log in blocks, and has no call for less."""

    def end(self, run_id: str, failed: bool = False) -> None:
        run = self._runs.pop(run_id)
        run.finish(exit_code=int(failed))
        if self.rewinds:
            own = Path(run.dir).parent
            for log in own.glob("*.wandb"):
                durable.fsync_file(log)
            durable.fsync_dir(own)

    def view(self, plan_id: str) -> str:
        if not self.rewinds:
            return "the runs' pages at W&B"
        return f"wandb sync {shlex.quote(str(self.folder / 'wandb'))}"


def _remove(path: Path) -> None:
    deadline = time.monotonic() + REMOVAL_S
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            if time.monotonic() > deadline:
                raise TrackerError(f"{path} cannot be removed")
            time.sleep(0.05)
