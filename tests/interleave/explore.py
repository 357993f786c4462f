"""Exploring: all schedules within a budget, cheapest first, each state of the world once."""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from tests.interleave.reader import Place, Story, Wrong, judge
from tests.interleave.registry import Registry
from tests.interleave.schedule import (
    DEAD,
    Budget,
    Choice,
    Command,
    Deviations,
    Execution,
    Learn,
    Limits,
    Shared,
    shared_names,
)

_LESSONS = 12
"""Random schedules from which it is learnt which names the runs share."""


class Case(Protocol):
    """What is explored."""

    @property
    def name(self) -> str:
        """A short name."""

    @property
    def places(self) -> tuple[Place, ...]:
        """What the reader looks at."""

    @property
    def commands(self) -> Sequence[Command]:
        """The runs."""

    @property
    def winners(self) -> int | None:
        """How many end with 0 where none dies or stands still; None: that depends."""

    def registry(self) -> Registry:
        """The world before, anew."""


@dataclass
class Tally:
    """What was explored."""

    schedules: int = 0
    states: int = 0
    calls: int = 0
    kills: int = 0
    lost: int = 0
    late: int = 0
    gaps: int = 0
    exits: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    """How often a budget was cut off by the limit of schedules or of time."""
    whole: list[object] = field(default_factory=list)
    """Of what every schedule was played."""

    def add(self, execution: Execution) -> None:
        """Count one schedule."""
        self.schedules += 1
        self.calls += execution.calls
        for choice in execution.taken.values():
            self.kills += choice.kind == "kill"
            self.lost += choice.kind in ("lost", "down")
            self.late += choice.how == "late"
            self.gaps += choice.kind in ("gap", "tick")
        if not execution.pruned:
            self.exits["/".join("died" if it.status == DEAD else str(it.status) for it in execution.runs)] += 1

    def __iadd__(self, other: Tally) -> Tally:
        for name in ("schedules", "states", "calls", "kills", "lost", "late", "gaps", "truncated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.exits += other.exits
        self.whole += other.whole
        return self


@dataclass(frozen=True)
class Failure:
    """A schedule that broke a promise."""

    case: Case
    seed: str
    deviations: Deviations
    budget: Budget
    limits: Limits
    wrongs: tuple[Wrong, ...]
    execution: Execution


@dataclass
class Explorer:
    """Explores one case. ``most``: so many schedules at most; ``lag``: lists are so many changes behind."""

    case: Case
    seed: str = ""
    limits: Limits = field(default_factory=Limits)
    most: int = 1_000_000
    lag: int = 0
    tally: Tally = field(default_factory=Tally)
    kinds: frozenset[str] | None = None
    """Only these kinds of broken promises count."""
    until: float | None = None
    """By the clock that only goes on (time.monotonic): then no further schedule is begun."""
    watch: Callable[[Execution], object] = lambda execution: None
    """Told of each schedule that was carried out to its end."""

    def __post_init__(self) -> None:
        self._footprint: Learn = set()

    def learn(self) -> None:
        """See which names the runs share: only there does an order make a difference."""
        for number in range(_LESSONS):
            choose = partial(_any, random.Random(number))
            self._execution({}, Budget(3, number % 2), everywhere=True, choose=choose).run()

    def all(self, budget: Budget) -> Iterator[Failure]:
        """Every schedule within the budget, up to what makes no difference."""
        if not self._footprint:
            self.learn()
        while True:
            known = frozenset(self._footprint)
            yield from self._round(budget)
            if known == self._footprint or self._is_over:
                return

    def sample(self, budget: Budget, count: int, seed: int = 0) -> Iterator[Failure]:
        """So many random schedules."""
        if not self._footprint:
            self.learn()
        for number in range(count):
            if self._is_over:
                return
            choose = partial(_sometimes, random.Random(f"{self.case.name} {seed} {number}"))
            execution = self._execution({}, budget, choose=choose).run()
            self.tally.add(execution)
            yield from self._judged(dict(execution.taken), budget, execution)

    def again(self, deviations: Deviations, budget: Budget) -> Execution:
        """One schedule once more."""
        if not self._footprint:
            self.learn()
        return self._execution(deviations, budget).run()

    def _round(self, budget: Budget) -> Iterator[Failure]:
        best: dict[object, list[Budget]] = {}
        count = itertools.count()
        queue: list[tuple[int, int, int, dict[int, Choice]]] = [(0, 0, next(count), {})]

        def seen(key: object, left: Budget) -> bool:
            known = best.setdefault(key, [])
            if any(it.switches >= left.switches and it.faults >= left.faults for it in known):
                return True
            known.append(left)
            return False

        done = 0
        # Fixed for the round: a decision is told by its point, and what is shared says where points are.
        shared = shared_names(self._footprint)
        while queue:
            if done >= self.most or self._is_over:
                self.tally.truncated += 1
                break
            cost, _, _, deviations = heapq.heappop(queue)
            execution = self._execution(deviations, budget, seen=seen, shared=shared).run()
            done += 1
            self.tally.add(execution)
            for options in execution.options:
                for choice in options.choices:
                    spent = sum(choice.costs)
                    heapq.heappush(
                        queue, (cost + spent, options.point, next(count), {**deviations, options.point: choice})
                    )
            if not execution.pruned:
                yield from self._judged(deviations, budget, execution)
        self.tally.states += len(best)

    @property
    def _is_over(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    def _execution(
        self,
        deviations: Deviations,
        budget: Budget,
        *,
        everywhere: bool = False,
        shared: Shared | None = None,
        seen: Callable[[object, Budget], bool] | None = None,
        choose: Callable[[Sequence[Choice]], Choice | None] | None = None,
    ) -> Execution:
        registry = self.case.registry()
        registry.lag = self.lag
        return Execution(
            registry,
            self.case.commands,
            deviations,
            budget,
            limits=self.limits,
            seed=self.seed,
            footprint=self._footprint,
            shared=shared,
            everywhere=everywhere,
            seen=seen,
            choose=choose,
        )

    def _judged(self, deviations: Deviations, budget: Budget, execution: Execution) -> Iterator[Failure]:
        self.watch(execution)
        wrongs = judge(story_of(self.case, execution, current=not self.lag), winners=self.case.winners)
        if self.kinds is not None:
            wrongs = [it for it in wrongs if it.kind in self.kinds]
        if wrongs:
            yield Failure(self.case, self.seed, deviations, budget, self.limits, tuple(wrongs), execution)


def story_of(case: Case, execution: Execution, *, current: bool = True) -> Story:
    """What the reader is given."""
    return Story(
        places=case.places,
        before=execution.snapshot_before(),
        after=execution.snapshot(),
        changes=tuple(execution.changes),
        ends=tuple(execution.ends),
        faults=execution.faults,
        outlived=execution.outlived,
        current=current,
        slow=execution.slow,
    )


def _any(dice: random.Random, choices: Sequence[Choice]) -> Choice | None:
    return dice.choice([None, None, *choices]) if choices else None


def _sometimes(dice: random.Random, choices: Sequence[Choice]) -> Choice | None:
    """Mostly go on; each kind of interference about as often."""
    if not choices or dice.random() > 0.2:
        return None
    kinds = sorted({it.kind for it in choices})
    kind = dice.choice(kinds)
    return dice.choice([it for it in choices if it.kind == kind])
