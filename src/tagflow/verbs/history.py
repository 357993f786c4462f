"""history: who moved what, when, why, from what to what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import Struct

from tagflow.context import Context
from tagflow.domain.history import Action, Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import Observation, RecordLookup, Target, target_of
from tagflow.domain.standing import Broken, Condition
from tagflow.errors import UsageError, whole
from tagflow.observe.observer import Observer
from tagflow.verbs.past import count_until, levels
from tagflow.verbs.plans import doubts
from tagflow.workers import each


@dataclass(frozen=True)
class HistoryEntry:
    """One record of one image, under the keys of its JSON. ``open``: what it announced has not arrived."""

    image: str
    entry: Entry
    open: bool

    @property
    def sequence(self) -> int:
        """The place of the record in the history of its image; a fork has two on one place."""
        return self.entry.tag.sequence

    @property
    def action(self) -> Action:
        """What was done."""
        return self.entry.record.action

    @property
    def version(self) -> str | None:
        """The version tag that it is about, where that is known."""
        return self.entry.record.version

    @property
    def digest(self) -> Digest | None:
        """What entered; of a note, what it is about."""
        return self.entry.record.subject or self.entry.record.digest

    @property
    def previous_version(self) -> str | None:
        """The version that ran before."""
        return self.entry.record.previous_version

    @property
    def previous_digest(self) -> Digest | None:
        """What ran before."""
        return self.entry.record.previous_digest

    @property
    def release(self) -> str:
        """The id that all members of a release share."""
        return self.entry.record.release.id

    @property
    def actor(self) -> str:
        """Who did it."""
        return self.entry.record.actor

    @property
    def reason(self) -> str:
        """Why; empty where nobody said."""
        return self.entry.record.reason

    @property
    def overrides(self) -> tuple[str, ...]:
        """The rules that were set aside."""
        return self.entry.record.overrides

    @property
    def approvals(self) -> tuple[str, ...]:
        """Who approved the plan that was carried out."""
        return tuple(approval.partition("@")[0] for approval in self.entry.record.approvals)

    @property
    def at(self) -> datetime:
        """When, by the clock of who wrote it."""
        return self.entry.record.at

    @property
    def record(self) -> str:
        """The tag of the record."""
        return str(self.entry.tag)

    @property
    def parents(self) -> tuple[str, ...]:
        """The tags of the records that it follows."""
        return tuple(str(parent.tag) for parent in self.entry.record.parents)

    @property
    def signer(self) -> str | None:
        """Whose key signed it, where somebody has to."""
        return (self.entry.proof.signer or None) if self.entry.proof else None


class Present(Struct, frozen=True):
    """Where an image's environment tag stands now, beside what its history says; ``heads`` over one are a fork."""

    image: str
    digest: Digest | None
    condition: Condition
    heads: int


@dataclass(frozen=True)
class History:
    """The history of an environment, newest first. ``doubts`` say which images have records that do not count."""

    environment: str
    entries: tuple[HistoryEntry, ...]
    present: tuple[Present, ...]
    unread: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def history(
    context: Context, environment: str, names: Sequence[str], limit: int | None, since: datetime | None = None
) -> History:
    """The records of an environment, newest first: by release, then by sequence; clocks are not asked.

    ``limit`` is how many releases at most. ``since`` (aware) leaves out what was written before, by the clocks of those
    who wrote it. No more records are read than that takes. What cannot be read is told in ``unread``.

    :raises TagflowError: where repositories cannot be read; its ``result`` holds the history of the others.
    """
    if limit is not None and limit < 1:
        raise UsageError(
            "usage.invalid", f"{limit} is no limit", hint="Ask for 1 release or more, or for all by no limit."
        )
    chosen = context.environment(environment)
    images = [context.image(name) for name in names] or list(context.policy.images)
    observer = Observer(context)

    def look(targets: Sequence[Target]) -> History:
        observations = list(observer.observe(targets).observations.values())
        return history_of(observer, environment, observations, limit, since)

    return whole(*observer.readable([target_of(context.policy, image, chosen) for image in images], look))


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
    return max(missing, 1 if _goes_on(entries) else 0)


def _goes_on(entries: Sequence[Entry]) -> bool:
    """Whether what lies below may be of a release that is told, or of a later one: numbers fall from record to record,
    but a release that another run finished or took back bears the number of when it was announced. Until that is
    passed, higher ones may follow: what was held or frozen meanwhile."""
    low: int | None = None
    for entry in entries:
        record = entry.record
        if record.finishes or record.action == "abort":
            low = record.release.number if low is None else min(low, record.release.number)
        elif low is not None and record.release.number <= low:
            low = None
    return low is not None


def _since(observer: Observer, seen: Observation, moment: datetime) -> list[RecordTag]:
    """The records written at a moment or later."""

    def written(tags: Sequence[RecordTag]) -> dict[RecordTag, datetime]:
        return {tag: entry.record.at for tag, entry in observer.read(seen.target.history, tags).items()}

    ordered = levels(seen.records)
    before = count_until(ordered, written, moment - timedelta.resolution)
    return [tag for level in ordered[before:] for tag in level]


def _items(seen: Observation, entries: Iterable[Entry]) -> list[HistoryEntry]:
    return [HistoryEntry(seen.image, entry, open=entry.tag == seen.standing.under_way) for entry in entries]
