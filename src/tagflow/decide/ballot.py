"""A ballot: what a run sees of others, of one image, and what follows from that. Pure.

Of the records that it had not seen when it decided: who built on its release, who took it back, what came to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from tagflow.domain.history import RELEASES, Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest


class Ballot(Struct, frozen=True):
    """One image in an election.

    ``mine`` are this run's own records here, the announcement last; ``known`` the record tags that the decision had
    seen; ``before`` where the environment tag was to be found;
    ``unseen`` what has been listed since, by tag; ``digest`` where the environment tag stands now; ``listed`` those of
    this run's own records that are in the list: one whose PUT failed may never be; ``passed`` releases that were built
    on this one by mistake, and gave way: they do not count.
    """

    mine: tuple[Entry, ...]
    known: frozenset[RecordTag]
    before: Digest | None
    unseen: Mapping[RecordTag, Entry]
    digest: Digest | None
    listed: frozenset[RecordTag] = frozenset()
    passed: frozenset[RecordTag] = frozenset()

    @property
    def announcement(self) -> Entry:
        """The record that announces the change."""
        return self.mine[-1]

    @property
    def own_tags(self) -> frozenset[RecordTag]:
        """The tags of this run's records."""
        return frozenset(entry.tag for entry in self.mine)


def taken_over(ballot: Ballot) -> Entry | None:
    """Somebody else's abort of this run's records, or a release built on them."""
    own = ballot.own_tags
    for entry in ballot.unseen.values():
        if entry.record.abandons and own.intersection(entry.record.aborts):
            return entry
    return built_on(ballot)


def built_on(ballot: Ballot) -> Entry | None:
    """A release that another run built on this one: its decision had seen this one's record."""
    return next(successors(ballot), None)


def successors(ballot: Ballot) -> Iterator[Entry]:
    """The releases that have this one among their ancestors, the lowest first. One that was to finish it, and gave way,
    has left it to this run again."""
    below = set(ballot.own_tags)
    for entry in sorted(ballot.unseen.values(), key=lambda entry: entry.rank):
        if any(parent.tag in below for parent in entry.record.parents):
            below.add(entry.tag)
            left = finishes(entry, ballot) and not is_open(entry, ballot.unseen)
            if entry.record.action in RELEASES and entry.tag not in ballot.passed and not left:
                yield entry


def taken_back(ballot: Ballot) -> Entry | None:
    """Somebody else's abort of this run's records."""
    own = ballot.own_tags
    found = (entry for entry in ballot.unseen.values() if own.intersection(entry.record.aborts))
    return next((entry for entry in found if entry.record.abandons), None)


def gone(ballot: Ballot) -> frozenset[RecordTag]:
    """The records that were taken back since the decision, by whomever."""
    return frozenset(tag for entry in ballot.unseen.values() for tag in entry.record.aborts)


def is_open(entry: Entry, unseen: Mapping[RecordTag, Entry]) -> bool:
    """Whether an unseen record announces a release that its own run has not taken back."""
    if entry.record.action not in RELEASES:
        return False
    return not any(
        other.record.action == "abort" and entry.tag in other.record.aborts and not other.record.abandons
        for other in unseen.values()
    )


def finishes(entry: Entry, ballot: Ballot) -> bool:
    """Whether a record announces that another run is to finish this same release."""
    record = entry.record
    is_release = record.action in RELEASES and record.finishes
    return is_release and record.release.id == ballot.announcement.record.release.id


def finishers(ballot: Ballot) -> list[Entry]:
    """What runs that are to finish this release, and have not given way, have announced."""
    return [it for it in ballot.unseen.values() if finishes(it, ballot) and is_open(it, ballot.unseen)]


def has_arrived(ballot: Ballot, *, waited: bool = False) -> bool:
    """Whether the run whose release is finished here has moved the tag by itself meanwhile. Where another one that was
    to finish it gave way, the tag may be on its way back, unless this run has ``waited`` for that."""
    record = ballot.announcement.record
    if not record.finishes or ballot.digest != record.digest or ballot.digest == ballot.before:
        return False
    return waited or all(is_open(it, ballot.unseen) for it in ballot.unseen.values() if finishes(it, ballot))


