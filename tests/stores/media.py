"""The media that the contract suite runs over."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.cache.log import ManifestLog
from tagflow.stores.cache.store import CachedStore
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Store
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests.memory import MemoryRegistry
from tests.registries.brands import BRANDS
from tests.registries.fixtures import OpenBrand, connect
from tests.servers import RegistryServer

MEDIA = ("memory", "layout", "registry", "cached")
LOGINS = ("htpasswd", "tls", "token")
"""Real registries with a login, or TLS of a private authority."""
SIMULATED = tuple(f"{name} (simulated)" for name in BRANDS if name != "gitlab")
"""GitLab's keeps known types only, which those of this suite are not."""
ALL_MEDIA = (*MEDIA, *LOGINS, *SIMULATED)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Medium:
    """One host; ``open`` gives the store of a repository by its path."""

    name: str
    host: str
    open: Callable[[str], Store]
    mounts: bool = True
    """Whether it takes blobs over from a neighbour; ECR does only where that is switched on."""

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
    if name in SIMULATED:
        return _simulated(name, request)
    server: RegistryServer = request.getfixturevalue(f"{name}_registry" if name in LOGINS else "registry")
    registry = RegistryHost(server.host, Settings(environ=_environ(server, directory)))
    request.addfinalizer(registry.close)
    prefix = server.fresh(name).path
    if name != "cached":
        return Medium(name, server.host, lambda path: registry.store(f"{prefix}/{path}"))
    files = ManifestLog(directory / "cache")
    return Medium(name, server.host, lambda path: CachedStore(registry.store(f"{prefix}/{path}"), files))


def _simulated(name: str, request: pytest.FixtureRequest) -> Medium:
    open_brand: OpenBrand = request.getfixturevalue("open_brand")
    brand = open_brand(name.partition(" ")[0])
    registry = connect(brand)
    request.addfinalizer(registry.close)
    mounts = brand.registry.quirks.mounts
    return Medium(name, brand.host, lambda path: registry.store(f"{brand.namespace}/{path}"), mounts)


def _environ(server: RegistryServer, directory: Path) -> dict[str, str]:
    """Logged in as the registry wants it, its authority known to the system's trust."""
    trust = {"SSL_CERT_FILE": str(server.ca)} if server.ca else {}
    return server.environ(directory / "docker") | trust
