"""One pace for all requests to a server: where it says "too many requests" to one thread, all of them slow down."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

FIRST_GAP = 0.05
LARGEST_GAP = 1.0
"""Seconds between two requests: the first such gap, doubled with each refusal up to the largest."""
_RELIEF = 0.8
_NO_GAP = 0.005


@dataclass
class _Pace:
    """When the next request to one server is due, and how long after it the one after that."""

    due: float = 0.0
    gap: float = 0.0


class Limiter:
    """Spaces requests, of any method, by server: at full speed until it refuses one, and back there with the answers
    that follow. Nobody is held for more than ``longest`` seconds because of another's refusal: a limit of hours may be
    for pulls alone. Safe for use by several threads.
    """

    def __init__(self, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest, self._clock = longest, clock
        self._lock = threading.Lock()
        self._paces: defaultdict[str, _Pace] = defaultdict(_Pace)

    def turn(self, server: str) -> float:
        """Take the next turn; the seconds to wait for it. None of them is given twice."""
        with self._lock:
            pace, now = self._paces[server], self._clock()
            start = max(now, pace.due)
            pace.due = start + pace.gap
            return start - now

    def refused(self, server: str, after: float | None) -> None:
        """It had too many requests, and wants none for ``after`` seconds where it says so."""
        with self._lock:
            pace = self._paces[server]
            pace.gap = min(max(pace.gap * 2, FIRST_GAP), LARGEST_GAP)
            pause = after if after is not None and after <= self._longest else pace.gap
            pace.due = max(pace.due, self._clock() + pause)

    def served(self, server: str) -> None:
        """It answered."""
        with self._lock:
            pace = self._paces[server]
            pace.gap = pace.gap * _RELIEF if pace.gap > _NO_GAP else 0.0
