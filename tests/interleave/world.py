"""The worlds in which runs meet: a policy, what was released before, and the verbs as commands for the scheduler.

This is the only module here that knows how tagflow's verbs are called.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tagflow.config.load import load_policy_text
from tagflow.context import Context, Timing
from tagflow.domain.plan import Request
from tagflow.domain.policy import Policy, policy_digest
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.tagging import TagScheme
from tagflow.errors import Conflict
from tagflow.verbs import notes
from tagflow.verbs.apply import apply as run_apply
from tagflow.verbs.promote import promote as run_promote
from tagflow.verbs.push import Workspace
from tagflow.verbs.push import push as run_push
from tagflow.verbs.release import Options
from tagflow.verbs.repair import repair as run_repair
from tagflow.verbs.rollback import rollback as run_rollback
from tests import images
from tests.interleave.reader import Place
from tests.interleave.registry import Open, Registry, opener
from tests.interleave.schedule import START, Budget, Command, Execution, Kill, Surroundings

HOST = "registry.test/acme"
BUILDS = f"{HOST}/builds"


def policy_text(names: Sequence[str], environments: str = "") -> str:
    """A policy of some images, with dev and prod."""
    chosen = environments or "{dev: {}, prod: {downgrades: allow, floating: [latest, major]}}"
    listed = ", ".join(f"{name}: {name}" for name in names)
    return f"version: 1\nregistry: {HOST}\nimages: {{{listed}}}\nenvironments: {chosen}\n"


@cache
def _policy(text: str) -> Policy:
    return load_policy_text(text, base="/nowhere")


@cache
def _digest(text: str) -> str:
    return policy_digest(_policy(text))


@cache
def _scheme(text: str) -> TagScheme:
    return TagScheme(_policy(text))


Act = Callable[[Context], object]


# --- the verbs -----------------------------------------------------------------------------------------------------


def promote(*targets: str, to: str = "prod", override: tuple[str, ...] = (), wait: float = 0) -> Act:
    """``promote TARGET… --to ENV``."""
    request = Request("promote", to, targets, overrides=override, reason="why not" if override else "")
    return lambda context: run_promote(context, request, Options(wait=timedelta(seconds=wait)))


def rollback(environment: str = "prod", *targets: str) -> Act:
    """``rollback ENV [TARGET…]``."""
    return lambda context: run_rollback(context, Request("rollback", environment, targets))


def push(version: str, *sources: str) -> Act:
    """``push VERSION NAME=SOURCE…``."""
    work = Workspace(Path("/nowhere"), Path("/nowhere"))
    return lambda context: run_push(
        context, Request("push", context.policy.environments[0].name, (version, *sources)), work
    )


def apply(plan: Path) -> Act:
    """``apply FILE``."""
    return lambda context: run_apply(context, plan)


def repair(*environments: str) -> Act:
    """``verify --repair``: 5 where something is left to a person."""

    def act(context: Context) -> object:
        repaired = run_repair(context, environments)
        if repaired.left:
            raise Conflict("verify.findings", "; ".join(f"{it.problem} {it.tag}" for it in repaired.left))
        return repaired

    return act


def hold(version: str, environment: str = "prod") -> Act:
    """``hold ENV VERSION``."""
    return lambda context: notes.hold(context, Request("hold", environment, (version,), reason="leaks"))


def freeze(environment: str = "prod") -> Act:
    """``freeze ENV``."""
    return lambda context: notes.freeze(context, Request("freeze", environment, reason="an incident"))


# --- the world -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A command as a person would type it, and what it does here."""

    name: str
    words: str
    act: Act
    claims: bool = True
    """Whether an exit 0 says that a release of its own is complete."""


