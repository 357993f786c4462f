"""``push`` of images that a daemon has, with a daemon that is played: what comes in is what was named."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tagflow.context import Context
from tagflow.domain.reference import Digest, Repository
from tagflow.stores.archive.writer import archive_of
from tagflow.stores.artifact import EMPTY
from tagflow.stores.port import Manifest, Pushed, Silence, Store
from tagflow.stores.transfer.copy import copy_image
from tagflow.verbs.pull import pull
from tests import images
from tests.flows.world import World, fails
from tests.memory import MemoryRegistry

HOME = Repository("daemon.test", "images")


class Local:
    """A daemon with the containerd image store, and images of its own: ``index`` by name, of which it has one platform.
    It pushes that, as Docker 28 and later do, and saves it."""

    def __init__(self, world: World, contents: Mapping[str, str]) -> None:
        self.world = world
        self.home: Store = MemoryRegistry().open(HOME)
        self.index = {name: images.index(self.home, seed=seed) for name, seed in contents.items()}
        self.pushes: list[str] = []
        self.pulls: list[str] = []
        self.tells = True
        self.strange: dict[Digest, str] = {}
        self.saving = threading.Barrier(1)

    def here(self, name: str) -> Manifest:
        """The platform that is here."""
        return self.home.get(self.index[name].children[0].digest)

    def image_id(self, name: str) -> Digest:
        return self.index[name].digest

    def platform_here(self, name: str) -> Digest | None:
        return self.here(name).digest if self.tells else None

    def push(self, name: str, repository: Repository, tag: str, progress: object) -> Pushed:
        there = self.world.memory.open(repository)
        assert there.has_blob(EMPTY.digest), "the repository is there before the daemon pushes"
        there.put(copy_image(self.home, there, self.here(name).digest), tag)
        self.pushes.append(name)
        return Pushed(self.here(name).digest, part_of=self.index[name].digest)

    def save_to(self, name: str, path: Path) -> Digest:
        self.saving.wait(10)
        path.write_bytes(b"".join(archive_of(self.home, self.here(name), Silence())))
        self.saving.wait(10)
        return self.image_id(name)

    def pull(self, repository: Repository, digest: Digest, progress: object, platform: str = "") -> Digest:
        self.pulls.append(platform)
        return digest

    def load_from(self, store: Store, manifest: Manifest, progress: object, platform: str = "") -> Digest:
        self.pulls.append(platform)
        return manifest.digest

    def strange_platform(self, image: Digest, platform: str = "") -> str:
        return self.strange.get(image, "")

    def tag(self, image_id: Digest, repository: Repository, tag: str) -> None:
        """Nothing."""


class Workshop(World):
    """A world with a daemon."""

    daemon: Local
    environ: Mapping[str, str] = {}

    def context(self) -> Context:
        engine: Any = self.daemon
        return replace(super().context(), engine=lambda: engine, threads=2, environ=self.environ)


def workshop(policy: str, contents: Mapping[str, str]) -> Workshop:
    world = Workshop(policy)
    world.daemon = Local(world, contents)
    return world


ONE = "version: 1\nregistry: registry.test/acme\nimages: {web: web}\nenvironments: {dev: }\n"


class TestOneOfSeveralPlatforms:
    @pytest.fixture
    def world(self) -> Workshop:
        return workshop(ONE, {"web:1": "one", "web:2": "two"})

    def test_it_comes_in_and_is_told(self, world: Workshop) -> None:
        assert world.push("v1.0.0", "web=docker-daemon:web:1").applied
        assert world.tag("web", "v1.0.0") == world.daemon.here("web:1").digest
        [note] = world.warnings
        assert "web: the Docker Engine has one platform of web:1 and pushed that alone" in note
        assert f"docker://HOST/REPO@{world.daemon.image_id('web:1')}" in note

    def test_again_nothing_is_brought_in(self, world: Workshop) -> None:
        world.push("v1.0.0", "web=docker-daemon:web:1")
        again = world.push("v1.0.0", "web=docker-daemon:web:1")
        assert {move.action for move in again.plan.moves} == {"keep"}
        assert world.daemon.pushes == ["web:1"]

    def test_another_image_is_refused(self, world: Workshop) -> None:
        world.push("v1.0.0", "web=docker-daemon:web:1")
        with fails("tag.immutable", 3):
            world.push("v1.0.0", "web=docker-daemon:web:2")

    def test_another_image_is_refused_where_the_tags_of_the_first_are_gone(self, world: Workshop) -> None:
        world.push("v1.0.0", "web=docker-daemon:web:1")
        for tag in ("v1.0.0", "v1.0.0-dev"):
            world.hand_remove("web", tag)
        with fails("tag.immutable", 3):
            world.push("v1.0.0", "web=docker-daemon:web:2")
        assert "v1.0.0" not in world.tags("web")
        assert world.push("v1.0.0", "web=docker-daemon:web:1").applied

    def test_where_the_daemon_does_not_tell_it_is_refused(self, world: Workshop) -> None:
        world.push("v1.0.0", "web=docker-daemon:web:1")
        world.daemon.tells = False
        with fails("tag.immutable", 3):
            world.push("v1.0.0", "web=docker-daemon:web:1")


def test_images_whose_names_differ_by_a_slash_keep_apart(tmp_path: Path) -> None:
    """Both are saved at the same time, where no daemon can push to."""
    policy = ONE.replace("registry.test/acme", f"oci:{tmp_path}/images").replace(
        "web: web", "team/api: one, team_api: two"
    )
    world = workshop(policy, {"a:1": "a", "b:1": "b"})
    world.daemon.saving = threading.Barrier(2)
    world.push("v1.0.0", "team/api=docker-daemon:a:1", "team_api=docker-daemon:b:1", tmp=tmp_path)
    assert world.tag("team/api", "v1.0.0") == world.daemon.here("a:1").digest
    assert world.tag("team_api", "v1.0.0") == world.daemon.here("b:1").digest


@pytest.mark.parametrize("registry", ["registry.test/acme", "oci:/nowhere"])
@pytest.mark.parametrize(
    ("named", "wanted"), [("", ""), ("linux/arm64/v8", "linux/arm64/v8"), (" arm64 ", "linux/arm64")]
)
def test_the_platform_that_docker_would_pull(registry: str, named: str, wanted: str) -> None:
    world = workshop(ONE.replace("registry.test/acme", registry), {})
    images.index(world.memory.open(world.repository("web")), tag="v1.0.0")
    world.environ = {"DOCKER_DEFAULT_PLATFORM": named}
    pull(world.context(), "v1.0.0", [])
    assert world.daemon.pulls == [wanted]


def test_images_that_are_for_another_platform_are_named_once() -> None:
    world = workshop(ONE.replace("web: web", "web: web, api: api, db: db, job: job, app: app"), {})
    built = world.build("v1.0.0", "web", "api", "db", "job", "app")
    world.daemon.strange = {digest: "linux/arm64" for name, digest in built.items() if name != "app"}
    pull(world.context(), "v1.0.0", [])
    why = "the machine of the Docker Engine is not"
    told = "note: web, api, db and 1 more: for linux/arm64 alone, and {}: it starts only where that is emulated"
    assert world.warnings == [told.format(why)]
    world.environ = {"DOCKER_DEFAULT_PLATFORM": "linux/s390x"}
    pull(world.context(), "v1.0.0", [])
    assert world.warnings[1:] == [told.format("DOCKER_DEFAULT_PLATFORM asks for linux/s390x")]


def test_what_is_no_platform_is_refused() -> None:
    world = workshop(ONE, {})
    images.index(world.memory.open(world.repository("web")), tag="v1.0.0")
    world.environ = {"DOCKER_DEFAULT_PLATFORM": "linux arm64"}
    with fails("usage.invalid", 2) as caught:
        pull(world.context(), "v1.0.0", [])
    assert "DOCKER_DEFAULT_PLATFORM is 'linux arm64'" in caught[0].message
    assert world.daemon.pulls == []


@pytest.mark.parametrize(("what", "code"), [("test", "environment.empty"), ("v1.0.0", "version.not_found")])
def test_what_not_all_images_have_is_pulled_of_the_others_by_the_hint(what: str, code: str) -> None:
    names = "web: web, api: api, db: db, job: job"
    world = workshop(ONE.replace("{dev: }", "{dev: , test: }").replace("web: web", names), {})
    world.build("v1.0.0", "web", "db")
    for environment in ("dev", "test"):
        world.promote("web=v1.0.0", "db=v1.0.0", to=environment)
    with fails(code, 4) as caught:
        pull(world.context(), what, [])
    assert {it.hint for it in caught[0].causes} == {caught[0].hint}
    assert caught[0].hint == f"Pull the others alone: `tagflow pull {what} web db`."
    assert [it.image for it in pull(world.context(), what, ["web", "db"])] == ["web", "db"]
    with fails(code, 4) as caught:
        pull(world.context(), what, ["api"])
    assert "tagflow status" in caught[0].hint
