"""The ledger: what became of each move, and what is said of it and of the ways out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum
from threading import Lock

from tagflow.context import Context
from tagflow.decide.interrupted import finish_command
from tagflow.domain.plan import Move, Plan
from tagflow.domain.reference import Digest
from tagflow.errors import Detail, StoreError, TagflowError


class Progress(Enum):
    """How far a move has come."""

    PENDING = "not begun"
    BEGUN = "sent, and not known to be done"
    DONE = "done"
    PUT_BACK = "done, and put back"


class Ledger:
    """Every move of one run. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._progress: dict[Move, Progress] = {}
        self._looked: set[Move] = set()
        self._placed: set[Move] = set()
        self._found: dict[Move, Digest | None] = {}
        self._stopped = False

    def begin(self, move: Move) -> bool:
        """Note that a move is being sent; False once the run was interrupted: nothing more may begin then."""
        with self._lock:
            if self._stopped:
                return False
            self._progress[move] = Progress.BEGUN
            return True

    def done(self, move: Move) -> None:
        """Note that a tag stands where it is wanted."""
        with self._lock:
            self._progress[move] = Progress.DONE

    def doubt(self, move: Move) -> None:
        """Note that a tag is being put back: it may be at either digest until that is answered."""
        with self._lock:
            self._progress[move] = Progress.BEGUN

    def judge(self, move: Move, error: StoreError, actual: Digest | None) -> Progress:
        """Note what became of a move that failed, by where its tag is found then. The answer may be lost, and the tag
        moved; and where it is found elsewhere, or something else was stored under it, it differs from before, whatever
        the registry made of it."""
        with self._lock:
            if actual == move.after:
                self._progress[move] = Progress.DONE
            elif actual != move.before:
                self._found[move] = actual
            elif error.code != "manifest.digest_mismatch":
                self._progress.pop(move, None)
                return Progress.PENDING
            return self._progress[move]

    def failed(self, move: Move) -> None:
        """Note that a move did not take place, as far as a look or a refusal tells. Whether something was sent that may
        still arrive, the run remembers."""
        with self._lock:
            self._progress.pop(move, None)

    def put_back(self, move: Move) -> None:
        """Note that a tag stands where it was before, or where somebody else put it since."""
        with self._lock:
            self._progress[move] = Progress.PUT_BACK

    def stop(self) -> None:
        """Let nothing more begin: what moved is being told to the user."""
        with self._lock:
            self._stopped = True

    def look(self, move: Move) -> None:
        """Note that the tag was just seen where the move expects it."""
        with self._lock:
            self._looked.add(move)

    def looked(self, moves: Iterable[Move]) -> bool:
        """Whether all these tags were just seen where they are expected."""
        with self._lock:
            return self._looked.issuperset(moves)

    def place(self, moves: Iterable[Move]) -> None:
        """Note that tags were put in one request: each is still to be checked."""
        with self._lock:
            self._looked.difference_update(moves)
            self._placed.update(moves)

    def placed(self, move: Move) -> bool:
        """Whether a tag was put together with others."""
        with self._lock:
            return move in self._placed

    @property
    def changed(self) -> list[Move]:
        """The moves that took place and were not put back."""
        return self._in(Progress.DONE)

    @property
    def doubtful(self) -> list[Move]:
        """The moves that were sent and whose end is not known (yet)."""
        return self._in(Progress.BEGUN)

    def now(self, move: Move) -> Digest | None:
        """Where the tag of a move that did not fail is, or may be."""
        return self._found.get(move, move.after)

    @property
    def compensated(self) -> bool:
        """Whether anything was put back."""
        return bool(self._in(Progress.PUT_BACK))

    def _in(self, progress: Progress) -> list[Move]:
        with self._lock:
            return [move for move, reached in self._progress.items() if reached is progress]


def told(ledger: Ledger) -> str:
    """Each name that differs from before, or may, a line each."""
    return "\n".join(in_words(differing(ledger))) or "no environment or floating tag differs from before"


def in_words(differing: Iterable[Detail]) -> list[str]:
    """What :func:`differing` found, a line each."""
    return [
        f"{it['repository']}:{it['tag']} was at {it['before'] or 'no digest'},"
        f" {'is' if it['sure'] else 'may be'} at {it['now'] or 'no digest'}"
        for it in differing
    ]


def differing(ledger: Ledger) -> list[Detail]:
    """Each name that differs from before, or may, as data."""
    return [
        differs(move.repository, move.tag, move.before, ledger.now(move), sure=sure)
        for moves, sure in ((ledger.changed, True), (ledger.doubtful, False))
        for move in moves
    ]


def differs(repository: str, tag: str, before: Digest | None, now: Digest | None, *, sure: bool) -> Detail:
    """A name that differs from before, or may where that is not ``sure``, as data."""
    return {"repository": repository, "tag": tag, "before": before, "now": now, "sure": sure}


def ways_out(
    context: Context,
    plan: Plan,
    ledger: Ledger,
    cause: TagflowError | None,
    *,
    begun: bool,
    aborted: bool,
    stays: Collection[str],
) -> str:
    """What to do about a run that did not come to its end. ``begun``: the history tells of it for sure, or names were
    moved: else a rollback would take back what ran before; ``aborted``: it has announced that it goes back; ``stays``:
    images that could not, for their tag is new and cannot be removed."""
    environment, steps = plan.request.environment, plan.steps
    left = [move for move in (*ledger.changed, *ledger.doubtful) if move.image not in stays]
    back = f"`tagflow rollback {environment}` finishes it."
    if ledger.doubtful:  # what has arrived is complete: that would take back what ran before
        back = f"`tagflow verify {environment} --repair` finishes it, whatever has arrived."
    if aborted and left:
        return back
    if stays:
        told = "the registry lets no tag be removed, so what is new stays where it is"
        if cause is not None and _is_stopped(cause):
            return f"Look at `tagflow status {environment}`: {told}."
        return f"Run the same command again to bring the rest: {told}."
    if aborted:
        return "Run the same command again."
    moved = {move.image for move in ledger.changed if move.kind == "environment"}
    due = {move.image for move in plan.moves if move.kind == "environment" and move.action != "keep"}
    if steps and moved and moved >= due:
        return f"It is complete but for floating tags: `tagflow verify {environment} --repair` puts them right."
    if steps and steps[0].action == "abort":
        # Where no tag had moved, it is over once it is written down: the same command takes back what ran before.
        return back if due else f"Look at `tagflow status {environment}`: what is left to do stands there."
    if steps and steps[0].action == "rollback" and begun:
        return back
    if not begun or (steps and all(step.action == "admit" for step in steps)):
        return "Run the same command again."
    request = plan.request
    wanted = plan.intent.of(context.image_names)
    finish = finish_command(environment, wanted, request.overrides, request.reason)
    by_plan = context.environment(environment).approvals  # `apply` of the plan that was approved, wherever its file is
    hint = "Run the same command again to finish" if by_plan else f"Run the same command again (`{finish}`) to finish"
    return f"{hint}, or `tagflow rollback {environment}` to go back."


def _is_stopped(cause: TagflowError) -> bool:
    """Whether somebody holds or has frozen what this run brings in, or has moved a tag."""
    codes = {cause.code, *(str(detail.get("code")) for detail in cause.details)}
    return not codes.isdisjoint(("promotion.held", "promotion.frozen", "tag.moved"))
