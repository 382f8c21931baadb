"""Children of judged code may take 1 GiB each: `plan` says how much that is in all, `doctor` where it is too much."""

from __future__ import annotations

import json

from support.fake_home import FakeHome


def test_plan_counts_the_memory_of_judged_code_and_doctor_names_what_the_machine_has_not(fake: FakeHome) -> None:
    few = fake.grpoq(
        "plan", "smoke", "--set", "disk_floor_gb=0.01", "--seeds", "41", "--slots", "2", "--dry-run"
    ).stdout
    assert "judged code: 2 x 1 children of 1 GiB at most, 2 GiB" in few
    many = ("--set", "grade_workers=100000", "--seeds", "41", "--slots", "2")
    told = fake.grpoq("plan", "smoke", "--set", "disk_floor_gb=0.01", *many).stdout
    assert "2 x 100000 children of 1 GiB at most, 200000 GiB, more than the" in told and "fewer slots" in told
    found = json.loads(fake.grpoq("doctor", "--json", expect=None).stdout)["found"]
    assert [sentence for sentence in found if "200000 GiB, more than the" in sentence]
