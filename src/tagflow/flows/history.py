"""history: who moved what, when, why, from what to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tagflow.domain.history import Condition, Entry
from tagflow.domain.reference import Digest
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
    told = [it for sight in sights.values() for it in _records(observer, sight, limit)]
    order = {image.name: position for position, image in enumerate(images)}
    told.sort(
        key=lambda it: (-it.entry.record.release.number, order[it.image], -it.entry.tag.sequence, str(it.entry.tag))
    )
    present = tuple(
        Present(sight.place.image.name, sight.standing.digest, sight.standing.condition, len(sight.standing.heads))
        for sight in sights.values()
    )
    return Chronicle(environment, tuple(told[:limit]), present)


def _records(observer: Observer, sight: Sight, limit: int | None) -> list[Told]:
    newest = sorted(sight.records, key=lambda tag: (-tag.sequence, str(tag)))[:limit]
    heads = {entry.tag for entry in sight.standing.heads}
    under_way = sight.standing.head if sight.standing.condition == "interrupted" else None
    return [
        Told(
            sight.place.image.name,
            entry,
            is_head=entry.tag in heads,
            open=under_way is not None and entry.tag == under_way.tag,
        )
        for entry in observer.entries(sight.place.history, newest).values()
    ]
