"""Servers that drip: an answer, from its status to the last byte of its content, comes at a pace."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.errors import StoreError
from tagflow.stores.registry.http import receiving
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.http.receiving import HEAD_SECONDS, SLOW_BYTES, SLOW_SECONDS, Paced, Response
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
    monkeypatch.setattr(receiving, "SLOW_SECONDS", 0.2)
    with dripping(0.02) as url:
        with pytest.raises(StoreError) as caught:
            send(url)
        assert caught.value.code == "registry.timeout"


@pytest.mark.parametrize("head", [b"", b"\r\n\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX"])
def test_nonsense_is_told(head: bytes) -> None:
    with standin(lambda _: Say(raw=head)) as server, pytest.raises(StoreError) as caught:
        send(f"http://{server.host}/v2/")
    assert caught.value.exit_status == 6


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


def answer(body: list[bytes], length: int) -> Response:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    response = Response(cast("socket.socket", _Socket([head, *body])))
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
        """Whoever has a deadline must see it."""
        monkeypatch.setattr(receiving, "GATHER_SECONDS", -1.0)
        response = answer([b"a", b"b", b"c"], 3)
        assert [response.read1(100) for _ in range(4)] == [b"a", b"b", b"c", b""]

    def test_answers_share_no_memory(self) -> None:
        first, second = answer([b"one"], 3), answer([b"two"], 3)
        kept = first.read1(8)
        assert (second.read1(8), kept) == (b"two", b"one")


class TestPace:
    """Only waits count, from the first byte on, and bytes that came in them."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The time, which the server lets pass."""
        now = [0.0]
        monkeypatch.setattr("tagflow.stores.registry.http.receiving.time.monotonic", lambda: now[0])
        return now

    def read(self, clock: list[float], sizes: Iterable[int], seconds: float, *, is_head: bool = False) -> int:
        """Take pieces of these sizes, for each of which the server takes so long; how many came."""

        class Slow(_Pieces):
            def readinto(self, space: WriteableBuffer) -> int:
                clock[0] += seconds
                return super().readinto(space)

        paced = Paced(Slow([bytes(size) for size in sizes]))
        count = 0
        while paced.readinto(bytearray(SLOW_BYTES)):
            count += 1
            paced.is_head = is_head
        return count

    def test_a_slow_server_that_keeps_it_is_waited_for(self, clock: list[float]) -> None:
        assert self.read(clock, [SLOW_BYTES] * 100, SLOW_SECONDS) == 100

    def test_the_first_byte_is_not_counted(self, clock: list[float]) -> None:
        """How long a registry may think before it answers is another limit."""
        assert self.read(clock, [1], 10 * SLOW_SECONDS) == 1

    def test_one_that_does_not_is_given_up(self, clock: list[float]) -> None:
        with pytest.raises(TimeoutError):
            self.read(clock, [100] * 1000, 1.0)
        assert SLOW_SECONDS <= clock[0] <= SLOW_SECONDS + 3

    def test_headers_without_end_are_given_up_however_fast_they_come(self, clock: list[float]) -> None:
        with pytest.raises(TimeoutError):
            self.read(clock, [SLOW_BYTES] * 1000, 1.0, is_head=True)
        assert clock[0] <= HEAD_SECONDS + 3

    def test_time_that_the_reader_takes_is_not_the_servers(self, clock: list[float]) -> None:
        paced = Paced(_Pieces([b"x"] * 100))
        for _ in range(100):
            clock[0] += SLOW_SECONDS
            assert paced.readinto(bytearray(1)) == 1

    def test_an_end_among_the_headers_is_none(self) -> None:
        paced = Paced(_Pieces([b"HTTP/1.1 200 OK"]))
        assert paced.readinto(bytearray(100))
        with pytest.raises(ConnectionResetError):
            paced.readinto(bytearray(100))
