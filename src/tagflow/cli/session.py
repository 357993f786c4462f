"""One run of a command: its options, how its result or error reaches the user, how it ends from outside."""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tagflow.cli.line import under
from tagflow.cli.text import clean, columns, escaped, is_fancy, styled, wrap
from tagflow.domain.times import parse_duration
from tagflow.errors import Interrupted, PartlyApplied, StoreError, TagflowError, UsageError

T = TypeVar("T")

_GRACE = 1.0
"""Seconds past the limit. All waits know the limit and end by themselves; a vendor's library may not."""
_GARBAGE = 10_000
"""Objects made before circles among them are looked for: a run leaves few, and ends soon. Python waits for 700."""
_TICK = 0.5
"""Seconds within which a signal is heard in any case."""


class OutOfTime(KeyboardInterrupt):
    """The total time limit has passed, and something still waits. It goes the way of Ctrl-C."""


class _Signals:
    """What was asked from outside. The first signal interrupts, a second one ends the process at once."""

    def __init__(self) -> None:
        self._asked, self._speaking = 0, False

    def install(self) -> None:
        """Hear Ctrl-C, SIGTERM and the end of the terminal from now on.

        Python acts on a signal between two of its instructions. One that comes right before a thread begins to wait
        for another one does not end that wait; one that the system gives to another thread neither. A timer does.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup has it ignored
                signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, lambda _signal, _frame: None)
        signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)  # Python's own end takes the handler away before

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """The work is done, and its one document is being written: a first signal comes too late."""
        before, self._speaking = self._speaking, True
        try:
            yield
        finally:
            self._speaking = before

    def _stop(self, number: int, _frame: object) -> None:
        if number == self._asked == signal.SIGHUP:
            return  # a terminal that goes away says so twice, by its shell and by the system
        if self._asked:
            os._exit(Interrupted.exit_status)
        self._asked = number
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
    end = time.monotonic() + seconds + _GRACE
    passed = False

    def look(_signal: int, _frame: object) -> None:
        nonlocal passed
        if not passed and time.monotonic() >= end:
            passed = True
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, look)
    timer = signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
    try:
        yield
    except OutOfTime:
        raise _overdue(None) from None
    except Interrupted as error:
        if passed:
            raise _overdue(error) from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def _overdue(interrupted: Interrupted | None) -> TagflowError:
    told = interrupted.message.removeprefix("interrupted: ") if interrupted else ""
    message = "\n".join(filter(None, ("the time that --timeout gives is over", told)))
    error: TagflowError
    if interrupted and interrupted.details:
        hint, details = interrupted.hint, interrupted.details
        error = PartlyApplied("release.partly_applied", message, hint=hint, details=details)
    else:
        more = "Allow more time with --timeout."
        if interrupted and interrupted.hint:  # what was begun may have other ways on than the same once more
            more = f"{interrupted.hint}\nWhere it is run again, allow more time with --timeout."
        error = StoreError("run.timeout", message, hint=more)
    error.result = interrupted.result if interrupted else None
    return error


DOCUMENT_VERSION = 1
PAGE = "https://github.com/tagflow/tagflow/blob/main/docs/errors.md"
"""Where every error code is explained, each under its own anchor."""
_LOGS = ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")
"""Set by systems that look for commands in the log of a job: GitHub Actions, Azure Pipelines, TeamCity."""
_COMMAND = re.compile(r"^\s*:(?=:)|#(?=#\w*\[)", re.MULTILINE)
"""The first half of what begins a command there: `::` at the beginning of a line, `##[`, `##vso[` anywhere in it."""


class ReaderGone(Exception):
    """Whoever read standard output has closed it. Not an OSError: Typer would end with 1 for that."""


def _inert(text: str, halves: str = r"\g<0> ") -> str:
    """Text in which a CI system finds no command, whoever wrote what is told: a blank parts the ``halves`` of it."""
    return _COMMAND.sub(halves, text) if any(map(os.environ.get, _LOGS)) else text


def tell(text: str, end: str = "\n") -> None:
    """Write to standard error. Where that cannot be written, nobody can be told so: what runs goes on all the same."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{_inert(text)}{end}")  # at one stroke: several threads tell
        sys.stderr.flush()


@contextmanager
def output() -> Iterator[None]:
    """Write to standard output within, and no more than that.

    :raises StoreError: ``output.unwritable``.
    :raises ReaderGone: where nobody reads it.
    """
    try:
        with signals.speaking():
            yield
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as exc:
        raise StoreError(
            "output.unwritable",
            f"standard output cannot be written: {exc.strerror}",
            hint="What the command did is done; `tagflow status` shows what runs where.",
        ) from exc


