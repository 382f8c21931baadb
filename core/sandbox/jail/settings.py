"""How a server confines its children, and how long it waits for them."""

from typing import NamedTuple

HAS_OWN_ROOT = ("bubblewrap", "namespaces")


class Settings(NamedTuple):
    """Of one server; made by core.sandbox.pool, passed as JSON."""

    level: str
    root: str  # where children's directories are made
    visible: list[str]
    writable_bytes: int
    pid_fd: int  # level `namespaces` writes the first inner process's pid there
    last_pid_fd: int  # where the last process number of a namespace is set; -1: it cannot be
    uid: int  # of children, where we are root; no other server on this machine has it
    cpu_s: int
    wall_s: float  # that a child may spend idle
    far_s: float  # that a child may take in all, where the machine gives it next to nothing
    memory_bytes: int
    filtered: bool  # system calls, by core.sandbox.jail.seccomp
