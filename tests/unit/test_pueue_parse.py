"""What `pueue status --json` says, read by the parser: the real 4.0.4's answer, older forms, and forms yet to come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.backends.pueue_daemon import sentence
from orchestrator.backends.pueue_status import Group, label_of, parse_status, submission_of
from orchestrator.backends.words import ENDED, RUNNING, WAITING
from support.shared_data import PUEUE_STATUS, shared_file


def status_of(*statuses: Any, **fields: Any) -> list[tuple[str, str]]:
    rows = {
        str(n): {"id": n, "group": "grpoq", "label": f"grpoq:r:{n}", "status": status} | fields
        for n, status in enumerate(statuses)
    }
    return [(t.status, t.word) for t in parse_status(json.dumps({"tasks": rows, "groups": {}})).tasks]


def test_the_real_answer_of_404_is_read() -> None:
    status = parse_status(shared_file(PUEUE_STATUS).read_text())
    assert {task.id: (task.label, task.group, task.status, task.word, task.held) for task in status.tasks} == {
        0: ("grpoq:exp=e1:run=base-s1:try=1", "gpu0", "Done", ENDED, False),
        1: ("fails", "gpu0", "Done", ENDED, False),
        2: ("depfail", "gpu0", "Done", ENDED, False),
        3: ("killed9", "gpu0", "Done", ENDED, False),
        4: ("nospawn", "gpu0", "Done", ENDED, False),
        5: ("paused", "gpu0", "Paused", "Paused", False),
        6: ("running", "default", "Running", RUNNING, False),
        7: ("queued", "default", "Queued", WAITING, False),
        8: ("stashed", "default", "Stashed", WAITING, True),
        9: ("delayed", "default", "Stashed", WAITING, False),
        10: ("prio-dep", "default", "Queued", WAITING, False),
    }
    assert [task.id for task in status.tasks] == list(range(11))  # numeric order, not that of the keys
    assert status.groups == {"default": Group("Running", 1), "gpu0": Group("Running", 1)}


def test_3x_wrote_the_status_as_a_bare_word_beside_its_times() -> None:
    older = {"start": "2024-01-01T00:00:00.123456789+01:00", "prev_status": "Queued", "enqueued_at": None}
    found = status_of("Queued", "Running", "Paused", {"Done": "Success"}, {"Done": {"Failed": 1}}, "Locked", **older)
    assert [word for _, word in found] == [WAITING, RUNNING, "Paused", ENDED, ENDED, "Locked"]


@pytest.mark.parametrize(
    "status, word",
    [
        ({"Locked": {"previous_status": {"Queued": {"enqueued_at": "2026-11-22T04:57:06.611996496Z"}}}}, "Locked"),
        ({"Hibernating": {"until": "2031"}}, "Hibernating"),
        ("Hibernating", "Hibernating"),
        ({"Done": {"result": {"Evaporated": [1]}, "end": "no time at all"}}, ENDED),
        ({"Running": None}, RUNNING),
        ({"Stashed": {}}, WAITING),
        (None, "status None"),
        ({"Running": {}, "Queued": {}}, "status {'Running': {}, 'Queued': {}}"),
    ],
)
def test_a_word_that_is_not_known_is_passed_on_and_never_called_dead(status: Any, word: str) -> None:
    assert [found for _, found in status_of(status, colour="green")] == [word]


def test_malformed_tasks_and_groups_hide_no_others() -> None:
    content = {
        "tasks": {"0": None, "1": {"label": "no id"}, "2": {"id": 2, "label": None, "status": "Queued"}},
        "groups": {"grpoq": "Paused", "gpu0": {"status": {"Draining": 3}}},
        "daemon": {"mood": "good"},
    }
    status = parse_status(json.dumps(content))
    assert [(task.id, task.label, task.group, task.word) for task in status.tasks] == [(2, "", "", WAITING)]
    assert status.groups == {"grpoq": Group("Paused", -1), "gpu0": Group("Draining", -1)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tasks": []}', "Error: no"])
def test_what_is_no_status_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_status(text)


def test_labels_go_there_and_back() -> None:
    assert submission_of(label_of("erase-k12-s41-3f9ac2", 7)) == ("erase-k12-s41-3f9ac2", 7)
    assert submission_of(label_of("a:b-s1-c", 12)) == ("a:b-s1-c", 12)
    for label in ("", "grpoq", "grpoq::1", "grpoq:r:", "grpoq:r:x", "grpoq:r:-1", "other:r:1", "xgrpoq:r:1"):
        assert submission_of(label) is None


def test_of_one_label_the_liveliest_task_counts() -> None:
    words = ["Running", {"Done": {"result": "Success"}}, "Queued", "Locked"]
    for order in (words, words[::-1]):
        rows = {str(n): {"id": n, "label": "grpoq:r:1", "status": word} for n, word in enumerate(order)}
        task = parse_status(json.dumps({"tasks": rows})).labelled("grpoq:r:1")
        assert task is not None and task.word == RUNNING


def test_a_complaint_is_one_sentence_without_colours_and_backtrace() -> None:
    report = (
        "Error: \n   0: \x1b[91mFailed to initialize client.\x1b[0m\n"
        "   1: \x1b[91mFailed to initialize stream.\x1b[0m\n"
        '   2: \x1b[91mI/O error at path "/r/s.sock" while connecting to daemon. Did you start it?:\n'
        "      Connection refused (os error 111)\x1b[0m\n\n"
        "Location:\n   src/client.rs:85\n\n  ━━ BACKTRACE ━━\n   3: x\n"
    )
    wanted = 'I/O error at path "/r/s.sock" while connecting to daemon. Did you start it?: '
    assert sentence(report) == f"{wanted}Connection refused (os error 111)"
    assert sentence("Group nope doesn't exists.\n") == "Group nope doesn't exists."
    assert sentence("") == "no word of why"
