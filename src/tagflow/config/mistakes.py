"""What is wrong with a policy: where, what, and what to do. All of it is collected, then told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from tagflow.errors import UsageError

INVALID = "policy.invalid"


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file; line and column count from 1. ``order`` is the file's turn among those that were loaded."""

    order: int
    file: str = field(compare=False)
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that is wrong, as a sentence without a full stop, and a hint of whole sentences (or none)."""

    mark: Mark
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.mark}: {self.message}" + (f". {self.hint}" if self.hint else "")


class Mistakes:
    """Collects; each is told once."""

    def __init__(self) -> None:
        self._found: dict[Mistake, None] = {}

    def add(self, mark: Mark, message: str, hint: str = "") -> None:
        """Note that something is wrong at a place."""
        self._found[Mistake(mark, message, hint)] = None

    def add_error(self, mark: Mark, error: UsageError) -> None:
        """Note that a value at a place was refused by whoever reads it."""
        self.add(mark, error.message, error.hint)

    def __len__(self) -> int:
        return len(self._found)

    def error(self) -> UsageError:
        """All of them as one error: a line each, in the order of the files; ``details`` carry the parts."""
        found = sorted(self._found)
        return UsageError(
            INVALID,
            "\n".join(map(str, found)),
            details=[
                {
                    "file": mistake.mark.file,
                    "line": mistake.mark.line,
                    "column": mistake.mark.column,
                    "message": mistake.message,
                    "hint": mistake.hint,
                }
                for mistake in found
            ],
        )
