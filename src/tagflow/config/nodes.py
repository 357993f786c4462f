"""YAML text → a tree of nodes that know where they stand, and the mistakes that are told at such places.

The tree is built from parser events instead of with ``yaml.compose``: that recurses in C without a bound, so that a
few kilobytes of ``[`` would end the process. Aliases share the node that they name; its size counts again, so that
a "billion laughs" document is refused before anything walks it.

The classes are msgspec's, not dataclasses: a policy is read at every start, and those take far longer to be made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import yaml
from msgspec import Struct
from yaml.reader import Reader

from tagflow.errors import UsageError

INVALID = "policy.invalid"


class Mark(Struct, frozen=True, order=True):
    """A place in a file; line and column count from 1. ``order`` is the file's turn among those that were loaded."""

    order: int
    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Mistake(Struct, frozen=True, order=True):
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

    def has(self, mark: Mark) -> bool:
        """Whether something is wrong at a place."""
        return any(mistake.mark == mark for mistake in self._found)

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


Kind = Literal["text", "number", "boolean", "null", "date", "merge"]

DEEPEST = 32
LARGEST = 200_000
"""Nodes in one document, those behind an alias counted each time."""

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_KINDS: dict[str, Kind] = {
    f"{_CORE}str": "text",
    f"{_CORE}value": "text",
    f"{_CORE}int": "number",
    f"{_CORE}float": "number",
    f"{_CORE}bool": "boolean",
    f"{_CORE}null": "null",
    f"{_CORE}timestamp": "date",
    f"{_CORE}merge": "merge",
}
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_TAGS = "Tags are not supported here; remove it."


class Scalar(Struct, frozen=True):
    """A single value as written; ``kind`` is what YAML takes it for."""

    mark: Mark
    text: str
    kind: Kind
    size: int = 1


class Items(Struct, frozen=True):
    """A list."""

    mark: Mark
    items: tuple[Node, ...]
    size: int


class Pairs(Struct, frozen=True):
    """A mapping, in order, without duplicates; merge keys (``<<``) are resolved."""

    mark: Mark
    pairs: tuple[tuple[Scalar, Node], ...]
    size: int


Node = Scalar | Items | Pairs


class _Broken(Exception):
    """The text cannot be read any further; the mistake is noted."""


def parse(text: str, mark: Mark, mistakes: Mistakes) -> Node | None:
    """The tree of the one document in ``text``; None, and a mistake noted, where it is no YAML.

    ``mark`` is the beginning of the file.
    """
    wrong = Reader.NON_PRINTABLE.search(text)
    if wrong is not None:
        mistakes.add(_at(text, wrong.start(), mark), f"the character {wrong[0]!a} is not allowed in YAML")
        return None
    builder = _Builder(text, mark, mistakes)
    try:
        return builder.document()
    except _Broken:
        return None
    except yaml.YAMLError as exc:
        place = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
        mistakes.add(builder.mark(place), f"this is not YAML: {_reason(exc)}", _advice(exc, text, place))
        return None
    finally:
        builder.close()


