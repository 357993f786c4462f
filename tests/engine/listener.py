"""A listener for what is on its way."""

from __future__ import annotations

import threading


class Ledger:
    """A :class:`~tagflow.stores.port.Progress` that keeps books, and never hears of more than was announced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.expected = 0
        self.travelled = 0

    def expect(self, size: int) -> None:
        assert size > 0
        with self._lock:
            self.expected += size

    def advance(self, size: int) -> None:
        assert size > 0
        with self._lock:
            self.travelled += size
            assert self.travelled <= self.expected
