"""Real daemons push to real registries."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import NotFound, StoreError, UsageError
from tagflow.stores.docker.engine import Engine, docker_name, is_image
from tagflow.stores.port import Silence, Store
from tests.daemons import Daemon
from tests.engine.listener import Ledger
from tests.images import absent
from tests.marks import LONG
from tests.servers import PASSWORD, USERNAME, RegistryServer

pytestmark = [pytest.mark.engine, pytest.mark.registry]

OVERWRITTEN = re.compile("500 Internal Server Error|digest invalid|blob unknown")
Open = Callable[[Repository], Store]


def test_pushed_image_keeps_its_id_and_runs_elsewhere(
    daemon: Daemon,
    engine: Engine,
    second_daemon: Daemon,
    second_engine: Engine,
    registry: RegistryServer,
    open_registry: Open,
) -> None:
    repository, ledger = registry.fresh(), Ledger()
    image = daemon.build("journey:1", "there and back")
    pushed = engine.push("journey:1", repository, "v1.0", ledger).digest
    manifest = open_registry(repository).get("v1.0")
    assert manifest.digest == pushed
    assert manifest.config is not None
    assert manifest.config.digest == image
    assert is_image(manifest, image)
    assert ledger.travelled == ledger.expected > 0

    assert second_engine.pull(repository, pushed, Ledger()) == image
    assert second_daemon.run(f"{repository}@{pushed}") == "there and back"
    second_engine.tag(image, repository, "v1.0")
    assert second_daemon.tags(image) == {f"{docker_name(repository)}:v1.0"}


def test_push_of_one_tag_pushes_no_other_and_leaves_no_name(
    daemon: Daemon, engine: Engine, registry: RegistryServer, open_registry: Open
) -> None:
    repository = registry.fresh()
    image = daemon.build("several:1")
    daemon.client.images.get(image).tag(str(repository), "private")
    engine.push("several:1", repository, "v1.0", Silence())
    assert open_registry(repository).tags() == ["v1.0"]
    assert daemon.tags(image) == {"several:1", f"{repository}:private"}


def test_a_local_name_that_was_there_stays(daemon: Daemon, engine: Engine, registry: RegistryServer) -> None:
    repository = registry.fresh()
    image = daemon.build(f"{repository}:v1.0", "own name")
    engine.push(f"{repository}:v1.0", repository, "v1.0", Silence())
    assert daemon.tags(image) == {f"{repository}:v1.0"}


def test_a_local_name_of_another_image_is_given_back(
    daemon: Daemon, engine: Engine, registry: RegistryServer, open_registry: Open
) -> None:
    repository = registry.fresh()
    other = daemon.build(f"{repository}:v1.0", "another image")
    image = daemon.build("borrower:1", "this image")
    pushed = engine.push("borrower:1", repository, "v1.0", Silence()).digest
    config = open_registry(repository).get(pushed).config
    assert config is not None
    assert config.digest == image
    assert daemon.id(f"{repository}:v1.0") == other
    assert daemon.tags(image) == {"borrower:1"}


def test_an_image_without_a_name_survives_its_push(daemon: Daemon, engine: Engine, registry: RegistryServer) -> None:
    image = daemon.build("dangling:1", "no name left")
    hidden = daemon.build("dangling:1", "the name has gone to this one")
    assert hidden != image
    assert daemon.tags(image) == set()
    engine.push(image, registry.fresh(), "v1.0", Silence())
    assert daemon.has(image)


def test_missing_image(engine: Engine, registry: RegistryServer) -> None:
    with pytest.raises(NotFound) as caught:
        engine.push("never-built:1", registry.fresh(), "v1.0", Silence())
    assert caught.value.code == "source.not_found"
    assert "docker images" in caught.value.hint


@pytest.mark.parametrize("name", ["tagged", "tagged:latest", "tagged:v9"])
def test_a_name_under_other_tags_is_offered(daemon: Daemon, engine: Engine, name: str) -> None:
    daemon.build("tagged:build")
    daemon.build("acme/tagged:other")
    with pytest.raises(NotFound) as caught:
        engine.image_id(name)
    assert caught.value.message == f"the Docker Engine has no image {name if ':' in name else 'tagged:latest'}"
    assert caught.value.hint == "There is docker-daemon:tagged:build: name the tag."


def test_docker_hub_is_named_as_docker_does(daemon: Daemon, engine: Engine) -> None:
    image = daemon.build("hub:1", "for the hub")
    engine.tag(image, Repository("docker.io", "acme/hub"), "v1.0")
    engine.tag(image, Repository("docker.io", "library/official"), "v1.0")
    assert daemon.tags(image) == {"hub:1", "acme/hub:v1.0", "official:v1.0"}


@pytest.mark.parametrize("name", ["", "../containers/json", "Upper:1", "a:b:c", "a?b", "a b"])
def test_what_is_no_name_never_reaches_the_daemon(engine: Engine, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        engine.image_id(name)
    assert caught.value.code == "reference.invalid"


def test_push_into_a_directory_is_refused_before_anything_is_tagged(daemon: Daemon, engine: Engine) -> None:
    image = daemon.build("homeless:1")
    with pytest.raises(UsageError) as caught:
        engine.push("homeless:1", Repository("oci:/srv/images", "app"), "v1.0", Silence())
    assert caught.value.code == "engine.needs_registry"
    assert daemon.tags(image) == {"homeless:1"}


def test_registry_that_wants_a_login(daemon: Daemon, engine: Engine, htpasswd_registry: RegistryServer) -> None:
    image = daemon.build("secret:1")
    repository = htpasswd_registry.fresh()
    with pytest.raises(StoreError) as caught:
        engine.push("secret:1", repository, "v1.0", Silence())
    assert caught.value.code == "engine.push_failed"
    assert "docker login" in caught.value.hint
    assert daemon.tags(image) == {"secret:1"}


def test_what_is_no_part_of_an_index_is_pushed_whole(daemon: Daemon, engine: Engine) -> None:
    daemon.build("whole:1")
    assert engine.platform_here("whole:1") is None


def test_credential_is_handed_over(daemon: Daemon, engine: Engine, htpasswd_registry: RegistryServer) -> None:
    daemon.build("secret:2")
    asked = []

    def credential(repository: Repository) -> dict[str, str]:
        asked.append(repository)
        return {"username": USERNAME, "password": PASSWORD}

    repository = htpasswd_registry.fresh()
    with Engine(daemon.environ, credential=credential) as logged_in:
        pushed = logged_in.push("secret:2", repository, "v1.0", Silence()).digest
        assert logged_in.pull(repository, pushed, Silence()) == daemon.id("secret:2")
    assert set(asked) == {repository}


def test_wrong_password_is_told_but_never_shown(daemon: Daemon, htpasswd_registry: RegistryServer) -> None:
    daemon.build("secret:3")
    wrong = {"username": USERNAME, "password": "wr0ng-secret"}
    with Engine(daemon.environ, credential=lambda repository: wrong) as opened, pytest.raises(StoreError) as caught:
        opened.push("secret:3", htpasswd_registry.fresh(), "v1.0", Silence())
    assert caught.value.code == "engine.push_failed"
    assert "wr0ng" not in caught.value.message


def test_registry_that_is_down(daemon: Daemon, engine: Engine) -> None:
    daemon.build("nowhere:1")
    with pytest.raises(StoreError) as caught:
        engine.push("nowhere:1", Repository("127.0.0.1:9", "app"), "v1.0", Silence())
    assert caught.value.code == "engine.push_failed"
    assert "connection refused" in caught.value.message
    assert "daemon itself" in caught.value.hint


def test_pull_of_what_is_not_there(engine: Engine, registry: RegistryServer) -> None:
    with pytest.raises(NotFound) as caught:
        engine.pull(registry.fresh(), absent(), Silence())
    assert caught.value.code == "manifest.not_found"


def test_pull_from_a_registry_that_is_down(engine: Engine) -> None:
    with pytest.raises(StoreError) as caught:
        engine.pull(Repository("127.0.0.1:9", "app"), absent(), Silence())
    assert caught.value.code == "engine.pull_failed"


@LONG
def test_many_pushes_side_by_side(
    daemon: Daemon, engine: Engine, registry: RegistryServer, open_registry: Open
) -> None:
    images = {f"crowd:{number}": daemon.build(f"crowd:{number}", str(number)) for number in range(8)}
    repositories = {name: registry.fresh() for name in images}
    ledger = Ledger()

    def push(name: str) -> Digest:
        return engine.push(name, repositories[name], "v1.0", ledger).digest

    with ThreadPoolExecutor(8) as pool:
        pushed = dict(zip(images, pool.map(push, images), strict=True))
    for name, image in images.items():
        manifest = open_registry(repositories[name]).get("v1.0")
        assert manifest.digest == pushed[name]
        assert is_image(manifest, image)
        assert daemon.tags(image) == {name}


def test_runs_that_push_one_image_into_one_repository_do_not_hinder_each_other(
    daemon: Daemon, registry: RegistryServer
) -> None:
    """Each removes the scratch name that it shares with the others. What distribution itself makes of one tag that
    several write at the same moment, on a file system, does not count."""
    repository = registry.fresh()
    image = daemon.build("shared:1", "by many")

    def push(_: int) -> None:
        with Engine(daemon.environ) as own:
            for _ in range(8):
                try:
                    own.push("shared:1", repository, "_tagflow.try.0123456789ab", Silence())
                except StoreError as error:
                    if not OVERWRITTEN.search(error.message):
                        raise

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(push, range(4)))
    assert daemon.tags(image) == {"shared:1"}
