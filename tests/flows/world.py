"""A small world for flows: images in a registry in memory, a clock that a test turns, one method a verb."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from tagflow.config.load import load_policy_text
from tagflow.context import Context
from tagflow.domain.own_tags import parse_record_tag
from tagflow.domain.plan import Outcome, Request
from tagflow.domain.policy import Policy, policy_digest
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import Observation, target_of
from tagflow.errors import TagflowError
from tagflow.observe.histories import record_tags
from tagflow.observe.observer import Observer
from tagflow.verbs import release
from tagflow.verbs.apply import propose_apply
from tagflow.verbs.notes import freeze, hold
from tagflow.verbs.plans import Proposal, save_plan
from tagflow.verbs.promote import promote, propose_promote
from tagflow.verbs.push import Workspace, push
from tagflow.verbs.release import Options
from tagflow.verbs.rollback import propose_rollback, rollback
from tagflow.verbs.status import Cell, status
from tests import images
from tests.memory import WRITES, MemoryRegistry

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

POLICY = """
version: 1
registry: registry.test/acme
images: {frontend: frontend, backend: back_end, worker: worker}
environments:
  dev: {}
  test: {downgrades: allow}
  prod: {downgrades: allow, floating: [latest, major, minor]}
"""


@cache
def _policy(text: str) -> Policy:
    return load_policy_text(text, base="/nowhere")


@cache
def _digest(text: str) -> str:
    return policy_digest(_policy(text))


class Crash(BaseException):
    """The process died: nothing that it would have done afterwards happens."""


@dataclass
class World:
    """One policy, one registry in memory. Each verb runs in a context of its own, as each process would."""

    text: str = POLICY
    memory: MemoryRegistry = field(default_factory=MemoryRegistry)
    now: datetime = START
    threads: int = 1
    actor: str = "ann"
    warnings: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    """Why something waited, once for each time."""
    passed: float = 0.0

    def __post_init__(self) -> None:
        self._last_id = 0
        self.policy: Policy = self.load(self.text)

    def copy(self) -> World:
        """Another world that is as this one is now."""
        twin = World(self.text, MemoryRegistry(), self.now, self.threads, self.actor)
        for repository, tags in self.memory.snapshot().items():
            mine, its = self.memory.content(repository), twin.memory.content(repository)
            its.tags.update(tags)
            its.manifests.update(mine.manifests)
            its.blobs.update(mine.blobs)
        twin._last_id = self._last_id
        return twin

    @staticmethod
    def load(text: str) -> Policy:
        return _policy(text)

    def become(self, text: str) -> None:
        """Change the policy, as an edit of the file does."""
        self.text, self.policy = text, self.load(text)

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def context(self) -> Context:
        return Context(
            policy=self.policy,
            policy_digest=_digest(self.text),
            stores=self.memory.open,
            now=self._tick,
            new_id=self._new_id,
            actor=self.actor,
            environ={"PATH": "/usr/bin:/bin"},
            warn=self.warnings.append,
            threads=self.threads,
            elapsed=self._elapsed,
            sleep=self._sleep,
            waits=lambda why, _seconds: self.waited.append(why),
        )

    def _elapsed(self) -> float:
        return self.passed

    def _sleep(self, seconds: float) -> None:
        """Nobody waits in a test: time passes at once."""
        self.passed += seconds
        self.now += timedelta(seconds=seconds)

    def _new_id(self) -> str:
        self._last_id += 1
        return f"r{self._last_id:04d}"

    def _tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    # --- what is there -----------------------------------------------------------------------------------------

    def repository(self, image: str, environment: str = "") -> Repository:
        context = self.context()
        name = environment or self.policy.environments[0].name
        return self.policy.repository(context.image(image), context.environment(name))

    def history_repository(self, image: str, environment: str) -> Repository:
        context = self.context()
        return self.policy.history_repository(context.image(image), context.environment(environment))

    def build(self, version: str, *names: str, seed: str = "", **made: object) -> dict[str, Digest]:
        """Other tools push builds: an index of two platforms under the version tag, for some images or all."""
        built = {}
        for name in names or [image.name for image in self.policy.images]:
            store = self.memory.open(self.repository(name))
            content = seed or f"{name} {version}"
            built[name] = images.index(store, seed=content, tag=version, **made).digest  # type: ignore[arg-type]
        return built

    def tag(self, image: str, tag: str, environment: str = "") -> Digest | None:
        return self.memory.snapshot().get(self.repository(image, environment), {}).get(tag)

    def tags(self, image: str, environment: str = "") -> dict[str, Digest]:
        return self.memory.snapshot().get(self.repository(image, environment), {})

    def hand_move(self, image: str, tag: str, digest: Digest, environment: str = "") -> None:
        """Somebody moves a tag with another tool."""
        with self.memory.lock:
            self.memory.content(self.repository(image, environment)).tags[tag] = digest

    def hand_remove(self, image: str, tag: str, environment: str = "") -> None:
        with self.memory.lock:
            del self.memory.content(self.repository(image, environment)).tags[tag]

    def seen(self, image: str, environment: str) -> Observation:
        context = self.context()
        target = target_of(context.policy, context.image(image), context.environment(environment))
        return Observer(context).observe([target]).observations[target]

    def stack(self, image: str, environment: str) -> list[str | None]:
        return [entry.version for entry in self.seen(image, environment).standing.state.stack]

    def records(self, image: str, environment: str) -> list[tuple[str, str | None, str | None]]:
        """(action, version, previous version) of every record, oldest first."""
        context = self.context()
        observer = Observer(context)
        where = self.history_repository(image, environment)
        tags = record_tags(observer.tags(where)).get(environment, frozenset())
        entries = sorted(observer.read(where, sorted(tags, key=str)).values(), key=lambda entry: entry.rank)
        return [(entry.record.action, entry.record.version, entry.record.previous_version) for entry in entries]

    def record_count(self) -> int:
        snapshot = self.memory.snapshot()
        return sum(parse_record_tag(tag) is not None for tags in snapshot.values() for tag in tags)

    def cell(self, image: str, environment: str) -> Cell:
        row = next(row for row in status(self.context(), []) if row.image == image)
        return next(cell for cell in row.environments if cell.environment == environment)

    def runs(self, environment: str) -> dict[str, str | None]:
        """Image → version, as ``status`` shows it."""
        return {
            row.image: cell.version
            for row in status(self.context(), [environment])
            for cell in row.environments
            if cell.environment == environment
        }

    def states(self, environment: str) -> dict[str, str]:
        return {row.image: cell.state for row in status(self.context(), [environment]) for cell in row.environments}

    # --- verbs -------------------------------------------------------------------------------------------------

    def propose_promote(
        self,
        *targets: str,
        to: str,
        from_: str = "",
        everything: bool = False,
        override: tuple[str, ...] = (),
        reason: str = "",
    ) -> Proposal:
        request = Request("promote", to, targets, everything, from_, override, reason)
        return propose_promote(self.context(), request)

    def promote(
        self,
        *targets: str,
        to: str,
        from_: str = "",
        everything: bool = False,
        override: tuple[str, ...] = (),
        reason: str = "",
        dry_run: bool = False,
    ) -> Outcome:
        request = Request("promote", to, targets, everything, from_, override, reason)
        return promote(self.context(), request, Options(dry_run))

    def rollback(self, environment: str, *targets: str, reason: str = "") -> Outcome:
        return rollback(self.context(), Request("rollback", environment, targets, reason=reason))

    def propose_rollback(self, environment: str, *targets: str, reason: str = "") -> Proposal:
        return propose_rollback(self.context(), Request("rollback", environment, targets, reason=reason))

    def push(self, version: str, *sources: str, tmp: Path | None = None, reason: str = "") -> Outcome:
        directory = tmp or Path("/nowhere")
        request = Request("push", self.policy.environments[0].name, (version, *sources), reason=reason)
        return push(self.context(), request, Workspace(directory, directory))

    def hold(self, environment: str, *versions: str, reason: str = "because", lift: bool = False) -> Outcome:
        return hold(self.context(), Request("hold", environment, versions, reason=reason), lift=lift)

    def freeze(
        self, environment: str, *, reason: str = "because", until: datetime | None = None, lift: bool = False
    ) -> Outcome:
        return freeze(self.context(), Request("freeze", environment, reason=reason), lift=lift, until=until)

    def save(self, proposal: Proposal, path: Path) -> Path:
        release.settle(self.context(), proposal)
        save_plan(proposal.decision.plan, path)
        return path

    def apply(self, path: Path) -> Outcome:
        return self.carry_out(propose_apply(self.context(), path))

    def carry_out(self, proposal: Proposal) -> Outcome:
        context = self.context()
        return release.carry_out(context, proposal, release.settle(context, proposal))

    def through(self, version: str, *environments: str) -> None:
        """Build a version of every image and promote it as far as the last of these environments."""
        if self.tag(self.policy.images[0].name, version) is None:
            self.build(version)
        for environment in environments:
            self.promote(version, to=environment)

    # --- mischief ----------------------------------------------------------------------------------------------

    @contextmanager
    def dying_at(self, write: int) -> Iterator[list[int]]:
        """The process dies when it begins its ``write``-th write (from 1); yields [writes begun]."""
        begun = [0]

        def before(operation: str, repository: Repository, detail: str) -> None:
            if begun[0] >= write:
                raise Crash
            if operation in WRITES:
                begun[0] += 1
                if begun[0] >= write:
                    raise Crash

        with self.hooked(before):
            yield begun

    @contextmanager
    def hooked(
        self,
        before: Callable[[str, Repository, str], None] | None = None,
        after: Callable[[str, Repository, str], None] | None = None,
    ) -> Iterator[None]:
        kept = self.memory.before, self.memory.after
        self.memory.before = before or kept[0]
        self.memory.after = after or kept[1]
        try:
            yield
        finally:
            self.memory.before, self.memory.after = kept

    def crash(self, action: Callable[[], object], write: int) -> bool:
        """Whether ``action`` died at that write; False where it was done before."""
        with self.dying_at(write):
            try:
                action()
            except Crash:
                return True
        return False

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Nothing at all is written meanwhile."""
        before, count = self.memory.snapshot(), len(self.memory.writes)
        yield
        assert self.memory.snapshot() == before
        assert self.memory.writes[count:] == []


@contextmanager
def fails(code: str, status: int) -> Iterator[list[TagflowError]]:
    """The block raises an error of that code and exit status; it is in the list afterwards, to be looked at."""
    caught: list[TagflowError] = []
    with pytest.raises(TagflowError) as raised:
        yield caught
    error = raised.value
    assert (error.code, error.exit_status) == (code, status), f"{error.code} {error.exit_status}: {error.message}"
    assert error.message
    caught.append(error)
