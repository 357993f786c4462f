"""Where one image stands in one environment: its environment tag against the heads of its history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Literal

from msgspec import Struct
from msgspec.structs import replace

from tagflow.domain.history import NOTES, RELEASES, Entry, Record
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest
from tagflow.domain.state import NO_LIFTS, Hold, Lifts, Release, State
from tagflow.errors import TagflowError

Condition = Literal["empty", "recorded", "interrupted", "unrecorded", "late", "broken"]


class Empty(Struct, frozen=True):
    """There is no environment tag, and no record says that there should be one."""

    name: ClassVar[Condition] = "empty"
    head: Entry | None = None


class Recorded(Struct, frozen=True):
    """The tag is where the head record says."""

    name: ClassVar[Condition] = "recorded"
    head: Entry


class Interrupted(Struct, frozen=True):
    """The tag is where it was before the head record's change: announced, and not finished."""

    name: ClassVar[Condition] = "interrupted"
    head: Entry


class Unrecorded(Struct, frozen=True):
    """Somebody moved the tag by hand; ``head`` is None where there is no record at all."""

    name: ClassVar[Condition] = "unrecorded"
    head: Entry | None


class Late(Struct, frozen=True):
    """A PUT that came late put the tag at the digest of a release that was taken back."""

    name: ClassVar[Condition] = "late"
    head: Entry


class Broken(Struct, frozen=True):
    """A record cannot be read, so nothing can be said."""

    name: ClassVar[Condition] = "broken"
    error: TagflowError
    head: None = None


Position = Empty | Recorded | Interrupted | Unrecorded | Late | Broken


