"""Every hint that names a command names one that works: it is typed in the scene in which it is given.

The scenes are of OCI layouts, where everything is quick; a hint of the code that is in no scene fails a
test of its own.
"""

from __future__ import annotations

import ast
import atexit
import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tagflow.cli.completion.table import OPTIONS
from tagflow.cli.hints import put
from tagflow.domain.reference import Repository
from tagflow.errors import StoreError, TagflowError
from tagflow.stores.layout.store import LayoutStore
from tests import images
from tests.cli.runner import POLICY, Desk
from tests.marks import mostly_long

NAMES = ["adservice", "auth", "cart", "checkout", "currency", "email", "frontend", "backend"]
MANY = POLICY.replace(
    "frontend: frontend, backend: back_end", ", ".join(f"{it}: {it.replace('backend', 'back_end')}" for it in NAMES)
)


@dataclass(frozen=True)
class Scene:
    """What was done before, what is typed, how that ends (an error's code, or nothing), and what is said to be typed.

    ``stops_at`` is the move of a tag that the medium refuses; ``still`` the exit status of a hint where something else
    is in the way, too, and is told beside it.
    """

    before: Callable[[Desk], None]
    typed: str
    code: str
    hints: tuple[str, ...]
    policy: str = POLICY
    stops_at: int | None = None
    still: int = 0


def released(*versions: str, to: str = "prod") -> Callable[[Desk], None]:
    """Some versions have been brought as far as an environment."""
    environments = ["dev", "test", "prod"]

    def play(desk: Desk) -> None:
        shelf = _SHELF / sha256(repr(((desk.path / "promotion.yaml").read_text(), versions, to)).encode()).hexdigest()
        first = not (desk.path / "registry").exists()
        if first and shelf.exists():
            shutil.copytree(shelf, desk.path, dirs_exist_ok=True)
            return
        for version in versions:
            desk.build(version, *_names(desk))
            for environment in environments[: environments.index(to) + 1]:
                desk.act("promote", version, "--to", environment)
        if first:
            shutil.copytree(desk.path, shelf)

    return play


_SHELF = Path(tempfile.mkdtemp(prefix="tagflow-scenes-"))
"""Where beginnings that several scenes share are kept, once they were played."""
atexit.register(shutil.rmtree, _SHELF, ignore_errors=True)


def _names(desk: Desk) -> list[str]:
    return NAMES if "adservice" in (desk.path / "promotion.yaml").read_text() else []


def then(*steps: Callable[[Desk], object] | str) -> Callable[[Desk], None]:
    """One after the other; a text is a command."""

    def play(desk: Desk) -> None:
        for step in steps:
            if isinstance(step, str):
                desk.act(*shlex.split(step))
            else:
                step(desk)

    return play


def by_hand(image: str, version: str, tag: str) -> Callable[[Desk], None]:
    """Somebody moves a tag with another tool."""

    def play(desk: Desk) -> None:
        store = _store(desk, image)
        store.put(store.get(version), tag)

    return play


def same_build(version: str, other: str) -> Callable[[Desk], None]:
    """The images of a version are brought in under another one, too."""

    def play(desk: Desk) -> None:
        for image in ("frontend", "back_end"):
            by_hand(image, version, other)(desk)
        desk.act("promote", other, "--to", "dev")

    return play


def removed(image: str, tag: str) -> Callable[[Desk], None]:
    """Somebody removes a tag with another tool."""

    def play(desk: Desk) -> None:
        path = desk.path / "registry" / image / "index.json"
        index = json.loads(path.read_text())
        index["manifests"] = [
            it for it in index["manifests"] if it.get("annotations", {}).get("org.opencontainers.image.ref.name") != tag
        ]
        path.write_text(json.dumps(index))

    return play


def lost(image: str, tag: str) -> Callable[[Desk], None]:
    """What an image is made of is lost in part."""

    def play(desk: Desk) -> None:
        digest = _store(desk, image).get(tag).children[0].digest.removeprefix("sha256:")
        (desk.path / "registry" / image / "blobs" / "sha256" / digest).unlink()

    return play


