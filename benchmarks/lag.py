"""A proxy that delays what a client sends, as distance does: bytes may follow one another while they travel."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Queue

CHUNK = 64 * 1024
ON_THE_WAY = 256
"""Chunks of one connection that may be under way."""


@contextmanager
def lagging(upstream: str, milliseconds: int) -> Iterator[str]:
    """The ``HOST:PORT`` of a proxy, in a process of its own, until the block ends; ``upstream`` itself for no delay."""
    if not milliseconds:
        yield upstream
        return
    command = [sys.executable, "-m", "benchmarks.lag", upstream, str(milliseconds / 1000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def serve(upstream: str, seconds: float) -> None:
    """Relay connections until the process ends."""
    host, _, port = upstream.partition(":")
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            client, _ = server.accept()
            there = socket.create_connection((host, int(port)))
            for end in (client, there):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            under_way: Queue[tuple[float, bytes]] = Queue(ON_THE_WAY)
            for work in (
                lambda one=client, queue=under_way: _read(one, queue, seconds),
                lambda other=there, queue=under_way: _write(other, queue),
                lambda one=there, other=client: _relay(one, other),
            ):
                threading.Thread(target=work, daemon=True).start()


def _read(client: socket.socket, under_way: Queue[tuple[float, bytes]], seconds: float) -> None:
    chunk = b"-"
    while chunk:
        try:
            chunk = client.recv(CHUNK)
        except OSError:
            chunk = b""
        under_way.put((time.monotonic() + seconds, chunk))


def _write(there: socket.socket, under_way: Queue[tuple[float, bytes]]) -> None:
    with suppress(OSError):
        while True:
            due, chunk = under_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not chunk:
                there.shutdown(socket.SHUT_WR)
                return
            there.sendall(chunk)


def _relay(there: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while chunk := there.recv(CHUNK):
            client.sendall(chunk)
        client.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]))
