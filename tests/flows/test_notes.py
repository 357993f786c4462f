"""hold and freeze: what they need, what they take from promotion, and releases that are under way meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tagflow.cli.render.status import notes
from tagflow.domain.reference import Repository
from tagflow.domain.state import Hold, State
from tagflow.errors import Conflict
from tagflow.verbs.repair import repair
from tagflow.verbs.status import status
from tagflow.verbs.verify import verify
from tests.flows.world import World, fails
from tests.memory import WRITES

POLICY = """\
version: 1
registry: registry.test/acme
images: {app: app, api: api}
environments:
  dev: {}
  prod: {floating: [latest]}
"""


@pytest.fixture
def world() -> World:
    """v1.1.0 runs in prod, v1.0.0 before it."""
    world = World()
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "test", "prod")
    return world


def names(holds: Iterable[Hold]) -> set[str]:
    return {hold.version for hold in holds}


def held(world: World, image: str, environment: str = "prod") -> set[str]:
    return names(world.seen(image, environment).standing.state.holds)


def test_each_needs_a_reason(world: World) -> None:
    with world.unchanged():
        for blank in ("", "  "):
            with fails("reason.missing", 2):
                world.hold("prod", "v1.1.0", reason=blank)
            with fails("reason.missing", 2):
                world.freeze("prod", reason=blank)


def test_a_hold_is_of_a_version(world: World) -> None:
    with world.unchanged():
        with fails("target.missing", 2):
            world.hold("prod")
        with fails("target.invalid", 2) as caught:
            world.hold("prod", "frontend", "worker=v1.1.0")
    assert caught[0].message == "frontend: which version?"


def test_a_version_that_only_some_images_have_is_held_in_those(world: World) -> None:
    world.build("v1.2.0", "frontend", "worker")
    world.hold("prod", "v1.2.0")
    assert [held(world, image) for image in ("frontend", "backend", "worker")] == [{"v1.2.0"}, set(), {"v1.2.0"}]


def test_one_that_is_named_must_have_it(world: World) -> None:
    world.build("v1.2.0", "frontend")
    with world.unchanged(), fails("version.not_found", 4) as caught:
        world.hold("prod", "frontend=v1.2.0", "backend=v1.2.0")
    assert caught[0].message == "backend has no v1.2.0"
    with world.unchanged(), fails("version.not_found", 4) as caught:
        world.hold("prod", "v9.0.0")
    assert caught[0].message == "frontend has no v9.0.0\nbackend has no v9.0.0\nworker has no v9.0.0"


def test_what_only_the_history_still_knows_is_held_with_its_bytes(world: World) -> None:
    digest = world.tag("frontend", "v1.0.0")
    for image in ("frontend", "backend", "worker"):
        for tag in [tag for tag in world.tags(image) if tag.startswith("v1.0.0")]:
            world.hand_remove(image, tag)
    world.hold("prod", "v1.0.0")
    (hold,) = world.seen("frontend", "prod").standing.state.holds
    assert (hold.version, hold.digest) == ("v1.0.0", digest)
    world.hold("prod", "v1.0.0", lift=True)
    assert held(world, "frontend") == set()


def test_a_lift_says_what_is_held_still_as_the_same_bytes(world: World) -> None:
    world.build("v1.1.1", "frontend", seed="frontend v1.1.0")
    world.hold("prod", "frontend=v1.1.0")
    told = (
        "v1.1.1 of frontend is held still, as the same bytes as v1.1.0:"
        " `tagflow hold prod frontend=v1.1.0 --lift --reason WHY`"
    )
    assert world.hold("prod", "frontend=v1.1.1", lift=True).notes == (told,)
    world.hold("prod", "frontend=v1.1.1")
    assert world.hold("prod", "frontend=v1.1.1", lift=True).notes == (told,)
    assert world.hold("prod", "frontend=v1.1.0", lift=True).notes == ()


class TestWhatANoteLeaves:
    """It moves no tag: what runs, and where a floating tag stands, is told with the way on."""

    @pytest.fixture
    def world(self) -> World:
        world = World(POLICY)
        for version in ("v1.0.0", "v1.1.0"):
            world.through(version, "dev", "prod")
        return world

    def test_what_is_held_runs_and_is_the_latest(self, world: World) -> None:
        assert world.hold("prod", "v1.1.0").notes == (
            "v1.1.0 still runs in prod: `tagflow rollback prod` goes back",
            "latest belongs to v1.0.0 now: `tagflow verify prod --repair` moves it",
        )

    def test_the_way_on_leads_on(self, world: World) -> None:
        world.hold("prod", "v1.1.0")
        repair(world.context(), ["prod"])
        assert [world.tag(it, "latest") for it in ("app", "api")] == [world.tag(it, "v1.0.0") for it in ("app", "api")]
        told = "latest belongs to v1.1.0 now: `tagflow verify prod --repair` moves it"
        assert world.hold("prod", "v1.1.0", lift=True).notes == (told,)
        repair(world.context(), ["prod"])
        assert world.hold("prod", "v1.0.0").notes == ()
        assert world.tag("app", "latest") == world.tag("app", "v1.1.0")

    def test_of_one_image_it_is_named(self, world: World) -> None:
        assert world.hold("prod", "api=v1.1.0").notes == (
            "v1.1.0 of api still runs in prod: `tagflow rollback prod api` goes back",
            "latest of api belongs to v1.0.0 now: `tagflow verify prod --repair` moves it",
        )
        assert world.rollback("prod", "api").applied
        assert world.runs("prod") == {"app": "v1.1.0", "api": "v1.0.0"}
        assert world.tag("api", "latest") == world.tag("api", "v1.0.0")

    def test_the_same_bytes_are_held_under_another_name(self, world: World) -> None:
        world.build("v1.1.0-rc.1", "api", seed="api v1.1.0")
        assert world.hold("prod", "api=v1.1.0-rc.1").notes[0].startswith("v1.1.0-rc.1 of api still runs in prod: ")

    def test_the_first_that_ran_has_nothing_to_go_back_to(self) -> None:
        """Nor has one before which the same bytes ran alone, or one of several that is not all there yet."""
        world = World(POLICY)
        world.build("v1.0.0-rc.1", seed="same")
        world.build("v1.0.0", seed="same")
        for version in ("v1.0.0-rc.1", "v1.0.0"):
            world.promote(version, to="dev")
            world.promote(version, to="prod")
        told = "v1.0.0 still runs in prod: `tagflow verify prod` has the way on"
        assert told in world.hold("prod", "v1.0.0").notes
        repairs = {it.repair for it in verify(world.context(), ["prod"]) if it.problem == "running.held"}
        assert repairs == {f"tagflow promote {image}=VERSION --to prod" for image in ("app", "api")}

    def test_a_member_of_what_is_not_finished_does_not_go_back_alone(self, world: World) -> None:
        world.build("v1.2.0")
        world.promote("v1.2.0", to="dev")
        assert world.crash(lambda: world.promote("v1.2.0", to="prod"), 6)
        assert world.runs("prod")["app"] == "v1.2.0"
        told = "v1.2.0 of app still runs in prod: `tagflow verify prod` has the way on"
        assert told in world.hold("prod", "app=v1.2.0").notes
        [repair] = [it.repair for it in verify(world.context(), ["prod"]) if it.problem == "running.held"]
        assert repair == "tagflow promote api=v1.2.0 app=v1.2.0 --to prod"

    def test_no_end_of_a_hold_lets_in_what_never_arrived(self, world: World) -> None:
        world.build("v1.2.0")
        world.promote("v1.2.0", to="dev")
        assert world.crash(lambda: world.promote("v1.2.0", to="prod"), 5)
        world.rollback("prod")
        world.hold("prod", "v1.2.0")
        assert world.hold("prod", "v1.2.0", lift=True).notes == ()

    def test_several_floating_tags_are_told_together(self) -> None:
        world = World(POLICY.replace("[latest]", "[latest, major]"))
        for version in ("v1.0.0", "v1.1.0"):
            world.through(version, "dev", "prod")
        *_, told = world.hold("prod", "v1.1.0").notes
        assert told == "latest, v1 belong to v1.0.0 now: `tagflow verify prod --repair` moves them"

    def test_the_way_back_of_what_came_by_several_releases_leads_back_at_once(self) -> None:
        world = World(POLICY)
        world.through("v1.0.0", "dev", "prod")
        world.build("v1.1.0")
        for image in ("app", "api"):
            world.promote(f"{image}=v1.1.0", to="dev")
            world.promote(f"{image}=v1.1.0", to="prod")
        told, *_ = world.hold("prod", "v1.1.0").notes
        assert told == "v1.1.0 still runs in prod: `tagflow rollback prod app api` goes back"
        [note] = [it for it in notes(status(world.context(), []), world.context().policy, world.now) if it.images]
        assert [command for command, _ in note.commands] == ["tagflow rollback prod app api"]
        world.rollback("prod", "app", "api")
        assert set(world.runs("prod").values()) == {"v1.0.0"}

    def test_where_none_is_left_a_floating_tag_keeps_its_place(self, world: World) -> None:
        world.hold("prod", "v1.0.0")
        assert world.hold("prod", "v1.1.0").notes == ("v1.1.0 still runs in prod: `tagflow rollback prod` goes back",)


def test_twice_and_a_lift_of_nothing_change_nothing(world: World) -> None:
    world.hold("prod", "v1.1.0")
    with world.unchanged():
        world.hold("prod", "1.1.0")
        world.hold("prod", "v1.0.0", lift=True)
        world.freeze("prod", lift=True)


@pytest.mark.parametrize("note", ["hold", "freeze"])
def test_a_rollback_under_way_is_finished_all_the_same(world: World, note: str) -> None:
    """It takes out of promotion what the note takes out: nobody has to be told."""
    write = 1
    while True:
        tried = world.copy()
        assert tried.crash(lambda: tried.rollback("prod"), write)  # noqa: B023
        if "interrupted" in tried.states("prod").values():
            break
        write += 1
    tried.warnings.clear()
    outcome = tried.hold("prod", "v1.1.0") if note == "hold" else tried.freeze("prod")
    assert outcome.applied
    assert not [it for it in (*tried.warnings, *outcome.notes) if "under way" in it or "not finished" in it]
    tried.rollback("prod")
    assert set(tried.runs("prod").values()) == {"v1.0.0"}
    assert (tried.seen("frontend", "prod").standing.state.freeze is not None) == (note == "freeze")


def test_what_was_held_while_a_release_was_under_way_stays_held_when_it_is_abandoned(world: World) -> None:
    world.through("v1.2.0", "dev", "test")
    write = 1
    while True:
        tried = world.copy()
        assert tried.crash(lambda: tried.promote("v1.2.0", to="prod"), write)  # noqa: B023
        if set(tried.states("prod").values()) == {"interrupted"}:
            break
        write += 1
    tried.hold("prod", "v1.0.0")
    with pytest.raises(Conflict, match=r"written down, from now on; release 3 in prod by ann is still under way"):
        tried.freeze("prod", reason="incident")
    tried.rollback("prod")
    assert set(tried.runs("prod").values()) == {"v1.1.0"}
    state = tried.seen("frontend", "prod").standing.state
    assert {hold.version for hold in state.holds} == {"v1.0.0"}
    assert state.freeze is not None
    assert state.freeze.reason == "incident"


def announced(world: World, version: str) -> World:
    """A world in which a release of that version was announced for all images, and died."""
    write = 1
    while True:
        tried = world.copy()
        assert tried.crash(lambda: tried.promote(version, to="prod"), write)  # noqa: B023
        if set(tried.states("prod").values()) == {"interrupted"}:
            return tried
        write += 1


@pytest.mark.parametrize("version", ["v1.2.0", "v1.3.0"])
def test_of_two_releases_announced_at_once_each_is_told_of(world: World, version: str) -> None:
    """Only one of them is the effective head, and either may be going on."""
    for each in ("v1.2.0", "v1.3.0"):
        world.through(each, "dev", "test")
    one = announced(world, "v1.2.0")
    world.actor, world._last_id = "bob", world._last_id + 100  # another process, with names of its own
    other = announced(world, "v1.3.0")
    for repository, tags in other.memory.snapshot().items():
        mine, its = one.memory.content(repository), other.memory.content(repository)
        mine.tags.update({tag: digest for tag, digest in tags.items() if tag.startswith("_tagflow.prod.")})
        mine.manifests.update(its.manifests)
        mine.blobs.update(its.blobs)
    with pytest.raises(Conflict, match="is still under way, or died"):
        one.hold("prod", version)
    assert version in held(one, "frontend")


@pytest.mark.parametrize(
    "until", [datetime(2020, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC), datetime(2099, 1, 1)]
)
def test_the_end_of_a_freeze_is_one_to_come_that_can_be_read_again(world: World, until: datetime) -> None:
    with world.unchanged(), fails("time.invalid", 2):
        world.freeze("prod", until=until)


@contextmanager
def meanwhile(world: World, action: Callable[[], object]) -> Iterator[None]:
    """Somebody else acts at the moment when the block begins to write."""
    waiting = [action]

    def before(operation: str, _repository: Repository, _detail: str) -> None:
        if operation in WRITES and waiting:
            with world.hooked(before=lambda *_: None):
                waiting.pop()()

    with world.hooked(before):
        yield
    assert not waiting


class TestWhatOneLiftsWhileAnotherWrites:
    """A lift is known by what its record's parents had and it has not: it holds though another record, written at the
    same moment, still has what was lifted."""

    @pytest.fixture(autouse=True)
    def noted(self, world: World) -> None:
        for version in ("v1.2.0", "v1.3.0"):
            world.through(version, "dev", "test")
        world.hold("prod", "v1.2.0")
        world.freeze("dev")
        world.later(hours=1)

    def state(self, world: World, environment: str = "prod") -> State:
        return world.seen("frontend", environment).standing.state

    def heads(self, world: World, environment: str = "prod") -> int:
        return len(world.seen("frontend", environment).standing.heads)

    def test_a_hold(self, world: World) -> None:
        with meanwhile(world, lambda: world.hold("prod", "v1.2.0", lift=True)):
            world.freeze("prod")
        assert self.heads(world) == 2
        assert not held(world, "frontend")
        world.freeze("prod", lift=True)
        assert (self.heads(world), self.state(world).holds, self.state(world).freeze) == (1, frozenset(), None)
        assert world.promote("v1.2.0", to="prod").applied

    def test_a_freeze(self, world: World) -> None:
        with meanwhile(world, lambda: world.freeze("dev", lift=True)):
            world.hold("dev", "v1.1.0")
        assert self.heads(world, "dev") == 2
        assert (held(world, "frontend", "dev"), self.state(world, "dev").freeze) == ({"v1.1.0"}, None)
        assert world.promote("v1.0.0", to="dev").applied

    def test_a_hold_that_is_made_anew_stands(self, world: World) -> None:
        with meanwhile(world, lambda: world.hold("prod", "v1.2.0", lift=True)):
            world.hold("prod", "v1.2.0", reason="worse than we thought")
        assert self.heads(world) == 2
        assert {hold.reason for hold in self.state(world).holds} == {"worse than we thought"}

    def test_a_hold_that_replaces_another_stands_beside_a_release(self, world: World) -> None:
        """The release has seen the old one only; that one ended with the new one."""
        promotion = world.propose_promote("frontend=v1.3.0", to="prod")
        world.hold("prod", "v1.2.0", reason="worse than we thought")
        world.carry_out(promotion)
        assert {hold.reason for hold in self.state(world).holds} == {"worse than we thought"}
        with fails("promotion.held", 3):
            world.promote("v1.2.0", to="prod")

    def test_a_release_that_does_not_arrive_lifts_nothing_for_a_note_on_it(self, world: World) -> None:
        """The note is written on a promotion with an override, and is no lift itself."""
        two = World(memory=world.memory, actor="two")
        letting_in = world.propose_promote("frontend=v1.2.0", to="prod", override=("hold",), reason="mended")
        with meanwhile(world, lambda: two.freeze("prod")), fails("promotion.frozen", 3):
            world.carry_out(letting_in)
        world.freeze("prod", lift=True)
        assert "v1.2.0" in held(world, "frontend")
        with fails("promotion.held", 3):
            world.promote("frontend=v1.2.0", to="prod")

    def test_a_freeze_that_is_made_anew_stands(self, world: World) -> None:
        with meanwhile(world, lambda: world.freeze("dev", lift=True)):
            world.freeze("dev", reason="the fair goes on")
        freeze = self.state(world, "dev").freeze
        assert self.heads(world, "dev") == 2
        assert freeze is not None
        assert freeze.reason == "the fair goes on"

    def test_a_promotion_that_wins(self, world: World) -> None:
        """The promotion lets the version in again; who lost, and died, had the hold still."""
        two = World(memory=world.memory, actor="two")
        winner = world.propose_promote("frontend=v1.2.0", to="prod", override=("hold",), reason="mended elsewhere")
        loser = two.propose_promote("frontend=v1.3.0", to="prod")
        world.carry_out(winner)
        assert two.crash(lambda: two.carry_out(loser), 2)
        assert self.heads(world) == 2
        assert not held(world, "frontend")
        assert repair(world.context(), []).left == ()
        assert (self.heads(world), world.runs("prod")["frontend"]) == (1, "v1.2.0")
        assert not held(world, "frontend")

    def test_a_loser_that_gives_way_to_what_let_it_in(self, world: World) -> None:
        """Its own view is older: the hold came, or was there, before the promotion that lets the version in."""
        two = World(memory=world.memory, actor="two")
        world.freeze("dev", lift=True)
        world.through("v1.4.0", "dev", "test")
        world.promote("frontend=v1.2.0", to="prod", override=("hold",), reason="mended elsewhere")
        for held_meanwhile in (True, False):
            if not held_meanwhile:
                world.hold("prod", "frontend=v1.3.0")
            loser = two.propose_promote("frontend=v1.4.0", to="prod")
            if held_meanwhile:
                world.hold("prod", "frontend=v1.3.0")
            world.promote("frontend=v1.3.0", to="prod", override=("hold",), reason="mended elsewhere")
            with fails("release.overtaken", 5):
                two.carry_out(loser)
            assert (self.heads(world), held(world, "frontend")) == (1, set())
            world.rollback("prod", "frontend")
            world.hold("prod", "frontend=v1.3.0", lift=True)

    def test_a_promotion_that_loses(self, world: World) -> None:
        """It lifted the hold for itself, and did not arrive."""
        two = World(memory=world.memory, actor="two")
        winner = world.propose_promote("frontend=v1.3.0", to="prod")
        loser = two.propose_promote("frontend=v1.2.0", to="prod", override=("hold",), reason="mended elsewhere")
        world.carry_out(winner)
        assert two.crash(lambda: two.carry_out(loser), 2)
        assert (self.heads(world), held(world, "frontend")) == (2, {"v1.2.0"})
        assert repair(world.context(), []).left == ()
        assert (self.heads(world), held(world, "frontend")) == (1, {"v1.2.0"})
