"""When to ask again, how much is asked at once, and what a user decides about connections."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Condition, Lock

from msgspec import Struct, field

from tagflow.errors import TagflowError


class Transient(Exception):
    """A failure that may pass. ``error`` is what to tell when it does not; ``after`` the seconds that the server asked
    to wait, ``tries`` how many are worth it where that is less than usual. It never leaves the registry modules."""

    def __init__(self, error: TagflowError, after: float | None = None, tries: int | None = None) -> None:
        super().__init__(error.message)
        self.error, self.after, self.tries = error, after, tries


Waits = Callable[[str, float], None]
"""Hears why something waits, and for how many seconds, before it does."""


def _no_wait(_why: str, _seconds: float) -> None:
    """Tell nobody."""


class RetryPolicy(Struct, frozen=True):
    """At most ``attempts`` tries; the first wait is up to ``first`` seconds and doubles; all waits of one operation
    together take at most ``budget`` seconds.

    Where a server has too many requests, all requests to it keep ``gap`` seconds apart, doubled with each refusal up to
    ``largest_gap``. Where it answers nothing else for ``budget`` seconds, nobody waits for it any more.
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
        waits: Waits = _no_wait,
    ) -> None:
        self._policy, self._deadline, self._clock, self._sleep = policy, deadline, clock, sleep
        self._waits = waits
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
            raise self._too_long(failure) from failure
        self._waits(failure.error.message, seconds)
        self._sleep(seconds)

    def _too_long(self, failure: Transient) -> TagflowError:
        """What to tell where a server asks for more than there is. Where it is asked for no longer because it said the
        same all the time, that is all there is to say."""
        seconds, error = failure.after, failure.error
        if seconds is None:
            return error
        if seconds > self._policy.budget:
            limit = "than tagflow waits"
        elif self._deadline is not None and self._deadline < self._end:
            limit = "than is left of the time"
        else:
            return error
        told = f"{error.message}; the registry asks to wait {seconds:.0f} s, which is longer {limit}"
        return type(error)(error.code, told, hint=f"Run the command again in {seconds:.0f} s.")

    def passing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass content on: the time that it travels is no wait, however slow the line is."""
        began = self._clock()
        for chunk in chunks:
            now = self._clock()
            self._end += now - began
            began = now
            yield chunk

    def _backoff(self) -> float:
        import random  # seldom needed

        longest = self._policy.first * 2.0 ** (self._failures - 1)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


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


class _Spacing(Struct):
    """When the next request to one server is due, and how long after it the one after that. When it was of use last;
    since when it is of none, when that was seen last, and whether it is too long."""

    due: float = 0.0
    gap: float = 0.0
    step: float = 0.0
    """How long after that the next one is let go: the gap, less what answers are going to take from it."""
    slowed: float = -math.inf
    """When the gap grew last."""
    served: float = 0.0
    since: float | None = None
    last: float = 0.0
    given_up: bool = False


class RateLimiter:
    """Spaces requests, of any method, by server: at full speed until it refuses one, and back there with the answers
    that follow. Nobody is held longer than the policy's budget because of another's refusal: a limit of hours may be
    for pulls alone. Nor are all together, where it refuses everything, or is silent: what a hundred requests wait for
    is one answer. From then on each is sent once, for something may have to be put back. Safe for use by several
    threads.
    """

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy, self._clock = policy, clock
        self._changed = Condition(Lock())
        self._spacings: defaultdict[str, _Spacing] = defaultdict(_Spacing)

    def turn(self, server: str) -> float:
        """Take the next turn; the seconds to wait for it. None of them is given twice."""
        with self._changed:
            spacing, now = self._spacings[server], self._clock()
            if spacing.given_up:
                return 0.0
            start = max(now, spacing.due)
            spacing.due = start + spacing.step
            spacing.step = min(spacing.gap, max(self._policy.gap, spacing.step * _RELIEF))
            return start - now

    def pause(self, server: str, seconds: float) -> bool:
        """Wait for a turn; whether it came: nobody waits where there is nothing to wait for any more."""
        with self._changed:
            spacing = self._spacings[server]
            return not self._changed.wait_for(lambda: spacing.given_up, seconds)

    def refused(self, server: str, after: float | None, turned: float) -> bool:
        """It had too many requests, and wants none for ``after`` seconds where it says so; whether another try is worth
        it. One that had its turn before the gap grew last tells nothing new: all that were under way then may be
        refused."""
        with self._changed:
            spacing, now = self._spacings[server], self._clock()
            if self._gives_up(spacing, now, now):
                return False
            if turned >= spacing.slowed:
                spacing.gap = min(max(spacing.gap * 2, self._policy.gap), self._policy.largest_gap)
                spacing.step, spacing.slowed = spacing.gap, now
            pause = after if after is not None and after <= self._policy.budget else spacing.gap
            spacing.due = max(spacing.due, now + pause)
            return True

    def failed(self, server: str, seconds: float) -> bool:
        """A request that began so many seconds ago has no answer; whether another try is worth it."""
        with self._changed:
            now = self._clock()
            return not self._gives_up(self._spacings[server], now, now - seconds)

    def has_given_up(self, server: str) -> bool:
        """Whether it was of no use for as long as anybody waits."""
        with self._changed:
            return self._spacings[server].given_up

    def _gives_up(self, spacing: _Spacing, now: float, begun: float) -> bool:
        begun = max(begun, spacing.served)
        if spacing.since is None or begun - spacing.last > self._policy.budget:  # nobody has asked for that long
            spacing.since = begun
        spacing.last, spacing.given_up = now, now - spacing.since >= self._policy.budget
        if spacing.given_up:
            spacing.due = now
            self._changed.notify_all()
        return spacing.given_up

    def served(self, server: str) -> None:
        """It answered."""
        with self._changed:
            spacing = self._spacings[server]
            spacing.served, spacing.since, spacing.given_up = self._clock(), None, False
            spacing.gap = spacing.gap * _RELIEF if spacing.gap > _NO_GAP else 0.0
            spacing.step = min(spacing.step, spacing.gap)


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


class Turn(Struct):
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


def _nobody(_: str) -> None:
    """Tell nobody."""


def _utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


READ_SECONDS = 60.0
"""The longest silence of a server in the middle of an answer."""


class Settings(Struct, frozen=True):
    """What a user decides about connections.

    ``insecure`` are hosts that may speak plain HTTP beside loopback; ``threads`` the connections kept per host;
    ``deadline`` a :func:`time.monotonic` time; ``trace`` hears one line per request, without secrets, ``warn`` what
    people should know, ``waits`` why something waits; ``writes`` says that tags will be moved, so that push rights are
    asked for at once; ``create_repositories`` that missing ones are created where the registry wants that (ECR).
    ``silence`` is the longest time in seconds without a byte of an answer; ``now`` the clock that registries' own are
    compared with.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    insecure: frozenset[str] = frozenset()
    threads: int = MOST
    deadline: float | None = None
    trace: Callable[[str], None] = _nobody
    warn: Callable[[str], None] = _nobody
    waits: Waits = _no_wait
    writes: bool = False
    create_repositories: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    silence: float = READ_SECONDS
    now: Callable[[], datetime] = _utc_now

    def __repr__(self) -> str:  # the environment may hold secrets
        return f"Settings(threads={self.threads}, writes={self.writes})"

    def retry_budget(self) -> RetryBudget:
        """What is left of the retries for one operation."""
        return RetryBudget(self.retry, self.deadline, waits=self.waits)

    def seconds(self, limit: float) -> float:
        """``limit``, or what is left until the deadline where that is less; zero or less where it has passed."""
        return limit if self.deadline is None else min(limit, self.deadline - time.monotonic())

    def is_insecure(self, host: str) -> bool:
        """Whether ``HOST[:PORT]`` may speak plain HTTP although it is not loopback."""
        return host.lower() in map(str.lower, self.insecure)
