"""A deployment file: text that is written back byte for byte, and YAML nodes that know which characters are theirs.

Made from parser events, without recursion: nothing is constructed, aliases are not expanded, so a hostile document
costs no more than its length. Offsets are those of PyYAML's marks, which count characters; the byte order mark has been
taken off before, since the C parser does not count it.
"""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any, Literal

import yaml
from msgspec import Struct

from tagflow.errors import UsageError

_BEHIND_KEY = re.compile(r"(?:[ \t\r\n]|(?<![^ \t\r\n])#[^\r\n]*(?=[\r\n]))*:")
"""What may stand between a key and its colon, and the colon: behind a key marked by `?` it may be on another line."""
_LINE_END = re.compile(r"\r\n?|\n")
_ONLY_JSON = re.compile(r"\\(?:u[dD][89a-fA-F][0-9a-fA-F]{2}|.)|[\t\x7f-\x84\x86-\x9f\ufffe\uffff]")
"""What JSON may hold and readers of YAML refuse: halves of surrogate pairs, and characters without a shape. (Other
escapes are read past, so that none of theirs begins inside them.)"""
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
"""Byte order marks (YAML 1.2, 5.2). PowerShell's redirection writes the second."""


class Problem(Struct, frozen=True):
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


class Source(Struct, frozen=True, dict=True):
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

    def colon(self, offset: int) -> int | None:
        """Where the colon of a key stands that ends at a character; None where the key has none."""
        found = _BEHIND_KEY.match(self.text, offset)
        return found.end() - 1 if found else None

    @cached_property
    def is_json(self) -> bool:
        """Whether the whole text is one JSON document."""
        if not self.text.lstrip().startswith(("{", "[")):
            return False
        try:
            json.loads(self.text)
        except (ValueError, RecursionError):
            return False
        return True

    @cached_property
    def as_yaml(self) -> str:
        """The text for a reader of YAML: character by character where it was, without what only JSON may hold."""
        if not _ONLY_JSON.search(self.text) or not self.is_json:
            return self.text
        return _ONLY_JSON.sub(_in_yaml, self.text)

    @cached_property
    def _lines(self) -> list[int]:
        """The offset at which each line begins."""
        return [0, *(found.end() for found in _LINE_END.finditer(self.text))]


def _in_yaml(found: re.Match[str]) -> str:
    """Something as long that says as little about images."""
    text = found[0]
    if text == "\t":  # between values: a string has it as an escape
        return " "
    return text if len(text) == 2 else "\\ufffd" if len(text) == 6 else "\ufffd"


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


_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Style = Literal["plain", "single", "double", "block"]
_STYLES: dict[str, Style] = {"'": "single", '"': "double", "|": "block", ">": "block"}
_QUOTES: dict[Style, str] = {"single": "'", "double": '"'}
_MERGE = "<<"

DEEPEST = 100
"""Collections within one another; what people and machines deploy has some twenty."""


class Scalar(Struct, frozen=True, eq=False):
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


class Alias(Struct, frozen=True, eq=False):
    """``*name``, and the node that it stands for (None where there is none before it)."""

    start: int
    end: int
    target: Node | None


class Items(Struct, frozen=True, eq=False):
    """A list."""

    start: int
    end: int
    items: tuple[Node, ...]


class Pairs(Struct, frozen=True, eq=False):
    """A mapping, as written: duplicates and merge keys are pairs as others are."""

    start: int
    end: int
    pairs: tuple[tuple[Node, Node], ...]


Node = Scalar | Alias | Items | Pairs


class Tree(Struct, frozen=True, eq=False):
    """The documents of a text (empty ones left out), and the ids of the nodes that aliases stand for."""

    documents: tuple[Node, ...]
    aliased: frozenset[int]


class _Open(Struct):
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
        loader = _LOADER(source.as_yaml)
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


def scalars(roots: Iterable[Node]) -> Iterator[Scalar]:
    """Every scalar below some nodes that is no key."""
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Scalar):
            yield node
        elif isinstance(node, Pairs):
            waiting += (value for _, value in node.pairs)
        elif isinstance(node, Items):
            waiting += node.items


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
