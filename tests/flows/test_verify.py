"""verify finds every problem that it names, and --repair mends what needs no judgement."""

from __future__ import annotations

import pytest

from tagflow.decide.finding import Finding
from tagflow.domain.reference import Digest
from tagflow.verbs.repair import Repaired, repair
from tagflow.verbs.verify import check as look
from tagflow.verbs.verify import verify
from tests import images
from tests.flows.world import World, fails
from tests.marks import mostly_long


@pytest.fixture
def world() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test", "prod")
    return world


def check(world: World, *names: str) -> list[Finding]:
    return verify(world.context(), names)


def mend(world: World) -> Repaired:
    return repair(world.context(), [])


def problems(findings: list[Finding]) -> set[tuple[str, str, str]]:
    return {(it.image, it.environment, it.problem) for it in findings}


def foreign(world: World, image: str) -> Digest:
    return images.index(world.memory.open(world.repository(image)), seed="foreign").digest


def test_a_clean_world_has_no_finding(world: World) -> None:
    assert check(world) == []
    assert mend(world) == Repaired((), ())


def test_drift_names_both_digests_and_is_left_to_a_person(world: World) -> None:
    digest = foreign(world, "frontend")
    expected = world.tag("frontend", "prod")
    world.hand_move("frontend", "prod", digest)
    [finding] = check(world)
    assert (finding.problem, finding.expected, finding.actual) == ("drift", expected, digest)
    assert "rollback prod frontend" in finding.repair
    assert problems(list(mend(world).left)) == {("frontend", "prod", "drift")}


def test_a_hold_of_what_arrived_in_part_leads_out_of_its_release(world: World) -> None:
    """Nothing else goes on in its images: a rollback of the one that runs it would be refused."""
    world.through("v1.2.0", "dev", "test")
    for write in range(1, 100):
        died = world.copy()
        died.crash(lambda: died.promote("v1.2.0", to="prod"), write)  # noqa: B023
        if died.runs("prod")["frontend"] == "v1.2.0":
            break
    with fails("release.interrupted", 5):
        died.hold("prod", "v1.2.0")
    found = {it.image: it for it in check(died, "prod")}
    assert {image: it.problem for image, it in found.items()} == {
        "frontend": "running.held", "backend": "interrupted", "worker": "interrupted",
    }  # fmt: skip
    assert {it.repair for it in found.values()} == {"tagflow rollback prod"}
    assert found["worker"].detail == f"promote of v1.2.0 by {world.actor}"
    died.rollback("prod")
    assert check(died, "prod") == []


def test_what_no_record_tells_of_is_adopted_by_the_command_that_is_told() -> None:
    world = World()
    digest = world.build("v1.0.0", "frontend")["frontend"]
    world.hand_move("frontend", "dev", digest)
    [finding] = check(world)
    assert (finding.problem, finding.expected, finding.actual) == ("drift", None, digest)
    assert finding.repair == "tagflow promote frontend=v1.0.0 --to dev"
    world.promote("frontend=v1.0.0", to="dev")
    assert check(world) == []
    assert world.records("frontend", "dev") == [("adopt", "v1.0.0", None)]


