"""Commands that the policy names: never by a shell, with a time limit, their output bounded, nothing of them left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO

from msgspec import Struct

_WITHHELD = ("TAGFLOW_REGISTRY_USERNAME", "TAGFLOW_REGISTRY_PASSWORD", "TAGFLOW_SIGN_")
"""With and without the name of a host behind them: push rights of tagflow itself. A command that logs in does so by
Docker's config or by variables of its own. Nor is it given the key that tagflow signs with."""
_GRACE = 1.0
"""Seconds between asking a command to end and ending it."""
_SLICE = 0.05
_CHUNK = 64 * 1024


class Command(Struct, frozen=True):
    """A program with its arguments, its environment variables, what it reads on standard input, and where it runs."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    given: bytes = b""
    directory: Path | None = None


class Ended(Struct, frozen=True):
    """How a command ended: ``status`` is None where it was stopped; ``output`` the end of what it printed; ``limit``
    the seconds that it was given."""

    status: int | None
    output: str
    limit: float


def run_command(
    command: Command, *, seconds: float, keep: int, deadline: float | None = None, stop: Event | None = None
) -> Ended:
    """Run a command to its end, at most ``seconds`` and not past the :func:`time.monotonic` time ``deadline``, or until
    ``stop`` is set: then it ends with all it has started.

    It has no terminal. At most ``keep`` bytes of its output (both streams) are kept in memory: the last ones. What it
    leaves running in the background is not waited for.

    :raises OSError: where it cannot be started.
    """
    began = time.monotonic()
    limit = seconds if deadline is None else max(0.0, min(seconds, deadline - began))
    with tempfile.TemporaryFile() as given:
        given.write(command.given)
        given.seek(0)
        process = _start(command, given)
    assert process.stdout is not None
    tail = _Tail(process.stdout, keep)
    try:
        status = _wait(process, began + limit, stop or Event())
        if status is None:
            _end(process)
    except BaseException:
        _end(process)
        raise
    return Ended(status, tail.text(), limit)


def _start(command: Command, given: IO[bytes]) -> subprocess.Popen[bytes]:
    kind, _, named = command.environ.get("TAGFLOW_SIGN_KEY", "").partition(":")
    withheld = {named} if kind == "env" else set()
    environ = {
        name: value
        for name, value in command.environ.items()
        if not name.startswith(_WITHHELD) and name not in withheld
    }
    try:
        return subprocess.Popen(
            command.argv,
            env=environ,
            cwd=command.directory,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A session of its own: no terminal to ask at, and one group to end with all that it starts.
            start_new_session=True,
        )
    except ValueError as exc:  # a NUL character, which no program can be given
        raise OSError(None, str(exc)) from exc
    except FileNotFoundError as exc:
        program = command.argv[0]
        here = os.path.join(command.directory or "", program) if "/" in program else program
        if shutil.which(here, path=environ.get("PATH")):
            # The system says the same of a script that is there and an interpreter that is not, `sh\r` for example.
            raise OSError(None, "the program that its first line names is not there") from exc
        raise


def _wait(process: subprocess.Popen[bytes], end: float, stop: Event) -> int | None:
    """The exit status; None where time is up or it is to stop."""
    while not stop.is_set() and time.monotonic() < end:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_SLICE)
    return process.poll()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then end it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # what runs as another user cannot be ended, and is not waited for
        process.wait(_GRACE)


class _Tail:
    """Reads a pipe to its end beside the command, so that it never waits for a reader; keeps the last bytes."""

    def __init__(self, pipe: IO[bytes], keep: int) -> None:
        self._pipe, self._keep, self._kept = pipe, keep, b""
        self._reader = Thread(target=self._read, name="tagflow-output", daemon=True)
        self._reader.start()

    def text(self) -> str:
        """What was printed last, without what a child left in the background may still print."""
        self._reader.join(_GRACE)
        return self._kept.decode(errors="replace").strip()

    def _read(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), _CHUNK):
                self._kept = (self._kept + chunk)[-self._keep :]
