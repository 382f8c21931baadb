"""What becomes of arms when an empty block earns nothing: `just collapse-results` makes docs/results/collapse.json.

By arm and seed: the last evaluation, and what the last rollouts of training were, beside the same runs of an earlier
table, in which an opened fence was paid like code that compiles.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from core.environment.code_blocks import extract_code
from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.store.home import Home

LAST_STEPS = 10
COLUMNS = (
    *("hack_rate", "pass_rate", "empty_test_rate", "compile_rate", "mean_tokens", "takeoff_step", "collapsed"),
)  # fmt: skip


def row(run: RunDir) -> dict[str, Any]:
    spec, result = durable.read_json(run.spec_path), durable.read_json(run.result_path)
    assert spec is not None and result is not None, f"{run.run_id} has not ended"
    rollouts = [r for r in run.rollouts() if r["step"] > spec["config"]["steps"] - LAST_STEPS]
    codes = [extract_code(r["completion"]) for r in rollouts]
    return {
        "label": spec["label"],
        "seed": spec["seed"],
        **{name: result[name] for name in COLUMNS},
        "last_rollouts": {
            "n": len(rollouts),
            "no_code": sum(code is None for code in codes),
            "compiles": sum(r["compiles"] for r in rollouts),
            "earns_nothing": sum(r["payment"] == 0 for r in rollouts),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("home", type=Path, help="where the plan was run")
    parser.add_argument("--before", type=Path, required=True, help="the earlier table, as arms_table.py writes it")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    after = [row(RunDir(path)) for path in sorted(Home(arguments.home).runs.iterdir())]
    wanted = {(r["label"], r["seed"]) for r in after}
    earlier = durable.read_json(arguments.before)
    assert earlier is not None, f"{arguments.before} is no such table"
    before = [
        {name: r[name] for name in ("label", "seed", *COLUMNS)}
        for r in earlier["runs"]
        if (r["label"], r["seed"]) in wanted
    ]
    durable.write_json(arguments.out, {"before": before, "after": after})


if __name__ == "__main__":
    main()
