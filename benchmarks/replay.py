"""The requests of a command once more, by a client that does nothing else: the limit for any client.

It keeps connections, sends the bytes of each request, and reads its answer; it checks, decides and remembers nothing.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a client that does nothing else imports nothing else
    from tests.servers import Request

    from tagflow.stores.port import Store

AT_ONCE = 16
_MANIFEST = re.compile(r"/v2/(?P<repository>.+)/manifests/(?P<reference>[^/]+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


def write_down(asked: Iterable[Request], path: Path, stores: dict[str, Store]) -> int:
    """Write requests into a file, with what is PUT at the names that they write; how many they are.

    ``stores`` are the repositories by path. Uploads of blobs, which happen once for a repository, are left out.
    """
    from tagflow.stores.registry.session import MANIFESTS

    kept = []
    for it in asked:
        found = _MANIFEST.fullmatch(it.path)
        if it.method == "PUT" and found:
            manifest = stores[found["repository"]].get(found["reference"])
            # Under a name of its own: what a command wrote stays as it is.
            target = f"/v2/{found['repository']}/manifests/replayed-{found['reference'].strip('_')}"
            kept.append([it.method, target, manifest.media_type, manifest.content.decode()])
        elif it.method in ("GET", "HEAD"):
            kept.append([it.method, it.path, MANIFESTS, ""])
    path.write_text(json.dumps(kept))
    return len(kept)


def replay(host: str, path: Path) -> None:
    """Send them, side by side."""
    name, _, port = host.partition(":")
    mine = local()

    def send(line: bytes, has_body: bool) -> None:
        if not hasattr(mine, "connection"):
            mine.connection = socket.create_connection((name, int(port)))
        mine.connection.sendall(line)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += _received(mine.connection)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        left = int(length[1]) - len(body) if has_body and length else 0
        while left > 0:
            left -= len(_received(mine.connection))

    lines = []
    for method, target, media_type, body in json.loads(path.read_text()):
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: {media_type}\r\n"
        if body:
            head += f"Content-Type: {media_type}\r\nContent-Length: {len(body.encode())}\r\n"
        lines.append((f"{head}\r\n{body}".encode(), method != "HEAD"))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(send, *line) for line in lines]:
            done.result()


def _received(connection: socket.socket) -> bytes:
    got = connection.recv(65536)
    if not got:
        raise ConnectionError("the registry closed the connection")
    return got


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        replay(sys.argv[1], Path(sys.argv[2]))
