"""One process: parse, run, tell, exit."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from datetime import datetime
from io import TextIOWrapper
from typing import TextIO

from msgspec.structs import replace

from tagflow.cli.commands import RELEASES
from tagflow.cli.plain import tags_as_typed
from tagflow.cli.session import ReaderGone, Session, output, signals, tell
from tagflow.errors import InternalError, Interrupted, TagflowError, UsageError

_VALUED = ("--policy", "--timeout")
_SHORT_VALUED = "fn"
"""Short options that take a value, beside -o."""


def guess_session(arguments: Sequence[str]) -> Session:
    """The command and the output format, as far as they can be read."""
    output: str | None = None
    command = ""
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            break
        if word == "--output":
            output = next(rest, output)
        elif word.startswith("--output="):
            output = word.removeprefix("--output=")
        elif word in _VALUED:
            next(rest, None)
        elif word.startswith("-") and not word.startswith("--"):
            output = _short(word[1:], rest) or output
        elif not word.startswith("-"):
            command = command or word
    return Session(command=command, output=output)


def _short(letters: str, rest: Iterator[str]) -> str | None:
    """The output format in a group of short options, ``-vojson`` or ``-vo json``."""
    for position, letter in enumerate(letters):
        value = letters[position + 1 :]
        if letter == "o":
            return value or next(rest, None)
        if letter in _SHORT_VALUED:
            if not value:
                next(rest, None)
            return None
    return None


READER_GONE = 141
"""The exit status where standard output was closed by who read it, as a shell tells of SIGPIPE."""


def prepare() -> None:
    """Make the process ready to run a command: signals are heard from now on."""
    gc.disable()  # until the command runs: what is imported stays, and looking through it again and again takes time
    _open_closed_streams()
    sys.stdout, sys.stderr = _buffered(sys.stdout), _buffered(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # what it still holds cannot be written: the next write tells
                stream.reconfigure(errors="backslashreplace")  # no name and no locale may end in a traceback
    signals.install()


def main(arguments: Sequence[str]) -> None:
    """Run tagflow in a process that is ready, and end it with its exit status."""
    status = run(arguments)
    # Whoever read standard output has seen enough, as with `tagflow history | head`; or it is full, which is told.
    if isinstance(_flushed(sys.stdout), BrokenPipeError) and status == 0:
        status = READER_GONE
    _flushed(sys.stderr)  # where that fails, the result of the command is the same
    if threading.active_count() > 1:
        # Requests that still wait for an answer after an interrupt must not keep the process.
        os._exit(status)
    sys.exit(status)


def _flushed(stream: TextIO) -> OSError | None:
    """Write what a stream still holds; what cannot be written is thrown away, or Python would end with 120 for it."""
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def _open_closed_streams() -> None:
    """Give whoever closed a standard stream (``>&-``) the null device, so that no other file takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open as long as the process


def _buffered(stream: TextIO) -> TextIO:
    """A stream with a buffer, where PYTHONUNBUFFERED has taken it away: without one, Python takes no notice of how much
    of a text the system took, and of a write that a signal interrupts, as the clock of :mod:`session` does, the rest
    is lost."""
    if not (isinstance(stream, TextIOWrapper) and stream.write_through):
        return stream
    return open(stream.fileno(), "w", encoding=stream.encoding, closefd=False)


def run(arguments: Sequence[str], now: Callable[[], datetime] | None = None) -> int:
    """Run one command line, by another clock if one is given; the exit status."""
    session = replace(guess_session(arguments), now=now)
    try:
        return _run(arguments, session)
    except TagflowError as error:
        # What an interrupt found half imported cannot always be imported again: then there is no hint.
        with suppress(Exception) if isinstance(error, Interrupted) else nullcontext():
            _advise(error, arguments, session)
        return session.fail(error, _result(error))
    except ReaderGone:
        return READER_GONE
    except KeyboardInterrupt:
        message = "interrupted: no environment or floating tag differs from before"
        return session.fail(Interrupted("run.interrupted", message))
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug gets one clear line too
        return session.fail(_bug(error))


def _advise(error: TagflowError, arguments: Sequence[str], session: Session) -> None:
    """With a hint that is made of what was typed; and told to a CI system."""
    from tagflow.cli.hints import put

    put(error, arguments, session.environ)
    if session.command in RELEASES:
        from tagflow.cli.ci import tell_failure

        tell_failure(error, session.environ, session.note)


def _run(arguments: Sequence[str], session: Session) -> int:
    if session.command == "tags" and "_TAGFLOW_COMPLETE" not in os.environ and tags_as_typed(arguments, session):
        return 0
    from typer._click.exceptions import ClickException, NoArgsIsHelpError
    from typer.main import get_command

    from tagflow.cli.app import app

    command = get_command(app)
    if "_TAGFLOW_COMPLETE" in os.environ or any(it.endswith("-completion") for it in arguments):
        from tagflow.cli.completion.shells import prepare, serve

        prepare()
        if serve(arguments):
            return 0
    try:
        with output() if "_TAGFLOW_COMPLETE" in os.environ else nullcontext():
            status = command.main(args=list(arguments), prog_name="tagflow", standalone_mode=False, obj=session)
    except NoArgsIsHelpError as error:
        tell(error.ctx.get_help() if error.ctx else "")
        return UsageError.exit_status
    except ClickException as error:
        raise _usage(error) from error
    if status == Interrupted.exit_status:  # Typer's word for a signal that came while it read the line
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0


def _usage(error: object) -> UsageError:
    from typer._click.exceptions import ClickException
    from typer._click.exceptions import UsageError as ClickUsageError

    assert isinstance(error, ClickException)
    path = error.ctx.command_path if isinstance(error, ClickUsageError) and error.ctx else "tagflow"
    return UsageError("usage.invalid", error.format_message(), hint=f"`{path} --help` shows how.")


def _bug(error: Exception) -> InternalError:
    if os.environ.get("TAGFLOW_DEBUG"):
        raise error
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{os.path.basename(last.tb_frame.f_code.co_filename)}:{last.tb_lineno}" if last else "?"
    return InternalError(
        "internal.bug",
        f"a bug in tagflow: {type(error).__name__} at {where}",
        hint="Run it again with TAGFLOW_DEBUG=1 and report what it prints.",
    )


def _result(error: TagflowError) -> object:
    if error.result is None:
        return None
    from tagflow.cli.documents import outcome
    from tagflow.domain.plan import Outcome

    return outcome(error.result) if isinstance(error.result, Outcome) else error.result
