"""history: who moved what, when, why, from what to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tagflow.context import Context
from tagflow.domain.history import Entry
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import Observation, target_of
from tagflow.domain.standing import Broken, Condition, Interrupted
from tagflow.domain.tagging import RecordTag
from tagflow.errors import UsageError
from tagflow.observe.observer import Observer


@dataclass(frozen=True)
class Item:
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
class History:
    """The history of an environment, newest first."""

    environment: str
    entries: tuple[Item, ...]
    present: tuple[Present, ...]
    unread: tuple[str, ...] = ()


def history(context: Context, environment: str, names: Sequence[str], limit: int | None) -> History:
    """The records of an environment, newest first: by release, then by sequence; clocks are not asked.

    ``limit`` is how many releases at most; as many records are read of each image, no more. What cannot be read is
    told in ``unread``.
    """
    if limit is not None and limit < 1:
        raise UsageError("usage.invalid", "--limit must be at least 1")
    chosen = context.environment(environment)
    images = [context.image(name) for name in names] or list(context.policy.images)
    observer = Observer(context)
    snapshot = observer.observe([target_of(context.policy, image, chosen) for image in images])
    found = history_of(observer, environment, list(snapshot.observations.values()), limit)
    releases = list(dict.fromkeys(_release(item) for item in found.entries))[:limit]
    return replace(found, entries=tuple(item for item in found.entries if _release(item) in releases))


def history_of(observer: Observer, environment: str, observations: Sequence[Observation], limit: int | None) -> History:
    """What the records of these images tell, as many as ``limit`` of each. What cannot be read is named in
    ``unread``."""
    items = [item for seen in observations for item in _items(observer, seen, limit)]
    order = {seen.image: position for position, seen in enumerate(observations)}
    items.sort(
        key=lambda it: (-it.entry.record.release.number, order[it.image], -it.entry.tag.sequence, str(it.entry.tag))
    )
    present = tuple(
        Present(seen.image, seen.standing.digest, seen.standing.condition, len(seen.standing.heads))
        for seen in observations
    )
    unread = tuple(
        seen.standing.position.error.message for seen in observations if isinstance(seen.standing.position, Broken)
    )
    return History(environment, tuple(items), present, unread)


def _release(item: Item) -> tuple[str, int]:
    release = item.entry.record.release
    return release.id, release.number


def newest(seen: Observation, limit: int | None) -> list[RecordTag]:
    """The records of one image, highest sequence first, as many as ``limit``."""
    return sorted(seen.records, key=lambda tag: (-tag.sequence, str(tag)))[:limit]


def _items(observer: Observer, seen: Observation, limit: int | None) -> list[Item]:
    heads = {entry.tag for entry in seen.standing.heads}
    under_way = seen.standing.head if isinstance(seen.standing.position, Interrupted) else None
    return [
        Item(seen.image, entry, is_head=entry.tag in heads, open=under_way is not None and entry.tag == under_way.tag)
        for entry in observer.read(seen.target.history, newest(seen, limit)).values()
    ]
