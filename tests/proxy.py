"""A proxy in front of a real registry that makes trouble on demand: delays, refusals, cut connections, wrong bytes."""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.servers import Request

CHUNK = 256 * 1024


@dataclass
class Fault:
    """Trouble for requests whose method and path match. Lets ``skip`` of them pass, then troubles ``times`` of them.

    ``delay`` seconds come first. Then ``status`` answers instead of the registry; or ``cut`` ends the connection:
    ``before`` the registry hears of the request, ``after`` it did its work, or in the ``middle`` of its answer;
    or ``edit`` changes a byte of the answer's body; or ``drop_headers`` leaves headers out, ``set_headers`` puts others
    in the place of those that are there; or the answer stops for ``stall`` seconds in the middle of its body.

    ``reset`` cuts by a TCP reset. ``every``: only about each so-many-th request that
    matches is troubled, with uneven gaps, so that no client falls into step with it. ``jitter``: up to
    so many seconds more before each.
    """

    method: str = ".*"
    path: str = ".*"
    delay: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: Literal["", "before", "after", "middle"] = ""
    edit: bool = False
    drop_headers: tuple[str, ...] = ()
    set_headers: Mapping[str, str] = field(default_factory=dict)
    stall: float = 0.0
    reset: bool = False
    jitter: float = 0.0
    skip: int = 0
    times: int = 1
    every: int = 1
    strike: Callable[[], None] = lambda: None
    """Called right before the connection is cut."""

    def strikes(self, method: str, path: str) -> bool:
        """Whether this request meets the fault; counts."""
        if not (re.fullmatch(self.method, method) and re.search(self.path, path)) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.skip = self.every - 1 + (self.times % 3 if self.every > 1 else 0)
        self.times -= 1
        return True


class FaultProxy:
    """A running proxy: ``host`` is its ``HOST:PORT``, ``requests`` what it was asked, in order of answers."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.connections = 0
        self.strikes = 0
        self.lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listen(0)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    def add(self, **fault: Any) -> None:
        """One fault more; the first that matches strikes."""
        with self.lock:
            self.faults.append(Fault(**fault))

    def clear(self) -> None:
        """No faults, nothing asked yet."""
        with self.lock:
            self.faults.clear()
            self.requests.clear()
            self.connections = self.strikes = 0

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens at this address meanwhile."""
        port = self._server.server_address[1]
        self.stop()
        yield
        self._listen(port)

    def _listen(self, port: int) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def count(self, method: str = ".*", path: str = ".*") -> int:
        """How many requests matched."""
        return sum(1 for r in self.requests if re.fullmatch(method, r.method) and re.search(path, r.path))

    def stop(self) -> None:
        """Close all connections."""
        self._server.shutdown()
        self._thread.join()
        with self.lock:
            sockets = list(self._sockets)
        for connection in sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault for a request."""
        with self.lock:
            found = next((fault for fault in self.faults if fault.strikes(method, path)), None)
            self.strikes += found is not None
            return found

    def opened(self, connection: socket.socket) -> None:
        """A client has sent its first request over a connection."""
        with self.lock:
            self._sockets.add(connection)
            self.connections += 1

    def closed(self, connection: socket.socket) -> None:
        """A connection is over."""
        with self.lock:
            self._sockets.discard(connection)


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy in front of ``upstream`` (``HOST:PORT``, plain HTTP)."""
    proxy = FaultProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    proxy: FaultProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._counted = False
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def finish(self) -> None:
        self.server.proxy.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _relay(self) -> None:
        proxy = self.server.proxy
        if not self._counted:  # a TLS probe never gets here
            self._counted = True
            proxy.opened(self.connection)
        fault = proxy.fault(self.command, self.path) or Fault()
        time.sleep(fault.delay + random.uniform(0, fault.jitter))
        if fault.status:
            self._record(fault.status)
            self._drain()
            self._answer(fault.status, dict(fault.headers), fault.body, Fault())
        elif fault.cut == "before":
            self._record(0)
            fault.strike()
            self._cut(reset=fault.reset)
        else:
            self._forward(fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _relay

    def _forward(self, fault: Fault) -> None:
        upstream = http.client.HTTPConnection(self.server.proxy.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders()
            for chunk in self._body():
                upstream.send(chunk)
            response = upstream.getresponse()
            body = response.read()
            self._record(response.status)
            headers = {k: v for k, v in response.getheaders() if k.lower() not in map(str.lower, fault.drop_headers)}
            if fault.cut == "after":
                fault.strike()
                return self._cut(reset=fault.reset)
            if fault.edit and body:
                body = bytes([body[0] ^ 1]) + body[1:]
            headers |= {name: value for name, value in fault.set_headers.items() if name in headers}
            self._answer(response.status, headers, body, fault)
        finally:
            upstream.close()

    def _body(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            chunk = self.rfile.read(min(left, CHUNK))
            if not chunk:
                raise ConnectionError("the client went away in the middle of its request")
            left -= len(chunk)
            yield chunk

    def _drain(self) -> None:
        for _ in self._body():
            pass

    def _answer(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        half = fault.cut == "middle" or (fault.stall and body)
        self.send_response_only(status)
        if not any(name.lower() == "content-length" for name in headers):
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if half else body)
        if fault.stall and half and self.command != "HEAD":
            self.connection.settimeout(fault.stall)
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # it ends when the client has gone
        if half:
            self._cut(reset=fault.reset)

    def _record(self, status: int) -> None:
        with self.server.proxy.lock:
            self.server.proxy.requests.append(Request(self.command, self.path, status))

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
