"""report: what runs where and how it came to that, for one page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from tagflow.domain.history import Action, Release
from tagflow.domain.policy import Environment
from tagflow.domain.reference import Digest
from tagflow.domain.tagging import RecordTag
from tagflow.flows.context import Context
from tagflow.flows.history import Chronicle, Present, Told, chronicle, newest
from tagflow.flows.observe import Observer, Place, Sight
from tagflow.flows.status import Row, look

NEWEST = 100
"""Records read of each image in each environment: a page is looked at, an archive is what `history` is for."""


@dataclass(frozen=True)
class Step:
    """One image in an event. ``held``: the versions that are held since; ``open``: it has not arrived."""

    image: str
    version: str | None
    digest: Digest | None
    previous_version: str | None
    previous_digest: Digest | None
    held: tuple[str, ...]
    open: bool


@dataclass(frozen=True)
class Event:
    """What one release did in one way to the images of an environment."""

    action: Action
    release: Release
    at: datetime
    actor: str
    reason: str
    overrides: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Timeline:
    """One environment: where its images stand now, its events, newest first, and how many records are older still."""

    environment: str
    present: tuple[Present, ...]
    events: tuple[Event, ...]
    older: int


@dataclass(frozen=True)
class Report:
    """The matrix image × environment, and a timeline for each environment in it."""

    rows: tuple[Row, ...]
    timelines: tuple[Timeline, ...]


def report(context: Context, names: Sequence[str]) -> Report:
    """Everything that the page shows, narrowed as :func:`tagflow.flows.status.status` is.

    :raises NotFound: ``status.unknown``.
    :raises Conflict: ``history.broken``.
    """
    observer = Observer(context)
    rows = look(context, observer, names)
    places = {
        environment.name: _places(context, observer, rows, environment) for environment in context.policy.environments
    }
    sights = observer.sights([place for several in places.values() for place in several])
    observer.read_all((sight.place.history, tag) for sight in sights.values() for tag in newest(sight, NEWEST))
    timelines = [
        _timeline(observer, name, [sights[place] for place in several]) for name, several in places.items() if several
    ]
    return Report(tuple(rows), tuple(timelines))


def _places(context: Context, observer: Observer, rows: Sequence[Row], environment: Environment) -> list[Place]:
    """The images whose cell of an environment is shown."""
    shown = [row.image for row in rows if any(cell.environment == environment.name for cell in row.cells)]
    return [observer.place(context.image(name), environment) for name in shown]


def _timeline(observer: Observer, environment: str, sights: Sequence[Sight]) -> Timeline:
    told = chronicle(observer, environment, sights, NEWEST)
    older = sum(max(len(sight.records) - NEWEST, 0) for sight in sights)
    return Timeline(environment, told.present, tuple(_events(told)), older)


def _events(it: Chronicle) -> Iterable[Event]:
    held = _holds(it.entries)
    members: dict[tuple[Release, Action], list[Told]] = defaultdict(list)
    for told in it.entries:
        members[told.entry.record.release, told.entry.record.action].append(told)
    for (release, action), several in sorted(members.items(), key=lambda item: _rank(*item[0])):
        last = max((told.entry.record for told in several), key=lambda record: record.at)
        steps = tuple(_step(told, held[told.entry.tag]) for told in several)
        yield Event(action, release, last.at, last.actor, last.reason, last.overrides, steps)


def _rank(release: Release, action: Action) -> tuple[int, str, int]:
    """Newest first; within a release, what was found before it last and what was taken back first."""
    return -release.number, release.id, {"abort": 0, "adopt": 2}.get(action, 1)


def _step(told: Told, held: tuple[str, ...]) -> Step:
    it = told.entry.record
    return Step(told.image, it.version, it.digest, it.previous_version, it.previous_digest, held, told.open)


def _holds(entries: Iterable[Told]) -> Mapping[RecordTag, tuple[str, ...]]:
    """By record: the versions held from it on, as far as the record before it is there to compare with."""
    by_image: dict[str, list[Told]] = defaultdict(list)
    for told in entries:
        by_image[told.image].append(told)
    found: dict[RecordTag, tuple[str, ...]] = defaultdict(tuple)
    for several in by_image.values():
        ordered = sorted(several, key=lambda told: told.entry.place)
        for before, after in pairwise(ordered):
            new = after.entry.record.state.holds - before.entry.record.state.holds
            found[after.entry.tag] = tuple(sorted(new))
    return found
