"""The worker on the whole model, killed with SIGKILL and started again, beside one that nobody kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.gpu.attempts import planned, weights_of
from bench.gpu.model import folder_of, full_config
from bench.gpu.phase import Finding, Phase, Visit
from core.runs.run_dir import RunDir

REPO = Path(__file__).resolve().parents[2]
PROGRAM = REPO / "bench" / "gpu_check.py"
NANO_PROMPT = 128  # tokens, at most


def work(visit: Visit) -> Finding:
    s = visit.sizes
    if not folder_of(visit).is_dir():  # asked for alone; made by a process that leaves the card again
        subprocess.run([sys.executable, str(PROGRAM), "--only", "model", *visit.flags()], check=True, stdout=2)
    config = full_config(
        visit, batch=s.run_rows, completions=min(s.members, s.run_rows // 2), loss_micro_batch=s.run_rows // 2,
        max_new=s.run_new, steps=s.run_steps, checkpoint_every=1, eval_every=s.run_steps, eval_problems=1,
        grade_workers=1, reward_variety=1.0, measure=False, max_prompt=max(NANO_PROMPT, s.longest_prompt),
    )  # fmt: skip
    unbroken, broken = (planned(visit.folder / "runs" / name, "vanilla", config) for name in ("unbroken", "broken"))
    began = time.monotonic()
    codes = [_worker(unbroken, visit).wait(max(1.0, visit.left()))]
    whole = time.monotonic() - began
    first = _worker(broken, visit)
    killed_at = _kill_after_a_checkpoint(first, broken, visit)
    codes.append(_worker(broken, visit).wait(max(1.0, visit.left())))
    rows = broken.metrics()
    figures = {
        "exit codes": codes, "unbroken_s": round(whole, 1), "killed after step": killed_at,
        "attempts": len(broken.attempts()),
        "gn": [row["gn"] for row in rows], "peak_GB": [row.get("peak_GB") for row in rows],
        "seconds a step": [row["sec"] for row in unbroken.metrics()],
    }  # fmt: skip
    if any(codes):
        return Finding(False, f"a worker ended with {codes}: {_last_words(unbroken, broken)}", figures)
    same = weights_of(unbroken) == weights_of(broken) and 0 < killed_at < s.run_steps
    figures["adapter_sha256"] = [weights_of(run)[:12] for run in (unbroken, broken)]
    if not any(row["gn"] for row in rows):
        return Finding(False, "no gradient came, so equal weights show nothing", figures)
    says = f"killed after step {killed_at} of {s.run_steps} and resumed: {'the same bytes' if same else 'OTHER bytes'}"
    return Finding(same, says, figures)


def _worker(run: RunDir, visit: Visit) -> subprocess.Popen[bytes]:
    log = (run.path / "worker.out").open("ab")
    command = [sys.executable, "-m", "worker", str(run.path)]
    environment = os.environ | {"PYTHONPATH": str(REPO), "GRPOQ_GPU_GRACE_S": "20"}
    return subprocess.Popen(command, cwd=REPO, env=environment, stdout=log, stderr=log)


def _kill_after_a_checkpoint(process: subprocess.Popen[bytes], run: RunDir, visit: Visit) -> int:
    """The newest step that is on disk when the process is dead."""
    while process.poll() is None and not any(run.checkpoints.glob("step_*")) and visit.left() > 0:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return max((int(folder.name[5:]) for folder in run.checkpoints.glob("step_*")), default=0)


def _last_words(*runs: RunDir) -> str:
    errors = [run.error(number) for run in runs for number in run.attempts()]
    return "; ".join(str(error["message"])[:300] for error in errors if error)


KILLED = Phase("killed", 95, "sha256 equal", work, alone=True)
