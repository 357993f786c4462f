"""Rollback: the stack, holds, the last release as a whole, a named version, content proven first."""

from __future__ import annotations

import pytest

from tests import images
from tests.flows.world import POLICY, World, fails

IMAGES = ("frontend", "backend", "worker")


def all_at(version: str | None) -> dict[str, str | None]:
    return dict.fromkeys(IMAGES, version)


@pytest.fixture
def world() -> World:
    """v1.0.0, v1.1.0 and v1.2.0 went to prod."""
    world = World()
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        world.through(version, "dev", "test", "prod")
    return world


def latest(world: World, image: str = "frontend") -> str:
    tags = world.tags(image)
    return next(v for v in ("v1.0.0", "v1.1.0", "v1.2.0", "v2.0.0") if tags.get(v) == tags["latest"])


class TestStack:
    def test_once_twice_and_a_clear_end(self, world: World) -> None:
        assert latest(world) == "v1.2.0"
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.1.0")
        assert latest(world) == "v1.1.0"
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.0.0")
        assert latest(world) == "v1.0.0"
        with world.unchanged(), fails("rollback.nothing", 4):
            world.rollback("prod")

    def test_what_was_popped_is_held(self, world: World) -> None:
        world.rollback("prod")
        world.rollback("prod")
        for image in IMAGES:
            assert world.cell(image, "prod").holds == ("v1.1.0", "v1.2.0")
        for version in ("v1.1.0", "v1.2.0"):
            with world.unchanged(), fails("promotion.held", 3) as caught:
                world.promote(version, to="prod")
            assert "--override hold" in caught[0].hint

    def test_the_override_brings_it_in_again(self, world: World) -> None:
        world.rollback("prod")
        with world.unchanged(), fails("override.reason", 2):
            world.promote("v1.2.0", to="prod", override=("hold",))
        world.promote("v1.2.0", to="prod", override=("hold",), reason="fixed the database")
        assert world.runs("prod") == all_at("v1.2.0")
        assert world.cell("frontend", "prod").holds == ()
        assert latest(world) == "v1.2.0"
        record = world.seen("frontend", "prod").standing.head
        assert record is not None
        assert (record.record.overrides, record.record.reason) == (("hold",), "fixed the database")
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.1.0")

    def test_a_hold_ends_in_whichever_spelling_it_was(self) -> None:
        """The tag by which it was held is gone; another spelling of that version has taken its place."""
        world = World(
            text="""
version: 1
registry: registry.test/acme
images: {frontend: frontend}
environments: {dev: {}, prod: {floating: [latest]}}
"""
        )
        for version in ("v1.0", "v1.1"):
            world.through(version, "dev", "prod")
        world.rollback("prod")
        digest = world.tags("frontend")["v1.1"]
        for suffix in ("", "-dev", "-prod"):
            world.hand_move("frontend", f"v1.1.0{suffix}", digest)
            world.hand_remove("frontend", f"v1.1{suffix}")
        with fails("promotion.held", 3):
            world.promote("v1.1.0", to="prod")
        world.promote("v1.1.0", to="prod", override=("hold",), reason="mended")
        assert world.cell("frontend", "prod").holds == ()
        assert {str(version) for version in world.seen("frontend", "prod").admitted} == {"1.0", "1.1.0"}

    def test_going_back_to_what_a_person_held_says_so(self, world: World) -> None:
        world.hold("prod", "v1.1.0", reason="a hole")
        done = world.rollback("prod")
        told = [note for note in done.notes if "lets it in again" in note]
        assert told == ["v1.1.0 of 3 images was held by ann: a hole; this rollback lets it in again"]
        assert world.cell("frontend", "prod").holds == ("v1.2.0",)

    def test_a_hold_is_of_one_environment(self, world: World) -> None:
        world.rollback("prod")
        world.through("v2.0.0", "dev", "test")
        world.promote("v1.2.0", "frontend=v2.0.0", to="dev")
        assert world.cell("frontend", "dev").holds == ()

    def test_a_held_version_is_not_admitted_further(self, world: World) -> None:
        world.through("v2.0.0", "dev", "test")
        world.rollback("test")
        with world.unchanged(), fails("promotion.order", 3) as caught:
            world.promote("v2.0.0", to="prod")
        assert "rolled back" in caught[0].message

    def test_a_new_version_after_a_rollback(self, world: World) -> None:
        world.rollback("prod")
        world.through("v2.0.0", "dev", "test", "prod")
        assert world.stack("frontend", "prod") == ["v1.0.0", "v1.1.0", "v2.0.0"]
        assert world.cell("frontend", "prod").holds == ("v1.2.0",)
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.1.0")

    def test_one_version_twice_in_the_stack(self, world: World) -> None:
        world.promote("v1.0.0", to="prod")
        assert world.stack("frontend", "prod") == ["v1.0.0", "v1.1.0", "v1.2.0", "v1.0.0"]
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.2.0")
        assert world.cell("frontend", "prod").holds == ("v1.0.0",)
        world.rollback("prod", "v1.0.0")
        assert world.stack("frontend", "prod") == ["v1.0.0"]
        assert world.cell("frontend", "prod").holds == ("v1.1.0", "v1.2.0")

    def test_version_and_combined_tags_stay(self, world: World) -> None:
        before = {tag for tag in world.tags("frontend") if tag.startswith("v1.2.0")}
        world.rollback("prod")
        assert before <= set(world.tags("frontend"))

    def test_since_is_when_the_present_stay_began(self, world: World) -> None:
        first = world.cell("frontend", "prod").since
        world.later(days=1)
        world.rollback("prod")
        since = world.cell("frontend", "prod").since
        assert first is not None
        assert since is not None
        assert (since - first).total_seconds() >= 86400

    def test_rules_do_not_apply(self, world: World) -> None:
        freeze = "freeze: [{days: [mon, tue, wed, thu, fri, sat, sun], timezone: UTC}]"
        gate = "gates: [{name: never, run: 'false'}]"
        world.become(world.text.replace("prod: {downgrades: allow,", f"prod: {{{freeze}, {gate}, soak: 24h,"))
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.1.0")

    def test_an_empty_environment(self) -> None:
        world = World()
        with world.unchanged(), fails("rollback.nothing", 4):
            world.rollback("prod")
        with world.unchanged(), fails("rollback.nothing", 4):
            world.rollback("prod", "frontend")
        with world.unchanged(), fails("environment.not_found", 4):
            world.rollback("prd")


