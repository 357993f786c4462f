"""Holding a process at one exact point until the test lets it go: no sleeping, no luck.

Whoever is held connects to a port of the test, says so, and reads until the test closes the connection.
"""

from __future__ import annotations

import socket
import threading
from typing import Protocol

PATIENCE = 120.0
"""Seconds after which something that should have come is taken for lost."""


class Hold(Protocol):
    """Something that holds somebody."""

    def arrived(self) -> None:
        """Wait until somebody is held."""

    def release(self) -> None:
        """Let them go on."""


class Door:
    """Holds a process that connects to ``port``."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self.port = str(self._listener.getsockname()[1])
        self._held: socket.socket | None = None

    def arrived(self) -> None:
        self._held, _ = self._listener.accept()

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
        self._listener.close()


def knock(port: str) -> None:
    """Say that one is there, and wait to be let go."""
    with socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE) as held:
        held.recv(1)


class Latch:
    """Holds a thread of this process: a request in the proxy."""

    def __init__(self) -> None:
        self._arrived, self._released = threading.Event(), threading.Event()

    def pass_by(self) -> None:
        """In the thread that is held."""
        self._arrived.set()
        self._released.wait(PATIENCE)

    def arrived(self) -> None:
        assert self._arrived.wait(PATIENCE), "nobody came"

    def release(self) -> None:
        self._released.set()
