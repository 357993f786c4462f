"""The media that the contract suite runs over."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.cache import CachedStore, ManifestFiles
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Store
from tagflow.stores.registry.http import Settings
from tagflow.stores.registry.store import RegistryHost
from tests.memory import MemoryRegistry
from tests.servers import RegistryServer

MEDIA = ("memory", "layout", "registry", "cached")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Medium:
    """One host; ``open`` gives the store of a repository by its path."""

    name: str
    host: str
    open: Callable[[str], Store]

    def fresh(self, name: str = "app") -> Store:
        """An empty repository."""
        return self.open(f"contract/{name}-{next(_numbers)}")


def medium(name: str, request: pytest.FixtureRequest, directory: Path) -> Medium:
    """A medium by its name."""
    if name == "memory":
        memory = MemoryRegistry()
        return Medium(name, "memory.test", lambda path: memory.open(Repository("memory.test", path)))
    if name == "layout":
        host = f"oci:{directory / 'layouts'}"
        return Medium(name, host, lambda path: LayoutStore(Repository(host, path)))
    server: RegistryServer = request.getfixturevalue("registry")
    registry = RegistryHost(server.host, Settings(environ={"HOME": str(directory)}))
    request.addfinalizer(registry.close)
    prefix = server.fresh(name).path
    if name == "registry":
        return Medium(name, server.host, lambda path: registry.store(f"{prefix}/{path}"))
    files = ManifestFiles(directory / "cache")
    return Medium(name, server.host, lambda path: CachedStore(registry.store(f"{prefix}/{path}"), files))
