"""What a reference becomes, a file in which only those characters are others, and what to say of that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any, Literal

import yaml
from msgspec import Struct

from tagflow.domain.reference import Digest, short
from tagflow.errors import Conflict
from tagflow.pin.places import Elsewhere, Part, Place, Scan, Slot
from tagflow.pin.source import Problem, Scalar, Source, events, unsupported
from tagflow.pin.written import Names, Written

Form = Literal["tag@digest", "digest", "tag"]
FORMS: tuple[Form, ...] = ("tag@digest", "digest", "tag")

_OTHER_THAN_TEXT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:e[-+]?[0-9]+)?|[-+]?0[xob][0-9a-f_]+"
    r"|[-+]?\.(?:inf|nan)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"
    r"|~|null|true|false|yes|no|on|off|y|n",
    re.IGNORECASE,
)
"""What some reader of YAML 1.1 or 1.2 takes for a number, a date, a truth or nothing, when it is not quoted."""


class Runs(Struct, frozen=True):
    """What the environment runs of one image: the version's tag (None where it is not known), and the digest."""

    image: str
    version: str | None
    digest: Digest


@dataclass(frozen=True)
class Change:
    """One reference that became another: where it stands (lines count from 1), and what it was and is."""

    line: int
    image: str
    before: str
    after: str


class Pinned(Struct, frozen=True):
    """A file as it should be. ``references``: how many it has to images of the policy; ``templates``: how many are
    placeholders as a whole, and were left alone; ``elsewhere``: what is named where pin does not look."""

    source: Source
    text: str
    changes: tuple[Change, ...]
    references: int
    templates: int
    elsewhere: tuple[Elsewhere, ...] = ()

    @property
    def content(self) -> bytes:
        """The bytes to be written."""
        return self.source.encode(self.text)


class _Edit(Struct, frozen=True):
    scalar: Scalar
    start: int
    end: int
    text: str
    value: str


def pin(found: Scan, names: Names, runs: Mapping[str, Runs], form: Form = "tag@digest") -> Pinned:
    """The file with each reference at what runs. ``runs`` has every image that the scan found.

    A place for a tag alone gets ``TAG@DIGEST``, which whoever joins it to the name accepts; one for a digest alone gets
    the digest, in every form.

    :raises UsageError: ``pin.unsupported``.
    :raises Conflict: ``environment.unrecorded``: a tag is to be written, and nobody knows which version runs.
    """
    source = found.source
    edits: dict[tuple[int, int], _Edit] = {}
    changes: list[Change] = []
    problems: list[Problem] = []
    for place in found.places:
        wanted = runs[place.image]
        name = names.at_home(place.image, place.written.name)
        if place.is_name_fixed and name != place.written.name:
            message = f"{place.image} lives in {name} there, and kustomize looks for this name in its resources"
            hint = f"Write `{place.written.name}={name}`." if place.is_whole else f"Add `newName: {name}`."
            problems.append(source.problem(place.parts["name"].scalar.start, message, hint))
            continue
        if place.is_moved and name != place.written.name:
            message = f"{place.image} lives in {name} there, and global.imageRegistry may say otherwise"
            hint = "Put that right, or take it out and write `registry:` beside the repository."
            problems.append(source.problem(place.parts["name"].scalar.start, message, hint))
            continue
        values = _values(place, name, wanted, form)
        made = [edit for slot, value in values.items() if (edit := _edit(source, place.parts[slot], value))]
        for edit in made:
            if edits.setdefault((edit.start, edit.end), edit).text != edit.text:
                hint = "Write it out for each."
                problems.append(source.problem(edit.start, "several references share this, and need different", hint))
        if made:
            changes.append(
                Change(source.line(place.offset), place.image, str(place.written), _shown(place, name, values))
            )
    if problems:
        raise unsupported(problems)
    text = _applied(source.text, edits.values())
    _read_back(source, text, edits.values())
    return Pinned(source, text, tuple(changes), len(found.places), found.templates, found.elsewhere)