class TestLastRelease:
    def test_the_lone_one_first_then_both(self) -> None:
        world = World()
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v1.1.0", "dev", "test")
        world.promote("frontend=v1.1.0", "backend=v1.1.0", to="prod")
        world.through("v1.2.0", "dev", "test")
        world.promote("backend=v1.2.0", to="prod")
        world.rollback("prod")
        assert world.runs("prod") == {"frontend": "v1.1.0", "backend": "v1.1.0", "worker": "v1.0.0"}
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.0.0")

    def test_a_member_that_moved_on_stays(self) -> None:
        world = World()
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v1.1.0", "dev", "test", "prod")
        world.through("v1.2.0", "dev", "test")
        world.promote("backend=v1.2.0", to="prod")
        world.rollback("prod", "frontend")
        world.rollback("prod")
        assert world.runs("prod") == {"frontend": "v1.0.0", "backend": "v1.1.0", "worker": "v1.1.0"}
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.0.0")

    def test_a_member_without_a_predecessor(self) -> None:
        world = World()
        world.build("v1.0.0")
        for environment in ("dev", "test", "prod"):
            world.promote("frontend=v1.0.0", "backend=v1.0.0", to=environment)
        world.through("v1.1.0", "dev", "test", "prod")
        with world.unchanged(), fails("rollback.nothing", 4) as caught:
            world.rollback("prod")
        assert "worker" in caught[0].message
        assert "tagflow rollback prod frontend backend" in caught[0].hint
        world.rollback("prod", "frontend", "backend")
        assert world.runs("prod") == {"frontend": "v1.0.0", "backend": "v1.0.0", "worker": "v1.1.0"}

    @pytest.mark.parametrize(
        ("targets", "code", "others"),
        [
            (("frontend", "worker"), "rollback.nothing", ("frontend",)),
            (("v1.0.0",), "version.not_found", ("frontend=v1.0.0", "backend=v1.0.0")),
            (("frontend=1.0.0", "worker"), "rollback.nothing", ("frontend=v1.0.0",)),
            (("worker",), "rollback.nothing", ()),
            (("backend=v1.1.0", "worker"), "rollback.nothing", ()),  # which runs already
        ],
    )
    def test_a_named_one_without_a_predecessor(
        self, targets: tuple[str, ...], code: str, others: tuple[str, ...]
    ) -> None:
        world = World()
        world.build("v1.0.0")
        for environment in ("dev", "test", "prod"):
            world.promote("frontend=v1.0.0", "backend=v1.0.0", to=environment)
        world.through("v1.1.0", "dev", "test", "prod")
        with world.unchanged(), fails(code, 4) as caught:
            world.rollback("prod", *targets)
        assert "tagflow history prod worker" in caught[0].hint
        assert ("others alone" in caught[0].hint) == bool(others)
        if others:
            assert f"`tagflow rollback prod {' '.join(others)}`" in caught[0].hint
            world.rollback("prod", *others)

    def test_two_last_releases_of_one_number(self) -> None:
        """Two promoters at once, each with its own image: both count from what they saw."""
        world = World()
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v1.1.0", "dev", "test")
        one = world.propose_promote("frontend=v1.1.0", to="prod")
        two = world.propose_promote("backend=v1.1.0", to="prod")
        world.carry_out(one)
        world.carry_out(two)
        with world.unchanged(), fails("rollback.ambiguous", 5) as caught:
            world.rollback("prod")
        assert "frontend" in caught[0].message
        assert "backend" in caught[0].message
        world.rollback("prod", "frontend")
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.0.0")

    def test_two_last_releases_of_many_images_are_told_shortly(self) -> None:
        """The details have all of them, and so have the commands, which work when they are typed."""
        names = [f"app{number}" for number in range(12)]
        world = World(POLICY.replace("frontend: frontend", ", ".join(f"{name}: {name}" for name in names)))
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v1.1.0", "dev", "test")
        one = world.propose_promote(*(f"{name}=v1.1.0" for name in names), to="prod")
        two = world.propose_promote("backend=v1.1.0", to="prod")
        world.carry_out(one)
        world.carry_out(two)
        with world.unchanged(), fails("rollback.ambiguous", 5) as caught:
            world.rollback("prod")
        assert ": app0, app1, app2 and 9 more; release" in caught[0].message
        assert [it["images"] for it in caught[0].details] == [names, ["backend"]]
        assert f"`tagflow rollback prod {' '.join(names)}`" in caught[0].hint

    def test_release_numbers_count_over_all_images(self) -> None:
        world = World()
        world.through("v1.0.0", "dev", "test")
        world.promote("frontend=v1.0.0", to="prod")
        world.promote("backend=v1.0.0", to="prod")
        numbers = {
            image: entry.record.release.number
            for image in ("frontend", "backend")
            if (entry := world.seen(image, "prod").standing.head)
        }
        assert numbers == {"frontend": 1, "backend": 2}

    def test_members_are_in_the_record(self, world: World) -> None:
        head = world.seen("frontend", "prod").standing.head
        assert head is not None
        assert set(head.record.intent.of(IMAGES)) == set(IMAGES)


