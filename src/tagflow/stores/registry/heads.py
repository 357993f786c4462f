"""Connections whose answers must begin in good time: a server that drips the bytes of its headers does not hold us.

A socket's time-out starts anew with every byte, so the time for the head as a whole is counted here.
"""

from __future__ import annotations

import http.client
import time
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

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


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def hurried(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """The same pools, with connections of this kind."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager
