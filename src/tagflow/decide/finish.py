"""Finish or take back what an interrupted release announced, out of its records alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tagflow.decide.decision import Prospect
from tagflow.decide.interrupted import Unfinished, announcement
from tagflow.decide.moves import TagMoves, move_lookups
from tagflow.domain.history import RELEASES, Entry
from tagflow.domain.plan import Move, Step
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import Lookup, Observation, RecordLookup, Snapshot
from tagflow.domain.standing import Interrupted, Recorded, Standing
from tagflow.domain.state import State
from tagflow.domain.versions import Version


class Change(Struct, frozen=True):
    """What becomes of one image: the record, the state after it, and the versions whose floating tags may change.

    ``step`` is None where no record is written and only floating tags are put right. ``entering``: version and
    combined tag are written too. ``stays``: the environment tag is left where it is.
    """

    seen: Observation
    step: Step | None
    prospect: Prospect
    touched: tuple[Version, ...] = ()
    entering: bool = False
    stays: bool = False

    @property
    def digest(self) -> Digest | None:
        """Where the environment tag goes; None: to nowhere, as before."""
        return self.step.digest if self.step and not self.stays else self.seen.standing.digest

    @property
    def version(self) -> Version | None:
        """The version that enters."""
        return self.seen.scheme.parse_label(self.step.version) if self.step and self.entering else None

    @property
    def admitted(self) -> frozenset[Version]:
        """What is admitted afterwards."""
        state, scheme = self.prospect.state, self.seen.scheme
        labels = {hold.version for hold in state.holds} | {void.version for void in state.void}
        out = {scheme.parse_label(label) for label in labels}
        # A hold is of the bytes, too: under whatever other version they were let in.
        bytes_held = {hold.digest for hold in state.holds if hold.digest is not None}
        out |= {it for it, tag in self.seen.combined.items() if self._stands(tag) in bytes_held}
        entering = {self.version} if self.version else set()
        there = (version for version in self.seen.combined if version not in out and self.seen.vouches(version))
        return frozenset(there) | entering

    def _stands(self, tag: str) -> Digest | None:
        """Where a tag stands, as far as that is known."""
        return self.seen.digests.get((self.seen.target.repository, tag))


def change_moves(snapshot: Snapshot, change: Change) -> list[Move]:
    """The tags that a change moves.

    :raises Refused: ``tag.immutable`` where an anchor stands elsewhere.
    """
    moves = TagMoves(snapshot, change.seen)
    version, digest = change.version, change.digest
    anchors: Sequence[Move] = moves.anchors(version, digest) if version is not None and digest is not None else ()
    return [
        *anchors,
        *moves.pins(digest),
        moves.environment(digest),
        *moves.floating(change.touched, change.admitted, {version: digest} if version and digest else {}),
    ]


def change_lookups(snapshot: Snapshot, change: Change) -> Iterator[Lookup]:
    """What :func:`change_moves` asks about."""
    touched = [*change.touched, *([change.version] if change.version else [])]
    yield from move_lookups(snapshot, change.seen, touched, change.admitted, change.version)


def finishing(snapshot: Snapshot, release: Unfinished) -> list[Change]:
    """What remains to be done for the members of an interrupted release that have a record."""
    observed = {seen.image: seen for seen in snapshot.all_in(release.environment)}
    return [_finish(observed[image], entry) for image, entry in release.entries.items()]


def _finish(seen: Observation, entry: Entry) -> Change:
    standing, record = seen.standing, entry.record
    head = standing.head
    assert head is not None
    state = head.record.state
    touched = versions(seen, [record.version, record.previous_version, *(hold.version for hold in state.holds)])
    entering = record.action in ("push", "promote")
    if not isinstance(standing.position, Interrupted):
        return Change(seen, None, Prospect(seen, state), touched)
    step = Step(
        image=seen.image,
        repository=str(seen.target.repository),
        action=record.action,
        version=record.version,
        digest=head.record.digest,
        previous_version=record.previous_version,
        previous_digest=standing.digest,
        heads=names(standing.heads),
        aborts=tuple(map(str, record.aborts)),
    )
    return Change(seen, step, Prospect(seen, state), touched, entering)


def abandoning(snapshot: Snapshot, release: Unfinished) -> list[Change]:
    """What puts every member of an interrupted release back where it was before: one abort an image."""
    observed = {seen.image: seen for seen in snapshot.all_in(release.environment)}
    changes = [_abandon(snapshot, observed[image], entry) for image, entry in release.entries.items()]
    return changes + [_shut_out(observed[image], entry) for image, entry in release.beside.items()]


def _shut_out(seen: Observation, entry: Entry) -> Change:
    """What takes an abandoned release's version out again that entered beside what runs: no tag but floating ones
    moves."""
    standing, label = seen.standing, entry.record.version
    kept = tuple(known for known in standing.state.admitted if known.version != label)
    state = replace(standing.state, admitted=kept).aborted(label, entry.record.subject)
    step = Step(
        image=seen.image,
        repository=str(seen.target.repository),
        action="abort",
        version=standing.wanted,
        digest=standing.digest,
        previous_version=label,
        previous_digest=standing.digest,
        heads=names(standing.heads),
        subject=entry.record.subject,
        aborts=(str(entry.tag),),
    )
    return Change(seen, step, Prospect(seen, state), versions(seen, [label]), stays=True)


def _abandon(snapshot: Snapshot, seen: Observation, entry: Entry) -> Change:
    standing = seen.standing
    open_entries = _open(snapshot, seen, entry)
    before = standing_before(snapshot, seen, open_entries)
    base, version = entry.record.previous_digest, entry.record.previous_version
    if before.digest == standing.digest and isinstance(before.position, Recorded):
        base, version = before.digest, before.wanted  # another release has brought in what runs: it stays
    state = _with_notes(before.state, standing, entry)
    for one in open_entries:
        state = state.aborted(one.record.version, one.record.digest)
    announced = {one.record.digest for one in open_entries}
    # What somebody moved by hand meanwhile is not ours to put back: it stays, and status shows it.
    by_hand = standing.digest != base and standing.digest not in announced
    step = Step(
        image=seen.image,
        repository=str(seen.target.repository),
        action="abort",
        version=version,
        digest=base,
        previous_version=entry.record.version,
        # An image that never moved has nothing to be put back from: a later run must not take it for unfinished.
        previous_digest=base if by_hand else standing.digest,
        heads=names(standing.heads),
        aborts=tuple(str(one.tag) for one in open_entries),
    )
    prospect = Prospect(seen, state, since=before.state.since, by=before.state.by)
    if standing.digest != base:
        prospect = replace(prospect, since=None, by="")
    return Change(seen, step, prospect, versions(seen, [entry.record.version]), stays=by_hand)


def putting_back(seen: Observation) -> Change:
    """What puts a tag back that a PUT moved late, after its release had been taken back."""
    standing = seen.standing
    head = standing.head
    assert head is not None
    version = next((void.version for void in standing.state.void if void.digest == standing.digest), None)
    step = Step(
        image=seen.image,
        repository=str(seen.target.repository),
        action="abort",
        version=standing.wanted,
        digest=head.record.digest,
        previous_version=version,
        previous_digest=standing.digest,
        heads=names(standing.heads),
    )
    return Change(seen, step, Prospect(seen, standing.state), versions(seen, [version]))


def before_lookups(snapshot: Snapshot, release: Unfinished) -> Iterator[Lookup]:
    """The records that tell how things were before a release."""
    for seen in snapshot.all_in(release.environment):
        if seen.image not in release.entries:
            continue
        for one in _open(snapshot, seen, release.entries[seen.image]):
            yield from (RecordLookup(seen.target.history, parent.tag) for parent in one.record.parents)


def standing_before(snapshot: Snapshot, seen: Observation, taken: Sequence[Entry]) -> Standing:
    """Where an image stood before some of its records were written: their parents are heads again. What another
    release brought in, be it the same bytes, did not come with these."""
    gone = {entry.tag for entry in taken}
    others = tuple(head for head in seen.standing.heads if head.tag not in gone and head.record.follows not in gone)
    named = {parent.tag for head in others for parent in head.record.parents}
    below = {
        parent.tag: parent
        for entry in taken
        for parent in snapshot.read(seen.target, [it.tag for it in entry.record.parents])
    }
    heads = others + tuple(entry for tag, entry in below.items() if tag not in named and tag not in gone)
    moved = seen.standing.digest in {it.record.digest for it in taken} - {head.record.digest for head in others}
    return Standing(taken[0].record.previous_digest if moved else seen.standing.digest, heads)


def versions(seen: Observation, labels: Iterable[str | None]) -> tuple[Version, ...]:
    """The versions that version tags name."""
    found = (seen.scheme.parse_label(label) for label in labels)
    return tuple(dict.fromkeys(version for version in found if version is not None))


def names(heads: Iterable[Entry]) -> tuple[str, ...]:
    """The tags of some records, as text."""
    return tuple(str(entry.tag) for entry in heads)


def _open(snapshot: Snapshot, seen: Observation, entry: Entry) -> list[Entry]:
    """The records of the release, and those of other releases of this image that are as little finished.

    A release that somebody began to finish was announced once more, on top of its first record.
    """
    found = {entry.tag: entry}
    todo = [entry]
    while todo:
        one = todo.pop()
        for parent in snapshot.read(seen.target, [it.tag for it in one.record.parents]):
            again = parent.record.release.id == one.record.release.id and parent.record.action == one.record.action
            if again and parent.tag not in found:
                found[parent.tag] = parent
                todo.append(parent)
    for head in seen.standing.heads:
        other = head
        if head.record.follows is not None:
            other = snapshot.entries.get((seen.target.history, head.record.follows), head)
        if other.record.action in RELEASES and other.record.digest != seen.standing.digest:
            found[other.tag] = other
    return list(found.values())


def _with_notes(before: State, standing: Standing, entry: Entry) -> State:
    """The state before a release, with the holds and freezes that were written down since it was announced."""
    head = standing.head
    if head is None or head.tag == entry.tag:
        return before
    then, now = entry.record.state, standing.state
    added = {hold for hold in now.holds if hold not in then.holds}
    lifted = {hold.version for hold in then.holds} - {hold.version for hold in now.holds}
    kept = {hold for hold in before.holds if hold.version not in lifted | {hold.version for hold in added}}
    return replace(
        before,
        holds=frozenset(kept | added),
        freeze=now.freeze,
        admitted=now.admitted,
        ignored=before.ignored | now.ignored,
    )


__all__ = [
    "Change",
    "abandoning",
    "announcement",
    "before_lookups",
    "change_lookups",
    "change_moves",
    "finishing",
    "names",
    "putting_back",
    "standing_before",
    "versions",
]
