"""Connections kept open, a pool for each server: TLS or not, through a proxy or not; each with limits in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from socket import socket
from ssl import SSLWantReadError
from threading import Thread
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError

from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.addresses import is_forbidden, is_loopback, proxy_for, speaks_tls, tls_context
from tagflow.stores.registry.http.failures import invalid, translated
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.http.receiving import Response

T = TypeVar("T")


class _BackgroundCall(Generic[T]):
    def __init__(self, work: Callable[[], T], discard: Callable[[T], None]) -> None:
        self._work, self._discard = work, discard
        self.results: list[T] = []
        self.errors: list[BaseException] = []
        self.late = False

    def run(self) -> None:
        try:
            result = self._work()
        except BaseException as exc:  # noqa: BLE001 - it is raised again where it is waited for
            self.errors.append(exc)
            return
        if self.late:
            self._discard(result)
        else:
            self.results.append(result)


def within(work: Callable[[], T], seconds: float, discard: Callable[[T], None]) -> T:
    """The result of ``work``, and what it raises. ``discard`` takes a result that comes too late.

    :raises TimeoutError: it takes longer than ``seconds``; it goes on in a thread that ends with the process.
    """
    call = _BackgroundCall(work, discard)
    thread = Thread(target=call.run, name="tagflow-connect", daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    finally:
        call.late = True
    if call.errors:
        raise call.errors[0]
    if call.results:
        return call.results[0]
    raise TimeoutError(f"not done within {seconds:.0f} s")


CONNECT_SECONDS = 10.0
AHEAD = 6
"""So many connections beside the first are opened ahead: what a promotion of one image asks for at once needs seven."""


def _connected(connection: HTTPConnection, connect: Callable[[], socket]) -> socket:
    """A new socket. The look-up of a name has no time limit of its own, so both are done by a thread."""
    seconds = connection.timeout if isinstance(connection.timeout, int | float) else CONNECT_SECONDS
    try:
        return within(connect, 2 * seconds, lambda late: late.close())  # a name may have two addresses
    except TimeoutError as exc:
        raise ConnectTimeoutError(connection, "no connection in time") from exc


class _Connecting(threading.local):
    """How long this thread has spent connecting so far, in seconds."""

    seconds = 0.0


_connecting = _Connecting()


def seconds_connecting() -> float:
    """How long this thread has spent connecting so far: what a new connection takes is no fault of a server."""
    return _connecting.seconds


class _Connection(HTTPConnection):
    response_class = Response

    def connect(self) -> None:
        began = time.monotonic()
        try:
            super().connect()
        finally:
            _connecting.seconds += time.monotonic() - began

    def _new_conn(self) -> socket:
        return _connected(self, super()._new_conn)


class _SecureConnection(HTTPSConnection):
    response_class = Response

    def connect(self) -> None:
        began = time.monotonic()
        try:
            super().connect()
        finally:
            _connecting.seconds += time.monotonic() - began

    @property
    def is_connected(self) -> bool:
        """Whether the server has not closed it. Its tickets for later sessions (RFC 8446, 4.6.1) are no answer: on a
        connection that was opened ahead nobody has read them yet."""
        if super().is_connected or self.sock is None:
            return super().is_connected
        waits = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            self.sock.recv(1)
        except (SSLWantReadError, BlockingIOError):
            return True
        except OSError:
            return False
        finally:
            self.sock.settimeout(waits)
        return False

    def _new_conn(self) -> socket:
        return _connected(self, super()._new_conn)


class _Guarded(_Connection):
    def _new_conn(self) -> socket:
        return _checked(super()._new_conn())


class _SecureGuarded(_SecureConnection):
    def _new_conn(self) -> socket:
        return _checked(super()._new_conn())


def _checked(connection: socket) -> socket:
    """A server that a registry named, if its name leads to no address that registries may not send us to.

    :raises StoreError: ``registry.invalid_answer``, before anything was sent.
    """
    address = _peer(connection)
    if is_forbidden(address):
        connection.close()
        raise invalid(f"//{address}", "is no public address, and a registry sends us there by another name")
    return connection


def _peer(connection: socket) -> str:
    return str(connection.getpeername()[0])


class _Ahead(HTTPConnectionPool):
    """A pool that opens connections for requests that are still to come."""

    def open_ahead(self, count: int, seconds: float) -> None:
        """Begin to open so many connections, each within ``seconds`` and by a thread that ends with the process. What
        fails is not told: the request that would have had the connection opens its own."""
        for connection in [self._get_conn() for _ in range(count)]:
            Thread(target=self._open_one, args=(connection, seconds), name="tagflow-connect", daemon=True).start()

    def _open_one(self, connection: HTTPConnection, seconds: float) -> None:
        if connection.is_closed:
            connection.timeout = seconds
            try:
                connection.connect()
            except Exception:  # noqa: BLE001 - whatever it is, whoever gets this connection tries for itself
                connection.close()
        self._put_conn(connection)


def _pools(connection: type[HTTPConnection], secure: type[HTTPSConnection]) -> dict[str, type[HTTPConnectionPool]]:
    class Pool(_Ahead):
        ConnectionCls = connection

    class SecurePool(_Ahead, HTTPSConnectionPool):
        ConnectionCls = secure

    return {"http": Pool, "https": SecurePool}


_PLAIN_POOLS = _pools(_Connection, _SecureConnection)
_GUARDED_POOLS = _pools(_Guarded, _SecureGuarded)


def with_limits(manager: urllib3.PoolManager, *, guarded: bool = False) -> urllib3.PoolManager:
    """The same pools, with connections of this kind; ``guarded``: to where a registry sends us."""
    manager.pool_classes_by_scheme = _GUARDED_POOLS if guarded else _PLAIN_POOLS
    return manager


class Pools:
    """The pools of one registry and of where it sends us. Safe for use by several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock, self._probe_lock = threading.Lock(), threading.Lock()
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._bases: dict[str, str] = {}

    def base(self, host: str) -> str:
        """``https://HOST``, or ``http://HOST`` for a host that may speak plain HTTP and does not answer TLS.

        One handshake shows which, and that is remembered. An insecure host behind a proxy is taken to speak plain HTTP.
        """
        with self._probe_lock:
            if host not in self._bases:
                self._bases[host] = f"{self._scheme(host)}://{host}"
            return self._bases[host]

    def of(self, url: str) -> urllib3.PoolManager:
        """The pool for the server of an address.

        :raises StoreError: ``registry.untrusted``, ``proxy.unsupported``.
        """
        key = addresses.origin(url)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._open(url)
            return self._pools[key]

    def open_ahead(self, url: str) -> None:
        """Begin to open connections to a registry beside the first request to it, a list of tags: what that names
        is asked for side by side, and the handshakes need not be waited for then. Not through a proxy.

        :raises StoreError: as :meth:`of`.
        """
        manager = self.of(url)
        if isinstance(manager, urllib3.ProxyManager) or urlsplit(url).netloc not in self._named():
            return
        with translated(url):
            pool = manager.connection_from_url(url)
        assert isinstance(pool, _Ahead)
        pool.open_ahead(min(AHEAD, self._settings.threads - 1), self._settings.seconds(CONNECT_SECONDS))

    def close(self) -> None:
        """Drop the connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()

    def _named(self) -> list[str]:
        """The servers that the user named, rather than a registry that sends us there."""
        with self._probe_lock:
            return list(self._bases)

    def _open(self, url: str) -> urllib3.PoolManager:
        parts, environ = urlsplit(url), self._settings.environ
        size = max(1, self._settings.threads)
        context = tls_context(parts.netloc, environ, self._named()) if parts.scheme == "https" else None
        proxy = proxy_for(parts, environ)
        if proxy is None:
            named = parts.netloc.lower() in map(str.lower, self._named())
            return with_limits(urllib3.PoolManager(1, maxsize=size, ssl_context=context), guarded=not named)
        user = unquote(urlsplit(proxy).netloc.rpartition("@")[0])
        headers = urllib3.make_headers(proxy_basic_auth=user) if user else None
        with translated(url):
            return with_limits(urllib3.ProxyManager(proxy, 1, maxsize=size, proxy_headers=headers, ssl_context=context))

    def _scheme(self, host: str) -> str:
        parts = urlsplit(f"http://{host}")
        name = parts.hostname or ""
        if not (is_loopback(name) or self._settings.is_insecure(host)):
            return "https"
        if proxy_for(parts, self._settings.environ):
            return "http"
        seconds = max(0.001, self._settings.seconds(CONNECT_SECONDS))
        return "https" if speaks_tls(name, parts.port or 443, seconds) else "http"
