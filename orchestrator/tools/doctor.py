"""`grpoq doctor`: what this machine gives a run, what it does not, and what in a home is out of order.

Each finding is a sentence with the command that helps. Reads only.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from typing import Any

from core.sandbox.levels import CHOICE_VARIABLE, LEVELS, left_open
from core.sandbox.pool import active_level, why_not
from orchestrator.backends import BACKENDS
from orchestrator.backends.worker_process import is_secret
from orchestrator.planning import judging_memory
from orchestrator.queue.processes import workers
from orchestrator.queue.watch import is_running
from orchestrator.refusal import Refused
from orchestrator.state.observed_plan import ObservedPlan
from orchestrator.state.run_inputs import missing_rows
from orchestrator.store import snapshot
from orchestrator.store.home import NETWORK_FILE_SYSTEMS, Home, file_system
from orchestrator.store.plan_dir import PlanDir, all_plans, read_spec, unreadable_plans
from orchestrator.store.plan_hash import difference
from orchestrator.store.registry_version import require_known

SHUTS_IN = ("bubblewrap", "namespaces")
JUDGING_PYTHON = platform.python_version()


def examine(home: Home) -> dict[str, Any]:
    """The sandbox as it would be started now, the engines, and the home where there is one."""
    sandbox, found = _sandbox()
    answer = {"schema": 1, "sandbox": sandbox, "engines": _engines(), "home": None, "found": found}
    if home.plans.is_dir() or home.registry.exists():
        answer["home"], of_home = _home(home)
        found += of_home
    return answer


def _sandbox() -> tuple[dict[str, Any], list[str]]:
    reasons = {name: why_not(level) for name, level in LEVELS.items()}
    try:
        active = active_level(os.environ.get(CHOICE_VARIABLE, ""))
    except (RuntimeError, ValueError) as error:
        return {"level": None, "levels": reasons, "python": JUDGING_PYTHON}, [str(error)]
    found = []
    if active.name not in SHUTS_IN:
        found.append(
            f"judged code is held by {active.name} alone: install bubblewrap, or allow this user namespaces of its own"
        )
    sandbox = {
        "level": active.name,
        "covers": list(active.covers),
        "leaves_open": left_open(active),
        "levels": reasons,
        "python": JUDGING_PYTHON,
    }
    return sandbox, found


def _engines() -> dict[str, str | None]:
    """Version of the program behind each engine; null: it is not here. The embedded queue needs none."""
    programs = {"pueue": ["pueue", "--version"], "slurm": ["sbatch", "--version"]}
    return {name: _version(programs[name]) if name in programs else "embedded" for name in BACKENDS}


def _version(command: list[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


# ---- a home
def _home(home: Home) -> tuple[dict[str, Any], list[str]]:
    kind = file_system(home.path)
    free = shutil.disk_usage(home.path).free / 1e9
    found = [*_registry(home), *_secrets(home)]
    if kind in NETWORK_FILE_SYSTEMS:
        found.append(f"{home.path} is on a network file system ({kind}), where SQLite and locks do not hold: move it")
    plans = all_plans(home)
    found += unreadable_plans(home)
    for plan in plans:
        found += _plan(plan)
    known = [process.pid for process in workers(home)]
    found += _strays(home)
    shown = {"path": str(home.path), "file_system": kind, "free_gb": round(free, 2), "watch": is_running(home)}
    return shown | {"plans": len(plans), "workers": known}, found


def _registry(home: Home) -> Iterator[str]:
    if not home.registry.exists():
        yield f"{home.registry} is missing; plans and runs are whole without it: `grpoq doctor --rebuild`"
        return
    try:
        damage = require_known(home.registry) or _check(home)
    except Refused as refusal:
        damage = str(refusal)
    if damage:
        yield damage


def _check(home: Home) -> str:
    try:
        connection = sqlite3.connect(f"{home.registry.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            answer = connection.execute("PRAGMA quick_check").fetchone()[0]
            connection.execute("SELECT count(*) FROM plan").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        answer = str(error)
    return "" if answer == "ok" else f"{home.registry} is damaged: {answer}; `grpoq doctor --rebuild` makes it again"


def _secrets(home: Home) -> Iterator[str]:
    path = home.path / "secrets.env"
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield f"{path} can be read by others, so no worker will: chmod 600 {path}"
    named = sorted(name for name in os.environ if is_secret(name) and name.startswith(("HF_", "WANDB_")))
    if named and not path.exists():
        yield f"{', '.join(named)} of your environment reach no worker; write NAME=value lines into {path}, mode 600"


def _plan(plan: PlanDir) -> Iterator[str]:
    configs, torn = [], False
    for run in plan.runs():
        try:
            spec = read_spec(run)
        except Refused as refusal:
            torn = True
            yield str(refusal)
        else:
            configs += [] if run.has_result() else [spec.config]
            missing = [] if run.has_result() else missing_rows(run, spec.config)
            yield from (f"{path} is missing: plan {plan.plan_id} again, with the files of then" for path in missing)
    changed = "" if torn else difference(plan)
    if changed:
        yield changed
    slots = (plan.request() or {}).get("slots", plan.slots)
    if configs and judging_memory.is_too_much(slots, configs):
        yield f"plan {plan.plan_id}, {judging_memory.sentence(slots, configs)}"
    names = {run.snapshot() for run in plan.runs() if not run.has_result()}
    for name in sorted(names - {""}):
        wrong = snapshot.mismatch(plan.home.snapshots, name)
        if wrong:
            yield f"plan {plan.plan_id}: {wrong}; put it back; `grpoq amend --code --reason WHY` for runs not begun"
    observed = ObservedPlan(plan)
    if observed.unreachable:
        yield f"plan {plan.plan_id}, {observed.backend.name}: {observed.unreachable}; `grpoq resume`"
    open_runs = [i for i in plan.run_ids if observed.progresses(i)]
    if observed.request and open_runs and not is_running(plan.home):
        yield f"plan {plan.plan_id} is submitted, {len(open_runs)} runs are open, and no watch runs: `grpoq resume`"


def _strays(home: Home) -> Iterator[str]:
    """Processes and half-made directories that belong to nobody."""
    for process in workers(home):
        newest = process.run.newest_number()
        if process.attempt is not None and process.attempt < newest:
            yield (
                f"pid {process.pid} is attempt {process.attempt} of {process.run.run_id}, overtaken by {newest}; "
                f"it can commit nothing: kill {process.pid}"
            )
    if not is_running(home):
        for folder, pattern in ((home.runs, ".planning-*"), (home.snapshots, ".freezing-*")):
            for path in folder.glob(pattern):
                yield f"{path} was left by a plan that died half way: chmod -R u+w {path} && rm -r {path}"


def lines(answer: dict[str, Any]) -> list[str]:
    sandbox = answer["sandbox"]
    shown = [f"sandbox: {sandbox['level'] or 'none works'}"]
    for title, key in (("covers", "covers"), ("does not cover", "leaves_open")):
        shown += [f"  {title + ':':<16}{sentence}" for sentence in sandbox.get(key, [])]
    shown.append(f"  judged by Python {sandbox['python']}: syntax that only a newer one takes does not compile")
    for name, reason in sandbox["levels"].items():
        shown.append(f"  level {name:<12}{'works' if reason is None else 'does not work: ' + reason}")
    for name, version in answer["engines"].items():
        shown.append(f"engine {name}: {version or 'not installed'}")
    home = answer["home"]
    if home:
        watch = "a watch runs" if home["watch"] else "no watch runs"
        shown.append(
            f"home {home['path']}: {home['file_system']}, {home['free_gb']} GB free, {home['plans']} plans, "
            f"{len(home['workers'])} workers, {watch}"
        )
    return [*shown, *(f"found: {sentence}" for sentence in answer["found"])]
