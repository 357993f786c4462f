"""report: what runs where and how it came to that, for one page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from msgspec import Struct

from tagflow.context import Context
from tagflow.domain.history import Action, Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.policy import Environment
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import Observation, Target, target_of
from tagflow.domain.state import Release
from tagflow.domain.stats import Stats
from tagflow.observe.observer import Observer
from tagflow.verbs.history import History, HistoryEntry, Present, history_of, newest
from tagflow.verbs.stats import BRING_IN, measure_histories
from tagflow.verbs.status import Row, look

WEEKS = 12
"""Weeks that are counted in numbers."""
NEWEST = 100
"""Releases that are told of each environment, and records read of each image there: a page is looked at, an archive is
what `history` is for."""
_FURTHER = 10
"""So many times as many are read of the first environment, where it takes that to tell a lead time."""
_EVER = datetime.fromtimestamp(0, UTC)


class Step(Struct, frozen=True):
    """One image in an event. ``held``: the versions that are held since; ``open``: it has not arrived."""

    image: str
    version: str | None
    digest: Digest | None
    previous_version: str | None
    previous_digest: Digest | None
    held: tuple[str, ...]
    open: bool


class Event(Struct, frozen=True):
    """What one release did in one way to the images of an environment; ``signed`` says by whom its records are."""

    action: Action
    release: Release
    at: datetime
    actor: str
    reason: str
    overrides: tuple[str, ...]
    steps: tuple[Step, ...]
    signed: str = ""


class Run(Struct, frozen=True):
    """What an image ran from a moment on, until the next one: nothing, where ``digest`` is None. What ran before the
    oldest record that was read has no version, and begins in 1970."""

    begin: datetime
    version: str | None
    digest: Digest | None


@dataclass(frozen=True)
class Timeline:
    """One environment: where its images stand now, its events, newest first, and how many records are older still.

    ``past`` is what each image ran, oldest first; ``stats`` the numbers of the last weeks, or of those that the records
    read tell of; both by the newest records of each image, whichever releases are told.
    """

    environment: str
    present: tuple[Present, ...]
    events: tuple[Event, ...]
    older: int
    past: Mapping[str, tuple[Run, ...]] = field(default_factory=dict, hash=False)
    stats: Stats | None = None


class Report(Struct, frozen=True):
    """The matrix image × environment, and a timeline for each environment in it."""

    rows: tuple[Row, ...]
    timelines: tuple[Timeline, ...]


def report(context: Context, names: Sequence[str]) -> Report:
    """Everything that the page shows, narrowed as :func:`tagflow.verbs.status.status` is.

    :raises NotFound: ``status.unknown``.
    """
    observer = Observer(context)
    rows = look(context, observer, names)
    targets = {environment.name: _targets(context, rows, environment) for environment in context.policy.environments}
    first = [target_of(context.policy, context.image(row.image), context.policy.environments[0]) for row in rows]
    snapshot = observer.observe([*dict.fromkeys(it for several in (*targets.values(), first) for it in several)])
    now = context.now()
    found = {name: [snapshot.observations[it] for it in several] for name, several in targets.items() if several}
    histories = {name: history_of(observer, name, several, NEWEST) for name, several in found.items()}
    told = {name: [_newest(observer, seen) for seen in several] for name, several in found.items()}
    begun = {name: _begin(several, now) for name, several in told.items()}
    where = context.policy.environments[0].name
    deployed = [
        (seen.image, entry.record.digest)
        for name in told.keys() - {where}
        for seen, entries in told[name]
        for entry in entries
        if entry.record.at >= begun[name] and entry.record.action in ("push", "promote")
    ]
    arrived = [_back_to(observer, snapshot.observations[it], deployed) for it in first]
    timelines = [
        _timeline(
            histories[name],
            several,
            measure_histories(name, several, [] if name == where else arrived, begun[name], now),
        )
        for name, several in told.items()
    ]
    return Report(tuple(rows), tuple(timelines))


def _targets(context: Context, rows: Sequence[Row], environment: Environment) -> list[Target]:
    """The images whose cell of an environment is shown."""
    shown = [row.image for row in rows if any(cell.environment == environment.name for cell in row.environments)]
    return [target_of(context.policy, context.image(name), environment) for name in shown]


_Told = tuple[Observation, Sequence[Entry]]
"""What was observed of an image, and its newest records, oldest first."""


def _newest(observer: Observer, seen: Observation) -> _Told:
    """The records that were read to be told, also those of releases that are too many to be told."""
    entries = observer.read(seen.target.history, newest(seen.records)[:NEWEST]).values()
    return seen, sorted(entries, key=lambda entry: entry.rank)


def _begin(told: Sequence[_Told], now: datetime) -> datetime:
    """Since when the numbers count: for twelve weeks, or as far as the records go back that were read."""
    begins = [entries[0].record.at for seen, entries in told if entries and _is_cut(seen)]
    return min(max([now - WEEKS * timedelta(weeks=1), *begins]), now)


def _back_to(observer: Observer, seen: Observation, deployed: Iterable[tuple[str, Digest | None]]) -> _Told:
    """The records of an image in the first environment, back to those by which there came what was ``deployed`` from
    there: it may have been long ago, where a lot comes in and little goes on."""
    wanted = {digest for image, digest in deployed if image == seen.image}
    waiting, found = newest(seen.records), dict[RecordTag, Entry]()
    for _ in range(_FURTHER):
        if not wanted or not waiting:
            break
        batch, waiting = waiting[:NEWEST], waiting[NEWEST:]
        found |= observer.read(seen.target.history, batch)
        wanted -= {entry.record.digest for entry in found.values() if entry.record.action in BRING_IN}
    return seen, list(found.values())


def _is_cut(seen: Observation) -> bool:
    return len(seen.records) > NEWEST


def _timeline(found: History, told: Sequence[_Told], stats: Stats) -> Timeline:
    readable = (len(entries) + max(len(seen.records) - NEWEST, 0) for seen, entries in told)
    past = {seen.image: tuple(_runs(seen, entries)) for seen, entries in told}
    older = max(sum(readable) - len(found.entries), 0)
    return Timeline(found.environment, found.present, tuple(_events(found)), older, past, stats)


def _runs(seen: Observation, entries: Sequence[Entry]) -> Iterator[Run]:
    """What an image ran, by its records: what was taken back, or has not arrived, never did."""
    gone = {tag for entry in entries for tag in entry.record.aborts}
    last: Digest | None = None
    if entries and _is_cut(seen):
        yield Run(_EVER, None, entries[0].record.previous_digest)
    for entry in entries:
        record = entry.record
        under_way = entry.tag == seen.standing.under_way
        if record.carries_on or record.action == "abort" or entry.tag in gone or under_way:
            continue
        if record.digest != last:
            last = record.digest
            yield Run(record.at, record.version, record.digest)


def _events(found: History) -> Iterable[Event]:
    held = _holds(found.entries)
    members: dict[tuple[Release, Action], list[HistoryEntry]] = defaultdict(list)
    for item in found.entries:
        members[item.entry.record.release, item.entry.record.action].append(item)
    for (release, action), several in sorted(members.items(), key=lambda item: _rank(*item[0])):
        last = max((item.entry.record for item in several), key=lambda record: record.at)
        steps = tuple(_step(item, held[item.entry.tag]) for item in several)
        proofs = dict.fromkeys(item.entry.proof.told for item in several if item.entry.proof)
        yield Event(action, release, last.at, last.actor, last.reason, last.overrides, steps, ", ".join(proofs))


def _rank(release: Release, action: Action) -> tuple[int, str, int]:
    """Newest first; within a release, what was found before it last and what was taken back first."""
    return -release.number, release.id, {"abort": 0, "adopt": 2}.get(action, 1)


def _step(item: HistoryEntry, held: tuple[str, ...]) -> Step:
    record = item.entry.record
    return Step(
        item.image,
        record.version,
        record.subject or record.digest,
        record.previous_version,
        record.previous_digest,
        held,
        item.open,
    )


def _holds(entries: Iterable[HistoryEntry]) -> Mapping[RecordTag, tuple[str, ...]]:
    """By record: the versions held from it on, as far as the record before it is there to compare with."""
    by_image: dict[str, list[HistoryEntry]] = defaultdict(list)
    for item in entries:
        by_image[item.image].append(item)
    found: dict[RecordTag, tuple[str, ...]] = defaultdict(tuple)
    for several in by_image.values():
        ordered = sorted(several, key=lambda item: item.entry.rank)
        for before, after in pairwise(ordered):
            known = {hold.version for hold in before.entry.record.state.holds}
            new = {hold.version for hold in after.entry.record.state.holds} - known
            found[after.entry.tag] = tuple(sorted(new))
    return found
