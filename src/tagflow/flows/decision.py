"""What a verb decided: the plan, and what was seen that executing it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tagflow.domain.history import Release, State
from tagflow.domain.plan import Plan
from tagflow.errors import TagflowError
from tagflow.flows.observe import Observer, Place, Sight
from tagflow.stores.port import Store

UNNUMBERED = Release("", 0)
"""Stands in a prospect until the release gets its name and number, at execution."""


@dataclass(frozen=True)
class GateResult:
    """What one gate said of one image."""

    image: str
    gate: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Origin:
    """Where content comes from that is not in the target repository yet."""

    store: Store
    reference: str


@dataclass(frozen=True)
class Prospect:
    """What becomes of one image's history: the state after its record, and the version that is adopted before it.

    ``since`` is when the stay of the digest began, where the record does not end it.
    """

    sight: Sight
    state: State
    adopted: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Decision:
    """A plan, how to carry it out, and every reason why it must not be (``refusals``)."""

    plan: Plan
    observer: Observer
    sights: Mapping[Place, Sight]
    prospects: Mapping[str, Prospect] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    refusals: tuple[TagflowError, ...] = ()
    gates: tuple[GateResult, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """The highest release number of the environment, over all images of the policy."""
        return max((sight.standing.number for sight in self.sights.values()), default=0)


@dataclass(frozen=True)
class Outcome:
    """What a push, promotion, rollback or apply came to."""

    environment: str
    plan: Plan
    release: str | None = None
    applied: bool = False
    compensated: bool = False
    gates: tuple[GateResult, ...] = ()
