"""Execute: any plan, in the one order of writes that survives dying anywhere, so that at most one of several runs wins.

1. objects; 2. for all images their records, the intent written ahead; 3. look again, and elect; 4. version tags, then
combined and pin tags; 5. the environment tags, each the commit point of its image; 6. look again; 7. floating tags,
from what then stands. Each phase ends before the next begins. docs/protocol.md says why each look is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import NoReturn

from tagflow.context import Context
from tagflow.decide.decision import Decision, Origin
from tagflow.decide.election import (
    Ballot,
    Outcome,
    Verdict,
    arrive,
    built_on,
    carries_on_what_is_gone,
    elect,
    has_arrived,
    hides_abandonment,
    stopped_by,
    taken_back,
    taken_over,
)
from tagflow.domain.history import Entry, Release
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.plan import Move, Step
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import TagLookup
from tagflow.domain.tagging import Kind
from tagflow.errors import Conflict, Interrupted, Overtaken, PartlyApplied, Refused, StoreError, TagflowError, combine
from tagflow.execute.announce import RecordWriter, Written
from tagflow.execute.daemon import through_daemon
from tagflow.execute.floating import follow_floating
from tagflow.execute.ledger import Ledger, differing, told, ways_out
from tagflow.execute.looks import Announced, Lookout, open_releases
from tagflow.observe.observer import Observer
from tagflow.stores.port import Manifest, Store, TagMoved
from tagflow.stores.transfer.copy import Copier, PreparedCopy
from tagflow.workers import attempt, each

_LOOKS = 5
"""How often a write is tried on a fresh look: a registry that keeps it waiting each time is given up."""
_OWN: tuple[Kind, ...] = ("combined", "pin")
"""Tags that never move and that nobody but tagflow writes."""
_UNANSWERED = ("registry.timeout", "registry.unreachable", "run.timeout")
"""Errors of writes that may still be carried out."""

Recheck = Callable[[Observer], Sequence[TagflowError]]
"""Decides again on a fresh look, just before anything moves: every reason why the decision does not hold any more."""


@dataclass(frozen=True)
class Result:
    """What executing a plan came to; ``heads`` are the records that it left on top, by image."""

    release: str | None
    applied: bool
    compensated: bool = False
    number: int | None = None
    heads: Mapping[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class Execution:
    """A decision that nothing refuses, and what carrying it out needs.

    ``observer`` is who observed for it; ``opened`` stores beside those of the policy; ``recheck`` decides again;
    ``plan_id`` is the saved plan that is carried out, ``approvals`` what counted for it.
    """

    decision: Decision
    observer: Observer
    opened: Mapping[Repository, Store] = field(default_factory=dict)
    recheck: Recheck | None = None
    plan_id: str = ""
    approvals: tuple[str, ...] = ()


def execute(context: Context, execution: Execution) -> Result:
    """Carry out a decision that nothing refuses.

    :raises Overtaken: another release of the same images came first, or took this one back.
    :raises TagflowError: what failed, where no environment or floating tag differs from before.
    :raises PartlyApplied: where one does; the message lists each with its digest before and now.
    :raises Interrupted: on Ctrl-C, with the message of either.

    The ``result`` of the error holds a :class:`Result`.
    """
    return ReleaseRun(context, execution).carry_out()


class ReleaseRun:
    """One release under way. Its ledger says at every moment which names it has changed."""

    def __init__(self, context: Context, execution: Execution) -> None:
        self._context, self._execution = context, execution
        self._decision = execution.decision
        self._plan = execution.decision.plan
        self._ledger = Ledger()
        self._lookout = Lookout(context, execution.observer)
        self._announced: dict[str, Announced] = {}
        self._written: set[str] = set()
        """Images whose announcement was begun to be written."""
        self._manifests: dict[tuple[str, Digest], Manifest] = {}
        self._created: list[Move] = []
        """Tags that never move and that are still to be read back."""
        self._looked_at: dict[str, float] = {}
        self._sent: set[str] = set()
        """Images for whose environment tag a PUT was sent since the last look."""
        self._repeated: set[str] = set()
        """Those of them where it got no answer, or one that says to try again."""
        self._unanswered = False
        self._moved_on: dict[str, Digest | None] = {}
        """Where environment tags were found that somebody moved on right after this run had moved them."""
        self._looking = Lock()
        first = self._decision.number + 1
        adopting = any(step.adopts for step in self._plan.steps)
        adoption = Release(context.new_id(), first)
        self._release = self._plan.resumes or Release(context.new_id(), first + 1 if adopting else first)
        self._writer = RecordWriter(
            context, self._plan, self._release, adoption, execution.plan_id, execution.approvals
        )

    # --- the workflow ------------------------------------------------------------------------------------------

    def carry_out(self) -> Result:
        """All phases, in their order."""
        try:
            self._bring_objects()
            self._get_manifests()
            self._or_abort(self._announce)
            if self._abandons:
                self._or_abort(self._wait_for_the_abandoned)
            else:
                self._or_abort(self._win_election)
                self._or_abort(self._create_anchors)
            self._commit()
            self._look_again()
            self._float()
        except KeyboardInterrupt:
            raise self._with_result(self._interrupted()) from None
        except TagflowError as error:
            raise self._with_result(error)  # noqa: B904
        return self._result(applied=True)

    @property
    def _abandons(self) -> bool:
        """Whether this run takes back what others announced: it does not stand for election itself."""
        return bool(self._plan.steps) and all(step.action == "abort" for step in self._plan.steps)

    # --- 1: objects --------------------------------------------------------------------------------------------

    def _bring_objects(self) -> None:
        targets = {choice.image: choice.seen.target.repository for choice in self._decision.entering}
        origins = self._decision.origins
        # What came through the daemon is not sent again below; what hangs on it, which no daemon carries, is.
        through_daemon(self._context, self._plan.steps, origins, targets)
        if not origins:
            return
        with Copier(self._context.progress, threads=self._context.threads) as copier:

            def prepare(image: str) -> PreparedCopy:
                origin: Origin = origins[image]
                source = self._execution.opened.get(origin.repository) or self._context.stores(origin.repository)
                target = self._context.stores(self._repository(image))
                return copier.prepare(source, target, origin.reference, self._context.policy.referrers)

            # All are found before any is sent: what one is refused for must not leave another's signatures behind.
            prepared = each(prepare, origins, threads=self._context.threads)
            each(copier.send, prepared, threads=self._context.threads)

    def _get_manifests(self) -> None:
        """Have every manifest at hand that a tag will move to, before anything is announced."""
        wanted = {
            (move.image, move.after) for move in self._plan.moves if move.action != "keep" and move.after is not None
        }

        def get(key: tuple[str, Digest]) -> tuple[tuple[str, Digest], Manifest]:
            return key, self._execution.observer.manifest(self._repository(key[0]), key[1])

        self._manifests |= dict(each(get, wanted, threads=self._context.threads))

    # --- 2: the intent, written ahead --------------------------------------------------------------------------

    def _announce(self) -> None:
        """Write the records of images whose tags will move before those of images that are there already.

        The first say by themselves that something is under way; the others are like done as soon as they are written.
        """
        self._wait_out_others()
        composed = self._writer.compose_all(self._plan.steps, self._decision.prospects)
        before = {move.image: move.before for move in self._plan.moves if move.kind == "environment"}
        for step in self._plan.steps:
            prospect = self._decision.prospects[step.image]
            mine = tuple(written.entry for written in composed[step.image])
            at = before.get(step.image, prospect.seen.standing.digest)
            self._announced[step.image] = Announced(prospect, mine, at)
        moving = {move.image for move in self._pending("environment")}
        first = [step for step in self._plan.steps if step.image in moving]
        there = [step for step in self._plan.steps if step.image not in moving]
        for steps in (first, there):
            each(lambda step: self._write(step, composed[step.image]), steps, threads=self._context.threads)

    def _write(self, step: Step, composed: Sequence[Written]) -> None:
        seen = self._decision.prospects[step.image].seen
        first = seen.is_new
        self._written.add(step.image)
        for written in composed:
            self._writer.write(seen.target, written, first=first)
            first = False

    def _wait_out_others(self) -> None:
        """What an abandoned run sent may arrive until a moment after its abandonment, and what a run sent whose release
        another one finished: wait for that moment too."""
        if self._abandons:
            return
        fence, skew = self._context.timing.fence, self._context.timing.skew
        waits: list[float] = []
        for prospect in self._decision.prospects.values():
            if self._is_exact(prospect.seen.image):
                continue
            standing = prospect.seen.standing
            # What was abandoned still stands: whoever abandoned it has waited, and puts it back only now.
            twice = standing.digest in standing.state.void_digests
            over = (2 if twice else 1) * fence + skew
            ages = self._lookout.ages_of_takeovers(prospect, over, self._plan.resumes)
            waits += [min(fence, over - age) for age in ages]
        if waits:
            self._context.sleep(max(waits))

    # --- 3: the election ---------------------------------------------------------------------------------------

    def _win_election(self) -> None:
        """List again; go on only if every release that the decision had not seen was taken back by its own run.

        The first of several waits for that, the others give way at once. Then what was decided is decided again.
        """
        if not self._announced:
            return
        patience = self._context.elapsed() + self._context.timing.wait
        while True:
            looked_at = self._context.elapsed()
            ballots = self._look_for_rivals()
            outcome = elect(ballots)
            ballots = self._lookout.pass_over(ballots)
            if outcome.verdict is Verdict.WAIT and self._context.elapsed() < patience:
                self._context.sleep(self._context.timing.poll)
                continue
            break
        if outcome.verdict is not Verdict.WON:
            # Hands off what others took over: what becomes of it is for them. The other images give way.
            self._written -= {image for image, ballot in ballots.items() if taken_over(ballot) is not None}
            raise self._overtaken(outcome)
        self._refuse_stopped(ballots)
        errors = self._decide_again()
        if errors:
            raise combine(list(errors))
        self._lookout.take_in(ballots)
        self._looked_at = dict.fromkeys(self._announced, looked_at)
        self._keep_what_arrived(ballots)
        for move in self._pending("environment"):
            self._ledger.look(move)

    def _keep_what_arrived(self, ballots: Mapping[str, Ballot]) -> None:
        """Where the run whose release is finished here has moved the tag by itself meanwhile, it is not moved again."""
        there = {image: ballot.digest for image, ballot in ballots.items() if has_arrived(ballot)}
        for image, digest in there.items():
            self._announced[image] = replace(self._announced[image], before=digest)
        self._plan = replace(
            self._plan,
            moves=tuple(
                replace(move, before=move.after) if move.kind == "environment" and move.image in there else move
                for move in self._plan.moves
            ),
        )

    def _look_for_rivals(self) -> dict[str, Ballot]:
        """Whether the tags that this run creates once it has won are there already is seen in the same round."""
        return self._lookout.ballots(self._announced, beside=self._anchors())

    def _decide_again(self) -> Sequence[TagflowError]:
        recheck = self._execution.recheck
        return recheck(self._lookout.observer) if recheck else ()

    def _refuse_stopped(self, ballots: Mapping[str, Ballot]) -> None:
        """Give way to a hold or freeze that came since the decision."""
        for step in self._plan.steps:
            if step.image not in ballots:
                continue
            stop = stopped_by(step, ballots[step.image].unseen.values(), self._waived)
            if stop is not None:
                raise _stopped(stop, step)

    @property
    def _waived(self) -> frozenset[str]:
        """The rules that are not asked: those set aside, and for a release that is being finished its freeze."""
        return frozenset(self._plan.request.overrides) | ({"freeze"} if self._plan.resumes else frozenset())

    def _overtaken(self, outcome: Outcome, *, changed: bool = False) -> TagflowError:
        environment = self._plan.request.environment
        record = outcome.because.record if outcome.because else None
        if record is None:
            return Conflict(
                "tag.moved",
                f"{outcome.image} in {environment}: its tag was moved meanwhile; nothing was changed",
                hint="Look at `tagflow status`, then run the command again.",
            )
        if outcome.verdict is Verdict.STOP and record.action == "abort":
            what = f"{record.actor} took this release back meanwhile"
        elif record.action == "abort":
            what = f"{record.actor} took back what this release was built on"
        else:
            what = f"another release of {outcome.image} came first: {record.action} of {record.version or 'nothing'}"
            what += f" by {record.actor}"
        return Overtaken(
            f"{environment}: {what}" + ("" if changed else "; nothing of this one was changed"),
            hint="Look at `tagflow status`, then run the command again; --wait DURATION does so by itself.",
            details=[
                {
                    "code": "release.overtaken",
                    "environment": environment,
                    "image": outcome.image,
                    "release": record.release.id,
                    "actor": record.actor,
                    "action": record.action,
                    "version": record.version,
                }
            ],
        )

    # --- 4: anchors --------------------------------------------------------------------------------------------

    def _create_anchors(self) -> None:
        """Version tags first: no build that is refused may be left under a combined tag.

        Anybody may push a version tag: it is looked at right before it is written, and read back before anything else
        happens. Nobody else writes the others: the election has looked at them, and they are read back with the
        environment tags. Where nothing was announced there was no election, and there will be no look.
        """
        own = self._create_own if self._announced else self._create
        for kinds, create in ((("version",), self._create), (_OWN, own)):
            each(create, self._pending(*kinds), threads=self._context.threads)

    def _create(self, move: Move) -> None:
        assert move.after is not None
        self._store(move.image).create(move.tag, self._manifests[move.image, move.after])

    def _create_own(self, move: Move) -> None:
        assert move.after is not None
        seen = self._lookout.observer.stands(self._repository(move.image), move.tag)
        if seen == move.after:
            return
        looked = seen is None and not self._is_late(self._looked_at.get(move.image, 0.0))
        manifest = self._manifests[move.image, move.after]
        self._store(move.image).move(move.tag, manifest, None, looked=looked, confirm=False)
        self._created.append(move)

    def _anchors(self) -> list[TagLookup]:
        """The tags that nobody but tagflow writes and that this run is to create."""
        return [TagLookup(self._repository(move.image), move.tag) for move in self._pending(*_OWN)]

    # --- 5: the environment tags -------------------------------------------------------------------------------

    def _commit(self) -> None:
        moves = self._pending("environment")
        results = attempt(self._move_environment_tag, moves, threads=self._context.threads)
        errors = [result for result in results if isinstance(result, TagflowError)]
        if not errors:
            return
        error = combine(errors)
        if self._unanswered or self._ledger.doubtful:
            # A PUT without an answer may still arrive: the release stays announced, never taken back.
            raise self._partly(error) if self._ledger.changed or self._ledger.doubtful else error
        self._give_back(error)

    def _move_environment_tag(self, move: Move) -> None:
        if not self._ledger.begin(move):
            return
        try:
            self._send_in_time(move)
        except StoreError as error:
            self._judge_failure(move, error)
        except TagMoved as error:
            if error.expected != move.after and not self._is_built_on(move.image):
                self._ledger.failed(move)
                raise
            # It stood at what this run wrote, and somebody moved on: the look that follows tells whether they saw it.
            self._moved_on[move.image] = error.actual
            self._ledger.done(move)
        except TagflowError:
            self._ledger.failed(move)
            # A PUT that got no answer may still arrive: its release must not be taken back.
            self._unanswered |= move.image in self._repeated
            raise
        else:
            self._ledger.done(move)

    def _judge_failure(self, move: Move, error: StoreError) -> None:
        """Where a move failed, see where the tag stands: the answer may be lost, and the tag moved."""
        try:
            actual = self._store(move.image).resolve(move.tag)
        except StoreError:
            self._unanswered = True
            raise error from None
        if actual == move.after:
            self._ledger.done(move)
            return
        self._ledger.failed(move)
        self._unanswered |= is_unanswered(error)
        raise error

    def _is_built_on(self, image: str) -> bool:
        """Whether another release was built on this one: then its PUT arrived, whatever was answered."""
        if image not in self._announced:
            return False
        ballots = self._lookout.ballots({image: self._announced[image]}, since_election=True)
        return built_on(ballots[image]) is not None

    def _send_in_time(self, move: Move) -> None:
        """Move a tag by a look that is young enough, and once for a look: a PUT without an answer may have arrived, and
        others may have built on it since, or rolled it back to where the tag stood before."""
        for _ in range(_LOOKS):
            try:
                return self._send(move)
            except _Arrived:
                return None
            except _LookedTooLongAgo:
                self._look_once_more(move)
        raise self._too_late(move.image)

    def _too_late(self, image: str) -> StoreError:
        return StoreError(
            "run.timeout",
            f"{self._repository(image)}: no write came through in time after a look",
            hint="Run the same command again.",
        )

    def _look_once_more(self, move: Move) -> None:
        """The last look is too old to move a name by, or has been used, or others have written since: does the decision
        still hold?

        :raises _Arrived: what was sent already has moved the tag.
        """
        image = move.image
        with self._looking:
            looked_at = self._context.elapsed()
            one = {image: self._announced[image]} if image in self._announced else {}
            ballots = self._lookout.unseen(self._lookout.ballots(one))
            if self._has_arrived(move, ballots.get(image)):
                raise _Arrived
            if not self._abandons:
                outcome = elect(ballots, again=True)
                if outcome.verdict is not Verdict.WON:
                    raise self._overtaken(outcome)
                if image in ballots and has_arrived(ballots[image]):
                    raise _Arrived
                self._refuse_stopped(ballots)
            self._lookout.take_in(ballots)
            self._looked_at[image] = looked_at
            self._sent.discard(image)

    def _has_arrived(self, move: Move, ballot: Ballot | None) -> bool:
        """Whether what was sent has moved the tag, though no answer said so; others may have moved it on by now."""
        if ballot is None or move.image not in self._sent or taken_back(ballot) is not None:
            return False
        if ballot.digest == move.after:
            return True
        moved_on = _not_abandoned({move.image: ballot}) if self._abandons else built_on(ballot) is not None
        if moved_on:
            self._moved_on[move.image] = ballot.digest
        return bool(moved_on)

    def _send(self, move: Move) -> None:
        store = self._store(move.image)
        if move.after is None:
            assert move.before is not None
            store.untag(move.tag, move.before)
            return
        manifest = self._manifests[move.image, move.after]
        guard = partial(self._guard, move) if self._announced else None
        looked = self._ledger.looked([move])
        # Where a look at all images follows, it reads the tag back.
        store.move(move.tag, manifest, move.before, looked=looked, confirm=not self._announced, guard=guard)

    def _guard(self, move: Move, tags: Collection[str] | None) -> None:
        """Asked right before a PUT: none is sent later than the fence after the look that it relies on, and for each
        look one. In a layout, where the tags are those under its lock, none is sent over a record that this run has
        not seen."""
        image = move.image
        if image in self._sent:
            self._repeated.add(image)
            self._look_once_more(move)
        self._refuse_late(self._looked_at.get(image, 0.0))
        if tags is not None and self._is_exact(image) and self._lookout.is_news(self._announced[image], tags):
            raise _LookedTooLongAgo
        self._sent.add(image)

    def _guard_put_back(self, image: str, looked_at: float) -> Callable[[Collection[str] | None], None]:
        """As :meth:`_guard`, for a PUT that puts a tag back."""
        looks = [looked_at]
        sent = False

        def guard(_tags: Collection[str] | None) -> None:
            nonlocal sent
            if sent:
                looks.append(self._context.elapsed())
                ballot = self._look_before_putting_back({image: self._announced[image]})[image]
                if taken_back(ballot) is not None or built_on(ballot) is not None:
                    raise _LookedTooLongAgo
            self._refuse_late(looks[-1])
            sent = True

        return guard

    def _refuse_late(self, looked_at: float) -> None:
        if self._is_late(looked_at):
            raise _LookedTooLongAgo

    def _is_late(self, looked_at: float) -> bool:
        return self._context.elapsed() - looked_at >= self._context.timing.fence

    # --- 6: look again -----------------------------------------------------------------------------------------

    def _look_again(self) -> None:
        """See whether anything came between the election and the environment tags that undoes this release."""
        if not self._announced:
            return
        try:
            ballots = self._look_after_commit()
        except TagflowError as error:
            # The tags are where this run put them, and nothing says that they must not be.
            raise (self._partly(error) if self._ledger.changed else error) from error
        steps = {step.image: step for step in self._plan.steps}
        found = {
            image: arrive(ballot, steps[image], self._after(image), self._waived) for image, ballot in ballots.items()
        }
        back = {image: it.taken_back for image, it in found.items() if it.taken_back is not None}
        if back:
            self._give_way(ballots, back)
        if not self._abandons:
            self._read_anchors_back()
        moved = [image for image, it in found.items() if it.tag_moved]
        stopped = {image: it.stopped for image, it in found.items() if it.stopped is not None}
        if moved and not self._abandons:
            environment = self._plan.request.environment
            self._give_back(
                Conflict(
                    "tag.moved",
                    f"{', '.join(moved)} in {environment}: the tag was moved by somebody else at the same moment",
                    hint="Look at `tagflow status`, then run the command again.",
                )
            )
        if stopped and not self._abandons:
            image, stop = next(iter(stopped.items()))
            self._give_back(_stopped(stop, steps[image]))

    def _look_after_commit(self) -> dict[str, Ballot]:
        """List once more, and read back what was written, side by side: where a tag stands at what this run put there,
        an older list is as good as a younger one. Where it does not, the list is read again: that explains it.
        """
        changed = {move.image: move for move in self._ledger.changed if move.kind == "environment"}
        untouched = {image: it.before for image, it in self._announced.items() if image not in changed}
        removed: dict[str, Digest | None] = {image: None for image, move in changed.items() if move.after is None}
        stands = untouched | removed | self._moved_on
        created = [TagLookup(self._repository(move.image), move.tag) for move in self._created]
        ballots = self._lookout.ballots(self._announced, since_election=True, stands=stands, beside=created)
        lagging = [
            move
            for image, move in changed.items()
            if image not in stands and ballots[image].digest == move.before and not _explained(ballots[image])
        ]
        if not lagging:
            return ballots
        each(self._wait_for_replicas, lagging, threads=self._context.threads)
        stands |= {image: ballots[image].digest for image in changed if image not in stands}
        stands |= {move.image: move.after for move in lagging} | self._moved_on
        return self._lookout.ballots(self._announced, since_election=True, stands=stands, beside=created)

    def _wait_for_replicas(self, move: Move) -> None:
        """A tag stands where it was before, and no record says why: one that was read may lag behind."""
        assert move.after is not None
        try:
            self._store(move.image).confirm(move.tag, move.after, move.before)
        except TagMoved as error:
            self._moved_on[move.image] = error.actual

    def _read_anchors_back(self) -> None:
        """Give everything back where a tag that was created is not where this run put it; a replica may lag behind."""
        elsewhere: list[TagMoved] = []
        for move in self._created:
            assert move.after is not None
            if self._lookout.observer.stands(self._repository(move.image), move.tag) == move.after:
                continue
            try:
                self._store(move.image).confirm(move.tag, move.after, None)
            except TagMoved as error:
                elsewhere.append(error)
            except TagflowError as error:  # nothing says that it is elsewhere
                raise (self._partly(error) if self._ledger.changed else error) from error
        if elsewhere:
            self._give_back(combine(elsewhere))

    def _after(self, image: str) -> Digest | None:
        """Where the environment tag of an image is to stand."""
        moves = [move.after for move in self._plan.moves if move.kind == "environment" and move.image == image]
        return moves[0] if moves else self._announced[image].before

    # --- 7: floating tags --------------------------------------------------------------------------------------

    def _float(self) -> None:
        try:
            last = follow_floating(self._context, self._plan, self._lookout.observer, self._ledger, self._own_entries())
            if last is not None and not self._abandons:
                self._look_at_the_end(last)
        except Overtaken:
            raise
        except TagflowError as error:
            if self._ledger.changed or self._ledger.doubtful:
                raise self._partly(error) from error
            raise

    def _look_at_the_end(self, last: Observer) -> None:
        """Where the last look lists what is new, somebody may have taken this release back while its floating tags were
        moved."""
        news = {image: it for image, it in self._announced.items() if self._lookout.is_news_to(it, last)}
        if not news:
            return
        ballots = self._lookout.ballots(news, since_election=True)
        back = {image: by for image, ballot in ballots.items() if (by := taken_back(ballot)) is not None}
        if back:
            self._give_way(ballots, back)

    def _own_entries(self) -> dict[Repository, list[Entry]]:
        """This run's records, by where they are kept: nobody needs to ask for them."""
        return {it.prospect.seen.target.history: list(it.mine) for it in self._announced.values()}

    # --- abandoning --------------------------------------------------------------------------------------------

    def _wait_for_the_abandoned(self) -> None:
        """After the aborts are written: until what the abandoned run sent has arrived or never will, and until
        releases that had not seen the aborts have given way.

        Where somebody began to finish the abandoned release, not having seen the aborts, that is abandoned as well.
        """
        patience = self._context.elapsed() + self._context.timing.wait
        rivals: Sequence[Entry] = ()
        extended, tries = True, _LOOKS
        while True:
            if extended and not all(self._is_exact(image) for image in self._announced):
                self._context.sleep(self._context.timing.fence)
                patience = self._context.elapsed() + self._context.timing.wait
            looked_at = self._context.elapsed()
            ballots = self._look_for_rivals()
            rivals = _not_abandoned(ballots)
            if not rivals:
                tangled = {it: () for it, ballot in ballots.items() if hides_abandonment(ballot)}
                if tangled and tries:
                    self._abandon_again(ballots, tangled)
                    extended, tries = False, tries - 1
                    continue
                break
            extended = self._abandon_finishers(ballots)
            if extended:
                continue
            if self._context.elapsed() >= patience:
                self._written.clear()
                image = next(it for it, ballot in ballots.items() if rivals[0] in ballot.unseen.values())
                raise self._overtaken(Outcome(Verdict.YIELD, rivals[0], image))
            self._context.sleep(self._context.timing.poll)
        self._lookout.take_in(ballots)
        self._looked_at = dict.fromkeys(self._announced, looked_at)
        self._aim(ballots)

    def _abandon_finishers(self, ballots: Mapping[str, Ballot]) -> bool:
        """Abandon what was announced meanwhile to finish a release that is abandoned here; whether there was any."""
        gone = {entry.record.release.id for entry in self._abandoned_entries()}
        late = {
            image: [entry for entry in _not_abandoned({image: ballot}) if entry.record.release.id in gone]
            for image, ballot in ballots.items()
        }
        found = {image: entries for image, entries in late.items() if entries}
        self._abandon_again(ballots, found)
        return bool(found)

    def _abandon_again(self, ballots: Mapping[str, Ballot], late: Mapping[str, Sequence[Entry]]) -> None:
        """Write the abandonment once more in some images, above all that is there, with what else it takes back."""
        for image, entries in late.items():
            announced = self._announced[image]
            written = self._writer.compose_again(ballots[image], announced.prospect, entries)
            self._writer.write(announced.prospect.seen.target, written, first=False)
            self._announced[image] = replace(announced, mine=(*announced.mine, written.entry))

    def _abandoned_entries(self) -> list[Entry]:
        """The records that this run takes back."""
        found: list[Entry] = []
        for announced in self._announced.values():
            tags = {tag for entry in announced.mine for tag in entry.record.aborts}
            read = self._lookout.observer.read(announced.prospect.seen.target.history, sorted(tags, key=str))
            found += read.values()
        return found

    def _aim(self, ballots: Mapping[str, Ballot]) -> None:
        """Move only tags that stand at a digest that was taken back, now or earlier; no other is ours."""
        moves: list[Move] = []
        for move in self._plan.moves:
            ballot = ballots.get(move.image)
            if move.kind != "environment" or ballot is None:
                moves.append(move)
                continue
            record = ballot.announcement.record
            taken = self._lookout.observer.read(
                self._announced[move.image].prospect.seen.target.history, sorted(record.aborts, key=str)
            )
            void = record.state.void_digests | {move.before} | {entry.record.digest for entry in taken.values()}
            if ballot.digest == move.after or ballot.digest not in void:
                continue
            moves.append(replace(move, before=ballot.digest))
        self._plan = replace(self._plan, moves=tuple(moves))
        missing = {
            (m.image, m.after)
            for m in moves
            if m.action != "keep" and m.after and (m.image, m.after) not in self._manifests
        }
        for image, digest in missing:
            self._manifests[image, digest] = self._execution.observer.manifest(self._repository(image), digest)

    def _give_way(self, ballots: Mapping[str, Ballot], back: Mapping[str, Entry]) -> NoReturn:
        """Somebody took this release back in some images, having seen no more of it: it goes back in all of them."""
        stays = {image for image in back if not self._restore(image, ballots[image])}
        for image in back.keys() - stays:
            self._leave(image)
        self._written -= back.keys()
        first = next(iter(back))
        error = self._overtaken(Outcome(Verdict.STOP, back[first], first), changed=bool(stays))
        if self._written:
            self._give_back(error)
        raise self._partly(error) if stays else error

    def _restore(self, image: str, ballot: Ballot) -> bool:
        """Abandoned while alive, and the PUT landed on top: put the tag back, announced, unless another release was
        announced since. False where the tag stays at what this run put there."""
        announced = self._announced[image]
        if ballot.digest != ballot.announcement.record.digest:
            return True
        if open_releases({image: ballot}):
            return False
        written = self._writer.compose_abort(
            self._lookout.unseen({image: ballot})[image], announced.prospect, moved=True
        )
        target = announced.prospect.seen.target
        try:
            self._writer.write(target, written, first=False)
            looked_at = self._context.elapsed()
            again = self._lookout.ballots({image: announced})[image]
            since = {tag: entry for tag, entry in again.unseen.items() if tag not in ballot.unseen}
            if open_releases({image: replace(again, unseen=since)}):
                return again.digest != ballot.digest
            self._put_back(image, looked_at)
        except _LookedTooLongAgo:
            self._context.warn(f"{target.name}: {self._too_late(image).message}")
            return False
        except TagflowError as error:
            self._context.warn(f"{target.name}: {error.message}")
            return False
        return True

    # --- when it fails -----------------------------------------------------------------------------------------

    def _or_abort(self, phase: Callable[[], None]) -> None:
        """Run a phase before the commit points; where it fails, say in the history that nothing came of it."""
        try:
            phase()
        except TagflowError:
            if not self._abandons:
                self._abort_all(moved=frozenset())
            raise

    def _abort_all(self, moved: frozenset[str]) -> dict[str, Ballot]:
        """Write this run's own aborts; what can't be written is told, and left interrupted."""
        wanted = {image: it for image, it in self._announced.items() if image in self._written}
        if not wanted:
            return {}
        try:
            ballots = self._lookout.unseen(self._lookout.ballots(wanted))
        except TagflowError as error:
            self._context.warn(f"the abort could not be written: {error.message}")
            return {}
        for image, ballot in list(ballots.items()):
            if taken_over(ballot) is None or (image in moved and taken_back(ballot) is not None):
                continue
            # Somebody built on it there, or took it back before anything moved: no longer this run's to take back.
            self._leave(image)
            del ballots[image]
        failed = self._write_aborts(ballots, moved)
        ballots = {image: ballot for image, ballot in ballots.items() if image not in failed}
        self._untangle(ballots.keys(), moved)
        return ballots

    def _write_aborts(self, ballots: Mapping[str, Ballot], moved: frozenset[str]) -> set[str]:
        """Write this run's own abort in each image; the images where that failed, each told."""

        def abort(image: str) -> None:
            announced, ballot = self._announced[image], ballots[image]
            lost = self._lookout.lost(announced, ballot)
            written = self._writer.compose_abort(ballot, announced.prospect, moved=image in moved, lost=lost)
            self._writer.write(announced.prospect.seen.target, written, first=False)

        results = attempt(abort, ballots, threads=self._context.threads)
        failed = {it: error for it, error in zip(ballots, results, strict=True) if isinstance(error, TagflowError)}
        for image, error in failed.items():
            self._context.warn(f"{image}: the abort could not be written: {error.message}")
        return set(failed)

    def _untangle(self, images: Collection[str], moved: frozenset[str]) -> None:
        """Where others gave way at the same moment, an abort may carry on a release that was taken back meanwhile, this
        run's or another's: say once more, above all that is there, what became of it.

        Of several each writes first, then looks: the last one sees all. Where the look fails, what others wrote stands.
        """
        for _ in range(_LOOKS):
            try:
                ballots = self._lookout.unseen(self._lookout.ballots({it: self._announced[it] for it in images}))
            except TagflowError:
                return
            tangled = {image: ballot for image, ballot in ballots.items() if carries_on_what_is_gone(ballot)}
            if not tangled or self._write_aborts(tangled, moved):
                return

    def _give_back(self, error: TagflowError) -> None:
        """Put back what still stands at what this run wrote and what no other release was built on. Announced first."""
        moved = frozenset(move.image for move in self._ledger.changed if move.kind == "environment")
        if not self._announced:
            raise self._partly(error) if self._ledger.changed else error
        if self._abandons:
            raise self._partly(error) if self._ledger.changed else error
        announced = self._abort_all(moved)
        stuck: list[TagflowError] = []
        results = attempt(
            self._put_back_if_mine, [it for it in moved if it in announced], threads=self._context.threads
        )
        stuck += [result for result in results if isinstance(result, TagflowError)]
        if stuck or self._ledger.changed:
            raise self._partly(combine([error, *stuck])) from error
        raise error

    def _put_back_if_mine(self, image: str) -> None:
        """Look at what was announced since; hands off where somebody took this release back, or built on it."""
        announced = {image: self._announced[image]}
        patience = self._context.elapsed() + self._context.timing.wait
        tries = _LOOKS
        while tries:
            looked_at = self._context.elapsed()
            ballot = self._look_before_putting_back(announced)[image]
            if taken_back(ballot) is not None:
                return self._leave(image)
            successor = built_on(ballot)
            if successor is None or not open_releases({image: replace(ballot, unseen=_only(ballot, successor))}):
                try:
                    return self._put_back(image, looked_at)
                except _LookedTooLongAgo:
                    tries -= 1
                    continue
            if ballot.digest != ballot.announcement.record.digest or self._context.elapsed() >= patience:
                return self._leave(image)
            self._context.sleep(self._context.timing.poll)
        raise self._too_late(image)

    def _look_before_putting_back(self, announced: Mapping[str, Announced]) -> dict[str, Ballot]:
        return self._lookout.unseen(self._lookout.ballots(announced, since_election=True))

    def _put_back(self, image: str, looked_at: float) -> None:
        """Put an environment tag back where it was, if it still stands at what this run wrote.

        ``looked_at``: the moment of the look by which it is; where that is too long ago, nothing is sent.
        """
        move = next((it for it in self._ledger.changed if it.image == image and it.kind == "environment"), None)
        if move is None:
            return
        store = self._store(image)
        try:
            if move.before is None:
                if move.after is not None and store.resolve(move.tag) is not None:
                    self._refuse_late(looked_at)
                    store.untag(move.tag, move.after)
            else:
                store.move(move.tag, store.get(move.before), move.after, guard=self._guard_put_back(image, looked_at))
        except TagMoved:
            pass
        except StoreError:  # the answer is lost, perhaps, and it is done
            if store.resolve(move.tag) != move.before:
                raise
        self._ledger.put_back(move)

    def _leave(self, image: str) -> None:
        """What others built on, or took back, is theirs now."""
        for move in self._ledger.changed:
            if move.image == image and move.kind == "environment":
                self._ledger.put_back(move)

    # --- what is told ------------------------------------------------------------------------------------------

    def _partly(self, cause: TagflowError) -> PartlyApplied:
        return PartlyApplied(
            "release.partly_applied",
            f"{cause.message}\n{told(self._ledger)}",
            hint=self._ways_out(cause),
            details=[*cause.details, *differing(self._ledger)],
        )

    def _interrupted(self) -> Interrupted:
        self._ledger.stop()
        return Interrupted(
            "run.interrupted",
            f"interrupted: {told(self._ledger)}",
            hint=self._ways_out(None),
            details=differing(self._ledger),
        )

    def _ways_out(self, cause: TagflowError | None) -> str:
        begun = bool(self._written or self._ledger.changed or self._plan.resumes)
        return ways_out(self._context, self._plan, self._ledger, cause, begun=begun)

    def _with_result(self, error: TagflowError) -> TagflowError:
        error.result = self._result(applied=False)
        return error

    def _result(self, *, applied: bool) -> Result:
        release = self._release if self._plan.steps else None
        return Result(
            release.id if release else None,
            applied=applied,
            compensated=self._ledger.compensated,
            number=release.number if release else None,
            heads={image: it.mine[-1] for image, it in self._announced.items()},
        )

    # --- small things ------------------------------------------------------------------------------------------

    def _pending(self, *kinds: Kind) -> list[Move]:
        return [move for move in self._plan.moves if move.kind in kinds and move.action != "keep"]

    def _repository(self, image: str) -> Repository:
        environment = self._context.environment(self._plan.request.environment)
        return self._context.policy.repository(self._context.image(image), environment)

    def _store(self, image: str) -> Store:
        return self._context.stores(self._repository(image))

    def _is_exact(self, image: str) -> bool:
        """Whether no write can arrive late where this image lives: a layout on disk, its records in the same one."""
        target = self._announced[image].prospect.seen.target if image in self._announced else None
        target = target or self._decision.prospects[image].seen.target
        return target.repository.is_layout and target.history == target.repository