class TestNotesAlone:
    """A history of nothing but notes tells of nothing that ran: what other tools made is judged as without records."""

    @pytest.fixture
    def foreign_prod(self) -> World:
        """Another tool let v1.0.0 and v1.1.0 into prod, with every name that a release would have made."""
        world = World()
        for version in ("v1.0.0", "v1.1.0"):
            world.through(version, "dev", "test")
            for image in ("frontend", "backend", "worker"):
                digest = world.tag(image, version)
                assert digest is not None
                for tag in ("prod", f"{version}-prod", "latest", "v1", version[:4]):
                    world.hand_move(image, tag, digest)
        return world

    def test_of_a_freeze_change_no_finding(self, foreign_prod: World) -> None:
        before = check(foreign_prod)
        assert {(it.problem, it.repair) for it in before if it.image == "frontend"} == {
            ("drift", "tagflow promote frontend=v1.1.0 --to prod")
        }
        admitted = foreign_prod.seen("frontend", "prod").admitted
        foreign_prod.freeze("prod")
        assert check(foreign_prod) == before
        foreign_prod.freeze("prod", lift=True)
        assert check(foreign_prod) == before
        assert foreign_prod.seen("frontend", "prod").admitted == admitted
        tags = foreign_prod.tags("frontend")
        mend(foreign_prod)
        assert foreign_prod.tags("frontend") == tags

    def test_of_a_hold_that_was_lifted_change_no_finding(self, foreign_prod: World) -> None:
        before = check(foreign_prod)
        foreign_prod.hold("prod", "v1.1.0")
        foreign_prod.hold("prod", "v1.1.0", lift=True)
        assert check(foreign_prod) == before

    def test_of_a_hold_of_an_older_version_make_only_its_line_stale(self, foreign_prod: World) -> None:
        before = check(foreign_prod)
        foreign_prod.hold("prod", "v1.0.0")
        found = check(foreign_prod)
        assert [it for it in found if it in before] == before
        assert {(it.problem, it.tag) for it in found if it not in before} == {("floating.stale", "v1.0")}
        [command] = {it.repair for it in found if it.problem == "floating.stale" and it.image == "frontend"}
        assert command == "tagflow promote frontend=VERSION --to prod"

    def test_of_a_hold_of_what_runs_name_a_way_that_works(self, foreign_prod: World) -> None:
        """A promotion of it would be refused, and nothing that ran before is told of: the target must be named."""
        foreign_prod.hold("prod", "v1.1.0")
        found = [it for it in check(foreign_prod) if it.image == "frontend"]
        assert "anchor.moved" not in {it.problem for it in found}
        repairs = {it.problem: it.repair for it in found}
        assert repairs["drift"] == repairs["running.held"] == "tagflow rollback prod frontend=v1.0.0"
        foreign_prod.rollback("prod", "frontend=v1.0.0")
        assert foreign_prod.tag("frontend", "prod") == foreign_prod.tag("frontend", "v1.0.0")

    def test_of_holds_of_all_that_is_there_ask_for_another_version(self, foreign_prod: World) -> None:
        foreign_prod.hold("prod", "v1.0.0")
        foreign_prod.hold("prod", "v1.1.0")
        repairs = {it.problem: it.repair for it in check(foreign_prod) if it.image == "frontend"}
        assert repairs["drift"] == repairs["running.held"] == "tagflow promote frontend=VERSION --to prod"

    def test_before_the_first_release_change_nothing_of_what_it_adopts(self, foreign_prod: World) -> None:
        noted = foreign_prod.copy()
        noted.freeze("prod")
        noted.freeze("prod", lift=True)
        for world in (foreign_prod, noted):
            world.through("v1.2.0", "dev", "test", "prod")
        assert noted.stack("frontend", "prod") == ["v1.1.0", "v1.2.0"]
        assert noted.seen("frontend", "prod").admitted == foreign_prod.seen("frontend", "prod").admitted
        assert check(noted) == check(foreign_prod)

    def test_on_top_of_releases_hide_no_forged_anchor(self, world: World) -> None:
        world.freeze("prod")
        world.hand_move("frontend", "v9.0.0-prod", foreign(world, "frontend"))
        assert [(it.problem, it.tag) for it in check(world)] == [("anchor.moved", "v9.0.0-prod")]


def test_a_tag_that_was_removed_comes_back_by_the_command_that_is_told(world: World) -> None:
    digest = world.tag("frontend", "prod")
    world.hand_remove("frontend", "prod")
    [finding] = check(world)
    assert (finding.problem, finding.actual) == ("drift", None)
    assert finding.repair == "tagflow rollback prod frontend=v1.1.0"
    world.rollback("prod", "frontend=v1.1.0")
    assert world.tag("frontend", "prod") == digest
    assert check(world) == []


