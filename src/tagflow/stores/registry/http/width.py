"""How many requests to one server are under way at once: more while it keeps up, fewer where it does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Lock

FIRST = 16
"""How many a server is asked at once before anything is known of it; rising latency alone never leads below it."""
MOST = 48
FEWEST = 4
"""However often a server refuses, that many go on: the limiter spaces them."""
_KEEPS_UP = 2.0
"""A server keeps up while its answers take no longer than this many times the fastest of their kind."""
_FALLS_BEHIND = 4.0
_MEMORY = 1 / 16
"""What one answer counts in the mean."""


@dataclass
class Turn:
    """One request under way; whoever makes it writes down how it went."""

    seconds: float | None = None
    """How long the answer took, its connection not counted; None where none came."""
    refused: bool = False
    """Whether the server had too many requests."""


class Limit:
    """How many may be under way, by how answers come. No lock and no clock: whoever asks has them."""

    def __init__(self) -> None:
        self._now = float(FIRST)
        self._fastest: dict[str, float] = {}
        self._ratio = 1.0
        self._cautious = False
        """Whether the server has fallen behind once: from then on it is one more a round, no longer twice as many."""
        self._settling = 0
        """Answers that must come before the limit shrinks again: they were under way when it did."""

    def __int__(self) -> int:
        return int(self._now)

    def ended(self, kind: str, turn: Turn, *, under_way: int, waiting: bool) -> None:
        """One request of a ``kind`` has ended; so many others are ``under_way``, and more are ``waiting`` or not."""
        settled = self._settling == 0
        self._settling = max(0, self._settling - 1)
        if turn.refused:
            if settled:
                self._shrink(FEWEST, under_way)
        elif turn.seconds is not None:
            self._learn(kind, turn.seconds)
            if self._ratio > _FALLS_BEHIND and self._now > FIRST:
                if settled:
                    self._shrink(FIRST, under_way)
            elif self._ratio < _KEEPS_UP and waiting:  # only what is used to the full may grow
                self._now = min(float(MOST), self._now + (1 / self._now if self._cautious else 1))

    def _learn(self, kind: str, seconds: float) -> None:
        fastest = self._fastest[kind] = min(self._fastest.get(kind, seconds), seconds)
        self._ratio += (seconds / max(fastest, 1e-6) - self._ratio) * _MEMORY

    def _shrink(self, least: int, under_way: int) -> None:
        self._now = max(float(least), self._now / 2)
        self._cautious, self._settling = True, under_way


class Width:
    """The places for requests to one server. Safe for use by several threads."""

    def __init__(self) -> None:
        self._free = Condition(Lock())
        self._under_way = self._waiting = 0
        self._limit = Limit()

    @contextmanager
    def place(self, kind: str, seconds: float | None = None) -> Iterator[Turn]:
        """A place for one request of a ``kind`` whose answers take alike, waited for as long as ``seconds``.

        :raises TimeoutError: none became free in that time.
        """
        with self._free:
            self._waiting += 1
            try:
                if not self._free.wait_for(lambda: self._under_way < int(self._limit), seconds):
                    raise TimeoutError
            finally:
                self._waiting -= 1
            self._under_way += 1
        turn = Turn()
        try:
            yield turn
        finally:
            with self._free:
                self._under_way -= 1
                self._limit.ended(kind, turn, under_way=self._under_way, waiting=self._waiting > 0)
                self._free.notify(max(1, int(self._limit) - self._under_way))


class Widths:
    """A width for each server. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._widths: defaultdict[str, Width] = defaultdict(Width)

    def of(self, server: str) -> Width:
        """That of one server."""
        with self._lock:
            return self._widths[server]
