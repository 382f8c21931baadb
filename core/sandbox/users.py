"""A user for the children of one server, where a root starts it.

The kernel counts tasks by user: of two servers with the same one, a child of the one could use up the other's.
"""

import os
import socket

UIDS = range(40_000, 60_000)


class ChildUser:
    """A uid that no other living server on this machine has: its name in the abstract socket space is the claim, which
    ends with the process. Raises OSError where none is left."""

    def __init__(self) -> None:
        for offset in range(len(UIDS)):
            self.uid = UIDS[(os.getpid() * 16 + offset) % len(UIDS)]
            self._claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._claim.bind(f"\0grpoq-child-user-{self.uid}")
                return
            except OSError:
                self.close()
        raise OSError(f"all users {UIDS.start} to {UIDS.stop - 1} are taken by other servers of judged code")

    def close(self) -> None:
        self._claim.close()
