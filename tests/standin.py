"""The one HTTP server of the tests that is not real: it plays what a script says, over what a script or a real
registry answers.

A *script* is a function from a request to an answer::

    with standin(lambda asked: Say(404)) as server:        # server.host is HOST:PORT on loopback
        ...
        assert server.count("GET", "/tags/list") == 1

Scripts that stand ready: :class:`tests.registries.simulator.Simulator` (a whole registry in memory, with switches),
:class:`Relay` (a real server), :class:`tests.tokenserver.TokenServer` (the tokens of distribution),
:class:`tests.registries.logins.TokenLogin` (tokens of a simulated registry).

An *override* stands in front of a script: it answers in its place, or changes what it answers. So one quirk is played
by a simulated registry and by a real one alike::

    no_link = changed(lambda said: said.without("Link"), "GET", "/tags/list")
    with standin(Relay(registry.host), no_link) as server: ...
    with simulated_registry(Quirks(page=2), no_link) as (simulator, server): ...

* ``instead(Say(429), "PUT", "/manifests/", times=2)``: two PUTs of manifests are refused, the third gets through;
* ``changed(lambda said: replace(said, status=202), "PUT")``: answers that a script gave, changed;
* or any function of the request and the rest of the way:
  ``def twice(asked, server): server(asked); return server(asked)``.

The first override given is the nearest to the client; more are added to ``server.overrides`` at any time.
``tests.proxy`` is made of the same parts: trouble that strikes now and then. ``StandIn(script, tls=CONTEXT)`` speaks
TLS, ``StandIn(script, tunnel=CONTEXT)`` is a proxy that ends the TLS of every name that is asked for through it
(``asked.host`` tells which).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request: names of headers as in ``Content-Type``; ``host`` is the name it is for, behind a tunnel only."""

    method: str
    target: str
    headers: Mapping[str, str]
    read: Callable[[], bytes] = field(default=lambda: b"", repr=False, compare=False)
    host: str = ""

    @property
    def body(self) -> bytes:
        """The body, which is read when it is first looked at."""
        return self.read()

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's parameters."""
        return parse_qs(urlsplit(self.target).query)

    @property
    def authorization(self) -> str:
        """The Authorization header, or nothing."""
        return self.headers.get("Authorization") or ""


@dataclass(frozen=True)
class Say:
    """An answer. A header whose value has several lines is sent as so many headers.

    ``raw`` is sent as it is, instead, and the connection closed. ``cut`` ends the connection without any answer, or in
    the ``middle`` of its body; ``reset`` does so by a TCP reset; ``struck`` is called right before. ``stall``: the
    answer stops in the middle of its body until the client goes, or for so many seconds.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: Literal["", "whole", "middle"] = ""
    reset: bool = False
    stall: float = 0.0
    struck: Callable[[], None] = lambda: None

    def header(self, name: str) -> str:
        """A header's value, or nothing."""
        return next((value for known, value in self.headers.items() if known.lower() == name.lower()), "")

    def without(self, *names: str) -> Say:
        """The same answer without these headers."""
        gone = {name.lower() for name in names}
        return replace(self, headers={k: v for k, v in self.headers.items() if k.lower() not in gone})

    def having(self, headers: Mapping[str, str]) -> Say:
        """The same answer with these headers, in the place of those of the same names."""
        return replace(self, headers={**self.without(*headers).headers, **headers})


Script = Callable[[Asked], Say]
Override = Callable[[Asked, Script], Say]
ALWAYS = sys.maxsize


def instead(
    answer: Say | Script, method: str = ".*", path: str = ".*", *, skip: int = 0, times: int = ALWAYS
) -> Override:
    """Answers requests whose method and target match. ``skip`` of them pass first, and all after ``times``."""
    given: Script = (lambda _: answer) if isinstance(answer, Say) else answer
    meant = _Matching(method, path, skip, times)
    return lambda asked, server: given(asked) if meant(asked) else server(asked)


def changed(
    change: Callable[[Say], Say], method: str = ".*", path: str = ".*", *, skip: int = 0, times: int = ALWAYS
) -> Override:
    """Changes the answers to requests whose method and target match; ``skip`` and ``times`` as in :func:`instead`."""
    meant = _Matching(method, path, skip, times)
    return lambda asked, server: change(server(asked)) if meant(asked) else server(asked)


class _Matching:
    """Which requests are meant."""

    def __init__(self, method: str, path: str, skip: int, times: int) -> None:
        self._method, self._path, self._skip, self._times = re.compile(method), re.compile(path), skip, times
        self._lock = threading.Lock()

    def __call__(self, asked: Asked) -> bool:
        if not (self._method.fullmatch(asked.method) and self._path.search(asked.target)):
            return False
        with self._lock:
            if self._skip or not self._times:
                self._skip -= bool(self._skip)
                return False
            self._times -= 1
            return True


