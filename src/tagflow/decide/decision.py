"""What was decided: the plan, what becomes of each history, and every reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tagflow.decide.selection import Choice
from tagflow.domain.history import Release, State
from tagflow.domain.plan import Plan
from tagflow.domain.reference import Repository
from tagflow.domain.snapshot import Observation
from tagflow.errors import TagflowError

UNNUMBERED = Release("", 0)
"""Stands in a prospect until the release gets its name and number, at execution."""


@dataclass(frozen=True)
class Origin:
    """Where content comes from that is not in the target repository yet; ``reference`` is a tag or digest there."""

    repository: Repository
    reference: str


@dataclass(frozen=True)
class Prospect:
    """What becomes of one image's history: the state after its record, and the version that is adopted before it.

    ``since`` and ``by`` say when the stay of the digest began, and by whom, where the record does not end it.
    """

    seen: Observation
    state: State
    adopted: str | None = None
    since: datetime | None = None
    by: str = ""


@dataclass(frozen=True)
class Decision:
    """A plan, how to carry it out, and every reason why it must not be (``refusals``).

    ``number`` is the highest release number of the environment; ``choices`` what was chosen for each image,
    ``entering`` those of them that are not there yet: rules and gates are asked about these.
    """

    plan: Plan
    number: int
    prospects: Mapping[str, Prospect] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    entering: tuple[Choice, ...] = ()
    choices: tuple[Choice, ...] = ()
    refusals: tuple[TagflowError, ...] = ()
    notes: tuple[str, ...] = ()


def highest_number(observations: list[Observation]) -> int:
    """The highest release number that the histories of an environment tell of."""
    return max((seen.standing.number for seen in observations), default=0)
