"""Hundreds of images: a policy in parts, one release, bounded threads, messages that a person can read."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tagflow.config.load import load_policy
from tagflow.domain.plan import Request
from tagflow.domain.reference import Repository
from tagflow.errors import combine
from tagflow.stores.layout.store import LayoutStore
from tagflow.verbs.promote import propose_promote
from tests import images
from tests.cli.runner import Desk
from tests.flows.world import World, fails
from tests.marks import LONG

TEAMS, EACH = 15, 20
COUNT = TEAMS * EACH
NAMES = [f"svc-{team}-{number}" for team in range(TEAMS) for number in range(EACH)]
ENVIRONMENTS = "environments:\n  dev: {}\n  prod: {soak: 24h, floating: [latest], labels: [team], downgrades: allow}\n"


def write_policy(path: Path, registry: str, environments: str = ENVIRONMENTS) -> Path:
    """A policy of 300 images, the images in one included file a team."""
    (path / "teams").mkdir(parents=True, exist_ok=True)
    for team in range(TEAMS):
        entries = "".join(f"  {name}: team-{team}/{name}\n" for name in NAMES[team * EACH : (team + 1) * EACH])
        (path / f"teams/{team}.yaml").write_text(f"images:\n{entries}")
    included = "".join(f"  - teams/{team}.yaml\n" for team in range(TEAMS))
    policy = path / "promotion.yaml"
    policy.write_text(f"version: 1\nregistry: {registry}\ninclude:\n{included}{environments}")
    return policy


def test_the_policy_itself_stays_short(tmp_path: Path) -> None:
    path = write_policy(tmp_path, "registry.test/acme")
    assert len(path.read_text().splitlines()) < 25
    assert [image.name for image in load_policy(path).images] == NAMES


class Crowd(World):
    """A world of 300 images, whose policy lies in files."""

    def __init__(self, path: Path, environments: str = ENVIRONMENTS) -> None:
        self.path = path
        super().__init__(threads=16)
        self.policy = load_policy(write_policy(path, "registry.test/acme", environments))

    def build_all(self, version: str) -> None:
        for image in self.policy.images:
            images.image(self.memory.open(self.repository(image.name)), content=image.name.encode(), tag=version)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """v1.0.0 of each is in dev; there it stays."""
    crowd = Crowd(tmp_path_factory.mktemp("crowd"))
    crowd.build_all("v1.0.0")
    crowd.promote("v1.0.0", to="dev")
    return crowd


@LONG
def test_a_release_of_three_hundred_in_memory(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path, "environments:\n  dev: {}\n  prod: {floating: [latest]}\n")
    crowd.build_all("v1.0.0")
    most = [0]

    def watch(*_: object) -> None:
        most[0] = max(most[0], sum(thread.name.startswith("tagflow") for thread in threading.enumerate()))

    with crowd.hooked(before=watch):
        outcome = crowd.promote("v1.0.0", to="dev")
        outcome = crowd.promote("v1.0.0", to="prod")
    assert outcome.applied
    assert len(outcome.plan.members) == COUNT
    assert set(crowd.runs("prod").values()) == {"v1.0.0"}
    assert len({crowd.tags(name)["prod"] for name in NAMES}) == COUNT
    assert 1 < most[0] <= 2 * crowd.threads  # never a thread an image


@LONG
def test_a_release_fails_and_all_of_it_is_put_back(tmp_path: Path) -> None:
    """The last of 300 environment tags does not move: the other 299 go back."""
    crowd = Crowd(tmp_path, "environments:\n  dev: {}\n  prod: {}\n")
    for version in ("v1.0.0", "v1.1.0"):
        for image in crowd.policy.images:
            content = f"{image.name} {version}".encode()
            images.image(crowd.memory.open(crowd.repository(image.name)), content=content, tag=version)
    crowd.promote("v1.0.0", to="dev")
    crowd.promote("v1.0.0", to="prod")
    crowd.promote("v1.1.0", to="dev")
    last = crowd.repository(NAMES[-1])
    crowd.memory.immutable = lambda repository, tag: (repository, tag) == (last, "prod")
    with fails("tag.immutable", 3):
        crowd.promote("v1.1.0", to="prod")
    assert all(crowd.tags(name)["prod"] == crowd.tags(name)["v1.0.0"] for name in NAMES)
    assert set(crowd.states("prod").values()) == {"recorded"}
    crowd.memory.immutable = lambda repository, tag: False
    crowd.promote("v1.1.0", to="prod")
    assert set(crowd.runs("prod").values()) == {"v1.1.0"}


@LONG
def test_different_versions_in_one_release(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path, "environments:\n  dev: {}\n  prod: {}\n")
    for number, image in enumerate(crowd.policy.images):
        store = crowd.memory.open(crowd.repository(image.name))
        for version in ("v2.0.0", f"v1.{number}.0"):
            images.image(store, content=f"{image.name} {version}".encode(), tag=version)
    wanted = {name: f"v1.{number}.0" for number, name in enumerate(NAMES) if number % 3}
    targets = ["v2.0.0", *(f"{name}={version}" for name, version in wanted.items())]
    for environment in ("dev", "prod"):
        assert crowd.promote(*targets, to=environment).applied
        assert crowd.runs(environment) == {name: wanted.get(name, "v2.0.0") for name in NAMES}


@LONG
def test_a_refusal_is_a_line_an_image_and_the_advice_is_not_repeated(crowd: Crowd) -> None:
    request = Request("promote", "prod", ("v1.0.0",))
    error = combine(propose_promote(crowd.context(), request).decision.refusals)
    lines = error.message.splitlines()
    assert len(lines) == 2 * COUNT  # soak and label of each
    assert max(map(len, lines)) < 160
    assert len(error.hint.splitlines()) <= 3
    assert {it["image"] for it in error.details} == set(NAMES)


@LONG
def test_a_freeze_is_told_once(tmp_path: Path) -> None:
    """It says the same of every image."""
    crowd = Crowd(tmp_path, "environments:\n  dev: {}\n  prod: {freeze: [{days: [mon], timezone: UTC}]}\n")
    crowd.build_all("v1.0.0")
    crowd.promote("v1.0.0", to="dev")
    with crowd.unchanged(), fails("promotion.frozen", 3) as caught:
        crowd.promote("v1.0.0", to="prod")
    assert caught[0].message.splitlines() == ["prod is frozen until Tue 2026-03-03 00:00 UTC"]
    assert len(caught[0].details) == COUNT


@LONG
def test_one_that_is_not_there_among_three_hundred(crowd: Crowd) -> None:
    crowd.build("v1.1.0", *NAMES[:-1])
    with crowd.unchanged(), fails("version.not_found", 4) as caught:
        crowd.promote("v1.1.0", to="dev")
    assert caught[0].message.count("\n") == 0
    assert NAMES[-1] in caught[0].message


@LONG
def test_gates_of_three_hundred_run_at_most_so_many_at_once(tmp_path: Path) -> None:
    (tmp_path / "at").mkdir()
    script = tmp_path / "gate.sh"
    script.write_text(f"#!/bin/sh\ncd {tmp_path}/at && : > $$ && set -- * && echo $# >> ../counts && exec rm $$\n")
    script.chmod(0o755)
    gate = f"environments:\n  dev: {{}}\n  prod: {{gates: [{{name: g, run: {script}}}]}}\n"
    crowd = Crowd(tmp_path / "policy", gate)
    crowd.build_all("v1.0.0")
    crowd.promote("v1.0.0", to="dev")
    outcome = crowd.promote("v1.0.0", to="prod")
    assert len(outcome.gates) == COUNT
    assert all(gate.passed for gate in outcome.gates)
    counts = [int(line) for line in (tmp_path / "counts").read_text().split()]
    assert len(counts) == COUNT
    assert max(counts) <= crowd.threads


@LONG
def test_three_hundred_layouts_by_the_command_line(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    write_policy(tmp_path, "oci:./registry", "environments:\n  dev: {}\n  prod: {floating: [latest]}\n")
    for number, name in enumerate(NAMES):
        store = LayoutStore(Repository(f"oci:{tmp_path}/registry", f"team-{number // EACH}/{name}"))
        images.image(store, content=name.encode(), tag="v1.0.0")
    for environment in ("dev", "prod"):
        done = desk.tagflow("promote", "v1.0.0", "--to", environment, "-o", "json")
        assert done.status == 0, done.err
        moves = done.result["plan"]["moves"]
        assert len({move["image"] for move in moves}) == COUNT
    rows = desk.tagflow("status", "prod", "-o", "json").result["images"]
    assert {row["environments"][0]["version"] for row in rows} == {"v1.0.0"}
    assert desk.tagflow("verify", "prod").status == 0
