"""Random promotions and rollbacks by two writers at once, under random faults, three images, in memory.

One *run*: two writers carry out a command each while operations fail before or after they took effect and writers die;
which of them is next, and what fails, a seed decides, so that a run can be repeated. Then the weather is fair: one
command is run once more, `verify` must be clean, and every change that was acknowledged must be in the history.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, cast

from msgspec.structs import replace

from tagflow.context import Context
from tagflow.domain.plan import Outcome, Request
from tagflow.domain.reference import Repository
from tagflow.errors import Conflict, Refused, StoreError, TagflowError, Unanswered
from tagflow.stores.port import Store
from tagflow.verbs.history import history
from tagflow.verbs.promote import promote
from tagflow.verbs.repair import repair
from tagflow.verbs.rollback import rollback
from tagflow.verbs.verify import verify
from tests.flows.world import Crash, World
from tests.memory import WRITES

VERSIONS = ("v1.0.0", "v1.0.1", "v1.1.0", "v1.2.0")
POLICY = """
version: 1
registry: registry.test/acme
images: {frontend: frontend, backend: back_end, worker: worker}
environments:
  dev: {}
  test: {downgrades: allow}
  prod: {downgrades: allow, floating: [latest, major]}
"""
RUNS_IN_A_WORLD = 10
"""Then a fresh one begins: histories stay short, and runs quick."""
_READS = frozenset({"tags", "resolve", "get", "has", "has_blob", "read_blob", "referrers"})
_SWITCH = 0.3
"""How likely the other writer may be next after an operation."""
_MOST_RELEASES = 3
_CALMER = 0.1
"""How much less likely a read fails than a write: else most runs would end before they begin to write."""
_FINISH = re.compile(r"`tagflow (promote|rollback) ([^`]*)`")


class Turns:
    """Two writers, one operation at a time; the dice say whose is next."""

    def __init__(self, dice: random.Random, writers: int) -> None:
        self._dice, self._alive = dice, list(range(writers))
        self._turn = 0
        self._moved = threading.Condition()

    def take(self, writer: int) -> None:
        """Wait for one's turn."""
        with self._moved:
            self._moved.wait_for(lambda: self._turn == writer)

    def give(self) -> None:
        """An operation is over."""
        with self._moved:
            self._next()

    def leave(self, writer: int) -> None:
        """A writer has finished, or died."""
        with self._moved:
            self._moved.wait_for(lambda: self._turn == writer)
            self._alive.remove(writer)
            self._next()

    def _next(self) -> None:
        if self._turn not in self._alive or self._dice.random() < _SWITCH:
            self._turn = self._dice.choice(self._alive or [0])
            self._moved.notify_all()


@dataclass
class Weather:
    """What fails: how likely an operation is to fail before it takes effect, after, or its writer to die."""

    dice: random.Random
    before: float
    after: float
    death: float
    faults: int = 0
    operations: int = 0

    def strikes(self, chance: float) -> bool:
        """Whether it fails."""
        struck = self.dice.random() < chance
        self.faults += struck
        return struck


