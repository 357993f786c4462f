"""Saved plans, push, and writers that compete."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tagflow.domain.plan import identity
from tagflow.domain.reference import Repository
from tagflow.errors import StoreError, TagflowError, UsageError
from tagflow.stores.port import OCI_MANIFEST, Manifest
from tagflow.verbs.apply import apply
from tagflow.verbs.verify import verify
from tests import images
from tests.flows.world import POLICY, World, fails
from tests.marks import mostly_long

IMAGES = ("frontend", "backend", "worker")


@pytest.fixture
def world() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test")
    return world


class TestSavedPlans:
    @pytest.fixture
    def plan(self, world: World, tmp_path: Path) -> Path:
        return world.save(world.propose_promote("v1.1.0", to="prod", reason="approved"), tmp_path / "plan.json")

    def test_it_is_carried_out(self, world: World, plan: Path) -> None:
        world.apply(plan)
        assert set(world.runs("prod").values()) == {"v1.1.0"}
        head = world.seen("frontend", "prod").standing.head
        assert head is not None
        assert (head.record.action, head.record.reason) == ("promote", "approved")

    def test_one_of_a_rollback(self, world: World, tmp_path: Path) -> None:
        world.promote("v1.1.0", to="prod")
        decision = world.propose_rollback("prod")
        plan = world.save(decision, tmp_path / "plan.json")
        world.apply(plan)
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_time_and_another_actor_do_not_make_it_stale(self, world: World, plan: Path) -> None:
        world.later(days=3)
        world.actor = "bob"
        world.apply(plan)
        head = world.seen("frontend", "prod").standing.head
        assert head is not None
        assert head.record.actor == "bob"

    def test_the_order_of_images_does_not_make_it_stale(self, world: World, plan: Path) -> None:
        """It does not count in the policy, so that nothing would say why."""
        before = "{frontend: frontend, backend: back_end, worker: worker}"
        assert before in POLICY
        world.become(POLICY.replace(before, "{worker: worker, frontend: frontend, backend: back_end}"))
        world.apply(plan)
        assert set(world.runs("prod").values()) == {"v1.1.0"}

    def test_twice_is_stale(self, world: World, plan: Path) -> None:
        world.apply(plan)
        with world.unchanged(), fails("plan.stale", 5):
            world.apply(plan)

    def test_overtaken_is_made_anew(self, world: World, plan: Path) -> None:
        """Whatever came first has changed what it expects."""
        came: list[str] = []

        def meanwhile(operation: str, _repository: Repository, detail: str) -> None:
            if operation == "put" and detail.startswith("_tagflow.prod.") and not came:
                came.append(detail)
                world.promote("frontend=v1.1.0", to="prod")

        with world.hooked(before=meanwhile), fails("release.overtaken", 5) as caught:
            apply(world.context(), plan)
        assert "Make a new plan" in caught[0].hint
        with world.unchanged(), fails("plan.stale", 5):
            apply(world.context(), plan)

    def test_begun_and_not_finished_is_finished(self, world: World, plan: Path) -> None:
        assert world.crash(lambda: world.apply(plan), 5)
        world.apply(plan)
        assert world.runs("prod") == dict.fromkeys(IMAGES, "v1.1.0")
        with world.unchanged(), fails("plan.stale", 5) as caught:
            world.apply(plan)
        assert "carried out already, by ann" in caught[0].message

    @pytest.mark.parametrize("write", mostly_long([4, 5, 7, 8], 4, 7))
    @pytest.mark.parametrize("note", ["hold", "freeze", "both", "lift"])
    def test_begun_and_not_finished_is_finished_whatever_was_noted_since(
        self, world: World, plan: Path, write: int, note: str
    ) -> None:
        """A hold or freeze on top names no plan: whose release it is says the record that it carries on."""
        assert world.crash(lambda: world.apply(plan), write)
        if note != "freeze":
            world.hold("prod", "v1.0.0")
        if note == "lift":
            world.hold("prod", "v1.0.0", lift=True)
        if note in ("freeze", "both"):
            with fails("release.interrupted", 5):  # written down all the same
                world.freeze("prod")
        world.apply(plan)
        assert world.runs("prod") == dict.fromkeys(IMAGES, "v1.1.0")
        # v1.0 is left where the only version of its line is held.
        assert [it for it in verify(world.context(), []) if it.problem != "floating.stale"] == []
        with world.unchanged(), fails("plan.stale", 5) as caught:
            world.apply(plan)
        assert "carried out already, by ann" in caught[0].message

    def test_carried_out_is_told_below_a_note_too(self, world: World, plan: Path) -> None:
        world.apply(plan)
        world.hold("prod", "v1.0.0")
        with world.unchanged(), fails("plan.stale", 5) as caught:
            world.apply(plan)
        assert "carried out already, by ann" in caught[0].message

    def test_put_back_is_not_carried_out(self, world: World, plan: Path) -> None:
        def refuse(operation: str, repository: Repository, detail: str) -> None:
            if operation == "move" and detail == "prod":
                raise StoreError("registry.denied", "no", hint="no")

        with world.hooked(refuse), pytest.raises(StoreError):
            world.apply(plan)
        with world.unchanged(), fails("plan.stale", 5) as caught:
            world.apply(plan)
        assert "carried out" not in caught[0].message

    def test_a_rollback_begun_and_not_finished_below_a_note(self, world: World, tmp_path: Path) -> None:
        world.promote("v1.1.0", to="prod")
        plan = world.save(world.propose_rollback("prod"), tmp_path / "plan.json")
        assert world.crash(lambda: world.apply(plan), 4)
        world.hold("prod", "v1.0.0")
        world.hold("prod", "v1.0.0", lift=True)
        world.apply(plan)
        assert world.runs("prod") == dict.fromkeys(IMAGES, "v1.0.0")

    def test_another_plan_does_not_finish_it_below_a_note(self, world: World, plan: Path, tmp_path: Path) -> None:
        other = world.save(world.propose_promote("v1.1.0", to="prod", reason="another"), tmp_path / "other.json")
        assert world.crash(lambda: world.apply(plan), 5)
        world.hold("prod", "v1.0.0")
        with world.unchanged(), fails("plan.stale", 5):
            world.apply(other)

    def test_another_release_begun_and_not_finished(self, world: World, plan: Path) -> None:
        assert world.crash(lambda: world.promote("frontend=v1.1.0", to="prod"), 2)
        with world.unchanged(), fails("plan.stale", 5) as caught:
            world.apply(plan)
        assert "tagflow rollback prod" in caught[0].hint

    def test_a_tag_moved_by_somebody_else(self, world: World, plan: Path) -> None:
        world.hand_move("backend", "prod", world.tags("backend")["v1.1.0"])
        with world.unchanged(), fails("plan.stale", 5):
            world.apply(plan)

    def test_a_rule_that_says_no_is_the_reason(self, world: World, plan: Path) -> None:
        """An image that is refused is in no plan: it does not run there for that."""
        world.hold("test", "backend=v1.1.0", reason="CVE found")
        with world.unchanged(), fails("plan.stale", 5) as caught:
            world.apply(plan)
        assert "held in test: CVE found" in caught[0].message
        assert "already" not in caught[0].message

    def test_whom_a_move_by_hand_is_of(self, world: World, plan: Path) -> None:
        world.hand_move("backend", "prod", world.build("v1.2.0", "backend")["backend"])
        with world.unchanged(), fails("plan.stale", 5) as caught:
            world.apply(plan)
        assert "backend: prod runs" in caught[0].message
        assert "by ann" not in caught[0].message

    def test_another_promotion(self, world: World, plan: Path) -> None:
        world.promote("frontend=v1.1.0", to="prod")
        with world.unchanged(), fails("plan.stale", 5):
            world.apply(plan)

    def test_there_and_back_again(self, world: World, plan: Path) -> None:
        """Every tag is where the plan expects it, but what it brings in is held since."""
        world.promote("v1.1.0", to="prod")
        world.rollback("prod")
        with world.unchanged(), pytest.raises(TagflowError) as raised:
            world.apply(plan)
        assert raised.value.exit_status in (3, 5)

    def test_a_source_that_was_rolled_back(self, world: World, plan: Path) -> None:
        world.rollback("test")
        with world.unchanged(), pytest.raises(TagflowError) as raised:
            world.apply(plan)
        assert raised.value.exit_status in (3, 5)

    def test_another_policy(self, world: World, plan: Path) -> None:
        world.become(world.text.replace("downgrades: allow", "downgrades: deny"))
        with world.unchanged(), fails("plan.stale", 5):
            world.apply(plan)

    def test_the_same_policy_in_other_words(self, world: World, plan: Path) -> None:
        world.become(
            world.text.replace("{downgrades: allow, floating", "{prereleases: allow, downgrades: allow, floating")
        )
        world.apply(plan)

    def test_rules_are_asked_again(self, world: World, tmp_path: Path) -> None:
        world.become(world.text.replace("downgrades: allow", "freeze: [{days: [sun], timezone: UTC}]"))
        plan = world.save(world.propose_promote("v1.1.0", to="prod"), tmp_path / "plan.json")
        world.later(days=(6 - world.now.weekday()))
        with world.unchanged(), fails("promotion.frozen", 3):
            world.apply(plan)

    def test_gates_are_asked_again(self, world: World, tmp_path: Path) -> None:
        flag = tmp_path / "flag"
        flag.touch()
        world.become(world.text.replace("downgrades: allow", f"gates: [{{name: flag, run: test -e {flag}}}]"))
        plan = world.save(world.propose_promote("v1.1.0", to="prod"), tmp_path / "plan.json")
        flag.unlink()
        with world.unchanged(), fails("promotion.gate", 3):
            world.apply(plan)

    def test_a_changed_file(self, world: World, plan: Path) -> None:
        saved = plan.read_text()
        document = json.loads(saved)
        for change in (
            saved.replace("v1.1.0", "v1.0.0"),
            saved.replace("approved", "approvee"),
            saved.replace(document["id"], "0" * 64),
            saved[:-20],
            "",
            "[]",
            "{}",
            "null",
            '{"id": 1}',
            json.dumps({**document, "plan": None}),
            json.dumps({**document, "plan": {**document["plan"], "request": None}}),
        ):
            plan.write_text(change)
            with world.unchanged(), fails("plan.invalid", 2):
                world.apply(plan)
        plan.write_bytes(b"\xff\xfe\x00")
        with world.unchanged(), fails("plan.invalid", 2):
            world.apply(plan)

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "it is not JSON"),
            (b'{"tagflow-plan": 1, "id": "', "it is not JSON"),
            (b"\xef\xbb\xbf{}", "it is not JSON"),
            (b"[]", "nothing in it says so"),
            (b'{"tagflow-plan": "x"}', "nothing in it says so"),
            (b'{"tagflow-plan": 2}', "it is of format 2, and this tagflow reads format 1"),
            (b'{"tagflow-plan": 1, "id": "x", "plan": {}}', "its content does not match its id"),
        ],
    )
    def test_why_a_file_is_no_plan(self, world: World, tmp_path: Path, content: bytes, told: str) -> None:
        """Cut off, of another kind, or of a newer tagflow: only one that was changed is said to be changed."""
        path = tmp_path / "plan.json"
        path.write_bytes(content)
        with world.unchanged(), fails("plan.invalid", 2) as caught:
            world.apply(path)
        assert caught[0].message == f"{path} is no plan as tagflow saved it: {told}"

    @pytest.mark.parametrize(
        "change",
        [
            {"steps": [1]},
            {"steps": {"frontend": 1}},
            {"steps": None},
            {"moves": [{}]},
            {"moves": [{"image": {}}]},
            {"request": {"command": "hold"}},
        ],
    )
    def test_what_no_tagflow_has_saved_is_no_plan_though_its_id_is_right(
        self, world: World, plan: Path, change: dict[str, object]
    ) -> None:
        document = json.loads(plan.read_text())
        document["plan"].update(change)
        plan.write_text(json.dumps({**document, "id": identity(document["plan"])}))
        with world.unchanged(), fails("plan.invalid", 2) as caught:
            world.apply(plan)
        assert "its id" not in caught[0].message

    def test_a_move_that_was_changed_in_the_file(self, world: World, plan: Path) -> None:
        document = json.loads(plan.read_text())
        document["plan"]["moves"][0]["after"] = images.absent()
        plan.write_text(json.dumps(document))
        with world.unchanged(), fails("plan.invalid", 2):
            world.apply(plan)

    def test_a_file_that_is_not_there(self, world: World, tmp_path: Path) -> None:
        with pytest.raises(TagflowError) as raised:
            world.apply(tmp_path / "nothing")
        assert raised.value.exit_status in (2, 4)

    def test_formatting_is_no_change(self, world: World, plan: Path) -> None:
        plan.write_text(json.dumps(json.loads(plan.read_text()), separators=(",", ":")))
        world.apply(plan)

    def test_it_is_the_same_each_time(self, world: World) -> None:
        one, two = world.propose_promote("v1.1.0", to="prod"), world.propose_promote("v1.1.0", to="prod")
        assert one.decision.plan.id == two.decision.plan.id

    def test_it_names_the_digests(self, world: World, plan: Path) -> None:
        for image in IMAGES:
            assert world.tags(image)["prod"] in plan.read_text()
            assert world.tags(image)["v1.1.0"] in plan.read_text()


class TestStaleWithinOneRun:
    """Between decision and execution somebody else was faster."""

    def test_an_environment_tag(self, world: World) -> None:
        decision = world.propose_promote("v1.1.0", to="prod")
        world.hand_move("backend", "prod", world.tags("backend")["v1.1.0"])
        world.hand_move("worker", "prod", world.build("v1.2.0")["worker"])
        with fails("tag.moved", 5):
            world.carry_out(decision)
        tags = {image: world.tags(image) for image in IMAGES}
        assert tags["frontend"]["prod"] == tags["frontend"]["v1.0.0"]
        assert tags["worker"]["prod"] == tags["worker"]["v1.2.0"]

    def test_a_version_tag_in_another_registry(self) -> None:
        from tests.flows.test_promote import FAR

        world = World(FAR)
        world.through("v1.0.0", "dev")
        decision = world.propose_promote("v1.0.0", to="prod")
        far = images.index(world.memory.open(world.repository("frontend", "prod")), seed="rival", tag="v1.0.0")
        with pytest.raises(TagflowError) as raised:
            world.carry_out(decision)
        assert raised.value.exit_status in (3, 5)
        assert world.tag("frontend", "v1.0.0", "prod") == far.digest
        assert world.tag("frontend", "prod", "prod") is None


class TestPush:
    @pytest.fixture
    def world(self) -> World:
        world = World()
        self.source(world, "1")
        return world

    def source(self, world: World, seed: str) -> str:
        store = world.memory.open(Repository("builds.test", "ci/frontend"))
        return images.index(store, seed=seed, tag=f"build-{seed}").digest

    def test_it_enters_the_first_environment(self, world: World) -> None:
        digest = self.source(world, "1")
        world.push("v1.0.0", "frontend=docker://builds.test/ci/frontend:build-1")
        tags = world.tags("frontend")
        assert {tags[name] for name in ("v1.0.0", "v1.0.0-dev", "dev")} == {digest}
        assert world.records("frontend", "dev") == [("push", "v1.0.0", None)]
        assert world.runs("dev") == {"frontend": "v1.0.0", "backend": None, "worker": None}
        store = world.memory.open(world.repository("frontend"))
        assert all(store.has(child.digest) for child in store.get("dev").children)

    def test_by_digest(self, world: World) -> None:
        digest = self.source(world, "1")
        world.push("1.0.0", f"frontend=docker://builds.test/ci/frontend@{digest}")
        assert world.tag("frontend", "v1.0.0") == digest

    def test_the_same_again_brings_nothing_in(self, world: World) -> None:
        world.push("v1.0.0", "frontend=docker://builds.test/ci/frontend:build-1")
        with world.unchanged():
            world.push("v1.0.0", "frontend=docker://builds.test/ci/frontend:build-1")

    def test_another_build_under_a_version_that_exists(self, world: World) -> None:
        world.push("v1.0.0", "frontend=docker://builds.test/ci/frontend:build-1")
        self.source(world, "2")
        with world.unchanged(), fails("tag.immutable", 3):
            world.push("v1.0.0", "frontend=docker://builds.test/ci/frontend:build-2")

    def test_a_version_that_another_tool_pushed_is_promoted(self, world: World) -> None:
        world.build("v1.0.0", "frontend", seed="1")
        world.push("v1.0.0", "frontend=docker://builds.test/ci/frontend:build-1")
        assert world.runs("dev")["frontend"] == "v1.0.0"

    def test_a_source_that_is_not_there(self, world: World, tmp_path: Path) -> None:
        for source in ("docker://builds.test/ci/frontend:nothing", f"oci:{tmp_path}/nothing"):
            with world.unchanged(), fails("source.not_found", 4):
                world.push("v1.0.0", f"frontend={source}")

    def test_a_digest_that_is_not_there(self, world: World) -> None:
        with world.unchanged(), pytest.raises(TagflowError) as raised:
            world.push("v1.0.0", f"frontend=docker://builds.test/ci/frontend@{images.absent()}")
        assert raised.value.exit_status == 4

    def test_usage(self, world: World) -> None:
        for arguments, code in (
            ([], "source.missing"),
            (["frontend"], "source.invalid"),
            (["frontend="], "source.invalid"),
            (["frontend=nginx"], "source.invalid"),
            (["frontend=docker-daemon:"], "source.invalid"),
            (["frontend=docker://h/a:1", "frontend=docker://h/a:1"], "source.invalid"),
        ):
            with world.unchanged(), fails(code, 2):
                world.push("v1.0.0", *arguments)
        with world.unchanged(), fails("source.invalid", 2) as caught:
            world.push("v1.0.0", "frontend=frontend:latest")
        for transport in ("docker-daemon:", "docker://", "oci:", "docker-archive:"):
            assert transport in caught[0].message
        with world.unchanged(), fails("image.not_found", 4):
            world.push("v1.0.0", "nothing=docker://builds.test/ci/frontend:build-1")

    def test_dying_at_every_write_and_again(self, world: World) -> None:
        base = world
        base.through("v0.9.0", "dev")
        for write in range(1, 60):
            world = base.copy()
            if not world.crash(lambda: self.push(world), write):  # noqa: B023
                assert write > 6
                return
            self.push(world)
            assert world.runs("dev") == {"frontend": "v1.0.0", "backend": "v0.9.0", "worker": "v0.9.0"}, write
        raise AssertionError("it never ends")

    def push(self, world: World) -> None:
        world.push("v1.0.0", "frontend=docker://builds.test/ci/frontend:build-1")

    def test_a_promote_finishes_what_a_push_began(self, world: World) -> None:
        """The hint of the refusal names it: the same change by either verb."""
        world.through("v0.9.0", "dev")
        for write in range(1, 60):
            twin = world.copy()
            if not twin.crash(lambda: self.push(twin), write):  # noqa: B023
                return
            if "interrupted" in twin.states("dev").values() and twin.tag("frontend", "v1.0.0"):
                twin.promote("frontend=v1.0.0", to="dev")
                assert twin.runs("dev")["frontend"] == "v1.0.0"

    def test_a_held_version(self, world: World) -> None:
        world.through("v0.9.0", "dev")
        self.push(world)
        world.rollback("dev")
        with world.unchanged(), fails("promotion.held", 3):
            self.push(world)


class TestForks:
    def fork(self, world: World) -> None:
        """Two writers that both saw the same head: each announces, the second finds the tag moved."""
        world.through("v1.2.0", "dev", "test")
        one = world.propose_promote("frontend=v1.1.0", to="prod")
        two = world.propose_promote("frontend=v1.2.0", to="prod")
        world.carry_out(one)
        with fails("release.overtaken", 5):
            world.carry_out(two)

    def test_both_records_are_there(self, world: World) -> None:
        self.fork(world)
        actions = world.records("frontend", "prod")
        assert ("promote", "v1.1.0", "v1.0.0") in actions
        assert ("promote", "v1.2.0", "v1.0.0") in actions

    def test_the_head_is_the_one_whose_digest_the_tag_has(self, world: World) -> None:
        self.fork(world)
        assert world.cell("frontend", "prod").version == "v1.1.0"
        assert world.cell("frontend", "prod").state == "recorded"

    def test_the_loser_is_not_admitted(self, world: World) -> None:
        self.fork(world)
        assert {str(it) for it in world.seen("frontend", "prod").admitted} == {"1.0.0", "1.1.0"}

    def test_latest_is_right(self, world: World) -> None:
        self.fork(world)
        assert world.tags("frontend")["latest"] == world.tags("frontend")["v1.1.0"]

    def test_the_next_record_joins_them(self, world: World) -> None:
        self.fork(world)
        world.promote("frontend=v1.2.0", to="prod")
        assert world.cell("frontend", "prod").version == "v1.2.0"
        assert len(world.seen("frontend", "prod").standing.heads) == 1
        world.rollback("prod", "frontend")
        assert world.cell("frontend", "prod").version == "v1.1.0"
        world.rollback("prod", "frontend")
        assert world.cell("frontend", "prod").version == "v1.0.0"

    def test_holds_are_the_union(self, world: World) -> None:
        world.promote("v1.1.0", to="prod")
        back = world.propose_rollback("prod", "frontend")
        world.through("v1.2.0", "dev", "test")
        on = world.propose_promote("frontend=v1.2.0", to="prod")
        world.carry_out(back)
        with fails("release.overtaken", 5):
            world.carry_out(on)
        assert world.cell("frontend", "prod").holds == ("v1.1.0",)
        assert world.cell("frontend", "prod").version == "v1.0.0"

    def test_many_at_once_lose_no_record(self, world: World) -> None:
        versions = [f"v1.1.{n}" for n in range(1, 9)]
        for version in versions:
            world.build(version, "frontend")
            for environment in ("dev", "test"):
                world.promote(f"frontend={version}", to=environment)
        world.threads = 4
        before = set(world.tags("frontend"))
        outcomes: dict[str, TagflowError | None] = {}

        def go(version: str) -> None:
            try:
                world.promote(f"frontend={version}", to="prod")
                outcomes[version] = None
            except TagflowError as error:
                outcomes[version] = error

        crowd = [threading.Thread(target=go, args=(version,)) for version in versions]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        assert {error.exit_status for error in outcomes.values() if error} <= {3, 5}
        assert any(error is None for error in outcomes.values())
        assert before <= set(world.tags("frontend")) | {"prod"}
        records = world.records("frontend", "prod")
        for version, error in outcomes.items():
            if error is None:
                assert [it for it in records if it[:2] == ("promote", version)], version
        tags = world.tags("frontend")
        running = next(v for v in versions if tags[v] == tags["prod"])
        assert outcomes[running] is None
        world.through("v2.0.0", "dev", "test")
        if "interrupted" in world.states("prod").values():
            world.rollback("prod")
        world.promote("frontend=v2.0.0", to="prod")
        assert world.cell("frontend", "prod").version == "v2.0.0"
        assert len(world.seen("frontend", "prod").standing.heads) == 1


class TestStatus:
    def test_empty(self) -> None:
        world = World()
        cell = world.cell("frontend", "prod")
        assert (cell.state, cell.version, cell.digest, cell.since, cell.by, cell.holds) == (
            "empty",
            None,
            None,
            None,
            None,
            (),
        )

    def test_recorded(self, world: World) -> None:
        cell = world.cell("frontend", "prod")
        assert (cell.state, cell.version, cell.by) == ("recorded", "v1.0.0", "ann")
        assert cell.since is not None

    def test_unrecorded_has_no_version(self, world: World) -> None:
        world.hand_move("frontend", "prod", world.tags("frontend")["v1.1.0"])
        cell = world.cell("frontend", "prod")
        assert (cell.state, cell.version) == ("unrecorded", None)
        assert cell.digest == world.tags("frontend")["v1.1.0"]

    def test_it_writes_nothing(self, world: World) -> None:
        with world.unchanged():
            world.states("prod")

    def test_narrowed(self, world: World) -> None:
        from tagflow.verbs.status import status

        context = world.context()
        assert [row.image for row in status(context, ["backend"])] == ["backend"]
        assert {cell.environment for row in status(context, ["prod", "test"]) for cell in row.environments} == {
            "prod",
            "test",
        }
        found = {(row.image, cell.environment) for row in status(context, ["v1.0.0"]) for cell in row.environments}
        assert found == {(image, "prod") for image in IMAGES}
        digest = world.tags("frontend")["v1.1.0"]
        found = {(row.image, cell.environment) for row in status(context, [digest]) for cell in row.environments}
        assert found == {("frontend", "dev"), ("frontend", "test")}
        with fails("status.unknown", 4) as caught:
            status(context, ["prd"])
        assert "prod" in caught[0].hint


class TestRecords:
    def test_tag_and_annotations(self, world: World) -> None:
        tags = world.tags("frontend")
        own = sorted(tag for tag in tags if tag.startswith("_tagflow.prod."))
        assert len(own) == 1
        manifest = world.memory.open(world.repository("frontend")).get(own[0])
        assert own[0] == f"_tagflow.prod.000001.{manifest.digest[7:19]}"
        assert manifest.document["artifactType"] == "application/vnd.tagflow.record.v1+json"
        notes = dict(manifest.annotations)
        assert "org.opencontainers.image.created" in notes
        keys = [
            "environment",
            "repository",
            "action",
            "version",
            "digest",
            "previous-version",
            "previous-digest",
            "release",
            "release-number",
            "members",
            "actor",
            "reason",
            "overrides",
            "parents",
            "state",
        ]
        assert {f"io.tagflow.record.{key}" for key in keys} <= set(notes)
        assert notes["io.tagflow.record.environment"] == "prod"
        assert notes["io.tagflow.record.version"] == "v1.0.0"
        assert notes["io.tagflow.record.release-number"] == "1"

    def test_what_a_later_version_adds_is_passed_over(self, world: World) -> None:
        """Annotations and parts of the checkpoint that nobody knows yet break no reader."""
        store = world.memory.open(world.repository("frontend"))
        [first] = [tag for tag in world.tags("frontend") if tag.startswith("_tagflow.prod.")]
        document = json.loads(store.get(first).content)
        notes = document["annotations"]
        state = json.loads(notes["io.tagflow.record.state"])
        state["more"], state["stack"][0]["note"] = {"a": 1}, "b"
        notes |= {
            "io.tagflow.record.ticket": "4711",
            "org.example.note": "hello",
            "io.tagflow.record.parents": f"{first}@{world.tag('frontend', first)}",
            "io.tagflow.record.state": json.dumps(state),
        }
        later = Manifest(OCI_MANIFEST, json.dumps(document, indent=2).encode())
        store.put(later, f"_tagflow.prod.000002.{later.digest[7:19]}")
        assert world.cell("frontend", "prod").version == "v1.0.0"
        world.promote("v1.1.0", to="prod")
        world.rollback("prod")
        assert [action for action, _, _ in world.records("frontend", "prod")] == ["promote"] * 3 + ["rollback"]
        assert "history.broken" not in {it.problem for it in verify(world.context(), ["prod"])}

    def test_a_record_that_somebody_wrote_under_a_false_tag(self, world: World) -> None:
        world.hand_move("frontend", "_tagflow.prod.000009.0123456789ab", world.tags("frontend")["v1.0.0"])
        with pytest.raises(TagflowError) as raised:
            world.promote("v1.1.0", to="prod")
        assert raised.value.code == "history.broken"
        assert raised.value.exit_status == 5

    def test_parents_are_named(self, world: World) -> None:
        world.promote("v1.1.0", to="prod")
        tags = sorted(tag for tag in world.tags("frontend") if tag.startswith("_tagflow.prod."))
        manifest = world.memory.open(world.repository("frontend")).get(tags[1])
        assert tags[0] in manifest.annotations["io.tagflow.record.parents"]

    def test_odd_reasons_come_back_as_they_were(self, world: World) -> None:
        reason = 'it\'s "fine",\n a,b @ ü 漢 \\ \x1b[31m'
        world.promote("v1.1.0", to="prod", reason=reason)
        head = world.seen("frontend", "prod").standing.head
        assert head is not None
        assert head.record.reason == reason

    def test_a_lone_surrogate_in_a_reason_is_no_traceback(self, world: World) -> None:
        """What a terminal in another encoding hands over: os.fsdecode makes one of a byte that is no UTF-8."""
        try:
            world.promote("v1.1.0", to="prod", reason="caf\udce9")
        except UsageError:
            assert set(world.runs("prod").values()) == {"v1.0.0"}
        else:
            assert set(world.runs("prod").values()) == {"v1.1.0"}
