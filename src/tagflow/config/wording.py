"""How mistakes are worded: places, kinds of values, examples, suggestions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from msgspec import inspect as shapes

from tagflow.config.nodes import Items, Node, Pairs

Path = tuple[str | int, ...]
"""Keys as written, and indices of lists."""

READ_AS = {"number": "a number", "boolean": "true or false", "null": "nothing", "date": "a date", "merge": "'<<'"}
_NOUNS: dict[type[shapes.Type], str] = {
    shapes.StructType: "a mapping",
    shapes.DictType: "a mapping",
    shapes.ListType: "a list",
    shapes.StrType: "text",
    shapes.BoolType: "true or false",
    shapes.IntType: "a whole number",
    shapes.DateType: "a date",
}


def suggestion(text: str, known: Iterable[str]) -> str:
    """A hint that names what was probably meant, or else what there is."""
    choices = list(known)
    close = get_close_matches(text, choices, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"There is: {', '.join(choices)}."


def shown(text: str) -> str:
    """A value in a message: quoted, one line, and not too long."""
    return repr(text if len(text) <= 60 else text[:57] + "…")


def bare(text: str) -> str:
    """A value in a message as it is written, where that is harmless."""
    return text if text and text.isprintable() and len(text) <= 60 else shown(text)


def where(path: Path) -> str:
    """The keys that lead to a value: ``environments.prod.soak``. Line and column tell list items apart."""
    if not path:
        return "the file"
    return ".".join(bare(part) for part in path if isinstance(part, str))


def inside(path: Path) -> str:
    """What a message about a key begins with: the mapping that it is in."""
    return f"{where(path)}: " if path else ""


def noun(shape: shapes.Type, notes: Mapping[str, Any]) -> str:
    """What is expected, in words; ``notes`` are the annotations of the type."""
    if isinstance(shape, shapes.LiteralType) and "title" not in notes:
        values = [str(value) for value in shape.values]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    return str(notes.get("title") or _NOUNS.get(type(shape), "something else"))


def describe(node: Node) -> str:
    """What stands there instead."""
    match node:
        case Pairs():
            return "a mapping"
        case Items():
            return "a list"
    return shown(node.text) if node.kind == "text" else READ_AS[node.kind]


def example(name: str, notes: Mapping[str, Any], shape: shapes.Type) -> str:
    """A hint that shows a right value, after the key ``name`` if there is one; nothing without an example."""
    examples: Sequence[Any] = notes.get("examples") or ()
    if not examples and isinstance(shape, shapes.LiteralType):
        examples = shape.values
    if not examples:
        return ""
    return f"For example {name + ': ' if name else ''}{_flow(examples[0])}."


def _flow(value: Any) -> str:
    """An example in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = str(value)
    return f'"{text}"' if text.startswith("{") else text
