"""The election: of several releases that see one another, who goes on, who waits, and who gives way. Pure.

Every release announces itself, then lists the records again. What it finds there that its decision had not seen
decides (docs/protocol.md has the table, and why at most one wins):

* somebody took this release back, or built on it: it stops, and writes nothing more;
* what it built on was taken back, or somebody abandons: it gives way;
* another release, not taken back by its own run: the first of them waits for that, all others give way.

Only a run's *own* abort frees the way: counting a foreign one would let an abandoned run end with success.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from tagflow.domain.history import RELEASES, Entry, Hold
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.plan import Step
from tagflow.domain.reference import Digest


class Verdict(Enum):
    """What a release does next."""

    WON = "goes on"
    WAIT = "waits for others to give way"
    YIELD = "gives way: writes an abort"
    STOP = "was taken over or taken back: writes nothing more"


@dataclass(frozen=True)
class Ballot:
    """One image in an election.

    ``mine`` are this run's own records here, the announcement last; ``known`` the record tags that the decision had
    seen; ``before`` where the environment tag was to be found (``late``: a digest to which a PUT put it late);
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


@dataclass(frozen=True)
class Outcome:
    """The verdict, and the record because of which it is not ``WON``."""

    verdict: Verdict
    because: Entry | None = None
    image: str = ""
    tag_moved: bool = False


_WON = Outcome(Verdict.WON)
_RANK = (Verdict.STOP, Verdict.YIELD, Verdict.WAIT, Verdict.WON)


def elect(ballots: Mapping[str, Ballot], *, again: bool = False) -> Outcome:
    """Judge a release over all its images: the gravest verdict of any of them counts for all.

    ``again``: it has won already, and looks once more. A release that it sees only now was announced after that, and
    sees this one: whichever sorts first, the other gives way.
    """
    outcomes = [_elect(image, ballot, ballots, again) for image, ballot in sorted(ballots.items())]
    return min(outcomes, key=lambda outcome: _RANK.index(outcome.verdict), default=_WON)


def _elect(image: str, ballot: Ballot, ballots: Mapping[str, Ballot], again: bool) -> Outcome:
    taken = taken_over(ballot)
    for taker in (taken, *_successors(ballot)) if taken is not None else ():
        if _is_contested(taker, image, ballots) or (not again and _is_mistaken(taker, ballot)):
            continue
        half = _is_half_announced(taker, image, ballots, again)
        return Outcome(Verdict.WAIT if half else Verdict.STOP, taker, image)
    aborts = [entry for entry in ballot.unseen.values() if entry.record.action == "abort"]
    for abort in aborts:
        if abort.record.abandons or ballot.known.intersection(abort.record.aborts):
            return Outcome(Verdict.YIELD, abort, image)
    rivals = [entry for entry in ballot.unseen.values() if is_open(entry, ballot.unseen)]
    if taken is not None and taken in rivals and not again:
        return Outcome(Verdict.WAIT, taken, image)
    for rival in rivals:
        arrived = ballot.digest == rival.record.digest and ballot.digest != ballot.before
        first = not again and _comes_first(rival, image, ballots)
        if arrived or first or _has_successor(rival, ballot.unseen):
            return Outcome(Verdict.YIELD, rival, image)
    if rivals and not again:
        return Outcome(Verdict.WAIT, rivals[0], image)
    if ballot.digest == ballot.before or has_arrived(ballot):
        return Outcome(Verdict.WON, None, image)
    # The tag is on its way back: its release has announced that it puts it back.
    coming_back = [abort for abort in aborts if abort.record.previous_digest == ballot.digest]
    if ballot.announcement.record.finishes and ballot.digest == ballot.announcement.record.digest:
        coming_back += [abort for abort in aborts if not abort.record.abandons]
    if coming_back:
        return Outcome(Verdict.WAIT, coming_back[0], image, tag_moved=True)
    return Outcome(Verdict.YIELD, None, image, tag_moved=True)


