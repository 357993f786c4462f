"""YAML as a tree of nodes that know which characters of the text are theirs.

Made from parser events, without recursion: nothing is constructed, aliases are not expanded, so a hostile document
costs no more than its length. Offsets are those of PyYAML's marks, which count characters; the byte order mark has been
taken off before, since the C parser does not count it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from tagflow.pin.source import Problem, Source, unsupported

_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Style = Literal["plain", "single", "double", "block"]
_STYLES: dict[str, Style] = {"'": "single", '"': "double", "|": "block", ">": "block"}
_QUOTES: dict[Style, str] = {"single": "'", "double": '"'}
_MERGE = "<<"

DEEPEST = 100
"""Collections within one another; what people and machines deploy has some twenty."""


@dataclass(frozen=True, eq=False, slots=True)
class Scalar:
    """A single value: its text as readers get it, and how it is written. ``tag``: an explicit one, like ``!!str``."""

    start: int
    end: int
    value: str
    style: Style
    tag: str | None
    anchor: str | None

    @property
    def span(self) -> tuple[int, int]:
        """From where to where the value itself is written, with its quotes, without tag and anchor before it."""
        return self.end - len(self.value) - 2 * len(self._quote), self.end

    def is_verbatim(self, text: str) -> bool:
        """Whether the text has the value letter by letter, on one line, without escapes."""
        start, end = self.span
        is_empty = self.style == "plain" and not self.value
        return text[start:end] == f"{self._quote}{self.value}{self._quote}" and not (is_empty and self.start < self.end)

    @property
    def _quote(self) -> str:
        return _QUOTES.get(self.style, "")


@dataclass(frozen=True, eq=False, slots=True)
class Alias:
    """``*name``, and the node that it stands for (None where there is none before it)."""

    start: int
    end: int
    target: Node | None


@dataclass(frozen=True, eq=False, slots=True)
class Items:
    """A list."""

    start: int
    end: int
    items: tuple[Node, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """A mapping, as written: duplicates and merge keys are pairs as others are."""

    start: int
    end: int
    pairs: tuple[tuple[Node, Node], ...]


Node = Scalar | Alias | Items | Pairs


@dataclass(frozen=True, eq=False, slots=True)
class Tree:
    """The documents of a text (empty ones left out), and the ids of the nodes that aliases stand for."""

    documents: tuple[Node, ...]
    aliased: frozenset[int]


@dataclass(slots=True)
class _Open:
    """A collection that has not ended yet."""

    start: int
    is_mapping: bool
    anchor: str | None
    children: list[Node]


def parse(source: Source) -> Tree:
    """The tree of a text.

    :raises UsageError: ``pin.unsupported`` where it is not YAML.
    """
    roots: list[Node] = []
    aliased: set[int] = set()
    anchors: dict[str, Node] = {}
    waiting: list[_Open] = []

    def add(node: Node, anchor: str | None) -> None:
        if anchor is not None:
            anchors[anchor] = node
        (waiting[-1].children if waiting else roots).append(node)

    for event in events(source):
        start, end = event.start_mark.index, event.end_mark.index
        match event:
            case yaml.DocumentStartEvent():
                anchors = {}
            case yaml.ScalarEvent():
                scalar = Scalar(
                    start, end, event.value, _STYLES.get(event.style or "", "plain"), event.tag, event.anchor
                )
                add(scalar, event.anchor)
            case yaml.AliasEvent():
                target = anchors.get(event.anchor or "")
                aliased.add(id(target))
                add(Alias(start, end, target), None)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                if len(waiting) == DEEPEST:
                    raise unsupported([source.problem(start, f"more than {DEEPEST} levels within one another")])
                waiting.append(_Open(start, isinstance(event, yaml.MappingStartEvent), event.anchor, []))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                done = waiting.pop()
                children = done.children
                if done.is_mapping:
                    add(Pairs(done.start, end, tuple(zip(children[::2], children[1::2], strict=True))), done.anchor)
                else:
                    add(Items(done.start, end, tuple(children)), done.anchor)
    return Tree(tuple(roots), frozenset(aliased))


def events(source: Source) -> Iterator[Any]:
    """The parser events of a text.

    :raises UsageError: ``pin.unsupported`` where it is not YAML.
    """
    loader = None
    try:
        loader = _LOADER(source.text)
        while loader.check_event():
            yield loader.get_event()
    except yaml.YAMLError as exc:
        raise unsupported([_not_yaml(source, exc)]) from exc
    finally:
        if loader is not None:
            loader.dispose()


def mappings(root: Node) -> Iterator[Pairs]:
    """Every mapping below a node, and the node, in the order of the text."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Pairs):
            yield node
            waiting += [child for pair in reversed(node.pairs) for child in reversed(pair)]
        elif isinstance(node, Items):
            waiting += reversed(node.items)


def key_text(node: Node) -> str | None:
    """The text of a key; None where it is no plain or quoted scalar."""
    return node.value if isinstance(node, Scalar) else None


class Lookup:
    """The values of mappings by key, merge keys (``<<``) followed as readers do: what is written nearer wins.

    Only the ``keys`` that are asked for are kept, so that mappings which take in one another do not add up.
    """

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = keys
        self._known: dict[int, dict[str, Node]] = {}
        self.merged: set[int] = set()
        """The ids of the mappings that others take in by a merge key."""

    def __call__(self, mapping: Pairs) -> dict[str, Node]:
        """The values of a mapping, those merged into it included."""
        # A merge names what stands before it in the text, so that an alias is always known already: no circle.
        if id(mapping) not in self._known:
            found: dict[str, Node] = {}
            for key, value in mapping.pairs:
                if isinstance(key, Scalar) and key.value == _MERGE and key.style == "plain":
                    for one in _merged(value):
                        self.merged.add(id(one))
                        found = {**self(one), **found}
            own = {text: value for key, value in mapping.pairs if (text := key_text(key)) in self._keys and text}
            self._known[id(mapping)] = found | own
        return self._known[id(mapping)]


def _merged(value: Node) -> list[Pairs]:
    several = value.items if isinstance(value, Items) else (value,)
    targets = [one.target if isinstance(one, Alias) else one for one in several]
    return [one for one in targets if isinstance(one, Pairs)]


def _not_yaml(source: Source, exc: yaml.YAMLError) -> Problem:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    position = getattr(exc, "position", 0)
    offset = mark.index if mark is not None else position if isinstance(position, int) else 0
    reason = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "it cannot be read"
    hint = "A template of a Helm chart is no YAML yet: pin the values file." if "{{" in source.text else ""
    return source.problem(min(offset, len(source.text)), f"this is not YAML: {reason}", hint)
