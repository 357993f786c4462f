"""Connections whose answers must begin in good time: a server that drips the bytes of its headers does not hold us.

A socket's time-out starts anew with every byte, so the time for the head as a whole is counted here.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from socket import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError

from tagflow.stores.registry.bounded import in_time
from tagflow.stores.registry.failures import invalid
from tagflow.stores.registry.trust import is_forbidden

CONNECT_SECONDS = 10.0
HEAD_SECONDS = 30.0
"""The longest time for status and headers as a whole, from their first byte on."""


class _Head:
    """A buffered socket, read line by line, by one system call at a time."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._end: float | None = None
        self.broke_off = False

    def readline(self, limit: int) -> bytes:
        """As :meth:`io.BufferedReader.readline`.

        :raises TimeoutError: where the head takes too long.
        """
        line = bytearray()
        while len(line) < limit and not line.endswith(b"\n"):
            ready = self._file.peek(1)[: limit - len(line)]
            now = time.monotonic()
            self._end = self._end or now + HEAD_SECONDS
            if now > self._end:
                raise TimeoutError("the headers take too long")
            if not ready:
                self.broke_off = True
                break
            line += self._file.read(ready.find(b"\n") + 1 or len(ready))
        return bytes(line)

    def close(self) -> None:
        """Close the socket's file."""
        self._file.close()


class _Response(http.client.HTTPResponse):
    def begin(self) -> None:
        file, head = self.fp, _Head(self.fp)
        self.fp = head  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            if isinstance(self.fp, _Head):  # it may have been closed
                self.fp = file
        if head.broke_off:  # the library takes headers without their end for whole
            raise ConnectionResetError("the connection broke off among the headers")


def _connected(connection: HTTPConnection, connect: Callable[[], socket]) -> socket:
    """A new socket. The look-up of a name has no time limit of its own, so both are done by a thread."""
    seconds = connection.timeout if isinstance(connection.timeout, int | float) else CONNECT_SECONDS
    try:
        return in_time(connect, 2 * seconds, lambda late: late.close())  # a name may have two addresses
    except TimeoutError as exc:
        raise ConnectTimeoutError(connection, "no connection in time") from exc


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket:
        return _connected(self, super()._new_conn)


class _SecureConnection(HTTPSConnection):
    response_class = _Response

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


def _pools(connection: type[HTTPConnection], secure: type[HTTPSConnection]) -> dict[str, type[HTTPConnectionPool]]:
    class Pool(HTTPConnectionPool):
        ConnectionCls = connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = secure

    return {"http": Pool, "https": SecurePool}


_PLAIN_POOLS = _pools(_Connection, _SecureConnection)
_GUARDED_POOLS = _pools(_Guarded, _SecureGuarded)


def hurried(manager: urllib3.PoolManager, *, guarded: bool = False) -> urllib3.PoolManager:
    """The same pools, with connections of this kind; ``guarded``: to where a registry sends us."""
    manager.pool_classes_by_scheme = _GUARDED_POOLS if guarded else _PLAIN_POOLS
    return manager
