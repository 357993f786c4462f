"""Many lines that say the same of many images, as one: with their count, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

FEW = 3
"""So many images are named in the line itself; more are counted there, and named below it."""
MOST = 60
"""So many names are listed; of more, only how many there are."""
_HOLE = "\0"


def fold(message: str, names: Sequence[str]) -> str:
    """The lines of a message, those put together that differ in the name of an image only.

    An indented line belongs to the one above it.

    >>> print(fold("a v1 cannot go\\nb v1 cannot go\\nno network", ["a", "b"]))
    a, b: v1 cannot go
    no network
    """
    groups: dict[str, list[str]] = {}
    for block in _blocks(message):
        template, name = _template(block, names)
        groups.setdefault(template, []).append(name)
    return "\n".join(_told(template, found) for template, found in groups.items())


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


def _blocks(message: str) -> Iterable[str]:
    block: list[str] = []
    for line in message.splitlines():
        if block and not line.startswith(" "):
            yield "\n".join(block)
            block = []
        block.append(line)
    if block:
        yield "\n".join(block)


def _template(block: str, names: Sequence[str]) -> tuple[str, str]:
    """What a block says whatever the image is called, and how it is called; a block without a name stays as it is."""
    for name in sorted(_named(block, names), key=lambda it: (block.index(it), -len(it))):
        return _whole(name).sub(_HOLE, block), name
    return block, ""


def _named(block: str, names: Sequence[str]) -> list[str]:
    words = set(re.findall(r"[\w./-]+", block))
    return [name for name in names if name in words and _whole(name).search(block)]


def _whole(name: str) -> re.Pattern[str]:
    """A name that is no part of another word."""
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")


def _told(template: str, names: Sequence[str]) -> str:
    if len(names) == 1 or _HOLE not in template:
        return template.replace(_HOLE, names[0])
    unique = list(dict.fromkeys(names))
    if template.startswith(_HOLE):
        text = f"{counted(unique)}: {template[1:].lstrip(': ')}"
        text = text.replace(_HOLE, "the image")
    else:
        text = template.replace(_HOLE, counted(unique))
    if len(unique) <= FEW:
        return text
    first, newline, rest = text.partition("\n")
    return f"{first}\n  {listed(unique)}{newline}{rest}"