def left_to_a_finisher(ballots: Mapping[str, Ballot]) -> frozenset[str]:
    """The images in which the tag stands where this release puts it, and which another run that finishes this release
    has found so, perhaps: it announces nothing there, and relies on it."""
    if not any(finishes(it, ballot) for ballot in ballots.values() for it in successors(ballot)):
        return frozenset()
    stands = {image for image, ballot in ballots.items() if ballot.digest == ballot.announcement.record.digest}
    return frozenset(image for image in stands if taken_back(ballots[image]) is None)


def given_up(ballots: Mapping[str, Ballot]) -> dict[str, frozenset[RecordTag]]:
    """By image, the releases that have no run any more: their own run took them back in another of these images, and a
    release goes back in all of its images. Where a run had left an image to another one that was to finish its release,
    and that gave way as well, no abort there says so.

    What another run announced to finish such a release does count, here and there.
    """
    ids: set[str] = set()
    for ballot in ballots.values():
        announced = [entry for entry in ballot.unseen.values() if entry.record.action in RELEASES]
        own = {entry.record.release.id for entry in announced if not entry.record.finishes}
        ids |= own.difference(it.record.release.id for it in announced if is_open(it, ballot.unseen))
    return {
        image: frozenset(
            tag
            for tag, entry in ballot.unseen.items()
            if entry.record.release.id in ids and not entry.record.finishes and not _has_stayed(entry, ballot)
        )
        for image, ballot in ballots.items()
    }


def _has_stayed(entry: Entry, ballot: Ballot) -> bool:
    """Whether a release stays in an image though it goes back in others: the tag shows it, or others were built on it
    as on one that is complete."""
    record = entry.record
    if record.action not in RELEASES or record.digest == ballot.digest:
        return True
    return any(
        it.record.action in RELEASES
        and it.record.release.id != record.release.id
        and any(parent.tag == entry.tag for parent in it.record.parents)
        for it in ballot.unseen.values()
    )


def is_mistaken(successor: Entry, ballot: Ballot) -> bool:
    """Whether a release was built on this one as on one that is complete, before this one has moved anything: the tag
    stood at the same digest once before. It finds the tag elsewhere, and gives way."""
    record = ballot.announcement.record
    if successor.record.action == "abort" or successor.record.finishes:
        return False
    # Nobody else moves the tag for this release, unless others have announced it as well.
    return not record.finishes and ballot.digest == ballot.before != record.digest


def mistaken(ballot: Ballot) -> frozenset[RecordTag]:
    """The releases that were built on this one by mistake and gave way, where no other was."""
    found = list(successors(ballot))
    if any(not is_mistaken(it, ballot) or is_open(it, ballot.unseen) for it in found):
        return ballot.passed
    return ballot.passed.union(it.tag for it in found)


def carries_on_what_is_gone(ballot: Ballot) -> bool:
    """Whether a record on top carries on a release that was taken back meanwhile. Two that give way at the same moment
    leave that, each having seen the other's release under way; so does a note of somebody who saw it."""
    entries = {entry.tag: entry for entry in (*ballot.mine, *ballot.unseen.values())}
    named = {parent.tag for entry in entries.values() for parent in entry.record.parents}
    followed = {entry.record.follows for tag, entry in entries.items() if tag not in named}
    taken = gone(ballot).union(*(entry.record.aborts for entry in ballot.mine))
    return not taken.isdisjoint(followed - {None})


def hides_abandonment(ballot: Ballot) -> bool:
    """Whether something on top of an abandonment says otherwise: carries on what it takes back, or, written by a repair
    that saw no release on its way, adopts where the tag stands until it is put back."""
    on_top = (entry for entry in ballot.unseen.values() if entry.rank > ballot.announcement.rank)
    return carries_on_what_is_gone(ballot) or any(entry.record.action == "adopt" for entry in on_top)
