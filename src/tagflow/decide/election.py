"""The election: of several releases that see one another, who goes on, who waits, and who gives way. Pure.

Every release announces itself, then lists the records again. What it finds there that its decision had not seen
decides (docs/protocol.md has the table, and why at most one wins):

* somebody took this release back, or built on it: it stops, and writes nothing more there; its other images give way;
* what it built on was taken back, or somebody abandons: it gives way;
* another release, not taken back by its own run: the first of them waits for that, all others give way.

Only a run's *own* abort frees the way: counting a foreign one would let an abandoned run end with success.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from msgspec import Struct

from tagflow.decide.ballot import (
    Ballot,
    built_on,
    finishers,
    finishes,
    has_arrived,
    is_mistaken,
    is_open,
    successors,
    taken_back,
    taken_over,
)
from tagflow.domain.history import RELEASES, Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.plan import Step
from tagflow.domain.reference import Digest
from tagflow.domain.state import Hold


class Verdict(Enum):
    """What a release does next."""

    WON = "goes on"
    WAIT = "waits for others to give way"
    YIELD = "gives way: writes an abort"
    STOP = "was taken over or taken back: writes nothing more there"


class Outcome(Struct, frozen=True):
    """The verdict, and the record because of which it is not ``WON``."""

    verdict: Verdict
    because: Entry | None = None
    image: str = ""


_WON = Outcome(Verdict.WON)
_RANK = (Verdict.STOP, Verdict.YIELD, Verdict.WAIT, Verdict.WON)


def elect(ballots: Mapping[str, Ballot], *, again: bool = False, waited: bool = False) -> Outcome:
    """Judge a release over all its images: the gravest verdict of any of them counts for all.

    ``again``: it has won already, and looks once more. A release that it sees only now was announced after that, and
    sees this one: whichever sorts first, the other gives way. ``waited``: it has waited as long as it may, and where
    the tag stands then it stays.
    """
    outcomes = [_elect(image, ballot, ballots, again, waited) for image, ballot in sorted(ballots.items())]
    return min(outcomes, key=lambda outcome: _RANK.index(outcome.verdict), default=_WON)


def _elect(image: str, ballot: Ballot, ballots: Mapping[str, Ballot], again: bool, waited: bool) -> Outcome:
    taken = taken_over(ballot)
    for taker in (taken, *successors(ballot)) if taken is not None else ():
        if _is_contested(taker, image, ballots) or (not again and is_mistaken(taker, ballot)):
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
    if ballot.digest == ballot.before or has_arrived(ballot, waited=waited):
        return Outcome(Verdict.WON, None, image)
    # The tag is on its way back: its release has announced that it puts it back.
    coming_back = [abort for abort in aborts if abort.record.previous_digest == ballot.digest]
    if ballot.announcement.record.finishes and ballot.digest == ballot.announcement.record.digest:
        coming_back += [abort for abort in aborts if not abort.record.abandons]
    if coming_back:
        return Outcome(Verdict.WAIT, coming_back[0], image)
    return Outcome(Verdict.YIELD, None, image)


def _is_contested(taker: Entry, image: str, ballots: Mapping[str, Ballot]) -> bool:
    """Whether a run that is to finish this release saw this run in this image, and not in the first one that both
    announce it in: there they are rivals, and it is decided who gives way. To hand over here would leave both to the
    other."""
    if not finishes(taker, ballots[image]):
        return False
    for name in sorted(ballots):
        ballot = ballots[name]
        found = {it.tag for it in finishers(ballot)}
        if found:
            return found.isdisjoint(entry.tag for entry in successors(ballot))
    return False


def _is_half_announced(taker: Entry, image: str, ballots: Mapping[str, Ballot], again: bool) -> bool:
    """Whether a run that is to finish this release may still announce that in an image that comes first, and decides.

    Where this run's own tag stands already, there is nothing to announce; but for a tag that this run has moved since
    (``again``), as long as not all stand.
    """
    if not finishes(taker, ballots[image]):
        return False
    stands = {name for name, ballot in ballots.items() if _stands(ballot)}
    if again:
        stands = stands if stands == ballots.keys() else set()
    return any(
        name < image and taker.record.intent.has(name) and name not in stands and not finishers(ballot)
        for name, ballot in ballots.items()
    )


def _stands(ballot: Ballot) -> bool:
    """Whether the tag stands where this release puts it."""
    return ballot.digest == ballot.announcement.record.digest


def stopped_by(step: Step, unseen: Iterable[Entry], waived: Iterable[str] = ()) -> Entry | None:
    """A hold or freeze among unseen records that hits a decision: the version or its bytes are held, or nothing is
    promoted any more. A rollback is hit only by a hold of what it goes back to. ``waived``: rules not asked."""
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
        if not announced and finishes(rival, ballots[image]) and _stands(ballots[name]):
            continue  # it has nothing to announce there
        if not announced:
            return False
        return min(entry.rank for entry in announced) < ballots[name].announcement.rank
    return rival.rank < ballots[image].announcement.rank


class Arrival(Struct, frozen=True):
    """What the look after the environment tags found, for one image."""

    taken_back: Entry | None = None
    stopped: Entry | None = None
    tag_moved: bool = False


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
