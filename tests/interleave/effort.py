"""How much is explored: a little by `make test`, more by `make test-all`, all of it by `make interleave`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.interleave.cases import CASES, PAIRS
from tests.interleave.explore import Explorer, Failure, Tally
from tests.interleave.schedule import Budget, Limits
from tests.interleave.world import World, seeds


@dataclass(frozen=True)
class Effort:
    """What is done for a case of two runs: every schedule within each stage; ``samples`` at random beyond.

    ``orders``: in how many orders the runs' first records may sort.
    """

    stages: tuple[Stage, ...]
    samples: int = 0
    orders: int = 2


@dataclass(frozen=True)
class Stage:
    """Every schedule within a budget."""

    budget: Budget
    limits: Limits = field(default_factory=Limits)

    def __str__(self) -> str:
        return str(self.budget)


LITTLE = Effort((Stage(Budget(1)),), orders=1)
MORE = Effort((Stage(Budget(0, 1), Limits(brief=True)),), samples=60, orders=1)
"""Pauses, and networks that are gone for good, are for `make interleave`: they are two faults of three."""

STAGES = (
    Stage(Budget(1)),
    Stage(Budget(0, 1)),
    Stage(Budget(2)),
    Stage(Budget(1, 1), Limits(brief=True)),
    Stage(Budget(3)),
)
"""One after the other by `make interleave`, as far as its time goes. A fault beside a switch leaves out pauses and
networks that are gone for good: a fault alone has them."""
DEEP = STAGES[3:]
"""Those that take long."""
BEYOND = Budget(5, 2)
"""What samples may have."""

BROKEN_BY_LAG = frozenset(
    {"both", "overwritten", "untrue", "nobody", "floating", "left", "crossed", "comeback", "by.hand"}
)
"""What may happen where lists lag: runs do not see each other (docs/protocol.md, "What is promised, and what is left").
Names that never move stand still, and what runs is its version, but for :data:`BUILDS_BY_LAG`."""
BUILDS_BY_LAG = frozenset({"moved.fixed", "not.its.version"})
"""What may happen besides where two builds are pushed as one version: each looks at the version tag before the other's
PUT, and neither list shows the other."""
BROKEN_BY_LATE = frozenset(
    {"comeback", "overwritten", "untrue", "void.runs", "at.rest", "floating", "left", "crossed", "by.hand"}
)
"""What may happen where a PUT outlives the fence."""


def explore(case: World, effort: Effort, tally: Tally) -> Iterator[Failure]:
    """Every broken promise that is found, cheapest first."""
    for seed in seeds(case, effort.orders):
        if len(case.commands) == 2:
            for stage in effort.stages:
                yield from Explorer(case, seed, stage.limits, tally=tally).all(stage.budget)
        if effort.samples:
            yield from Explorer(case, seed, tally=tally).sample(BEYOND, effort.samples)


def lagging(case: World, samples: int, tally: Tally, lag: int = 2) -> Iterator[Failure]:
    """With lists that are some changes behind: what is left then, and what is not."""
    yield from Explorer(case, lag=lag, tally=tally).sample(BEYOND, samples)


def outliving(case: World, samples: int, tally: Tally) -> Iterator[Failure]:
    """With PUTs that arrive at any time, however late."""
    yield from Explorer(case, limits=Limits(fence=False), tally=tally).sample(BEYOND, samples)


def first_by_kind(failures: Iterator[Failure]) -> Mapping[str, Failure]:
    """The cheapest schedule for each kind of broken promise."""
    found: dict[str, Failure] = {}
    for failure in failures:
        for wrong in failure.wrongs:
            found.setdefault(wrong.kind, failure)
    return found


__all__ = [
    "BEYOND",
    "CASES",
    "DEEP",
    "LITTLE",
    "MORE",
    "PAIRS",
    "STAGES",
    "Effort",
    "explore",
    "first_by_kind",
    "lagging",
    "outliving",
]
