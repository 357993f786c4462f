"""Progress of long work, on standard error, where that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

from tagflow.cli.session import tell
from tagflow.cli.text import clean
from tagflow.stores.port import Progress, Silence

_MOMENT = 0.7
"""Seconds after which somebody begins to wonder whether anything happens."""
_ROOMY = 70
"""Columns of a terminal in which everything fits in one line."""


@contextmanager
def bar(*, quiet: bool = False) -> Iterator[Progress]:
    """A progress bar that appears once bytes travel; silence where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield Silence()
        return
    shown = _Bar()
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def counter(what: str, now: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """How many of many questions were answered, in a bar that appears where that takes longer than a moment."""
    if not sys.stderr.isatty():
        yield Silence()
        return
    shown = _Counter(what, now)
    try:
        yield shown
    finally:
        shown.close()


class Waits:
    """Says why something waits to who sits at a terminal: one line a reason, where all waits together take longer than
    a moment. Hundreds of requests may wait for one server."""

    def __init__(self, *, quiet: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self._lock = Lock()
        self._quiet, self._now = quiet, now
        self._begin: float | None = None
        self._told = set[str]()

    def __call__(self, why: str, seconds: float) -> None:
        if self._quiet or not sys.stderr.isatty():
            return
        with self._lock:
            self._begin = self._now() if self._begin is None else self._begin
            if why in self._told or self._now() - self._begin + seconds < _MOMENT:
                return
            self._told.add(why)
        tell(clean(f"note: {why}: waiting"))


class _Counter:
    """Rich's bar, made when something has been waited for; it goes when all is answered.

    A terminal that is gone takes no work with it.
    """

    def __init__(self, what: str, now: Callable[[], float]) -> None:
        self._lock = Lock()
        self._what, self._now = what, now
        self._begin = now()
        self._bar: Any = None
        self._task: Any = None
        self._total = self._done = 0

    def expect(self, size: int) -> None:
        """That many questions more."""
        with self._lock:
            self._total += size

    def advance(self, size: int) -> None:
        """That many were answered."""
        with self._lock, suppress(OSError):
            self._done += size
            if self._bar is None and self._now() - self._begin > _MOMENT:
                self._bar = _make_counter()
                self._task = self._bar.add_task(self._what, total=self._total, completed=self._done)
                self._bar.start()
            if self._bar is not None:
                self._bar.update(self._task, total=self._total, completed=self._done)

    def close(self) -> None:
        """Take the bar away."""
        with self._lock, suppress(OSError):
            if self._bar is not None:
                self._bar.stop()
                self._bar = None


def _make_counter() -> Any:
    """How many of how many, and a bar: each answer may lead to more questions, so no time is foretold."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress

    return Progress(
        "{task.description}", BarColumn(), MofNCompleteColumn(), console=Console(stderr=True), transient=True
    )


class _Bar:
    """Rich's bar, made when the first bytes are announced: most commands move none.

    A terminal that is gone takes no work with it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._bar: Any = None
        self._task: Any = None
        self._total = 0

    def expect(self, size: int) -> None:
        """That many bytes more will travel."""
        with self._lock, suppress(OSError):
            self._total += size
            if self._bar is None:
                self._bar = _make()
                self._task = self._bar.add_task("copying", total=None)
                self._bar.start()
            self._bar.update(self._task, total=self._total)

    def advance(self, size: int) -> None:
        """That many bytes have travelled."""
        with self._lock, suppress(OSError):
            if self._bar is not None:
                self._bar.advance(self._task, size)

    def close(self) -> None:
        """Take the bar away."""
        with self._lock, suppress(OSError):
            if self._bar is not None:
                self._bar.stop()
                self._bar = None


def _make() -> Any:
    """Rate and remaining time always; where there is room, a bar and the amounts too."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    shown: tuple[ProgressColumn, ...] = (TaskProgressColumn(),)
    if console.width >= _ROOMY:
        shown = BarColumn(), DownloadColumn()
    return Progress(
        "{task.description}", *shown, TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True
    )
