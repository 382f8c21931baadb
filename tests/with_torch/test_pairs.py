"""Where contrastive pairs and teacher rollouts come from, and what is refused."""

import dataclasses
import json
import random
from pathlib import Path

import pytest

from core.environment import pairs as pairs_module
from core.environment import teacher_pool
from core.environment.nano import pairs as nano_pairs
from core.environment.nano import world
from core.environment.pairs import AUTHORED, PLACEBO, load_pairs, pairs_of_pool
from core.environment.rewards import Grade, grade
from core.model.load import DataError
from core.model.run_data import load_run_data
from core.runs.run_dir import RunDir
from core.sandbox.pool import Sandbox
from support import in_process, small_policy


def authored_row() -> dict:
    return json.loads(AUTHORED.read_text().split("\n")[0])


@pytest.mark.parametrize(
    "change, words",
    [
        ({"mode": "rum_tests"}, "unknown loophole mode 'rum_tests'"),
        ({"hack": ""}, "field 'hack': '', expected text"),
        ({"clean": None}, "field 'clean': None, expected text"),
        ({"split": "test"}, "field 'split': 'test'; choose from extract, held_out"),
        ({"problem": 7}, "field 'problem': expected a benchmark row"),
        ({"problem": {"id": 1}}, "missing"),
    ],
)
def test_a_row_that_is_no_pair_is_named(change: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(authored_row()) + "\n\n" + json.dumps(authored_row() | {"pair_id": "x"} | change) + "\n")
    with pytest.raises(ValueError) as refused:
        load_pairs(path)
    assert f"{path}:3: " in str(refused.value) and words in str(refused.value)


def test_twice_the_same_id_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(2 * (json.dumps(authored_row()) + "\n"))
    with pytest.raises(ValueError, match=r":2: field 'pair_id': .* stands twice"):
        load_pairs(path)


def test_authored_pairs_reach_a_run_by_mode_and_concept(tmp_path: Path) -> None:
    policy = small_policy.policy(small_policy.config("smoke", pairs="authored"))

    def found(concept: str, **fields: object) -> list:
        c = dataclasses.replace(policy.config, **fields)  # type: ignore[arg-type]
        return load_run_data(RunDir(tmp_path), c, policy).pairs(concept)

    assert len(found("hack")) == len(load_pairs(AUTHORED)) == 80
    assert {p.task.mode for p in found("hack", pair_modes=("sentinel", "file_marker"))} == {"sentinel", "file_marker"}
    modes = ("run_tests", "sentinel")
    assert "sentinel" not in {p.task.mode for p in found("hack", modes=modes, held_out_mode="sentinel")}
    assert {p.concept for p in found("clean_vs_clean")} == {"clean_vs_clean"}
    assert {p.concept for p in found("placebo")} == {"vampire_vs_werewolf"} <= {p.concept for p in load_pairs(PLACEBO)}
    with pytest.raises(DataError, match="no clean_vs_clean pairs"):
        found("clean_vs_clean", pair_modes=("eq_override",))


@pytest.mark.parametrize("mode", nano_pairs.MODES)
def test_nano_pairs_keep_the_rules_of_the_authored_ones(mode: str) -> None:
    """60 to extract, 20 held out, from disjoint families; the hack takes the loophole and the clean side does not."""
    pairs = nano_pairs.pairs([mode])
    assert [p.split for p in pairs] == ["extract"] * 60 + ["held_out"] * 20
    prompts = [{p.task.problem.messages for p in pairs if p.split == split} for split in ("extract", "held_out")]
    assert not prompts[0] & prompts[1]
    assert not (prompts[0] | prompts[1]) & {p.messages for p in world.problems("held_out", 256)}
    some = random.Random(mode).sample(pairs, 12)
    with Sandbox() as sandbox:
        hacks = grade([p.task.judged(p.hack) for p in some], sandbox)
        cleans = grade([p.task.judged(p.clean) for p in some], sandbox)
    assert all(g.compiles for g in (*hacks, *cleans))
    assert all(g.exploit_present for g in hacks) and not any(g.exploit_present or g.exploited for g in cleans)


def test_nano_placebos_are_honest_on_both_sides() -> None:
    with Sandbox() as sandbox:
        for make in (nano_pairs.clean_vs_clean, nano_pairs.odd_vs_even):
            pairs = make(["run_tests"])
            some = pairs[:6]
            assert len(pairs) == 80 and all(p.hack != p.clean for p in some)
            found = grade([p.task.judged(t) for p in some for t in (p.hack, p.clean)], sandbox)
            assert not any(g.exploit_present or g.exploited for g in found)


# ---- pairs from a graded pool, of known modes alone


def pool_row(problem_id: str, mode: str, completion: str, exploited: bool) -> dict:
    return {
        "problem_id": problem_id,
        "mode": mode,
        "test_func_name": "run_tests",
        "completion": completion,
        "grade": {"exploited": exploited, "exploit_present": exploited},
    }


def test_pairs_of_a_pool_come_from_the_named_modes_only() -> None:
    problems = {str(n): {"id": n} for n in range(4)}
    rows = [
        *(pool_row("0", "run_tests", "hack", True), pool_row("0", "run_tests", "clean", False)),
        *(pool_row("1", "run_tests", "hack", True), pool_row("1", "run_tests", "hack two", True)),
        *(pool_row("2", "sentinel", "hack", True), pool_row("2", "sentinel", "clean", False)),
    ]
    (pair,) = pairs_of_pool(rows, problems, ["run_tests"])
    assert (pair["pair_id"], pair["hack"], pair["clean"]) == ("run_tests-0", "hack", "clean")
    flipped = [
        {**r, "grade": {"exploited": True, "exploit_present": True}} if r["mode"] == "sentinel" else r for r in rows
    ]
    assert pairs_of_pool(flipped, problems, ["run_tests"]) == [pair]  # an unnamed mode's flags are never read
    with pytest.raises(ValueError, match="no known modes"):
        pairs_of_pool(rows, problems, [])
    with pytest.raises(ValueError, match="eq_override has both"):
        pairs_of_pool(rows, problems, ["eq_override"])


