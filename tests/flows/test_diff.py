"""diff: what is between two environments or versions, down to the commits; and what a plan brings."""

from __future__ import annotations

import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import TagflowError
from tagflow.verbs.diff import Difference, diff, goes_in
from tests.flows.world import POLICY, World, fails

SOURCE = "org.opencontainers.image.source"
REVISION = "org.opencontainers.image.revision"


def build(world: World, version: str, *names: str, source: str = "https://github.com/acme/shop") -> None:
    labels = {SOURCE: source, REVISION: f"c{version}", "org.opencontainers.image.created": f"2026-11-2{version[3]}"}
    world.build(version, *names, labels=labels)


@pytest.fixture
def world() -> World:
    """v1.0.0 in prod, v1.1.0 in test, but for the worker, which is the same in both."""
    world = World()
    build(world, "v1.0.0")
    for environment in ("dev", "test", "prod"):
        world.promote("v1.0.0", to=environment)
    build(world, "v1.1.0", "frontend", "backend")
    for environment in ("dev", "test"):
        world.promote("frontend=v1.1.0", "backend=v1.1.0", to=environment)
    return world


def by_image(found: tuple[Difference, ...]) -> dict[str, Difference]:
    return {it.image: it for it in found}


def test_two_environments(world: World) -> None:
    found = diff(world.context(), "prod", "test")
    assert found.differs
    assert {it.image: it.state for it in found.images} == {
        "frontend": "changed",
        "backend": "changed",
        "worker": "same",
    }
    frontend = by_image(found.images)["frontend"]
    assert (frontend.before.version, frontend.after.version) == ("v1.0.0", "v1.1.0")
    assert (frontend.before.revision, frontend.after.revision) == ("cv1.0.0", "cv1.1.0")
    assert (frontend.before.created, frontend.after.created) == ("2026-11-20", "2026-11-21")
    assert frontend.before.digest == world.tag("frontend", "prod")
    assert frontend.compare == "https://github.com/acme/shop/compare/cv1.0.0...cv1.1.0"
    assert frontend.after.size
    assert by_image(found.images)["worker"].compare is None


def test_two_versions_one_environment_and_names(world: World) -> None:
    found = diff(world.context(), "1.0.0", "v1.1.0", ["frontend"])
    assert [(it.image, it.state, it.before.version, it.after.version) for it in found.images] == [
        ("frontend", "changed", "v1.0.0", "v1.1.0")
    ]
    both = diff(world.context(), "prod", "v1.1.0")
    assert {it.image: it.state for it in both.images} == {
        "frontend": "changed",
        "backend": "changed",
        "worker": "missing",
    }
    assert not diff(world.context(), "dev", "test").differs


def test_what_is_on_one_side_only(world: World) -> None:
    world.become(world.text.replace("  prod:", "  later: {}\n  prod:"))
    found = diff(world.context(), "later", "prod")
    assert {it.state for it in found.images} == {"missing"}
    assert {it.before.digest for it in found.images} == {None}


def test_each_build_is_read_once(world: World) -> None:
    diff(world.context(), "prod", "test")
    world.memory.calls.clear()
    diff(world.context(), "prod", "test", ["worker"])
    blobs = [call for call in world.memory.calls if call.operation == "read_blob"]
    assert len(blobs) == 1  # the configuration of the first platform, for both sides


def test_sources_that_differ_are_not_compared(world: World) -> None:
    build(world, "v1.2.0", "frontend", source="https://gitlab.com/acme/shop")
    [frontend] = diff(world.context(), "prod", "v1.2.0", ["frontend"]).images
    assert (frontend.state, frontend.compare) == ("changed", None)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("prod", "prdo"), "environment.not_found"),
        (("prod", "v9.9.9"), "version.not_found"),
        (("v9.9.9", "prod"), "version.not_found"),
        (("prod", "test", "nope"), "image.not_found"),
    ],
)
def test_what_is_not_there(world: World, words: tuple[str, ...], code: str) -> None:
    with fails(code, 4):
        diff(world.context(), words[0], words[1], words[2:])
    with fails("target.missing", 2):
        diff(world.context(), "prod", " ")


def test_versions_of_either_scheme_are_typed_without_the_v_of_their_tags() -> None:
    world = World(POLICY.replace("images:", "tags: {versions: natural}\nimages:"))
    world.build("v2026.02.0")
    world.build("v2026.02.1")
    found = diff(world.context(), "2026.02.0", "2026.02.1", ["frontend"])
    assert [(it.before.version, it.after.version) for it in found.images] == [("v2026.02.0", "v2026.02.1")]


def test_what_a_plan_brings(world: World) -> None:
    proposal = world.propose_promote("frontend", "worker", to="prod")
    [frontend] = goes_in(world.context(), proposal.decision.plan)
    assert (frontend.image, frontend.compare) == ("frontend", "https://github.com/acme/shop/compare/cv1.0.0...cv1.1.0")
    world.promote("frontend", to="prod")
    [back] = goes_in(world.context(), world.propose_rollback("prod").decision.plan)
    assert back.compare == "https://github.com/acme/shop/compare/cv1.1.0...cv1.0.0"


def test_what_cannot_be_read_is_told_beside_no_plan(world: World) -> None:
    proposal = world.propose_promote("frontend", to="prod")

    def gone(operation: str, repository: Repository, detail: str) -> None:
        if operation in ("get", "read_blob"):
            raise TagflowError("test.gone", "gone")

    with world.hooked(before=gone):
        [frontend] = goes_in(world.context(), proposal.decision.plan)
    assert (frontend.before.revision, frontend.compare) == (None, None)
    assert frontend.after.version == "v1.1.0"
