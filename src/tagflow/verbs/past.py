"""What ran at a moment, by the history alone, found with few looks at its records.

Records are ordered by their sequence numbers, which their tags carry. Where each was written later than the one before,
by the clocks of those who wrote them, a search that halves the rest each time finds the last one before a moment:
eleven looks for two thousand records. A clock that was wrong shifts the answer by no more than it was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from tagflow.context import Context
from tagflow.domain.history import Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.snapshot import Target
from tagflow.domain.standing import Standing
from tagflow.domain.state import State
from tagflow.errors import TagflowError, few
from tagflow.observe.observer import Observer
from tagflow.verbs.status import Cell, Row, asked, doubted, matches, tell_doubts
from tagflow.workers import each

Clock = Callable[[Sequence[RecordTag]], Mapping[RecordTag, datetime]]
"""Says when records were written; one that cannot be read is left out."""


def levels(listed: Collection[RecordTag]) -> list[tuple[RecordTag, ...]]:
    """The records by sequence number, lowest first; several of one number are a fork."""
    ordered = sorted(listed, key=lambda tag: (tag.sequence, str(tag)))
    return [tuple(tags) for _, tags in groupby(ordered, key=lambda tag: tag.sequence)]


def count_until(ordered: Sequence[Sequence[RecordTag]], clock: Clock, moment: datetime) -> int:
    """How many of the :func:`levels` had been written at a moment, its own instant included.

    One record tells of its level, the highest; the others are asked where that one cannot be read, then the levels
    below.
    """
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        probe, written = middle, _written(ordered[middle], clock)
        while written is None and probe > low:
            probe -= 1
            written = _written(ordered[probe], clock)
        if written is not None and written > moment:
            high = probe
        else:
            low = middle + 1
    return low


def _written(level: Sequence[RecordTag], clock: Clock) -> datetime | None:
    """When the first of a level was written; None where none of it can be read."""
    times = clock(level[-1:]) or clock(level[:-1])
    return min(times.values(), default=None)


@dataclass(frozen=True)
class Past:
    """What ran at a moment. ``unread`` says which histories, or records of them, could not be read."""

    at: datetime
    rows: tuple[Row, ...]
    unread: tuple[str, ...] = ()


def status_at(context: Context, moment: datetime, names: Sequence[str]) -> Past:
    """Which version ran where at a moment (aware), narrowed as :func:`tagflow.verbs.status.status` is.

    Of each image's records few are read (:mod:`tagflow.verbs.past`). Moments are those of the clocks that wrote
    them; what was moved by hand is in no record until it was adopted.

    :raises NotFound: ``status.unknown`` for a word that is no environment, image, version or digest.
    """
    narrow, targets = asked(context, names)
    observer = Observer(context)
    observer.list_all(target.history for target in targets)
    # Whether a history that is empty lies beside the image, from before the policy kept it apart.
    observer.list_all(target.repository for target in targets if not observer.records(target))
    cells = each(lambda it: _cell(context, observer, it, moment), targets, threads=context.threads)
    rows = []
    for image, several in groupby(zip(targets, cells, strict=True), key=lambda pair: pair[0].image):
        kept = tuple(cell for _, cell in several if matches(context, narrow, cell))
        if kept or not narrow.narrows_cells:
            rows.append(Row(image.name, kept))
    tell_doubts(context, doubted(rows))
    return Past(moment, tuple(rows), tuple(_unread(observer, targets)))


def _unread(observer: Observer, targets: Iterable[Target]) -> Iterator[str]:
    """A line for each environment with histories that lie elsewhere, or with records that were asked for and cannot be
    read: what it was told without."""
    found: dict[str, list[tuple[str, str]]] = {}
    for target in targets:
        for error in _why_unread(observer, target):
            found.setdefault(target.environment.name, []).append((target.image.name, error.message))
    for name, several in found.items():
        images = few(list(dict.fromkeys(image for image, _ in several)))
        why = f"not all of the history of {images} can be read ({several[0][1]})"
        yield f"{name}: {why}; `tagflow verify {name}` tells more"


def _why_unread(observer: Observer, target: Target) -> Iterator[TagflowError]:
    if elsewhere := observer.why_elsewhere(target):
        yield elsewhere
    records = observer.records(target)
    found = {tag: why for tag in sorted(records, key=str) if (why := observer.why_unread(target.history, tag))}
    if found:
        newest = observer.read(target.history, levels(records)[-1]).values()
        ignored = {tag for entry in newest for tag in entry.record.state.ignored}
        yield from (why for tag, why in found.items() if tag not in ignored)


def _cell(context: Context, observer: Observer, target: Target, moment: datetime) -> Cell:
    if error := observer.why_elsewhere(target):
        return Cell(target.environment.name, None, None, None, None, "broken", (), detail=error.message)
    entry, noted = _last(observer, target, moment)
    nothing = Cell(
        environment=target.environment.name,
        version=None,
        digest=None,
        since=None,
        by=None,
        state="empty",
        holds=tuple(sorted(hold.version for hold in noted.holds)),
        held=tuple(sorted(noted.holds, key=lambda hold: hold.version)),
        frozen=noted.freeze if noted.freeze and (noted.freeze.until is None or moment < noted.freeze.until) else None,
        doubtful=len(observer.doubtful(target)),
    )
    if entry is None:
        return nothing
    record, state = entry.record, entry.record.state
    if _is_open(context, observer, target, entry):
        before = Standing(record.previous_digest, (entry,))
        return replace(nothing, version=before.version, digest=before.digest, state="interrupted", wanted=before.wanted)
    if record.digest is None:
        return nothing
    return replace(
        nothing,
        version=state.top.version if state.top and state.top.digest == record.digest else record.version,
        digest=record.digest,
        since=state.since or record.at,
        by=state.by or record.actor,
        state="recorded",
    )


def _is_open(context: Context, observer: Observer, target: Target, entry: Entry) -> bool:
    """Whether a record announced, or carries on, what is still the last that was announced, and has not arrived."""
    record = entry.record
    if record.action == "adopt" or record.digest == record.previous_digest:
        return False
    announced = record.follows or entry.tag
    last = observer.read(target.history, levels(observer.records(target))[-1]).values()
    if not any(announced in (it.tag, it.record.follows) for it in last):
        return False
    return context.stores(target.repository).resolve(target.environment.name) == record.previous_digest


def _last(observer: Observer, target: Target, moment: datetime) -> tuple[Entry | None, State]:
    """The last record that had been written at a moment, but for what was announced and taken back afterwards, and what
    had been noted: by that record, or on what was taken back, be there no other record."""
    ordered = levels(observer.records(target))

    def written(tags: Sequence[RecordTag]) -> dict[RecordTag, datetime]:
        return {tag: entry.record.at for tag, entry in observer.read(target.history, tags).items()}

    count = count_until(ordered, written, moment)
    gone, gone_releases = _taken_back(observer, target, ordered[count:])
    noted: State | None = None
    while count:
        count -= 1
        level = observer.read(target.history, ordered[count]).values()
        standing = [
            entry
            for entry in level
            if entry.record.at <= moment
            and entry.tag not in gone
            and (entry.record.release.id not in gone_releases or entry.record.action == "abort")
        ]
        last = max(standing, key=lambda entry: entry.rank, default=None)
        if last is not None:
            noted = noted or last.record.state
            if last.record.follows not in gone:
                return last, noted
    return None, noted or State()


def _taken_back(
    observer: Observer, target: Target, later: Iterable[Sequence[RecordTag]]
) -> tuple[set[RecordTag], set[str]]:
    """The records, and the releases, that the next ones took back: those up to the next that moves a tag."""
    gone, releases = set[RecordTag](), set[str]()
    for level in later:
        entries = observer.read(target.history, level).values()
        gone |= {tag for entry in entries for tag in entry.record.aborts}
        releases |= {entry.record.release.id for entry in entries if entry.record.action == "abort"}
        if not all(entry.record.carries_on for entry in entries):
            break
    return gone, releases