class _LookedTooLongAgo(Exception):
    """The look on which a write relies is too old, or others have written since."""


class _Arrived(Exception):
    """What was sent has moved the tag, though no answer said so."""


def is_unanswered(error: StoreError) -> bool:
    """Whether a write that failed so may still be carried out: no answer came, or only that of something in between."""
    return error.code in _UNANSWERED


def _not_abandoned(ballots: Mapping[str, Ballot]) -> list[Entry]:
    """The open releases that this run's own aborts do not name."""
    named = {tag for ballot in ballots.values() for entry in ballot.mine for tag in entry.record.aborts}
    return [entry for entry in open_releases(ballots) if entry.tag not in named]


def _explained(ballot: Ballot) -> bool:
    """Whether a record says why the environment tag is not where this run put it."""
    return taken_back(ballot) is not None or built_on(ballot) is not None


def _only(ballot: Ballot, entry: Entry) -> dict[RecordTag, Entry]:
    return {tag: it for tag, it in ballot.unseen.items() if tag == entry.tag or entry.tag in it.record.aborts}


def _stopped(stop: Entry, step: Step) -> TagflowError:
    """A hold or freeze that came while a release was under way."""
    record = stop.record
    if record.action == "freeze":
        message = f"{record.environment} was frozen meanwhile by {record.actor}: {record.reason}"
        return Refused("promotion.frozen", message, details=[_detail("promotion.frozen", step, message)])
    message = f"{step.image} {record.version} was put on hold in {record.environment} meanwhile by {record.actor}"
    message += f": {record.reason}"
    return Refused("promotion.held", message, details=[_detail("promotion.held", step, message)])


def _detail(code: str, step: Step, message: str) -> dict[str, object]:
    return {"code": code, "image": step.image, "message": message}


__all__ = ["Execution", "Recheck", "ReleaseRun", "Result", "execute", "is_unanswered"]
