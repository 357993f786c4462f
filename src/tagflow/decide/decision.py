"""What was decided: the plan, what becomes of each history, and every reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from tagflow.decide.selection import Choice
from tagflow.domain.history import Entry
from tagflow.domain.plan import Plan
from tagflow.domain.reference import Repository
from tagflow.domain.snapshot import Observation
from tagflow.domain.state import Hold, Release, StackEntry, State
from tagflow.errors import TagflowError

BY_HAND = "moved by hand: no signed record tells of it"


def adopting(seen: Observation, label: str | None, release: Release) -> State:
    """The checkpoint once what runs is written down. It goes on the stack, so that a rollback can return to it.

    Not where records are signed: who may push must not get into the history what nobody signed for. There it is held,
    by its version where no other bytes have that, and by its digest; what a counting record names is as it was.
    """
    standing = seen.standing
    assert standing.digest is not None
    if seen.named is None:
        return standing.state.adopted(StackEntry(label, standing.digest, release))
    if any(digest == standing.digest for _, digest in seen.named):
        return standing.state
    taken = {known for known, _ in seen.named}
    name = label if label is not None and label not in taken else standing.digest
    return standing.state.holding(Hold(name, standing.digest, "somebody", None, BY_HAND))


UNNUMBERED = Release("", 0)
"""Stands in a prospect until the release gets its name and number, at execution."""


class Origin(Struct, frozen=True):
    """Where content comes from that is not in the target repository yet; ``reference`` is a tag or digest there."""

    repository: Repository
    reference: str


class Prospect(Struct, frozen=True):
    """What becomes of one image's history: the state after its record, and the version that is adopted before it.

    ``since`` and ``by`` say when the stay of the digest began, and by whom, where the record does not end it.
    """

    seen: Observation
    state: State
    adopted: str | None = None
    since: datetime | None = None
    by: str = ""


class Decision(Struct, frozen=True):
    """A plan, how to carry it out, and every reason why it must not be (``refusals``).

    ``number`` is the highest release number of the environment; ``choices`` what was chosen for each image,
    ``entering`` those of them that are not there yet: rules and gates are asked about these. ``begun`` are the records
    that announced the unfinished release which the plan finishes: they tell whose it is, which a note on top does not.
    """

    plan: Plan
    number: int
    prospects: Mapping[str, Prospect] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)
    entering: tuple[Choice, ...] = ()
    choices: tuple[Choice, ...] = ()
    refusals: tuple[TagflowError, ...] = ()
    notes: tuple[str, ...] = ()
    begun: tuple[Entry, ...] = ()


def highest_number(observations: list[Observation]) -> int:
    """The highest release number that the histories of an environment tell of."""
    return max((seen.standing.number for seen in observations), default=0)