def test_a_tag_that_was_removed_and_had_no_version_is_left_to_a_person(world: World) -> None:
    digest = foreign(world, "frontend")
    world.hand_move("frontend", "prod", digest)
    world.through("v1.2.0", "dev", "test", "prod")
    world.rollback("prod")
    assert world.tag("frontend", "prod") == digest
    world.hand_remove("frontend", "prod")
    [finding] = [it for it in check(world) if it.problem == "drift"]
    assert "a person" in finding.repair
    assert digest in finding.repair


def test_a_missing_combined_tag_is_recreated(world: World) -> None:
    digest = world.tag("backend", "v1.0.0-prod")
    world.hand_remove("backend", "v1.0.0-prod")
    [finding] = [it for it in check(world) if it.problem == "anchor.missing"]
    assert (finding.tag, finding.expected, finding.actual) == ("v1.0.0-prod", digest, None)
    assert mend(world).left == ()
    assert world.tag("backend", "v1.0.0-prod") == digest


def test_the_highest_combined_tag_missing_moves_no_floating_tag_on_the_way(world: World) -> None:
    """Floating tags are held to the anchors of the history: what is missing comes back, `latest` never steps down."""
    before = world.tags("backend")
    world.hand_remove("backend", "v1.1.0-prod")
    world.hand_remove("backend", "v1.1.0")
    assert {(it.problem, it.tag) for it in check(world)} == {
        ("anchor.missing", "v1.1.0-prod"),
        ("anchor.missing", "v1.1.0"),
    }
    count = len(world.memory.writes)
    repaired = mend(world)
    assert repaired.left == ()
    assert len(repaired.done) == 2, "the version tag is shared by three environments, and put back once"
    assert world.tags("backend") == before
    assert {call.detail for call in world.memory.writes[count:]} == {"v1.1.0-prod", "v1.1.0"}


def test_floating_tags_do_not_follow_an_anchor_that_somebody_moved(world: World) -> None:
    before = world.tag("frontend", "latest")
    world.hand_move("frontend", "v1.1.0-prod", foreign(world, "frontend"))
    assert {it.problem for it in check(world)} == {"anchor.moved", "running.unanchored"}
    assert {it.problem for it in mend(world).left} == {"anchor.moved", "running.unanchored"}
    assert world.tag("frontend", "latest") == before


def test_a_moved_anchor_is_left_to_a_person(world: World) -> None:
    digest = foreign(world, "worker")
    world.hand_move("worker", "v1.0.0-prod", digest)
    assert ("worker", "prod", "anchor.moved") in problems(check(world))
    assert ("worker", "prod", "anchor.moved") in problems(list(mend(world).left))
    assert world.tag("worker", "v1.0.0-prod") == digest


class TestContent:
    """What runs and where a rollback leads is looked at whole; what lies deeper, by its names, or with ``deep``."""

    @pytest.fixture
    def long_lived(self) -> World:
        world = World()
        for number in range(6):
            world.through(f"v1.{number}.0", "dev")
        return world

    def lose(self, world: World, version: str) -> None:
        """A blob of a build is gone from the registry."""
        repository = world.repository("frontend")
        store = world.memory.open(repository)
        digest = world.tag("frontend", version)
        assert digest is not None
        world.memory.forget(repository, store.get(store.get(digest).children[0].digest).blobs[1].digest)

    @pytest.mark.parametrize("version", ["v1.5.0", "v1.4.0", "v1.3.0"])
    def test_is_looked_at_where_it_runs_or_comes_next(self, long_lived: World, version: str) -> None:
        self.lose(long_lived, version)
        assert problems(check(long_lived)) == {("frontend", "dev", "content.missing")}

    def test_is_looked_at_deeper_where_asked(self, long_lived: World) -> None:
        self.lose(long_lived, "v1.0.0")
        assert check(long_lived) == []
        assert problems(verify(long_lived.context(), [], deep=True)) == {("frontend", "dev", "content.missing")}
        assert problems(list(repair(long_lived.context(), [], deep=True).left)) == {
            ("frontend", "dev", "content.missing")
        }

    def test_of_older_images_is_counted(self, long_lived: World) -> None:
        """Three of six builds of each of three images."""
        assert look(long_lived.context(), []).older == 9
        assert look(long_lived.context(), [], deep=True).older == 0

    def test_follows_a_rollback(self, long_lived: World) -> None:
        """What was left is not what runs, and the next two are others."""
        long_lived.rollback("dev")
        self.lose(long_lived, "v1.2.0")
        assert problems(check(long_lived)) == {("frontend", "dev", "content.missing")}


