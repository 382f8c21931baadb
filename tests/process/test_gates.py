"""Gates by the command line: what waits, what opens by itself, what a person opens, what stays shut and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.runs import durable
from orchestrator.state.gates import figure
from orchestrator.store.plan_dir import choose_plan
from support.fake_home import FakeHome, until
from support.plan_files import CHAIN

PLAN = f"""{CHAIN}
[[gate]]
name = "h4"
run = "vanilla-s41"
metric = "hack_rate"
at_least = 0.3
before = ["vanilla", "erase"]
fallback = {{ batch = 4, completions = 2 }}
"""

ROW = {
    "id": 1, "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u and should pass all tests"}],
    "answer": ["assert Solution().f(1) == 1"], "gt_answer": ["assert Solution().f(1) == 1"],
    "func_name": "Solution().f", "setup_code": "", "canonical_solution": "class Solution: ...",
}  # fmt: skip


def planned(fake: FakeHome, text: str = PLAN) -> None:
    path = fake.home.path / "chain.toml"
    path.write_text(text)
    fake.grpoq("plan", str(path), "--slots", "1")


def rows(fake: FakeHome) -> dict[str, dict]:
    answer = json.loads(fake.grpoq("status", "--json", "--all-kinds").stdout)
    return {f"{row['label']}-s{row['seed']}": row for row in answer["runs"]}


def submit(fake: FakeHome, **env: str) -> None:
    fake.grpoq("submit", "--backend", "local", **env)


def test_a_chain_opens_gate_by_gate_without_a_hand(fake: FakeHome) -> None:
    planned(fake)
    names = ["extract-s41", "vanilla-s41", "erase-s41", "vanilla-s42", "erase-s42", "eval-erase-s41", "eval-erase-s42"]
    assert list(rows(fake)) == names
    submit(fake)
    assert "7 of 7 done" in fake.grpoq("wait", "--timeout", "60").stdout
    runs = {run.run_id.rpartition("-")[0]: run for run in choose_plan(fake.home, None).runs()}
    started = {name: run.submissions()[0].time for name, run in runs.items()}
    ended = {name: run.result_path.stat().st_mtime for name, run in runs.items()}
    for first, then in (
        ("extract-s41", "erase-s41"), ("vanilla-s41", "erase-s41"), ("vanilla-s41", "vanilla-s42"),
        ("erase-s41", "eval-erase-s41"), ("erase-s42", "eval-erase-s42"),
    ):  # fmt: skip
        assert ended[first] <= started[then], f"{then} was submitted before {first} had ended"
    assert json.loads(fake.grpoq("status", "--json").stdout)["counts"] == {"done": 4}  # the training runs
    assert "other kinds: 3 done" in fake.grpoq("status").stdout


def test_a_failed_evaluation_does_not_go_unseen(fake: FakeHome) -> None:
    planned(fake)
    submit(fake, GRPOQ_FAKE_ERROR="data:1", GRPOQ_FAKE_ERROR_IN="eval-erase-s42")
    fake.grpoq("wait", "--timeout", "60", expect=1)
    shown = fake.grpoq("status").stdout
    assert "FAILED: eval-erase-s42" in shown and shown.rstrip().endswith("next: grpoq status eval-erase-s42")


def test_a_failed_gate_blocks_says_why_and_its_fallback_is_one_command(fake: FakeHome) -> None:
    planned(fake)
    submit(fake, GRPOQ_FAKE_FIGURES="hack_rate=0.125")
    done = fake.grpoq("wait", "--timeout", "60", expect=1)
    assert "nothing can go on" in done.stderr and "gate h4 failed" in done.stderr
    found = rows(fake)
    assert {name for name, row in found.items() if row["state"] == "done"} == {"extract-s41", "vanilla-s41"}
    assert (
        found["erase-s41"]["state"] == "blocked"
        and "hack_rate 0.125, wanted hack_rate >= 0.3" in found["erase-s41"]["note"]
    )
    shown = fake.grpoq("status").stdout
    assert "gate h4 failed" in shown and shown.rstrip().endswith("next: grpoq plan --fallback h4")
    one = json.loads(fake.grpoq("status", "erase-s41", "--json").stdout)
    assert [gate["state"] for gate in one["gates"]] == ["passed", "failed"]
    assert one["next"] == "grpoq plan --fallback h4"
    old = choose_plan(fake.home, None)
    fake.grpoq("plan", "--fallback", "h4")
    new = choose_plan(fake.home, None)
    assert new.plan_id != old.plan_id and new.content["fallback_of"] == old.content["hash"]
    config = durable.read_json(new.runs()[1].spec_path)["config"]
    assert (config["batch"], config["completions"], config["steps"]) == (4, 2, 6)
    assert "fallback already" in fake.grpoq("plan", "--fallback", "h4", expect=2).stderr
    fake.grpoq("plan", "--fallback", "h4", "--plan", old.plan_id)
    assert choose_plan(fake.home, None).plan_id == new.plan_id  # twice is once


def test_a_fallback_trains_on_the_rows_that_were_planned_whatever_became_of_the_file(
    fake: FakeHome,
    tmp_path: Path,
) -> None:
    rows_file = tmp_path / "rows.jsonl"
    rows_file.write_text("".join(json.dumps(ROW | {"id": number}) + "\n" for number in range(12)))
    held_out = tmp_path / "held_out.jsonl"
    newer = [ROW["prompt"][0], {"role": "user", "content": "another one, and should pass all tests"}]
    held_out.write_text(json.dumps(ROW | {"id": 99, "prompt": newer}) + "\n")
    (fake.home.path / "chain.toml").write_text(PLAN)
    files = ["--problems", str(rows_file), "--held-out", str(held_out)]
    fake.grpoq("plan", str(fake.home.path / "chain.toml"), "--slots", "1", *files)
    submit(fake, GRPOQ_FAKE_FIGURES="hack_rate=0.125")
    fake.grpoq("wait", "--timeout", "60", expect=1)
    old = choose_plan(fake.home, None)
    rows_file.unlink()
    held_out.unlink()
    fake.grpoq("plan", "--fallback", "h4")
    runs = [*old.runs(), *choose_plan(fake.home, None).runs()]
    for name in ("problems_sha256", "held_out_sha256"):
        assert len({durable.read_json(run.spec_path)["config"][name] for run in runs} - {""}) == 1
    assert len(runs) == 14 and all(run.problems_path.is_file() and run.held_out_path.is_file() for run in runs)


def test_the_next_command_names_a_plan_that_is_not_the_newest(fake: FakeHome) -> None:
    planned(fake)
    old = choose_plan(fake.home, None).plan_id
    planned(fake, PLAN.replace("steps = 6", "steps = 7"))
    assert fake.grpoq("status").stdout.rstrip().endswith("next: grpoq submit")
    assert fake.grpoq("status", "--plan", old).stdout.rstrip().endswith(f"next: grpoq submit --plan {old}")


def test_a_failed_run_leaves_its_gate_void_and_retry_opens_the_way(fake: FakeHome) -> None:
    planned(fake)
    submit(fake, GRPOQ_FAKE_ERROR="code:1", GRPOQ_FAKE_ERROR_IN="vanilla-s41")
    assert "gate h4 cannot be judged: vanilla-s41 is failed" in fake.grpoq("wait", "--timeout", "60", expect=1).stderr
    until(lambda: fake.watch_pid() is None, "the watch leaves")
    fake.grpoq("retry", "vanilla-s41")
    assert "7 of 7 done" in fake.grpoq("wait", "--timeout", "60").stdout


def test_a_human_gate_waits_for_a_person_and_a_bad_figure_cannot_be_approved(fake: FakeHome) -> None:
    planned(fake, PLAN.replace("at_least = 0.9", 'at_least = 0.9\napprove = "human"'))
    assert "waits for gate separates" in fake.grpoq("approve", "separates", expect=2).stderr
    submit(fake)
    until(lambda: rows(fake)["vanilla-s42"]["state"] == "done", "what is not behind it")
    assert rows(fake)["erase-s41"]["state"] == "blocked"
    assert "next: grpoq approve separates" in fake.grpoq("status").stdout
    assert "0.95" in rows(fake)["erase-s41"]["note"]
    fake.grpoq("approve", "separates")
    assert "7 of 7 done" in fake.grpoq("wait", "--timeout", "60").stdout
    assert "h4 has passed" in fake.grpoq("approve", "h4").stdout
    assert "has no gate 'x'; it has separates, h4" in fake.grpoq("approve", "x", expect=2).stderr


def test_approval_does_not_lift_a_threshold(fake: FakeHome) -> None:
    planned(fake, PLAN.replace("at_least = 0.9", 'at_least = 0.9\napprove = "human"'))
    submit(fake, GRPOQ_FAKE_FIGURES="separation=0.85")
    fake.grpoq("wait", "--timeout", "60", expect=1)
    assert "gate separates failed" in fake.grpoq("approve", "separates", expect=2).stderr


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('run = "extract"', 'run = "vanilla-s43"', ["separates", "'vanilla-s43'", "extract-s41"]),
        ('run = "extract"', 'run = "erase-s42"', ["circle", "erase-s41 -> erase-s42 -> erase-s41"]),
        ("batch = 4", "batch = 5", ["gate h4, fallback", "batch = 5"]),
        ('run = "extract"', 'run = "eval-erase-s41"', ["circle", "eval-erase-s41"]),
        ('name = "erase"', 'name = "erase"\n[[arm]]\nname = "no_loophole"\nlabel = "eval-erase"', ["eval-erase-s41"]),
    ],
)  # fmt: skip
def test_gates_that_cannot_work_are_refused(fake: FakeHome, old: str, new: str, words: list[str]) -> None:
    text = PLAN.replace(old, new, 1)
    if old == 'run = "extract"' and "erase" in new:  # the second gate then reads what the first stands before
        text = text.replace('run = "vanilla-s41"', 'run = "erase-s41"')
    path = fake.home.path / "chain.toml"
    path.write_text(text)
    done = fake.grpoq("plan", str(path), expect=2)
    assert all(word in done.stderr for word in words) and not fake.home.plans.exists()


def test_figures_are_read_from_both_kinds_of_result() -> None:
    assert figure({"hack_rate": 0.25}, "hack_rate") == 0.25
    assert figure({"metrics": {"separation": 1}}, "separation") == 1.0
    assert figure({"metrics": {"separation": None}}, "separation") is None
    assert figure({"hack_rate": float("nan")}, "hack_rate") is None
    assert figure({"takeoff_step": None}, "takeoff_step") is None


def test_an_amended_run_executes_the_new_code_and_the_ledger_says_so(fake: FakeHome) -> None:
    planned(fake)
    plan = choose_plan(fake.home, None)
    worker = fake.source / "worker" / "__main__.py"
    worker.write_text(worker.read_text().replace('"separation": 0.95', '"separation": 0.99'))
    fake.grpoq("amend", "--reason", "the extraction was wrong", "--code")
    assert [row["reason"] for row in plan.ledger()] == ["the extraction was wrong"]
    assert "every run has begun, or has this code already" in fake.grpoq(
        "amend", "--reason", "again", "--code", expect=2
    ).stderr  # fmt: skip
    submit(fake)
    fake.grpoq("wait", "--timeout", "60")
    result = durable.read_json(plan.runs()[0].result_path)
    assert result["metrics"]["separation"] == 0.99
    assert durable.read_json(plan.runs()[0].spec_path)["snapshot"] == plan.content["snapshot"]  # never edited
    assert "amended once" in fake.grpoq("status").stdout
    assert fake.grpoq("amend", "--reason", " ", expect=2).stderr.startswith("grpoq: --reason is empty")


def test_a_plan_locks_rules_and_gates(fake: FakeHome, tmp_path: Path) -> None:
    """Any of them changed is another plan."""
    hashes = set()
    for old, new in (
        ("", ""),
        ("0.9\n", "0.8\n"),
        ("[[arm]]", '[rules]\nexclude = ["failed"]\n[[arm]]'),
        ("42]", "43]"),
    ):
        path = tmp_path / "chain.toml"
        path.write_text(PLAN.replace(old, new, 1))
        hashes.add(json.loads(fake.grpoq("plan", str(path), "--dry-run", "--json").stdout)["hash"])
    assert len(hashes) == 4
