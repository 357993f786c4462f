"""A policy that looks elsewhere for a history, or for an environment, than it did: nothing that was held is forgotten
without a word."""

from __future__ import annotations

import pytest

from tagflow.domain.plan import Outcome
from tagflow.verbs.history import history
from tagflow.verbs.past import status_at
from tagflow.verbs.repair import repair
from tagflow.verbs.stats import stats
from tagflow.verbs.status import status
from tagflow.verbs.verify import verify
from tests.flows.world import START, World, fails

POLICY = """
version: 1
registry: registry.test/acme
images: {web: web, api: api}
environments: {dev: , prod: {floating: [latest]%s}}
"""
APART = 'history: {repository: "{repository}-history"}\n'


def world_of() -> World:
    """v1.1.0 ran in prod and was rolled back, so that it is held."""
    world = World(POLICY % "")
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "prod")
    world.rollback("prod")
    return world


def apart() -> World:
    """The same, and the policy keeps records apart from now on."""
    world = world_of()
    world.become(POLICY % "" + APART)
    return world


def copy_records(world: World, image: str, environment: str) -> None:
    """As crane would copy them."""
    own = world.memory.content(world.repository(image))
    other = world.memory.content(world.history_repository(image, environment))
    for tag, digest in own.tags.items():
        if tag.startswith(f"_tagflow.{environment}."):
            other.tags[tag], other.manifests[digest] = digest, own.manifests[digest]
    other.blobs.update(own.blobs)


class TestHistoryApart:
    @pytest.mark.parametrize("version", ["v1.1.0", "v1.0.0"])
    def test_stops_what_would_begin_another_one(self, version: str) -> None:
        world = apart()
        with world.unchanged(), fails("history.elsewhere", 5) as caught:
            world.promote(version, to="prod")
        assert "registry.test/acme/web has the record _tagflow." in caught[0].message
        assert "registry.test/acme/web-history, where there is none" in caught[0].message

    def test_nothing_is_rolled_back_or_noted_either(self) -> None:
        world = apart()
        with world.unchanged(), fails("history.elsewhere", 5):
            world.rollback("prod")
        with world.unchanged(), fails("history.elsewhere", 5):
            world.hold("prod", "v1.0.0")
        with world.unchanged(), fails("history.elsewhere", 5):
            world.freeze("prod")

    def test_it_is_shown_as_what_cannot_be_believed(self) -> None:
        world = apart()
        states = {cell.state for row in status(world.context(), []) for cell in row.environments}
        assert states == {"broken"}
        assert len(history(world.context(), "prod", [], 10).unread) == 2

    def test_what_ran_then_is_not_told_as_nothing(self) -> None:
        """Nor is it where the policy knows an environment that never had a history."""
        world = apart()
        past = status_at(world.context(), world.now, [])
        assert {cell.state for row in past.rows for cell in row.environments} == {"broken"}
        assert [line.partition(" (")[0] for line in past.unread] == [
            f"{name}: not all of the history of web, api can be read" for name in ("dev", "prod")
        ]
        world.become((POLICY % "").replace("prod:", "stage: , prod:") + APART)
        past = status_at(world.context(), world.now, ["stage"])
        assert {cell.state for row in past.rows for cell in row.environments} == {"empty"}
        assert past.unread == ()

    def test_no_number_is_told_without_a_word(self) -> None:
        world = apart()
        assert stats(world.context(), "prod", START).deployments == 0
        told = [note for note in world.warnings if "its history cannot be read" in note]
        assert [note.split(":")[1] for note in told] == [
            f" {image} in {environment}" for environment in ("prod", "dev") for image in ("web", "api")
        ]

    def test_verify_says_what_to_do_and_repairs_nothing(self) -> None:
        world = apart()
        found = verify(world.context(), [])
        assert {(it.problem, it.image, it.environment) for it in found} == {
            ("history.broken", image, environment) for image in ("web", "api") for environment in ("dev", "prod")
        }
        assert all("history.repository" in it.repair for it in found)
        with world.unchanged():
            repair(world.context(), [])

    def test_once_the_records_are_there_it_goes_on(self) -> None:
        world = apart()
        for image in ("web", "api"):
            for environment in ("dev", "prod"):
                copy_records(world, image, environment)
        assert verify(world.context(), []) == []
        with world.unchanged(), fails("promotion.held", 3):
            world.promote("v1.1.0", to="prod")
        world.through("v1.2.0", "dev", "prod")
        assert set(world.runs("prod").values()) == {"v1.2.0"}

    def test_an_environment_without_records_begins_there(self) -> None:
        world = world_of()
        world.become((POLICY % "").replace("prod:", "stage: , prod:") + APART)
        for image in ("web", "api"):
            for environment in ("dev", "prod"):
                copy_records(world, image, environment)
        world.promote("v1.0.0", to="stage")
        assert set(world.runs("stage").values()) == {"v1.0.0"}
        assert not [tag for tag in world.tags("web") if tag.startswith("_tagflow.stage.")]


def left_behind(outcome: Outcome) -> list[str]:
    return [note for note in outcome.notes if "what was held or frozen there is not here" in note]


def test_an_environment_in_another_registry_leaves_its_holds_behind() -> None:
    world = world_of()
    world.become(POLICY % ", registry: other.test/acme")
    (note,) = left_behind(world.promote("v1.1.0", to="prod"))
    assert note.startswith("web, api: a history of prod stands in registry.test/acme, too: ")
    assert not left_behind(world.promote("v1.0.0", to="prod", override=("downgrades",), reason="back"))


def test_so_does_one_with_another_name() -> None:
    world = world_of()
    world.become((POLICY % "").replace("prod:", "live:"))
    (note,) = left_behind(world.promote("v1.1.0", to="live"))
    assert note.startswith(
        "web, api: a history of prod stands beside it, which the policy does not know. If that was live"
    )
    assert not left_behind(world.promote("v1.0.0", to="live", override=("downgrades",), reason="back"))


@pytest.mark.parametrize("stage", ["stage:", "stage: {registry: other.test/acme}"])
def test_a_new_one_leaves_nothing(stage: str) -> None:
    world = world_of()
    world.become((POLICY % "").replace("prod:", f"{stage}, prod:").replace(": ,", ": {},").replace(":,", ": {},"))
    assert not left_behind(world.promote("v1.0.0", to="stage"))
