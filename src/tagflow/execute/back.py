"""When it fails: what this run announced it takes back, and puts back what is still its own. Announced first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import NoReturn

from msgspec.structs import replace

from tagflow.decide.ballot import (
    Ballot,
    built_on,
    carries_on_what_is_gone,
    given_up,
    left_to_a_finisher,
    taken_back,
    taken_over,
)
from tagflow.decide.election import Outcome, Verdict
from tagflow.domain.history import Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.errors import StoreError, TagflowError, Unanswered, combine
from tagflow.execute import endings
from tagflow.execute.looks import Announced, open_releases
from tagflow.execute.underway import LOOKS, LookedTooLongAgo, Underway
from tagflow.stores.port import TagMoved
from tagflow.workers import attempt


def give_way(run: Underway, ballots: Mapping[str, Ballot], undone: Mapping[str, Entry]) -> NoReturn:
    """Somebody took this release back in some images, having seen no more of it: it goes back in all of them."""
    stays = {image for image in undone if not _restore(run, image, ballots[image])}
    for image in undone.keys() - stays:
        _leave(run, image)
    run.written -= undone.keys()
    first = next(iter(undone))
    error = endings.overtaken(run, Outcome(Verdict.STOP, undone[first], first), changed=bool(stays))
    if run.written:
        give_back(run, error)
    raise endings.partly(run, error) if stays else error


def _restore(run: Underway, image: str, ballot: Ballot) -> bool:
    """Abandoned while alive, and the PUT landed on top: put the tag back, announced, unless another release was
    announced since. False where the tag stays at what this run put there."""
    announced = run.announced[image]
    if ballot.digest != ballot.announcement.record.digest:
        return True
    if open_releases({image: ballot}):
        return False
    written = run.writer.compose_abort(run.lookout.unseen({image: ballot})[image], announced.prospect, moved=True)
    target = announced.prospect.seen.target
    try:
        run.writer.write(target, written)
        looked_at = run.context.elapsed()
        again = run.lookout.ballots({image: announced})[image]
        since = {tag: entry for tag, entry in again.unseen.items() if tag not in ballot.unseen}
        if open_releases({image: replace(again, unseen=since)}):
            return again.digest != ballot.digest
        put_back(run, image, looked_at)
    except LookedTooLongAgo:
        run.context.warn(f"{target.name}: {endings.too_late(run, image).message}")
        return False
    except TagflowError as error:
        run.context.warn(f"{target.name}: {error.message}")
        return False
    return True


def abort_all(run: Underway, moved: frozenset[str]) -> dict[str, Ballot]:
    """Write this run's own aborts; what can't be written is told, and left interrupted."""
    wanted = {image: it for image, it in run.announced.items() if image in run.written}
    if not wanted:
        return {}
    try:
        ballots = run.lookout.unseen(run.lookout.ballots(wanted))
    except TagflowError as error:
        run.context.warn(f"the abort could not be written: {error.message}")
        return {}
    gone, left = given_up(ballots), left_to_a_finisher(ballots)
    for image, ballot in list(ballots.items()):
        over = taken_over(ballot)
        if image not in left and (over is None or (image in moved and taken_back(ballot) is not None)):
            continue
        # Somebody built on it there, or took it back before anything moved: no longer this run's to take back.
        _leave(run, image)
        del ballots[image]
    failed = _write_aborts(run, ballots, moved, gone)
    ballots = {image: ballot for image, ballot in ballots.items() if image not in failed}
    untangle(run, ballots.keys(), moved)
    return ballots


def _write_aborts(
    run: Underway, ballots: Mapping[str, Ballot], moved: frozenset[str], gone: Mapping[str, frozenset[RecordTag]]
) -> set[str]:
    """Write this run's own abort in each image; the images where that failed, each told. ``gone``: releases in each
    that have no run any more, and are not carried on."""

    def abort(image: str) -> None:
        announced, ballot = run.announced[image], ballots[image]
        lost = run.lookout.lost(announced, ballot) | gone[image]
        written = run.writer.compose_abort(ballot, announced.prospect, moved=image in moved, lost=lost)
        run.writer.write(announced.prospect.seen.target, written)

    results = attempt(abort, ballots, threads=run.context.threads)
    failed = {it: error for it, error in zip(ballots, results, strict=True) if isinstance(error, TagflowError)}
    run.aborted |= len(failed) < len(results)
    for image, error in failed.items():
        run.context.warn(f"{image}: the abort could not be written: {error.message}")
    return set(failed)


def untangle(run: Underway, images: Collection[str], moved: frozenset[str]) -> None:
    """Where others gave way at the same moment, an abort may carry on a release that was taken back meanwhile, this
    run's or another's: say once more, above all that is there, what became of it.

    Of several each writes first, then looks: the last one sees all. Where the look fails, what others wrote stands.
    """
    for _ in range(LOOKS):
        try:
            ballots = run.lookout.unseen(run.lookout.ballots({it: run.announced[it] for it in images}))
        except TagflowError:
            return
        tangled = {image: ballot for image, ballot in ballots.items() if carries_on_what_is_gone(ballot)}
        if not tangled or _write_aborts(run, tangled, moved, given_up(ballots)):
            return


def give_back(run: Underway, error: TagflowError) -> NoReturn:
    """Put back what still stands at what this run wrote and what no other release was built on. Announced first.

    :raises TagflowError: always: ``error``, or what stayed moved.
    """
    moved = frozenset(move.image for move in run.ledger.changed if move.kind == "environment")
    if not run.announced:
        raise endings.partly(run, error) if run.ledger.changed else error
    if run.abandons:
        raise endings.partly(run, error) if run.ledger.changed else error
    stays = _unremovable(run)
    # An abort that cannot be carried out would leave no way on and no way back: there the release has arrived.
    run.stays |= stays.keys()
    run.written -= stays.keys()
    moved -= stays.keys()
    announced = abort_all(run, moved)
    stuck: list[TagflowError] = list(stays.values())
    results = attempt(
        partial(put_back_if_mine, run), [it for it in moved if it in announced], threads=run.context.threads
    )
    stuck += [result for result in results if isinstance(result, TagflowError)]
    if stuck or run.ledger.changed:
        raise endings.partly(run, combine([error, *stuck])) from error
    raise error


def _unremovable(run: Underway) -> dict[str, TagflowError]:
    """The images whose tag did not exist before and cannot be taken away again, and why."""
    new = [move for move in run.ledger.changed if move.kind == "environment" and move.before is None]
    results = attempt(lambda move: run.store(move.image).refuse_untag(move.tag), new, threads=run.context.threads)
    told = zip(new, results, strict=True)
    return {move.image: result for move, result in told if isinstance(result, TagflowError)}


def put_back_if_mine(run: Underway, image: str) -> None:
    """Look at what was announced since; hands off where somebody built on this release, or took it back, unless the tag
    still stands at what this run put there: whoever did so may be dead."""
    announced = {image: run.announced[image]}
    patience = run.context.elapsed() + run.context.timing.wait
    tries = LOOKS
    while tries:
        looked_at = run.context.elapsed()
        ballot = _look(run, announced)[image]
        if taken_back(ballot) is not None:
            if ballot.digest != ballot.announcement.record.digest:
                return _leave(run, image)
            if open_releases({image: ballot}):
                return None
        successor = built_on(ballot)
        if successor is None or not open_releases({image: replace(ballot, unseen=_only(ballot, successor))}):
            try:
                return put_back(run, image, looked_at)
            except LookedTooLongAgo:
                tries -= 1
                continue
        if ballot.digest != ballot.announcement.record.digest or run.context.elapsed() >= patience:
            return _leave(run, image)
        run.context.wait("another release was built on this one", run.context.timing.poll)
    raise endings.too_late(run, image)


def _look(run: Underway, announced: Mapping[str, Announced]) -> dict[str, Ballot]:
    return run.lookout.unseen(run.lookout.ballots(announced, since_election=True))


def put_back(run: Underway, image: str, looked_at: float) -> None:
    """Put an environment tag back where it was, if it still stands at what this run wrote.

    ``looked_at``: the moment of the look by which it is; where that is too long ago, nothing is sent.
    """
    move = next((it for it in run.ledger.changed if it.image == image and it.kind == "environment"), None)
    if move is None:
        return
    store = run.store(image)
    run.ledger.doubt(move)
    try:
        if move.before is None:
            if move.after is not None and store.resolve(move.tag) is not None:
                run.refuse_late(looked_at)
                store.untag(move.tag, move.after)
        else:
            store.move(move.tag, store.get(move.before), move.after, guard=_Guard(run, image, looked_at))
    except TagMoved:
        pass
    except StoreError as error:  # the answer is lost, perhaps, and it is done
        if store.resolve(move.tag) != move.before:
            if not isinstance(error, Unanswered):
                run.ledger.done(move)
            raise
    except (LookedTooLongAgo, TagflowError):
        run.ledger.done(move)
        raise
    run.ledger.put_back(move)


def _leave(run: Underway, image: str) -> None:
    """What others built on, or took back, is theirs now."""
    for move in run.ledger.changed:
        if move.image == image and move.kind == "environment":
            run.ledger.put_back(move)


class _Guard:
    """Asked before a PUT that puts a tag back: none is sent later than the fence after its look, and one for each
    look."""

    def __init__(self, run: Underway, image: str, looked_at: float) -> None:
        self._run, self._image, self._looked_at = run, image, looked_at
        self._sent = False

    def prepare(self) -> None:
        """Look once more where one was sent already."""
        if self._sent:
            self._looked_at = self._run.context.elapsed()
            ballot = _look(self._run, {self._image: self._run.announced[self._image]})[self._image]
            if taken_back(ballot) is not None or built_on(ballot) is not None:
                raise LookedTooLongAgo

    def allow(self, _tags: Collection[str] | None) -> None:
        """Refuse to send by a look that is too old."""
        self._run.refuse_late(self._looked_at)
        self._sent = True


def _only(ballot: Ballot, entry: Entry) -> dict[RecordTag, Entry]:
    return {tag: it for tag, it in ballot.unseen.items() if tag == entry.tag or entry.tag in it.record.aborts}
