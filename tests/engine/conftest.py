"""Two Docker Engines for the whole run: one that builds, one that has nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.docker.engine import Engine
from tagflow.stores.port import Store
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests.daemons import Daemon, running_daemon


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """A daemon on which images are built."""
    with running_daemon() as running:
        yield running


@pytest.fixture(scope="session")
def running_second() -> Iterator[Daemon]:
    """Another machine's daemon, as it were."""
    with running_daemon() as running:
        yield running


@pytest.fixture
def second_daemon(running_second: Daemon) -> Daemon:
    """Another machine's daemon, empty."""
    running_second.clear()
    return running_second


@pytest.fixture(scope="session")
def engine(daemon: Daemon) -> Iterator[Engine]:
    """What tagflow sees of the building daemon; anonymous at every registry."""
    with Engine(daemon.environ) as opened:
        yield opened


@pytest.fixture
def second_engine(second_daemon: Daemon) -> Iterator[Engine]:
    """What tagflow sees of the empty daemon; anonymous at every registry."""
    with Engine(second_daemon.environ) as opened:
        yield opened


@pytest.fixture
def open_registry(tmp_path: Path) -> Iterator[Callable[[Repository], Store]]:
    """Opens repositories of an anonymous registry, past the daemon."""
    hosts: dict[str, RegistryHost] = {}

    def opened(repository: Repository) -> Store:
        settings = Settings(environ={"HOME": str(tmp_path)})
        return hosts.setdefault(repository.host, RegistryHost(repository.host, settings)).store(repository.path)

    yield opened
    for host in hosts.values():
        host.close()