def _values(place: Place, name: str, wanted: Runs, form: Form) -> dict[Slot, str]:
    """What each scalar of a place is to say."""
    takes = place.parts.keys()
    if place.is_whole:
        tag = _tag(wanted) if form != "digest" else ""
        return {"name": place.prefix + str(Written(name, tag, wanted.digest if form != "tag" else ""))}
    values = _name(place, name)
    if "digest" in takes:
        values["digest"] = wanted.digest if form != "tag" or "tag" not in takes else ""
    if "tag" in takes:
        joined = "" if form == "tag" or "digest" in takes else f"@{wanted.digest}"
        values["tag"] = _tag(wanted) + joined
    return values


def _tag(wanted: Runs) -> str:
    if wanted.version is None:
        raise Conflict(
            "environment.unrecorded",
            f"{wanted.image}: nothing tells which version runs; somebody moved it by hand",
            hint="Promote or roll back a version that is known, or take the digest alone: `--form digest`.",
        )
    return wanted.version


def _name(place: Place, name: str) -> dict[Slot, str]:
    """What the scalars of the name are to say: nothing, where it stays."""
    if name == place.written.name:
        return {}
    registry = place.parts["registry"].text if "registry" in place.parts else ""
    if not registry:
        return {"name": name}
    # The name stays in as many parts as it is, where the registry holds a namespace too; else the host goes apart.
    parts = 1 + place.parts["name"].text.count("/") if "/" in registry.rstrip("/") else name.count("/")
    pieces = name.split("/")
    cut = max(1, len(pieces) - parts)
    slash = "/" if registry.endswith("/") else ""
    return {"registry": "/".join(pieces[:cut]) + slash, "name": "/".join(pieces[cut:])}


def _shown(place: Place, name: str, values: Mapping[Slot, str]) -> str:
    if place.is_whole:
        return values["name"].removeprefix(place.prefix)
    tag, _, digest = values.get("tag", "").partition("@")
    return str(Written(name, tag, values.get("digest") or digest))


def _edit(source: Source, part: Part, value: str) -> _Edit | None:
    """The edit that lets a scalar say something; None where it does already."""
    scalar, value = part.scalar, part.spelt(value)
    start, end = scalar.span
    if part.is_null:
        if not value:
            return None
        if start == end:  # `tag:` and nothing behind it: the parsers differ in where that is, so the key tells
            colon = source.colon(part.key.end)
            assert colon is not None, "places without one are refused"
            start = end = colon + 1
            return _Edit(scalar, start, end, f" {_unquoted(part, value)}", value)
    quote = {"single": "'", "double": '"'}.get(scalar.style)
    text = f"{quote}{value}{quote}" if quote else _unquoted(part, value)
    return _Edit(scalar, start, end, text, value) if source.text[start:end] != text else None


def _unquoted(part: Part, value: str) -> str:
    """A value in the place of one without quotes. JSON has only numbers and the like there, behind a key in quotes."""
    key, before = part.key, part.scalar.value
    is_json = isinstance(key, Scalar) and key.style == "double" and (part.is_null or _OTHER_THAN_TEXT.fullmatch(before))
    return f'"{value}"' if is_json else _plain(value)


def _plain(value: str) -> str:
    """A value without quotes, where every reader takes it for text so; ``1.10`` would be the number 1.1."""
    return f'"{value}"' if _OTHER_THAN_TEXT.fullmatch(value) or value[:1] in "[.-" else value


def _applied(text: str, edits: Iterable[_Edit]) -> str:
    pieces: list[str] = []
    position = 0
    for edit in sorted(edits, key=lambda it: it.start):
        pieces += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*pieces, text[position:]])


def _read_back(source: Source, text: str, edits: Iterable[_Edit]) -> None:
    """Read the new text and compare it, event by event: only the values that were edited may be others.

    :raises UsageError: ``pin.unsupported``, where that is not so.
    """
    expected = {(edit.scalar.start, edit.scalar.end): edit for edit in edits}
    if not expected:
        return
    new = Source(source.name, source.mark, source.encoding, text)
    if source.is_json and not new.is_json:
        raise unsupported([source.problem(0, "the file would not be JSON afterwards")])
    for before, after in zip_longest(events(source), events(new)):
        place = (before.start_mark.index, before.end_mark.index) if before is not None else (len(source.text), 0)
        edit = expected.get(place) if isinstance(before, yaml.ScalarEvent) else None
        if _said(after) != (_said(before) if edit is None else (*_said(before)[:-1], edit.value)):
            offset, _ = place
            raise unsupported([source.problem(offset, "the file would not read as it should afterwards")])


