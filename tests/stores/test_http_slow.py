"""Servers that drip: the head of an answer as a whole has a limit."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.errors import StoreError
from tagflow.stores.registry.http.connections import _Head
from tagflow.stores.registry.http.retries import RetryPolicy
from tagflow.stores.registry.http.settings import Settings
from tagflow.stores.registry.http.transport import Request, Transport
from tests.standin import Say, standin

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Long: " + b"x" * 40 + b"\r\n\r\n"


@contextmanager
def dripping(pause: float) -> Iterator[str]:
    """A server that sends a byte at a time."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(4096)
                    for byte in HEAD + b"{}":
                        connection.sendall(bytes([byte]))
                        time.sleep(pause)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v2/"
        listener.shutdown(socket.SHUT_RDWR)


def send(url: str) -> bytes:
    transport = Transport(Settings(environ={}, retry=RetryPolicy(attempts=1)))
    try:
        return transport.send(Request("GET", url)).body
    finally:
        transport.close()


def test_a_slow_head_is_read() -> None:
    with dripping(0.0) as url:
        assert send(url) == b"{}"


def test_one_that_is_too_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagflow.stores.registry.http.connections.HEAD_SECONDS", 0.2)
    with dripping(0.02) as url:
        with pytest.raises(StoreError) as caught:
            send(url)
        assert caught.value.code == "registry.timeout"


@pytest.mark.parametrize("head", [b"", b"\r\n\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX"])
def test_nonsense_is_told(head: bytes) -> None:
    with standin(lambda _: Say(raw=head)) as server, pytest.raises(StoreError) as caught:
        send(f"http://{server.host}/v2/")
    assert caught.value.exit_status == 6


@given(st.binary(max_size=200), st.integers(1, 50), st.integers(1, 16))
def test_lines_are_those_of_the_library(content: bytes, limit: int, buffer: int) -> None:
    ours, theirs = _Head(io.BufferedReader(io.BytesIO(content), buffer)), io.BytesIO(content)
    while line := theirs.readline(limit):
        assert ours.readline(limit) == line
    assert ours.readline(limit) == b""