def _is_contested(taker: Entry, image: str, ballots: Mapping[str, Ballot]) -> bool:
    """Whether a run that is to finish this release saw this run in this image, and not in the first one that both
    announce it in: there they are rivals, and it is decided who gives way. To hand over here would leave both to the
    other."""
    if not _finishes_this(taker, ballots[image]):
        return False
    for name in sorted(ballots):
        ballot = ballots[name]
        found = {it.tag for it in ballot.unseen.values() if _finishes_this(it, ballot)}
        if found:
            return found.isdisjoint(entry.tag for entry in _successors(ballot))
    return False


def _is_half_announced(taker: Entry, image: str, ballots: Mapping[str, Ballot], again: bool) -> bool:
    """Whether a run that is to finish this release may still announce that in an image that comes first, and decides.

    Where this run's own tag stands already, there is nothing to announce; but for a tag that this run has moved since
    (``again``), as long as not all stand.
    """
    if not _finishes_this(taker, ballots[image]):
        return False
    stands = {name for name, ballot in ballots.items() if ballot.digest == ballot.announcement.record.digest}
    if again:
        stands = stands if stands == ballots.keys() else set()
    return any(
        name < image
        and taker.record.intent.has(name)
        and name not in stands
        and not any(_finishes_this(it, ballot) for it in ballot.unseen.values())
        for name, ballot in ballots.items()
    )


def is_finished_by(outcome: Outcome, ballots: Mapping[str, Ballot]) -> bool:
    """Whether a release stops because another run is to finish it, and was seen in one image: what that means is said
    by all of them."""
    return (
        outcome.verdict is Verdict.STOP
        and outcome.because is not None
        and (_finishes_this(outcome.because, ballots[outcome.image]))
    )


def left_to_a_finisher(ballots: Mapping[str, Ballot]) -> frozenset[str]:
    """The images in which the tag stands where this release puts it, and which another run that finishes this release
    has found so, perhaps: it announces nothing there, and relies on it."""
    if not any(_finishes_this(it, ballot) for ballot in ballots.values() for it in _successors(ballot)):
        return frozenset()
    stands = {image for image, ballot in ballots.items() if ballot.digest == ballot.announcement.record.digest}
    return frozenset(image for image in stands if taken_back(ballots[image]) is None)


def _finishes_this(entry: Entry, ballot: Ballot) -> bool:
    record = entry.record
    is_release = record.action in RELEASES and record.finishes
    return is_release and record.release.id == ballot.announcement.record.release.id


def _is_mistaken(successor: Entry, ballot: Ballot) -> bool:
    """Whether a release was built on this one as on one that is complete, before this one has moved anything: the tag
    stood at the same digest once before. It finds the tag elsewhere, and gives way."""
    record = ballot.announcement.record
    if successor.record.action == "abort" or successor.record.finishes:
        return False
    # Nobody else moves the tag for this release, unless others have announced it as well.
    return not record.finishes and ballot.digest == ballot.before != record.digest


def mistaken(ballot: Ballot) -> frozenset[RecordTag]:
    """The releases that were built on this one by mistake and gave way, where no other was."""
    found = list(_successors(ballot))
    if any(not _is_mistaken(it, ballot) or is_open(it, ballot.unseen) for it in found):
        return ballot.passed
    return ballot.passed.union(it.tag for it in found)


def has_arrived(ballot: Ballot) -> bool:
    """Whether the run whose release is finished here has moved the tag by itself meanwhile. Where another one that was
    to finish it gave way, the tag may be on its way back."""
    record = ballot.announcement.record
    if not record.finishes or ballot.digest != record.digest or ballot.digest == ballot.before:
        return False
    return all(is_open(it, ballot.unseen) for it in ballot.unseen.values() if _finishes_this(it, ballot))


def taken_over(ballot: Ballot) -> Entry | None:
    """Somebody else's abort of this run's records, or a release built on them."""
    own = ballot.own_tags
    for entry in ballot.unseen.values():
        if entry.record.abandons and own.intersection(entry.record.aborts):
            return entry
    return built_on(ballot)


def built_on(ballot: Ballot) -> Entry | None:
    """A release that another run built on this one: its decision had seen this one's record."""
    return next(_successors(ballot), None)