class Relay:
    """A script that asks a real server (``HOST:PORT``, plain HTTP), byte for byte what it was asked."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._idle: list[http.client.HTTPConnection] = []

    def __call__(self, asked: Asked) -> Say:
        body = asked.body
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.putrequest(asked.method, asked.target, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            content = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        headers: dict[str, str] = {}
        for name, value in response.getheaders():
            headers[name] = f"{headers[name]}\n{value}" if name in headers else value
        return Say(response.status, content, headers).without("Transfer-Encoding", "Connection")

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()


class StandIn:
    """A running server. ``script`` and ``overrides`` may be changed at any time; ``asked`` is what it was asked."""

    lazy = False
    """Whether a body is read only where a script looks at it."""

    def __init__(
        self,
        script: Script,
        *overrides: Override,
        tls: ssl.SSLContext | None = None,
        tunnel: ssl.SSLContext | None = None,
    ) -> None:
        self.script = script
        self.overrides = list(overrides)
        self.tls, self.tunnel = tls, tunnel
        self.asked: list[Asked] = []
        self.connections = 0
        """How many connections carried a request."""
        self.lock = threading.Lock()
        self.sockets: set[socket.socket] = set()
        """The connections that carried a request and are open."""
        self._listen(0)
        self.host = f"127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.server_address[1]
        return port

    def answer(self, asked: Asked) -> Say:
        """What it says. The body comes first: a script that holds a lock must not wait for it."""
        if not self.lazy:
            assert asked.body is not None
        self.asked.append(asked)
        return _through(self.overrides, self.script, asked)

    def count(self, method: str = ".*", path: str = ".*") -> int:
        """How many requests had that method, and something in their target that matches."""
        return sum(1 for a in self.asked if re.fullmatch(method, a.method) and re.search(path, a.target))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens at this address meanwhile."""
        port = self.port
        self.stop()
        yield
        self._listen(port)

    def stop(self) -> None:
        """Stop listening, and close all connections."""
        self._server.shutdown()
        self._thread.join()
        with self.lock:
            sockets = list(self.sockets)
        for connection in sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def opened(self, connection: socket.socket) -> None:
        """A connection carries its first request."""
        with self.lock:
            self.sockets.add(connection)
            self.connections += 1

    def closed(self, connection: socket.socket) -> None:
        """A connection is over."""
        with self.lock:
            self.sockets.discard(connection)

    def _listen(self, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.standin = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()


@contextmanager
def standin(script: Script, *overrides: Override, tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    """A server that answers as ``script`` says, unless an override does."""
    running = StandIn(script, *overrides, tls=tls)
    try:
        yield running
    finally:
        running.stop()
        if isinstance(script, Relay):
            script.close()


def basic_of(asked: Asked) -> tuple[str, str]:
    """User and password of a request's Basic credentials; empty without."""
    scheme, _, value = asked.authorization.partition(" ")
    if scheme != "Basic":
        return "", ""
    user, _, password = base64.b64decode(value).decode().partition(":")
    return user, password


def _through(overrides: list[Override], script: Script, asked: Asked) -> Say:
    if not overrides:
        return script(asked)
    first, *rest = overrides
    return first(asked, lambda asked: _through(rest, script, asked))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    standin: StandIn

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    _name = ""
    _counted = False

    def setup(self) -> None:
        if self.server.standin.tls:
            self.request = self.server.standin.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def finish(self) -> None:
        self.server.standin.closed(self.connection)
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_CONNECT(self) -> None:
        """Be the server that the client asks for, whoever that is."""
        tunnel = self.server.standin.tunnel
        if tunnel is None:
            return self._answer()
        self.send_response_only(200)
        self.end_headers()
        self._name = self.path.partition(":")[0]
        self.connection = self.request = tunnel.wrap_socket(self.connection, server_side=True)
        BaseHTTPRequestHandler.setup(self)
        self.close_connection = False
        return None

    def _answer(self) -> None:
        standin = self.server.standin
        if not self._counted:  # a probe that never asks anything does not get here
            self._counted = True
            standin.opened(self.connection)
        # Several lines of one name are one list (RFC 9110, 5.3): the Docker Engine sends an Accept for each type.
        headers = {name.title(): ", ".join(self.headers.get_all(name, ())) for name in self.headers}
        asked = Asked(self.command, self.path, headers, cache(self._read), self._name)
        said = standin.answer(asked)
        if said.cut != "whole":
            assert asked.body is not None  # whatever is left of it stands before the next request
            self._send(said)
        if said.cut:
            said.struck()
            self._cut(reset=said.reset)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _answer

    def _read(self) -> bytes:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionError("the client went away in the middle of its request")
        return body

    def _send(self, said: Say) -> None:
        if said.raw is not None:
            self.wfile.write(said.raw)
            return self._cut(reset=False)
        half = said.cut == "middle" or (said.stall and said.body)
        self.send_response_only(said.status)
        if not said.header("Content-Length"):
            self.send_header("Content-Length", str(len(said.body)))
        for name, value in said.headers.items():
            for line in value.split("\n"):
                self.send_header(name, line)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.body[: len(said.body) // 2] if half else said.body)
        if half and said.stall:
            if self.command != "HEAD":
                self.connection.settimeout(said.stall)
                with contextlib.suppress(OSError):
                    self.connection.recv(1)  # it ends when the client has gone
            self._cut(reset=said.reset)
        return None

    def _cut(self, *, reset: bool) -> None:
        self.wfile.flush()
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()  # the reset goes out when nothing holds the socket any more
            self.wfile.close()
            self.connection.close()
            return
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
