"""A tree of nodes against a type of :mod:`tagflow.config.document`: the typed value, and every mistake on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from functools import cache
from typing import Any, Generic, TypeVar

from msgspec import Struct, field
from msgspec import inspect as shapes

from tagflow.config.nodes import Items, Mark, Mistakes, Node, Pairs, Scalar
from tagflow.config.values import (
    OTHER,
    READ_AS,
    Path,
    bare,
    describe,
    example,
    harmless,
    inside,
    noun,
    shown,
    suggestion,
    where,
    would_do,
)

S = TypeVar("S", bound=Struct)

_BROKEN = object()
_TRUE = ("true", "yes", "on")


class Places(Struct, frozen=True):
    """Where every value, and the key before it, stands.

    A path is made of keys as written, and of indices in the typed lists (where what was wrong is left out).
    """

    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)

    def value(self, *path: str | int) -> Mark:
        """The place of a value, or of the nearest value around it that is written."""
        while path not in self.values:
            path = path[:-1]
        return self.values[path]

    def key(self, *path: str | int) -> Mark:
        """The place of the key of a value."""
        return self.keys.get(path) or self.value(*path)

    def has(self, *path: str | int) -> bool:
        """Whether a key is written, be its value right or wrong."""
        return path in self.keys


class Checked(Struct, Generic[S], frozen=True):
    """A typed value, without whatever was wrong in the file, and its places."""

    value: S
    places: Places


def check(
    node: Node, wanted: type[S], mistakes: Mistakes, *, fallback: Mapping[str, object] | None = None
) -> Checked[S] | None:
    """Read ``node`` as ``wanted``. What is wrong is noted and left out.

    ``fallback`` stands in for required keys of the outermost mapping that are missing or wrong, so that the rest can
    still be judged; None comes back where that is not enough.
    """
    checker = _Checker(mistakes, fallback or {})
    value = checker.value(node, _shape(wanted), ())
    return None if value is _BROKEN else Checked(value, checker.places)


class _Checker:
    def __init__(self, mistakes: Mistakes, fallback: Mapping[str, object]) -> None:
        self.places = Places()
        self._mistakes = mistakes
        self._fallback = fallback
        self._known: dict[type[Struct], dict[str, shapes.Field]] = {}

    def value(self, node: Node, shape: shapes.Type, path: Path) -> Any:
        self.places.values[path] = node.mark
        notes, plain = _unwrap(shape)
        if isinstance(plain, shapes.UnionType):
            return self._union(node, plain, path)
        match plain, node:
            case shapes.StructType(), Pairs():
                return self._struct(node, plain, path)
            case shapes.DictType(), Pairs():
                return self._dict(node, plain, notes, path)
            case shapes.ListType(), Items():
                return self._list(node, plain, notes, path)
            case shapes.NoneType(), Scalar(kind="null"):
                return None
            case shapes.LiteralType(), Scalar():
                return self._literal(node, plain, notes, path)
            case shapes.StrType(), Scalar() if node.kind != "null":
                return self._text(node, plain, notes, path)
            case shapes.DateType(), Scalar(kind="date" | "text"):
                return self._date(node, path)
            case shapes.IntType(), Scalar(kind="number"):
                return self._number(node, plain, notes, path)
            case shapes.BoolType(), Scalar(kind="boolean"):
                return node.text.lower() in _TRUE
        return self._mismatch(node, plain, notes, path)

    def _union(self, node: Node, union: shapes.UnionType, path: Path) -> Any:
        members = [_unwrap(member)[1] for member in union.types]
        for member, plain in zip(union.types, members, strict=True):
            if _fits(node, plain):
                return self.value(node, member, path)
        expected = " or ".join(noun(plain, {}) for plain in members if not isinstance(plain, shapes.NoneType))
        return self._wrong(node.mark, f"{where(path)} is {describe(node)}, expected {expected}")

    def _struct(self, node: Pairs, shape: shapes.StructType, path: Path) -> Any:
        fields = self._fields(shape)
        found: dict[str, Any] = {}
        for key, value in node.pairs:
            known = fields.get(key.text)
            if known is None:
                self._wrong(key.mark, f"{inside(path)}unknown key {shown(key.text)}", suggestion(key.text, fields))
                continue
            self.places.keys[*path, key.text] = key.mark
            found[known.name] = self.value(value, known.type, (*path, key.text))
        self._missing(node, fields, path)
        return self._built(shape, fields, found, path)

    def _fields(self, shape: shapes.StructType) -> dict[str, shapes.Field]:
        known = self._known.get(shape.cls)
        if known is None:
            known = self._known[shape.cls] = {field.encode_name: field for field in shape.fields}
        return known

    def _missing(self, node: Pairs, fields: Mapping[str, shapes.Field], path: Path) -> None:
        written = {key.text for key, _ in node.pairs}
        for name, known in fields.items():
            if known.required and name not in written:
                notes, plain = _unwrap(known.type)
                self._wrong(node.mark, f"{inside(path)}the key {name!r} is missing", example(name, notes, plain))

    def _built(
        self, shape: shapes.StructType, fields: Mapping[str, shapes.Field], found: dict[str, Any], path: Path
    ) -> Any:
        whole = {name: value for name, value in found.items() if value is not _BROKEN}
        for known in fields.values():
            if known.required and known.name not in whole:
                if path or known.name not in self._fallback:
                    return _BROKEN
                whole[known.name] = self._fallback[known.name]
        return shape.cls(**whole)

    def _dict(self, node: Pairs, shape: shapes.DictType, notes: Mapping[str, Any], path: Path) -> Any:
        if not node.pairs and shape.min_length:
            return self._wrong(node.mark, f"{where(path)} is empty", example(str(path[-1]), notes, shape))
        key_notes, key_shape = _unwrap(shape.key_type)
        assert isinstance(key_shape, shapes.StrType)
        result = {}
        for key, value in node.pairs:
            place = (*path, key.text)
            self.places.keys[place] = key.mark
            name = self._text(key, key_shape, key_notes, place)
            checked = self.value(value, shape.value_type, place)
            if name is not _BROKEN and checked is not _BROKEN:
                result[name] = checked
        return result

    def _list(self, node: Items, shape: shapes.ListType, notes: Mapping[str, Any], path: Path) -> Any:
        if not node.items and shape.min_length:
            return self._wrong(node.mark, f"{where(path)} is empty", example(str(path[-1]), notes, shape))
        result: list[Any] = []
        for item in node.items:
            value = self.value(item, shape.item_type, (*path, len(result)))
            if value is _BROKEN:
                continue
            if notes.get("uniqueItems") and value in result:
                self._wrong(item.mark, f"{where(path)} names {shown(str(value))} twice", "Keep one.")
            else:
                result.append(value)
        return result

    def _literal(self, node: Scalar, shape: shapes.LiteralType, notes: Mapping[str, Any], path: Path) -> Any:
        for value in shape.values:
            if node.text == str(value) and node.kind == ("text" if isinstance(value, str) else "number"):
                return value
        known = [str(value) for value in shape.values]
        if node.text in known:
            hint = f"Write {node.text} without quotes." if node.kind == "text" else f'Quote it: "{node.text}".'
        else:
            close = get_close_matches(node.text, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else ""
        what = "nothing" if node.kind == "null" else shown(node.text)
        return self._wrong(node.mark, f"{where(path)} is {what}, expected {noun(shape, notes)}", hint)

    def _text(self, node: Scalar, shape: shapes.StrType, notes: Mapping[str, Any], path: Path) -> Any:
        message, hint = "", str(notes.get("patternErrorMessage", ""))
        valid = shape.pattern is None or _pattern(shape.pattern).search(node.text) is not None
        if node.kind != "text":
            message = f"{where(path)}: {bare(node.text)} is read as {READ_AS[node.kind]}, expected {noun(shape, notes)}"
            if valid:
                quoted = f'Quote it: "{bare(node.text)}".' if would_do(node.text, notes) else ""
                hint = quoted or example("", notes, shape) or OTHER
        elif len(node.text) < (shape.min_length or 0) or (shape.min_length and not node.text.strip()):
            message, hint = f"{where(path)} is empty", example("", notes, shape)
        elif not valid:
            message = f"{where(path)}: {shown(node.text)} is not {noun(shape, notes)}"
        elif shape.max_length is not None and len(node.text) > shape.max_length:
            message, hint = f"{where(path)}: {shown(node.text)} is too long", f"At most {shape.max_length} characters."
        return self._wrong(node.mark, message, hint) if message else node.text

    def _number(self, node: Scalar, shape: shapes.IntType, notes: Mapping[str, Any], path: Path) -> Any:
        if re.fullmatch("0|[1-9][0-9]{0,8}", node.text) is None:
            return self._wrong(node.mark, f"{where(path)} is {bare(node.text)}, expected {noun(shape, notes)}")
        value = int(node.text)
        least, most = shape.ge or 0, shape.le if shape.le is not None else value
        if not least <= value <= most:
            return self._wrong(node.mark, f"{where(path)} is {value}, expected {least} to {most}")
        return value

    def _date(self, node: Scalar, path: Path) -> Any:
        try:
            if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", node.text):
                return date.fromisoformat(node.text)
        except ValueError:
            pass
        hint = "Write YYYY-MM-DD, for example 2026-12-20."
        return self._wrong(node.mark, f"{where(path)}: {shown(node.text)} is not a date", hint)

    def _mismatch(self, node: Node, shape: shapes.Type, notes: Mapping[str, Any], path: Path) -> Any:
        name = bare(path[-1]) if path and isinstance(path[-1], str) else ""
        hint = example(name, notes, shape)
        if isinstance(node, Scalar) and node.kind == "null":
            return self._wrong(node.mark, f"{where(path)} has no value", hint or "Give it one, or remove the key.")
        if isinstance(shape, shapes.ListType) and isinstance(node, Scalar):
            hint = _as_list(node, shape) or hint
        elif isinstance(shape, shapes.BoolType):
            hint = "Write true or false, without quotes."
        elif isinstance(shape, shapes.IntType):
            hint = "Write a whole number, without quotes."
        return self._wrong(node.mark, f"{where(path)} is {describe(node)}, expected {noun(shape, notes)}", hint)

    def _wrong(self, mark: Mark, message: str, hint: str = "") -> object:
        self._mistakes.add(mark, message, hint)
        return _BROKEN


_shape = cache(shapes.type_info)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    # JSON Schema's `$` is the end of the text; Python's would allow a line break after it.
    return re.compile(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern)


def _unwrap(shape: shapes.Type) -> tuple[Mapping[str, Any], shapes.Type]:
    if isinstance(shape, shapes.Metadata):
        return shape.extra_json_schema or {}, shape.type
    return {}, shape


def _as_list(node: Scalar, shape: shapes.ListType) -> str:
    """How one value is written as a list; empty where no list may hold it."""
    if node.text == "none" and not shape.min_length:
        return "Write [] for none."
    _, item = _unwrap(shape.item_type)
    allowed = node.text in item.values if isinstance(item, shapes.LiteralType) else _fits(node, item)
    return f"Write [{bare(node.text)}]." if allowed and harmless(node.text) == node.text else ""


def _fits(node: Node, shape: shapes.Type) -> bool:
    match node:
        case Pairs():
            return isinstance(shape, shapes.StructType | shapes.DictType)
        case Items():
            return isinstance(shape, shapes.ListType)
        case Scalar(kind="null"):
            return isinstance(shape, shapes.NoneType)
    return isinstance(shape, shapes.StrType)