def _said(event: Any) -> tuple[object, ...]:
    parts = (getattr(event, key, None) for key in ("anchor", "tag", "explicit", "version", "value"))
    return (type(event), *parts)


_SUBJECT = 72
"""Characters of a subject, as git's own documentation recommends not to pass."""


def commit_message(environment: str, changes: Iterable[Change], runs: Mapping[str, Runs]) -> str:
    """A message: the versions in the subject, where they fit, and a line for each image; empty without a change."""
    images = list(dict.fromkeys(change.image for change in changes))
    if not images:
        return ""
    subject = f"Pin {environment}: {', '.join(f'{image} {_version(runs[image])}' for image in images)}"
    if len(subject) > _SUBJECT:
        versions = list(dict.fromkeys(_version(runs[image]) for image in images))
        common = f" to {versions[0]}" if len(versions) == 1 else ""
        subject = f"Pin {environment}: {len(images)} images{common}"
    lines = [f"{image} {_version(runs[image])} {runs[image].digest}" for image in images]
    return "\n".join([subject, "", *lines])


def _version(it: Runs) -> str:
    return it.version or short(it.digest)


def unified_diff(name: str, pinned: Pinned) -> str:
    """A unified diff that ``patch -p1`` and ``git apply`` take where ``name`` is from; empty without a change.

    To git, what is UTF-16 is no text: the diff of such a file is for people.
    """
    source = pinned.source
    mark = source.mark.decode(source.encoding)
    before, after = (_lines(f"{mark}{text}") for text in (source.text, pinned.text))
    old, new = (_quoted(f"{side}/{name}") for side in "ab")
    # A name with a blank ends where a tab begins, as GNU diff and git write it.
    ends = "\t" if " " in name and not old.startswith('"') else ""
    hunks = list(_hunks(before, after))
    return "".join(_ended([f"--- {old}{ends}\n", f"+++ {new}{ends}\n", *hunks])) if hunks else ""


_CONTEXT = 3
"""Lines that stay, shown before and behind those that do not."""


def _hunks(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """What differs. No edit adds or takes away a line, so that each has its like where it is: nothing is searched, and
    no line that is there many times is taken for another."""
    groups: list[list[int]] = []
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new and groups and number - groups[-1][-1] <= 2 * _CONTEXT + 1:
            groups[-1].append(number)
        elif old != new:
            groups.append([number])
    for group in groups:
        begin, end = max(0, group[0] - _CONTEXT), min(len(before), group[-1] + 1 + _CONTEXT)
        span = f"{begin + 1},{end - begin}" if end - begin > 1 else str(begin + 1)
        yield f"@@ -{span} +{span} @@\n"
        for stays, numbers in groupby(range(begin, end), lambda number: before[number] == after[number]):
            found = list(numbers)
            run = slice(found[0], found[-1] + 1)
            if stays:
                yield from (f" {line}" for line in before[run])
            else:
                yield from (f"-{line}" for line in before[run])
                yield from (f"+{line}" for line in after[run])


def _quoted(name: str) -> str:
    """A name as git and GNU diff write it in a diff: in quotes where it holds what may be misread."""
    if not _ODD_IN_NAMES.search(name):
        return name
    escaped = _ODD_IN_NAMES.sub(lambda it: f"\\{it[0]}" if it[0] in '"\\' else f"\\{ord(it[0]):03o}", name)
    return f'"{escaped}"'


_ODD_IN_NAMES = re.compile(r'["\\\x00-\x1f\x7f]')


def _lines(text: str) -> list[str]:
    """Lines as diff counts them: they end with LF only."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _ended(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