@dataclass
class World:
    """Some images, released as ``setup`` does it; then several commands at once."""

    name: str
    images: tuple[str, ...]
    setup: Callable[[World], None]
    runs: tuple[Told, ...]
    winners: int | None = None
    environments: str = ""
    plan: Path = Path()
    """A saved plan, where the case has one."""
    built: dict[str, Digest] = field(default_factory=dict)
    """Image=version → the digest of its build."""

    def __post_init__(self) -> None:
        self._registry: Registry | None = None
        self._count = 0

    @cached_property
    def text(self) -> str:
        return policy_text(self.images, self.environments)

    @property
    def policy(self) -> Policy:
        return _policy(self.text)

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(
            Place(
                image.name,
                environment.name,
                str(self.policy.repository(image, environment)),
                tuple(environment.floating),
            )
            for image in self.policy.images
            for environment in self.policy.environments
        )

    @property
    def commands(self) -> tuple[Command, ...]:
        return tuple(Command(run.name, run.words, self._acting(run.act), run.claims) for run in self.runs)

    def registry(self) -> Registry:
        """The world before the commands, a copy of its own."""
        if self._registry is None:
            self._registry = Registry()
            self.setup(self)
        return self._registry.copy()

    # --- for setup ---------------------------------------------------------------------------------------------------

    def do(self, act: Act) -> None:
        """Run a verb, undisturbed."""
        act(self._old(Open()))

    def dying(self, act: Act, write: int) -> None:
        """Run a verb that dies at its n-th change of a tag (from 0)."""
        gate = _Dying(write)
        try:
            act(self._old(gate))
        except Kill:
            return
        raise AssertionError(f"{self.name}: no {write} changes")

    def build(self, version: str, *names: str, seed: str = "", under: str = "") -> None:
        """Another tool pushes a build, under the version tag or for a push to bring in."""
        assert self._registry is not None
        for name in names or self.images:
            repository = Repository("registry.test", f"acme/{'builds/' if under else ''}{name}")
            store = opener(self._registry, Open())(repository)
            made = images.image(store, content=f"{name} {version} {seed}".encode(), tag=under or version)
            self.built[f"{name}={version}{seed}"] = made.digest

    def through(self, version: str, *environments: str) -> None:
        """Build a version of all images and promote it."""
        self.build(version)
        for environment in environments:
            self.do(promote(version, to=environment))

    def saved(self, target: str) -> Path:
        """A saved plan of a promotion to prod."""
        path = Path(tempfile.mkdtemp(prefix="tagflow-plan-")) / "plan.json"
        run_promote(self._old(Open()), Request("promote", "prod", (target,)), Options(save_plan=path))
        return path

    # -----------------------------------------------------------------------------------------------------------------

    def _old(self, gate: Any) -> Context:
        """Of a command that ran before, a day ago."""
        assert self._registry is not None
        self._count += 1
        clock = [0.0]

        def sleep(seconds: float) -> None:
            clock[0] += seconds

        name = f"old{self._count}"
        around = Surroundings(
            name, self._registry, gate, lambda: START - timedelta(days=1), lambda: clock[0], sleep, lambda: name
        )
        return self._context(around)

    def _acting(self, act: Act) -> Callable[[Surroundings], object]:
        return lambda around: act(self._context(around))

    def _context(self, around: Surroundings) -> Context:
        context = Context(
            policy=self.policy,
            policy_digest=_digest(self.text),
            stores=opener(around.registry, around.gate),
            now=around.now,
            new_id=around.new_id,
            actor=around.name,
            environ={},
            threads=1,
            elapsed=around.elapsed,
            sleep=around.sleep,
            timing=Timing(poll=10.0),
        )
        context.__dict__["scheme"] = _scheme(self.text)  # what it remembers of tags never changes
        return context


class _Dying(Open):
    def __init__(self, write: int) -> None:
        self._left = write

    def call(self, call: Any, effect: Any) -> Any:
        if call.writes:
            if self._left == 0:
                raise Kill
            self._left -= 1
        return effect()


def seeds(world: World, wanted: int = 2) -> list[str]:
    """Seeds under which the first records of the runs sort differently: who comes first is not up to chance."""
    found: dict[tuple[object, ...], str] = {}
    for number in range(200):
        seed = f"-{number}"
        firsts: list[dict[str, str]] = []
        for command in world.commands:
            alone = Execution(world.registry(), [command], {}, Budget(0), seed=seed).run()
            firsts.append(dict(alone.ends[0].records))
        shared = sorted(set.intersection(*(set(it) for it in firsts)))
        order = tuple(tuple(sorted(range(len(firsts)), key=lambda run: firsts[run][spot])) for spot in shared)
        found.setdefault(order, seed)
        if len(found) >= wanted:
            break
    return list(found.values())