def built(*arguments: str, folder: str = "registry", tag: str = "") -> Callable[[Desk], None]:
    """Images under a tag that no command of tagflow wrote."""

    def play(desk: Desk) -> None:
        for image in arguments:
            store = LayoutStore(Repository(f"oci:{desk.path}/{folder}", image))
            images.index(store, seed=image + tag, tag=tag)

    return play


def rewritten(before: str, after: str) -> Callable[[Desk], None]:
    """The policy is another from now on."""
    return lambda desk: desk.write((desk.path / "promotion.yaml").read_text().replace(before, after))


class _Died(BaseException):
    """The process ends, whatever is under way."""


def died(at: int, command: str) -> Callable[[Desk], None]:
    """A command ends without a word when it moves its so many-th tag."""

    def play(desk: Desk) -> None:
        with stopped(at, _Died()), pytest.raises(_Died):
            desk.quickly(*shlex.split(command))

    return play


def stopped(at: int, error: BaseException) -> Any:
    """From the so many-th move of a tag on nothing can be moved."""
    count, move = iter(range(1 << 30)), LayoutStore.move

    def refuse(store: LayoutStore, *arguments: Any, **more: Any) -> Any:
        if next(count) >= at:
            raise error
        return move(store, *arguments, **more)

    return patch.object(LayoutStore, "move", refuse)


def _store(desk: Desk, image: str) -> LayoutStore:
    return LayoutStore(Repository(f"oci:{desk.path}/registry", image))