class Faulty:
    """A store of one writer: it waits for its turn, and fails as the weather says."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store, self._writer = store, writer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return self._writer.weathered(found) if name in _READS | WRITES else found


@dataclass
class Writer:
    """One of those who release: what it was told is in ``outcome`` or ``error``; ``dead`` if it was told nothing."""

    number: int
    name: str
    world: World
    weather: Weather
    turns: Turns
    request: Request
    dead: bool = False
    outcome: Outcome | None = None
    error: TagflowError | None = None

    def run(self) -> None:
        """Carry out the command, to its end or death."""
        try:
            self.outcome = carry_out(self._context(), self.request)
        except TagflowError as error:
            self.error = error
        except Crash:
            pass
        finally:
            self.turns.leave(self.number)

    def weathered(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        """The operation, in this weather."""

        def run(*arguments: Any, **options: Any) -> Any:
            self.turns.take(self.number)
            try:
                return self._try(operation, *arguments, **options)
            finally:
                self.turns.give()

        return run

    def _try(self, operation: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        weather = self.weather
        weather.operations += 1
        calm = 1.0 if operation.__name__ in WRITES else _CALMER
        self.dead = self.dead or weather.strikes(weather.death * calm)
        if self.dead:
            raise Crash
        if weather.strikes(weather.before * calm):
            raise StoreError("registry.unavailable", "the storm took it before it was done")
        answer = operation(*arguments, **options)
        if weather.strikes(weather.after * calm):
            raise Unanswered("registry.timeout", "the storm took the answer")
        return answer

    def _context(self) -> Context:
        context = self.world.context()
        numbers = itertools.count(1)

        def open_store(repository: Repository) -> Store:
            return cast(Store, Faulty(self.world.memory.open(repository), self))

        return replace(
            context, stores=open_store, actor=f"writer-{self.number}", new_id=lambda: f"{self.name}-{next(numbers)}"
        )


@dataclass
class Tally:
    """What the runs came to."""

    runs: int = 0
    commands: int = 0
    operations: int = 0
    faults: int = 0
    acknowledged: int = 0
    stale: int = 0
    """Runs after which a floating tag had no version left that is not held: it stays, and `verify` says so."""
    outcomes: Counter[str] = field(default_factory=Counter)
    reruns: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, it.name) + getattr(other, it.name) for it in fields(self)))


class Soak:
    """Worlds one after the other, until enough runs are done."""

    def __init__(self, seed: int, tally: Tally) -> None:
        self.seed, self.tally = seed, tally
        self._dice = random.Random(seed)
        self._world = _beginning()
        self._acknowledged: set[tuple[str, str]] = set()

    def run(self) -> None:
        """Two writers in a storm, then fair weather."""
        if self.tally.runs % RUNS_IN_A_WORLD == 0:
            self._world, self._acknowledged = _beginning(), set()
        dice = self._dice
        weather = Weather(dice, *dice.choice([(0.01, 0.01, 0), (0.05, 0.05, 0.01), (0.2, 0.1, 0.02), (0, 0, 0.05)]))
        turns = Turns(dice, 2)
        writers = [
            Writer(number, f"w{number}-{dice.getrandbits(32):08x}", self._twin(), weather, turns, self._request())
            for number in range(2)
        ]
        threads = [threading.Thread(target=writer.run, daemon=True) for writer in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "it hangs"
        self._count(writers, weather)
        self._world.now = max(writer.world.now for writer in writers)
        self._fair_weather(dice.choice(writers).request)

    def _twin(self) -> World:
        return World(self._world.text, self._world.memory, self._world.now)

    def _request(self) -> Request:
        dice = self._dice
        if dice.random() < 0.35:
            some = tuple(dice.sample([it.name for it in self._world.policy.images], dice.choice([0, 0, 1, 2])))
            return Request("rollback", "prod", some, reason="soak")
        version = dice.choice(VERSIONS)
        images = dice.sample([it.name for it in self._world.policy.images], dice.choice([1, 2, 3, 3]))
        targets = (version,) if len(images) == 3 else tuple(f"{image}={version}" for image in images)
        return Request("promote", "prod", targets, overrides=("hold",), reason="soak")

    def _count(self, writers: list[Writer], weather: Weather) -> None:
        tally = self.tally
        tally.runs += 1
        tally.commands += len(writers)
        tally.operations += weather.operations
        tally.faults += weather.faults
        for writer in writers:
            if writer.outcome is not None:
                tally.outcomes["done"] += 1
                if writer.outcome.plan.steps:
                    tally.acknowledged += 1
                    self._acknowledged |= {
                        (step.image, str(writer.outcome.release)) for step in writer.outcome.plan.steps
                    }
            else:
                told = f"exit {writer.error.exit_status}" if writer.error else "died"
                tally.outcomes[told] += 1

    def _fair_weather(self, request: Request) -> None:
        kind = rerun(self._world, request)
        self.tally.reruns[kind] += 1
        found = verify(self._world.context(), ["prod"], deep=True)
        findings = [it for it in found if it.problem != "floating.stale"]
        self.tally.stale += len(found) > len(findings)
        assert not findings, f"seed {self.seed}, run {self.tally.runs}: {findings}"
        chronicle = history(self._world.context(), "prod", [], None)
        told = {(it.image, it.entry.record.release.id) for it in chronicle.entries}
        lost = self._acknowledged - told
        assert not lost, f"seed {self.seed}, run {self.tally.runs}: lost {lost}"


def rerun(world: World, request: Request) -> str:
    """The same command once more; where it is refused because a release is under way, what its hint says instead.
    Where names are still not as they should be, `verify --repair`; where a release can then still not be finished,
    since another writer rolled its version back meanwhile, `rollback` abandons it. Which of them it took."""
    kind = "the same command"
    try:
        carry_out(world.context(), request)
    except TagflowError as error:
        kind = _take_a_way_out(world, error) if error.code == "release.interrupted" else f"refused ({error.code})"
    if verify(world.context(), ["prod"], deep=True):
        kind += ", then verify --repair"
        if any(it.problem == "interrupted" for it in repair(world.context(), ["prod"]).left):
            kind += ", rollback, verify --repair"
            carry_out(world.context(), Request("rollback", "prod"))
            repair(world.context(), ["prod"])
        drifted = [it.image for it in verify(world.context(), ["prod"], deep=True) if it.problem == "drift"]
        if drifted:
            kind += ", the repair that it names for drift"
            carry_out(world.context(), Request("rollback", "prod", tuple(drifted)))
            repair(world.context(), ["prod"])
    return kind


def carry_out(context: Context, request: Request) -> Outcome:
    """Decide and execute."""
    verb = promote if request.command == "promote" else rollback
    return verb(context, request)


def soak(seed: int, runs: int) -> Tally:
    """So many runs.

    :raises AssertionError: with the seed.
    """
    tally = Tally()
    one = Soak(seed, tally)
    for _ in range(runs):
        try:
            one.run()
        except TagflowError as error:
            raise AssertionError(f"seed {seed}, run {tally.runs}: {error.code}: {error.message}") from error
    return tally


def _take_a_way_out(world: World, refusal: TagflowError) -> str:
    """Finish a release by the command that the hint names; where another writer's rollback holds its version
    meanwhile, that is refused, and the second command abandons it. Where two releases are under way, once more."""
    for _ in range(_MOST_RELEASES):
        for request in _hinted(refusal):
            try:
                carry_out(world.context(), request)
            except (Refused, Conflict) as error:
                refusal = error if error.code == "release.interrupted" else refusal
                continue
            return f"{'finished' if request.command == 'promote' else 'taken back'} as the hint says"
    raise refusal


def _hinted(error: TagflowError) -> Iterator[Request]:
    for verb, rest in _FINISH.findall(error.hint):
        words = rest.split()
        at = words.index("--to") if verb == "promote" else 1
        targets = words[:at] if verb == "promote" else words[1:]
        yield Request(verb, words[at + 1] if verb == "promote" else words[0], tuple(targets))


def _beginning() -> World:
    return _first().copy()


def _first(made: list[World] = []) -> World:  # noqa: B006 - made once
    if not made:
        world = World(POLICY, threads=1)
        for version in VERSIONS:
            world.through(version, "dev", "test")
        world.promote(VERSIONS[0], to="prod")
        made.append(world)
    return made[0]
