"""What joins releases and deployments, as text: pin, diff, stats."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from tagflow.cli.render.releases import short
from tagflow.cli.text import (
    FEW,
    age,
    cell,
    columns,
    counted,
    fitted,
    hung,
    is_fancy,
    listed,
    minute,
    pad,
    styled,
    table,
    width,
)
from tagflow.domain.stats import DEFINITIONS
from tagflow.domain.times import format_duration

if TYPE_CHECKING:
    from datetime import datetime

    from tagflow.domain.stats import Stats
    from tagflow.verbs.diff import Diff, Difference, Side
    from tagflow.verbs.pin import Pinning

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


def nothing_to_pin(it: Pinning) -> str:
    """What to say where no file names an image; empty where one does."""
    if any(file.references for file in it.files):
        return ""
    looked = f"{_count(len(it.files), 'file')}; docs/pin.md says where"
    return f"Nothing to pin: where pin looks, no file names an image of the policy ({looked})."


def _summary(it: Pinning, fancy: bool) -> list[str]:
    if nothing := nothing_to_pin(it):
        return [nothing]
    references = sum(file.references for file in it.files)
    changes = sum(len(file.changes) for file in it.files)
    if not changes:
        count = "1 reference says" if references == 1 else f"{references} references say"
        return [f"{styled('✓', 'green', fancy)} {count} what {it.environment} runs."]
    told = f"{changes} of {_count(references, 'reference')} in {_count(len(it.differing), 'file')}"
    if not it.written:
        return []
    lines = [f"{styled('✓', 'green', fancy)} Pinned {told} to what {it.environment} runs."]
    if it.paths:
        subject = it.message.partition("\n")[0]
        # Named one by one, however many: what else was changed is none of this commit. git commits by name only what
        # it knows, so that they are added before.
        add, commit = shlex.join(["git", "add", "--", *it.paths]), shlex.join(["git", "commit", "-m", subject])
        lines.append(f"Next: `{add} && {commit} {shlex.join(['--', *it.paths])}`")
    return lines


def _shortened(reference: str) -> str:
    """A reference with a digest as people read it."""
    name, at, digest = reference.partition("@")
    algorithm, colon, digits = digest.partition(":")
    return f"{name}{at}{algorithm}{colon}{digits[:_DIGITS]}"


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def differences(it: Diff) -> str:
    """Two environments or versions: what differs image by image, then what is the same."""
    fancy = is_fancy(sys.stdout)
    differing = [one for one in it.images if one.state != "same"]
    same = [one for one in it.images if one.state == "same"]
    lines = [styled(f"{it.before} → {it.after}", "bold", fancy), *changes(differing, fancy)]
    if not it.images:
        lines.append(f"  neither {it.before} nor {it.after} has any image")
    if same:
        versions = dict.fromkeys(_as(one) for one in same)
        told = f" ({', '.join(versions)})" if len(versions) <= FEW else ""
        lines.append(f"  {styled(f'the same: {cell(counted([one.image for one in same]) + told)}', 'dim', fancy)}")
    return "\n".join(lines)


def _as(one: Difference) -> str:
    """What the same image is called on either side."""
    names = dict.fromkeys(it for it in (one.before.version, one.after.version) if it)
    return " and ".join(names) or short(one.after.digest)


def changes(found: Sequence[Difference], fancy: bool) -> Iterator[str]:
    """What changes, a block an image; of many images with the same versions and commits, one block."""
    groups: dict[object, list[Difference]] = {}
    for one in found:
        groups.setdefault((_way(one), one.state, *_source(one)), []).append(one)
    for several in groups.values():
        images = [one.image for one in several]
        if len(several) > FEW:
            yield f"  {styled(counted(images), 'bold', fancy)}  {cell(_way(several[0]))}"
            yield from (_line(line) for line in (listed(images), *_source(several[0])))
            continue
        wide = max(width(cell(image)) for image in images)
        if max(width(_change(one, wide, fancy)) for one in several) > columns():
            wide = 0  # each name is told where it ends: there is no room for a column
        for one in several:
            yield fitted(_change(one, wide, fancy), 4)
            yield from (_line(line) for line in (*_source(one), *_build(one)))


def _change(one: Difference, wide: int, fancy: bool) -> str:
    """One image on one line, its name as wide as that of others."""
    digests = styled(f"{short(one.before.digest)} → {short(one.after.digest)}", "dim", fancy)
    return f"  {pad(styled(cell(one.image), 'bold', fancy), wide)}  {cell(_way(one))}  {digests}"


def _line(text: str) -> str:
    """A line below an image. A link stays whole, so that it can be clicked: the terminal breaks it where it must."""
    return f"    {cell(text) if text.startswith('http') else hung(cell(text), 4)}"


def goes_in(found: Sequence[Difference], command: str) -> str:
    """What a plan brings, beside the plan; nothing where images do not say what they were built from."""
    told = [one for one in found if _source(one)]
    if not told:
        return ""
    heading = "What goes back:" if command == "rollback" else "What goes in:"
    return "\n".join([heading, *changes(told, is_fancy(sys.stdout))])


def _way(one: Difference) -> str:
    return f"{_version(one.before)} → {_version(one.after)}"


def _version(side: Side) -> str:
    return "nothing" if side.digest is None else side.version or "unknown"


def _source(one: Difference) -> list[str]:
    """Commits, as far as they are known on both sides, or on the one that is there, and where they are compared."""
    sides = [side for side in (one.before, one.after) if side.digest is not None]
    told = (
        ["commit  " + " → ".join(_commit(side.revision) for side in sides)] if any(it.revision for it in sides) else []
    )
    return told + ([one.compare] if one.compare else [])


def _build(one: Difference) -> list[str]:
    """Dates of the builds, and sizes that differ."""
    sides = [side for side in (one.before, one.after) if side.digest is not None]
    told: list[str] = []
    if any(side.created for side in sides):
        told.append("built   " + " → ".join((side.created or "-")[:16].replace("T", " ") for side in sides))
    sizes = [side.size or 0 for side in sides]
    if len(set(sizes)) > 1:
        told.append("size    " + " → ".join(map(_size, sizes)))
    return told


def _commit(revision: str | None) -> str:
    return (revision or "-")[:_DIGITS]


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def statistics(it: Stats, now: datetime) -> str:
    """The numbers of an environment, and what each of them means."""
    fancy = is_fancy(sys.stdout)
    days = round((now - it.since) / timedelta(days=1))
    rate = it.change_failure_rate
    failures = "-" if rate is None else f"{rate:.0%} ({it.failures} of {it.deployments})"
    rows = [
        ["deployments", f"{it.deployments} ({it.per_week:g} a week)", "", "deployments"],
        ["lead time", _span(it.lead_time_seconds.median), _span(it.lead_time_seconds.p90), "lead time"],
        ["change failures", failures, "", "change failures"],
        [
            "time to restore",
            _span(it.time_to_restore_seconds.median),
            _span(it.time_to_restore_seconds.p90),
            "time to restore",
        ],
    ]
    body = [[styled(name, "bold", fancy), value, bad, DEFINITIONS[key]] for name, value, bad, key in rows]
    span = f"{days} days" if days > 1 else age(it.since, now)
    head = fitted(f"{it.environment} since {minute(it.since)} ({span})", 2)
    foot = fitted("Times: the median; nine of ten took no longer than P90.", 2)
    return "\n".join([head, "", table(["MEASURE", "VALUE", "P90", "WHAT IT MEANS"], body, fancy, last=30), "", foot])


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(timedelta(seconds=round(seconds)))
