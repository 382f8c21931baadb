"""GRPOQ_HOME: the one directory that holds everything grpoq writes.

SQLite's write-ahead log and flock need all their users on one host, so a network file system is refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.runs import durable
from core.runs.run_dir import RunDir
from orchestrator.refusal import Refused

NETWORK_FILE_SYSTEMS = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"),
)


@dataclass(frozen=True)
class Home:
    path: Path

    @classmethod
    def locate(cls, option: str | None) -> Home:
        """--home, else GRPOQ_HOME, else the current directory."""
        return cls(Path(option or os.environ.get("GRPOQ_HOME") or ".").expanduser().absolute())

    # ---- paths
    @property
    def registry(self) -> Path:
        return self.path / "jobs.sqlite"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def plans(self) -> Path:
        return self.path / "plans"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def watch_log(self) -> Path:
        return self.path / "watch.log"

    @property
    def watch_lock(self) -> Path:
        return self.path / "watch.lock"

    def run(self, run_id: str) -> RunDir:
        return RunDir(self.runs / run_id)

    @contextlib.contextmanager
    def applying(self) -> Iterator[None]:
        """Held from the first read to the last write of whatever acts; `status` never takes it."""
        if not self.path.is_dir():
            raise Refused(f"{self.path} is no directory; make a plan there with `grpoq plan`, or name another --home")
        with durable.flocked(self.path / "apply.lock"):
            yield

    # ---- checks before the first write
    def require_writable(self) -> None:
        place = self._existing()
        kind = file_system(place)
        if kind in NETWORK_FILE_SYSTEMS:
            raise Refused(
                f"{self.path} is on a network file system ({kind}), where SQLite and locks do not hold; "
                "choose a local disk with --home or GRPOQ_HOME"
            )
        if not place.is_dir():
            raise Refused(f"{place} is no directory; choose another with --home or GRPOQ_HOME")
        if not os.access(place, os.W_OK | os.X_OK):
            raise Refused(f"{place} is not writable; choose another directory with --home or GRPOQ_HOME")

    def require_free_disk(self, floor_gb: float) -> None:
        free_gb = shutil.disk_usage(self._existing()).free / 1e9
        if free_gb < floor_gb:
            raise Refused(
                f"{self.path} has {free_gb:.1f} GB free, these runs want {floor_gb:g} GB; "
                "free some, choose another --home, or lower it with --set disk_floor_gb=GB"
            )

    def _existing(self) -> Path:
        """The home, or the nearest parent that it would be made in."""
        return next(p for p in (self.path, *self.path.parents) if p.exists())


def file_system(path: Path) -> str:
    """Type of the file system that holds `path`; empty where the kernel does not say."""
    resolved = str(path.resolve())
    best, kind = "", ""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split()
        mount = fields[4].replace("\\040", " ")
        inside = resolved == mount or resolved.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):  # a later mount on the same point hides the earlier
            best, kind = mount, fields[fields.index("-") + 1]
    return kind