READY = then(released("v1.0", "v1.1"), released("v1.2", to="test"))
"""v1.1 runs in prod, v1.2 may go there."""
SCENES = {
    "not admitted to the environment before": Scene(
        then(released("v1.0"), released("v1.1", to="dev")),
        "promote v1.1 --to prod --reason 'at last' --yes",
        "promotion.order",
        ("promote v1.1 --to test",),
    ),
    "built, and admitted nowhere yet": Scene(
        then(released("v1.0"), lambda desk: desk.build("v1.1")),
        "promote v1.1 --to prod",
        "promotion.order",
        ("promote v1.1 --to dev",),
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
    "what the policy reads no more, and a soak that was set aside": Scene(
        then(
            released("v2026.02.0"),
            released("v2026.3.0", to="test"),
            rewritten("natural", "semver"),
            rewritten("prod: {", "prod: {soak: 24h, "),
        ),
        "promote v2026.3.0 --to prod --override soak --reason big",
        "version.order",
        ("promote v2026.3.0 --to prod --override soak --reason big --override downgrades",),
        POLICY + "tags: {versions: natural}\n",
    ),
    "what the policy reads no more, and a soak": Scene(
        then(
            released("v2026.02.0"),
            released("v2026.3.0", to="test"),
            rewritten("natural", "semver"),
            rewritten("prod: {", "prod: {soak: 24h, "),
        ),
        "promote v2026.3.0 --to prod",
        "version.order",
        ("promote v2026.3.0 --to prod --override soak --override downgrades --reason WHY",),
        POLICY + "tags: {versions: natural}\n",
    ),
    "a lower pre-release, where there are to be none": Scene(
        then(released("v1.1-rc.1", to="test"), released("v1.2")),
        "promote v1.1-rc.1 --to prod",
        "promotion.prerelease",
        (),
        POLICY.replace("prod: {", "prod: {prereleases: deny, "),
    ),
    "nothing ran before": Scene(
        then(released("v1.0")),
        "rollback prod",
        "rollback.nothing",
        ("history prod",),
    ),
    "only one image, and nothing ran before": Scene(
        then(released("v1.0")),
        "rollback prod frontend",
        "rollback.nothing",
        ("history prod frontend",),
    ),
    "nothing ran at all": Scene(
        then(released("v1.0", to="dev")), "rollback prod", "rollback.nothing", ("history prod",)
    ),
    "one of the release is new": Scene(
        then(
            released("v1.0", to="dev"),
            rewritten("backend: back_end", "backend: back_end, new: new"),
            lambda desk: desk.build("v1.1", "frontend", "backend", "new"),
            "promote v1.1 --to dev",
        ),
        "rollback dev",
        "rollback.nothing",
        ("rollback dev frontend backend",),
    ),
    "a version that never ran there": Scene(
        then(released("v1.0")), "rollback prod v9.0", "version.not_found", ("history prod frontend backend",)
    ),
    "the version before is lost": Scene(
        then(released("v1.0", "v1.1"), lost("frontend", "v1.0")),
        "rollback prod",
        "content.missing",
        ("rollback prod frontend=VERSION",),
    ),
    "what is to be promoted is lost": Scene(
        then(READY, lost("frontend", "v1.2")),
        "promote v1.2 --to prod",
        "content.missing",
        ("push v1.2 frontend=SOURCE",),
    ),
    "frozen by somebody": Scene(
        then(READY, "freeze prod --reason incident"),
        "promote v1.2 --to prod",
        "promotion.frozen",
        ("freeze prod --lift --reason WHY", "promote v1.2 --to prod --override freeze --reason WHY"),
    ),
    "frozen, and something else": Scene(
        then(READY, "freeze prod --reason incident", rewritten("prod: {", "prod: {labels: [owner], ")),
        "promote v1.2 --to prod",
        "promotion.frozen",
        ("freeze prod --lift --reason TEXT",),
    ),
    "held before it ever ran": Scene(
        then(READY, "hold prod v1.2 --reason 'it leaks'"),
        "promote v1.2 --to prod",
        "promotion.held",
        ("promote v1.2 --to prod --override hold --reason WHY",),
    ),
    "held before it ever ran, and something else": Scene(
        then(READY, "hold prod v1.2 --reason 'it leaks'", rewritten("prod: {", "prod: {labels: [owner], ")),
        "promote frontend=v1.2 --to prod",
        "promotion.held",
        ("hold prod frontend=v1.2 --lift --reason WHY",),
    ),
    "held, and something else": Scene(
        then(released("v1.0", "v1.1"), "rollback prod", rewritten("prod: {", "prod: {labels: [owner], ")),
        "promote frontend=v1.1 --to prod",
        "promotion.held",
        ("rollback prod frontend=v1.1",),
    ),
    "held in the environment before": Scene(
        then(READY, "hold test v1.2 --reason 'it leaks'"),
        "promote v1.2 --to prod",
        "promotion.order",
        ("hold test v1.2 --lift --reason WHY",),
    ),
    "named without a version, and held in the environment before": Scene(
        then(READY, "hold test v1.2 --reason 'it leaks'"),
        "promote frontend --to prod",
        "promotion.order",
        ("hold test frontend=v1.2 --lift --reason WHY",),
    ),
    "all, and held in the environment before": Scene(
        then(READY, "hold test v1.2 --reason 'it leaks'"),
        "promote --all --to prod",
        "promotion.order",
        ("hold test frontend=v1.2 backend=v1.2 --lift --reason WHY",),
    ),
    "held in the environment before under another version": Scene(
        then(READY, same_build("v1.2", "v1.3"), "promote v1.3 --to test", "hold test v1.2 --reason 'it leaks'"),
        "promote v1.3 --to prod",
        "promotion.order",
        ("hold test frontend=v1.2 backend=v1.2 --lift --reason WHY",),
    ),
    "a hold of nothing": Scene(READY, "hold prod --reason x", "target.missing", ("hold prod VERSION",)),
    "a hold of what does not exist": Scene(
        then(released("v1.0")), "hold prod v9.9 --reason x", "version.not_found", ("status",)
    ),
    "a release died": Scene(
        then(READY, died(1, "promote v1.2 --to prod")),
        "promote v1.0 --to prod",
        "release.interrupted",
        ("promote v1.2 --to prod", "rollback prod"),
    ),
    "a release died, and a rollback is wanted": Scene(
        then(READY, died(1, "rollback prod")),
        "promote v1.2 --to prod",
        "release.interrupted",
        ("rollback prod",),
    ),
    "a rollback is stopped": Scene(READY, "rollback prod", "release.partly_applied", ("rollback prod",), stops_at=1),
    "floating tags are stopped": Scene(
        READY, "rollback prod", "release.partly_applied", ("verify prod --repair",), stops_at=2
    ),
    "a version tag is elsewhere than its combined tag": Scene(
        then(READY, by_hand("frontend", "v1.0", "v1.2")), "promote v1.2 --to prod", "tag.conflict", ("verify",)
    ),
    "a version with another build": Scene(
        then(released("v1.0", to="dev"), built("frontend", folder="build", tag="x")),
        "push v1.0 frontend=oci:build/frontend:x",
        "tag.immutable",
        ("next",),
    ),
    "a version that stands there written otherwise": Scene(
        built("frontend", tag="1.1"),
        "promote frontend=v1.1 --to dev",
        "version.not_found",
        ("push v1.1 frontend=oci:{path}/registry/frontend:1.1",),
    ),
    "a build that is not there": Scene(
        lambda _desk: None,
        "promote frontend=v1.1 --to dev",
        "version.not_found",
        ("push v1.1 frontend=docker-daemon:frontend",),
    ),
    "a digest for a version": Scene(
        then(released("v1.0", to="dev")),
        f"promote frontend=sha256:{'0' * 64} --to test",
        "version.invalid",
        (
            f"status sha256:{'0' * 64}",
            f"push VERSION frontend=oci:{{path}}/registry/frontend@sha256:{'0' * 64}",
        ),
    ),
    "several, and only a name": Scene(
        then(released("v1.0", to="dev")), "verify --running seen.json", "usage.invalid", ("verify ENV --running FILE",)
    ),
    "an environment where nothing runs": Scene(
        then(released("v1.0", to="test")), "pull prod", "environment.empty", ("status prod",)
    ),
    "no policy": Scene(lambda desk: (desk.path / "promotion.yaml").unlink(), "status", "policy.not_found", ("init",)),
    "a plan that was saved": Scene(READY, "promote v1.2 --to prod --save-plan plan.json", "", ("apply plan.json",)),
    "names that are not as the history says": Scene(
        then(
            released("v1.0", "v1.1", "v1.2"),
            removed("frontend", "v1.0-prod"),
            by_hand("back_end", "v1.0", "prod"),
            removed("frontend", "test"),
        ),
        "verify",
        "verify.findings",
        ("verify prod --repair", "rollback prod backend", "rollback test frontend=v1.2", "verify --repair"),
        still=5,
    ),
    "what no record tells of": Scene(
        then(lambda desk: desk.build("v1.0"), by_hand("frontend", "v1.0", "dev")),
        "verify dev",
        "verify.findings",
        ("promote frontend=v1.0 --to dev",),
        still=5,
    ),
    "content that is lost": Scene(
        then(released("v1.0", to="dev"), lost("frontend", "v1.0")),
        "verify dev",
        "verify.findings",
        ("push v1.0 frontend=SOURCE, from wherever it still is whole",),
        still=5,
    ),
    "status, where somebody moved a tag": Scene(
        then(released("v1.0", "v1.1", "v1.2"), by_hand("frontend", "v1.0", "prod")),
        "status",
        "",
        ("rollback prod frontend=v1.2", "promote frontend=v1.0 --to prod"),
    ),
    "status, where a release died": Scene(
        then(READY, died(1, "promote v1.2 --to prod")), "status", "", ("promote v1.2 --to prod", "rollback prod")
    ),
    "status, where a history cannot be read": Scene(
        then(READY, by_hand("frontend", "v1.0", "_tagflow.prod.000009.0123456789ab")), "status", "", ("verify prod",)
    ),
    "the first environment, and no version": Scene(
        READY, "promote frontend --to dev", "target.invalid", ("promote VERSION --to dev",)
    ),
    "status, where it is frozen": Scene(
        then(READY, "freeze prod --reason incident"), "status", "", ("freeze prod --lift --reason WHY",)
    ),
    "status, where a version may go on": Scene(READY, "status", "", ("promote v1.2 --to prod",)),
    "status, where a tag was removed": Scene(
        then(READY, removed("frontend", "prod")), "status", "", ("rollback prod frontend=v1.1",)
    ),
    "a version that nobody has pushed": Scene(
        then(released("v1.0")),
        "promote v9.0 --to prod",
        "version.not_found",
        (),
        MANY,
    ),
}


_OPEN = re.compile(r"\b[A-Z]{2,}\b(?![./])|…|docker-daemon:")
"""Words for which something has to be put in, and what this test does not have."""
_WRITTEN = re.compile(r"`tagflow ([^`]*)`|^  repair   tagflow (.*)$|^    tagflow (.*)$", re.M)


@pytest.mark.parametrize("name", mostly_long(SCENES, *list(SCENES)[::2]))
def test_what_a_hint_says_works_when_typed(name: str, tmp_path: Path) -> None:
    scene, desk = SCENES[name], Desk(tmp_path / "scene")
    desk.path.mkdir()
    desk.write(scene.policy)
    scene.before(desk)
    refusal = StoreError("registry.unavailable", "no answer")
    with nullcontext() if scene.stops_at is None else stopped(scene.stops_at, refusal):
        done = desk.quickly(*shlex.split(scene.typed))
    assert f"error[{scene.code}]" in done.err if scene.code else done.status == 0, done.err
    commands = [" ".join(it).strip() for it in _WRITTEN.findall(f"{done.out}\n{done.err}")]
    commands = [shlex.join(shlex.split(it, comments=True)) for it in dict.fromkeys(commands)]
    assert {shlex.join(shlex.split(_there(it, desk))) for it in scene.hints} <= set(commands), commands
    kept = shutil.copytree(desk.path, tmp_path / "kept")
    for command in commands:
        if _is_open(command):
            continue
        shutil.rmtree(desk.path)
        shutil.copytree(kept, desk.path)  # in the same place: a plan is of the policy, and that of its folder
        again = desk.quickly(*shlex.split(command))
        looks = command.startswith("verify") and again.status == 5
        assert again.status in (0, scene.still) or looks, f"{command}: {again.err}"


def _there(hint: str, desk: Desk) -> str:
    return hint.replace("{path}", str(desk.path))


def _is_open(command: str) -> bool:
    """Whether something has to be put in before it can be typed: all but a reason, which may be any text."""
    return bool(_OPEN.search(command.replace("--reason WHY", "").replace("--reason TEXT", "")))


ELSEWHERE = {
    "tagflow {} --help": "test_words.py types it",
    "tagflow {}": "test_words.py types it",
    "tagflow {} …": "test_words.py types it",
    "tagflow --help": "test_words.py types it",
    "tagflow apply {}": "tests/trust: a plan of an environment with approvals",
    "tagflow approve FILE": "tests/trust",
    "tagflow approve {}": "tests/trust",
    "tagflow approve FILE --out": "tests/trust",
    "tagflow approve plan.json": "tests/trust",
    "tagflow approve PLAN --out FILE": "tests/trust",
    "tagflow apply PLAN --approval FILE": "tests/trust",
    "tagflow apply plan.json": "tests/trust",
    "tagflow doctor": "test_words.py: it needs a registry",
    "tagflow pin {} FILE…": "test_deployments.py: it needs a registry",
    "tagflow pin {} {}": "test_pin.py: it needs deployment files",
    "tagflow pull {} {}": "test_local_images.py types it, where a daemon is played",
    "tagflow push VERSION {}": "test_init.py",
    "tagflow push": "a reason names the command; the hint beside it is typed",
}
"""Hints that are not given on OCI layouts, or by other commands than these; where they are tested."""


def _templates() -> Iterator[str]:
    """Every command in backticks that the code writes into a text for people, ``{}`` for what comes from values."""
    for path in sorted((Path(__file__).parents[2] / "src" / "tagflow").rglob("*.py")):
        tree = ast.parse(path.read_text())
        told = {id(it.value) for it in ast.walk(tree) if isinstance(it, ast.Expr)}
        parts = {id(part) for it in ast.walk(tree) if isinstance(it, ast.JoinedStr) for part in it.values}
        for node in ast.walk(tree):
            if id(node) in told or id(node) in parts or not isinstance(node, ast.Constant | ast.JoinedStr):
                continue
            values = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(it.value) if isinstance(it, ast.Constant) else "{}" for it in values)
            if len(text) < _LONGEST:
                yield from re.findall(r"`(tagflow [^`]*)`", text)