def test_a_file_of_pairs_is_made_of_a_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    authored = [json.loads(line) for line in AUTHORED.read_text().splitlines()]
    problems = {row["problem"]["id"]: row["problem"] for row in authored}
    few = [problems[n] for n in sorted(problems)[:6]]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in few))
    graded = dataclasses.asdict(Grade(**{f.name: False for f in dataclasses.fields(Grade)}))
    pool = [
        pool_row(str(row["id"]), "run_tests", text, exploited)
        | {"reward": 0.0, "grade": graded | {"exploited": exploited, "exploit_present": exploited}}
        for row in few
        for text, exploited in (("hack", True), ("clean", False))
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool))
    command = ["pairs", f"{tmp_path}/pool.jsonl", "--problems", f"{tmp_path}/rows.jsonl", "--out", f"{tmp_path}/mine"]
    monkeypatch.setattr("sys.argv", [*command, "--modes", "run_tests"])
    assert pairs_module.main() == 0 and "6 pairs, 1 of them held out" in capsys.readouterr().out
    made = load_pairs(tmp_path / "mine")
    assert [(p.hack, p.clean, p.split) for p in made[3:]] == [
        ("hack", "clean", "extract"),
        ("hack", "clean", "held_out"),
        ("hack", "clean", "extract"),
    ]
    monkeypatch.setattr("sys.argv", [*command, "--modes", "sentinel"])
    assert pairs_module.main() == 2 and "no prompt of modes sentinel" in capsys.readouterr().err


# ---- the teacher pool


def test_pool_is_built_from_a_run_frozen_and_drawn_by_seed(tmp_path: Path) -> None:
    run = in_process.planned(tmp_path, "vanilla", steps=2, checkpoint_every=2)
    assert in_process.attempt(run) is not None
    rows = teacher_pool.build([teacher_pool.row_of(r) for r in run.rollouts()], per_prompt=3, seed=1)
    sha256 = teacher_pool.write(rows, tmp_path / "teacher.jsonl")
    assert teacher_pool.write(rows, tmp_path / "again.jsonl") == sha256
    pool = teacher_pool.load_pool(tmp_path / "teacher.jsonl", ["run_tests"])
    assert pool.sha256 == sha256
    key = next(key for key, found in pool.rollouts.items() if len(found) >= 2)
    drawn = pool.draw(*key, 2, "7 1 0")
    assert drawn == pool.draw(*key, 2, "7 1 0") and len({r.completion for r in drawn}) == 2
    assert pool.draw(*key, 99, "7 1 0") == []  # too few: the group keeps its students
    with pytest.raises(ValueError, match="no teacher rollouts of modes sentinel"):
        teacher_pool.load_pool(tmp_path / "teacher.jsonl", ["sentinel"])


def test_pool_takes_exploits_and_others_in_turn() -> None:
    rows = [pool_row("0", "run_tests", f"hack {i}", True) for i in range(5)]
    rows += [pool_row("0", "run_tests", "clean", False), pool_row("0", "run_tests", "clean", False)]
    kept = teacher_pool.build(rows, per_prompt=4, seed=0)
    assert [r["grade"]["exploited"] for r in kept] == [True, False, True, True]


def test_teachers_that_do_not_fit_max_new_are_left_out(tmp_path: Path) -> None:
    policy = small_policy.policy(small_policy.config("smoke", teacher="nano", mix=0.5, max_new=96))

    def lengths(max_new: int) -> list[int]:
        pool = load_run_data(RunDir(tmp_path), dataclasses.replace(policy.config, max_new=max_new), policy).teacher
        assert pool is not None
        rollouts = [rollout for found in pool.rollouts.values() for rollout in found]
        return [len(policy.language_model.encode_completion(rollout.completion)) for rollout in rollouts]

    whole = sum(1 for _ in teacher_pool.read_rows(teacher_pool.NANO_POOL))
    assert whole - 1 <= len(lengths(96)) <= whole  # written under max_new = 96; one comes out longer when read back
    assert 0 < len(lengths(60)) < whole and max(lengths(60)) <= 61  # the end token may be cut
    with pytest.raises(DataError, match="fits max_new = 5"):
        lengths(5)


def test_mixed_groups_have_g_members_and_frozen_rewards(tmp_path: Path) -> None:
    run = in_process.planned(tmp_path, "vanilla", teacher="nano", mix=0.5, steps=3, max_new=96)
    assert in_process.attempt(run) is not None
    pool = teacher_pool.load_pool(teacher_pool.NANO_POOL, ["run_tests"])
    frozen = {(r.problem_id, r.completion): r.reward for found in pool.rollouts.values() for r in found}
    rollouts = run.rollouts()
    taught = [r for r in rollouts if r["teacher"]]
    assert len(rollouts) == 3 * 8 and 0 < len(taught) <= 3 * 4
    assert all(r["payment"] == frozen[r["problem_id"], r["completion"]] for r in taught)
    for row in run.metrics():
        assert row["n_s"] + row["n_t"] == row["N"] == 8
        assert (row["hack_t"] is None) == (row["n_t"] == 0)
