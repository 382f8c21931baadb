"""A model hub on this machine: one repository by its files' paths, which may fall silent in the midst of a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: dict[str, bytes], silent_in: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.silent_in = files, silent_in
        self.may_go_on = threading.Event()
        self.ranges: list[tuple[str, int]] = []  # of each file that was asked for: where it was to begin

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/"):
            self._send(json.dumps(self._listing(path)).encode(), {"Content-Type": "application/json"}, body)
        elif (name := path.partition("/resolve/")[2].partition("/")[2]) in self.server.files:
            self._file(name, body)
        else:
            self._send(b"{}", {}, body, 404)

    def _listing(self, path: str) -> object:
        files = self.server.files
        if "/tree/" in path:
            return [{"type": "file", "path": n, "size": len(d), "oid": _etag(d)} for n, d in files.items()]
        siblings = [{"rfilename": n, "size": len(d), "blobId": _etag(d)} for n, d in files.items()]
        return {"id": "org/tiny", "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}

    def _file(self, name: str, body: bool) -> None:
        data = self.server.files[name]
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        headers = {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if body:
            self.server.ranges.append((name, start))
        silent = body and self.server.silent_in == name
        self._send(data[start:], headers, body, 206 if start else 200, len(data) // 2 if silent else None)
        if silent:
            self.server.may_go_on.wait()

    def _send(
        self, data: bytes, headers: dict[str, str], body: bool, status: int = 200, until: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data[:until])


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextlib.contextmanager
def hub(files: dict[str, bytes], silent_in: str = "") -> Iterator[Hub]:
    server = Hub(files, silent_in)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.may_go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
