"""When to ask again: exponential backoff with jitter, Retry-After obeyed within bounds, never past the deadline; and
one pace for all requests to a server that says "too many requests"."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tagflow.errors import StoreError, TagflowError


class Transient(Exception):
    """A failure that may pass. ``error`` is what to tell when it does not; ``after`` the seconds that the server asked
    to wait, ``tries`` how many are worth it where that is less than usual. It never leaves the registry modules."""

    def __init__(self, error: TagflowError, after: float | None = None, tries: int | None = None) -> None:
        super().__init__(error.message)
        self.error, self.after, self.tries = error, after, tries


@dataclass(frozen=True)
class RetryPolicy:
    """At most ``attempts`` tries; the first wait is up to ``first`` seconds and doubles; all waits of one operation
    together take at most ``budget`` seconds.

    Where a server has too many requests, all requests to it keep ``gap`` seconds apart, doubled with each refusal up to
    ``largest_gap``.
    """

    attempts: int = 6
    first: float = 0.2
    budget: float = 60.0
    gap: float = 0.05
    largest_gap: float = 1.0


class RetryBudget:
    """What is left of the policy for one operation. Not shared between threads."""

    def __init__(
        self,
        policy: RetryPolicy,
        deadline: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._policy, self._deadline, self._clock, self._sleep = policy, deadline, clock, sleep
        self._failures = 0
        self._end = clock() + policy.budget

    def wait(self, failure: Transient) -> None:
        """Sleep until the next try is due.

        :raises TagflowError: that of ``failure``, where there is no next try: too many, or too long to wait.
        """
        self._failures += 1
        if self._failures >= min(self._policy.attempts, failure.tries or self._policy.attempts):
            raise failure.error from failure
        seconds = self._backoff() if failure.after is None else failure.after
        limit = self._end if self._deadline is None else min(self._end, self._deadline)
        if self._clock() + seconds > limit:
            raise _too_long(failure, seconds) from failure
        self._sleep(seconds)

    def _backoff(self) -> float:
        import random  # seldom needed

        longest = self._policy.first * 2.0 ** (self._failures - 1)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


def _too_long(failure: Transient, seconds: float) -> TagflowError:
    if failure.after is None:
        return failure.error
    return StoreError(
        failure.error.code,
        f"{failure.error.message}; the registry asks to wait {seconds:.0f} s, which is longer than tagflow waits",
        hint=f"Run the command again in {seconds:.0f} s.",
    )


def retry_after(value: str | None, *, now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait as ``Retry-After`` says, in seconds or as an HTTP date (RFC 9110 section 10.2.3); None where it
    says nothing that can be read.

    >>> retry_after("120")
    120.0
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    date = parse_date(text)
    return None if date is None else max(0.0, date.timestamp() - now())


def parse_date(value: str | None) -> datetime | None:
    """A ``Date`` header as a time in UTC; None where it is none (RFC 9110 section 5.6.7)."""
    try:
        date = parsedate_to_datetime(value or "")
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


_RELIEF = 0.8
_NO_GAP = 0.005


@dataclass
class _Spacing:
    """When the next request to one server is due, and how long after it the one after that."""

    due: float = 0.0
    gap: float = 0.0


class RateLimiter:
    """Spaces requests, of any method, by server: at full speed until it refuses one, and back there with the answers
    that follow. Nobody is held longer than the policy's budget because of another's refusal: a limit of hours may be
    for pulls alone. Safe for use by several threads.
    """

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy, self._clock = policy, clock
        self._lock = threading.Lock()
        self._spacings: defaultdict[str, _Spacing] = defaultdict(_Spacing)

    def turn(self, server: str) -> float:
        """Take the next turn; the seconds to wait for it. None of them is given twice."""
        with self._lock:
            spacing, now = self._spacings[server], self._clock()
            start = max(now, spacing.due)
            spacing.due = start + spacing.gap
            return start - now

    def refused(self, server: str, after: float | None) -> None:
        """It had too many requests, and wants none for ``after`` seconds where it says so."""
        with self._lock:
            spacing = self._spacings[server]
            spacing.gap = min(max(spacing.gap * 2, self._policy.gap), self._policy.largest_gap)
            pause = after if after is not None and after <= self._policy.budget else spacing.gap
            spacing.due = max(spacing.due, self._clock() + pause)

    def served(self, server: str) -> None:
        """It answered."""
        with self._lock:
            spacing = self._spacings[server]
            spacing.gap = spacing.gap * _RELIEF if spacing.gap > _NO_GAP else 0.0
