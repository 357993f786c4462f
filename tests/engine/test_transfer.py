"""`engine: docker`: an image travels through the daemon, or is refused before it does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.docker.engine import Engine
from tagflow.stores.port import Manifest, Silence, Store
from tests.daemons import Daemon
from tests.engine.test_push import OVERWRITTEN
from tests.images import image, index, referrer
from tests.memory import MemoryRegistry
from tests.servers import RegistryServer

Open = Callable[[Repository], Store]
SCRATCH = "_tagflow.try.0123456789ab"


@pytest.fixture
def store() -> Store:
    """A store to make images in."""
    return MemoryRegistry().open(Repository("memory.test", "app"))


@pytest.mark.engine
@pytest.mark.registry
def test_transfer_keeps_the_digest_and_leaves_nothing(
    daemon: Daemon,
    engine: Engine,
    second_daemon: Daemon,
    second_engine: Engine,
    registry: RegistryServer,
    second_registry: RegistryServer,
    open_registry: Open,
) -> None:
    source, target = registry.fresh(), second_registry.fresh()
    daemon.build("traveller:1")
    digest = engine.push("traveller:1", source, "v1.0", Silence()).digest
    assert second_engine.transfer(source, digest, target, "_tagflow.try.0123456789ab", Silence()) == digest
    assert open_registry(target).tags() == ["_tagflow.try.0123456789ab"]
    assert open_registry(target).resolve("_tagflow.try.0123456789ab") == digest
    assert second_daemon.client.images.list(all=True) == []


@pytest.mark.engine
@pytest.mark.registry
def test_transfer_within_a_repository_leaves_nothing(
    daemon: Daemon, engine: Engine, second_daemon: Daemon, second_engine: Engine, registry: RegistryServer
) -> None:
    repository = registry.fresh()
    daemon.build("homebody:1")
    digest = engine.push("homebody:1", repository, "v1.0", Silence()).digest
    assert second_engine.transfer(repository, digest, repository, "_tagflow.try.0", Silence()) == digest
    assert second_daemon.client.images.list(all=True) == []


@pytest.mark.engine
@pytest.mark.registry
def test_transfer_keeps_what_was_pulled_before(
    daemon: Daemon,
    engine: Engine,
    second_daemon: Daemon,
    second_engine: Engine,
    registry: RegistryServer,
    second_registry: RegistryServer,
) -> None:
    source = registry.fresh()
    daemon.build("resident:1")
    digest = engine.push("resident:1", source, "v1.0", Silence()).digest
    second_engine.pull(source, digest, Silence())
    second_engine.transfer(source, digest, second_registry.fresh(), "_tagflow.try.0", Silence())
    assert second_daemon.has(f"{source}@{digest}")
    assert len(second_daemon.client.images.list(all=True)) == 1


@pytest.mark.engine
@pytest.mark.registry
def test_failed_transfer_leaves_nothing_either(
    daemon: Daemon, engine: Engine, second_daemon: Daemon, second_engine: Engine, registry: RegistryServer
) -> None:
    source = registry.fresh()
    daemon.build("stranded:1")
    digest = engine.push("stranded:1", source, "v1.0", Silence()).digest
    with pytest.raises(StoreError) as caught:
        second_engine.transfer(source, digest, Repository("127.0.0.1:9", "app"), "_tagflow.try.0", Silence())
    assert caught.value.code == "engine.push_failed"
    assert second_daemon.client.images.list(all=True) == []


@pytest.mark.engine
@pytest.mark.registry
def test_transfer_whose_time_is_over_leaves_nothing_either(
    daemon: Daemon, engine: Engine, second_daemon: Daemon, registry: RegistryServer
) -> None:
    source = registry.fresh()
    image = daemon.build("overdue:1")
    digest = engine.push("overdue:1", source, "v1.0", Silence()).digest
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = Repository(f"127.0.0.1:{silent.getsockname()[1]}", "app")
        over = pytest.raises(StoreError, match="time for the Docker Engine is over")
        with Engine(second_daemon.environ, deadline=time.monotonic() + 2) as hurried, over:
            hurried.transfer(source, digest, target, SCRATCH, Silence())
        with Engine(daemon.environ, deadline=time.monotonic() + 1) as hurried, over:
            hurried.push("overdue:1", target, SCRATCH, Silence())
    assert second_daemon.client.images.list(all=True) == []
    assert daemon.tags(image) == {"overdue:1"}


@pytest.mark.engine
@pytest.mark.registry
def test_transfers_of_one_image_do_not_hinder_each_other(
    daemon: Daemon, engine: Engine, second_daemon: Daemon, registry: RegistryServer, second_registry: RegistryServer
) -> None:
    """Each removes what it pulled, and the scratch name that it shares with the others."""
    source, target = registry.fresh(), second_registry.fresh()
    daemon.build("convoy:1")
    digest = engine.push("convoy:1", source, "v1.0", Silence()).digest

    def send(_: int) -> None:
        with Engine(second_daemon.environ) as own:
            try:
                assert own.transfer(source, digest, target, SCRATCH, Silence()) == digest
            except StoreError as error:
                if not OVERWRITTEN.search(error.message):
                    raise

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(send, range(9)))
    assert second_daemon.client.images.list(all=True) == []


@pytest.mark.engine
@pytest.mark.registry
def test_daemon_changes_what_it_is_said_to_change(
    engine: Engine, registry: RegistryServer, second_registry: RegistryServer, open_registry: Open
) -> None:
    """The prediction is true: the daemon does push another digest for an OCI manifest and for an index."""
    source = registry.fresh()
    store = open_registry(source)
    for manifest in (image(store, runnable=True), index(store, docker=True)):
        assert engine.would_change(manifest)
        arrived = engine.transfer(source, manifest.digest, second_registry.fresh(), "_tagflow.try.0", Silence())
        assert arrived != manifest.digest


@pytest.mark.engine
@pytest.mark.parametrize("docker", [True, False])
def test_index_is_refused(engine: Engine, store: Store, docker: bool) -> None:
    assert "index of several platforms" in engine.would_change(index(store, docker=docker))


@pytest.mark.engine
def test_graph_driver_takes_docker_manifests_only(engine: Engine, store: Store) -> None:
    assert not engine.has_containerd
    assert engine.would_change(image(store, docker=True)) == ""
    assert "OCI manifest" in engine.would_change(image(store))


class _ContainerdDaemon:
    """Stands in for a client of a daemon with the containerd image store (simulated: `docker info` of Docker 28)."""

    def info(self) -> dict[str, object]:
        return {"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}

    def close(self) -> None:
        pass


def test_containerd_store_takes_oci_manifests_too(store: Store) -> None:
    with Engine({}, connect=lambda endpoint, patience: _ContainerdDaemon()) as simulated:
        assert simulated.would_change(image(store)) == ""
        assert simulated.would_change(image(store, docker=True)) == ""
        assert simulated.would_change(index(store))


def test_artifacts_are_refused_without_asking_a_daemon(store: Store) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    artifact: Manifest = referrer(store, image(store))
    assert "not a container image" in Engine({}, connect=never).would_change(artifact)
