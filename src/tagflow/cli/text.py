"""Text for people: colour where it is welcome, tables that fit, nothing that a hostile name could smuggle in."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from typing import TextIO

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


_LAST = 14
"""Characters of the last column that must fit: it may hold a sentence, which wraps."""


def clean(text: str) -> str:
    """Text from outside, with control and direction characters made visible: it cannot move the cursor or lie."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def is_fancy(stream: TextIO) -> bool:
    """Whether a stream shows colour: a terminal, unless NO_COLOR is set (no-color.org) or it is dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, fancy: bool) -> str:
    """Text in a style (words of bold, dim, red, green, yellow, cyan), or as it is."""
    if not fancy or not style:
        return text
    return "".join(f"\x1b[{_CODES[word]}m" for word in style.split()) + text + "\x1b[0m"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], fancy: bool, *, spare: Sequence[str] = ()) -> str:
    """Columns as kubectl writes them.

    Where the terminal is narrower, the columns in ``spare`` are left out, first the first; where even that is too
    wide, each row becomes a block of lines.
    """
    shown = list(range(len(header)))
    for title in (*spare, None):
        cells = [[styled(header[column], "bold", fancy) for column in shown]]
        cells += [[row[column] for column in shown] for row in rows]
        widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
        if sum(widths[:-1]) + 2 * (len(widths) - 1) + min(widths[-1], _LAST) <= columns():
            return "\n".join(_line(row, widths) for row in cells)
        if title is not None:
            shown.remove(header.index(title))
    return "\n".join(_block(header, row, fancy) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()


def columns() -> int:
    """The width of the terminal; generous where there is none, for logs wrap by themselves."""
    return shutil.get_terminal_size((200, 24)).columns


def _block(header: Sequence[str], row: Sequence[str], fancy: bool) -> str:
    width = max(map(len, header[1:]))
    lines = [styled(row[0], "bold", fancy)]
    lines += [f"  {title.ljust(width)}  {cell}" for title, cell in zip(header[1:], row[1:], strict=True) if cell]
    return "\n".join(lines)


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(cell: str) -> int:
    return len(_ESCAPE.sub("", cell))
