"""Text for people: lines that say the same as one, colour, tables that fit, times, nothing smuggled in by a name."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import TextIO
from unicodedata import combining, east_asian_width

FEW = 3
"""So many images are named in the line itself; more are counted there, and named below it."""
MOST = 60
"""So many names are listed; of more, only how many there are."""
_HOLE, _PART = "\0", "\1"
"""Where the name of an image stood: as a word, and as a part of a path."""
_WORDS = re.compile(r"[\w-]+")
_QUOTED = re.compile(r"`[^`]*`")


def fold(message: str, names: Sequence[str]) -> str:
    """The lines of a message, those put together that differ in the name of an image only.

    An indented line belongs to the one above it. What cannot be said of several in the same words stays apart.

    >>> print(fold("a v1 cannot go\\nb v1 cannot go\\nno network", ["a", "b"]))
    a, b: v1 cannot go
    no network
    """
    groups: dict[str, list[str]] = {}
    known = by_first_word(names)
    for block in _blocks(message):
        shape, name = shaped(block, known)
        if _HOLE not in shape:  # nothing in it could name the images
            shape, name = block, ""
        groups.setdefault(shape, []).append(name)
    return "\n".join(told_of(shape, found) for shape, found in groups.items())


def counted(names: Sequence[str]) -> str:
    """How many images, or which, where they are few.

    >>> counted(["a", "b"]), counted(list("abcd"))
    ('a, b', '4 images')
    """
    return ", ".join(names) if len(names) <= FEW else f"{len(names)} images"


def listed(names: Sequence[str]) -> str:
    """The names, as many as can be read."""
    rest = len(names) - MOST
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:MOST])}, … {rest} more"


def template(text: str, name: str) -> str:
    """A text with a hole where the name of an image stands: equal for images of which the same is said."""
    parts, begin = [], 0
    for at in _places(text, name):
        parts.append(text[begin:at])
        begin = at + len(name)
    return _HOLE.join([*parts, text[begin:]])


def _places(text: str, name: str) -> Iterator[int]:
    """Where a name stands that is no part of another word."""
    at = text.find(name) if name else -1
    while at >= 0:
        around = text[at - 1 : at] + text[at + len(name) : at + len(name) + 1]
        if not any(it.isalnum() or it in "_-" for it in around):
            yield at
        at = text.find(name, at + len(name))


def _blocks(message: str) -> Iterable[str]:
    block: list[str] = []
    for line in message.splitlines():
        if block and not line.startswith(" "):
            yield "\n".join(block)
            block = []
        block.append(line)
    if block:
        yield "\n".join(block)


def shaped(block: str, known: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """What a block says whatever the image is called, and how it is called; a block without a name stays as it is, and
    so does one that would be garbled with another name, or several, put in: in a command, in quotes, in a reference.

    ``known`` are the names by their first word: there may be thousands of both.
    """
    named = [
        (not _is_word(block, places[0], name), places[0], -len(name), name)
        for word in dict.fromkeys(_WORDS.findall(block))
        for name in known.get(word, ())
        if (places := sorted(_places(block, name), key=lambda at: (not _is_word(block, at, name), at)))
    ]
    if not named:
        return block, ""
    *_, name = min(named)
    parts, begin = [], 0
    quoted = [match.span() for match in _QUOTED.finditer(block)]
    for at in _places(block, name):
        hole = _HOLE if _is_word(block, at, name) else _PART if _in_path(block, at, name) else ""
        if not hole or any(first <= at < last for first, last in quoted):
            return block, ""
        parts += [block[begin:at], hole]
        begin = at + len(name)
    return "".join([*parts, block[begin:]]), name


def nameless(text: str, name: str) -> str:
    """A text about one of many images that says the same of each: ``the image`` for the word, NAME in a path.

    >>> nameless("web is in oci:reg/web:v1", "web")
    'the image is in oci:reg/NAME:v1'
    """
    parts, begin = [], 0
    for at in _places(text, name):
        parts += [text[begin:at], "the image" if _is_word(text, at, name) else _ANY]
        begin = at + len(name)
    return "".join([*parts, text[begin:]])


_ANY = "NAME"
"""What stands for each of several names where only one can stand, as in the help of the commands."""


def _is_word(text: str, at: int, name: str) -> bool:
    """Whether a name stands for itself: between blanks, perhaps with a sign of the sentence behind it."""
    behind = text[at + len(name) :].split(None, 1)[0] if text[at + len(name) : at + len(name) + 1].strip() else ""
    return (at == 0 or text[at - 1] in " \n(") and not behind.strip(",;:.)")


def _in_path(text: str, at: int, name: str) -> bool:
    """Whether a name is a part of an address, ``oci:reg/NAME:v1``: one that another name can stand in."""
    return text[at - 1 : at] == "/" or text[at + len(name) : at + len(name) + 1] == "/"


def by_first_word(names: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """The names of images by the word that each begins with, for :func:`shaped`."""
    found: dict[str, list[str]] = {}
    for name in names:
        for word in _WORDS.findall(name)[:1]:
            found.setdefault(word, []).append(name)
    return found


def told_of(shape: str, names: Sequence[str]) -> str:
    """What is said of several images: they are named where the first of them was named as a word."""
    unique = list(dict.fromkeys(names))
    if len(unique) == 1:
        return shape.replace(_HOLE, unique[0]).replace(_PART, unique[0])
    shape = shape.replace(_PART, _ANY)
    if _HOLE not in shape:
        return shape
    before, _, after = shape.partition(_HOLE)
    after = after.replace(_HOLE, "the image")
    if before:
        text = f"{before}{counted(unique)}{after}"
    elif after.startswith(" has "):
        text = f"{counted(unique)} have {after.removeprefix(' has ')}"
    else:
        joint = " " if after.startswith(" in ") else ": "
        text = f"{counted(unique)}{joint}{after.lstrip(': ')}"
    if len(unique) <= FEW:
        return text
    first, newline, rest = text.partition("\n")
    return f"{first}\n  {listed(unique)}{newline}{rest}"


_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but for tab and line feed, DEL, C1
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line and paragraph separators, directions (UAX 9)
    r"\u200b\u2060-\u2064\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"  # what nobody sees: no width, tag characters
)
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_WORD = re.compile(r"(?:`[^`]*`|\S)+")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


_LEAST = 10
"""Columns for a value in a block; with fewer, the terminal wraps."""


def clean(text: str) -> str:
    """Text from outside, with control and direction characters made visible: it cannot move the cursor or lie."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def escaped(document: str) -> str:
    """JSON in which these characters, which stand in strings only, are written by their numbers (RFC 8259, 7)."""

    def units(match: re.Match[str]) -> str:
        both = match[0].encode("utf-16-be")
        return "".join(f"\\u{both[at] << 8 | both[at + 1]:04x}" for at in range(0, len(both), 2))

    return _CONTROL.sub(units, document)