_LONGEST = 1000
"""Characters of a hint; the policy that `init` writes is longer."""


def test_every_hint_of_the_code_is_in_a_scene() -> None:
    given = {f"tagflow {hint}" for scene in SCENES.values() for hint in scene.hints}
    templates = set(_templates())
    assert len(templates) > 25
    for template in sorted(templates):
        pattern = re.escape(template).replace(r"\{\}", ".+")
        if not any(re.fullmatch(pattern, hint) for hint in given):
            assert template in ELSEWHERE, f"{template}: no scene gives this hint"
    assert ELSEWHERE.keys() <= templates, "what the code says no more"


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


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        ("{prereleases: deny}", [released("v1.3.0-rc.1", to="test")]),
        ("{soak: 1h}", [released("v1.3", to="test")]),
        ("{freeze: [{days: [mon, tue, wed, thu, fri, sat, sun]}]}", [released("v1.3", to="test")]),
        ("{}", [same_build("v1.1", "v1.3"), "promote v1.3 --to test"]),
    ],
)
def test_status_prints_no_promotion_that_is_refused(
    tmp_path: Path, rule: str, steps: Sequence[Callable[[Desk], None] | str]
) -> None:
    """By a rule of the policy, or as the same bytes as what was rolled back."""
    desk = Desk(tmp_path)
    desk.write(POLICY)
    then(released("v1.0", "v1.1"), "rollback prod", *steps)(desk)
    desk.write(POLICY.replace("{floating: [latest]}", rule))
    assert desk.quickly("promote", "--all", "--to", "prod").status == 3
    assert "--to prod" not in desk.quickly("status").out


