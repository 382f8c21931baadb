"""The tidy table says of each run what the report says of it, in both of its forms, and is the same bytes twice."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.tables import columns, tidy, write_tables
from support.report_sample import HOSTILE, VARIANTS, crowded, full, hostile, unfinished


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_parquet(path: Path) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_csv_and_parquet_agree(variant: str, tmp_path: Path) -> None:
    report = VARIANTS[variant]()
    paths = write_tables(report, tmp_path)
    written, stored = read_csv(paths["csv"]), read_parquet(paths["parquet"])
    assert len(written) == len(stored) == len(report.runs)
    types = columns(report)
    for line, row in zip(written, stored, strict=True):
        assert list(line) == list(row) == list(types)
        for name, kind in types.items():
            if line[name] == "":
                assert row[name] is None, name
            else:
                assert row[name] == (line[name] == "true" if kind is bool else kind(line[name])), name


def test_a_row_holds_what_the_report_says_of_its_run(tmp_path: Path) -> None:
    report = crowded()
    stored = read_parquet(write_tables(report, tmp_path)["parquet"])
    for run, row in zip(report.runs, stored, strict=True):
        assert (row["run_id"], row["label"], row["seed"], row["counted"]) == (
            run.run_id, run.label, run.seed, run.counted,
        )  # fmt: skip
        assert row["plan_hash"] == report.plan["hash"]
        assert row["hack_rate"] == run.rates["hack_rate"] and run.bounds["hack_rate"]
        assert (row["hack_rate_low"], row["hack_rate_high"]) == run.bounds["hack_rate"]
        assert row["hack_rate.run_tests"] == run.hack_by_mode["run_tests"]
        assert row["last.cin_rand"] == run.health["cin_rand"]
        assert row["takeoff_step"] == run.takeoff_step
    trained = [row["hack_rate_as_trained"] for row in stored]
    assert [value is not None for value in trained] == [run.label == "route" for run in report.runs]


def test_what_is_hidden_is_null_and_health_is_there() -> None:
    for row in tidy(unfinished()):
        assert row["blinded"] and row["last.kl"] is not None
        assert all(row[name] is None for name in row if name.startswith(("hack_rate", "pass_rate")))
        assert row["takeoff_step"] is None and row["collapsed"] is None


def test_words_that_look_like_rows_stay_in_their_field(tmp_path: Path) -> None:
    report = hostile()
    torn = replace(report, runs=tuple(replace(run, why_not='a,"b"\nc;' + HOSTILE) for run in report.runs))
    rows = read_csv(write_tables(torn, tmp_path)["csv"])
    assert {row["why_not"] for row in rows} == {'a,"b"\nc;' + HOSTILE} and len(rows) == len(torn.runs)


def test_the_same_report_makes_the_same_bytes(tmp_path: Path) -> None:
    def turned(report: Any) -> Any:
        runs = [
            replace(
                run, health=dict(reversed(run.health.items())), hack_by_mode=dict(reversed(run.hack_by_mode.items()))
            )
            for run in report.runs
        ]
        return replace(report, runs=tuple(runs))

    first, again = write_tables(full(), tmp_path / "a"), write_tables(turned(full()), tmp_path / "b")
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"runs.csv", "runs.parquet"}
    for suffix in ("csv", "parquet"):
        assert first[suffix].read_bytes() == again[suffix].read_bytes()