class Session(Struct, frozen=True):
    """The options that every command takes."""

    command: str = ""
    policy_file: str | None = None
    output: str | None = None
    verbose: bool = False
    timeout: str | None = None
    now: Callable[[], datetime] | None = None
    """The clock, where it is not that of this machine."""

    def merged(self, **given: Any) -> Session:
        """These options, with those given after the command on top."""
        return replace(self, **{name: value for name, value in given.items() if value not in (None, False)})

    def check(self) -> None:
        """Refuse options that no command can make sense of.

        :raises UsageError: ``usage.invalid``, ``duration.invalid``.
        """
        if self.output not in (None, "text", "json"):
            raise UsageError("usage.invalid", f"{self.output!r} is no output format", hint="Use text or json.")
        if self.timeout is not None and not parse_duration(self.timeout):
            raise UsageError("usage.invalid", "--timeout 0 leaves no time at all", hint="For example --timeout 90s.")

    def perform(self, work: Callable[[], None]) -> None:
        """Do what a command is for, in the time that it has.

        :raises TagflowError: what ``work`` raises; ``usage.invalid``, ``run.interrupted``, or as :func:`within`.
        """
        self.check()
        if not gc.isenabled():
            gc.freeze()
            gc.set_threshold(_GARBAGE)
            gc.enable()
        try:
            with within(self.patience):
                work()
        except KeyboardInterrupt:
            raise Interrupted(
                "run.interrupted",
                "interrupted: no environment or floating tag differs from before",
                hint="Run the same command again.",
            ) from None

    @property
    def patience(self) -> float | None:
        """Seconds for the whole run, or None for no limit."""
        return None if self.timeout is None else parse_duration(self.timeout).total_seconds()

    @property
    def is_json(self) -> bool:
        """Whether standard output carries one JSON document."""
        return self.output == "json"

    def emit(self, result: object, text: Callable[[], str], *, exact: bool = False) -> None:
        """Show a result: as one JSON document, or as text; ``exact`` where a program reads it to the last character.

        :raises StoreError: ``output.unwritable``.
        :raises ReaderGone: where nobody reads it.
        """
        shown = self._document(result, None, 0) if self.is_json else text()
        if not (exact or self.is_json):
            shown = _inert(shown)
        if not shown:
            return
        with output():
            print(shown, flush=True)

    def seen(self, look: Callable[[], T], document: Callable[[Any], object], text: Callable[[Any], str]) -> T:
        """What a look finds. Where something could not be looked at, the rest is shown before the error goes on."""
        try:
            return look()
        except TagflowError as error:
            rest = error.result
            if rest is not None:
                error.result = document(rest)
                if not self.is_json:
                    self.emit(None, lambda: text(rest))
            raise

    def note(self, message: str) -> None:
        """Tell the user something beside the result, on standard error."""
        tell(clean(under(self.policy_file, message)))

    def fail(self, error: TagflowError, result: object = None) -> int:
        """Tell of an error, and say the exit status."""
        if self.is_json and error.code != "output.unwritable":
            with contextlib.suppress(OSError), signals.speaking():  # the error itself is told on standard error
                print(self._document(result, error, error.exit_status), flush=True)
        fancy = is_fancy(sys.stderr)
        message = f"{styled('error', 'bold red', fancy)}[{error.code}]: {clean(error.message)}".splitlines()
        hints = [f"{styled('hint', 'cyan', fancy)}: {clean(line)}" for line in error.hint.splitlines()]
        if sys.stderr.isatty():  # elsewhere a line stays a line, for whoever searches in it
            message, hints = [_wrapped(line) for line in message], [_wrapped(line) for line in hints]
        more = [] if error.code == "usage.invalid" else [styled(f"more: {PAGE}#{error.code}", "dim", fancy)]
        is_github = self.environ.get("GITHUB_ACTIONS") == "true"
        tell("\n".join([*message, *more, *hints]), f"\n{annotation(error)}\n" if is_github else "\n")
        return error.exit_status

    def _document(self, result: object, error: TagflowError | None, status: int) -> str:
        document = {
            "tagflow": DOCUMENT_VERSION,
            "command": self.command,
            "ok": error is None,
            "exit_code": status,
            "result": result,
            "error": None if error is None else _error(error),
        }
        return _inert(escaped(json.dumps(document, indent=2, ensure_ascii=False)), r"\\u0023")

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables."""
        return os.environ


def _wrapped(line: str) -> str:
    """A line as the terminal has room for it; what was indented stays so."""
    indent = "  " if line.startswith("  ") else ""
    return indent + "\n  ".join(wrap(line, columns() - 2))


def annotation(error: TagflowError) -> str:
    """The line by which GitHub shows an error above the log ("Workflow commands for GitHub Actions")."""

    def data(text: str) -> str:
        return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    title = data(f"tagflow {error.code}").replace(":", "%3A").replace(",", "%2C")
    told = "\n".join(filter(None, (error.message, error.hint)))
    return f"::error title={title}::{data(told)}"


def _error(error: TagflowError) -> dict[str, object]:
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "details": [dict(detail) for detail in error.details],
    }