def test_lost_content_is_told_down_to_the_blob(world: World) -> None:
    repository = world.repository("frontend")
    store = world.memory.open(repository)
    digest = world.tag("frontend", "v1.0.0")
    assert digest is not None
    child = store.get(store.get(digest).children[0].digest)
    world.memory.forget(repository, child.blobs[1].digest)
    findings = check(world, "prod")
    assert problems(findings) == {("frontend", "prod", "content.missing")}
    assert child.blobs[1].digest in findings[0].detail


def test_a_wrong_floating_tag_is_put_right(world: World) -> None:
    old, new = world.tag("frontend", "v1.0.0"), world.tag("frontend", "v1.1.0")
    assert old is not None
    world.hand_move("frontend", "latest", old)
    [finding] = check(world)
    assert (finding.problem, finding.tag, finding.expected, finding.actual) == ("floating.wrong", "latest", new, old)
    assert mend(world).left == ()
    assert world.tag("frontend", "latest") == new


def test_a_floating_tag_whose_line_has_no_version_left_keeps_its_place_and_is_told(world: World) -> None:
    world.through("v2.0.0", "dev", "test", "prod")
    digest = world.tag("frontend", "v2")
    world.rollback("prod")
    findings = check(world)
    assert {(it.tag, it.problem) for it in findings if it.image == "frontend"} == {
        ("v2", "floating.stale"),
        ("v2.0", "floating.stale"),
    }
    assert world.tag("frontend", "v2") == digest
    assert world.tag("frontend", "latest") == world.tag("frontend", "v1.1.0")


@pytest.mark.parametrize("write", mostly_long(range(1, 25), *range(2, 25, 3)))
def test_an_interrupted_release_is_found_and_finished(write: int) -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    died = world.crash(lambda: world.promote("v1.1.0", to="prod"), write)
    states = world.states("prod")
    found = {it.problem for it in check(world)}
    assert ("interrupted" in found) == ("interrupted" in states.values())
    records = sum(action == "promote" for image in states for action, *_ in world.records(image, "prod"))
    left = {it.problem for it in mend(world).left}
    if "interrupted" in states.values() and records < 6:
        assert left == {"interrupted"}, "only a person knows what the rest of the release was"
    else:
        assert left == set()
        assert not died or set(world.states("prod").values()) == {"recorded"}


def test_an_interrupted_release_that_repair_cannot_finish_names_the_command_that_does() -> None:
    """Where not all records were written, what the rest was to become is asked again, by the command that began it."""
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    assert world.crash(lambda: world.promote("v1.1.0", to="prod"), 2)
    [finding] = mend(world).left
    assert (finding.image, finding.problem) == ("frontend", "interrupted")
    words = finding.repair.split()
    assert words == ["tagflow", "promote", "frontend=v1.1.0", "backend=v1.1.0", "worker=v1.1.0", "--to", "prod"]
    world.promote(*words[2:5], to="prod")
    assert check(world) == []


def test_an_interrupted_release_is_told_by_whoever_announced_it() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    assert world.crash(lambda: world.promote("frontend=v1.1.0", to="prod"), 2)
    World(memory=world.memory, actor="bob").hold("prod", "frontend=v1.0.0")
    told = {it.problem: it.detail for it in check(world)}
    assert told["interrupted"] == "promote of v1.1.0 by ann"


