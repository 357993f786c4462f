"""How a run ends from outside: Ctrl-C, a request to terminate, the total time limit."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tagflow.errors import Interrupted, PartlyApplied, StoreError, TagflowError

_GRACE = 1.0
"""Seconds past the limit. All waits know the limit and end by themselves; a vendor's library may not."""


class OutOfTime(KeyboardInterrupt):
    """The total time limit has passed, and something still waits. It goes the way of Ctrl-C."""


class _Signals:
    """What was asked from outside. The first signal interrupts, a second one ends the process at once."""

    def __init__(self) -> None:
        self._asked = self._speaking = False

    def install(self) -> None:
        """Hear Ctrl-C and SIGTERM from now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """The work is done, and its one document is being written: a first signal comes too late."""
        before, self._speaking = self._speaking, True
        try:
            yield
        finally:
            self._speaking = before

    def _stop(self, _signal: int, _frame: object) -> None:
        if self._asked:
            os._exit(Interrupted.exit_status)
        self._asked = True
        if not self._speaking:
            raise KeyboardInterrupt


signals = _Signals()


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Run a block for at most so many seconds (None: as long as it takes).

    :raises StoreError: ``run.timeout`` where it was interrupted for that.
    :raises PartlyApplied: where environment or floating tags differ by then.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    passed = False

    def ring(_signal: int, _frame: object) -> None:
        nonlocal passed
        passed = True
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)
    try:
        yield
    except OutOfTime:
        raise _overdue(None) from None
    except Interrupted as error:
        if passed:
            raise _overdue(error) from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _overdue(interrupted: Interrupted | None) -> TagflowError:
    told = interrupted.message.removeprefix("interrupted: ") if interrupted else ""
    message = "\n".join(filter(None, ("the time that --timeout gives is over", told)))
    error: TagflowError
    if interrupted and interrupted.details:
        hint, details = interrupted.hint, interrupted.details
        error = PartlyApplied("release.partly_applied", message, hint=hint, details=details)
    else:
        error = StoreError("run.timeout", message, hint="Allow more time with --timeout.")
    error.result = interrupted.result if interrupted else None
    return error
