"""Phase 5: the environment tags, each the commit point of its image."""

from __future__ import annotations

from collections.abc import Collection
from threading import Lock

from msgspec import Struct

from tagflow.decide.ballot import Ballot, built_on, has_arrived, taken_back
from tagflow.decide.election import Verdict
from tagflow.domain.plan import Move
from tagflow.errors import StoreError, TagflowError, Unanswered, combine
from tagflow.execute import back, endings, rivals
from tagflow.execute.ledger import Progress
from tagflow.execute.looks import not_abandoned
from tagflow.execute.underway import LOOKS, LookedTooLongAgo, Underway
from tagflow.stores.port import TagMoved
from tagflow.workers import attempt


class Commit:
    """Moves the environment tags of one release, each by a look that is young enough, and once for a look."""

    def __init__(self, run: Underway) -> None:
        self._run = run
        self._sent: set[str] = set()
        """Images for whose environment tag a PUT was sent since the last look."""
        self._repeated: set[str] = set()
        """Those of them where it got no answer, or one that says to try again."""
        self._judging = Lock()

    def move_all(self) -> None:
        """Move them; where one did not move, none stays moved, unless something that was sent may still arrive."""
        moves = self._run.pending("environment")
        results = attempt(self._move_environment_tag, moves, threads=self._run.context.threads)
        errors = [result for result in results if isinstance(result, TagflowError)]
        if not errors:
            return
        error = combine(errors)
        if self._run.unanswered or self._run.ledger.doubtful:
            # A PUT without an answer may still arrive: the release stays announced, never taken back.
            raise endings.partly(self._run, error) if self._run.ledger.changed or self._run.ledger.doubtful else error
        back.give_back(self._run, error)

    def _move_environment_tag(self, move: Move) -> None:
        if not self._run.ledger.begin(move):
            return
        try:
            self._send_in_time(move)
        except StoreError as error:
            self._judge_failure(move, error)
        except TagMoved as error:
            if error.expected != move.after and not self._is_built_on(move.image):
                self._run.ledger.failed(move)
                raise
            # It stood at what this run wrote, and somebody moved on: the look that follows tells whether they saw it.
            self._run.moved_on[move.image] = error.actual
            self._run.ledger.done(move)
        except TagflowError:
            self._run.ledger.failed(move)
            # A PUT that got no answer may still arrive: its release must not be taken back.
            self._run.unanswered |= move.image in self._repeated
            raise
        else:
            self._run.ledger.done(move)

    def _judge_failure(self, move: Move, error: StoreError) -> None:
        """Where a move failed, see where the tag stands: the answer may be lost, and the tag moved."""
        try:
            actual = self._run.store(move.image).resolve(move.tag)
        except StoreError:
            self._run.unanswered = True
            raise error from None
        progress = self._run.ledger.judge(move, error, actual)
        if progress is Progress.DONE:
            return
        self._run.unanswered |= progress is Progress.BEGUN or isinstance(error, Unanswered)
        raise error

    def _is_built_on(self, image: str) -> bool:
        """Whether another release was built on this one: then its PUT arrived, whatever was answered."""
        if image not in self._run.announced:
            return False
        ballots = self._run.lookout.ballots({image: self._run.announced[image]}, since_election=True)
        return built_on(ballots[image]) is not None

    def _send_in_time(self, move: Move) -> None:
        """Move a tag by a look that is young enough, and once for a look: a PUT without an answer may have arrived, and
        others may have built on it since, or rolled it back to where the tag stood before."""
        for _ in range(LOOKS):
            try:
                return self._send(move)
            except _Arrived:
                return None
            except LookedTooLongAgo:
                self.look_once_more(move)
        raise endings.too_late(self._run, move.image)

    def look_once_more(self, move: Move) -> None:
        """The last look is too old to move a name by, or has been used, or others have written since: does the decision
        still hold?

        :raises _Arrived: what was sent already has moved the tag.
        """
        image = move.image
        looked_at = self._run.context.elapsed()
        one = {image: self._run.announced[image]} if image in self._run.announced else {}
        looked = self._run.lookout.ballots(one)  # several images side by side: at a distance each takes its time
        with self._judging:
            ballots = self._run.lookout.unseen(looked)
            if self._has_arrived(move, ballots.get(image)):
                raise _Arrived
            if not self._run.abandons:
                outcome, ballots = rivals.elect_again(self._run, ballots)
                if outcome.verdict is not Verdict.WON:
                    raise endings.overtaken(self._run, outcome)
                if image in ballots and has_arrived(ballots[image], waited=True):
                    raise _Arrived
                rivals.refuse_stopped(self._run, ballots)
            self._run.lookout.take_in(ballots)
            self._run.looked_at[image] = looked_at
            self._sent.discard(image)

    def _has_arrived(self, move: Move, ballot: Ballot | None) -> bool:
        """Whether what was sent has moved the tag, though no answer said so; others may have moved it on by now."""
        if ballot is None or move.image not in self._sent or taken_back(ballot) is not None:
            return False
        if ballot.digest == move.after:
            return True
        moved_on = not_abandoned({move.image: ballot}) if self._run.abandons else built_on(ballot) is not None
        if moved_on:
            self._run.moved_on[move.image] = ballot.digest
        return bool(moved_on)

    def _send(self, move: Move) -> None:
        store = self._run.store(move.image)
        if move.after is None:
            assert move.before is not None
            store.untag(move.tag, move.before)
            return
        manifest = self._run.manifests[move.image, move.after]
        guard = _Guard(self, move) if self._run.announced else None
        looked = self._run.ledger.looked([move])
        # Where a look at all images follows, it reads the tag back.
        store.move(move.tag, manifest, move.before, looked=looked, confirm=not self._run.announced, guard=guard)

    def prepare(self, move: Move) -> None:
        """Before each PUT: one is sent for a look."""
        if move.image in self._sent:
            self._repeated.add(move.image)
            self.look_once_more(move)

    def allow(self, move: Move, tags: Collection[str] | None) -> None:
        """Right before a PUT: none is sent later than the fence after the look that it relies on. In a layout, where
        the tags are those under its lock, none is sent over a record that this run has not seen, nor without its own.

        :raises Conflict: ``tag.moved`` where another tool, which knows no lock, has written that away.
        """
        image = move.image
        self._run.refuse_late(self._run.looked_at.get(image, 0.0))
        if tags is not None and self._run.is_exact(image):
            lost = self._run.lookout.lost_of(self._run.announced[image], tags)
            if lost:
                raise endings.written_over(self._run, image, lost)
            if self._run.lookout.is_news(self._run.announced[image], tags):
                raise LookedTooLongAgo
        self._sent.add(image)


class _Guard(Struct, frozen=True):
    """Asked before the environment tag of one image is moved."""

    commit: Commit
    move: Move

    def prepare(self) -> None:
        """Look once more where a PUT was sent since the last look."""
        self.commit.prepare(self.move)

    def allow(self, tags: Collection[str] | None) -> None:
        """Refuse to send by a look that is too old."""
        self.commit.allow(self.move, tags)


class _Arrived(Exception):
    """What was sent has moved the tag, though no answer said so."""