def test_a_fork_is_found_and_joined(world: World) -> None:
    one, two = World(memory=world.memory, actor="one"), World(memory=world.memory, actor="two")
    world.through("v1.2.0", "dev", "test")
    world.through("v1.3.0", "dev", "test")
    first = one.propose_promote("frontend=v1.2.0", to="prod")
    second = two.propose_promote("frontend=v1.3.0", to="prod")
    one.carry_out(first)
    assert two.crash(lambda: two.carry_out(second), 2)
    [fork] = [it for it in check(world) if it.problem == "history.fork"]
    assert fork.image == "frontend"
    assert world.runs("prod")["frontend"] == "v1.2.0", "the effective head is the one that won"
    assert mend(world).left == ()
    assert world.seen("frontend", "prod").standing.state.voided("v1.3.0")
    assert world.stack("frontend", "prod")[-2:] == ["v1.1.0", "v1.2.0"]


def test_a_loser_that_lives_joins_the_fork_itself(world: World) -> None:
    one, two = World(memory=world.memory, actor="one"), World(memory=world.memory, actor="two")
    world.through("v1.2.0", "dev", "test")
    world.through("v1.3.0", "dev", "test")
    second = two.propose_promote("frontend=v1.3.0", to="prod")
    one.promote("frontend=v1.2.0", to="prod")
    with fails("release.overtaken", 5):
        two.carry_out(second)
    assert check(world) == []
    assert world.runs("prod")["frontend"] == "v1.2.0"
    assert world.records("frontend", "prod")[-1] == ("abort", "v1.2.0", "v1.3.0")


def test_a_record_that_was_deleted_in_the_middle_is_told(world: World) -> None:
    first = next(tag for tag in world.tags("frontend") if tag.startswith("_tagflow.prod.000001"))
    world.hand_remove("frontend", first)
    assert problems(check(world)) == {("frontend", "prod", "history.broken")}


def test_a_record_that_was_replaced_is_told(world: World) -> None:
    first = next(tag for tag in world.tags("frontend") if tag.startswith("_tagflow.prod.000001"))
    digest = world.tag("frontend", "v1.0.0")
    assert digest is not None
    world.hand_move("frontend", first, digest)
    assert ("frontend", "prod", "history.broken") in problems(check(world))


def test_what_stands_in_the_place_of_an_old_record_is_set_aside(world: World) -> None:
    """The newest record has seen its tag, so that nobody reads it who looks at what is on top alone."""
    first = next(tag for tag in world.tags("frontend") if tag.startswith("_tagflow.prod.000001"))
    digest = world.tag("frontend", "v1.0.0")
    assert digest is not None
    world.hand_move("frontend", first, digest)
    [*_, junk] = [it for it in check(world) if it.repair.startswith("tagflow verify prod --repair")]
    assert (junk.image, junk.problem) == ("frontend", "history.broken")
    assert "prod: set aside what is no record of frontend" in mend(world).done
    assert not any(it.repair.startswith("tagflow verify") for it in check(world))


@pytest.mark.parametrize("state", ["interrupted", "unrecorded"])
def test_what_is_no_record_is_set_aside_whatever_the_tag_stands_at(world: World, state: str) -> None:
    """Else nothing would lead on where a registry removes no tags: whatever moves or notes something is refused."""
    names = list(world.runs("prod"))
    world.freeze("prod")
    for image in names:
        junk = foreign(world, image)
        world.hand_move(image, f"_tagflow.prod.000009.{'a' * 12}", junk)
        moved = world.tag(image, "v1.0.0") if state == "interrupted" else junk
        assert moved is not None
        world.hand_move(image, "prod", moved)
    assert set(world.states("prod").values()) == {"broken"}
    assert "prod: set aside what is no record of frontend" in mend(world).done
    assert world.states("prod") == dict.fromkeys(names, state)  # what is set aside may have taken the release back
    assert all(world.cell(image, "prod").frozen for image in names)
    world.rollback("prod", *(["v1.1.0"] if state == "unrecorded" else []))
    wanted = "v1.1.0" if state == "unrecorded" else "v1.0.0"
    assert world.runs("prod") == dict.fromkeys(names, wanted)
    assert "history.broken" not in {it.problem for it in check(world, "prod")}


