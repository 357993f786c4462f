"""history: who moved what, when, why, from what to what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tagflow.context import Context
from tagflow.domain.history import Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import Observation, RecordLookup, target_of
from tagflow.domain.standing import Broken, Condition, Interrupted
from tagflow.errors import UsageError
from tagflow.observe.observer import Observer
from tagflow.verbs.past import count_until, levels
from tagflow.verbs.plans import doubts
from tagflow.workers import each


@dataclass(frozen=True)
class Item:
    """One record of one image. ``open``: what it announced has not arrived."""

    image: str
    entry: Entry
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
    """The history of an environment, newest first. ``doubts`` say which images have records that do not count."""

    environment: str
    entries: tuple[Item, ...]
    present: tuple[Present, ...]
    unread: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def history(
    context: Context, environment: str, names: Sequence[str], limit: int | None, since: datetime | None = None
) -> History:
    """The records of an environment, newest first: by release, then by sequence; clocks are not asked.

    ``limit`` is how many releases at most. ``since`` (aware) leaves out what was written before, by the clocks of those
    who wrote it. No more records are read than that takes. What cannot be read is told in ``unread``.
    """
    if limit is not None and limit < 1:
        raise UsageError("usage.invalid", "--limit must be at least 1")
    chosen = context.environment(environment)
    images = [context.image(name) for name in names] or list(context.policy.images)
    observer = Observer(context)
    snapshot = observer.observe([target_of(context.policy, image, chosen) for image in images])
    return history_of(observer, environment, list(snapshot.observations.values()), limit, since)


def history_of(
    observer: Observer,
    environment: str,
    observations: Sequence[Observation],
    limit: int | None,
    since: datetime | None = None,
) -> History:
    """What the records of these images tell, newest first: of ``limit`` releases, ``since`` a moment."""
    told = _told(observer, observations, limit, since)
    items = [item for seen, entries in zip(observations, told, strict=True) for item in _items(seen, entries)]
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
    releases = list(dict.fromkeys(item.entry.record.release for item in items))
    kept = set(releases[:limit])
    shown = tuple(item for item in items if item.entry.record.release in kept)
    return History(environment, shown, present, unread, tuple(doubts(observations)))


def newest(records: Iterable[RecordTag]) -> list[RecordTag]:
    """The tags of records, highest sequence first."""
    return sorted(records, key=lambda tag: (-tag.sequence, str(tag)))


def _told(
    observer: Observer, observations: Sequence[Observation], limit: int | None, since: datetime | None
) -> list[list[Entry]]:
    """The records of each image that are told: of ``limit`` releases, an abort with what it takes back.

    Images are read side by side, of each no more than may be told.
    """
    threads = observer.threads
    waiting = [newest(seen.records) for seen in observations]
    if since is not None:
        waiting = each(lambda seen: newest(_since(observer, seen, since)), observations, threads=threads)
    found: list[list[Entry]] = [[] for _ in observations]
    while True:
        batches = [tags[: _wanted(entries, limit)] for tags, entries in zip(waiting, found, strict=True)]
        if not any(batches):
            return found
        histories = [seen.target.history for seen in observations]
        observer.read_all(
            RecordLookup(name, tag) for name, tags in zip(histories, batches, strict=True) for tag in tags
        )
        for index, batch in enumerate(batches):
            found[index] += observer.read(histories[index], batch).values()
            waiting[index] = waiting[index][len(batch) :]


def _wanted(entries: Sequence[Entry], limit: int | None) -> int | None:
    """How many more records may be told; None for all there are."""
    if limit is None:
        return None
    missing = limit - len({entry.record.release for entry in entries})
    return max(missing, 1 if entries and entries[-1].record.action == "abort" else 0)


def _since(observer: Observer, seen: Observation, moment: datetime) -> list[RecordTag]:
    """The records written at a moment or later."""

    def written(tags: Sequence[RecordTag]) -> dict[RecordTag, datetime]:
        return {tag: entry.record.at for tag, entry in observer.read(seen.target.history, tags).items()}

    ordered = levels(seen.records)
    before = count_until(ordered, written, moment - timedelta.resolution)
    return [tag for level in ordered[before:] for tag in level]


def _items(seen: Observation, entries: Iterable[Entry]) -> list[Item]:
    under_way = seen.standing.head if isinstance(seen.standing.position, Interrupted) else None
    return [Item(seen.image, entry, open=under_way is not None and entry.tag == under_way.tag) for entry in entries]
