"""The soak against a real registry: two writers are processes, a proxy cuts and refuses at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.cli.runner import Done
from tests.releases.stage import IMAGES, NEW, OLD, Stage, forker
from tests.reliability.faults import ALWAYS
from tests.reliability.matrix import ground
from tests.reliability.soak import Tally
from tests.servers import RegistryServer

_TROUBLES: tuple[dict[str, object], ...] = (
    {"cut": "before", "reset": True},
    {"cut": "after", "reset": True},
    {"cut": "middle"},
    {"status": 503},
    {"status": 500},
    {"status": 429},
)


class Duel:
    """Two writers on one ground, run after run, without going back to a known state."""

    def __init__(self, stages: tuple[Stage, Stage], seed: int, tally: Tally) -> None:
        self._stages, self.seed, self.tally = stages, seed, tally
        self._dice = random.Random(seed)
        self._acknowledged: set[str] = set()

    def run(self) -> None:
        """Two commands at once in a storm, then fair weather.

        :raises AssertionError: with the seed.
        """
        proxy, tally = self._stages[0].cutter, self.tally
        commands = [self._command(), self._command()]
        proxy.clear()
        for trouble in self._dice.sample(_TROUBLES, self._dice.choice([1, 2, 2])):
            proxy.add(**trouble, every=self._dice.randint(3, 25), skip=self._dice.randint(5, 60), times=ALWAYS)
        with ThreadPoolExecutor(2) as pool:
            finished = list(pool.map(lambda pair: pair[0].tagflow(*pair[1]), zip(self._stages, commands, strict=True)))
        tally.operations += len(proxy.requests)
        tally.faults += proxy.strikes
        proxy.clear()
        proxy.heal()
        tally.runs += 1
        for done in finished:
            tally.commands += 1
            self._count(done)
        self._fair_weather(self._dice.choice(commands))

    def _command(self) -> tuple[str, ...]:
        if self._dice.random() < 0.4:
            return ("rollback", "prod", "--yes")
        version = self._dice.choice([OLD, NEW])
        images = self._dice.sample(IMAGES, self._dice.choice([1, 2, 3, 3]))
        targets = [version] if len(images) == 3 else [f"{image}={version}" for image in images]
        return (
            "promote",
            *targets,
            "--to",
            "prod",
            "--override",
            "hold",
            "--override",
            "downgrades",
            "--reason",
            "soak",
        )

    def _count(self, done: Done) -> None:
        told = "done" if done.status == 0 else f"exit {done.status}"
        self.tally.outcomes[told] += 1
        document = done.document
        assert document["exit_code"] == done.status
        if done.status == 0 and document["result"]["release"]:
            self._acknowledged.add(document["result"]["release"])
            self.tally.acknowledged += 1

    def _fair_weather(self, command: tuple[str, ...]) -> None:
        stage = self._stages[0]
        told = "the same command" if (done := stage.tagflow(*command)).status == 0 else f"exit {done.status}"
        if stage.tagflow("verify").status != 0:
            left = stage.tagflow("verify", "--repair")
            told += ", then verify --repair"
            if left.status and {"interrupted", "drift"} & {it["problem"] for it in left.result["findings"]}:
                stage.tagflow("rollback", "prod", "--yes")
                stage.tagflow("verify", "--repair")
                told += ", rollback, verify --repair"
        self.tally.reruns[told] += 1
        left = stage.tagflow("verify")
        problems = {finding["problem"] for finding in left.result["findings"]}
        assert problems <= {"floating.stale"}, f"seed {self.seed}, run {self.tally.runs}: {left.out}"
        self.tally.stale += bool(problems)
        entries = stage.done("history", "prod").result["entries"]
        lost = self._acknowledged - {entry["release"] for entry in entries}
        assert not lost, f"seed {self.seed}, run {self.tally.runs}: lost {lost}"


@contextmanager
def duel(server: RegistryServer, path: Path, seed: int) -> Iterator[Duel]:
    """A duel on a registry, with a process that forks the commands of the second writer."""
    with ground(server, path) as place, forker() as second:
        place.stage.reset("arrived")
        twin = path / "twin"
        twin.mkdir()
        (twin / "promotion.yaml").write_text((place.stage.path / "promotion.yaml").read_text())
        yield Duel((place.stage, replace(place.stage, path=twin, forker=second)), seed, Tally())
