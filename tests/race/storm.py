"""The storm: six processes at once, of which some are killed; judged by the independent reader."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import combinations

from tests.cli.runner import Done
from tests.interleave.reader import VERSION, History, Snapshot, Wrong
from tests.race.site import Running, Site

PROCESSES = 6
KILLS = 2
DIED = -9


@dataclass
class Storm:
    """One site, storm after storm. ``acknowledged``: the releases that ended with 0, and their command."""

    site: Site
    seed: int
    acknowledged: dict[str, str] = field(default_factory=dict)
    fixed: dict[tuple[str, str], str] = field(default_factory=dict)
    """(image, version tag) → where it was seen."""
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def prepare(self) -> None:
        """Two images; v1.0.0 in prod, two versions on their way, two builds of another."""
        self.site.write_policy("api", "web")
        self.site.through("v1.0.0", "dev", "prod")
        self.site.through("v1.1.0", "dev", "prod")
        self.site.through("v1.2.0", "dev")

    def blow(self) -> list[Wrong]:
        """Six commands at once, kills among them; what the reader finds."""
        commands = [self._command() for _ in range(PROCESSES)]
        running: list[Running] = []
        doomed = self._dice.sample(range(PROCESSES), KILLS)
        spots = [self._dice.choice(("prod", "_tagflow.*", "v1.*-prod", "latest")) for _ in range(KILLS)]
        if self.site.proxy is not None:
            self.site.proxy.clear()
            for number, spot in zip(doomed, spots, strict=True):
                self.site.proxy.add(
                    method="PUT",
                    path=f"/manifests/{spot}$",
                    skip=self._dice.randint(0, 6),
                    hold=lambda number=number: running[number].kill() if number < len(running) else None,
                )
        for number, command in enumerate(commands):
            die = self.site.proxy is None and number in doomed
            spot = spots[doomed.index(number)] if die else ""
            image = self._dice.choice(self.site.names)
            environ = {"RACE_DIE": f"before {image} {spot} 0"} if die else {}
            running.append(self.site.start(*command, environ=environ))
        for one, command in zip(running, commands, strict=True):
            self._note(one.wait(), command)
        if self.site.proxy is not None:
            self.site.proxy.clear()
        return self._judge(finished=False)

    def calm(self) -> list[Wrong]:
        """Fair weather: one command after the other until nothing is left to do; what the reader finds then."""
        for command in (("verify", "--repair"), ("rollback", "prod"), ("verify", "--repair"), ("verify", "--repair")):
            if self.site.tagflow("verify").status == 0:
                break
            self._note(self.site.tagflow(*command), command)
        assert self.site.tagflow("verify").status == 0, self.site.tagflow("verify").out
        return self._judge(finished=True)

    def _command(self) -> tuple[str, ...]:
        kind = self._dice.random()
        if kind < 0.25:
            return ("rollback", "prod")
        if kind < 0.35:
            return ("verify", "--repair")
        if kind < 0.5:
            image = self._dice.choice(self.site.names)
            return ("push", "v1.5.0", self.site.source(image, self._dice.choice("ab")))
        version = self._dice.choice(("v1.0.0", "v1.1.0", "v1.2.0"))
        names = self._dice.choice((self.site.names, self.site.names, (self._dice.choice(self.site.names),)))
        targets = [f"{name}={version}" for name in names]
        return ("promote", *targets, "--to", "prod", "--override", "hold", "--reason", "storm")

    def _note(self, done: Done, command: tuple[str, ...]) -> None:
        self.statuses.append(done.status)
        assert done.status in (DIED, 0, 3, 4, 5, 6, 7), (command, done.status, done.err)
        if done.status == 0 and command[0] != "verify":
            release = done.document["result"]["release"]
            if release:
                self.acknowledged[release] = " ".join(command)

    def _judge(self, *, finished: bool) -> list[Wrong]:
        found = self.site.wrongs(finished=finished)
        snapshot = self.site.snapshot()
        for image in self.site.names:
            for tag, digest in snapshot.tags[image].items():
                if VERSION.fullmatch(tag) and self.fixed.setdefault((image, tag), digest) != digest:
                    found.append(Wrong("moved.fixed", f"{image}:{tag} was moved"))
        for environment in ("dev", "prod"):
            for place in self.site.places(environment):
                found += self._siblings(snapshot.history(place))
        return found + self._lost(snapshot)

    def _siblings(self, history: History) -> list[Wrong]:
        """Of any two releases that ended with 0, one was built on the other."""
        mine = [it for it in history.records.values() if it.release in self.acknowledged and it.action != "adopt"]
        latest = {it.release: it for it in sorted(mine, key=lambda it: it.rank)}
        return [
            Wrong("both", f"{self.acknowledged[one.release]}; {self.acknowledged[other.release]}")
            for one, other in combinations(latest.values(), 2)
            if one.tag not in history.ancestors(other.tag) and other.tag not in history.ancestors(one.tag)
        ]

    def _lost(self, snapshot: Snapshot) -> list[Wrong]:
        """Each release that ended with 0 is in the history."""
        places = [place for environment in ("dev", "prod") for place in self.site.places(environment)]
        there = {record.release for place in places for record in snapshot.history(place).records.values()}
        return [Wrong("lost", command) for release, command in self.acknowledged.items() if release not in there]
