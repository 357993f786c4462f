"""Content that cannot be looked at, and content that is sent again: neither moves what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import StoreError, TagflowError
from tagflow.verbs.verify import verify
from tests import images
from tests.flows.world import World, fails

POLICY = """
version: 1
registry: registry.test/acme
images: {web: web, api: api}
environments: {dev: , prod: {downgrades: allow%s}}
"""


def world_of(rules: str = "") -> World:
    """v1.0.0 ran in prod and v1.1.0 runs there; v1.2.0 is in dev."""
    world = World(POLICY % "")
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "prod")
    world.through("v1.2.0", "dev")
    world.become(POLICY % rules)
    return world


@contextmanager
def silent(world: World, operation: str, detail: Callable[[str], bool]) -> Iterator[None]:
    """The registry of web does not answer where it is asked for that."""

    def before(asked: str, repository: Repository, what: str) -> None:
        if asked == operation and repository.path.endswith("web") and detail(what):
            raise StoreError("registry.unavailable", f"{repository}: no answer")

    with world.hooked(before):
        yield


def blob_of(world: World, version: str) -> Digest:
    store = world.memory.open(world.repository("web"))
    return store.get(store.get(version).children[0].digest).blobs[-1].digest


def test_what_cannot_be_looked_at_is_not_promoted() -> None:
    world = world_of()
    blob = blob_of(world, "v1.2.0")
    with silent(world, "has_blob", lambda what: what == blob), world.unchanged(), fails("registry.unavailable", 6):
        world.promote("v1.2.0", to="prod")


@pytest.mark.parametrize("rule", ["platforms: [linux/amd64]", "labels: [team]"])
def test_nor_where_a_rule_looks_inside(rule: str) -> None:
    world = world_of(f", {rule}")
    child = world.memory.open(world.repository("web")).get("v1.2.0").children[0].digest
    with silent(world, "get", lambda what: what == child), world.unchanged(), pytest.raises(TagflowError) as caught:
        world.promote("v1.2.0", to="prod")
    assert "no answer" in caught.value.message


def test_nor_gone_back_to() -> None:
    world = world_of()
    blob = blob_of(world, "v1.0.0")
    with silent(world, "has_blob", lambda what: what == blob), world.unchanged(), fails("registry.unavailable", 6):
        world.rollback("prod")


def test_it_is_no_finding_either() -> None:
    world = world_of()
    blob = blob_of(world, "v1.1.0")
    with silent(world, "has_blob", lambda what: what == blob), pytest.raises(StoreError, match="no answer"):
        list(verify(world.context(), ["prod"]))


class TestSentAgain:
    """push of a version that was here already brings what is missing of it, and nothing moves back to it."""

    @pytest.fixture
    def world(self) -> World:
        """v1.1.0 runs in dev; of v1.0.0, which ran before, a blob of web is lost, and its build is still there."""
        world = World(POLICY % "")
        source = world.memory.open(Repository("builds.test", "ci/web"))
        images.index(source, seed="web v1.0.0", tag="build")
        for version in ("v1.0.0", "v1.1.0"):
            world.through(version, "dev")
        world.memory.forget(world.repository("web"), blob_of(world, "v1.0.0"))
        return world

    def push(self, world: World) -> None:
        world.push("v1.0.0", "web=docker://builds.test/ci/web:build")

    def test_it_is_whole_again_and_dev_stays(self, world: World) -> None:
        assert "content.missing" in {it.problem for it in verify(world.context(), ["dev"])}
        self.push(world)
        assert list(verify(world.context(), ["dev"], deep=True)) == []
        assert world.runs("dev") == {"web": "v1.1.0", "api": "v1.1.0"}
        assert world.stack("web", "dev") == ["v1.0.0", "v1.1.0"]

    def test_it_is_said(self, world: World) -> None:
        self.push(world)
        told = "web: what is missing of v1.0.0 is sent again; dev stays at v1.1.0"
        assert any(told in it for it in world.warnings), world.warnings

    def test_where_nothing_runs_it_enters(self, world: World) -> None:
        world.hand_remove("web", "dev")
        self.push(world)
        assert world.tag("web", "dev") == world.tag("web", "v1.0.0")
