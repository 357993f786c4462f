"""status --at and history --since: what the history tells of a moment, and how little of it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from tagflow.domain.history import Parent, Record, fingerprint
from tagflow.domain.own_tags import RecordTag, parse_record_tag, record_tag
from tagflow.domain.records import ARTIFACT_TYPE, to_annotations
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.state import Release, StackEntry, State
from tagflow.errors import StoreError
from tagflow.stores.artifact import artifact, write_empty
from tagflow.verbs.history import history
from tagflow.verbs.past import Past, status_at
from tagflow.verbs.report import report
from tagflow.verbs.status import Cell
from tests.flows.world import START, World, fails


def cell(past: Past, image: str, environment: str) -> Cell:
    row = next(row for row in past.rows if row.image == image)
    return next(it for it in row.environments if it.environment == environment)


@contextmanager
def reads(world: World) -> Iterator[Counter[str]]:
    """How many records of each image are read meanwhile."""
    counted: Counter[str] = Counter()

    def before(operation: str, repository: Repository, detail: str) -> None:
        if operation == "get" and parse_record_tag(detail):
            counted[repository.path] += 1

    with world.hooked(before):
        yield counted


def test_each_moment_of_a_story() -> None:
    world = World()
    moments: list[tuple[datetime, str | None]] = [(world.now, None)]

    def note(version: str | None) -> None:
        world.later(hours=1)
        moments.append((world.now, version))
        world.later(hours=1)

    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        world.through(version, "dev", "test", "prod")
        note(version)
    world.rollback("prod")
    note("v1.1.0")
    world.hold("prod", "v1.0.0")
    note("v1.1.0")
    built = world.build("v9.0.0", "frontend")["frontend"]
    world.hand_move("frontend", "prod", built)
    note("v1.1.0")  # nobody has written it down yet
    world.promote("frontend=v1.2.0", to="prod", override=("hold",), reason="mended")
    note("v1.2.0")
    for moment, wanted in moments:
        found = cell(status_at(world.context(), moment, ["prod"]), "frontend", "prod")
        assert found.version == wanted, moment
        assert found.state == ("empty" if wanted is None else "recorded")
        assert (found.digest is None) == (wanted is None)
        assert found.by == (None if wanted is None else "ann")
    held = cell(status_at(world.context(), moments[4][0], []), "frontend", "prod").holds
    assert held == ("v1.2.0",)


def test_now_is_as_status_says() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.later(days=1)
    world.through("v1.1.0", "dev", "test", "prod")
    world.rollback("test")
    found = status_at(world.context(), world.now + timedelta(days=1), [])
    for image in ("frontend", "backend", "worker"):
        for environment in ("dev", "test", "prod"):
            now, then = world.cell(image, environment), cell(found, image, environment)
            assert (then.version, then.digest, then.since, then.by, then.state, then.holds) == (
                now.version,
                now.digest,
                now.since,
                now.by,
                now.state,
                now.holds,
            )


@pytest.mark.parametrize("finish", [True, False])
def test_a_release_that_died(finish: bool) -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.later(hours=1)
    world.through("v1.1.0", "dev", "test")
    for number in range(1, 40):
        copy = world.copy()
        copy.crash(lambda copy=copy: copy.promote("v1.1.0", to="prod"), number)  # type: ignore[misc]
        if copy.states("prod")["frontend"] == "interrupted":
            break
    between = copy.now
    assert cell(status_at(copy.context(), between, []), "frontend", "prod").version == "v1.0.0"
    assert cell(status_at(copy.context(), between, []), "frontend", "prod").state == "interrupted"
    copy.later(hours=1)
    if finish:
        copy.promote("v1.1.0", to="prod")
    else:
        copy.rollback("prod")
    copy.later(hours=1)
    wanted = "v1.1.0" if finish else "v1.0.0"
    assert cell(status_at(copy.context(), copy.now, []), "frontend", "prod").version == wanted
    if not finish:  # it never arrived, and the history says so by now
        assert cell(status_at(copy.context(), between, []), "frontend", "prod").version == "v1.0.0"


def died(world: World) -> list[datetime]:
    """v1.1.0 of one image is announced in prod and dies; then v1.0.0 is held there, and let in again: the moments."""
    world.through("v1.1.0", "dev", "test")
    world.later(hours=1)
    assert world.crash(lambda: world.promote("frontend=v1.1.0", to="prod"), 2)
    moments = [world.now]
    for lift in (False, True):
        world.later(hours=1)
        world.hold("prod", "frontend=v1.0.0", lift=lift)
        moments.append(world.now)
    return moments


def test_a_release_that_died_and_what_was_noted_on_it() -> None:
    """A note carries on what was announced: before it and after it, that has not arrived."""
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    moments = died(world)
    with fails("release.interrupted", 5):
        world.freeze("prod", reason="stop")
    moments.append(world.now)
    now = world.cell("frontend", "prod")
    for moment in moments:
        found = cell(status_at(world.context(), moment, ["prod"]), "frontend", "prod")
        assert (found.state, found.version, found.digest) == ("interrupted", "v1.0.0", now.digest)
        assert found.wanted == now.wanted == "v1.1.0"
        assert found.frozen == (now.frozen if moment == moments[-1] else None)
        assert [hold.version for hold in found.held] == list(found.holds)
    [shown] = [it.past["frontend"] for it in report(world.context(), ["prod", "frontend"]).timelines]
    assert [run.version for run in shown] == ["v1.0.0"]


def test_a_release_that_was_abandoned_after_something_was_noted_on_it() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    ran = world.cell("frontend", "prod")
    moments = died(world)
    world.later(hours=1)
    world.rollback("prod")
    for moment, holds in zip(moments, [(), ("v1.0.0",), ()], strict=True):
        found = cell(status_at(world.context(), moment, ["prod"]), "frontend", "prod")
        assert (found.state, found.version, found.digest) == ("recorded", ran.version, ran.digest)
        assert (found.since, found.by, found.holds) == (ran.since, ran.by, holds)


def test_a_first_release_that_was_abandoned_after_something_was_noted_on_it() -> None:
    """Below it is no record, and what was noted was noted."""
    world = World()
    world.through("v1.0.0", "dev", "test")
    assert world.crash(lambda: world.promote("v1.0.0", to="prod"), 4)
    world.build("v0.9.0-rc.1", "frontend")
    world.hold("prod", "frontend=v0.9.0-rc.1", reason="it leaks")
    with fails("release.interrupted", 5):
        world.freeze("prod")
    world.later(hours=1)
    noted = world.now
    world.later(hours=1)
    world.rollback("prod")
    past = cell(status_at(world.context(), noted, []), "frontend", "prod")
    assert (past.state, past.version, past.holds) == ("empty", None, ("v0.9.0-rc.1",))
    assert [hold.reason for hold in past.held] == ["it leaks"]
    assert past.frozen is not None


def test_a_record_that_cannot_be_read_is_named() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.hold("prod", "frontend=v1.0.0")
    held = next(tag for tag in world.tags("frontend") if tag.startswith("_tagflow.prod.000002."))

    def refuse(operation: str, _: Repository, detail: str) -> None:
        if (operation, detail) == ("get", held):
            raise StoreError("layout.corrupt", "a blob is damaged")

    with world.hooked(refuse):
        past = status_at(world.context(), world.now, ["prod"])
    [told] = past.unread
    assert told.startswith("prod: not all of the history of frontend can be read (")
    assert held in told
    assert cell(past, "frontend", "prod").version == "v1.0.0"


def test_narrowed() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test")
    world.later(hours=1)
    world.through("v1.1.0", "dev")
    found = status_at(world.context(), world.now, ["frontend", "v1.0.0"])
    assert [(row.image, [it.environment for it in row.environments]) for row in found.rows] == [("frontend", ["test"])]
    with fails("status.unknown", 4):
        status_at(world.context(), world.now, ["nope"])


def long_history(world: World, count: int) -> list[datetime]:
    """As many records of one image in prod, an hour apart; when each was written."""
    repository = world.history_repository("frontend", "prod")
    store = world.memory.open(repository)
    write_empty(store)
    times = [START + timedelta(hours=hour) for hour in range(count)]
    parents: tuple[Parent, ...] = ()
    written: list[RecordTag] = []
    record = Record(
        environment="prod",
        repository=str(repository),
        action="promote",
        version="v0.0.0",
        digest=None,
        previous_version=None,
        previous_digest=None,
        release=Release("r0", 0),
        actor="ann",
        reason="",
        overrides=(),
        at=START,
        parents=(),
        state=State(),
    )
    for number, at in enumerate(times, 1):
        release, digest = Release(f"r{number}", number), Digest(f"sha256:{number:064x}")
        stack = (StackEntry(f"v0.0.{number}", digest, release),)
        record = replace(
            record,
            version=f"v0.0.{number}",
            digest=digest,
            previous_version=record.version if record.digest else None,
            previous_digest=record.digest,
            release=release,
            at=at,
            parents=parents,
            state=State(stack=stack, since=at, by="ann", seen=fingerprint(written) if count < 1000 else ""),
        )
        manifest = artifact(ARTIFACT_TYPE, to_annotations(record))
        tag = record_tag("prod", number, manifest.digest)
        store.put(manifest, str(tag))
        written.append(tag)
        parents = (Parent(tag, manifest.digest),)
        world.hand_move("frontend", "prod", digest)
    return times


def test_fifteen_of_two_thousand_records_at_most() -> None:
    world = World()
    times = long_history(world, 2000)
    for index in (0, 1, 2, 17, 999, 1000, 1023, 1024, 1500, 1998, 1999):
        with reads(world) as counted:
            found = cell(status_at(world.context(), times[index], ["frontend", "prod"]), "frontend", "prod")
        assert found.version == f"v0.0.{index + 1}"
        assert counted.total() <= 15


@pytest.mark.parametrize("limit", [None, 3])
def test_history_since_a_moment(limit: int | None) -> None:
    world = World()
    times = long_history(world, 300)
    for index in (0, 1, 150, 298, 299):
        with reads(world) as counted:
            found = history(world.context(), "prod", ["frontend"], limit, times[index])
        told = [item.entry.tag.sequence for item in found.entries]
        assert told == list(range(300, index, -1))[:limit]
        assert counted.total() <= len(told) + 12
    assert history(world.context(), "prod", ["frontend"], limit, times[-1] + timedelta(seconds=1)).entries == ()


def test_the_limit_counts_releases() -> None:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test", "prod")
    world.through("v1.2.0", "dev", "test")
    world.promote("backend=v1.2.0", to="prod")
    found = history(world.context(), "prod", [], 2)
    assert [(item.image, item.entry.record.version) for item in found.entries] == [
        ("backend", "v1.2.0"),
        ("frontend", "v1.1.0"),
        ("backend", "v1.1.0"),
        ("worker", "v1.1.0"),
    ]
