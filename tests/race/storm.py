"""The storm: six commands at once, of which some are killed; judged by the independent reader, while what they left is
still to be mended and afterwards."""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from tests.cli.runner import Done
from tests.interleave.reader import MOVES, VERSION, History, Wrong
from tests.race.child import Stop
from tests.race.site import Held, Running, Site

PROCESSES = 6
KILLED = 2
DIED = -9
SPOTS = ("prod", r"_tagflow\..*", r"v1\..*-prod", "latest", r"v1\.5\.0")
"""The changes at which a process is killed."""
TRIES = 4
"""How often what `verify` says is followed, at most."""


@dataclass
class Storm:
    """One storm over a site. ``acknowledged``: the releases that ended with 0, and their commands; ``winners``: their
    runs, as records name them."""

    site: Site
    acknowledged: dict[str, str] = field(default_factory=dict)
    winners: dict[str, str] = field(default_factory=dict)
    fixed: dict[tuple[str, str], str] = field(default_factory=dict)
    """(image, version tag) → where it was seen."""

    def __post_init__(self) -> None:
        self._dice = random.Random(f"storm {self.site.number}")

    def prepare(self) -> None:
        """Two images: two versions ran in prod, another is on its way."""
        self.site.write_policy("api", "web")
        self.site.through("v1.0.0", "dev", "prod")
        self.site.through("v1.1.0", "dev", "prod")
        self.site.through("v1.2.0", "dev")

    def blow(self) -> list[Wrong]:
        """Six commands at once, kills among them; what the reader finds."""
        commands = [self._command() for _ in range(PROCESSES)]
        doomed = {number: self._dice.choice(SPOTS) for number in self._dice.sample(range(PROCESSES), KILLED)}
        running = [self._start(command, doomed.get(number)) for number, command in enumerate(commands)]
        for one, command in zip(running, commands, strict=True):
            self._note(one.wait(), command, one)
        if self.site.proxy is not None:
            self.site.proxy.clear()
        return self._judged(finished=False)

    def calm(self) -> list[Wrong]:
        """Fair weather: what `verify` says is followed until it finds nothing more; what the reader finds then."""
        for _ in range(TRIES):
            done = self.site.tagflow("verify", "--repair")
            if done.status == 0:
                break
            self._note(done, ("verify", "--repair"))
            # What is left to a person's judgement: the person does what is said.
            said = [str(it["repair"] or "") for it in done.document["result"]["findings"]]
            for command in dict.fromkeys(map(self._typed, filter(None, said))):
                if command != ("verify", "--repair"):
                    self._note(self.site.tagflow(*command), command)
        done = self.site.tagflow("verify")
        assert done.status == 0, done.out
        return self._judged(finished=True)

    def _typed(self, said: str) -> tuple[str, ...]:
        """What a person types who is told that. Where a floating tag is left and no version of its line is
        admitted, the advice is to remove it, or to promote one."""
        words = shlex.split(said, comments=True)
        if words[0] == "tagflow":
            return tuple(words[1:])
        assert "promote a version of its line" in said, said
        return self._promote("v1.2.0", self.site.names)

    def _promote(self, version: str, names: Iterable[str]) -> tuple[str, ...]:
        targets = [f"{name}={version}" for name in names]
        return ("promote", *targets, "--to", "prod", "--override", "hold", "--reason", "storm", "--yes")

    def _start(self, command: tuple[str, ...], spot: str | None) -> Running:
        if spot is None:
            return self.site.start(*command)
        image = self._dice.choice(self.site.names)
        when: Literal["before", "after"] = self._dice.choice(("before", "after"))
        skip = self._dice.randint(0, 2)
        if self.site.proxy is None:
            return self.site.start(*command, held=Held(stops=(Stop(when, image, spot, then="die", skip=skip),)))
        # When anybody comes by there, the doomed one dies: its own requests may stand anywhere.
        doomed: list[Running] = []

        def strike() -> None:
            for one in doomed:
                one.kill()

        fault = {"hold": strike} if when == "before" else {"hold_answer": strike}
        path = f"/{self.site.namespace}/{image}/manifests/{spot}$"
        self.site.proxy.add(method="PUT", path=path, skip=skip, **fault)
        doomed.append(self.site.start(*command))
        return doomed[0]

    def _command(self) -> tuple[str, ...]:
        kind = self._dice.random()
        if kind < 0.25:
            return "rollback", "prod", "--yes"
        if kind < 0.35:
            return "verify", "--repair"
        if kind < 0.45:
            return "hold", "prod", "v1.2.0", "--reason", "leaks"
        if kind < 0.6:
            return "push", "v1.5.0", self.site.source(self._dice.choice(self.site.names), self._dice.choice("ab"))
        version = self._dice.choice(("v1.0.0", "v1.1.0", "v1.2.0"))
        names = self._dice.choice((self.site.names, self.site.names, (self._dice.choice(self.site.names),)))
        return self._promote(version, names)

    def _note(self, done: Done, command: tuple[str, ...], run: Running | None = None) -> None:
        self.site.kills += done.status == DIED
        assert done.status in (DIED, 0, 3, 4, 5, 6, 7), (command, done.status, done.err)
        if done.status == 0 and command[0] in ("push", "promote", "rollback"):
            release = done.document["result"]["release"]
            if release:
                self.acknowledged[release] = " ".join(command)
                self.winners[f"run{self.site.runs.index(run) if run else len(self.site.runs) - 1}"] = " ".join(command)

    def _judged(self, *, finished: bool) -> list[Wrong]:
        found = self.site.wrongs(finished=finished)
        snapshot = self.site.snapshot()
        for image in self.site.names:
            for tag, digest in snapshot.tags[image].items():
                if VERSION.fullmatch(tag) and self.fixed.setdefault((image, tag), digest) != digest:
                    found.append(Wrong("moved.fixed", f"{image}:{tag} was moved"))
        places = [place for environment in self.site.environments for place in self.site.places(environment)]
        histories = [snapshot.history(place) for place in places]
        for history in histories:
            found += self._siblings(history)
        there = {record.release for history in histories for record in history.records.values()}
        lost = [command for release, command in self.acknowledged.items() if release not in there]
        return [*found, *(Wrong("lost", command) for command in lost)]

    def _siblings(self, history: History) -> list[Wrong]:
        """Of any two releases that ended with 0, one was built on the other."""
        gone = history.aborted()
        mine = [it for it in history.records.values() if it.actor in self.winners and it.tag not in gone]
        latest = {it.actor: it for it in sorted(mine, key=lambda it: it.rank) if it.action in MOVES}
        return [
            Wrong("both", f"{self.winners[one.actor]}; {self.winners[other.actor]}")
            for one, other in combinations(latest.values(), 2)
            if one.tag not in history.ancestors(other.tag) and other.tag not in history.ancestors(one.tag)
        ]