@pytest.mark.parametrize("sequence", [1, 9])
def test_a_release_is_not_finished_without_an_image_whose_history_cannot_be_read(world: World, sequence: int) -> None:
    """What came before the release is set aside, and no more. What may have come after it may have taken it back."""
    names = list(world.runs("prod"))
    world.through("v1.2.0", "dev", "test")
    assert world.crash(lambda: world.promote("v1.2.0", to="prod"), 4)
    world.hand_move("frontend", f"_tagflow.prod.{sequence:06}.{'a' * 12}", foreign(world, "frontend"))
    assert {it.repair for it in check(world, "prod") if it.problem == "interrupted"} == {"tagflow rollback prod"}
    abandoned = world.copy()
    abandoned.rollback("prod")
    assert not any("left out" in it for it in abandoned.warnings)
    assert all(abandoned.tag(it, "prod") == abandoned.tag(it, "v1.1.0") for it in names)
    done = mend(world)
    if sequence == 1:
        assert world.runs("prod") == dict.fromkeys(names, "v1.2.0")
        assert done.left == ()
    else:
        assert done.done == ("prod: set aside what is no record of frontend",)
        assert {it.repair for it in done.left} == {"tagflow rollback prod"}
        world.rollback("prod")
        assert world.runs("prod") == dict.fromkeys(names, "v1.1.0")
    assert check(world, "prod") == []


def test_what_is_set_aside_takes_no_image_out_of_a_release(world: World) -> None:
    """It had arrived in one image when its run died, and goes on in all, or back in all."""
    world.through("v1.2.0", "dev", "test")
    for write in range(1, 100):
        died = world.copy()
        died.crash(lambda: died.promote("v1.2.0", to="prod"), write)  # noqa: B023
        if died.runs("prod")["frontend"] == "v1.2.0":
            break
    assert died.states("prod")["worker"] == "interrupted"
    died.hand_move("frontend", f"_tagflow.prod.000001.{'a' * 12}", foreign(died, "frontend"))
    assert died.states("prod")["frontend"] == "broken"
    assert mend(died).left == ()
    assert died.runs("prod") == dict.fromkeys(died.runs("prod"), "v1.2.0")
    died.rollback("prod")
    assert died.runs("prod") == dict.fromkeys(died.runs("prod"), "v1.1.0")


def test_a_pin_keeps_what_was_adopted_and_a_missing_one_is_recreated(world: World) -> None:
    digest = foreign(world, "frontend")
    world.hand_move("frontend", "prod", digest)
    world.through("v1.2.0", "dev", "test", "prod")
    pin = next(tag for tag in world.tags("frontend") if tag.startswith("_tagflow.pin."))
    assert world.tag("frontend", pin) == digest
    assert check(world) == []
    world.hand_remove("frontend", pin)
    assert {(it.problem, it.tag) for it in check(world)} == {("anchor.missing", pin)}
    assert mend(world).left == ()
    assert world.tag("frontend", pin) == digest


def test_a_repository_that_never_saw_tagflow_is_not_lectured() -> None:
    world = World()
    world.build("v1.0.0")
    digest = world.tag("frontend", "v1.0.0")
    assert digest is not None
    world.hand_move("frontend", "latest", digest)
    assert check(world) == []


def test_repair_puts_no_floating_tag_at_a_combined_tag_that_no_record_tells_of(world: World) -> None:
    """It counts as admitted where nobody signs; but no name is put at what is reported in the same breath."""
    world.hand_move("frontend", "v9.0.0-prod", foreign(world, "frontend"))
    [finding] = check(world)
    assert (finding.problem, finding.tag) == ("anchor.moved", "v9.0.0-prod")
    before = world.tag("frontend", "latest")
    assert problems(list(mend(world).left)) == {("frontend", "prod", "anchor.moved")}
    assert world.tag("frontend", "latest") == before
