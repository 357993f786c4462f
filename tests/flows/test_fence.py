"""A release that takes longer than a look holds: each image is looked at once more before its tag moves."""

from __future__ import annotations

from threading import Barrier

from tagflow.domain.reference import Repository
from tests.flows.world import World

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
