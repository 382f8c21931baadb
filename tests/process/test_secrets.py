"""Secrets come from a private file, reach the process, and are in no log and no error."""

import json
import os
from pathlib import Path

import pytest

from support import real_run
from support.patience import patient
from worker import secrets
from worker.failures import classify

VALUE = "hf_s3cr3t=with=equals"


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secrets.env"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_values_reach_the_environment_as_they_stand(tmp_path: Path) -> None:
    text = f'# a comment\n\nHF_TOKEN={VALUE}\n  QUOTED = "two words"  \nEMPTY=\nONE_QUOTE="\n'
    os.environ["HF_TOKEN"] = "inherited"
    assert secrets.load(written(tmp_path, text)) == ["EMPTY", "HF_TOKEN", "ONE_QUOTE", "QUOTED"]
    found = [os.environ[name] for name in ("HF_TOKEN", "QUOTED", "EMPTY", "ONE_QUOTE")]
    assert found == [VALUE, "two words", "", '"']


def test_a_home_without_secrets_is_fine(tmp_path: Path) -> None:
    assert secrets.load(tmp_path / "secrets.env") == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o700])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(secrets.SecretsRefused, match=rf"has mode 0{mode:o}; it must be 0600: `chmod 600"):
        secrets.load(written(tmp_path, f"HF_TOKEN={VALUE}\n", mode))
    assert os.environ.get("HF_TOKEN") != VALUE


def test_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    real = written(tmp_path, f"HF_TOKEN={VALUE}\n")
    (tmp_path / "link").symlink_to(real)
    for path in (tmp_path / "link", tmp_path):
        with pytest.raises(secrets.SecretsRefused, match="plain file"):
            secrets.load(path)


def test_somebody_elses_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, f"HF_TOKEN={VALUE}\n")
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, -1)
    with pytest.raises(secrets.SecretsRefused, match="belongs to uid 12345 and this worker runs as uid 0"):
        secrets.load(path)


@pytest.mark.parametrize("line", ["no equals", "1NAME=x", "=x", "export A=x", "A B=x"])
def test_a_bad_line_is_named_by_its_number_and_never_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(secrets.SecretsRefused, match=r"line 2 of .* is not NAME=value") as refused:
        secrets.load(written(tmp_path, f"OK=1\n{line}{VALUE}\n"))
    assert VALUE not in str(refused.value) and "OK" not in os.environ
    assert (classify(refused.value).error_class, classify(refused.value).exit_code) == ("data", 1)


# Run by every python that finds it: writes down which names of the environment a worker has when it ends.


def test_a_worker_refuses_to_start_with_secrets_that_others_may_read(tmp_path: Path) -> None:
    run = real_run.planned(tmp_path)
    written(tmp_path, f"HF_TOKEN={VALUE}\n", 0o644)
    assert real_run.worker(run).wait(patient(60)) == 1
    error = json.loads((run.attempt(1) / "error.json").read_text())
    assert error["class"] == "data" and "chmod 600" in error["message"] and VALUE not in json.dumps(error)
    assert not run.evals()
