"""``engine: docker``, with a daemon that is played: what it would change is refused, what it changed gets no name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from tagflow.context import Context
from tagflow.domain.own_tags import scratch_tag
from tagflow.domain.reference import Digest, Repository
from tagflow.stores.port import Manifest
from tests import images
from tests.flows.world import World, fails

POLICY = """
version: 1
registry: registry.test/acme
engine: docker
images: {web: web, api: api}
environments: {dev: , prod: {registry: other.test/acme}}
"""


@dataclass
class Played:
    """A daemon that moves what the world's registry has, and pushes what ``makes`` makes of a digest."""

    world: World
    makes: Callable[[Digest], Digest] = lambda digest: digest
    refuses: str = ""
    travelled: list[tuple[Repository, Repository]] = field(default_factory=list)

    def would_change(self, manifest: Manifest) -> str:
        return self.refuses

    def transfer(self, source: Repository, digest: Digest, target: Repository, tag: str, progress: object) -> Digest:
        here, there = (self.world.memory.content(it) for it in (source, target))
        there.manifests.update(here.manifests)
        there.blobs.update(here.blobs)
        there.tags[tag] = made = self.makes(digest)
        self.travelled.append((source, target))
        return made


class Workshop(World):
    """A world with a daemon."""

    daemon: Played

    def context(self) -> Context:
        engine: Any = self.daemon
        return replace(super().context(), engine=lambda: engine)


@pytest.fixture
def world() -> Workshop:
    """v1.0.0 of both is in dev."""
    world = Workshop(POLICY)
    world.daemon = Played(world)
    for name in ("web", "api"):
        images.image(world.memory.open(world.repository(name)), content=name.encode(), tag="v1.0.0")
    world.promote("v1.0.0", to="dev")
    world.daemon.travelled.clear()
    return world


def names(world: World) -> set[str]:
    """The tags of other.test, but those of records."""
    return {tag for image in ("web", "api") for tag in world.tags(image, "prod") if not tag.startswith("_tagflow.prod")}


def test_what_it_brings_unchanged_gets_its_names_and_no_scratch_tag_stays(world: Workshop) -> None:
    assert world.promote("v1.0.0", to="prod").applied
    assert sorted(str(target) for _, target in world.daemon.travelled) == ["other.test/acme/api", "other.test/acme/web"]
    assert names(world) == {"v1.0.0", "v1.0.0-prod", "prod"}
    assert world.tag("web", "prod", "prod") == world.tag("web", "v1.0.0")


def test_what_it_would_change_is_refused_before_anything_travels(world: Workshop) -> None:
    world.daemon.refuses = "it is an index"
    with world.unchanged(), fails("engine.would_change_digest", 3) as caught:
        world.promote("v1.0.0", to="prod")
    assert "web: " in caught[0].message
    assert "api: " in caught[0].message
    assert "would not come through the Docker Engine as it is: it is an index" in caught[0].message
    assert {it["image"] for it in caught[0].details} == {"web", "api"}
    assert world.daemon.travelled == []


def test_what_it_changed_all_the_same_gets_no_name(world: Workshop) -> None:
    other = images.image(world.memory.open(world.repository("web")), content=b"other").digest
    world.daemon.makes = lambda _digest: other
    with fails("engine.would_change_digest", 3) as caught:
        world.promote("v1.0.0", to="prod")
    assert f"the Docker Engine made it {other}" in caught[0].message
    assert names(world) == set()
    assert scratch_tag(other) not in world.tags("web", "prod")
    assert world.runs("prod") == {"web": None, "api": None}


def test_a_layout_knows_no_daemon(world: Workshop) -> None:
    world.become(POLICY.replace("other.test/acme", "oci:/nowhere"))
    world.daemon.refuses = "it is not asked"
    assert world.promote("v1.0.0", to="prod").applied
    assert world.daemon.travelled == []


def test_under_another_engine_nobody_asks_it(world: Workshop) -> None:
    world.become(POLICY.replace("engine: docker", "engine: auto"))
    world.daemon.refuses = "it is not asked"
    assert world.promote("v1.0.0", to="prod").applied
    assert world.daemon.travelled == []
