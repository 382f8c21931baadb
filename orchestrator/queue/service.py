"""`grpoq service`: a watch that is there after every boot: a systemd user unit, or a cron line where there is none.

KillMode=process: workers outlive the watch that started them, and the next one adopts them.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from orchestrator.backends.worker_process import INHERITED_PREFIXES, scrubbed
from orchestrator.queue.background import program
from orchestrator.refusal import FAILED, Refused
from orchestrator.store.home import Home

UNIT = """\
[Unit]
Description=grpoq: reconcile the runs of {home}

[Service]
ExecStart={command}
WorkingDirectory={home}
Environment={environment}
Restart=always
RestartSec=5
KillMode=process

[Install]
WantedBy=default.target
"""


@dataclass(frozen=True)
class Service:
    home: Home

    @property
    def name(self) -> str:
        return f"grpoq-{hashlib.sha256(str(self.home.path).encode()).hexdigest()[:8]}"

    @property
    def unit_path(self) -> Path:
        base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return Path(base) / "systemd" / "user" / f"{self.name}.service"

    def unit(self) -> str:
        settings = [f"{name}={value}" for name, value in _environment().items()]
        quoted = " ".join('"' + setting.replace("%", "%%") + '"' for setting in settings)
        command = " ".join(f'"{word}"'.replace("%", "%%") for word in self._command())
        return UNIT.format(home=str(self.home.path).replace("%", "%%"), command=command, environment=quoted)

    def cron_line(self) -> str:
        """Every minute: a watch that finds another one, or nothing to do, leaves at once."""
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in _environment().items())
        command = shlex.join([*self._command(), "--detached"])
        line = f"cd {shlex.quote(str(self.home.path))} && {settings} {command} >> watch.log 2>&1"
        return f"* * * * * {line.replace('%', chr(92) + '%')}  # {self.name}"

    def _command(self) -> list[str]:
        return [*program(), "--home", str(self.home.path), "watch"]

    # ---- acting
    def install(self) -> list[str]:
        """What was done, in sentences. Raises Refused where neither systemd nor cron is here."""
        self.home.require_writable()
        self.home.path.mkdir(parents=True, exist_ok=True)
        if has_systemd():
            self.unit_path.parent.mkdir(parents=True, exist_ok=True)
            self.unit_path.write_text(self.unit())
            _systemctl("daemon-reload")
            _systemctl("enable", "--now", self.unit_path.name)
            return [
                f"wrote {self.unit_path} and started it; see it with `systemctl --user status {self.name}`",
                "to have it run while nobody is logged in, once: loginctl enable-linger",
            ]
        if shutil.which("crontab"):
            _write_crontab([*_other_lines(self.name), self.cron_line()])
            return [f"no systemd here; added to your crontab:\n{self.cron_line()}"]
        raise Refused(
            f"neither systemd nor crontab is here; have whatever starts things on this box run:\n{self.cron_line()}",
            FAILED,
        )

    def uninstall(self) -> list[str]:
        done = []
        if self.unit_path.exists():
            if has_systemd():
                _systemctl("disable", "--now", self.unit_path.name)
            self.unit_path.unlink()
            done.append(f"removed {self.unit_path}; workers go on")
        if shutil.which("crontab") and self.name in _crontab():
            _write_crontab(_other_lines(self.name))
            done.append("removed the line from your crontab")
        return done or [f"{self.name} is not installed"]


def has_systemd() -> bool:
    """A user manager that answers, not only the program."""
    if shutil.which("systemctl") is None:
        return False
    done = subprocess.run(["systemctl", "--user", "show-environment"], capture_output=True, check=False)
    return done.returncode == 0


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(["systemctl", "--user", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"systemctl --user {' '.join(arguments)}: {done.stderr.strip() or done.returncode}", FAILED)


def _crontab() -> str:
    return subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False).stdout


def _other_lines(name: str) -> list[str]:
    return [line for line in _crontab().splitlines() if f"# {name}" not in line]


def _write_crontab(lines: list[str]) -> None:
    done = subprocess.run(["crontab", "-"], input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
    if done.returncode:
        raise Refused(f"crontab: {done.stderr.strip()}", FAILED)


def _environment() -> dict[str, str]:
    """As here and now: where models and caches are, which GPUs are lent. Never a secret."""
    kept = {name: value for name, value in scrubbed(dict(os.environ)).items() if name.startswith(INHERITED_PREFIXES)}
    here = {"PATH": os.environ.get("PATH", os.defpath)}
    return here | {name: value for name, value in kept.items() if name != "GRPOQ_HOME"}
