"""What was written is read back in the look after the commit: what that finds, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import StoreError
from tagflow.verbs.verify import verify
from tests.flows.world import World, fails
from tests.memory import MemoryStore

Show = Callable[[str, Digest | None], None]
ALL = ("frontend", "backend", "worker")


@pytest.fixture
def world() -> World:
    """v1.0.0 runs everywhere, v1.1.0 in dev and test."""
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    return world


@pytest.fixture
def show(world: World, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Let the next look at a tag of the worker be answered by a replica that lags behind."""
    shown: dict[str, Digest | None] = {}
    resolve = MemoryStore.resolve

    def behind(store: MemoryStore, tag: str) -> Digest | None:
        actual = resolve(store, tag)
        return shown.pop(tag) if tag in shown and store.repository == world.repository("worker") else actual

    monkeypatch.setattr(MemoryStore, "resolve", behind)
    return shown.__setitem__


def at_the_worker(tag: str, then: Callable[[], object]) -> Callable[[str, Repository, str], None]:
    """``then``, once, when a tag of the worker is moved."""
    done: list[bool] = []

    def hook(operation: str, repository: Repository, detail: str) -> None:
        if (operation, repository.path, detail) == ("move", "acme/worker", tag) and not done:
            done.append(True)
            then()

    return hook


class TestTheEnvironmentTag:
    def test_a_replica_that_lags_is_waited_for(self, world: World, show: Show) -> None:
        before = world.tag("worker", "prod")
        with world.hooked(after=at_the_worker("prod", lambda: show("prod", before))):
            world.promote("v1.1.0", to="prod")
        assert world.runs("prod") == dict.fromkeys(ALL, "v1.1.0")

    def test_a_record_that_does_not_say_why_explains_nothing(self, world: World, show: Show) -> None:
        """A hold of something else came meanwhile: a tag that seems not to have moved is a replica's all the same."""
        before = world.tag("worker", "prod")

        def meanwhile() -> None:
            world.hold("prod", "worker=v1.0.0")
            show("prod", before)

        with world.hooked(after=at_the_worker("prod", meanwhile)):
            world.promote("v1.1.0", to="prod")
        assert world.runs("prod") == dict.fromkeys(ALL, "v1.1.0")


class TestTheCombinedTag:
    def test_a_replica_that_lags_is_waited_for(self, world: World, show: Show) -> None:
        with world.hooked(after=at_the_worker("v1.1.0-prod", lambda: show("v1.1.0-prod", None))):
            world.promote("v1.1.0", to="prod")
        assert world.runs("prod") == dict.fromkeys(ALL, "v1.1.0")

    def test_that_somebody_moves_meanwhile_gives_all_back(self, world: World) -> None:
        other = world.tags("worker")["v1.0.0"]
        with (
            world.hooked(after=at_the_worker("prod", lambda: world.hand_move("worker", "v1.1.0-prod", other))),
            fails("tag.moved", 5) as caught,
        ):
            world.promote("v1.1.0", to="prod")
        assert "v1.1.0-prod" in caught[0].message
        assert world.runs("prod") == dict.fromkeys(ALL, "v1.0.0")

    def test_that_cannot_be_looked_at_any_more_gives_nothing_back(
        self, world: World, show: Show, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The environment runs it by then, and nothing says that it must not: 7, and the same command ends it."""

        def unreachable(*_: object) -> None:
            raise StoreError("registry.unreachable", "no answer")

        with (
            monkeypatch.context() as patch,
            world.hooked(after=at_the_worker("v1.1.0-prod", lambda: show("v1.1.0-prod", None))),
            fails("release.partly_applied", 7),
        ):
            patch.setattr(MemoryStore, "confirm", unreachable)
            world.promote("v1.1.0", to="prod")
        assert world.runs("prod") == dict.fromkeys(ALL, "v1.1.0")
        world.promote("v1.1.0", to="prod")
        assert {world.cell(image, "prod").state for image in ALL} == {"recorded"}


class TestFloatingTags:
    """Quay keeps a list of tags for two minutes: what a run has written itself, it knows without."""

    @staticmethod
    @contextmanager
    def lists_of_before(world: World) -> Iterator[None]:
        stood = {repository: sorted(tags) for repository, tags in world.memory.snapshot().items()}
        with patch.object(MemoryStore, "tags", lambda store: stood[store.repository]):
            yield

    def test_they_follow_a_promotion(self, world: World) -> None:
        with self.lists_of_before(world):
            world.promote("v1.1.0", to="prod")
        assert world.tag("worker", "latest") == world.tag("worker", "v1.1.0")
        assert verify(world.context(), ["prod"]) == []

    def test_they_follow_a_rollback(self, world: World) -> None:
        world.promote("v1.1.0", to="prod")
        with self.lists_of_before(world):
            world.rollback("prod")
        assert world.tag("worker", "latest") == world.tag("worker", "v1.0.0")


class TestTheListOfTags:
    @pytest.mark.parametrize("lost", ["v1.1.0-test", "v1.1.0", "_tagflow.test.", "test"])
    def test_what_it_loses_meanwhile_and_is_there_still_counts(
        self, world: World, monkeypatch: pytest.MonkeyPatch, lost: str
    ) -> None:
        """A page that is cut, or a replica that lags behind, right when the release has been announced."""
        tags = MemoryStore.tags

        def cut(store: MemoryStore) -> list[str]:
            found = tags(store)
            announced = sum(tag.startswith("_tagflow.prod.") for tag in found) > 1
            return [tag for tag in found if not (announced and tag.startswith(lost) and tag != "v1.1.0-prod")]

        monkeypatch.setattr(MemoryStore, "tags", cut)
        world.promote("v1.1.0", to="prod")
        assert set(world.runs("prod").values()) == {"v1.1.0"}

    def test_what_somebody_removed_meanwhile_does_not(self, world: World) -> None:
        def remove(operation: str, repository: Repository, tag: str) -> None:
            if operation == "put" and tag.startswith("_tagflow.prod.") and repository == world.repository("worker"):
                world.memory.content(repository).tags.pop("v1.1.0-test", None)

        with world.hooked(after=remove), fails("promotion.order", 3):
            world.promote("v1.1.0", to="prod")
