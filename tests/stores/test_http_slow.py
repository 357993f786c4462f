"""Servers that drip: the head of an answer as a whole has a limit."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.errors import StoreError
from tagflow.stores.registry.http.connections import _Head, _Response
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.http.transport import Request, Transport
from tests.standin import Say, standin

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

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


class _Pieces(io.RawIOBase):
    """What a connection hands over, piece by piece, as TLS does record by record."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def readable(self) -> bool:
        return True

    def readinto(self, space: WriteableBuffer) -> int:
        view = memoryview(space).cast("B")
        piece = self._pieces.pop(0) if self._pieces else b""
        taken = piece[: len(view)]
        if len(taken) < len(piece):
            self._pieces.insert(0, piece[len(view) :])
        view[: len(taken)] = taken
        return len(taken)


class _Socket:
    """As much of a socket as the library asks of one."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_Pieces(self._pieces), 64)


def answer(body: list[bytes], length: int) -> _Response:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    response = _Response(cast("socket.socket", _Socket([head, *body])))
    response.begin()
    return response


class TestContent:
    """What comes in small pieces is passed on in large ones, and to the last byte."""

    @given(st.lists(st.binary(max_size=300), max_size=12), st.integers(1, 500), st.integers(0, 400))
    def test_is_what_was_sent(self, body: list[bytes], size: int, missing: int) -> None:
        sent = b"".join(body)
        response = answer(body, len(sent) + missing)
        read = []
        while chunk := response.read1(size):
            assert len(chunk) <= size
            read.append(chunk)
        assert b"".join(read) == sent
        assert len(read) == -(-len(sent) // size)

    def test_ends_where_the_next_answer_begins(self) -> None:
        response = answer([b"one", b"HTTP/1.1 200 OK"], 3)
        assert response.read1(100) == b"one"
        assert response.read1(100) == b""

    def test_that_only_drips_is_passed_on_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever counts the pace must see it."""
        monkeypatch.setattr("tagflow.stores.registry.http.connections.GATHER_SECONDS", -1.0)
        response = answer([b"a", b"b", b"c"], 3)
        assert [response.read1(100) for _ in range(4)] == [b"a", b"b", b"c", b""]

    def test_answers_share_no_memory(self) -> None:
        first, second = answer([b"one"], 3), answer([b"two"], 3)
        kept = first.read1(8)
        assert (second.read1(8), kept) == (b"two", b"one")
