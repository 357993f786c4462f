"""Promotion: order, targets, where the image comes from, what is written."""

from __future__ import annotations

import pytest

from tagflow.domain.own_tags import pin_tag
from tagflow.domain.reference import Digest
from tests import images
from tests.flows.world import World, fails

TWO_ROADS = """
version: 1
registry: registry.test/acme
images: {frontend: frontend, backend: back_end}
environments:
  dev: {}
  blue: {from: [dev]}
  green: {from: [dev]}
  prod: {from: [blue, green], downgrades: allow}
"""

FAR = """
version: 1
registry: registry.test/acme
images: {frontend: frontend, backend: back_end}
environments:
  dev: {}
  prod: {registry: far.test/prod, downgrades: allow, floating: [latest]}
"""


@pytest.fixture
def world() -> World:
    return World()


class TestOrder:
    def test_a_version_passes_through_in_order_with_one_digest(self, world: World) -> None:
        built = world.build("v1.0.0")
        for environment in ("dev", "test", "prod"):
            world.promote("v1.0.0", to=environment)
        for image, digest in built.items():
            tags = world.tags(image)
            names = ("v1.0.0", "v1.0.0-dev", "v1.0.0-test", "v1.0.0-prod", "dev", "test", "prod", "latest", "v1")
            assert {tags[name] for name in names} == {digest}
            assert world.runs("prod")[image] == "v1.0.0"

    def test_dev_straight_to_prod_is_refused(self, world: World) -> None:
        world.through("v1.0.0", "dev")
        with world.unchanged(), fails("promotion.order", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "test" in caught[0].message
        assert "--to test" in caught[0].hint

    def test_a_version_tag_alone_admits_to_nothing(self, world: World) -> None:
        world.build("v1.0.0")
        with world.unchanged(), fails("promotion.order", 3):
            world.promote("v1.0.0", to="test")

    def test_an_unpushed_version(self, world: World) -> None:
        with world.unchanged(), fails("version.not_found", 4):
            world.promote("v1.0.0", to="dev")
        with world.unchanged(), fails("version.not_found", 4):
            world.promote("v1.0.0", to="prod")

    def test_one_image_that_cannot_go_keeps_all(self, world: World) -> None:
        world.build("v1.0.0")
        world.promote("frontend=v1.0.0", "backend=v1.0.0", to="dev")
        with world.unchanged(), fails("promotion.order", 3) as caught:
            world.promote("v1.0.0", to="test")
        assert "worker" in caught[0].message

    def test_not_found_outranks_order(self, world: World) -> None:
        world.build("v1.0.0", "frontend")
        with world.unchanged(), fails("version.not_found", 4) as caught:
            world.promote("frontend=v1.0.0", "backend=v1.0.0", to="test")
        assert "frontend" in caught[0].message
        assert "backend" in caught[0].message

    def test_unknown_names(self, world: World) -> None:
        with fails("environment.not_found", 4) as caught:
            world.promote("v1.0.0", to="prd")
        assert "prod" in caught[0].hint
        with fails("image.not_found", 4) as caught:
            world.promote("frontent=v1.0.0", to="dev")
        assert "frontend" in caught[0].hint
        with fails("environment.not_found", 4):
            world.promote("v1.0.0", to="prod", from_="stagin")

    def test_a_promotion_again_is_nothing_to_do(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test")
        with world.unchanged():
            outcome = world.promote("v1.0.0", to="test")
        assert outcome.applied
        assert {move.action for move in outcome.plan.moves} == {"keep"}

    def test_a_version_stays_admitted_after_the_next_came(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test")
        world.through("v1.1.0", "dev", "test")
        world.promote("v1.0.0", to="prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_a_combined_tag_counts_where_there_are_no_records(self, world: World) -> None:
        built = world.build("v1.0.0")
        for image, digest in built.items():
            world.hand_move(image, "v1.0.0-dev", digest)
        world.promote("v1.0.0", to="test")
        assert set(world.runs("test").values()) == {"v1.0.0"}


class TestFrom:
    @pytest.fixture
    def world(self) -> World:
        return World(TWO_ROADS)

    def test_any_one_of_several_admits(self, world: World) -> None:
        world.through("v1.0.0", "dev", "green")
        world.promote("v1.0.0", to="prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_an_environment_that_is_not_in_from(self, world: World) -> None:
        world.through("v1.0.0", "dev")
        with world.unchanged(), fails("promotion.order", 3):
            world.promote("v1.0.0", to="prod")
        with world.unchanged(), fails("promotion.order", 3):
            world.promote("v1.0.0", to="prod", from_="dev")

    def test_names_where_they_disagree_need_from(self, world: World) -> None:
        world.through("v1.0.0", "dev", "blue", "green")
        world.through("v1.1.0", "dev", "green")
        with world.unchanged(), fails("promotion.from_ambiguous", 2) as caught:
            world.promote("frontend", to="prod")
        assert caught[0].hint == "Choose where from: blue or green."
        with world.unchanged(), fails("promotion.from_ambiguous", 2):
            world.promote(everything=True, to="prod")
        world.promote("frontend", to="prod", from_="blue")
        world.promote("backend", to="prod", from_="green")
        assert world.runs("prod") == {"frontend": "v1.0.0", "backend": "v1.1.0"}

    def test_where_they_agree_none_is_needed(self, world: World) -> None:
        world.through("v1.0.0", "dev", "blue", "green")
        world.promote(everything=True, to="prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_from_narrows_where_it_must_be_admitted(self, world: World) -> None:
        world.through("v1.0.0", "dev", "green")
        with world.unchanged(), fails("promotion.order", 3):
            world.promote("v1.0.0", to="prod", from_="blue")


class TestTargets:
    def test_none_at_all(self, world: World) -> None:
        with world.unchanged(), fails("target.missing", 2):
            world.promote(to="test")

    def test_an_empty_one(self, world: World) -> None:
        for empty in ("", " "):
            with world.unchanged(), fails("target.missing", 2):
                world.promote(empty, to="test")
            with world.unchanged(), fails("target.missing", 2):
                world.promote("frontend", empty, to="test")

    @pytest.mark.parametrize("target", ["frontend=", "=v1.0.0", "="])
    def test_half_of_one(self, world: World, target: str) -> None:
        with world.unchanged(), fails("target.invalid", 2):
            world.promote(target, to="test")

    def test_two_versions(self, world: World) -> None:
        with world.unchanged(), fails("target.invalid", 2):
            world.promote("v1.0.0", "v1.1.0", to="test")

    def test_one_image_twice(self, world: World) -> None:
        with world.unchanged(), fails("target.invalid", 2):
            world.promote("frontend=v1.0.0", "frontend=v1.1.0", to="test")
        with world.unchanged(), fails("target.invalid", 2):
            world.promote("frontend", "frontend=v1.1.0", to="test")

    def test_all_with_a_target(self, world: World) -> None:
        with world.unchanged(), fails("target.invalid", 2):
            world.promote("v1.0.0", everything=True, to="test")

    def test_neither_version_nor_image(self, world: World) -> None:
        with world.unchanged(), fails("image.not_found", 4):
            world.promote("latest", to="test")

    def test_a_version_for_all_and_another_for_one(self, world: World) -> None:
        world.through("v1.0.0", "dev")
        world.through("v1.2.0", "dev")
        world.promote("v1.0.0", "backend=v1.2.0", to="test")
        assert world.runs("test") == {"frontend": "v1.0.0", "backend": "v1.2.0", "worker": "v1.0.0"}

    def test_a_name_means_what_from_runs(self, world: World) -> None:
        world.through("v1.0.0", "dev")
        world.build("v1.1.0")
        world.promote("frontend=v1.1.0", to="dev")
        world.promote("frontend", to="test")
        assert world.runs("test") == {"frontend": "v1.1.0", "backend": None, "worker": None}

    def test_a_name_that_from_does_not_run(self, world: World) -> None:
        with world.unchanged(), fails("environment.empty", 4):
            world.promote("frontend", to="test")

    def test_all_skips_what_is_empty_and_says_so(self, world: World) -> None:
        world.build("v1.0.0")
        world.promote("frontend=v1.0.0", "backend=v1.0.0", to="dev")
        decision = world.propose_promote(everything=True, to="test")
        assert any("worker" in note for note in decision.decision.notes)
        world.carry_out(decision)
        assert world.runs("test") == {"frontend": "v1.0.0", "backend": "v1.0.0", "worker": None}

    def test_all_where_everything_is_empty(self, world: World) -> None:
        with world.unchanged(), fails("environment.empty", 4):
            world.promote(everything=True, to="test")

    def test_names_in_the_first_environment_have_no_source(self, world: World) -> None:
        world.build("v1.0.0")
        with world.unchanged(), fails("target.invalid", 2):
            world.promote("frontend", to="dev")
        with world.unchanged(), fails("target.invalid", 2):
            world.promote(everything=True, to="dev")


class TestSpelling:
    def test_the_v_is_optional(self, world: World) -> None:
        world.build("v1.0.0")
        world.promote("1.0.0", to="dev")
        assert set(world.runs("dev").values()) == {"v1.0.0"}

    def test_the_existing_spelling_wins(self) -> None:
        world = World("version: 1\nregistry: r.test\nimages: {web: web}\nenvironments: {dev: {}, prod: {}}\n")
        world.build("v1.0")
        world.promote("v1.0.0", to="dev")
        world.promote("1.0.0", to="prod")
        assert world.runs("prod") == {"web": "v1.0"}
        assert "v1.0.0" not in world.tags("web")
        assert "v1.0.0-prod" not in world.tags("web")

    def test_two_spellings_on_different_digests(self) -> None:
        world = World("version: 1\nregistry: r.test\nimages: {web: web}\nenvironments: {dev: {}, prod: {}}\n")
        world.build("v1.0")
        world.build("v1.0.0")
        world.build("v1.1")
        for version in ("v1.0", "v1.0.0", "1.0"):
            with world.unchanged(), fails("version.spelling", 5) as caught:
                world.promote(version, to="dev")
            assert "v1.0 " in caught[0].message
            assert "v1.0.0 " in caught[0].message
        world.promote("v1.1", to="dev")

    def test_two_spellings_on_one_digest_are_no_error(self) -> None:
        world = World("version: 1\nregistry: r.test\nimages: {web: web}\nenvironments: {dev: {}, prod: {}}\n")
        world.build("v1.0", seed="same")
        world.build("v1.0.0", seed="same")
        world.promote("v1.0", to="dev")
        world.promote("v1.0", to="prod")
        assert world.runs("prod") == {"web": "v1.0"}

    def test_fewer_parts_than_a_floating_tag(self, world: World) -> None:
        for version in ("v1.0", "v1", "1.2"):
            with world.unchanged(), fails("version.precision", 2):
                world.promote(version, to="dev")

    def test_a_floating_tag_is_never_the_release_that_ends_in_zeros(self, world: World) -> None:
        """``v1`` may stand at v1.9.3: whoever types it does not mean v1.0.0."""
        world.build("v1.0.0")
        for target in ("v1.0", "v1", "frontend=v1.0", "frontend=1"):
            with world.unchanged(), fails("version.precision", 2) as caught:
                world.promote(target, to="dev")
            assert caught[0].hint == "Write v1.0.0."

    def test_ambiguous_versions(self, world: World) -> None:
        for version in ("v1.0.0-dev", "1.0.0-rc.1-prod"):
            with world.unchanged(), fails("version.ambiguous", 2):
                world.promote(version, to="dev")

    def test_build_metadata_is_written_with_an_underscore(self, world: World) -> None:
        world.build("v1.2.3_linux.5")
        world.promote("1.2.3+linux.5", to="dev")
        assert set(world.tags("frontend")) >= {"v1.2.3_linux.5", "v1.2.3_linux.5-dev", "dev"}
        assert world.runs("dev")["frontend"] == "v1.2.3_linux.5"


class TestImmutable:
    def test_a_combined_tag_at_another_digest(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test")
        other = world.build("v1.1.0")["frontend"]
        world.hand_move("frontend", "v1.0.0-prod", other)
        with world.unchanged(), fails("tag.immutable", 3) as caught:
            world.promote("v1.0.0", to="prod")
        assert "v1.0.0-prod" in caught[0].message

    def test_a_name_that_was_given_is_not_given_again_though_its_tags_are_gone(self, world: World) -> None:
        """As after a cleanup that removes what is old by the tag, or archives it: the history knows what v1.0.0 was."""
        first = world.build("v1.0.0")
        for version in ("v1.0.0", "v1.1.0"):
            world.through(version, "dev", "test")
        for image in first:
            for tag in ("v1.0.0", "v1.0.0-dev", "v1.0.0-test"):
                world.hand_remove(image, tag)
        others = world.build("v1.0.0", seed="another build")
        with world.unchanged(), fails("tag.immutable", 3) as caught:
            world.promote("v1.0.0", to="dev")
        assert f"v1.0.0 is {first['frontend']} in the history of dev" in caught[0].message
        assert str(others["frontend"]) in caught[0].message
        for image, digest in first.items():
            world.hand_move(image, "v1.0.0", digest)
        world.promote("v1.0.0", to="dev")
        assert world.runs("dev")["frontend"] == "v1.0.0"

    def test_no_override_moves_it(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test")
        world.hand_move("frontend", "v1.0.0-prod", world.build("v1.1.0")["frontend"])
        with world.unchanged(), fails("tag.immutable", 3):
            world.promote("v1.0.0", to="prod", override=("hold", "soak", "freeze", "downgrades"), reason="really")

    def test_a_combined_tag_at_the_wanted_digest_is_kept(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test")
        world.hand_move("frontend", "v1.0.0-prod", world.tags("frontend")["v1.0.0"])
        outcome = world.promote("v1.0.0", to="prod")
        kept = {move.tag for move in outcome.plan.moves if move.image == "frontend" and move.action == "keep"}
        assert "v1.0.0-prod" in kept

    def test_version_and_combined_tag_that_differ(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test")
        world.hand_move("frontend", "v1.0.0", world.build("v1.1.0")["frontend"])
        with world.unchanged(), fails("tag.conflict", 5) as caught:
            world.promote("v1.0.0", to="prod")
        assert "v1.0.0-test" in caught[0].message

    def test_a_version_tag_that_moved_under_the_first_environment(self, world: World) -> None:
        world.through("v1.0.0", "dev")
        world.hand_move("frontend", "v1.0.0", world.build("v1.1.0")["frontend"])
        with world.unchanged(), fails("tag.immutable", 3):
            world.promote("v1.0.0", to="dev")

    def test_a_version_tag_that_is_gone_is_made_again(self, world: World) -> None:
        digest = world.build("v1.0.0")["frontend"]
        world.promote("v1.0.0", to="dev")
        world.hand_remove("frontend", "v1.0.0")
        world.promote("v1.0.0", to="test")
        assert world.tag("frontend", "v1.0.0") == digest


class TestPins:
    def test_a_hand_made_digest_is_pinned_when_it_is_left(self, world: World) -> None:
        world.through("v1.0.0", "dev")
        stray = images.index(world.memory.open(world.repository("frontend")), seed="stray").digest
        world.hand_move("frontend", "dev", stray)
        world.through("v1.1.0", "dev")
        assert world.tag("frontend", pin_tag(stray)) == stray

    def test_what_a_combined_tag_holds_needs_none(self, world: World) -> None:
        world.through("v1.0.0", "dev")
        world.through("v1.1.0", "dev")
        assert not [tag for tag in world.tags("frontend") if tag.startswith("_tagflow.pin")]

    def test_the_combined_tag_of_another_version_holds_it_as_well(self, world: World) -> None:
        """A combined tag of *this* environment: another environment's may live under another retention rule."""
        world.through("v1.0.0", "dev", "test")
        world.hand_remove("frontend", "v1.0.0-test")
        left = world.tags("frontend")["test"]
        world.through("v1.1.0", "dev", "test")
        held = {tag for tag, digest in world.tags("frontend").items() if digest == left}
        assert held & {pin_tag(left), "v1.0.0-test"}

    def test_on_every_way_out(self, world: World) -> None:
        """No write of an environment tag leaves a digest that neither a combined tag nor a pin holds."""
        strays: list[Digest] = []

        def watch(operation: str, repository: object, tag: str) -> None:
            if operation in ("move", "untag") and tag in ("dev", "test", "prod"):
                tags = next(tags for name, tags in world.memory.snapshot().items() if name == repository)
                left = tags.get(tag)
                held = {digest for name, digest in tags.items() if "-" in name or "pin" in name}
                if left is not None and left not in held:
                    strays.append(left)

        with world.hooked(before=watch):
            world.through("v1.0.0", "dev", "test", "prod")
            world.through("v1.1.0", "dev", "test", "prod")
            stray = images.index(world.memory.open(world.repository("backend")), seed="stray").digest
            world.hand_move("backend", "prod", stray)
            world.rollback("prod")
            stray = images.index(world.memory.open(world.repository("backend")), seed="another").digest
            world.hand_move("backend", "prod", stray)
            world.promote("v1.1.0", to="prod")
            world.rollback("prod", "v1.0.0")
        assert not strays


class TestAdoption:
    def test_a_repository_that_never_saw_tagflow(self, world: World) -> None:
        old = world.build("v1.0.0")
        for image, digest in old.items():
            world.hand_move(image, "prod", digest)
        assert set(world.states("prod").values()) == {"unrecorded"}
        assert set(world.runs("prod").values()) == {None}
        world.through("v1.1.0", "dev", "test", "prod")
        assert world.records("frontend", "prod") == [("adopt", "v1.0.0", None), ("promote", "v1.1.0", "v1.0.0")]
        world.rollback("prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}
        assert world.tag("frontend", "prod") == old["frontend"]

    def test_a_move_by_hand_is_adopted(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test", "prod")
        stray = images.index(world.memory.open(world.repository("frontend")), seed="stray").digest
        world.hand_move("frontend", "prod", stray)
        assert world.cell("frontend", "prod").state == "unrecorded"
        assert world.cell("frontend", "prod").version is None
        assert world.cell("frontend", "prod").digest == stray
        world.through("v1.1.0", "dev", "test", "prod")
        assert [it[0] for it in world.records("frontend", "prod")] == ["promote", "adopt", "promote"]
        assert [it[0] for it in world.records("backend", "prod")] == ["promote", "promote"]
        world.rollback("prod")
        assert world.tag("frontend", "prod") == stray
        assert world.runs("prod") == {"frontend": None, "backend": "v1.0.0", "worker": "v1.0.0"}
        assert world.cell("frontend", "prod").state == "recorded"
        world.rollback("prod", "frontend")
        assert world.runs("prod")["frontend"] == "v1.0.0"

    def test_promoting_what_stands_there_by_hand(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v1.1.0", "dev", "test")
        world.hand_move("frontend", "prod", world.tags("frontend")["v1.1.0"])
        world.promote("v1.1.0", to="prod")
        assert set(world.runs("prod").values()) == {"v1.1.0"}
        assert set(world.states("prod").values()) == {"recorded"}

    def test_a_removed_environment_tag(self, world: World) -> None:
        world.through("v1.0.0", "dev", "test", "prod")
        world.hand_remove("frontend", "prod")
        assert world.cell("frontend", "prod").state in ("unrecorded", "interrupted")


def test_floating_tags_that_leave_what_is_held_are_in_the_plan() -> None:
    """What runs was put on hold: to promote it again brings nothing in, and is no "nothing to do" either."""
    world = World()
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "test", "prod")
    world.hold("prod", "v1.1.0")
    outcome = world.promote("v1.1.0", to="prod")
    moved = {(move.tag, move.after) for move in outcome.plan.moves if move.action != "keep" and move.image == "worker"}
    assert moved == {(tag, world.tag("worker", "v1.0.0")) for tag in ("latest", "v1")}
    assert world.tag("worker", "latest") == world.tag("worker", "v1.0.0")
    assert set(world.runs("prod").values()) == {"v1.1.0"}
    with world.unchanged():
        world.promote("v1.1.0", to="prod")


class TestRegistries:
    """An environment may live in a registry of its own."""

    @pytest.fixture
    def world(self) -> World:
        return World(FAR)

    def test_the_version_tag_is_created_there_too(self, world: World) -> None:
        built = world.build("v1.0.0")
        world.promote("v1.0.0", to="dev")
        outcome = world.promote("v1.0.0", to="prod")
        for image, digest in built.items():
            there = {tag: it for tag, it in world.tags(image, "prod").items() if not tag.startswith("_")}
            assert there == dict.fromkeys(("v1.0.0", "v1.0.0-prod", "prod", "latest"), digest)
            here = {tag for tag in world.tags(image) if not tag.startswith("_")}
            assert here == {"v1.0.0", "v1.0.0-dev", "dev"}
        assert {move.repository for move in outcome.plan.moves} == {"far.test/prod/frontend", "far.test/prod/back_end"}

    def test_the_whole_tree_travels(self, world: World) -> None:
        world.through("v1.0.0", "dev", "prod")
        store = world.memory.open(world.repository("frontend", "prod"))
        top = store.get("prod")
        assert len(top.children) == 2
        for child in top.children:
            manifest = store.get(child.digest)
            assert all(store.has_blob(blob.digest) for blob in manifest.blobs)

    def test_records_live_with_the_environment(self, world: World) -> None:
        world.through("v1.0.0", "dev", "prod")
        here = {tag.split(".")[1] for tag in world.tags("frontend") if tag.startswith("_")}
        there = {tag.split(".")[1] for tag in world.tags("frontend", "prod") if tag.startswith("_")}
        assert (here, there) == ({"dev"}, {"prod"})

    def test_another_digest_under_the_version_there(self, world: World) -> None:
        world.through("v1.0.0", "dev")
        far = images.index(world.memory.open(world.repository("frontend", "prod")), seed="other", tag="v1.0.0")
        with fails("tag.immutable", 3):
            world.promote("v1.0.0", to="prod")
        assert world.tag("frontend", "v1.0.0", "prod") == far.digest
        assert world.tag("frontend", "prod", "prod") is None

    def test_rollback_reads_only_its_own_registry(self, world: World) -> None:
        world.through("v1.0.0", "dev", "prod")
        world.through("v1.1.0", "dev", "prod")

        def no_dev(operation: str, repository: object, detail: str) -> None:
            assert "far.test" in str(repository)

        with world.hooked(before=no_dev):
            world.rollback("prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_a_version_that_was_there_before_runs_again(self, world: World) -> None:
        """Its image is there: nothing travels, and the tag moves all the same."""
        for version in ("v1.0.0", "v1.1.0"):
            world.through(version, "dev", "prod")
        assert world.promote("v1.0.0", to="prod").applied
        assert set(world.runs("prod").values()) == {"v1.0.0"}
        world.become(FAR.replace("downgrades: allow, ", ""))
        world.promote("v1.1.0", to="prod")
        with fails("promotion.downgrade", 3):
            world.promote("v1.0.0", to="prod")

    def test_a_second_time_nothing_travels(self, world: World) -> None:
        world.through("v1.0.0", "dev", "prod")
        with world.unchanged():
            world.promote("v1.0.0", to="prod")


class TestHistoryRepository:
    def test_records_may_stand_apart(self) -> None:
        from tests.flows.world import POLICY

        world = World(POLICY + 'history: {repository: "{repository}-history"}\n')
        world.through("v1.0.0", "dev", "test", "prod")
        world.through("v1.1.0", "dev", "test", "prod")
        assert not [tag for tag in world.tags("frontend") if tag.startswith("_")]
        apart = world.memory.snapshot()[world.history_repository("frontend", "prod")]
        assert len([tag for tag in apart if tag.startswith("_tagflow.prod.")]) == 2
        world.rollback("prod")
        assert set(world.runs("prod").values()) == {"v1.0.0"}


def test_a_combined_tag_that_was_moved_from_under_what_runs() -> None:
    """A refusal that says so, and no rule is asked about what runs already."""
    world = World()
    world.through("v1.0.0", "dev", "test")
    world.through("v1.1.0", "dev", "test")
    other = world.tag("frontend", "v1.0.0")
    assert other is not None
    world.hand_move("frontend", "v1.1.0-test", other)
    with world.unchanged(), fails("tag.immutable", 3) as caught:
        world.promote("frontend=v1.1.0", to="test")
    assert "v1.1.0-test" in caught[0].message
