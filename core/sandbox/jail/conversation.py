"""What a child and its server say to each other, over one socket: 1 byte of kind, 4 bytes of length, content.

    R  the program has been read      r  a record      F  finished, nothing more to say      D  the nonce

The nonce is drawn when the child has finished and cannot change its records any more, and a check counts as done only
if it comes back: a child that left early has none to give, and there was none to be found while judged code ran.
Where a check has a second part (own tests after the asserts), r, F and D come once more, with a nonce of their own, and
whatever happens then leaves the first part as it was.
"""

import os
import struct

TALK_FD = 3
NONCE_BYTES = 16

_read, _write = os.read, os.write


class Part:
    """What a child has said of one part of its check."""

    def __init__(self) -> None:
        self.finished = self.done = self.malformed = False
        self.records: list[tuple[int, int]] = []  # start and end of each record's text
        self.nonce = b""
        self.killed_for: str | None = None


class Conversation:
    """What a child may say, in the only order in which it is believed: R, then of each part r (any), F and D."""

    def __init__(self, parts: int) -> None:
        self.read = False
        self.parts = [Part() for _ in range(parts)]
        self._parsed = 0

    @property
    def part(self) -> Part:
        """The first that is not done, or the last."""
        return next((part for part in self.parts if not part.done), self.parts[-1])

    @property
    def malformed(self) -> bool:
        return any(part.malformed for part in self.parts)

    def take_in(self, stream: memoryview) -> bool:
        """Parse what has come; True where a nonce is due."""
        due = False
        while not self.malformed and len(stream) - self._parsed >= 5:
            kind, length = struct.unpack_from(">cI", stream, self._parsed)
            start, end = self._parsed + 5, self._parsed + 5 + length
            if end > len(stream):
                break
            self._parsed = end
            part = self.part
            if kind == b"R" and not self.read:
                self.read = True
            elif kind == b"r" and self.read and not part.finished:
                part.records.append((start, end))
            elif kind == b"F" and self.read and not part.finished and not length:
                part.finished = due = True
            elif kind == b"D" and part.nonce and not part.done and stream[start:end] == part.nonce:
                part.done = True
            else:
                part.malformed = True
        return due

    def ended(self, stream: memoryview, overflowed: bool) -> None:
        """Nothing more will come: half a frame is no honest child's, unless it was cut off."""
        self.part.malformed |= len(stream) > self._parsed and not overflowed


class Speaker:
    """The child's end of the conversation; what is added goes out at the next flush, as every word wakes the server."""

    def __init__(self) -> None:
        self.pending = b""

    def report(self, name: str, text: str) -> None:
        self.add(b"r", f'{{"{name}": {text}}}'.encode())

    def add(self, kind: bytes, content: bytes = b"") -> None:
        self.pending += struct.pack(">cI", kind, content.__len__()) + content  # `len` is the judged code's to replace

    def flush(self) -> None:
        while self.pending:
            self.pending = self.pending[_write(TALK_FD, self.pending) :]

    def seal(self) -> None:
        """Nothing more is said of this part."""
        self.add(b"F")
        self.flush()
        self.add(b"D", _read(TALK_FD, NONCE_BYTES))
        self.flush()
