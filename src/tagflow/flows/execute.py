"""Execute: any plan, in the one order of writes that survives dying anywhere.

1. objects; 2. for all images their records, the intent written ahead; 3. version, combined and pin tags; 4. the
environment tags, each the commit point of its image; 5. floating tags. Each phase ends before the next begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Lock

from tagflow.domain.floating import winner
from tagflow.domain.history import Entry, Release
from tagflow.domain.plan import Move, Step
from tagflow.domain.reference import Digest
from tagflow.domain.tagging import Kind
from tagflow.errors import Interrupted, PartlyApplied, StoreError, TagflowError, combine
from tagflow.flows.announce import Herald
from tagflow.flows.context import Context
from tagflow.flows.decision import Decision, Outcome
from tagflow.flows.interruption import finish_command
from tagflow.flows.observe import Observer
from tagflow.flows.parallel import attempt, each, run_all
from tagflow.flows.together import place_together
from tagflow.flows.travel import through_daemon
from tagflow.stores.port import Manifest, Store, TagMoved
from tagflow.stores.transfer.copy import Copier

_FOLLOWED = 5
"""How often a floating tag is followed where other releases move it at the same time."""
_ANCHORS: tuple[Kind, ...] = ("version", "combined", "pin")


def execute(context: Context, decision: Decision) -> Outcome:
    """Carry out a decision that nothing refuses.

    :raises TagflowError: what failed, where no environment or floating tag differs from before.
    :raises PartlyApplied: where one does; the message lists each with its digest before and now.
    :raises Interrupted: on Ctrl-C, with the message of either.

    The ``result`` of the error holds the outcome so far.
    """
    return _Run(context, decision).carry_out()


class _Run:
    """One release on its way. It knows at every moment which names it has changed."""

    def __init__(self, context: Context, decision: Decision) -> None:
        self._context, self._decision, self._plan = context, decision, decision.plan
        self._places = {place.image.name: place for place in decision.sights}
        self._lock = Lock()
        self._changed: list[Move] = []
        self._doubtful: list[Move] = []
        """Moves that were begun and whose end is not known (yet)."""
        self._looked: set[Move] = set()
        self._placed: set[Move] = set()
        self._stopped = False
        """Whether an interrupt was told: what moves is told then, so nothing more may begin to move."""
        self._compensated = False
        self._left: set[str] = set()
        """Images whose environment tag was moved, or may have been, and put back."""
        self._announced: dict[str, Entry] = {}
        self._manifests: dict[tuple[str, Digest], Manifest] = {}
        first = decision.number + 1
        adopting = any(step.adopts for step in self._plan.steps)
        adoption = Release(context.new_id(), first)
        release = self._plan.resumes or Release(context.new_id(), first + 1 if adopting else first)
        self._herald = Herald(context, self._plan, release, adoption)

    # --- the workflow ------------------------------------------------------------------------------------------

    def carry_out(self) -> Outcome:
        """The five phases."""
        try:
            self._copy_objects()
            self._get_manifests()
            self._or_take_back(self._announce)
            self._or_take_back(self._anchor)
            self._or_take_back(self._commit)
            self._float()
        except KeyboardInterrupt:
            raise self._with_outcome(self._interrupted()) from None
        except TagflowError as error:
            raise self._with_outcome(error)  # noqa: B904
        return self._outcome(applied=True)

    def _copy_objects(self) -> None:
        places = {image: place.repository for image, place in self._places.items()}
        # What came through the daemon is not sent again below; what hangs on it, which no daemon carries, is.
        through_daemon(self._context, self._plan.steps, self._decision.origins, places)
        if not self._decision.origins:
            return
        with Copier(self._context.progress, threads=self._context.threads) as copier:

            def copy(image: str) -> None:
                origin = self._decision.origins[image]
                target = self._context.stores(self._places[image].repository)
                copier.copy(origin.store, target, origin.reference, referrers=self._context.policy.referrers)

            each(copy, self._decision.origins, threads=self._context.threads)

    def _get_manifests(self) -> None:
        """Have every manifest at hand that a tag will move to, before anything is announced."""
        wanted = {
            (move.image, move.after) for move in self._plan.moves if move.action != "keep" and move.after is not None
        }

        def get(key: tuple[str, Digest]) -> tuple[tuple[str, Digest], Manifest]:
            return key, self._decision.observer.manifest(self._places[key[0]].repository, key[1])

        self._manifests |= dict(each(get, wanted, threads=self._context.threads))

    def _announce(self) -> None:
        """Write the records of images whose tags will move before those of images that are there already.

        The first say by themselves that something is under way; the others are like done as soon as they are written.
        """
        follows = [] if self._pending(*_ANCHORS) else self._pending("environment")
        moving = {move.image for move in self._pending("environment")}
        first = [step for step in self._plan.steps if step.image in moving]
        there = [step for step in self._plan.steps if step.image not in moving]
        if there:
            self._do([partial(self._write_records, step) for step in first], before=[])
        self._do([partial(self._write_records, step) for step in there or first], before=follows)

    def _anchor(self) -> None:
        anchors = self._pending(*_ANCHORS)
        place_together(anchors, self._place, threads=self._context.threads)
        self._do([partial(self._create, move) for move in anchors], before=self._pending("environment"))

    def _commit(self) -> None:
        moves = self._pending("environment")
        self._do([partial(self._move_for_sure, move) for move in moves], before=self._pending("floating"))

    def _do(self, writes: Sequence[Callable[[], None]], before: Sequence[Move]) -> None:
        """Write, and look meanwhile whether the tags that come next stand where they are expected: a round less."""
        tasks = list(writes)
        if writes:
            tasks += [partial(self._look, move) for move in before]
        run_all(tasks, threads=self._context.threads)

    def _float(self) -> None:
        try:
            place_together(self._pending("floating"), self._place_doubtfully, threads=self._context.threads)
            each(self._follow, self._pending("floating"), threads=self._context.threads)
        except TagflowError as error:
            if self._changed or self._doubtful:
                raise self._partly(error) from error
            raise

    def _follow(self, move: Move) -> None:
        """Move a floating tag. Where another release moved it meanwhile, see who wins now that both are there."""
        for _ in range(_FOLLOWED):
            try:
                return self._move_for_sure(move)
            except TagMoved:
                anew = self._seen_anew(move)
                if anew is None:
                    return None
                move = anew
        return self._move_for_sure(move)

    def _seen_anew(self, move: Move) -> Move | None:
        """Where a floating tag belongs by what is there now; None where it stands there."""
        observer, place, scheme = Observer(self._context), self._places[move.image], self._context.scheme
        sight, meaning = observer.sights([place])[place], scheme.read(move.tag)
        line = meaning.line if meaning else None
        best = winner(scheme, move.tag, line, sight.admitted) if line else None
        actual = observer.digest(place.repository, move.tag)
        wanted = observer.digest(place.repository, sight.combined[best]) if best else None
        if wanted is None or wanted == actual:
            return None
        manifest = self._store(move.image).get(wanted)
        with self._lock:
            self._manifests[move.image, wanted] = manifest
        return replace(move, before=actual, after=wanted)

    # --- single writes -----------------------------------------------------------------------------------------

    def _pending(self, *kinds: Kind) -> list[Move]:
        return [move for move in self._plan.moves if move.kind in kinds and move.action != "keep"]

    def _write_records(self, step: Step) -> None:
        if step.recorded:
            return
        entry = self._herald.announce(step, self._decision.prospects[step.image])
        with self._lock:
            self._announced[step.image] = entry

    def _look(self, move: Move) -> None:
        """See a tag where it is expected. Where it is not, the move finds that out anew, and says so."""
        if self._store(move.image).resolve(move.tag) == move.before:
            with self._lock:
                self._looked.add(move)

    def _create(self, move: Move) -> None:
        assert move.after is not None
        if move in self._placed:
            return self._move(move)
        return self._store(move.image).create(move.tag, self._manifests[move.image, move.after])

    def _place(self, moves: Sequence[Move]) -> None:
        """Several tags of one image to one digest."""
        image, after = moves[0].image, moves[0].after
        assert after is not None
        looked = self._looked.issuperset(moves)
        wanted = {move.tag: move.before for move in moves}
        if self._store(image).place(self._manifests[image, after], wanted, looked=looked):
            with self._lock:
                self._looked.difference_update(moves)
                self._placed.update(moves)

    def _place_doubtfully(self, moves: Sequence[Move]) -> None:
        """As :meth:`_place`, where an interruption is to tell what may have moved, until each move has followed."""
        with self._lock:
            if self._stopped:
                return
            self._doubtful.extend(moves)
        with suppress(StoreError):  # told by each move that follows
            self._place(moves)

    def _move(self, move: Move) -> None:
        store = self._store(move.image)
        if move.after is None:
            assert move.before is not None
            store.untag(move.tag, move.before)
        else:
            store.move(move.tag, self._manifests[move.image, move.after], move.before, looked=move in self._looked)

    def _move_for_sure(self, move: Move) -> None:
        """Move a tag whose place matters. Where the answer is lost, look where the tag stands."""
        with self._lock:
            if self._stopped:
                return
            if move not in self._doubtful:
                self._doubtful.append(move)
        try:
            self._move(move)
        except StoreError:
            if self._store(move.image).resolve(move.tag) != move.after:
                self._settle(move, changed=False)
                raise
        except TagflowError:
            self._settle(move, changed=False)
            raise
        self._settle(move, changed=True)

    def _settle(self, move: Move, *, changed: bool) -> None:
        with self._lock:
            self._doubtful.remove(move)
            if changed:
                self._changed.append(move)

    def _store(self, image: str) -> Store:
        return self._context.stores(self._places[image].repository)

    # --- when it fails -----------------------------------------------------------------------------------------

    def _or_take_back(self, phase: Callable[[], None]) -> None:
        """Run a phase up to the commit points; where it fails, put back what moved and say so in the history."""
        try:
            phase()
        except TagflowError as error:
            failures = attempt(self._put_back, [*self._changed, *self._doubtful], threads=self._context.threads)
            stuck = [failure for failure in failures if isinstance(failure, TagflowError)]
            if stuck:
                raise self._partly(combine([error, *stuck])) from error
            if self._plan.resumes is None:
                attempt(self._abort, self._announced, threads=self._context.threads)
            raise

    def _put_back(self, move: Move) -> None:
        """Put back what still stands at what this release wrote; what somebody moved since is theirs."""
        store = self._store(move.image)
        try:
            if move.before is None:
                if move.after is not None and store.resolve(move.tag) is not None:
                    store.untag(move.tag, move.after)
            else:
                store.move(move.tag, store.get(move.before), move.after)
        except TagMoved:
            pass
        except StoreError:  # the answer is lost, perhaps, and it is done
            if store.resolve(move.tag) != move.before:
                raise
        with self._lock:
            self._compensated = True
            self._left.add(move.image)
            for moves in (self._changed, self._doubtful):
                if move in moves:
                    moves.remove(move)

    def _abort(self, image: str) -> None:
        self._herald.abort(self._announced[image], self._places[image], left=image in self._left)

    def _partly(self, cause: TagflowError) -> PartlyApplied:
        return PartlyApplied(
            "release.partly_applied",
            f"{cause.message}\n{self._told()}",
            hint=self._ways_out(),
            details=[*cause.details, *self._differing()],
        )

    def _interrupted(self) -> Interrupted:
        with self._lock:
            self._stopped = True
        return Interrupted(
            "run.interrupted", f"interrupted: {self._told()}", hint=self._ways_out(), details=self._differing()
        )

    def _told(self) -> str:
        lines = [
            f"{move.repository}:{move.tag} was at {move.before or 'no digest'}, is at {move.after or 'no digest'}"
            for move in self._changed
        ]
        lines += [
            f"{move.repository}:{move.tag} was at {move.before or 'no digest'}, may be at {move.after}"
            for move in self._doubtful
        ]
        return "\n".join(lines) or "no environment or floating tag differs from before"

    def _differing(self) -> list[dict[str, object]]:
        return [
            {"repository": move.repository, "tag": move.tag, "before": move.before, "now": move.after, "sure": sure}
            for moves, sure in ((self._changed, True), (self._doubtful, False))
            for move in moves
        ]

    def _ways_out(self) -> str:
        environment = self._plan.request.environment
        steps = self._plan.steps
        if steps and steps[0].action in ("rollback", "abort"):
            moved = {move.image for move in self._changed if move.kind == "environment"}
            if moved >= {move.image for move in self._pending("environment")}:
                return f"It is complete but for floating tags: `tagflow verify {environment} --repair` puts them right."
            return f"`tagflow rollback {environment}` finishes it."
        if not self._announced and not self._changed and self._plan.resumes is None:
            return "Run the same command again."
        request = self._plan.request
        finish = finish_command(environment, self._plan.intent, request.overrides, request.reason)
        return f"Run the same command again (`{finish}`) to finish, or `tagflow rollback {environment}` to go back."

    def _with_outcome(self, error: TagflowError) -> TagflowError:
        error.result = self._outcome(applied=False)
        return error

    def _outcome(self, *, applied: bool) -> Outcome:
        return Outcome(
            self._plan.request.environment,
            self._plan,
            release=self._herald.release.id if self._plan.steps else None,
            applied=applied,
            compensated=self._compensated,
            gates=self._decision.gates,
        )
