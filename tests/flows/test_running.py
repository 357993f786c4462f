"""verify --running: what runs, against what the registry says should."""

from __future__ import annotations

import json

import pytest

from tagflow.domain.reference import Digest
from tagflow.domain.running import read_running
from tagflow.verbs.running import Running, check_running
from tests.flows.world import POLICY, World


@pytest.fixture
def world() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    world.through("v1.1.0", "dev", "test", "prod")
    return world


def pods(*containers: tuple[str, str]) -> bytes:
    """Pods of one container each: (image, imageID)."""
    items = [
        {
            "kind": "Pod",
            "metadata": {"name": f"pod-{number}", "namespace": "shop"},
            "spec": {"containers": [{"name": "main", "image": image}]},
            "status": {
                "phase": "Running",
                "containerStatuses": [{"name": "main", "image": image, "imageID": identity}],
            },
        }
        for number, (image, identity) in enumerate(containers)
    ]
    return json.dumps({"kind": "List", "items": items}).encode()


def checked(world: World, content: bytes) -> Running:
    return check_running(world.context(), "prod", read_running(content, "pods.json"), "pods.json")


def reference(world: World, image: str = "frontend") -> str:
    return str(world.repository(image))


def digests(world: World, tag: str) -> tuple[Digest, Digest, Digest]:
    """The index, one platform's manifest and its configuration."""
    store = world.memory.open(world.repository("frontend"))
    index = store.get(tag)
    platform = store.get(index.children[1].digest)
    assert platform.config is not None
    return index.digest, platform.digest, platform.config.digest


@pytest.mark.parametrize("form", [0, 1, 2])
def test_every_form_of_the_digest_counts(world: World, form: int) -> None:
    digest = digests(world, "v1.1.0")[form]
    found = checked(world, pods((f"{reference(world)}:v1.1.0", f"{reference(world)}@{digest}")))
    assert (found.findings, found.agreeing) == ((), 1)
    bare = checked(world, pods((f"{reference(world)}:prod", digest)))
    assert (bare.findings, bare.agreeing) == ((), 1)


def test_where_nodes_say_what_the_environment_says_no_manifest_is_read(world: World) -> None:
    content = pods((f"{reference(world)}:prod", f"{reference(world)}@{digests(world, 'v1.1.0')[0]}"))
    checked(world, content)
    world.memory.calls.clear()
    checked(world, content)
    assert [call.detail for call in world.memory.calls if call.operation == "get" and "sha256:" in call.detail] == []


@pytest.mark.parametrize("form", [0, 1, 2])
def test_the_digest_before_is_told_as_such(world: World, form: int) -> None:
    digest = digests(world, "v1.0.0")[form]
    [finding] = checked(world, pods(*[(reference(world), f"{reference(world)}@{digest}")] * 5)).findings
    assert (finding.problem, finding.image, finding.environment) == ("running.differs", "frontend", "prod")
    assert (finding.expected, finding.actual) == (digests(world, "v1.1.0")[0], digest)
    assert finding.detail == (
        "pod shop/pod-0, container main; pod shop/pod-1, container main; pod shop/pod-2, container main; 2 more;"
        " what prod ran before, v1.0.0: a rollout may be under way"
    )


def test_a_tag_that_is_written_otherwise_today_is_what_the_history_says(world: World) -> None:
    """docker tells the tag alone; under a template that reads it no more, it was taken for one that moves."""
    world.become(POLICY.replace("environments:", 'tags: {version: "{version}"}\nenvironments:'))
    line = '{{"ID": "{0}", "Names": "{0}", "Image": "{1}:{2}"}}\n'
    same = checked(world, line.format("a", reference(world), "v1.1.0").encode())
    assert (same.findings, same.agreeing, same.notes) == ((), 1, ())
    [finding] = checked(world, line.format("b", reference(world), "v1.0.0").encode()).findings
    assert (finding.problem, finding.actual) == ("running.differs", f"{reference(world)}:v1.0.0")


def test_after_a_rollback_what_was_taken_back_is_what_ran_before(world: World) -> None:
    bad = digests(world, "v1.1.0")[0]
    world.rollback("prod")
    [finding] = checked(world, pods((reference(world), f"{reference(world)}@{bad}"))).findings
    assert "what prod ran before, v1.1.0" in finding.detail


def test_another_digest_differs(world: World) -> None:
    other = Digest("sha256:" + "9" * 64)
    [finding] = checked(world, pods((reference(world), f"{reference(world)}@{other}"))).findings
    assert finding.actual == other
    assert "before" not in finding.detail


def test_what_docker_tells(world: World) -> None:
    name = reference(world)
    images = [f"{name}:v1.1.0", f"{name}:v1.1.0-prod", f"{name}:v1.0.0", f"{name}:prod", "nginx:1", "0584b370e957"]
    lines = "\n".join(json.dumps({"Image": image, "Names": f"c{n}"}) for n, image in enumerate(images))
    found = checked(world, lines.encode())
    assert found.agreeing == 2
    assert [(it.actual, it.detail) for it in found.findings] == [
        (f"{name}:v1.0.0", "container c2; what prod ran before: a rollout may be under way")
    ]
    assert len(found.notes) == 1
    assert f"container c3: {name}:prod moves" in found.notes[0]


def test_an_image_that_is_not_shown_is_no_finding(world: World) -> None:
    found = checked(world, pods(("nginx:1", "nginx@sha256:" + "1" * 64)))
    assert (found.findings, found.agreeing) == ((), 0)
    assert found.notes == ("pods.json shows no container of an image of the policy",)


def test_what_the_environment_does_not_run_differs(world: World) -> None:
    world.become(world.text.replace("  prod:", "  later: {}\n  prod:"))
    content = pods((reference(world), f"{reference(world)}@{digests(world, 'v1.1.0')[0]}"))
    [finding] = check_running(world.context(), "later", read_running(content, "-"), "-").findings
    assert finding.expected is None
