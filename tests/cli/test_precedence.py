"""Where several things are wrong at once, one of them decides: usage first, then 6, 4, 5, 3."""

from __future__ import annotations

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images
from tests.cli.runner import Desk


@pytest.mark.parametrize(
    "arguments",
    [
        ["promote", "--to", "nowhere"],
        ["promote", "", "--to", "nowhere"],
        ["promote", "v1.0", "v1.1", "--to", "nowhere"],
        ["promote", "nothing", "v1.0", "v1.1", "--to", "test"],
        ["promote", "nothing", "frontend=", "--to", "test"],
        ["promote", "nothing=v1.0", "frontend=x", "--to", "test"],
        ["promote", "v1.0", "--to", "nowhere", "--override", "soak"],
        ["promote", "nothing", "--to", "test", "--override", "nothing", "--reason", "x"],
        ["promote", "--all", "v1.0", "--to", "nowhere"],
        ["rollback", "nowhere", "v1.0", "v1.1"],
        ["push", "v1.0", "nothing=oci:x", "frontend"],
        ["push", "v1.0", "nothing=oci:x", "frontend=x"],
        ["push", "x", "nothing=oci:x"],
        ["history", "nowhere", "--limit", "0"],
    ],
)
def test_usage_before_not_found(desk: Desk, arguments: list[str]) -> None:
    assert desk.json(*arguments)["exit_code"] == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["v9.9", "--to", "prod", "--from", "dev"], "version.not_found"),
        (["nothing", "--to", "prod", "--from", "dev"], "image.not_found"),
        (["v9.9", "--to", "test", "--override", "hold", "--reason", "x"], "version.not_found"),
        (["v1.0", "backend=v9.9", "--to", "prod"], "version.not_found"),
    ],
)
def test_not_found_before_refused(desk: Desk, arguments: list[str], code: str) -> None:
    desk.write(
        "version: 1\nregistry: oci:./registry\nimages: {frontend: frontend, backend: back_end}\n"
        "environments: {dev: {}, test: {overrides: []}, prod: {}}\n"
    )
    desk.through("v1.0", "dev")
    document = desk.json("promote", *arguments)
    assert (document["exit_code"], document["error"]["code"]) == (4, code)


def test_everything_is_told(desk: Desk) -> None:
    desk.through("v1.0", "dev")
    document = desk.json("promote", "frontend=v9.9", "backend=v1.0", "--to", "prod", "--from", "dev")
    codes = {detail["code"] for detail in document["error"]["details"]}
    assert codes == {"version.not_found", "promotion.order"}


@pytest.mark.parametrize("target", ["v1.0", "frontend", "--all"])
def test_a_way_that_the_policy_does_not_have(desk: Desk, target: str) -> None:
    desk.through("v1.0", "dev", "test")
    before = desk.files()
    document = desk.json("promote", target, "--to", "prod", "--from", "dev")
    assert (document["exit_code"], document["error"]["code"]) == (3, "promotion.order")
    assert document["result"] is None
    assert desk.files() == before


def test_a_denied_override_shows_the_plan_and_asks_the_rules_all_the_same(desk: Desk) -> None:
    desk.write(
        "version: 1\nregistry: oci:./registry\nimages: {frontend: frontend, backend: back_end}\n"
        "environments: {dev: {}, test: {overrides: [freeze]}}\n"
    )
    desk.through("v1.1", "dev", "test")
    desk.through("v1.0", "dev")
    document = desk.json("promote", "v1.0", "--to", "test", "--override", "downgrades", "--reason", "x")
    assert document["exit_code"] == 3
    codes = {detail["code"] for detail in document["error"]["details"]}
    assert codes == {"override.denied", "promotion.downgrade"}
    assert document["result"]["applied"] is False


def test_two_spellings_in_two_registries(desk: Desk) -> None:
    desk.write(
        "version: 1\nregistry: oci:./registry\nimages: {frontend: frontend}\n"
        "environments: {dev: {}, prod: {registry: 'oci:./elsewhere'}}\n"
    )
    desk.build("v1.0", "frontend")
    other = LayoutStore(Repository(f"oci:{desk.path}/elsewhere", "frontend"))
    images.index(other, seed="another build", tag="v1.0.0")
    assert desk.quickly("promote", "v1.0", "--to", "dev").status == 0
    document = desk.json("promote", "v1.0", "--to", "prod")
    assert (document["exit_code"], document["error"]["code"]) == (5, "version.spelling")
    assert "v1.0 at" in document["error"]["message"]
    assert "v1.0.0 at" in document["error"]["message"]


def test_a_repository_that_several_environments_share_is_named_once(desk: Desk) -> None:
    desk.write(
        "version: 1\nregistry: oci:./registry\nimages: {frontend: frontend}\n"
        "environments: {dev: {}, test: {}, qa: {from: [dev]}, prod: {from: [test, qa]}}\n"
    )
    message = desk.json("promote", "v9.9", "--to", "prod")["error"]["message"]
    assert message.count("registry/frontend") == 1