def _successors(ballot: Ballot) -> Iterator[Entry]:
    """The releases that have this one among their ancestors, the lowest first. One that was to finish it, and gave way,
    has left it to this run again."""
    below = set(ballot.own_tags)
    for entry in sorted(ballot.unseen.values(), key=lambda entry: entry.rank):
        if any(parent.tag in below for parent in entry.record.parents):
            below.add(entry.tag)
            left = _finishes_this(entry, ballot) and not is_open(entry, ballot.unseen)
            if entry.record.action in RELEASES and entry.tag not in ballot.passed and not left:
                yield entry


def taken_back(ballot: Ballot) -> Entry | None:
    """Somebody else's abort of this run's records."""
    own = ballot.own_tags
    found = (entry for entry in ballot.unseen.values() if own.intersection(entry.record.aborts))
    return next((entry for entry in found if entry.record.abandons), None)


def stopped_by(step: Step, unseen: Iterable[Entry], waived: Iterable[str] = ()) -> Entry | None:
    """A hold or freeze among unseen records that hits a decision: the version or its bytes are held, or nothing is
    promoted any more. A rollback is hit only by a hold of what it goes back to. ``waived``: rules set aside."""
    enters = step.action in ("push", "promote", "admit")
    for entry in sorted(unseen, key=lambda entry: entry.rank):
        record = entry.record
        if record.action == "hold" and "hold" not in waived and step.action not in ("abort", "adopt"):
            hold = Hold(record.version or "", record.subject)
            digest = step.subject or step.digest
            if hold.version == step.version or (hold.digest is not None and hold.digest == digest):
                return entry
        if record.action == "freeze" and enters and "freeze" not in waived:
            return entry
    return None


def gone(ballot: Ballot) -> frozenset[RecordTag]:
    """The records that were taken back since the decision, by whomever."""
    return frozenset(tag for entry in ballot.unseen.values() for tag in entry.record.aborts)


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


def is_open(entry: Entry, unseen: Mapping[RecordTag, Entry]) -> bool:
    """Whether an unseen record announces a release that its own run has not taken back."""
    if entry.record.action not in RELEASES:
        return False
    return not any(
        other.record.action == "abort" and entry.tag in other.record.aborts and not other.record.abandons
        for other in unseen.values()
    )


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
            if entry.record.action in RELEASES and entry.record.release.id in ids and not entry.record.finishes
        )
        for image, ballot in ballots.items()
    }


def _has_successor(rival: Entry, unseen: Mapping[RecordTag, Entry]) -> bool:
    """Whether a release was built on another, so that it is complete."""
    return any(
        other.record.action in RELEASES and any(parent.tag == rival.tag for parent in other.record.parents)
        for other in unseen.values()
    )


def _comes_first(rival: Entry, image: str, ballots: Mapping[str, Ballot]) -> bool:
    """Whether a rival release sorts before this one: by sequence, then tag, on the first image that both move.

    One image decides for all, so that of two releases with several images in common both do not give way. Where the
    rival's record there is still being written, this one is first as far as it can tell: it waits, and looks again.
    """
    release = rival.record.release.id
    for name in sorted(ballots):
        if name != image and not rival.record.intent.has(name):
            continue
        there = [entry for entry in ballots[name].unseen.values() if entry.record.release.id == release]
        announced = [entry for entry in there if entry.record.action in RELEASES]
        if name == image:
            announced = announced or [rival]
        if not announced:
            return False
        return min(entry.rank for entry in announced) < ballots[name].announcement.rank
    return rival.rank < ballots[image].announcement.rank


@dataclass(frozen=True)
class Arrival:
    """What the look after the environment tags found, for one image."""

    taken_back: Entry | None = None
    stopped: Entry | None = None
    tag_moved: bool = False
    unseen: Mapping[RecordTag, Entry] = field(default_factory=dict)


def arrive(ballot: Ballot, step: Step, after: Digest | None, waived: Iterable[str] = ()) -> Arrival:
    """Judge one image after its environment tag was moved to ``after``; ``unseen`` is what came since the election."""
    back = taken_back(ballot)
    if back is not None:
        return Arrival(taken_back=back)
    if built_on(ballot) is not None:
        return Arrival()
    if ballot.digest != after and step.action != "admit":  # what enters beside what runs depends on no tag
        return Arrival(tag_moved=True)
    stop = stopped_by(step, ballot.unseen.values(), waived)
    if stop is not None:
        return Arrival(stopped=stop)
    return Arrival()
