"""Several tags in one request: only where a registry shows by ``OCI-Tag`` that it sets them. Simulated, but for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tagflow.domain.reference import Digest
from tagflow.stores.port import Manifest
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests import images
from tests.registries.brands import Brand
from tests.registries.fixtures import OpenBrand, connect
from tests.registries.network import Network
from tests.servers import RegistryServer

NEW: dict[str, Digest | None] = {"latest": None, "v1": None, "v1.0": None}


@pytest.fixture
def brand(open_brand: OpenBrand) -> Brand:
    return open_brand("zot")


@pytest.fixture
def host(brand: Brand) -> Iterator[RegistryHost]:
    host = connect(brand)
    yield host
    host.close()


@pytest.fixture
def store(host: RegistryHost) -> RegistryStore:
    return host.store("acme/app")


@pytest.fixture
def manifest(store: RegistryStore, internet: Network) -> Manifest:
    manifest = images.image(store)
    internet.forget()
    return manifest


def puts(internet: Network) -> list[list[str]]:
    return [asked.query.get("tag", []) for _, asked in internet.asked if asked.method == "PUT"]


def test_one_request(store: RegistryStore, manifest: Manifest, internet: Network) -> None:
    store.place(manifest, NEW)
    assert puts(internet) == [["latest", "v1", "v1.0"]]
    assert store.tags() == ["latest", "v1", "v1.0"]
    store.place(manifest, {"prod": None, "v1.0-prod": None})
    assert puts(internet)[1:] == [["prod", "v1.0-prod"]]


def test_a_registry_that_does_not_is_asked_once(
    brand: Brand, host: RegistryHost, store: RegistryStore, manifest: Manifest, internet: Network
) -> None:
    brand.registry.quirks = replace(brand.registry.quirks, multitag=False)
    store.place(manifest, NEW)
    store.place(manifest, NEW)
    assert puts(internet) == [list(NEW)]
    assert store.tags() == []
    internet.forget()
    other = host.store("acme/other")
    other.place(images.image(other), NEW)
    assert all(not tags for tags in puts(internet))


def test_what_stands_elsewhere_is_left_alone(store: RegistryStore, manifest: Manifest) -> None:
    other = images.image(store, content=b"other", tag="v1")
    store.place(manifest, {**NEW, "latest": other.digest})
    assert {tag: store.resolve(tag) for tag in store.tags()} == {"v1": other.digest, "v1.0": manifest.digest}


def test_a_tag_that_is_not_said_to_be_set_proves_nothing(
    brand: Brand, store: RegistryStore, manifest: Manifest, internet: Network
) -> None:
    registry = internet.hosts[brand.host]
    internet.hosts[brand.host] = lambda asked: replace(registry(asked), headers={"OCI-Tag": "latest, v1.0.1"})
    for _ in range(2):
        store.place(manifest, NEW)
    assert puts(internet) == [list(NEW)]


@pytest.mark.registry
def test_distribution_says_created_and_sets_nothing(registry: RegistryServer) -> None:
    host = RegistryHost(registry.host, Settings(environ={}))
    store = host.store(registry.fresh().path)
    manifest = images.image(store)
    store.place(manifest, NEW)
    assert store.tags() == []
    host.close()