class TestNamed:
    def test_a_version_pops_to_its_place(self, world: World) -> None:
        world.rollback("prod", "v1.0.0")
        assert world.runs("prod") == all_at("v1.0.0")
        assert world.cell("frontend", "prod").holds == ("v1.1.0", "v1.2.0")
        assert world.stack("frontend", "prod") == ["v1.0.0"]

    def test_one_image(self, world: World) -> None:
        world.rollback("prod", "backend=v1.0.0")
        assert world.runs("prod") == {**all_at("v1.2.0"), "backend": "v1.0.0"}
        world.rollback("prod", "frontend")
        assert world.runs("prod") == {"frontend": "v1.1.0", "backend": "v1.0.0", "worker": "v1.2.0"}

    def test_other_spellings(self, world: World) -> None:
        world.rollback("prod", "1.1.0")
        assert world.runs("prod") == all_at("v1.1.0")

    def test_a_popped_one_is_pushed_again(self, world: World) -> None:
        world.rollback("prod", "v1.0.0")
        world.rollback("prod", "v1.2.0")
        assert world.runs("prod") == all_at("v1.2.0")
        assert world.stack("frontend", "prod") == ["v1.0.0", "v1.2.0"]
        assert world.cell("frontend", "prod").holds == ("v1.1.0",)
        assert latest(world) == "v1.2.0"
        world.promote("v1.2.0", to="prod")
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.0.0")

    def test_what_never_ran_there(self, world: World) -> None:
        world.through("v2.0.0", "dev", "test")
        for target in ("v2.0.0", "v3.0.0", "frontend=v2.0.0"):
            with world.unchanged(), fails("version.not_found", 4):
                world.rollback("prod", target)

    def test_what_runs_is_nothing_to_do(self, world: World) -> None:
        with world.unchanged():
            world.rollback("prod", "v1.2.0")

    def test_one_that_cannot_go_keeps_all(self, world: World) -> None:
        world.through("v2.0.0", "dev", "test")
        world.promote("frontend=v2.0.0", to="prod")
        world.rollback("prod")
        with world.unchanged(), fails("version.not_found", 4):
            world.rollback("prod", "v2.0.0")

    def test_unknown_and_empty_targets(self, world: World) -> None:
        with world.unchanged(), fails("image.not_found", 4):
            world.rollback("prod", "frontent")
        with world.unchanged(), fails("target.missing", 2):
            world.rollback("prod", "")

    def test_an_abandoned_version_never_ran_there(self, world: World) -> None:
        world.through("v2.0.0", "dev", "test")
        for write in range(4, 8):
            twin = world.copy()
            assert twin.crash(lambda: twin.promote("v2.0.0", to="prod"), write)  # noqa: B023
            assert "interrupted" in twin.states("prod").values()
            twin.rollback("prod")
            with twin.unchanged(), fails("version.not_found", 4):
                twin.rollback("prod", "v2.0.0")


