"""A release that takes longer than a look holds: each image is looked at once more before its tag moves."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.flows.world import World
from tests.registries.simulator import Quirks, simulated_registry
from tests.standin import Say, instead

SLOW = 30.0
"""Seconds: longer than a look holds."""


def test_images_are_looked_at_side_by_side() -> None:
    """At a distance each look takes its time, and a release has thousands of images."""
    world = World(threads=3)
    world.through("v1.0.0", "dev")
    together = Barrier(3, timeout=60)
    looks: list[str] = []

    def before(operation: str, repository: Repository, _detail: str) -> None:
        if operation == "tags" and world.passed:
            looks.append(str(repository))
            if len(looks) <= together.parties:
                together.wait()

    def after(operation: str, _repository: Repository, detail: str) -> None:
        if operation == "move" and detail.endswith("-test") and not world.passed:
            world.passed += SLOW

    with world.hooked(before, after):
        assert world.promote("v1.0.0", to="test").applied
    assert len(looks) >= 2 * together.parties
    assert set(world.runs("test").values()) == {"v1.0.0"}


@pytest.mark.parametrize("status", [502, 503])
def test_a_look_takes_no_place_that_a_refused_request_holds(status: int) -> None:
    """Each environment tag is refused once, more of them than a registry is asked at once: nobody may wait for a look
    while holding the place that the look needs."""
    names = [f"image-{number}" for number in range(24)]
    with simulated_registry(Quirks()) as (_, server):
        listed = ", ".join(f"{name}: {name}" for name in names)
        policy = f"version: 1\nregistry: {server.host}/acme\nimages: {{{listed}}}\nenvironments: {{dev: , test: }}\n"
        settings = Settings(environ={}, writes=True, retry=RetryPolicy(first=0.001, gap=0.0001, largest_gap=0.001))
        host = RegistryHost(server.host, settings)
        world = World(policy, threads=48)
        world.memory.open = lambda repository: host.store(repository.path)  # type: ignore[method-assign]
        for name in names:
            images.index(host.store(world.repository(name).path), seed=name, tag="v1.0.0")
        world.promote("v1.0.0", to="dev")
        server.overrides.append(instead(Say(status), "PUT", "/manifests/test$", times=len(names)))
        done: list[Any] = []
        run = Thread(target=lambda: done.append(world.promote("v1.0.0", to="test")), daemon=True)
        run.start()
        run.join(120)
        assert done, "it waits for itself"
        assert set(world.runs("test").values()) == {"v1.0.0"}
        host.close()