class Standing(Struct, frozen=True, dict=True):
    """The digest of the environment tag, and the heads of the history.

    ``vain``: what the head announced certainly never arrived, and somebody has moved the tag by hand since.
    ``error`` says why the history cannot be read. ``settled``: what is only
    announced beside what stands holds nothing that ran. ``parents``: the records that several heads name, which tell
    what a head lifted that another one still has.
    """

    digest: Digest | None
    heads: tuple[Entry, ...] = ()
    parents: tuple[Entry, ...] = ()
    vain: bool = False
    error: TagflowError | None = None
    settled: bool = False

    @cached_property
    def head(self) -> Entry | None:
        """The effective head: the one whose digest the tag has, else the highest sequence, then the highest tag.

        A hold or freeze changes no state: where one was written beside a release that is under way, neither having seen
        the other, that release is the head.
        """
        matching = [entry for entry in self.heads if entry.record.digest == self.digest]
        if matching and all(entry.record.carries_on for entry in matching):
            matching = [entry for entry in self.heads if self.is_pending(entry)] or matching
        return max(matching or self.heads, key=lambda entry: entry.rank, default=None)

    def is_pending(self, entry: Entry) -> bool:
        """Whether a head announces a release that may still move the tag."""
        record = entry.record
        return (
            record.action in RELEASES
            and not record.carries_on
            and record.digest != self.digest
            and record.previous_digest == self.digest
        )

    @cached_property
    def rivals(self) -> tuple[Entry, ...]:
        """The releases on top beside the one that runs: whoever announced them had not seen it, nor it them."""
        if not isinstance(self.position, Recorded):
            return ()
        others = (entry for entry in self.heads if entry is not self.head and not entry.record.carries_on)
        return tuple(entry for entry in others if entry.record.action in RELEASES)

    @cached_property
    def position(self) -> Position:
        """Which of the six cases it is."""
        if self.error is not None:
            return Broken(self.error)
        head = self.head
        if head is None or (head.record.digest is None and self.digest is None):
            return Empty(head) if self.digest is None else Unrecorded(None) if head is None else Unrecorded(head)
        if self.digest == head.record.digest:
            return Recorded(head)
        # An adoption announces nothing: it writes down what is there already.
        if head.record.action != "adopt" and self.digest == head.record.previous_digest:
            return Interrupted(head)
        late = self.digest is not None and self.digest in self.state.void_digests
        return Late(head) if late else Unrecorded(head)

    @property
    def condition(self) -> Condition:
        """The name of the case, as JSON has it."""
        return self.position.name

    @property
    def leads_back(self) -> bool:
        """Whether other bytes ran before those that run, so that a rollback without a target leads to them."""
        return any(entry.digest != self.digest for entry in self.state.stack)

    @property
    def came_by(self) -> Release | None:
        """The release that a rollback without a target would undo here; None where what runs was moved by hand."""
        top = self.state.top
        return top.release if top is not None and top.digest == self.digest else None

    @property
    def under_way(self) -> RecordTag | None:
        """The record that announced what has not arrived: the head, or the one that it carries on. None where nothing
        is under way."""
        match self.position:
            case Interrupted(head):
                return head.record.follows or head.tag
        return None

    @property
    def version(self) -> str | None:
        """The version that runs, as far as the history tells."""
        match self.position:
            case Recorded(head):
                return _said(head)
            case Interrupted(head):
                state = head.record.state
                known = [entry.version for entry in state.stack[:-1] if entry.digest == self.digest]
                known += [hold.version for hold in state.holds if hold.digest == self.digest]
                return known[-1] if known else head.record.previous_version
        return None

    @property
    def wanted(self) -> str | None:
        """The version that the head record says should run."""
        head = self.head
        return None if head is None else _said(head)

    @cached_property
    def state(self) -> State:
        """The effective head's checkpoint, with the holds of all heads, and what other heads announced in vain."""
        head = self.head
        if head is None:
            return State()
        state = head.record.state
        if self.vain:
            top = state.top
            state = replace(state, stack=state.stack[:-1])
            state = state.aborted(head.record.version, top.digest if top else None)
        others = [entry for entry in self.heads if entry is not head]
        for entry in others:
            announced = self.settled and self.is_pending(entry)
            noted = _without_holds(entry.record.state, state) if announced else entry.record.state
            state = state.joined(noted, self._lifts)
        for other in (entry.record for entry in others):
            top = other.state.top
            if other.action in RELEASES and other.action != "rollback":
                state = state.aborted(other.version, other.digest)
            elif other.carries_on and top is not None and top.digest == other.digest != self.digest:
                # What gave way to it, or was noted beside it, is all that is on top of that release.
                state = state.aborted(top.version, top.digest)
        return state

    @cached_property
    def _lifts(self) -> Lifts:
        """What the heads ended. What a release lets in counts once it has arrived: a rival that lost lifts nothing."""
        known = {(entry.tag, entry.digest): entry.record.state for entry in self.parents}
        lifts = NO_LIFTS
        for entry in self.heads:
            arrived = entry is self.head and entry.record.digest == self.digest
            if arrived or entry.record.action in NOTES:
                named = ((parent.tag, parent.digest) for parent in entry.record.parents)
                lifts |= _lifted_by(entry.record, [known[it] for it in named if it in known])
        return lifts

    @property
    def number(self) -> int:
        """The highest release number that any head knows."""
        return max((entry.record.release.number for entry in self.heads), default=0)

    def excludes(self, version: str, digest: Digest | None = None) -> str:
        """Why a version with a combined tag is not admitted here: ``held``, ``void``, ``announced`` or
        ``contradicted`` (its combined tag stands at another ``digest`` than its record says); else empty."""
        state, head = self.state, self.head
        if state.voided(version):
            return "void"  # a hold on top makes nothing of it that was ever let in
        if state.held(version, digest):
            return "held"
        announced = isinstance(self.position, Interrupted) and head is not None and head.record.version == version
        if announced and not head_carries(head) and not any(entry.version == version for entry in state.stack[:-1]):
            return "announced"
        known = [entry.digest for entry in (*state.stack, *state.admitted) if entry.version == version]
        if digest is not None and known and digest not in known:
            return "contradicted"
        return ""


def _without_holds(announced: State, standing: State) -> State:
    """A checkpoint without holds of what ran where it is not known yet: a rollback holds what it leaves."""
    ran = {entry.version for entry in standing.stack}
    return replace(announced, holds=frozenset(hold for hold in announced.holds if hold.version not in ran))


def _lifted_by(record: Record, before: Sequence[State]) -> Lifts:
    """The holds and freezes that a record itself ended: those of the version that it is about, and the freeze where it
    is about that. What else it lacks, what it followed may have lacked for reasons that do not hold any more."""
    gone = frozenset[Hold]().union(*(state.holds for state in before)) - record.state.holds
    about = record.subject or (None if record.action in NOTES else record.digest)
    holds = frozenset(
        hold for hold in gone if hold.version == record.version or (about is not None and hold.digest == about)
    )
    if record.action not in ("freeze", "thaw"):
        return Lifts(holds if record.action != "adopt" else frozenset())
    freezes = frozenset(state.freeze for state in before if state.freeze is not None)
    return Lifts(freezes=freezes - {record.state.freeze})


def _said(head: Entry) -> str | None:
    """The version that a head record says runs: the top of its stack, unless that is other bytes. A signed history
    adopts what was moved by hand beside its stack."""
    record = head.record
    top = record.state.top
    if top is not None and top.digest == record.digest:
        return top.version
    return None if record.carries_on else record.version


