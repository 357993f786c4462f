"""A warm process that forks tagflow: real processes, without the half second in which each would import the same.

``python -m tests.race.nursery`` reads orders from its standard input, a JSON document a line: to start a command, or to
kill one. On its standard output it says how each ended. :class:`Nursery` is who gives the orders.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

from tests.race.child import install
from tests.warm import be_tagflow, warm_up

ROOT = Path(__file__).parents[2]
_READY = 0
"""The number of what is no run: it says that all is imported."""
_WARM = 600.0
"""Seconds within which it is, however busy the machine."""
_STANDARD = (("stdin", os.O_RDWR), ("out", os.O_WRONLY), ("err", os.O_WRONLY))


class Nursery:
    """Starts tagflow again and again. Each run has a number; one thread waits, any may kill."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.race.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        self._lines = _lines(self._process.stdout.fileno()) if self._process.stdout else iter(())
        self._writing = Lock()
        self._statuses: dict[int, int] = {}
        self._count = 0
        self.wait(_READY, _WARM)

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        out: Path,
        err: Path | str,
        stdin: str = os.devnull,
    ) -> int:
        """Start a command; its number."""
        self._count += 1
        where = {"folder": str(folder), "environ": dict(environ), "out": str(out), "err": str(err), "stdin": stdin}
        self._order({"start": self._count, "arguments": list(arguments), **where})
        return self._count

    def kill(self, number: int) -> None:
        """SIGKILL; nothing where it has ended."""
        self._order({"kill": number})

    def wait(self, number: int, patience: float) -> int:
        """The exit status of a command, or -N where signal N ended it."""
        assert self._process.stdout is not None
        end = time.monotonic() + patience
        while number not in self._statuses:
            ready, _, _ = select.select([self._process.stdout], [], [], max(end - time.monotonic(), 0))
            assert ready, f"run {number} does not end"
            self._hear()
        return self._statuses[number]

    def has_ended(self, number: int) -> bool:
        """Whether a command has ended, as far as was heard."""
        return number in self._statuses

    def stop(self) -> None:
        """End it, and what it started."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def _order(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._writing:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def _hear(self) -> None:
        for line in next(self._lines):
            number, status = json.loads(line)
            self._statuses[number] = status


def _lines(descriptor: int) -> Iterator[list[bytes]]:
    """The whole lines of each read."""
    rest = b""
    while read := os.read(descriptor, 1 << 16):
        *lines, rest = (rest + read).split(b"\n")
        yield lines


# --- in the warm process ---------------------------------------------------------------------------------------------


def main() -> None:
    """Import all of tagflow, then do what is ordered until nobody orders any more."""
    warm_up()
    os.write(1, json.dumps([_READY, 0]).encode() + b"\n")
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    orders = _lines(0)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 1 << 10)
            _reap(running)
        if 0 not in ready:
            continue
        lines = next(orders, None)
        if lines is None:
            break
        for order in map(json.loads, lines):
            if "kill" in order:
                _kill(running, order["kill"])
            elif (pid := os.fork()) == 0:
                _become(order)
            else:
                running[pid] = order["start"]
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _reap(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        said = json.dumps([running.pop(pid), os.waitstatus_to_exitcode(status)])
        os.write(1, said.encode() + b"\n")


def _kill(running: Mapping[int, int], number: int) -> None:
    for pid, of in running.items():
        if of == number:
            os.kill(pid, signal.SIGKILL)


def _become(order: Mapping[str, Any]) -> NoReturn:
    """Be the command, from here to its end; a session of its own, so that ``stdin`` may be its terminal."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, (name, mode) in enumerate(_STANDARD):
        opened = os.open(order[name], mode | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    install(order["environ"])
    be_tagflow(order["arguments"], order["folder"], order["environ"])


if __name__ == "__main__":
    main()