class TestContent:
    def test_a_missing_child(self, world: World) -> None:
        repository = world.repository("backend")
        store = world.memory.open(repository)
        child = store.get("v1.1.0").children[1].digest
        world.memory.forget(repository, child)
        with world.unchanged(), fails("content.missing", 4) as caught:
            world.rollback("prod")
        assert child in caught[0].message
        assert "backend" in caught[0].message

    def test_a_missing_layer(self, world: World) -> None:
        repository = world.repository("backend")
        store = world.memory.open(repository)
        layer = store.get(store.get("v1.1.0").children[0].digest).blobs[-1].digest
        world.memory.forget(repository, layer)
        with world.unchanged(), fails("content.missing", 4) as caught:
            world.rollback("prod")
        assert layer in caught[0].message

    def test_a_missing_manifest(self, world: World) -> None:
        repository = world.repository("backend")
        digest = world.tags("backend")["v1.1.0"]
        for tag in [tag for tag, it in world.tags("backend").items() if it == digest]:
            world.hand_remove("backend", tag)
        world.memory.forget(repository, digest)
        with world.unchanged(), fails("content.missing", 4) as caught:
            world.rollback("prod")
        assert digest in caught[0].message
        world.rollback("prod", "v1.0.0")
        assert world.runs("prod") == all_at("v1.0.0")

    def test_a_combined_tag_that_was_removed_does_not_matter(self, world: World) -> None:
        world.hand_remove("backend", "v1.1.0-prod")
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.1.0")