def test_status_prints_no_promotion_beside_a_release_that_is_not_finished(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    then(released("v1.0"), released("v1.1", to="test"), died(1, "promote v1.1 --to prod"))(desk)
    then(released("v1.2", to="test"))(desk)
    told = desk.quickly("status").out
    assert "tagflow promote v1.1 --to prod" in told
    assert "v1.2 --to prod" not in told


def test_a_hold_of_what_was_abandoned_makes_no_target_of_it(tmp_path: Path) -> None:
    """It has never been let in: a rollback does not lead there."""
    desk = Desk(tmp_path)
    desk.write(POLICY)
    then(released("v1.0"), released("v1.1", to="test"), died(0, "promote v1.1 --to prod"), "rollback prod")(desk)
    for before in ("tagflow", "hold prod v1.1 --reason stop"):
        if before != "tagflow":
            desk.act(*shlex.split(before))
        done = desk.quickly("rollback", "prod", "v1.1")
        assert done.status == 4, done.err
    assert desk.tag("frontend", "prod") == desk.tag("frontend", "v1.0")


def test_a_hold_for_another_reason_is_written_down_and_makes_plans_stale(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY.replace("floating: [latest]", "overrides: [hold]"))
    then(released("v1.0"), released("v1.1", to="test"), "hold prod v1.1 --reason flaky")(desk)
    desk.act("promote", "v1.1", "--to", "prod", "--override", "hold", "--reason", "ok", "--save-plan", "plan.json")
    assert "Nothing to do." in desk.quickly("hold", "prod", "v1.1", "--reason", "flaky").out
    desk.act_with(["hold", "prod", "v1.1", "--reason", "CVE"], TAGFLOW_ACTOR="eve")
    assert "error[plan.stale]" in desk.quickly("apply", "plan.json").err
    assert "by eve" in desk.quickly("promote", "v1.1", "--to", "prod").err


def test_an_override_that_is_denied_is_not_advised(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY.replace("floating: [latest]", "overrides: []"))
    then(released("v1.0", "v1.1"), "rollback prod")(desk)
    done = desk.quickly("promote", "v1.1", "--to", "prod", "--override", "hold", "--reason", "x")
    assert done.status == 3
    assert "--override hold --reason TEXT" not in done.err


@pytest.mark.parametrize("back", ["promote v1.0 --to prod --override downgrades --reason back", "rollback prod v1.0"])
def test_no_floating_tag_goes_to_bytes_that_are_held(tmp_path: Path, back: str) -> None:
    """Under whatever other version they were let in."""
    desk = Desk(tmp_path)
    desk.write(POLICY.replace("floating: [latest]", "floating: [latest, major], overrides: [downgrades]"))
    then(released("v1.0", "v1.1"), same_build("v1.1", "v1.2"), "promote v1.2 --to test", "promote v1.2 --to prod")(desk)
    then("hold prod v1.1 --reason CVE", back)(desk)
    good = desk.tag("frontend", "v1.0")
    for command in ("", "verify prod --repair"):
        if command:
            desk.quickly(*shlex.split(command))
        assert [desk.tag("frontend", it) for it in ("prod", "latest", "v1")] == [good] * 3, command
    assert desk.quickly("verify", "prod").status == 0


def test_one_image_of_two_versions_is_told_with_both(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    then(released("v1.1"), same_build("v1.1", "v1.2"))(desk)
    assert "the same: frontend, backend (v1.2 and v1.1)" in desk.quickly("diff", "dev", "prod").out


def test_a_hold_tells_of_no_combined_tag_how_it_came(tmp_path: Path) -> None:
    """Neither does its end: nothing is put at a version that was never promoted."""
    desk = Desk(tmp_path)
    desk.write(POLICY)
    then(released("v1.0"), built("frontend", tag="v9.0"), by_hand("frontend", "v9.0", "v9.0-prod"))(desk)
    for step in ("", "hold prod frontend=v9.0 --reason odd", "hold prod frontend=v9.0 --lift --reason why"):
        if step:
            desk.act(*shlex.split(step))
        done = desk.quickly("verify", "prod", "-o", "json")
        assert [it["problem"] for it in done.document["result"]["findings"]] == ["anchor.moved"], step


def test_what_runs_and_is_held_leads_to_what_is_below_it_if_anything_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    then(released("v1.0"), "hold prod v1.0 --reason leaks")(desk)
    told = desk.quickly("verify", "prod").out
    assert "tagflow promote frontend=VERSION --to prod" in told
    assert "rollback" not in told
    then(released("v1.1"), "hold prod v1.1 --reason leaks, too".replace(", ", "-"))(desk)
    assert "tagflow rollback prod frontend" in desk.quickly("verify", "prod").out
    desk.act("rollback", "prod")


def test_a_combined_tag_that_nobody_promoted_is_found_and_no_repair_is_promised(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY.replace("{floating: [latest]}", "{}"))
    then(READY, by_hand("frontend", "v1.2", "v1.2-prod"))(desk)
    for typed in ("verify", "verify --repair"):
        done = desk.quickly(*shlex.split(typed))
        assert done.status == 5
        assert "anchor.moved  frontend in prod: v1.2-prod\n  no record tells how it came here" in done.out
        assert "hint: What to do stands with each finding: it needs somebody's judgement." in done.err.splitlines()


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
        assert "this rollback holds v1.2 of 2 images: " in done.err
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


def test_where_a_version_is_nowhere_nothing_waits_for_the_others(desk: Desk) -> None:
    desk.write(POLICY.replace("prod: {", "prod: {soak: 1h, "))
    desk.through("v1.0", "dev", "test")
    desk.act("freeze", "prod", "--reason", "incident")
    error = desk.json("promote", "v1.0", "backend=v9.9", "--to", "prod")["error"]
    assert {it["code"] for it in error["details"]} == {"version.not_found", "promotion.soak", "promotion.frozen"}
    assert error["hint"] == (
        "Look at `tagflow status backend`; a new build comes in by `tagflow push v9.9 backend=SOURCE`."
    )


def test_a_wait_is_named_where_the_command_has_one() -> None:
    """`apply` and `verify --repair` meet others as well, and wait for nobody."""
    core = ("Wait for it: the same command with a wait of 5m. If it died: …", "Run it again; a wait does so by itself.")
    for name, options in OPTIONS.items():
        has_it = any("--wait" in names for names, *_ in options)
        for hint in core:
            error = TagflowError("release.interrupted", "…", hint=hint)
            put(error, [name], {})
            assert ("wait of" in error.hint, "a wait" in error.hint, "--wait" in error.hint) == (False, False, has_it)
