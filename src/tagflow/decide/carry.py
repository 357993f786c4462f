"""What a record carries on: of what it follows, of what others noted, and of releases that remain under way. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from tagflow.decide.ballot import Ballot
from tagflow.decide.decision import UNNUMBERED, Prospect
from tagflow.domain.history import NOTES, RELEASES, Entry, Record
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.plan import Step
from tagflow.domain.standing import Interrupted, Standing
from tagflow.domain.state import Hold, Release, State


def parents_below(step: Step, standing: Standing) -> list[Entry]:
    """The parents of what is announced. A note beside several releases under way stands on one of them: nothing says
    yet which of them goes on, and each has to be found on top then."""
    if step.action not in NOTES:
        return list(standing.heads)
    return [entry for entry in standing.heads if entry is standing.head or not standing.is_pending(entry)]


def carrying(draft: Record, prospect: Prospect) -> Record:
    """A note changes no state: the digests of what it follows go on, and so does the stay."""
    standing = prospect.seen.standing
    head = standing.head
    state = replace(draft.state, since=standing.state.since, by=standing.state.by)
    if head is None:
        return replace(draft, state=state, digest=None, previous_version=None, previous_digest=None)
    record = head.record
    # An adoption announced no move: what was there before it must not look like an unfinished one.
    settled = record.action == "adopt"
    return replace(
        draft,
        state=state,
        digest=record.digest,
        previous_version=record.previous_version,
        previous_digest=record.digest if settled else record.previous_digest,
        follows=record.follows or head.tag,
    )


def carrying_on(draft: Record, other: Entry, base: State) -> Record:
    """An abort beside a release that is still under way: it must not look settled."""
    record = other.record
    return replace(
        draft,
        version=record.version,
        digest=record.digest,
        previous_digest=record.previous_digest,
        state=carried(record.state, base),
        follows=record.follows or other.tag,
    )


def built_on_by(entry: Entry, unseen: Mapping[RecordTag, Entry]) -> set[RecordTag]:
    """A record and what it was built on, as far as unseen records tell: its state has their notes, or ended them."""
    found, todo = {entry.tag}, [entry]
    while todo:
        parents = {parent.tag for parent in todo.pop().record.parents} - found
        found |= parents
        todo += [unseen[tag] for tag in parents if tag in unseen]
    return found


def everything(ballot: Ballot) -> set[RecordTag]:
    """All records that a look knows of."""
    return {*ballot.known, *ballot.unseen, *ballot.listed}


def resumed_head(prospect: Prospect, now: Ballot | None = None) -> Entry | None:
    """The head by which a release is under way that a run was to finish. ``now``: or that shows itself to be under way
    by where the tag stands, though it looked complete when this run decided."""
    standing = prospect.seen.standing
    position = (standing if now is None else Standing(now.digest, standing.heads)).position
    return position.head if isinstance(position, Interrupted) else None


def taken_below(prospect: Prospect, ballot: Ballot) -> Entry | None:
    """The abort by which a release was taken back that a run had built on, or was to finish. Where that carries on
    another release, and this one was taken back as well, it is the abort of that."""
    heads = prospect.seen.standing.heads
    names = {entry.tag for entry in heads} | {entry.record.follows for entry in heads}
    found, passed = None, set[RecordTag | None]()
    while not names <= passed:
        passed |= names
        aborts = [it for it in ballot.unseen.values() if it.record.action == "abort" and names & {*it.record.aborts}]
        latest = max(aborts, key=lambda it: it.rank, default=None)
        if latest is None:
            break
        found, names = latest, {latest.record.follows} - {None}
    return found


def noted_beside(prospect: Prospect, gone: Collection[RecordTag]) -> State:
    """What was noted beside releases that were taken back."""
    state = State()
    for head in prospect.seen.standing.heads:
        if head.tag not in gone:
            state = state.joined(head.record.state)
    return state


def still_open(ballot: Ballot, lost: Collection[RecordTag]) -> list[Entry]:
    """Other releases that are still under way, or have arrived: the one that the tag shows, else the first, before the
    others. Those that another of them was built on are not among them."""
    taken = {tag for entry in ballot.unseen.values() if entry.record.action == "abort" for tag in entry.record.aborts}
    taken.update(lost)
    open_ = [it for it in ballot.unseen.values() if it.record.action in RELEASES and it.tag not in taken]
    named = {parent.tag for entry in open_ for parent in entry.record.parents}
    latest = [entry for entry in open_ if entry.tag not in named] or open_
    return sorted(latest, key=lambda entry: (entry.record.digest != ballot.digest, entry.rank))


def tops(prospect: Prospect, ballot: Ballot) -> list[Entry]:
    """The records that no other names, of all that are there. A record of this run whose PUT failed is not named as a
    parent: it may never arrive, and the history would have a hole."""
    mine = [entry for entry in ballot.mine if entry.tag in ballot.listed]
    known: Mapping[RecordTag, Entry] = {
        entry.tag: entry for entry in (*prospect.seen.standing.heads, *ballot.unseen.values(), *mine)
    }
    named = {parent.tag for entry in known.values() for parent in entry.record.parents}
    return sorted((it for it in known.values() if it.tag not in named), key=lambda it: it.rank, reverse=True)


def carried(state: State, base: State) -> State:
    """The state that another release announced, with what this run's decision had seen and that one's had not.

    A hold of what the other release lets in is not one of these: it knew it, or it gives way to it by itself.
    """
    top = state.top
    noted = (
        base.holds
        if top is None
        else {hold for hold in base.holds if hold.version != top.version and hold.digest != top.digest}
    )
    return state.joined(replace(base, holds=frozenset(noted)))


def with_notes(state: State, unseen: Iterable[Entry]) -> State:
    """A state with what others noted meanwhile: holds, freezes, and what was announced in vain."""
    for entry in sorted(unseen, key=lambda entry: entry.rank):
        record = entry.record
        match record.action:
            case "hold":
                hold = record.state.held(record.version) or Hold(record.version or "", record.subject)
                state = state.holding(hold)
            case "unhold":
                state = state.lifted([record.version or ""])
            case "freeze" | "thaw":
                state = replace(state, freeze=record.state.freeze)
            case "admit":
                state = replace(state, admitted=record.state.admitted)
            case "abort":
                state = state.joined(State(void=record.state.void))
    return state


def numbered(state: State, release: Release, adoption: Release) -> State:
    """Name the releases of the entries that came in with this run: the running one's, and the adoption's below it."""
    top = len(state.stack) - 1
    stack = tuple(
        replace(entry, release=release if index == top else adoption) if entry.release == UNNUMBERED else entry
        for index, entry in enumerate(state.stack)
    )
    admitted = tuple(replace(it, release=release) if it.release == UNNUMBERED else it for it in state.admitted)
    return replace(state, stack=stack, admitted=admitted)
