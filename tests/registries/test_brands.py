"""What each simulated registry does differently, and that tagflow copes: nothing here is the real service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import Refused, StoreError
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests import images
from tests.marks import LONG
from tests.registries.brands import BRANDS, Brand
from tests.registries.fixtures import OpenBrand, connect
from tests.registries.network import Network
from tests.registries.simulator import failed
from tests.standin import Asked, Say


@pytest.fixture(params=BRANDS)
def brand(request: pytest.FixtureRequest, open_brand: OpenBrand) -> Brand:
    return open_brand(str(request.param))


@pytest.fixture
def host(brand: Brand) -> Iterator[RegistryHost]:
    host = connect(brand)
    yield host
    host.close()


@pytest.fixture
def store(brand: Brand, host: RegistryHost) -> RegistryStore:
    return host.store(f"{brand.namespace}/app")


@LONG
def test_all_pages_of_tags(brand: Brand, store: RegistryStore) -> None:
    manifest = images.image(store)
    names = sorted(f"v1.{number}" for number in range(brand.registry.quirks.page * 2 + 3 if brand.name != "ecr" else 5))
    repo = brand.registry.repos[store.repository.path]
    repo.tags |= dict.fromkeys(names, manifest.digest)
    assert store.tags() == names


@pytest.mark.parametrize("brand", [name for name in BRANDS if name not in ("ghcr", "zot")], indirect=True)
def test_an_immutable_tag(brand: Brand, store: RegistryStore) -> None:
    first, second = images.image(store, tag="v1.0"), images.image(store, content=b"2")
    brand.registry.locked.add("v1.0")
    store.put(first, "v1.0")
    store.move("v1.0", first, None)
    with pytest.raises(Refused) as caught:
        store.move("v1.0", second, first.digest)
    assert (caught.value.code, caught.value.exit_status) == ("tag.immutable", 3)
    with pytest.raises(Refused):
        store.put(second, "v1.0")
    assert store.resolve("v1.0") == first.digest


def test_a_login_is_told_to_the_registry_and_its_token_server_only(
    brand: Brand, store: RegistryStore, internet: Network
) -> None:
    manifest = images.image(store, tag="v1.0")
    assert b"".join(store.read_blob(manifest.blobs[0]))
    own = {brand.registry.host, "auth.docker.io", "gitlab.com"}
    assert {name for name, asked in internet.asked if asked.authorization} <= own
    if brand.registry.quirks.storage:
        assert brand.registry.quirks.storage in {name for name, _ in internet.asked}


@pytest.mark.parametrize("brand", [name for name in BRANDS if name not in ("ecr", "zot")], indirect=True)
def test_a_token_that_is_taken_back_midway(brand: Brand, store: RegistryStore) -> None:
    manifest = images.image(store, tag="v1.0")
    assert brand.login
    brand.login.expire()
    store.put(manifest, "v1.1")
    brand.login.expire()
    assert store.tags() == ["v1.0", "v1.1"]


@pytest.mark.parametrize("brand", [name for name in BRANDS if name != "ecr"], indirect=True)
def test_a_stranger_may_not_push(brand: Brand) -> None:
    environ = {key: value for key, value in brand.environ.items() if not key.startswith("TAGFLOW")}
    host = connect(brand, environ={**environ, "HOME": "/nonexistent"})
    with pytest.raises(StoreError) as caught:
        images.add_blob(host.store(f"{brand.namespace}/app"), b"content")
    assert caught.value.code == "auth.denied"
    assert "docker login" in caught.value.hint
    host.close()


def test_doctor(brand: Brand, host: RegistryHost) -> None:
    repositories = [Repository(brand.host, f"{brand.namespace}/{name}") for name in ("frontend", "backend")]
    checkup = host.examine(repositories, datetime.now(UTC))
    checks = {check.check: check for check in checkup.checks}
    assert [check for check in checkup.checks if check.essential and not check.ok] == []
    assert checkup.credential
    assert ("rate limit" in checks) == (brand.name == "docker-hub")
    left = [repo for repo in brand.registry.repos.values() if repo.manifests or repo.blobs]
    assert not left
    assert brand.registry.open_uploads == 0


def test_doctor_tells_features(brand: Brand, host: RegistryHost, store: RegistryStore) -> None:
    images.image(store, tag="v1.0")
    checks = {check.check: check for check in host.examine([store.repository], datetime.now(UTC)).checks}
    quirks = brand.registry.quirks
    assert checks["referrers"].ok == quirks.referrers
    assert checks["tag deletion"].ok == (quirks.untag == 202)
    assert store.tags() == ["v1.0"]


@pytest.mark.parametrize(
    ("brand", "challenge"), [("harbor", ""), ("harbor", 'Basic realm="harbor"')], indirect=["brand"]
)
def test_a_project_that_is_not_there_is_no_wrong_password(
    brand: Brand, host: RegistryHost, internet: Network, challenge: str
) -> None:
    """Harbor hides it by a 401, with a token and a password that are good (src/server/middleware/v2auth)."""
    harbor = internet.hosts[brand.host]
    said = failed(401, "UNAUTHORIZED", "project nosuch not found", {"WWW-Authenticate": challenge})
    internet.hosts[brand.host] = lambda asked: (
        said if asked.path.startswith("/v2/nosuch") and asked.authorization else harbor(asked)
    )
    host.ping()
    with pytest.raises(StoreError) as caught:
        host.store("nosuch/app").tags()
    assert caught.value.code == "registry.denied"
    assert "project nosuch not found" in caught.value.message
    assert "login itself is good" in caught.value.hint or "rights" in caught.value.hint


@pytest.mark.parametrize("brand", ["artifact-registry"], indirect=True)
def test_a_token_server_that_knows_no_such_repository(brand: Brand, host: RegistryHost, internet: Network) -> None:
    registry = internet.hosts[brand.host]
    said = failed(404, "NAME_UNKNOWN", "no such project")
    internet.hosts[brand.host] = lambda asked: (
        said if asked.path == "/v2/token" and "nosuch" in asked.target else registry(asked)
    )
    with pytest.raises(StoreError) as caught:
        host.store("nosuch/app").tags()
    assert caught.value.code == "registry.denied"
    assert "no such project" in caught.value.message


@pytest.mark.parametrize("brand", ["ecr"], indirect=True)
def test_a_list_that_ends_with_a_full_page(brand: Brand, host: RegistryHost, internet: Network) -> None:
    """ECR links to what follows, and answers 405 to `last`."""
    tags = [f"t{number:04}" for number in range(1000)]

    def answer(asked: Asked) -> Say:
        if asked.path.endswith("/tags/list") and asked.authorization:
            body = json.dumps({"name": "acme/app", "tags": tags}).encode()
            return failed(405, "UNSUPPORTED", "no") if "last" in asked.query else Say(body=body)
        return ecr(asked)

    ecr = internet.hosts[brand.host]
    internet.hosts[brand.host] = answer
    assert host.store("acme/app").tags() == tags


def test_doctor_does_not_have_repositories_created(open_brand: OpenBrand, internet: Network) -> None:
    """Quay creates a repository for who asks for a token to push to it (endpoints/v2/v2auth.py)."""
    brand = open_brand("harbor")
    internet.hosts["quay.io"] = internet.hosts[brand.host]
    host = RegistryHost("quay.io", Settings(environ={**brand.environ, "HOME": "/nonexistent"}))
    checkup = host.examine([Repository("quay.io", "library/app")], datetime.now(UTC))
    host.close()
    assert {asked.method for name, asked in internet.asked if name == "quay.io"} <= {"GET", "HEAD"}
    assert not any("push" in asked.target for _, asked in internet.asked)
    told = {check.check: check.detail for check in checkup.checks}
    assert "Quay would create them" in told["push"]
