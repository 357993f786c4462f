"""The matrix: each verb in each storm, against a real registry behind the proxy; what came of it is collected."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from tests.cli.runner import Done
from tests.daemons import Daemon, running_daemon
from tests.proxy import FaultProxy
from tests.releases.outcome import Verb, finish, outcome_is_what_was_said
from tests.releases.stage import IMAGES, NEW, OLD, Cutter, Stage, forker
from tests.reliability.faults import STORMS, Season, Storm, with_challenge
from tests.servers import PASSWORD, USERNAME, RegistryServer, running_registry
from tests.tokenserver import token_server

TIMEOUT = 20.0
"""Seconds that every command is given by --timeout; nothing here may need as many."""
FRESH = "v1.2.0"


@dataclass(frozen=True)
class Look:
    """A command that only looks: whatever the storm, it says the truth or that it failed.

    ``through_daemon``: it is the Docker Engine that asks the registry; what that does not try again fails.
    """

    command: tuple[str, ...]
    through_daemon: bool = False


@dataclass(frozen=True)
class Cell:
    """What came of one run. ``healed`` is the exit status of the same command when the storm is over."""

    verb: str
    storm: str
    season: Season
    status: int
    healed: int
    requests: int
    faults: int
    seconds: float
    runs: int


@dataclass
class Ground:
    """A stage with the verbs of the matrix ready on it."""

    stage: Stage
    verbs: Mapping[str, Verb | Look]
    challenge: str
    truths: dict[str, Any] = field(default_factory=dict)
    daemon: Daemon | None = None

    def attach(self, daemon: Daemon) -> None:
        """From now on, commands may use that Docker Engine."""
        self.daemon, self.stage.docker_host = daemon, daemon.host

    def run(self, name: str, storm: Storm, season: Season) -> Cell:
        """One verb in one storm; afterwards the same command in fair weather.

        :raises AssertionError: the outcome is not right, or something was lost.
        """
        stage, proxy, verb = self.stage, self.stage.cutter, self.verbs[name]
        stage.reset("arrived" if isinstance(verb, Look) else verb.state)
        self._forget_images(verb)
        before, runs = stage.tags(), stage.runs
        proxy.clear()
        with with_challenge(storm, self.challenge).over(proxy, season):
            began = time.monotonic()
            done = stage.tagflow(*verb.command, "--timeout", f"{TIMEOUT:.0f}s")
            seconds = time.monotonic() - began
        requests, faults = len(proxy.requests), proxy.strikes
        proxy.clear()
        stage.cutter.heal()
        try:
            assert done.status in self._allowed(verb, storm, season), "no right exit status"
            assert done.document["exit_code"] == done.status
            healed = self._check_look(name, done) if isinstance(verb, Look) else self._check_change(verb, before, done)
        except AssertionError as error:
            raise AssertionError(f"{name}, {storm.told}, {season}: {done.status}\n{done.err}\n{error}") from error
        return Cell(name, storm.name, season, done.status, healed, requests, faults, seconds, stage.runs - runs)

    def _check_change(self, verb: Verb, before: Any, done: Done) -> int:
        stage = self.stage
        if done.status in (0, 6, 7):
            outcome_is_what_was_said(stage, verb, before, done)
        else:
            moved = {key for key, digest in stage.tags().items() if before.get(key) != digest}
            assert not {tag for _, tag in moved} & {"dev", "prod", "latest", "v1"}, moved
        stage.finished.clear()
        finish(stage, verb, before, stage.tags())
        return 0

    def _allowed(self, verb: Verb | Look, storm: Storm, season: Season) -> set[int]:
        through_daemon = isinstance(verb, Look) and verb.through_daemon and not storm.harmless
        return allowed(storm, season) | ({6} if through_daemon else set())

    def _forget_images(self, verb: Verb | Look) -> None:
        """What a daemon has, it does not ask for again."""
        if self.daemon is not None and isinstance(verb, Look) and verb.through_daemon:
            self.daemon.clear()

    def _check_look(self, name: str, done: Done) -> int:
        if name not in self.truths:
            self.truths[name] = truth(name, self.stage.done(*self.verbs[name].command))
        if done.status == 0:
            assert truth(name, done) == self.truths[name]
        self._forget_images(self.verbs[name])
        again = self.stage.done(*self.verbs[name].command)
        assert truth(name, again) == self.truths[name]
        return again.status


def allowed(storm: Storm, season: Season) -> set[int]:
    """The exit statuses that are right: for a storm that passes success, for one that lasts a failure that says so."""
    if storm.harmless or (season == "passing" and storm.forgives):
        return {0}
    return {0, 4, 5, 6, 7} if storm.misleads else {0, 6, 7}


def truth(name: str, done: Done) -> Any:
    """What a command that looks has found out, without what differs from moment to moment."""
    result = done.result
    return [it["usable"] for it in result["registries"]] if name == "doctor" else result


@contextmanager
def ground(server: RegistryServer, path: Path, challenge: str = "") -> Iterator[Ground]:
    """A ground on a registry, logged in where it asks for it."""
    cutter = Cutter(server.host)
    path.mkdir(parents=True, exist_ok=True)
    try:
        with forker() as process:
            login = _login(path / "docker", server, cutter) if server.username else None
            name = f"storm-{uuid.uuid4().hex[:8]}"
            stage = Stage(path / "home", server, cutter, process, name, login, silence=0.5)
            stage.build()
            yield Ground(stage, _verbs(stage), challenge)
    finally:
        cutter.stop()


def challenge_of(server: RegistryServer) -> str:
    """How a registry asks for a token."""
    return urllib3.request("GET", f"http://{server.host}/v2/").headers["WWW-Authenticate"]


@contextmanager
def grounds(path: Path) -> Iterator[tuple[Ground, Ground]]:
    """Two registries of their own: an open one, and one with tokens; and a Docker Engine for both."""
    with ExitStack() as stack:
        daemon = stack.enter_context(running_daemon())
        plain = stack.enter_context(running_registry(path / "plain"))
        tokens = stack.enter_context(token_server(path / "tokens"))
        auth = tokens.authentication()
        locked = stack.enter_context(running_registry(path / "locked", auth=auth, username=USERNAME, password=PASSWORD))
        both = (
            stack.enter_context(ground(plain, path / "a")),
            stack.enter_context(ground(locked, path / "b", challenge_of(locked))),
        )
        for place in both:
            place.attach(daemon)
        yield both


def every_cell() -> Iterator[tuple[str, Storm, Season]]:
    """All that the matrix holds."""
    for storm in STORMS.values():
        for season in storm.seasons:
            for verb in VERBS:
                yield verb, storm, season


def _login(directory: Path, server: RegistryServer, proxy: FaultProxy) -> Path:
    server.environ(directory)
    config = json.loads((directory / "config.json").read_text())
    config["auths"][proxy.host] = config["auths"][server.host]
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def _verbs(stage: Stage) -> Mapping[str, Verb | Look]:
    builds = f"docker://{stage.cutter.host}/{stage.namespace}/builds"
    stage.reset("ahead")
    plan = str(stage.path / "plan.json")
    promote = ("promote", NEW, "--to", "prod")
    stage.done(*promote, "--save-plan", plan)
    found: dict[str, Verb | Look] = {
        "push": Verb("ahead", ("push", FRESH, *(f"{it}={builds}/{it}:new" for it in IMAGES)), FRESH, "dev"),
        "promote": Verb("ahead", promote, NEW),
        "rollback": Verb("arrived", ("rollback", "prod"), OLD),
        "apply": Verb("ahead", ("apply", plan), NEW, again=promote),
        "status": Look(("status",)),
        "history": Look(("history", "prod")),
        "verify": Look(("verify",)),
        "next": Look(("next",)),
        "doctor": Look(("doctor",)),
        "pull": Look(("pull", "prod"), through_daemon=True),
    }
    assert tuple(found) == VERBS
    return found


VERBS = ("push", "promote", "rollback", "apply", "status", "history", "verify", "next", "doctor", "pull")
