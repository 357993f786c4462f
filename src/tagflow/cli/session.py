"""One run of a command: its global options, and how its result or error reaches the user."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tagflow.cli.ending import signals
from tagflow.cli.text import clean, columns, is_fancy, styled, wrap
from tagflow.domain.duration import parse_duration
from tagflow.errors import StoreError, TagflowError, UsageError

DOCUMENT_VERSION = 1


@dataclass(frozen=True)
class Session:
    """The options that every command takes."""

    command: str = ""
    policy_file: str | None = None
    output: str | None = None
    verbose: bool = False
    timeout: str | None = None

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

    @property
    def patience(self) -> float | None:
        """Seconds for the whole run, or None for no limit."""
        return None if self.timeout is None else parse_duration(self.timeout).total_seconds()

    @property
    def is_json(self) -> bool:
        """Whether standard output carries one JSON document."""
        return self.output == "json"

    def emit(self, result: object, text: Callable[[], str]) -> None:
        """Show a result: as one JSON document, or as text.

        :raises StoreError: ``output.unwritable``.
        """
        shown = self._document(result, None, 0) if self.is_json else text()
        if not shown:
            return
        try:
            with signals.speaking():
                print(shown, flush=True)
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise StoreError(
                "output.unwritable",
                f"standard output cannot be written: {exc.strerror}",
                hint="What the command did is done; `tagflow status` shows what runs where.",
            ) from exc

    def note(self, message: str) -> None:
        """Tell the user something beside the result, on standard error."""
        print(clean(message), file=sys.stderr)

    def fail(self, error: TagflowError, result: object = None) -> int:
        """Tell of an error, and say the exit status."""
        if self.is_json and error.code != "output.unwritable":
            with contextlib.suppress(OSError), signals.speaking():  # the error itself is told on standard error
                print(self._document(result, error, error.exit_status), flush=True)
        fancy = is_fancy(sys.stderr)
        told = f"{styled('error', 'bold red', fancy)}[{error.code}]: {clean(error.message)}"
        lines = told.splitlines()
        lines += [f"{styled('hint', 'cyan', fancy)}: {clean(line)}" for line in error.hint.splitlines()]
        if sys.stderr.isatty():  # elsewhere a line stays a line, for whoever searches in it
            lines = ["\n  ".join(wrap(line, columns() - 2)) for line in lines]
        print("\n".join(lines), file=sys.stderr)
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
        return json.dumps(document, indent=2, ensure_ascii=False)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables."""
        return os.environ


def _error(error: TagflowError) -> dict[str, object]:
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "details": [dict(detail) for detail in error.details],
    }
