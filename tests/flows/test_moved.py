"""A policy that looks elsewhere for a history, or for an environment, than it did, or writes tags otherwise: nothing
that ran or was held is forgotten without a word."""

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


PLAIN = 'tags: {version: "{version}"}\n'
NATURAL = "tags: {versions: natural}\n"


def rewritten() -> World:
    """v1.1.0 runs, v1.2.0 was rolled back, and the policy writes versions without v from now on."""
    world = World(POLICY % "")
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        world.through(version, "dev", "prod")
    world.rollback("prod")
    world.become(POLICY % "" + PLAIN)
    return world


class TestVersionsWrittenOtherwise:
    """Records name versions as their tags were written then."""

    def test_what_runs_is_compared_with_what_comes(self) -> None:
        world = rewritten()
        world.through("0.9.0", "dev")
        with world.unchanged(), fails("promotion.downgrade", 3) as caught:
            world.promote("0.9.0", to="prod")
        assert "web 0.9.0 is lower than v1.1.0, which runs in prod" in caught[0].message
        world.through("1.3.0", "dev", "prod")
        assert set(world.runs("prod").values()) == {"1.3.0"}

    def test_no_lower_one_enters_beside_what_nobody_compares(self) -> None:
        world = rewritten()
        world.become(POLICY % ", lines: major" + PLAIN)
        world.through("0.9.0", "dev", "prod")
        assert set(world.runs("prod").values()) == {"v1.1.0"}
        assert world.tag("web", "0.9.0-prod")

    @pytest.mark.parametrize("version", ["v1.0.0", "1.0.0"])
    def test_what_ran_is_gone_back_to_by_name(self, version: str) -> None:
        world = rewritten()
        world.rollback("prod", version)
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_what_was_taken_back_is_not_said_to_have_never_run(self) -> None:
        world = rewritten()
        with world.unchanged(), fails("version.not_found", 4) as caught:
            world.rollback("prod", "web=1.2.0")
        assert caught[0].message == "web in prod: v1.2.0 was held there, and this policy does not read its tags"
        assert caught[0].hint == "`tagflow push 1.2.0 web=docker://registry.test/acme/web:v1.2.0` takes it over."

    def test_a_hold_is_lifted(self) -> None:
        world = rewritten()
        assert world.cell("web", "prod").holds == ("v1.2.0",)
        world.hold("prod", "1.2.0", lift=True)
        assert world.cell("web", "prod").holds == ()

    def test_what_runs_is_held_with_its_bytes(self) -> None:
        world = rewritten()
        world.hold("prod", "1.1.0")
        held = {hold.version: hold.digest for hold in world.seen("web", "prod").standing.state.holds}
        assert held["1.1.0"] == world.tag("web", "v1.1.0")

    def test_a_name_that_was_held_is_held_still(self) -> None:
        world = rewritten()
        other = world.build("1.2.0", seed="another build")
        with world.unchanged(), fails("tag.immutable", 3):
            world.promote("1.2.0", to="dev")
        for image, digest in other.items():
            world.hand_move(image, "1.2.0-dev", digest)
        with world.unchanged(), fails("promotion.held", 3):
            world.promote("1.2.0", to="prod")

    def test_what_runs_before_is_not_said_to_be_moved_by_hand(self) -> None:
        world = rewritten()
        with world.unchanged(), fails("version.not_found", 4) as caught:
            world.promote("web", to="prod")
        assert "There is v1.2.0, which this policy does not read" in (caught[0].hint or "")

    def test_status_finds_it(self) -> None:
        (row, _) = status(rewritten().context(), ["v1.1.0"])
        assert [cell.version for cell in row.environments if cell.environment == "prod"] == ["v1.1.0"]

    def test_what_is_under_way_is_finished_by_a_command_that_works(self) -> None:
        world = World(POLICY % "")
        world.through("v1.0.0", "dev", "prod")
        world.through("v1.1.0", "dev")
        assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 5)
        world.become(POLICY % "" + PLAIN)
        world.later(hours=1)
        world.build("1.2.0")
        world.promote("1.2.0", to="dev")
        with world.unchanged(), fails("release.interrupted", 5) as caught:
            world.promote("1.2.0", to="prod")
        assert "`tagflow verify prod --repair` finishes it" in (caught[0].hint or "")
        repair(world.context(), [])
        assert set(world.runs("prod").values()) == {"v1.1.0"}

    def test_what_is_no_version_today_was_not_moved_by_hand(self) -> None:
        world = World(POLICY % "" + NATURAL)
        world.through("v2026.02.0", "dev")
        world.become(POLICY % "")
        with world.unchanged(), fails("environment.unrecorded", 5) as caught:
            world.promote("web", to="prod")
        assert caught[0].message == "web in dev runs v2026.02.0, and this policy does not read that as a version"

    def test_what_no_version_can_be_compared_with_is_for_somebody_to_judge(self) -> None:
        """2026.02.0 runs, which SemVer does not read: whether v2.0.0 is lower, nobody can say."""
        world = World(POLICY % "" + NATURAL)
        world.through("v2026.02.0", "dev", "prod")
        world.become(POLICY % "")
        world.through("v2.0.0", "dev")
        with world.unchanged(), fails("version.order", 2) as caught:
            world.promote("v2.0.0", to="prod")
        told = (
            "v2.0.0 cannot be compared with v2026.02.0, which runs in prod: this policy does not read that as a version"
        )
        assert caught[0].message.splitlines() == [f"{image} {told}" for image in ("web", "api")]
        assert "--override downgrades" in (caught[0].hint or "")
        world.promote("v2.0.0", to="prod", override=("downgrades",), reason="other numbers")
        assert set(world.runs("prod").values()) == {"v2.0.0"}


