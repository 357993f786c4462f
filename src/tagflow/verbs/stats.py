"""stats: how releases to an environment went."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

from tagflow.context import Context
from tagflow.domain.history import Action, Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import Observation, RecordLookup, left_out, target_of
from tagflow.domain.stats import Event, Stats, measure
from tagflow.observe.observer import Observer
from tagflow.verbs.status import tell_doubts

BRING_IN: Collection[Action] = ("push", "promote", "adopt")
"""By these a digest comes to an environment for the first time."""


def stats(context: Context, environment: str, since: datetime) -> Stats:
    """Measure an environment from ``since`` (aware) until now, by its history and that of the first environment.

    :raises NotFound: ``environment.not_found``.
    """
    chosen, first = context.environment(environment), context.policy.environments[0]
    now = context.now()
    observer = Observer(context)
    asked = dict.fromkeys((chosen, first))
    targets = [target_of(context.policy, image, it) for it in asked for image in context.policy.images]
    snapshot = observer.observe(targets)
    for note in left_out(snapshot.observations.values()):
        context.warn(f"note: {note}")
    observer.read_all(
        RecordLookup(target.history, tag) for target, seen in snapshot.observations.items() for tag in seen.records
    )
    tell_doubts(context, ((it.environment.name, it.image.name) for it in targets if observer.doubtful(it)))
    read = {
        target: (seen, list(observer.read(target.history, seen.records).values()))
        for target, seen in snapshot.observations.items()
    }
    here = [told for target, told in read.items() if target.environment == chosen]
    there = [told for target, told in read.items() if target.environment == first != chosen]
    return measure_histories(environment, here, there, since, now)


def measure_histories(
    environment: str,
    here: Iterable[tuple[Observation, Sequence[Entry]]],
    first: Iterable[tuple[Observation, Sequence[Entry]]],
    since: datetime,
    now: datetime,
) -> Stats:
    """Measure an environment by records that were read, and by those of the ``first`` environment, if it is another."""
    arrivals: dict[tuple[str, Digest], datetime] = {}
    for seen, entries in first:
        _note_arrivals(arrivals, seen.image, entries)
    events = [event for seen, entries in here for event in _events(seen, sorted(entries, key=lambda entry: entry.rank))]
    return measure(environment, _without_losers(events), arrivals, since, now)


def _events(seen: Observation, entries: Sequence[Entry]) -> Iterator[Event]:
    known = {entry.tag: entry for entry in entries}
    for entry in entries:
        record = entry.record
        if entry.tag == seen.standing.under_way:
            continue
        match record.action:
            case "push" | "promote":
                yield Event(seen.image, record.release.id, "deployment", record.digest, record.at)
            case "rollback":
                undone = _popped(entry, known)
                yield Event(seen.image, record.release.id, "rollback", record.digest, record.at, undone)
            case "abort":
                gone = {known[tag].record.release.id for tag in record.aborts if tag in known} or {record.release.id}
                kind: Literal["lost", "abort"] = "lost" if record.follows is not None else "abort"
                yield Event(seen.image, record.release.id, kind, record.digest, record.at, frozenset(gone))


def _popped(entry: Entry, known: Mapping[RecordTag, Entry]) -> frozenset[str]:
    """The releases that a rollback took back: those that it popped, or the one that ran."""
    parents = [known[parent.tag] for parent in entry.record.parents if parent.tag in known]
    if not parents:
        return frozenset()
    before, after = max(parents, key=lambda it: it.rank).record.state.stack, entry.record.state.stack
    popped = before[len(after) :] or before[-1:]
    return frozenset(ran.release.id for ran in popped)


def _without_losers(events: Iterable[Event]) -> list[Event]:
    """A release that another one overtook never moved anything: it is no deployment."""
    known = list(events)
    lost = {release for event in known if event.kind == "lost" for release in event.undoes}
    return [event for event in known if event.kind != "lost" and event.release not in lost]


def _note_arrivals(arrivals: dict[tuple[str, Digest], datetime], image: str, entries: Iterable[Entry]) -> None:
    for entry in entries:
        record = entry.record
        if record.digest is not None and record.action in BRING_IN:
            key = (image, record.digest)
            arrivals[key] = min(record.at, arrivals.get(key, record.at))
