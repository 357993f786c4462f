"""What a server sends, as it comes in: never for long without end, in pieces that are worth passing on."""

from __future__ import annotations

import http.client
import io
import time
from typing import Any

SLOW_SECONDS, SLOW_BYTES = 60.0, 64 * 1024
"""An answer comes at least at this pace, counted while it is waited for: status, headers and content, however long."""
HEAD_SECONDS = 30.0
"""The longest wait for status and headers as a whole, from their first byte on, however fast they come."""
GATHER_SECONDS = 0.5
"""How long content is gathered before it is passed on: whoever has a deadline looks at the clock in between."""


class Paced(io.RawIOBase):
    """The receiving end of a connection. Every byte of an answer comes through here, decrypted where it was encrypted.

    The wait for the first byte is the connection's to limit; from then on a server that only drips is given up.
    """

    def __init__(self, connection: io.RawIOBase) -> None:
        self._connection = connection
        self._waited, self._received = 0.0, 0
        self._begun = False
        self.is_head = True
        """Whether status and headers are still to come: a connection that ends among them has broken off."""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, space: Any) -> int | None:
        """As :meth:`io.RawIOBase.readinto`.

        :raises TimeoutError: the server is too slow, or silent for too long.
        :raises ConnectionResetError: the connection ends among the headers; the library would take them for whole.
        """
        began = time.monotonic()
        count = self._connection.readinto(space) or 0
        if not count:
            if self._begun and self.is_head:
                raise ConnectionResetError("the connection broke off among the headers")
            return 0
        if not self._begun:
            self._begun = True
            return count
        self._waited += time.monotonic() - began
        self._received += count
        if self.is_head and self._waited > HEAD_SECONDS:
            raise TimeoutError("the headers take too long")
        if self._waited > SLOW_SECONDS:
            if self._received < SLOW_BYTES:
                raise TimeoutError("the answer takes too long")
            self._waited, self._received = 0.0, 0
        return count

    def close(self) -> None:
        """Close the connection's file."""
        self._connection.close()
        super().close()


class Response(http.client.HTTPResponse):
    """An answer whose bytes come at a pace, and whose content is handed over in large pieces."""

    _buffer: bytearray | None = None
    """Where content is received. It belongs to this answer, and goes with it: no other thread can come to see it."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._paced = Paced(self.fp.detach())
        self.fp = io.BufferedReader(self._paced)

    def begin(self) -> None:
        """Read status and headers."""
        super().begin()
        self._paced.is_head = False

    def read1(self, n: int = -1) -> bytes:
        """Content of a known length, as much of ``n`` bytes as comes soon; else as the library reads it.

        TLS hands over 16 KiB at most at a time. To pass on, hash and send each of these alone takes longer than to
        decrypt it, and a new buffer for each longer still.
        """
        if self.fp is None or self.chunked or not self.length or n <= 0:
            return super().read1(n)
        wanted = min(n, self.length)
        if self._buffer is None or len(self._buffer) < wanted:
            self._buffer = bytearray(wanted)
        filled = self._fill(memoryview(self._buffer)[:wanted])
        if not filled:
            self.close()
        self.length -= filled
        return bytes(memoryview(self._buffer)[:filled])

    def _fill(self, space: memoryview) -> int:
        filled, end = 0, time.monotonic() + GATHER_SECONDS
        while filled < len(space):
            count = self.fp.readinto1(space[filled:])
            filled += count
            if not count or time.monotonic() > end:
                break
        return filled