class TestALineThatFloatsNow:
    """v1.0 and v1.1 are releases, and `minor` floats from now on: their tags are what it would write."""

    @staticmethod
    def world() -> World:
        world = World(POLICY % "")
        for version in ("v1.0", "v1.1"):
            world.through(version, "dev", "prod")
        world.become((POLICY % "").replace("[latest]", "[latest, minor]"))
        return world

    def test_moves_no_release(self) -> None:
        world = self.world()
        release = world.tag("web", "v1.1")
        world.through("v1.1.3", "dev")
        outcome = world.promote("v1.1.3", to="prod")
        assert world.tag("web", "v1.1") == release != world.tag("web", "v1.1.3") == world.tag("web", "latest")
        assert "web: v1.1 is a release from before minor floated, so it stays" in outcome.notes
        world.through("v1.2.0", "dev", "prod")
        assert world.tag("web", "v1.2") == world.tag("web", "v1.2.0")
        world.rollback("prod")
        assert world.tag("web", "v1.1") == release

    def test_takes_no_release_along_by_the_name_of_its_image(self) -> None:
        """Not "write v1.1.0": nobody wrote a version, and there is none of that name."""
        world = self.world()
        with world.unchanged(), fails("environment.unrecorded", 5) as caught:
            world.promote("web", to="prod")
        assert caught[0].message == "web in dev runs v1.1, and this policy does not read that as a version"

    def test_leaves_its_releases_to_be_held_and_let_in_again(self) -> None:
        world = self.world()
        release = world.tag("web", "v1.1")
        world.hold("prod", "v1.1.0")
        assert {hold.digest for hold in world.seen("web", "prod").standing.state.holds} == {release}
        world.hold("prod", "v1.1.0", lift=True)
        assert world.cell("web", "prod").holds == ()

    def test_leaves_nothing_to_verify_or_repair(self) -> None:
        world = self.world()
        world.through("v1.1.3", "dev", "prod")
        assert verify(world.context(), []) == []
        with world.unchanged():
            repair(world.context(), [])


def test_what_ran_under_another_combined_tag_did_run() -> None:
    """A combined tag is written before its environment tag moves, and is written otherwise today: where somebody moved
    the environment tag by hand since, a rollback leads to what ran before that."""
    world = World(POLICY % "")
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "prod")
    world.build("v1.2.0")
    for image in ("web", "api"):
        world.hand_move(image, "prod", world.tags(image)["v1.2.0"])
    world.become(POLICY % "" + 'tags: {combined: "{environment}.{version}"}\n')
    world.rollback("prod")
    assert set(world.runs("prod").values()) == {"v1.1.0"}


@pytest.mark.parametrize(("images", "names"), [("{front: web, api: api}", ("api", "front")), ("{api: api}", ("api",))])
class TestAnImageThatIsNamedOtherwiseMeanwhile:
    """v1.1.0 is under way to prod when the policy renames, or drops, one of its images."""

    @staticmethod
    def world(images: str) -> World:
        world = World(POLICY % "")
        world.through("v1.0.0", "dev", "prod")
        world.through("v1.1.0", "dev")
        assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 5)
        world.become((POLICY % "").replace("{web: web, api: api}", images))
        world.later(hours=1)
        return world

    def test_the_command_that_finishes_names_what_there_is(self, images: str, names: tuple[str, ...]) -> None:
        world = self.world(images)
        world.build("v1.2.0")
        world.promote("v1.2.0", to="dev")
        with world.unchanged(), fails("release.interrupted", 5) as caught:
            world.promote("v1.2.0", to="prod")
        targets = " ".join(f"{name}=v1.1.0" for name in names)
        assert f"`tagflow promote {targets} --to prod` finishes it" in (caught[0].hint or "")

    def test_it_is_finished(self, images: str, names: tuple[str, ...]) -> None:
        world = self.world(images)
        world.promote("v1.1.0", to="prod")
        assert world.runs("prod") == dict.fromkeys(names, "v1.1.0")

    def test_repair_finishes_it(self, images: str, names: tuple[str, ...]) -> None:
        world = self.world(images)
        repair(world.context(), [])
        assert world.runs("prod") == dict.fromkeys(names, "v1.1.0")


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
