"""Many lines that say the same of many images, as one: with their count, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

FEW = 3
"""So many images are named in the line itself; more are counted there, and named below it."""
MOST = 60
"""So many names are listed; of more, only how many there are."""
_HOLE = "\0"
_WORDS = re.compile(r"[\w-]+")


def fold(message: str, names: Sequence[str]) -> str:
    """The lines of a message, those put together that differ in the name of an image only.

    An indented line belongs to the one above it.

    >>> print(fold("a v1 cannot go\\nb v1 cannot go\\nno network", ["a", "b"]))
    a, b: v1 cannot go
    no network
    """
    groups: dict[str, list[str]] = {}
    known = _by_first_word(names)
    for block in _blocks(message):
        shape, name = _template(block, known)
        groups.setdefault(shape, []).append(name)
    return "\n".join(_told(shape, found) for shape, found in groups.items())


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


def _template(block: str, known: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """What a block says whatever the image is called, and how it is called; a block without a name stays as it is.

    ``known`` are the names by their first word: there may be thousands of both.
    """
    named = [
        (place, -len(name), name)
        for word in dict.fromkeys(_WORDS.findall(block))
        for name in known.get(word, ())
        if (place := next(_places(block, name), None)) is not None
    ]
    if not named:
        return block, ""
    _, _, name = min(named)
    return template(block, name), name


def _by_first_word(names: Iterable[str]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        for word in _WORDS.findall(name)[:1]:
            found.setdefault(word, []).append(name)
    return found


def _told(shape: str, names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    if len(unique) == 1 or _HOLE not in shape:
        return shape.replace(_HOLE, unique[0])
    if shape.startswith(_HOLE):
        joint = " " if shape[1:].startswith(" in ") else ": "
        text = f"{counted(unique)}{joint}{shape[1:].lstrip(': ')}"
        text = text.replace(_HOLE, "the image")
    else:
        text = shape.replace(_HOLE, counted(unique))
    if len(unique) <= FEW:
        return text
    first, newline, rest = text.partition("\n")
    return f"{first}\n  {listed(unique)}{newline}{rest}"