def head_carries(head: Entry | None) -> bool:
    """Whether a head announces nothing itself."""
    return head is None or head.record.carries_on


class Stay(Struct, frozen=True):
    """A digest ran from ``begin`` to ``end``, without a break."""

    digest: Digest
    begin: datetime
    end: datetime


def stays(entries: Iterable[Entry], standing: Standing, now: datetime) -> list[Stay]:
    """The unbroken stays that a history tells of, oldest first; one that still lasts ends ``now``.

    A stay ends when the next record of another digest was written. What was announced and never arrived did not stay;
    what was announced twice by one release arrived at the second time at the earliest. What is announced and has not
    arrived yet ends no stay either. A stay begins at the latest of the clocks of its record and of those before it, and
    ends now at the latest: a writer whose clock is wrong must not lengthen it. What was admitted beside what runs stays
    from its admission on, while it is admitted.
    """
    known = {entry.tag: entry for entry in entries}
    arrived = standing.head if not isinstance(standing.position, Interrupted) else None
    pending = {tag for head in standing.heads if head is not arrived for tag in (head.tag, head.record.follows)}
    aborted_tags = {tag for entry in known.values() for tag in entry.record.aborts}
    ordered = sorted(
        (
            entry
            for entry in known.values()
            if entry.tag not in pending and entry.tag not in aborted_tags and not entry.record.carries_on
        ),
        key=lambda entry: entry.rank,
    )
    begins = _Begins(known, now)
    found: list[Stay] = []
    for index, entry in enumerate(ordered):
        record = entry.record
        following = [later.record for later in ordered[index + 1 :] if later.record.digest != record.digest]
        aborted = bool(following) and following[0].action == "abort"
        again = [later.record.release for later in ordered[index + 1 :] if later.record.digest == record.digest][:1]
        if record.digest is None or aborted or record.release in again:
            continue
        began = begins.of(entry)
        if following:
            found.append(Stay(record.digest, began, max(began, min(following[0].at, now))))
        elif standing.digest == record.digest:
            found.append(Stay(record.digest, began, max(began, now)))
    return found + _stays_beside(known, begins, standing, now)


def _stays_beside(known: Mapping[RecordTag, Entry], begins: _Begins, standing: Standing, now: datetime) -> list[Stay]:
    """The stays of maintenance versions that are admitted now, each from its last admission on."""
    state = standing.state
    present = {(entry.version, entry.digest) for entry in state.admitted if not state.held(entry.version, entry.digest)}
    last: dict[Digest, Stay] = {}
    for entry in sorted(known.values(), key=lambda entry: entry.rank):
        record = entry.record
        if record.action == "admit" and record.subject and (record.version, record.subject) in present:
            began = begins.written(entry)
            last[record.subject] = Stay(record.subject, began, max(began, now))
    return list(last.values())


class _Begins:
    """When stays began, by more clocks than one.

    No record was written before those that it names, so the latest clock among them counts, and not that of one writer
    who is behind. A clock that is ahead of ours is wrong, here or there: it counts for the records that name it, lest
    the soak be shortened, and not for all that come after them, lest nothing ever soak again.
    """

    def __init__(self, known: Mapping[RecordTag, Entry], now: datetime) -> None:
        self._known, self._now = known, now
        self._heard: dict[RecordTag, datetime] = {}
        self._stays: dict[tuple[Digest | None, datetime], datetime] = {}
        for entry in sorted(known.values(), key=lambda entry: entry.rank):
            record = entry.record
            passed = [clock for clock in (record.at, *self._before(record)) if clock <= now]
            if passed:
                self._heard[entry.tag] = max(passed)
            if not _goes_on(record):
                began = record.state.since or record.at
                self._stays[record.digest, began] = max(began, self.written(entry))

    def written(self, entry: Entry) -> datetime:
        """When a record was written, at the earliest that all clocks allow."""
        record = entry.record
        named = (self._known[it.tag].record.at for it in record.parents if it.tag in self._known)
        return max([record.at, *named, *self._before(record)])

    def of(self, entry: Entry) -> datetime:
        """When the stay of a record's digest began: with it, or with an earlier one that it does not break."""
        since = entry.record.state.since or entry.record.at
        if _goes_on(entry.record):
            return self._stays.get((entry.record.digest, since), since)
        return max(since, self.written(entry))

    def _before(self, record: Record) -> list[datetime]:
        """The latest clocks up to those that it names, of those that are not ahead of ours."""
        return [self._heard[it.tag] for it in record.parents if it.tag in self._heard]


def _goes_on(record: Record) -> bool:
    """Whether the stay of its digest began with an earlier record."""
    return record.state.since is not None and record.state.since < record.at
