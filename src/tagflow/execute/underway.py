"""What the phases of one release share: what was decided, what was seen, and what has become of it so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from tagflow.context import Context
from tagflow.decide.decision import Decision
from tagflow.domain.plan import Move
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.state import Release
from tagflow.domain.tagging import Kind
from tagflow.errors import TagflowError
from tagflow.execute.compose import RecordWriter
from tagflow.execute.ledger import Ledger
from tagflow.execute.looks import Announced, Lookout
from tagflow.observe.observer import Observer
from tagflow.stores.port import Manifest, Store

LOOKS = 5
"""How often a write is tried on a fresh look: a registry that keeps it waiting each time is given up."""

Recheck = Callable[[Observer], Sequence[TagflowError]]
"""Decides again on a fresh look, just before anything moves: every reason why the decision does not hold any more."""


class Execution(Struct, frozen=True):
    """A decision that nothing refuses, and what carrying it out needs.

    ``observer`` is who observed for it; ``opened`` stores beside those of the policy; ``recheck`` decides again,
    where a decision relies on more than the election looks at; ``plan_id`` is the saved plan that is carried out,
    ``approvals`` what counted for it.
    """

    decision: Decision
    observer: Observer
    opened: Mapping[Repository, Store] = field(default_factory=dict)
    recheck: Recheck | None = None
    plan_id: str = ""
    approvals: tuple[str, ...] = ()


class LookedTooLongAgo(Exception):
    """The look on which a write relies is too old, or others have written since."""


class Underway:
    """One release under way. Its ledger says at every moment which names it has changed."""

    def __init__(self, context: Context, execution: Execution) -> None:
        self.context, self.execution = context, execution
        self.decision = execution.decision
        self.plan = execution.decision.plan
        self.ledger = Ledger()
        self.lookout = Lookout(context, execution.observer)
        self.announced: dict[str, Announced] = {}
        self.written: set[str] = set()
        """Images whose announcement was begun to be written, and is for this run to take back."""
        self.is_known = False
        """Whether the history tells of this release for sure: what was begun to be written may not have arrived."""
        self.manifests: dict[tuple[str, Digest], Manifest] = {}
        self.created: list[Move] = []
        """Tags that never move and that are still to be read back."""
        self.looked_at: dict[str, float] = {}
        """When the environment tag of each image was last seen, by the clock that only goes on, in seconds."""
        self.stays: set[str] = set()
        """Images whose tag is new and cannot be taken away again, and that are not put back for it."""
        self.aborted = False
        """Whether this run has written that it takes its release back: there is no way on any more."""
        self.unanswered = False
        """Whether a write got no answer: it may still be carried out."""
        self.moved_on: dict[str, Digest | None] = {}
        """Where environment tags were found that somebody moved on right after this run had moved them."""
        first = self.decision.number + 1
        adopting = any(step.adopts for step in self.plan.steps)
        adoption = Release(context.new_id(), first)
        self.release = self.plan.resumes or Release(context.new_id(), first + 1 if adopting else first)
        self.writer = RecordWriter(context, self.plan, self.release, adoption, execution.plan_id, execution.approvals)

    @property
    def abandons(self) -> bool:
        """Whether this run takes back what others announced: it does not stand for election itself."""
        return bool(self.plan.steps) and all(step.action == "abort" for step in self.plan.steps)

    def pending(self, *kinds: Kind) -> list[Move]:
        """The tags of these kinds that are to move."""
        return [move for move in self.plan.moves if move.kind in kinds and move.action != "keep"]

    def repository(self, image: str) -> Repository:
        """Where an image lives in the environment of this release."""
        environment = self.context.environment(self.plan.request.environment)
        return self.context.policy.repository(self.context.image(image), environment)

    def store(self, image: str) -> Store:
        """The store of that repository."""
        return self.context.stores(self.repository(image))

    def is_exact(self, image: str) -> bool:
        """Whether no write can arrive late where this image lives: a layout on disk, its records in the same one."""
        target = self.announced[image].prospect.seen.target if image in self.announced else None
        target = target or self.decision.prospects[image].seen.target
        return target.repository.is_layout and target.history == target.repository

    def is_late(self, looked_at: float) -> bool:
        """Whether a look is too old for a write that relies on it. Who abandons a release waits for as long: what
        its run sent before it could see that has arrived then, or never will."""
        return self.context.elapsed() - looked_at >= self.context.timing.fence

    def refuse_late(self, looked_at: float) -> None:
        """:raises LookedTooLongAgo: where a write that relies on this look must not be sent any more."""
        if self.is_late(looked_at):
            raise LookedTooLongAgo

    def after(self) -> dict[str, Digest | None]:
        """Where the environment tag of each announced image is to stand."""
        stay = {image: it.before for image, it in self.announced.items()}
        return stay | {move.image: move.after for move in self.plan.moves if move.kind == "environment"}

    @property
    def waived(self) -> frozenset[str]:
        """The rules of which nothing that comes now is asked: for a release that is being finished the freeze. What an
        override sets aside is what its decision had seen, and no more."""
        return frozenset({"freeze"} if self.plan.resumes else ())
