"""A shell at a terminal, typed into as a person does."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 60
"""Seconds until an answer must be there."""
_CODES = re.compile(r"\x1b\[[0-9;?>=]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b\][^\x07]*\x07|\x1b[=>78]")


@dataclass
class Terminal:
    """The far end of a pseudo terminal."""

    _descriptor: int
    text: str = ""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._descriptor, text.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """What matches in the text shown since the last match, without control sequences."""
        end = time.monotonic() + _PATIENCE
        while not (found := re.search(pattern, _CODES.sub("", self.text).replace("\r", "\n"), re.M)):
            ready, _, _ = select.select([self._descriptor], [], [], max(end - time.monotonic(), 0))
            assert ready, f"{pattern!r} does not come: {self.text!r}"
            self.text += os.read(self._descriptor, 1 << 16).decode(errors="replace")
        self.text = ""
        return found


@contextmanager
def terminal(arguments: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program at a terminal of its own; it is ended afterwards."""
    process, descriptor = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(arguments[0], list(arguments), dict(environ))
    try:
        yield Terminal(descriptor)
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(descriptor)
