"""The tidy table: a row for each planned run, a column for each figure, as CSV and as Parquet.

Rates lie in [0, 1]. Where there is no figure the field is empty (CSV) or null (Parquet): not measured, or hidden. Rates
by loophole mode stand in columns of their own, `hack_rate.run_tests`; what was measured with the quarantine on ends in
`_as_trained`, what counts problems with one right answer alone in `_unique`; columns of the last step keep the names
that metrics.jsonl gives them, after `last.`.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from core.runs import durable
from orchestrator.report.model import RATES, Report, RunRow

PLAIN = {
    "plan": str,
    "plan_hash": str,
    "run_id": str,
    "label": str,
    "arm": str,
    "seed": int,
    "role": str,
    "state": str,
    "counted": bool,
    "why_not": str,
    "blinded": bool,
    "collapsed": bool,
    "source": str,
    "n_hinted": int,
    "n_pass": int,
    "n_problems": int,
    "takeoff_step": int,
    "steps": int,
    "steps_planned": int,
    "attempts": int,
    "preemptions": int,
    "wall_s": float,
    "cost": float,
    "adapter_sha256": str,
    "snapshot": str,
}
BOUNDED = ("hack_rate", "pass_rate")
Row = dict[str, Any]


def write_tables(report: Report, folder: Path) -> dict[str, Path]:
    """{"csv": path, "parquet": path}. The same report makes the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    types, rows = columns(report), tidy(report)
    paths = {suffix: folder / f"runs.{suffix}" for suffix in ("csv", "parquet")}
    durable.write_atomic(paths["csv"], as_csv(types, rows))
    durable.write_atomic(paths["parquet"], as_parquet(types, rows))
    return paths


def columns(report: Report) -> dict[str, type]:
    """Names in their order, and what a column holds."""
    rates: dict[str, type] = dict.fromkeys(RATES, float)
    rates |= {f"{name}_{end}": float for name in BOUNDED for end in ("low", "high")}
    modes = sorted({mode for row in report.runs for mode in (*row.hack_by_mode, *row.pass_by_mode)})
    rates |= {f"{name}.{mode}": float for mode in modes for name in BOUNDED}
    trained = sorted({name for row in report.runs for name in row.as_trained})
    rates |= {f"{name}_as_trained": float for name in trained}
    rates |= {f"{name}_unique": float for name in RATES if any(row.unique for row in report.runs)}
    rates |= {f"last.{name}": float for name in sorted({name for row in report.runs for name in row.health})}
    before = list(PLAIN)
    cut = before.index("n_hinted")
    return {name: PLAIN[name] for name in before[:cut]} | rates | {name: PLAIN[name] for name in before[cut:]}


def tidy(report: Report) -> list[Row]:
    """Runs in the report's order; every row has every column, None where there is no figure."""
    names = columns(report)
    rows = []
    for run in report.runs:
        found = {name: getattr(run, name) for name in PLAIN if hasattr(run, name)}
        found |= {"plan": report.plan["id"], "plan_hash": report.plan["hash"]} | _rates(run)
        rows.append({name: _as(kind, found.get(name)) for name, kind in names.items()})
    return rows


def _rates(run: RunRow) -> Row:
    found: Row = dict(run.rates)
    for name in BOUNDED:
        low, high = run.bounds.get(name) or (None, None)
        found |= {f"{name}_low": low, f"{name}_high": high}
    found |= {f"hack_rate.{mode}": rate for mode, rate in run.hack_by_mode.items()}
    found |= {f"pass_rate.{mode}": rate for mode, rate in run.pass_by_mode.items()}
    found |= {f"{name}_as_trained": rate for name, rate in run.as_trained.items()}
    found |= {f"{name}_unique": rate for name, rate in run.unique.items()}
    return found | {f"last.{name}": value for name, value in run.health.items()}


def _as(kind: type, value: Any) -> Any:
    """An empty text is a blank too: CSV could not tell them apart."""
    return None if value is None or value == "" else kind(value)


def as_csv(types: dict[str, type], rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(types)
    for row in rows:
        writer.writerow(["" if value is None else _written(value) for value in row.values()])
    return out.getvalue()


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_parquet(types: dict[str, type], rows: list[Row]) -> bytes:
    """The bytes depend on the rows and on pyarrow's version alone."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in types.items()])
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), out, compression="zstd")
    return out.getvalue()
