"""Removing a tag never removes more: it is tried first, for registries differ. All of them are simulated here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tagflow.errors import StoreError
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests import images
from tests.registries.brands import Brand
from tests.registries.fixtures import OpenBrand, connect
from tests.registries.network import Network
from tests.standin import Asked, Say


@pytest.fixture
def brand(open_brand: OpenBrand) -> Brand:
    return open_brand("acr")


@pytest.fixture
def host(brand: Brand) -> Iterator[RegistryHost]:
    host = connect(brand)
    yield host
    host.close()


@pytest.fixture
def store(brand: Brand, host: RegistryHost) -> RegistryStore:
    return host.store(f"{brand.namespace}/app")


def deletes(internet: Network) -> int:
    return sum(asked.method == "DELETE" for _, asked in internet.asked)


def test_takes_the_tag_and_nothing_else(store: RegistryStore) -> None:
    manifest = images.image(store, tag="v1.0")
    store.put(manifest, "prod")
    store.untag("prod", manifest.digest)
    assert store.tags() == ["v1.0"]
    assert store.get("v1.0") == manifest


def test_is_tried_once_for_a_registry(brand: Brand, host: RegistryHost, internet: Network) -> None:
    for name in ("frontend", "backend", "worker"):
        store = host.store(f"{brand.namespace}/{name}")
        manifest = images.image(store, tag="v1.0")
        store.put(manifest, "prod")
        store.untag("prod", manifest.digest)
    assert deletes(internet) == 3 + 3


def test_not_where_the_image_would_go_with_it(brand: Brand, store: RegistryStore) -> None:
    brand.registry.quirks = replace(brand.registry.quirks, untag_takes_image=True)
    manifest = images.image(store, tag="v1.0")
    store.put(manifest, "prod")
    with pytest.raises(StoreError, match="all its tags") as caught:
        store.untag("prod", manifest.digest)
    assert caught.value.code == "tag.undeletable"
    assert store.tags() == ["prod", "v1.0"]
    assert store.get("prod") == manifest


def test_nothing_is_written_where_tags_cannot_be_removed(brand: Brand, store: RegistryStore, internet: Network) -> None:
    brand.registry.quirks = replace(brand.registry.quirks, untag=405)
    manifest = images.image(store, tag="v1.0")
    internet.forget()
    with pytest.raises(StoreError, match="HTTP 405"):
        store.untag("v1.0", manifest.digest)
    assert not [asked for _, asked in internet.asked if asked.method in ("PUT", "PATCH")]


@pytest.mark.parametrize("status", [400, 405])
def test_what_is_refused_outright_is_known_without_a_trial(brand: Brand, store: RegistryStore, status: int) -> None:
    brand.registry.quirks = replace(brand.registry.quirks, untag=status)
    with pytest.raises(StoreError, match=f"HTTP {status}") as caught:
        store.refuse_untag("prod", trial=False)
    assert caught.value.code == "tag.undeletable"


def test_nothing_is_written_without_a_trial(brand: Brand, store: RegistryStore, internet: Network) -> None:
    """Where it would take one, or the right is missing here, nothing is said."""
    images.image(store, tag="v1.0")
    internet.forget()
    for status in (202, 403, 500):
        brand.registry.quirks = replace(brand.registry.quirks, untag=status, untag_takes_image=True)
        store.refuse_untag("prod", trial=False)
    assert not [asked for _, asked in internet.asked if asked.method in ("PUT", "PATCH")]
    brand.registry.quirks = replace(brand.registry.quirks, untag=202)
    with pytest.raises(StoreError, match="all its tags"):
        store.refuse_untag("prod")


def test_a_registry_is_asked_once_without_a_trial(brand: Brand, host: RegistryHost, internet: Network) -> None:
    host.store(f"{brand.namespace}/frontend").refuse_untag("prod", trial=False)
    before = deletes(internet)
    for name in ("backend", "worker"):
        host.store(f"{brand.namespace}/{name}").refuse_untag("prod", trial=False)
    assert deletes(internet) == before > 0


def test_a_token_server_that_knows_no_such_right(brand: Brand, host: RegistryHost, store: RegistryStore) -> None:
    """Quay's refuses the whole scope, and takes push for it."""
    assert brand.login
    brand.login.known_actions = frozenset({"pull", "push"})
    granted = brand.registry.login
    brand.registry.login = lambda asked, wanted: granted(
        asked, {(name, "push" if action == "delete" else action) for name, action in wanted}
    )
    manifest = images.image(store, tag="v1.0")
    store.put(manifest, "prod")
    store.untag("prod", manifest.digest)
    assert store.tags() == ["v1.0"]
    checks = {check.check: check for check in host.examine([store.repository], datetime.now(UTC)).checks}
    assert checks["tag deletion"].ok


def test_an_answer_that_is_lost(brand: Brand, store: RegistryStore, internet: Network) -> None:
    manifest = images.image(store, tag="v1.0")
    store.put(manifest, "prod")
    registry = internet.hosts[brand.host]

    def losing(asked: Asked) -> Say:
        said = registry(asked)
        lost = asked.method == "DELETE" and asked.path.endswith("/prod")
        return Say(raw=b"") if lost else said

    internet.hosts[brand.host] = losing
    store.untag("prod", manifest.digest)
    assert store.tags() == ["v1.0"]
