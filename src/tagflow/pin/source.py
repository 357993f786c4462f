"""A deployment file as text that can be written back byte for byte, and where things stand in it."""

from __future__ import annotations

import codecs
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tagflow.errors import UsageError

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
"""Byte order marks (YAML 1.2, 5.2). PowerShell's redirection writes the second."""


@dataclass(frozen=True)
class Problem:
    """What stops a file from being pinned: where (line and column count from 1), what, and what to do."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}" + (f". {self.hint}" if self.hint else "")


def unsupported(problems: Iterable[Problem]) -> UsageError:
    """All problems as one error, ``pin.unsupported``: a line each; ``details`` carry the parts."""
    found = list(dict.fromkeys(problems))
    return UsageError(
        "pin.unsupported",
        "\n".join(map(str, found)),
        hint="Nothing was written.",
        details=[
            {"file": it.file, "line": it.line, "column": it.column, "message": it.message, "hint": it.hint}
            for it in found
        ],
    )


@dataclass(frozen=True)
class Source:
    """A file: ``name`` as its user calls it, the byte order ``mark`` it begins with, its ``encoding``, its ``text``.

    Line ends are as in the file.
    """

    name: str
    mark: bytes
    encoding: str
    text: str

    def encode(self, text: str) -> bytes:
        """Another text in the encoding of this file."""
        return self.mark + text.encode(self.encoding)

    def line(self, offset: int) -> int:
        """The line, from 1, in which a character stands; lines end as editors have it: LF, CRLF or CR."""
        return bisect_right(self._lines, offset)

    def problem(self, offset: int, message: str, hint: str = "") -> Problem:
        """A problem at a character."""
        line = self.line(offset)
        return Problem(self.name, line, offset - self._lines[line - 1] + 1, message, hint)

    @cached_property
    def _lines(self) -> list[int]:
        """The offset at which each line begins."""
        begins = [0]
        end, text = len(self.text), self.text
        position = 0
        while position < end:
            feed, back = text.find("\n", position), text.find("\r", position)
            feed, back = (feed if feed >= 0 else end), (back if back >= 0 else end)
            if feed == back:
                break
            position = min(feed, back) + 1
            if back + 1 == feed:  # CRLF
                position += 1
            begins.append(position)
        return begins


def decode(name: str, content: bytes) -> Source:
    """Read the bytes of a file.

    :raises UsageError: ``pin.unsupported`` where it is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    mark, encoding = next(((mark, encoding) for mark, encoding in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as exc:
        good = Source(name, mark, encoding, content[len(mark) : len(mark) + exc.start].decode(encoding, "replace"))
        hint = "Save the file as UTF-8."
        raise unsupported([good.problem(len(good.text), f"this is not {encoding.upper()}", hint)]) from exc
    return Source(name, mark, encoding, text)
