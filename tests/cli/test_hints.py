"""Every hint that names a command names one that works: it is typed in the scene in which it is given."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests.cli.runner import POLICY, Desk

NAMES = ["adservice", "auth", "cart", "checkout", "currency", "email", "frontend", "backend"]
MANY = POLICY.replace(
    "frontend: frontend, backend: back_end", ", ".join(f"{it}: {it.replace('backend', 'back_end')}" for it in NAMES)
)


@dataclass(frozen=True)
class Scene:
    """What was done before, what is typed, how that ends, and what the hint says to type."""

    before: Callable[[Desk], None]
    typed: str
    code: str
    hints: tuple[str, ...]
    policy: str = POLICY


def released(*versions: str, to: str = "prod") -> Callable[[Desk], None]:
    """Some versions have been brought as far as an environment."""
    environments = ["dev", "test", "prod"]

    def play(desk: Desk) -> None:
        for version in versions:
            desk.build(version, *_names(desk))
            for environment in environments[: environments.index(to) + 1]:
                desk.act("promote", version, "--to", environment)

    return play


def _names(desk: Desk) -> list[str]:
    return NAMES if "adservice" in (desk.path / "promotion.yaml").read_text() else []


def then(*steps: Callable[[Desk], None] | str) -> Callable[[Desk], None]:
    """One after the other; a text is a command."""

    def play(desk: Desk) -> None:
        for step in steps:
            if isinstance(step, str):
                desk.act(*shlex.split(step))
            else:
                step(desk)

    return play


SCENES = {
    "not admitted to the environment before": Scene(
        then(released("v1.0"), released("v1.1", to="dev")),
        "promote v1.1 --to prod --reason 'at last' --yes",
        "promotion.order",
        ("promote v1.1 --to test",),
    ),
    "eight of them": Scene(
        then(released("v1.0"), released("v1.1", to="dev")),
        "promote v1.1 --to prod",
        "promotion.order",
        ("promote v1.1 --to test",),
        MANY,
    ),
    "only one of eight": Scene(
        then(released("v1.0"), released("v1.1", to="dev"), "promote cart=v1.1 --to test"),
        "promote v1.1 --to prod",
        "promotion.order",
        ("promote v1.1 --to test",),
        MANY,
    ),
    "held after a rollback": Scene(
        then(released("v1.0", "v1.1"), "rollback prod"),
        "promote v1.1 --to prod",
        "promotion.held",
        ("promote v1.1 --to prod --override hold --reason WHY",),
    ),
    "eight that are held": Scene(
        then(released("v1.0", "v1.1"), "rollback prod"),
        "promote v1.1 --to prod --reason 'next try'",
        "promotion.held",
        ("promote v1.1 --to prod --reason 'next try' --override hold",),
        MANY,
    ),
    "a soak": Scene(
        then(released("v1.0", to="test")),
        "promote v1.0 --to prod",
        "promotion.soak",
        ("promote v1.0 --to prod --override soak --reason WHY",),
        POLICY.replace("prod: {", "prod: {soak: 24h, "),
    ),
    "a freeze without an end": Scene(
        then(released("v1.0", to="test")),
        "promote v1.0 --to prod",
        "promotion.frozen",
        ("promote v1.0 --to prod --override freeze --reason WHY",),
        POLICY.replace("prod: {", "prod: {freeze: [{from: 2020-01-01, to: 2099-12-31, timezone: UTC}], "),
    ),
    "a soak and a freeze": Scene(
        then(released("v1.0", to="test")),
        "promote v1.0 --to prod",
        "promotion.soak",
        ("promote v1.0 --to prod --override soak --override freeze --reason WHY",),
        POLICY.replace("prod: {", "prod: {soak: 1h, freeze: [{from: 2020-01-01, to: 2099-12-31, timezone: UTC}], "),
    ),
    "a soak that may not be set aside": Scene(
        then(released("v1.0", to="test")),
        "promote v1.0 --to prod",
        "promotion.soak",
        (),
        POLICY.replace("prod: {", "prod: {soak: 24h, overrides: [], "),
    ),
    "a lower version": Scene(
        then(released("v1.0", "v1.1")),
        "promote v1.0 --to prod",
        "promotion.downgrade",
        ("promote v1.0 --to prod --override downgrades --reason WHY",),
    ),
    "nothing ran before": Scene(
        then(released("v1.0")),
        "rollback prod",
        "rollback.nothing",
        ("history prod",),
    ),
    "a version that nobody has pushed": Scene(
        then(released("v1.0")),
        "promote v9.0 --to prod",
        "version.not_found",
        (),
        MANY,
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_what_a_hint_says_works_when_typed(name: str, tmp_path: Path) -> None:
    scene, desk = SCENES[name], Desk(tmp_path / "scene")
    desk.path.mkdir()
    desk.write(scene.policy)
    scene.before(desk)
    done = desk.quickly(*shlex.split(scene.typed))
    assert f"error[{scene.code}]" in done.err
    hints = [line.removeprefix("hint: ") for line in done.err.splitlines() if line.startswith("hint: ")]
    commands = [command for hint in hints for command in re.findall(r"`tagflow ([^`]*)`", hint)]
    assert set(scene.hints) <= set(commands), done.err
    for number, command in enumerate(commands):
        if "SOURCE" in command:
            continue
        copy = Desk(Path(shutil.copytree(desk.path, tmp_path / str(number))))
        again = copy.quickly(*shlex.split(command))
        assert again.status == 0, f"{command}: {again.err}"


def test_equal_reasons_of_many_images_are_one_line(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(MANY)
    then(released("v1.0"), released("v1.1", to="dev"))(desk)
    done = desk.quickly("promote", "v1.1", "--to", "prod")
    told = done.err.splitlines()
    assert told[0] == "error[promotion.order]: 8 images: v1.1 cannot go to prod: it is not admitted to test"
    assert told[1] == f"  {', '.join(NAMES)}"
    assert len(told) == 4
    assert len(desk.json("promote", "v1.1", "--to", "prod")["error"]["details"]) == 8


class TestAtNight:
    """What somebody must know who is woken up."""

    @pytest.fixture
    def desk(self, tmp_path: Path) -> Desk:
        """v1.0, v1.1 and v1.2 went to prod, one after the other."""
        desk = Desk(tmp_path)
        desk.write(POLICY)
        released("v1.0", "v1.1", "v1.2")(desk)
        return desk

    def test_a_rollback_says_what_it_holds(self, desk: Desk) -> None:
        done = desk.quickly("rollback", "prod", "--reason", "blank page")
        assert "v1.2 of 2 images is held from now on" in done.err
        assert done.out.splitlines()[-1].startswith("✓ prod: v1.2 → v1.1 · frontend, backend · release 4")

    def test_a_second_one_says_that_one_was_just_made(self, desk: Desk) -> None:
        desk.act("rollback", "prod")
        done = desk.quickly("rollback", "prod", "--dry-run")
        assert re.search(r"the last rollback was \d+s ago, by ann", done.err)
        assert "It would be prod: v1.1 → v1.0." in done.out

    def test_the_refusal_says_who_when_and_why(self, desk: Desk) -> None:
        desk.act("rollback", "prod", "--reason", "blank page")
        told = desk.quickly("promote", "v1.2", "--to", "prod").err.splitlines()[0]
        assert re.search(r"frontend, backend: v1\.2 is held in prod, by ann since \w+ [\d: -]+ UTC: blank page$", told)

    def test_what_is_held_in_the_environment_before_is_let_in_there(self, desk: Desk) -> None:
        desk.act("hold", "test", "v1.2", "--reason", "it leaks")
        desk.act("rollback", "prod")
        done = desk.quickly("promote", "v1.2", "--to", "prod")
        (command,) = re.findall(r"`tagflow ([^`]*)`", done.err)
        assert command == "hold test v1.2 --lift --reason WHY"
        desk.act(*shlex.split(command))
        assert "held in test" not in desk.quickly("promote", "v1.2", "--to", "prod").err

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["hold", "test", "v1.1", "--reason", "x"], "✓ test: v1.1 is held · frontend, backend"),
            (["freeze", "prod", "--reason", "x"], "✓ prod: frozen, nothing is promoted there · frontend, backend"),
            (["freeze", "prod", "--lift", "--reason", "x"], "Nothing to do."),
        ],
    )
    def test_a_hold_and_a_freeze_say_what_is_so_now(self, desk: Desk, words: list[str], told: str) -> None:
        assert desk.quickly(*words).out == f"{told}\n"

    def test_a_plan_can_be_looked_at(self, desk: Desk) -> None:
        desk.act("rollback", "prod", "--save-plan", "back.json")
        before = desk.files()
        done = desk.quickly("apply", "back.json", "--dry-run")
        assert done.status == 0
        assert "v1.2 → v1.1" in done.out
        assert desk.files() == before

    def test_a_stale_plan_says_what_moved_and_who_did_it(self, desk: Desk) -> None:
        desk.act("rollback", "prod", "v1.0", "--save-plan", "back.json")
        desk.act_with(["rollback", "prod"], TAGFLOW_ACTOR="bob")
        done = desk.quickly("apply", "back.json")
        assert done.status == 5
        assert re.search(
            r"^frontend, backend: prod runs v1\.1, by bob at [\d: -]+Z, where the plan expects v1\.2$", done.err, re.M
        )

    def test_a_plan_that_was_carried_out_says_by_whom(self, desk: Desk) -> None:
        desk.act("rollback", "prod", "--save-plan", "back.json")
        desk.act_with(["apply", "back.json"], TAGFLOW_ACTOR="bob")
        done = desk.quickly("apply", "back.json")
        assert "the plan is stale: it was carried out already, by bob at " in done.err

    def test_history_counts_releases(self, desk: Desk) -> None:
        assert len(desk.quickly("history", "prod", "--limit", "2").out.split("\n\n")) == 2
        assert len(desk.json("history", "prod", "--limit", "2")["result"]["entries"]) == 4

    def test_a_move_by_hand_is_not_signed_by_who_found_it(self, desk: Desk) -> None:
        store = LayoutStore(Repository(f"oci:{desk.path}/registry", "frontend"))
        store.put(store.get("v1.0"), "prod")
        desk.act_with(["rollback", "prod", "frontend=v1.1"], TAGFLOW_ACTOR="bob")
        told = desk.quickly("history", "prod", "frontend").out
        assert re.search(r"^[\d: -]+Z  found, moved by hand  recorded by bob", told, re.M)