class TestHandMoves:
    def test_it_is_adopted_and_undone(self, world: World) -> None:
        stray = images.index(world.memory.open(world.repository("frontend")), seed="stray").digest
        world.hand_move("frontend", "prod", stray)
        world.rollback("prod")
        assert world.runs("prod") == all_at("v1.2.0")
        assert [it[0] for it in world.records("frontend", "prod")][-2:] == ["adopt", "rollback"]

    def test_it_can_be_returned_to(self, world: World) -> None:
        world.through("v2.0.0", "dev", "test")
        stray = images.index(world.memory.open(world.repository("frontend")), seed="stray").digest
        world.hand_move("frontend", "prod", stray)
        world.promote("frontend=v2.0.0", to="prod")
        world.rollback("prod")
        assert world.tag("frontend", "prod") == stray

    def test_moved_by_hand_to_what_the_stack_has(self, world: World) -> None:
        world.hand_move("frontend", "prod", world.tags("frontend")["v1.0.0"])
        assert world.cell("frontend", "prod").state == "unrecorded"
        world.rollback("prod", "frontend=v1.0.0")
        assert world.runs("prod")["frontend"] == "v1.0.0"
        assert world.cell("frontend", "prod").state == "recorded"


class TestFloating:
    def test_a_backport_takes_its_own_lines_only(self) -> None:
        world = World()
        world.through("v1.1.0", "dev", "test", "prod")
        world.through("v2.0.0", "dev", "test", "prod")
        world.through("v1.1.9", "dev", "test", "prod")
        tags = world.tags("frontend")
        stands = {tag: tags[tag] for tag in ("prod", "latest", "v2", "v2.0", "v1", "v1.1")}
        assert stands == {
            "prod": tags["v1.1.9"],
            "latest": tags["v2.0.0"],
            "v2": tags["v2.0.0"],
            "v2.0": tags["v2.0.0"],
            "v1": tags["v1.1.9"],
            "v1.1": tags["v1.1.9"],
        }
        world.rollback("prod")
        tags = world.tags("frontend")
        assert tags["prod"] == tags["latest"] == tags["v2.0.0"]
        assert tags["v1"] == tags["v1.1"] == tags["v1.1.0"]

    def test_a_prerelease_never_wins(self) -> None:
        world = World()
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v2.0.0-rc.1", "dev", "test", "prod")
        tags = world.tags("frontend")
        assert tags["prod"] == tags["v2.0.0-rc.1"]
        assert tags["latest"] == tags["v1.0.0"]
        assert "v2" not in tags
        assert "v2.0" not in tags

    def test_a_line_without_a_winner_keeps_its_tag(self) -> None:
        world = World()
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v2.0.0", "dev", "test", "prod")
        world.rollback("prod")
        tags = world.tags("frontend")
        assert tags["latest"] == tags["v1.0.0"]
        assert tags["v2"] == tags["v2.0"] == tags["v2.0.0"]

    def test_an_older_version_that_was_admitted_wins_again(self) -> None:
        world = World()
        for version in ("v1.0.0", "v1.0.2", "v1.0.1"):
            world.through(version, "dev", "test", "prod")
        tags = world.tags("frontend")
        assert tags["v1.0"] == tags["latest"] == tags["v1.0.2"]
        world.rollback("prod", "v1.0.0")
        tags = world.tags("frontend")
        assert tags["v1.0"] == tags["latest"] == tags["v1.0.0"]
        world.rollback("prod", "v1.0.1")
        tags = world.tags("frontend")
        assert tags["v1.0"] == tags["latest"] == tags["v1.0.1"]

    def test_only_the_environment_that_owns_them_moves_them(self) -> None:
        world = World()
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v1.1.0", "dev", "test")
        tags = world.tags("frontend")
        assert tags["latest"] == tags["v1.0.0"]
