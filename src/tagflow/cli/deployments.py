"""Text of what joins releases and deployments: pin, diff, stats."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from tagflow.cli.text import cell, is_fancy, styled

if TYPE_CHECKING:
    from tagflow.verbs.pin import Pinning

_FEW = 5
"""So many files are named in a command."""
_DIGITS = 12
"""Hex digits of a digest that people are shown."""


def pinned(it: Pinning, *, diff: bool) -> str:
    """What pin changed, or would: a diff, or each change with the places where it was made."""
    if diff:
        return "".join(file.diff for file in it.files).removesuffix("\n")
    fancy = is_fancy(sys.stdout)
    places: dict[tuple[str, str, str], list[str]] = {}
    for file in it.files:
        for change in file.changes:
            key = (change.image, _shortened(change.before), _shortened(change.after))
            places.setdefault(key, []).append(f"{file.file}:{change.line}")
    lines = []
    for (image, before, after), found in places.items():
        lines.append(f"{styled(cell(image), 'bold', fancy)}  {cell(before)} → {cell(after)}")
        lines += [f"  {cell(place)}" for place in found]
    return "\n".join([*lines, *_summary(it, fancy)])


def _summary(it: Pinning, fancy: bool) -> list[str]:
    references = sum(file.references for file in it.files)
    if not references:
        return [f"No file names an image of the policy: nothing to pin ({_count(len(it.files), 'file')})."]
    changes = sum(len(file.changes) for file in it.files)
    if not changes:
        count = "1 reference says" if references == 1 else f"{references} references say"
        return [f"{styled('✓', 'green', fancy)} {count} what {it.environment} runs."]
    told = f"{changes} of {_count(references, 'reference')} in {_count(len(it.differing), 'file')}"
    if not it.written:
        return []
    subject = it.message.partition("\n")[0]
    files = ["--", *it.differing] if len(it.differing) <= _FEW else ["--all"]
    command = shlex.join(["git", "commit", "-m", subject, *files])
    return [f"{styled('✓', 'green', fancy)} Pinned {told} to what {it.environment} runs.", f"Next: `{command}`"]


def _shortened(reference: str) -> str:
    """A reference with a digest as people read it."""
    name, at, digest = reference.partition("@")
    algorithm, colon, digits = digest.partition(":")
    return f"{name}{at}{algorithm}{colon}{digits[:_DIGITS]}"


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
