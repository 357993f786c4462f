"""pin: what runs, into files; all of them or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tagflow.errors import TagflowError
from tagflow.verbs import pin
from tagflow.verbs.pin import Pinning, pin_files
from tests.flows.world import World, fails

FRONT = "services: {{a: {{image: registry.test/acme/frontend{}}}}}  # kept\n"
BACK = "services: {{b: {{image: registry.test/acme/back_end{}}}}}\n"


@pytest.fixture
def world() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    return world


def write(folder: Path, **contents: str) -> list[Path]:
    for name, text in contents.items():
        (folder / f"{name}.yaml").write_text(text)
    return [folder / f"{name}.yaml" for name in contents]


def test_files_say_what_runs(world: World, tmp_path: Path) -> None:
    paths = write(tmp_path, one=FRONT.format(":v0.9"), two=BACK.format(""), three="a: 1\n")
    found = pin_files(world.context(), "prod", paths)
    front, back = world.tag("frontend", "prod"), world.tag("backend", "prod")
    assert [path.read_text() for path in paths] == [
        FRONT.format(f":v1.0.0@{front}"),
        BACK.format(f":v1.0.0@{back}"),
        "a: 1\n",
    ]
    assert [(len(it.changes), it.references) for it in found.files] == [(1, 1), (1, 1), (0, 0)]
    assert found.message.splitlines() == [
        "Pin prod: frontend v1.0.0, backend v1.0.0",
        "",
        f"frontend v1.0.0 {front}",
        f"backend v1.0.0 {back}",
    ]
    again = pin_files(world.context(), "prod", paths, mode="check")
    assert (again.differing, again.message) == ((), "")


def test_check_and_show_change_nothing(world: World, tmp_path: Path) -> None:
    [path] = write(tmp_path, one=FRONT.format(":v0.9"))
    with fails("pin.differs", 5) as caught:
        pin_files(world.context(), "prod", [path], mode="check")
    assert isinstance(caught[0].result, Pinning)
    assert pin_files(world.context(), "prod", [path], mode="show").files[0].diff.startswith("--- a/")
    assert path.read_text() == FRONT.format(":v0.9")


def test_no_registry_is_asked_where_there_is_nothing_to_pin(tmp_path: Path) -> None:
    world = World()
    [path] = write(tmp_path, one="image: nginx\n")
    asked: list[str] = []
    with world.hooked(before=lambda operation, *_: asked.append(operation)):
        assert pin_files(world.context(), "prod", [path]).differing == ()
    assert asked == []


def test_an_image_that_does_not_run(world: World, tmp_path: Path) -> None:
    world.build("v1.1.0", "frontend")
    [path] = write(tmp_path, one=FRONT.format("") + BACK.format("").replace("services", "more"))
    empty = World(memory=world.memory, text=world.text.replace("  prod:", "  later: {}\n  prod:"))
    with fails("environment.empty", 4) as caught:
        pin_files(empty.context(), "later", [path])
    assert [line.partition(":")[0] for line in caught[0].message.splitlines()] == ["frontend", "backend"]


def test_while_a_release_is_under_way_files_get_what_runs(world: World, tmp_path: Path) -> None:
    world.through("v1.1.0", "dev", "test")
    [path] = write(tmp_path, one=FRONT.format(""))
    for write_number in range(1, 30):
        if (
            world.crash(lambda: world.promote("v1.1.0", to="prod"), write_number)
            and "interrupted" in world.states("prod").values()
        ):
            break
        world.rollback("prod") if "interrupted" in world.states("prod").values() else None
    assert world.states("prod")["frontend"] == "interrupted"
    pin_files(world.context(), "prod", [path])
    assert path.read_text() == FRONT.format(f":v1.0.0@{world.tag('frontend', 'prod')}")
    assert any("is not finished" in it for it in world.warnings)


def test_what_was_moved_by_hand(world: World, tmp_path: Path) -> None:
    [path] = write(tmp_path, one=FRONT.format(":v0.9"))
    built = world.build("v3.0.0", "frontend")["frontend"]
    world.hand_move("frontend", "prod", built)
    pin_files(world.context(), "prod", [path])
    assert path.read_text() == FRONT.format(f":v3.0.0@{built}")  # its version tag tells
    world.hand_remove("frontend", "v3.0.0")
    with fails("environment.unrecorded", 5):
        pin_files(world.context(), "prod", [path])
    pin_files(world.context(), "prod", [path], "digest")
    assert path.read_text() == FRONT.format(f"@{built}")


def test_problems_of_all_files_are_told_and_nothing_is_written(world: World, tmp_path: Path) -> None:
    paths = write(tmp_path, one=FRONT.format(":v0.9"), two="image: registry.test/acme/back_end:$TAG\n", three="a: [\n")
    with fails("pin.unsupported", 2) as caught:
        pin_files(world.context(), "prod", paths)
    assert [detail["file"] for detail in caught[0].details] == [str(paths[1]), str(paths[2])]
    assert paths[0].read_text() == FRONT.format(":v0.9")


def test_files_that_cannot_be_read(world: World, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with fails("file.unreadable", 2) as caught:
        pin_files(world.context(), "prod", [tmp_path, tmp_path / "none", tmp_path / "pipe"])
    assert len(caught[0].message.splitlines()) == 3


def test_links_and_permissions_stay_and_one_file_is_changed_once(world: World, tmp_path: Path) -> None:
    [path] = write(tmp_path, one=FRONT.format(""))
    path.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to("one.yaml")
    found = pin_files(world.context(), "prod", [link, path, tmp_path / "." / "one.yaml"])
    assert [it.file for it in found.files] == [str(link)]
    assert link.is_symlink()
    assert path.stat().st_mode & 0o7777 == 0o640
    assert ":v1.0.0@" in path.read_text()
    assert sorted(it.name for it in tmp_path.iterdir()) == ["link.yaml", "one.yaml"]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_all_files_or_none(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    paths = write(tmp_path, a=FRONT.format(""), b=FRONT.format(":v0"), c=BACK.format(""))
    before = [path.read_bytes() for path in paths]
    replace, calls = Path.replace, [0]

    def fail(self: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] == failing + 1:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with fails("file.unwritable", 6) as caught:
        pin_files(world.context(), "prod", paths)
    assert f"cannot write {paths[failing]}: No space left on device" in caught[0].message
    assert [path.read_bytes() for path in paths] == before
    assert sorted(it.name for it in tmp_path.iterdir()) == ["a.yaml", "b.yaml", "c.yaml"]


def test_a_file_that_somebody_changed_meanwhile(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path, a=FRONT.format(""), b=FRONT.format(":v0"))
    make = pin._aside

    def aside(target: Path, content: bytes) -> Path:
        if target == paths[1]:
            target.write_text("b: mine\n")
        return make(target, content)

    monkeypatch.setattr(pin, "_aside", aside)
    with fails("file.changed", 5):
        pin_files(world.context(), "prod", paths)
    assert [path.read_text() for path in paths] == [FRONT.format(""), "b: mine\n"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(world: World, tmp_path: Path) -> None:
    [path] = write(tmp_path, one=FRONT.format(""))
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(TagflowError, match="cannot write"):
            pin_files(world.context(), "prod", [path])
    finally:
        tmp_path.chmod(0o700)
