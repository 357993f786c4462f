"""history: who moved what, when, why, from what to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tagflow.domain.history import Condition, Entry
from tagflow.domain.reference import Digest
from tagflow.domain.tagging import RecordTag
from tagflow.errors import UsageError
from tagflow.flows.context import Context
from tagflow.flows.observe import Observer, Sight


@dataclass(frozen=True)
class Told:
    """One record of one image. ``is_head``: no record names it yet; ``open``: what it announced has not arrived."""

    image: str
    entry: Entry
    is_head: bool
    open: bool


@dataclass(frozen=True)
class Present:
    """Where an image's environment tag stands now, beside what its history says; ``heads`` over one are a fork."""

    image: str
    digest: Digest | None
    condition: Condition
    heads: int


@dataclass(frozen=True)
class Chronicle:
    """The history of an environment, newest first."""

    environment: str
    entries: tuple[Told, ...]
    present: tuple[Present, ...]


def history(context: Context, environment: str, names: Sequence[str], limit: int | None) -> Chronicle:
    """The records of an environment, newest first: by release, then by sequence; clocks are not asked.

    ``limit`` is how many at most; as many are read of each image, no more.

    :raises Conflict: ``history.broken``.
    """
    if limit is not None and limit < 1:
        raise UsageError("usage.invalid", "--limit must be at least 1")
    chosen = context.environment(environment)
    images = [context.image(name) for name in names] or list(context.policy.images)
    observer = Observer(context)
    sights = observer.sights([observer.place(image, chosen) for image in images])
    found = chronicle(observer, environment, list(sights.values()), limit)
    return replace(found, entries=found.entries[:limit])


def chronicle(observer: Observer, environment: str, sights: Sequence[Sight], limit: int | None) -> Chronicle:
    """What the records of these images tell, as many as ``limit`` of each.

    :raises Conflict: ``history.broken``.
    """
    observer.read_all((it.place.history, tag) for it in sights for tag in newest(it, limit))
    told = [it for sight in sights for it in _records(observer, sight, limit)]
    order = {sight.place.image.name: position for position, sight in enumerate(sights)}
    told.sort(
        key=lambda it: (-it.entry.record.release.number, order[it.image], -it.entry.tag.sequence, str(it.entry.tag))
    )
    present = tuple(
        Present(sight.place.image.name, sight.standing.digest, sight.standing.condition, len(sight.standing.heads))
        for sight in sights
    )
    return Chronicle(environment, tuple(told), present)


def newest(sight: Sight, limit: int | None) -> list[RecordTag]:
    """The records of one image, highest sequence first, as many as ``limit``."""
    return sorted(sight.records, key=lambda tag: (-tag.sequence, str(tag)))[:limit]


def _records(observer: Observer, sight: Sight, limit: int | None) -> list[Told]:
    heads = {entry.tag for entry in sight.standing.heads}
    under_way = sight.standing.head if sight.standing.condition == "interrupted" else None
    return [
        Told(
            sight.place.image.name,
            entry,
            is_head=entry.tag in heads,
            open=under_way is not None and entry.tag == under_way.tag,
        )
        for entry in observer.entries(sight.place.history, newest(sight, limit)).values()
    ]
