"""Holding a process at one exact point until the test lets it go: no sleeping, no luck.

Whoever is held connects to a port of the test, says so, and reads until the test closes the connection.
"""

from __future__ import annotations

import os
import pty
import socket
import threading
from typing import Protocol

PATIENCE = 300.0
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


class Question:
    """A terminal at which a process asks; ``path`` is what it opens. Who is let go is told yes."""

    def __init__(self) -> None:
        self._far, self._near = pty.openpty()
        self.path = os.ttyname(self._near)
        self._text = b""
        self._asked = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """All that is shown, for nobody may have to wait until it is read."""
        while True:
            try:
                self._text += os.read(self._far, 1 << 16)
            except OSError:  # nobody has it open any more
                return
            if b"[y/N]" in self._text:
                self._asked.set()

    def arrived(self) -> None:
        assert self._asked.wait(PATIENCE), f"nobody asked: {self._text!r}"

    def release(self) -> None:
        os.write(self._far, b"y\n")

    def ended(self) -> str:
        """What was shown, when the process has ended."""
        os.close(self._near)
        self._reader.join(PATIENCE)
        os.close(self._far)
        return self._text.decode(errors="replace")
