"""How releases to an environment went: how many, how long they took to get there, how many were taken back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Literal

from msgspec import Struct

from tagflow.domain.reference import Digest

DEFINITIONS: Mapping[str, str] = {
    "deployments": "releases that were pushed or promoted here, each once, whatever the number of its images",
    "per week": "deployments by weeks of the whole time",
    "lead time": "from the first record of a digest in the first environment to its release here; of a release, the"
    " image that took longest",
    "change failures": "deployments that were rolled back or aborted, of all deployments",
    "time to restore": "from the deployment that ran to the rollback that took it back",
}
"""What the numbers mean, to be printed beside them."""


class Event(Struct, frozen=True):
    """One record, as far as it counts here. ``undoes``: the ids of releases that a rollback or abort took back.

    ``lost``: a release gave way to another one before it moved anything.
    """

    image: str
    release: str
    kind: Literal["deployment", "rollback", "abort", "lost"]
    digest: Digest | None
    at: datetime
    undoes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Spread:
    """A middle and a bad case, in seconds; None where nothing was measured. ``p90``: nine of ten took no longer."""

    median: float | None
    p90: float | None


@dataclass(frozen=True)
class Week:
    """Seven days from ``begin``: how many deployments, and how many of them failed."""

    begin: datetime
    deployments: int
    failures: int


@dataclass(frozen=True)
class Stats:
    """The numbers of an environment from ``since`` until now. ``change_failure_rate`` is 0 to 1; None without any."""

    environment: str
    since: datetime
    deployments: int
    per_week: float
    lead_time_seconds: Spread
    failures: int
    change_failure_rate: float | None
    time_to_restore_seconds: Spread
    weeks: tuple[Week, ...]


def measure(
    environment: str,
    events: Iterable[Event],
    arrivals: Mapping[tuple[str, Digest], datetime],
    since: datetime,
    now: datetime,
) -> Stats:
    """Measure an environment from ``since`` to ``now``.

    ``events`` are its records in order, all that are known: what a rollback took back may have come before ``since``.
    ``arrivals`` tells when the first environment had a digest of an image first; empty where this is the first itself.
    """
    known = list(events)
    begun: dict[str, datetime] = {}
    taken_back: set[str] = set()
    restored: dict[str, tuple[datetime, datetime]] = {}
    for event in known:
        if event.kind == "deployment":
            begun.setdefault(event.release, event.at)
        taken_back |= event.undoes
        ran = max((begun[release] for release in event.undoes if release in begun), default=None)
        if event.kind == "rollback" and ran is not None:
            earlier, _ = restored.get(event.release, (ran, event.at))
            restored[event.release] = max(ran, earlier), event.at
    counted = {release: at for release, at in begun.items() if since <= at <= now}
    failures = [release for release in counted if release in taken_back]
    restores = [_seconds(ran, end) for ran, end in restored.values() if since <= end <= now]
    lead: dict[str, float] = {}
    for event in known:
        arrived = arrivals.get((event.image, event.digest)) if event.digest is not None else None
        if event.kind == "deployment" and event.release in counted and arrived is not None:
            lead[event.release] = max(lead.get(event.release, 0.0), _seconds(arrived, event.at))
    weeks = max((now - since) / timedelta(weeks=1), 1 / 7)
    return Stats(
        environment,
        since,
        deployments=len(counted),
        per_week=round(len(counted) / weeks, 2),
        lead_time_seconds=spread(list(lead.values())),
        failures=len(failures),
        change_failure_rate=round(len(failures) / len(counted), 4) if counted else None,
        time_to_restore_seconds=spread(restores),
        weeks=tuple(_weeks(counted, failures, since, now)),
    )


def spread(values: Sequence[float]) -> Spread:
    """The median, and the value that nine of ten do not pass (nearest rank)."""
    if not values:
        return Spread(None, None)
    ordered = sorted(values)
    return Spread(median(ordered), ordered[math.ceil(len(ordered) * 0.9) - 1])


def _weeks(counted: Mapping[str, datetime], failures: Iterable[str], since: datetime, now: datetime) -> Iterable[Week]:
    failed = set(failures)
    begin = since
    while begin < now:
        end = begin + timedelta(weeks=1)
        these = [release for release, at in counted.items() if begin <= at < end or (at == now and end >= now)]
        yield Week(begin, len(these), sum(release in failed for release in these))
        begin = end


def _seconds(begin: datetime, end: datetime) -> float:
    """How long it took; clocks of two machines may differ, and nothing takes less than no time."""
    return max(0.0, (end - begin).total_seconds())