def cell(text: str) -> str:
    """The same for one cell of a table or one line: a line break cannot add a row that nobody wrote."""
    return clean(text).replace("\n", "\\x0a").replace("\t", "\\x09")


def is_fancy(stream: TextIO) -> bool:
    """Whether a stream shows colour: a terminal that is not dumb, unless NO_COLOR is set (no-color.org).

    FORCE_COLOR asks for it where nobody can know (force-color.org), as in the log of a CI system; NO_COLOR is stronger.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return os.environ["FORCE_COLOR"] not in ("0", "false")
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, fancy: bool) -> str:
    """Text in a style (words of bold, dim, red, green, yellow, cyan), or as it is."""
    if not fancy or not style:
        return text
    return "".join(f"\x1b[{_CODES[word]}m" for word in style.split()) + text + "\x1b[0m"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], fancy: bool, *, spare: Sequence[str] = (), last: int = 14
) -> str:
    """Columns as kubectl writes them, the last one wrapped at words to ``last`` columns at the least.

    Where the terminal is narrower, the columns in ``spare`` are left out, first the first. Where even that is too wide,
    the first column becomes a heading over the rows that share it, and only now the last of ``spare`` may go; in the
    end each row becomes a block of lines.
    """
    for headed in (False, True):
        shown = list(range(int(headed), len(header)))
        for title in ("", *(spare if headed else spare[:-1])):
            shown = [column for column in shown if header[column] != title]
            cells = [[styled(header[column], "bold", fancy) for column in shown]]
            cells += [[row[column] for column in shown] for row in rows]
            lines = _laid(cells, columns() - 2 * headed, last)
            if lines:
                return "\n".join(_headed(rows, lines, fancy) if headed else lines)
    return "\n".join(_block(header, row, fancy) for row in rows)


def _laid(cells: Sequence[Sequence[str]], room: int, last: int) -> list[str]:
    """A text for each row, with line breaks where its last cell wraps; nothing where they do not fit."""
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    before = sum(widths[:-1]) + 2 * (len(widths) - 1)
    if before + min(widths[-1], last) > room:
        return []
    indent = "\n" + " " * before
    return [
        "".join(pad(cell, wide) + "  " for cell, wide in zip(row, widths[:-1], strict=False))
        + indent.join(wrap(row[-1], room - before))
        for row in cells
    ]


def _headed(rows: Sequence[Sequence[str]], lines: Sequence[str], fancy: bool) -> Iterator[str]:
    indented = ["  " + line.replace("\n", "\n  ").rstrip() for line in lines]
    yield indented[0]
    for heading, members in groupby(zip(rows, indented[1:], strict=True), key=lambda pair: pair[0][0]):
        yield styled(heading, "bold", fancy)
        yield from (line for _, line in members)


def columns() -> int:
    """The width of the terminal; generous where there is none, for logs wrap by themselves."""
    return shutil.get_terminal_size((200, 24)).columns


def _block(header: Sequence[str], row: Sequence[str], fancy: bool) -> str:
    wide = max(map(len, header[1:]))
    indent = "\n" + " " * (wide + 4)
    room = columns() - wide - 4
    lines = [styled(row[0], "bold", fancy)]
    for title, cell in zip(header[1:], row[1:], strict=True):
        if cell:
            value = indent.join(wrap(cell, room)) if room >= _LEAST else cell
            lines.append(f"  {title.ljust(wide)}  {value}")
    return "\n".join(lines)


def pad(cell: str, wide: int) -> str:
    """A text and blanks, so that it takes that many columns."""
    return cell + " " * (wide - width(cell))


def width(text: str) -> int:
    """Columns that a text takes in a terminal: wide characters (UAX 11) take two, those that combine none."""
    plain = _ESCAPE.sub("", text)
    if plain.isascii():
        return len(plain)
    return sum(0 if combining(it) else 2 if east_asian_width(it) in "WF" else 1 for it in plain)


def hung(text: str, indent: int) -> str:
    """A text that begins at column ``indent`` of the terminal, and stays to the right of it."""
    room = columns() - indent
    return ("\n" + " " * indent).join(wrap(text, room)) if room >= _LEAST else text


def fitted(line: str, indent: int) -> str:
    """A line as it is, its columns too, where there is room for it; else what goes on below it is indented."""
    begin = line[: len(line) - len(line.lstrip())]
    return line if width(line) <= columns() else begin + hung(line.lstrip(), indent)


def wrap(text: str, room: int) -> list[str]:
    """The lines of a text, at most ``room`` columns each, broken at blanks, or anywhere in a word that is longer.

    A command between backticks stays whole, so that it can be copied: the terminal breaks it where it must.
    """
    lines = [""]
    for word in _WORD.findall(text):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width(joined) <= room:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in [word] if _ESCAPE.search(word) or "`" in word else word:
            if lines[-1] and width(lines[-1] + letter) > room:
                lines.append("")
            lines[-1] += letter
    return lines


def minute(moment: datetime | None) -> str:
    """``2026-11-25 21:31Z``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z" if moment else "-"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, roughly: ``2d``."""
    if since is None:
        return "-"
    seconds = max(int((now - since).total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
