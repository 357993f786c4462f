"""The scheduler and the explorer themselves, on small programs whose every outcome is known."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tagflow.domain.reference import Repository, digest_of
from tagflow.stores.manifest import OCI_MANIFEST, Manifest
from tests.interleave.explore import Explorer
from tests.interleave.reader import Place
from tests.interleave.registry import Open, Registry, opener
from tests.interleave.schedule import DEAD, Budget, Choice, Command, Execution, Limits, Surroundings

WEB = Repository("registry.test", "web")
ONE, TWO, THREE = (Manifest(OCI_MANIFEST, content) for content in (b"{}", b"{ }", b"{  }"))


@dataclass(frozen=True)
class Toy:
    """Runs that do as they like with one repository."""

    commands: tuple[Command, ...]
    name: str = "toy"
    places: tuple[Place, ...] = ()
    winners: int | None = None

    def registry(self) -> Registry:
        made = Registry()
        opener(made, Open())(WEB).put(ONE, "tag")
        return made


def toy(*acts: Callable[[Any, Surroundings], object]) -> Toy:
    def command(name: str, act: Callable[[Any, Surroundings], object]) -> Command:
        return Command(name, name, lambda around: act(opener(around.registry, around.gate)(WEB), around))

    return Toy(tuple(command(name, act) for name, act in zip("abc", acts, strict=False)))


def at(execution: Execution, tag: str = "tag") -> str:
    return execution.snapshot().tags[str(WEB)].get(tag, "")


def explore(case: Toy, budget: Budget, what: Callable[[Execution], object] = at) -> set[object]:
    """What each schedule comes to."""
    found: set[object] = set()
    list(Explorer(case, watch=lambda execution: found.add(what(execution))).all(budget))
    return found


def test_runs_one_after_the_other_without_a_switch() -> None:
    case = toy(lambda store, _: store.put(TWO, "tag"), lambda store, _: store.put(THREE, "tag"))
    assert explore(case, Budget(0)) == {TWO.digest, THREE.digest}


def test_lost_update_takes_a_switch() -> None:
    """Both look, both write: a move of the registry store is look, PUT, look."""
    case = toy(
        lambda store, _: store.move("tag", TWO, ONE.digest), lambda store, _: store.move("tag", THREE, ONE.digest)
    )
    assert (0, 0) not in explore(case, Budget(0), _statuses)
    assert (0, 0) in explore(case, Budget(1), _statuses)


def _statuses(execution: Execution) -> object:
    return tuple(run.status for run in execution.runs)


def _program(seed: int, length: int) -> Callable[[Any, Surroundings], object]:
    """A few looks and writes of three tags; what was seen decides what is written."""
    numbers = hashlib.sha256(str(seed).encode()).digest()

    def act(store: Any, _: Surroundings) -> None:
        seen = b""
        for number in numbers[:length]:
            tag = ("tag", "x", "y")[number % 3]
            if number % 5 == 0:
                seen += ",".join(store.tags()).encode()
            elif number % 2:
                seen += str(store.resolve(tag)).encode()
            else:
                store.put(Manifest(OCI_MANIFEST, b'{"a":"' + digest_of(seen + tag.encode()).encode() + b'"}'), tag)

    return act


def _everything(case: Toy) -> set[object]:
    """The outcomes of every order of calls there is, by brute force."""
    found: set[object] = set()
    lengths = []
    for command in case.commands:
        lengths.append(Execution(case.registry(), [command], {}, Budget(0), everywhere=True).run().calls)
    for picks in itertools.combinations(range(sum(lengths)), lengths[0]):
        order = _Order([0 if number in picks else 1 for number in range(sum(lengths))])
        execution = Execution(case.registry(), case.commands, {}, Budget(99), everywhere=True, choose=order.choose)
        order.execution = execution
        found.add(_outcome(execution.run()))
    return found


class _Order:
    """Says who makes each request."""

    def __init__(self, order: Sequence[int]) -> None:
        self.execution: Execution | None = None
        self._order, self._asked = iter(order), -1

    def choose(self, choices: Sequence[Choice]) -> Choice | None:
        assert self.execution is not None
        if self.execution.calls == self._asked:
            return None
        self._asked = self.execution.calls
        wanted = next(self._order)
        return next((it for it in choices if it.kind in ("run", "next") and it.index == wanted), None)


def _outcome(execution: Execution) -> object:
    return tuple(sorted(execution.snapshot().tags[str(WEB)].items()))


@pytest.mark.parametrize("seed", range(8))
def test_reduction_loses_no_outcome(seed: int) -> None:
    """What is left out as equivalent is: the outcomes are those of every order of calls."""
    case = toy(_program(seed, 4), _program(seed + 1000, 4))
    assert explore(case, Budget(99), _outcome) == _everything(case)


def test_kill_before_and_after_a_request_and_late() -> None:
    case = toy(lambda store, _: store.put(TWO, "tag"), lambda store, _: store.resolve("tag"))
    found = explore(case, Budget(0, 1), lambda it: (it.runs[0].status, at(it), it.runs[1].status))
    assert {(DEAD, ONE.digest, 0), (DEAD, TWO.digest, 0), (0, TWO.digest, 0)} <= found


def test_late_put_arrives_over_what_came_between() -> None:
    case = toy(lambda store, _: store.put(TWO, "tag"), lambda store, _: store.put(THREE, "tag"))
    dying = explore(case, Budget(0, 1), lambda it: (it.runs[0].status, at(it)))
    assert {(DEAD, TWO.digest), (DEAD, THREE.digest)} <= dying
    assert (DEAD, ONE.digest) not in dying


def test_lost_answer_is_tried_again() -> None:
    case = toy(lambda store, _: store.move("tag", TWO, ONE.digest))
    found = explore(case, Budget(0, 1), lambda it: (it.runs[0].status, at(it)))
    assert (0, TWO.digest) in found
    assert (6, ONE.digest) in found  # the network stays down
    assert (6, TWO.digest) in found


def test_time_passes_when_all_sleep() -> None:
    woken: list[float] = []

    def sleeper(seconds: float) -> Callable[[Any, Surroundings], object]:
        def act(store: Any, around: Surroundings) -> None:
            store.resolve("tag")
            around.sleep(seconds)
            woken.append(around.elapsed())

        return act

    execution = Execution(toy(sleeper(5), sleeper(3)).registry(), toy(sleeper(5), sleeper(3)).commands, {}, Budget(0))
    execution.run()
    assert woken == [3, 5]


def test_no_late_put_outlives_the_fence() -> None:
    def mover(store: Any, _: Surroundings) -> None:
        store.tags()
        store.put(TWO, "tag")

    def waiter(store: Any, around: Surroundings) -> object:
        around.sleep(25)
        return store.resolve("tag")

    case = toy(mover, waiter)
    outlived: set[bool] = set()
    explorer = Explorer(case, watch=lambda execution: outlived.add(execution.outlived))
    list(explorer.all(Budget(1, 1)))
    assert outlived == {False}
    explorer.limits = Limits(fence=False)
    list(explorer.all(Budget(1, 1)))
    assert outlived == {False, True}


def test_schedule_can_be_repeated() -> None:
    case = toy(_program(3, 5), _program(4, 5))
    seen: list[tuple[Any, object]] = []
    explorer = Explorer(case, watch=lambda execution: seen.append((dict(execution.taken), _outcome(execution))))
    list(explorer.all(Budget(3)))
    assert len(seen) > 3
    for deviations, outcome in seen:
        assert _outcome(explorer.again(deviations, Budget(3))) == outcome


def test_list_that_lags() -> None:
    case = toy(lambda store, _: store.put(TWO, "new"))
    made = case.registry()
    made.lag = 1
    store = opener(made, Open())(WEB)
    store.put(TWO, "new")
    assert store.tags() == ["tag"]
    store.put(TWO, "newer")
    assert store.tags() == ["new", "tag"]
