"""What changed in files, for the commit that takes it in, and as a diff."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping

from tagflow.domain.reference import short
from tagflow.pin.edit import Change, Pinned, Runs

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
    """A unified diff that ``patch`` and ``git apply`` take; empty without a change."""
    before, after = (_lines(text) for text in (pinned.source.text, pinned.text))
    path = name.removeprefix("./").lstrip("/")
    return "".join(_ended(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}")))


def _lines(text: str) -> list[str]:
    """Lines as diff counts them: they end with LF only."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _ended(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
