"""pin and pull where records are signed: what no counting record says is written nowhere, and pulled by nobody."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace

from tagflow.domain.reference import Digest
from tagflow.verbs.pin import Mode, pin_files
from tagflow.verbs.pull import pull
from tests.flows.test_local_images import Local
from tests.flows.world import fails
from tests.trust.world import Mallory, SignedWorld, policy_text, released

TEXT = "a: {image: registry.test/acme/app:v0.9}\nb: {image: registry.test/acme/services/api:v0.9}\n"


@pytest.fixture
def world() -> SignedWorld:
    return released()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(TEXT)
    return tmp_path / "compose.yaml"


def refused(world: SignedWorld, path: Path) -> str:
    """What every mode of pin says, and pull; the hint."""
    hints = set()
    for mode in get_args(Mode):
        with fails("environment.unrecorded", 5) as caught:
            pin_files(world.context(), "prod", [path], "digest", mode)
        assert caught[0].message == "app: prod was moved by hand: no record that counts says that this should run"
        assert path.read_text() == TEXT
        hints.add(caught[0].hint)
    daemon = Local(world, {})
    with fails("environment.unrecorded", 5):
        pull(replace(world.context(), engine=lambda: daemon), "prod", [])
    assert daemon.pulls == []
    [hint] = hints
    return hint


def test_what_was_moved_by_hand_is_refused(world: SignedWorld, path: Path) -> None:
    Mallory(world).move("app", "prod", Mallory(world).build("app"))
    hint = refused(world, path)
    assert "`tagflow status prod`" in hint
    assert "`tagflow rollback prod app=v1.1`" in hint
    world.rollback("prod", "app=v1.1")
    pin_files(world.context(), "prod", [path])
    assert f"app:v1.1@{world.tag('app', 'v1.1')}" in path.read_text()


def test_so_is_an_older_version_that_a_record_names(world: SignedWorld, path: Path) -> None:
    """Somebody put back what was replaced, as for a fault that was mended since."""
    older = world.tag("app", "v1.0")
    assert older is not None
    world.through("v1.2", "dev", "test", "prod")
    Mallory(world).move("app", "prod", older)
    refused(world, path)


def test_what_the_last_release_replaced_looks_as_if_that_had_not_ended(world: SignedWorld, path: Path) -> None:
    """A record says that it ran before; whether the tag was put back, or has not moved yet, nothing tells."""
    older = world.tag("app", "v1.0")
    assert older is not None
    Mallory(world).move("app", "prod", older)
    pin_files(world.context(), "prod", [path])
    assert world.warnings == [
        "note: a release to prod is not finished, or its tag was put back by hand; what stands there now counts: app"
    ]


def test_what_was_rolled_back_is_refused_when_it_is_put_there_again(world: SignedWorld, path: Path) -> None:
    """That looks like a rollback that has not ended, and nobody is to deploy what it takes away."""
    bad = {name: world.tag(name, "v1.1") for name in ("app", "api")}
    world.rollback("prod")
    for name, digest in bad.items():
        assert digest is not None
        Mallory(world).move(name, "prod", digest)
    for mode in get_args(Mode):
        with fails("environment.unrecorded", 5) as caught:
            pin_files(world.context(), "prod", [path], "digest", mode)
        assert "app: prod stands at v1.1, which is held there" in caught[0].message
        assert caught[0].hint == "First put it right: `tagflow rollback prod`."
        assert path.read_text() == TEXT
    daemon = Local(world, {})
    with fails("environment.unrecorded", 5):
        pull(replace(world.context(), engine=lambda: daemon), "prod", [])
    assert daemon.pulls == []
    world.rollback("prod")
    pin_files(world.context(), "prod", [path])
    assert f"app:v1.0@{world.tag('app', 'v1.0')}" in path.read_text()


def test_records_that_do_not_count_are_told(world: SignedWorld, path: Path) -> None:
    """Pushed over the newest record, something hides a rollback: what is left is a true history, and old."""
    bad = world.tag("app", "v1.1")
    assert bad is not None
    world.rollback("prod")
    Mallory(world).repoint("app", "prod", str(world.head("app", "prod").tag), bad)
    Mallory(world).move("app", "prod", bad)
    pin_files(world.context(), "prod", [path])
    assert world.warnings[-1:] == ["note: prod has records that do not count: app; `tagflow verify prod` tells more"]
    daemon = Local(world, {})
    pull(replace(world.context(), engine=lambda: daemon), "prod", ["app", "api"])
    assert world.warnings[-1].startswith("note: prod has records that do not count: app;")


@pytest.mark.parametrize("write", [2, 3])
def test_so_is_what_a_release_found_there_before_it_died(world: SignedWorld, path: Path, write: int) -> None:
    """It wrote down what it found, and held it: that lets nothing in."""
    Mallory(world).move("app", "prod", Mallory(world).build("app"))
    world.through("v1.2", "dev", "test")
    assert world.crash(lambda: world.promote("app=v1.2", to="prod"), write)
    assert world.cell("app", "prod").state == {2: "recorded", 3: "interrupted"}[write]
    refused(world, path)


def test_a_release_under_way_lets_through_what_ran_before(world: SignedWorld, path: Path) -> None:
    before = world.tag("app", "prod")
    world.through("v1.2", "dev", "test")
    assert world.crash(lambda: world.promote("app=v1.2", to="prod"), 2)
    assert world.cell("app", "prod").state == "interrupted"
    pin_files(world.context(), "prod", [path])
    assert f"app:v1.1@{before}" in path.read_text()


@pytest.mark.parametrize("steps", [("v1.0",), ("v1.0", "v1.2"), ()])
def test_what_a_rollback_and_a_hold_leave_is_pinned(world: SignedWorld, path: Path, steps: tuple[str, ...]) -> None:
    world.rollback("prod")
    for version in steps[1:]:
        world.through(version, "dev", "test", "prod")
    world.hold("prod", "v1.1", reason="leaks")
    pin_files(world.context(), "prod", [path])
    assert f"app:{(steps or ('v1.0',))[-1]}@{world.tag('app', 'prod')}" in path.read_text()


def test_without_signers_it_is_a_note(path: Path) -> None:
    world = SignedWorld(policy_text(signed=""), holder="")
    for version in ("v1.0", "v1.1", "v1.2"):
        world.through(version, "dev", "test", "prod")
    moved = world.tag("app", "v1.0")
    assert moved is not None
    world.hand_move("app", "prod", Digest(moved))
    pin_files(world.context(), "prod", [path])
    pin_files(world.context(), "prod", [path], mode="check")
    daemon = Local(world, {})
    pull(replace(world.context(), engine=lambda: daemon), "prod", [])
    told = "note: prod was moved by hand, and no record says that this should run: app; `tagflow status prod` shows it"
    assert [it for it in world.warnings if "by hand" in it] == [told] * 2
    assert len(daemon.pulls) == 2
