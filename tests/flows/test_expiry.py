"""Images whose tags the registry removes by itself are named before they run anywhere."""

from __future__ import annotations

import pytest

from tagflow.domain.plan import Outcome
from tests import images
from tests.flows.world import World, fails

LABEL = "quay.expires-after"
POLICY = "version: 1\nregistry: %s\nimages: {web: web, api: api}\nenvironments: {dev: , prod: }\n"


def world_of(registry: str = "quay.io/acme") -> World:
    return World(POLICY % registry)


def build(world: World, name: str, **made: str) -> None:
    """A build of one platform, with these labels."""
    labels = {key.replace("_", "-").replace("--", "."): value for key, value in made.items()}
    images.image(world.memory.open(world.repository(name)), content=name.encode(), labels=labels, tag="v1.0")


def expiring(outcome: Outcome) -> list[str]:
    return [note for note in outcome.notes if LABEL in note]


@pytest.mark.parametrize("registry", ["quay.io/acme", "quay.example.com:8443/acme", "registry-quay.apps.acme.test/x"])
def test_is_said_each_time_they_enter(registry: str) -> None:
    world = world_of(registry)
    build(world, "web", quay__expires_after="20h")
    build(world, "api", quay__expires_after="20h")
    (note,) = expiring(world.promote("v1.0", to="dev", dry_run=True))
    assert note.startswith("web, api: labelled quay.expires-after=20h, so that Quay removes each tag")
    assert expiring(world.promote("v1.0", to="dev")) == [note]
    assert expiring(world.promote("v1.0", to="prod")) == [note.replace("dev and", "prod and")]
    assert expiring(world.promote("v1.0", to="prod")) == []  # it runs there already


def test_each_is_named_that_has_one_and_no_other() -> None:
    world = world_of()
    build(world, "web", quay__expires_after="2w")
    build(world, "api", maintainer="acme")
    (note,) = expiring(world.promote("v1.0", to="dev"))
    assert note.startswith("web: ")
    assert "2w" in note


@pytest.mark.parametrize("value", ["never", "20", "20 h", "h", "2h\n::stop-commands::x", "9" * 3000 + "w"])
def test_what_quay_cannot_read_it_passes_over(value: str) -> None:
    """And whoever built an image writes no lines of their own into a log."""
    world = world_of()
    build(world, "web", quay__expires_after=value)
    build(world, "api")
    assert expiring(world.promote("v1.0", to="dev")) == []


def test_an_annotation_goes_before_a_label() -> None:
    world = world_of()
    build(world, "web", quay__expires_after="2w")
    build(world, "api")
    store = world.memory.open(world.repository("web"))
    annotated = {**store.get("v1.0").document, "annotations": {LABEL: "1h"}}
    images.put(store, annotated, "v1.1")
    world.memory.open(world.repository("api"))
    (note,) = expiring(world.promote("web=v1.1", to="dev"))
    assert f"{LABEL}=1h," in note


def test_of_an_index_quay_reads_no_label() -> None:
    world = world_of()
    world.build("v1.0", labels={LABEL: "20h"})
    assert expiring(world.promote("v1.0", to="dev")) == []


@pytest.mark.parametrize(("registry", "count"), [("quay.io/acme", 2), ("registry.test/acme", 0)])
def test_elsewhere_the_label_says_nothing_and_is_not_asked_for(registry: str, count: int) -> None:
    world = world_of(registry)
    build(world, "web", quay__expires_after="20h")
    build(world, "api", quay__expires_after="20h")
    read = []
    with world.hooked(lambda asked, _repository, what: read.append(what) if asked == "read_blob" else None):
        notes = expiring(world.promote("v1.0", to="dev"))
    assert (len(read), bool(notes)) == (count, bool(count))


def test_on_the_way_from_another_registry() -> None:
    world = World(
        "version: 1\nregistry: registry.test/acme\nimages: {web: web}\n"
        "environments: {dev: , prod: {registry: quay.io/acme}}\n"
    )
    build(world, "web", quay__expires_after="20h")
    assert expiring(world.promote("v1.0", to="dev")) == []
    assert len(expiring(world.promote("v1.0", to="prod"))) == 1


def test_a_configuration_that_is_gone_is_told_as_ever() -> None:
    world = world_of()
    build(world, "web", quay__expires_after="20h")
    build(world, "api")
    repository = world.repository("web")
    config = world.memory.open(repository).get("v1.0").config
    assert config is not None
    del world.memory.content(repository).blobs[config.digest]
    with world.unchanged(), fails("content.missing", 4):
        world.promote("v1.0", to="dev")


def test_forty_are_told_in_one_line() -> None:
    names = [f"image-{number:02}" for number in range(40)]
    listed = ", ".join(f"{name}: {name}" for name in names)
    world = World(f"version: 1\nregistry: quay.io/acme\nimages: {{{listed}}}\nenvironments: {{dev: , prod: }}\n")
    for name in names:
        build(world, name, quay__expires_after="2w")
    (note,) = expiring(world.promote("v1.0", to="dev", dry_run=True))
    assert note.startswith("image-00, image-01, image-02 and 37 more: labelled ")
