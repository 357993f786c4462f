"""Several tags of one digest, where a registry takes them in one request: each is looked at all the same."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tagflow.domain.reference import Digest
from tagflow.errors import StoreError
from tagflow.stores.port import Manifest
from tests.flows.world import World
from tests.memory import MemoryStore

POLICY = """
version: 1
registry: registry.test/acme
images: {web: web, api: api}
environments: {dev: , prod: {floating: [latest, major, minor]}}
"""


@pytest.fixture
def world() -> World:
    """v1.0.0 runs in prod, v1.1.0 may go there."""
    world = World(POLICY)
    world.through("v1.0.0", "dev", "prod")
    world.through("v1.1.0", "dev")
    return world


def all_new(world: World) -> bool:
    return all(
        world.tag(image, tag) == world.tag(image, "v1.1.0")
        for image in ("web", "api")
        for tag in ("prod", "latest", "v1", "v1.1", "v1.1.0-prod")
    )


def test_they_are_put_at_once_and_then_seen_in_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[set[str]] = []

    def place(
        store: MemoryStore, manifest: Manifest, moves: Mapping[str, Digest | None], *, looked: bool = False
    ) -> bool:
        groups.append(set(moves))
        for tag in moves:
            store.put(manifest, tag)
        return True

    monkeypatch.setattr(MemoryStore, "place", place)
    assert world.promote("v1.1.0", to="prod").applied
    assert all_new(world)
    assert {"latest", "v1", "v1.1"} <= set().union(*groups)
    assert all(len(group) > 1 for group in groups)


@pytest.mark.parametrize("landed", [True, False], ids=["landed", "lost"])
def test_a_request_that_fails_is_made_good_one_by_one(
    world: World, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    def place(store: MemoryStore, manifest: Manifest, moves: Mapping[str, Digest | None], **_: object) -> bool:
        if landed:
            for tag in moves:
                store.put(manifest, tag)
        raise StoreError("registry.unavailable", "no answer")

    monkeypatch.setattr(MemoryStore, "place", place)
    assert world.promote("v1.1.0", to="prod").applied
    assert all_new(world)
