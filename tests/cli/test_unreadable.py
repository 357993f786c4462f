"""What looks tells of the images that can be read, where one repository cannot."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest

from tagflow import StoreError, Tagflow
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Desk
from tests.registries.simulator import Quirks, Simulator, simulated_registry
from tests.standin import Override, Say, StandIn, instead

POLICY = """\
version: 1
registry: {there}
images: {{frontend: frontend, backend: back_end, third: third}}
environments:
  dev: {{}}
  test: {{}}
  prod: {{registry: "{elsewhere}"}}
"""
NAMES = ("frontend", "backend", "third")


@pytest.fixture
def three(desk: Desk) -> Desk:
    """v1.0 of three images is in prod, which lives elsewhere than dev and test."""
    desk.write(POLICY.format(there="oci:./registry", elsewhere="oci:./other"))
    desk.build("v1.0", *NAMES)
    for environment in ("dev", "test", "prod"):
        desk.act("promote", "v1.0", "--to", environment)
    return desk


@pytest.fixture
def damaged(three: Desk) -> Desk:
    """One repository of dev and test cannot be read."""
    (three.path / "registry/back_end/index.json").write_text("{nonsense")
    return three


def test_status_shows_the_others(damaged: Desk) -> None:
    done = damaged.quickly("status")
    assert done.status == 6
    assert [line.split() for line in done.out.splitlines()] == [
        ["IMAGE", "dev", "test", "prod"],
        ["frontend", "v1.0", "v1.0", "v1.0"],
        ["third", "v1.0", "v1.0", "v1.0"],
        ["backend", "v1.0"],
    ]
    assert "error[layout.corrupt]" in done.err
    assert "back_end" in done.err


def test_status_tells_programs_of_the_others(damaged: Desk) -> None:
    document = damaged.json("status")
    assert document["exit_code"] == 6
    assert document["error"]["code"] == "layout.corrupt"
    seen = {row["image"]: [it["environment"] for it in row["environments"]] for row in document["result"]["images"]}
    assert seen == {"frontend": ["dev", "test", "prod"], "backend": ["prod"], "third": ["dev", "test", "prod"]}


def test_no_command_leaves_out_what_could_not_be_seen(three: Desk) -> None:
    three.build("v1.1", *NAMES)
    three.act("promote", "v1.1", "--to", "dev")
    assert "tagflow promote v1.1 --to test" in three.quickly("status").out
    (three.path / "registry/back_end/index.json").write_text("{nonsense")
    done = three.quickly("status")
    assert (done.status, "tagflow promote" in done.out) == (6, False)


def test_history_and_verify_do_so_too(damaged: Desk) -> None:
    index = damaged.path / "registry/third/index.json"
    index.write_text(index.read_text().replace("v1.0-test", "v1.0-tast"))
    told = damaged.json("history", "dev")
    assert told["exit_code"] == 6
    assert [it["image"] for it in told["result"]["entries"]] == ["frontend", "third"]
    found = damaged.json("verify")
    assert found["exit_code"] == 6
    assert [(it["image"], it["problem"]) for it in found["result"]["findings"]] == [("third", "anchor.missing")]
    text = damaged.quickly("verify")
    assert text.status == 6
    assert "v1.0-test" in text.out
    assert "as the history says" not in text.out


def test_nothing_is_put_right_where_not_all_can_be_seen(damaged: Desk) -> None:
    index = damaged.path / "registry/third/index.json"
    index.write_text(index.read_text().replace("v1.0-test", "v1.0-tast"))
    before = damaged.files()
    assert damaged.json("verify", "--repair")["exit_code"] == 6
    assert damaged.files() == before


def test_where_none_can_be_seen_there_is_no_result(damaged: Desk) -> None:
    for name in ("registry/frontend", "registry/third", "other/frontend", "other/back_end", "other/third"):
        (damaged.path / name / "index.json").write_text("{nonsense")
    for command in (("status",), ("history", "prod"), ("verify",)):
        document = damaged.json(*command)
        assert (document["exit_code"], document["result"]) == (6, None)
        assert damaged.quickly(*command).out == ""


def test_what_needs_all_has_no_result(damaged: Desk) -> None:
    for command in (
        ("status", "--html", "page.html"),
        ("status", "--at", "2026-01-01"),
        ("diff", "dev", "prod"),
        ("stats", "dev"),
        ("rollback", "test"),
        ("promote", "v1.0", "--to", "test"),
    ):
        document = damaged.json(*command)
        assert (command, document["exit_code"], document["result"]) == (command, 6, None)
    assert not (damaged.path / "page.html").exists()


def test_the_library_hands_over_the_rows_of_the_others(damaged: Desk) -> None:
    flow = Tagflow(damaged.path / "promotion.yaml", environ={})
    with pytest.raises(StoreError) as caught:
        flow.status("test")
    rows = caught.value.result
    assert isinstance(rows, list)
    assert [(row.image, row.environments[0].version) for row in rows] == [("frontend", "v1.0"), ("third", "v1.0")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, StandIn]]:
    """The same on a registry, where v1.1 came to test since: built once, for it takes as long as all that is asked."""
    with simulated_registry(Quirks()) as (simulator, server):
        desk = Desk(tmp_path_factory.mktemp("registry"))
        desk.write(policy_of(server))
        host = RegistryHost(server.host, Settings(environ={}, writes=True))
        for name in ("frontend", "back_end", "third"):
            images.index(host.store(f"acme/{name}"), seed=name, tag="v1.0")
            images.index(host.store(f"acme/{name}"), seed=f"{name} again", tag="v1.1")
        host.close()
        for version, environment in (
            ("v1.0", "dev"),
            ("v1.0", "test"),
            ("v1.0", "prod"),
            ("v1.1", "dev"),
            ("v1.1", "test"),
        ):
            desk.act("promote", version, "--to", environment)
        yield simulator, server


def policy_of(server: StandIn) -> str:
    return POLICY.format(there=f"{server.host}/acme", elsewhere=f"{server.host}/prod")


@pytest.fixture
def served(desk: Desk, built: tuple[Simulator, StandIn]) -> Iterator[tuple[Desk, StandIn]]:
    """That registry, as it was built, whatever the test before did to it."""
    simulator, server = built
    desk.write(policy_of(server))
    before, simulator.repos = simulator.repos, deepcopy(simulator.repos)
    yield desk, server
    simulator.repos = before
    server.overrides.clear()


def test_a_repository_that_may_not_be_read(served: tuple[Desk, StandIn]) -> None:
    desk, server = served
    server.overrides.append(instead(Say(403), "GET", "/acme/back_end/tags/list"))
    document = desk.json("status", "test")
    assert document["exit_code"] == 6
    assert [row["image"] for row in document["result"]["images"]] == ["frontend", "third"]
    assert "acme/back_end" in document["error"]["message"]


def refused(path: str) -> Override:
    """One repository does not let what is at some paths be read."""
    return instead(Say(403), "GET|HEAD", f"/acme/back_end/{path}")


PAGE = instead(Say(200, b"<html>", {"Content-Type": "text/html"}), "GET|HEAD", "/acme/back_end/manifests/")
FAILING = instead(Say(501), "GET|HEAD", "/acme/back_end/manifests/")


@pytest.mark.parametrize("trouble", [refused("manifests/"), refused("manifests/_tagflow"), PAGE, FAILING])
def test_a_repository_whose_manifests_may_not_be_read(served: tuple[Desk, StandIn], trouble: Override) -> None:
    desk, server = served
    server.overrides.append(trouble)
    document = desk.json("status")
    assert document["exit_code"] == 6
    seen = {row["image"]: [it["environment"] for it in row["environments"]] for row in document["result"]["images"]}
    assert seen == {"frontend": ["dev", "test", "prod"], "backend": ["prod"], "third": ["dev", "test", "prod"]}
    assert "acme/back_end" in document["error"]["message"]
    told = desk.json("history", "test")
    assert told["exit_code"] == 6
    entries = [(it["image"], it["version"]) for it in told["result"]["entries"]]
    assert entries == [(image, version) for version in ("v1.1", "v1.0") for image in ("frontend", "third")]
    assert desk.json("status", "test", "backend")["result"] is None


def test_a_history_of_which_an_older_record_may_not_be_read(served: tuple[Desk, StandIn]) -> None:
    desk, server = served
    server.overrides.append(refused("manifests/_tagflow.test.000001"))
    assert desk.json("status", "test")["exit_code"] == 0
    told = desk.json("history", "test")
    assert told["exit_code"] == 6
    assert [it["image"] for it in told["result"]["entries"]] == ["frontend", "third"] * 2
    assert desk.json("history", "test", "--limit", "1")["exit_code"] == 0


@pytest.mark.parametrize("path", ["manifests/", "manifests/_tagflow.test.000001", "manifests/sha256", "blobs/"])
def test_verify_tells_what_it_finds_of_the_others(served: tuple[Desk, StandIn], path: str) -> None:
    desk, server = served
    assert isinstance(server.script, Simulator)
    del server.script.repos["acme/third"].tags["v1.0-test"]
    server.overrides.append(refused(path))
    found = desk.json("verify", "test")
    assert found["exit_code"] == 6
    assert [(it["image"], it["problem"]) for it in found["result"]["findings"]] == [("third", "anchor.missing")]
    assert "acme/back_end" in found["error"]["message"]


def test_verify_tells_of_an_image_what_its_names_say_where_its_content_may_not_be_read(
    served: tuple[Desk, StandIn],
) -> None:
    desk, server = served
    assert isinstance(server.script, Simulator)
    del server.script.repos["acme/back_end"].tags["v1.0-test"]
    server.overrides.append(refused("blobs/"))
    found = desk.json("verify", "test")
    assert found["exit_code"] == 6
    assert [(it["image"], it["problem"]) for it in found["result"]["findings"]] == [("backend", "anchor.missing")]
    assert desk.json("verify", "test", "--repair")["exit_code"] == 6


def test_what_fails_is_named_where_its_registry_answers_for_others(served: tuple[Desk, StandIn]) -> None:
    desk, server = served
    late = Say(429, headers={"Retry-After": "3600"})  # nobody waits so long
    server.overrides.append(instead(late, "GET", "/acme/(back_end|third)/tags/list"))
    named = f"what cannot be read for that: {server.host}/acme/back_end, {server.host}/acme/third"
    for command in (("status", "test"), ("rollback", "test"), ("history", "test")):
        told = desk.quickly(*command)
        assert (told.status, named in told.err) == (6, True), told.err
    server.overrides.append(instead(late, "GET", "/tags/list"))
    assert f"]: {server.host} has had too many requests" in desk.quickly("rollback", "test").err


def test_what_fails_is_named_where_the_content_of_images_is_looked_at(served: tuple[Desk, StandIn]) -> None:
    desk, server = served
    late = Say(429, headers={"Retry-After": "3600"})
    server.overrides.append(instead(late, "GET|HEAD", "/acme/(back_end|third)/blobs/"))
    named = f"what cannot be read for that: {server.host}/acme/back_end, {server.host}/acme/third"
    for command in (("verify", "test"), ("rollback", "test")):
        told = desk.quickly(*command)
        assert (told.status, told.err.count(named)) == (6, 1), told.err