class _Builder:
    def __init__(self, text: str, start: Mark, mistakes: Mistakes) -> None:
        self._loader = _LOADER(text)
        self._start = start
        self._mistakes = mistakes
        self._anchors: dict[str, Node] = {}

    def close(self) -> None:
        self._loader.dispose()

    def mark(self, place: Any) -> Mark:
        if place is None:
            return self._start
        return Mark(self._start.order, self._start.file, place.line + 1, place.column + 1)

    def document(self) -> Node | None:
        self._loader.get_event()
        if self._loader.check_event(yaml.StreamEndEvent):
            self._empty()
            return None
        self._loader.get_event()
        node = self._node(0)
        self._loader.get_event()
        if isinstance(node, Scalar) and node.kind == "null":  # `---`, and nothing behind it
            self._empty()
            return None
        if not self._loader.check_event(yaml.StreamEndEvent):
            place = self.mark(self._loader.peek_event().start_mark)
            self._mistakes.add(place, "a second document begins here", "Keep one document in a file.")
        return node

    def _empty(self) -> None:
        is_included = self._start.order > 0
        hint = "It lists `images`, or take it out." if is_included else "`tagflow init` writes one to begin with."
        self._mistakes.add(self._start, "the file is empty", hint)

    def _node(self, depth: int) -> Node:
        event = self._loader.get_event()
        mark = self.mark(event.start_mark)
        if depth > DEEPEST:
            raise self._broken(mark, f"this is nested more than {DEEPEST} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(str(event.anchor), mark)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            self._printable(event.value, mark)
            node = Scalar(mark, event.value, self._kind(event, mark))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._collection_tag(event.tag, "seq", mark)
            items = tuple(self._items(depth))
            node = Items(mark, items, self._size(mark, items))
        else:
            self._collection_tag(event.tag, "map", mark)
            node = self._mapping(mark, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, anchor: str, mark: Mark) -> Node:
        node = self._anchors.get(anchor)
        if node is None:
            raise self._broken(mark, f"no anchor &{anchor} stands before the alias *{anchor}")
        return node

    def _items(self, depth: int) -> Iterator[Node]:
        while not self._loader.check_event(yaml.SequenceEndEvent):
            yield self._node(depth + 1)
        self._loader.get_event()

    def _mapping(self, mark: Mark, depth: int) -> Pairs:
        own: dict[str, tuple[Scalar, Node]] = {}
        merged: dict[str, tuple[Scalar, Node]] = {}
        merge: Scalar | None = None
        while not self._loader.check_event(yaml.MappingEndEvent):
            key, value = self._node(depth + 1), self._node(depth + 1)
            if not isinstance(key, Scalar):
                self._mistakes.add(key.mark, "a key is one name, not a list or mapping")
            elif key.kind == "merge":
                if merge is not None:
                    self._twice(key, merge, "Write one: <<: [*a, *b].")
                merge = merge or key
                for pair in self._merged(value):
                    merged.setdefault(pair[0].text, pair)
            elif key.text in own:
                self._twice(key, own[key.text][0], "Keep one.")
            else:
                own[key.text] = key, value
        self._loader.get_event()
        pairs = tuple((merged | own).values()) if merged else tuple(own.values())
        return Pairs(mark, pairs, self._size(mark, (value for _, value in pairs)))

    def _twice(self, key: Scalar, first: Scalar, hint: str) -> None:
        place = f"line {first.mark.line}, column {first.mark.column}"
        self._mistakes.add(key.mark, f"the key {key.text!r} stands here twice, first in {place}", hint)

    def _merged(self, value: Node) -> Iterator[tuple[Scalar, Node]]:
        for part in value.items if isinstance(value, Items) else (value,):
            if isinstance(part, Pairs):
                yield from part.pairs
            else:
                self._mistakes.add(part.mark, "'<<' takes over the keys of a mapping, and this is none")

    def _printable(self, text: str, mark: Mark) -> None:
        wrong = _UNPRINTABLE.search(text)
        if wrong is not None:
            self._mistakes.add(mark, f"this text contains the control character {wrong[0]!a}", "Remove it.")

    def _kind(self, event: Any, mark: Mark) -> Kind:
        if event.tag is None or event.tag == "!":
            return _KINDS.get(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit), "text")
        if event.tag not in _KINDS:
            self._mistakes.add(mark, f"the tag {_shown(event.tag)} is unknown", _NO_TAGS)
        return _KINDS.get(event.tag, "text")

    def _collection_tag(self, tag: str | None, name: str, mark: Mark) -> None:
        if tag not in (None, "!", _CORE + name):
            self._mistakes.add(mark, f"the tag {_shown(str(tag))} is unknown", _NO_TAGS)

    def _size(self, mark: Mark, parts: Iterator[Node] | tuple[Node, ...]) -> int:
        size = 1 + sum(part.size for part in parts)
        if size > LARGEST:
            raise self._broken(mark, f"this is more than {LARGEST} values, those behind aliases counted each time")
        return size

    def _broken(self, mark: Mark, message: str) -> _Broken:
        self._mistakes.add(mark, message)
        return _Broken()


def _shown(tag: str) -> str:
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag


def _at(text: str, position: int, start: Mark) -> Mark:
    before = text[:position]
    return Mark(start.order, start.file, before.count("\n") + 1, position - before.rfind("\n"))


def _reason(exc: yaml.YAMLError) -> str:
    problem = str(getattr(exc, "problem", None) or getattr(exc, "reason", None) or "it cannot be read")
    context, begun = getattr(exc, "context", None), getattr(exc, "context_mark", None)
    if not context or begun is None:
        return problem
    return f"{problem} ({context} that begins in line {begun.line + 1}, column {begun.column + 1})"


def _advice(exc: yaml.YAMLError, text: str, place: Any) -> str:
    lines = text.splitlines()
    line = lines[place.line] if place is not None and place.line < len(lines) else ""
    if "\t" in line:
        return "Indent with spaces, not tabs."
    context = str(getattr(exc, "context", None))
    if "flow" in context or "quoted" in context:
        return "Close the bracket or quote that begins there."
    return "Quote a value that contains ': ', or begins with one of { [ & * ! | > % @ `."
