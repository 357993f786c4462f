"""Pulp's container registry, a real one: the contract suite, a release by the command itself, and what is its own.

It redirects blobs to its content app, has no referrers API, removes no tag by itself, and takes along what an index
names when that is deleted.
"""

from __future__ import annotations

import itertools
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import OCI_INDEX, OCI_MANIFEST, Manifest, Store
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Desk, Done
from tests.pulp import add_user, delete, make_private, running_pulp
from tests.servers import RegistryServer
from tests.stores import test_contract as contract
from tests.stores.media import Medium
from tests.stores.test_contract import (
    TestCreate,
    TestMove,
    TestReferrers,
    TestTags,
    TestThreads,
    TestUntag,
    kind,
    store,
)

__all__ = ["TestCreate", "TestMove", "TestReferrers", "TestTags", "TestThreads", "TestUntag", "kind", "store"]
pytestmark = [pytest.mark.long, pytest.mark.pulp]

POLICY = """\
version: 1
registry: {registry}
images: {{app: app}}
environments:
  dev: {{}}
  prod: {{floating: [latest, major]}}
"""
SECRET = "only here to look on"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def pulp() -> Iterator[RegistryServer]:
    with running_pulp() as running:
        yield running


@pytest.fixture(scope="module")
def host(pulp: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryHost]:
    environ = pulp.environ(tmp_path_factory.mktemp("login"))
    opened = RegistryHost(pulp.host, Settings(environ=environ, writes=True))
    yield opened
    opened.close()


@pytest.fixture
def place(pulp: RegistryServer, host: RegistryHost) -> Medium:
    prefix = f"contract-{next(_numbers)}"
    # A blob is mounted only once an image of the other repository names it.
    return Medium("pulp", pulp.host, lambda path: host.store(f"{prefix}/{path}"), mounts=False)


class TestManifests(contract.TestManifests):
    def test_what_it_names_must_be_there(self, store: Store) -> None:
        """Pulp takes an index whose images are not there: who copies one looks for them itself."""
        child = {"mediaType": OCI_MANIFEST, "digest": images.absent(), "size": 3}
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}
        manifest = Manifest(OCI_INDEX, images.as_json(document))
        store.put(manifest, "v1.0")
        assert store.get("v1.0") == manifest
        assert not store.has(images.absent())


class TestBlobs(contract.TestBlobs):
    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(
                b"wrong",
                marks=pytest.mark.xfail(
                    strict=True, reason="Pulp stores what one PUT brings under any digest; only who sends can look"
                ),
            ),
            b"much longer than it says",
            b"s",
        ],
    )
    def test_with_wrong_content_is_not_stored(self, store: Store, wrong: bytes) -> None:
        super().test_with_wrong_content_is_not_stored(store, wrong)


class Shop:
    """A directory with a policy, logged in to Pulp, and two builds as layouts."""

    def __init__(self, pulp: RegistryServer, path: Path) -> None:
        self.pulp, self.namespace = pulp, f"shop-{next(_numbers)}"
        self.desk = Desk(path)
        self.desk.write(POLICY.format(registry=f"{pulp.host}/{self.namespace}"))
        self.login = pulp.environ(path / "docker")["DOCKER_CONFIG"]
        self.repository = f"{self.namespace}/app"
        self.built = {
            version: images.index(LayoutStore(Repository(f"oci:{path}/builds", version)), seed=version, tag=version)
            for version in ("v1.0", "v1.1")
        }

    def run(self, *command: str, login: str = "") -> Done:
        return self.desk.quickly(*command, DOCKER_CONFIG=login or self.login)

    def do(self, *command: str) -> Done:
        done = self.run(*command)
        assert done.status == 0, done.err
        return done

    def json(self, *command: str) -> dict[str, Any]:
        """What a command says, however it ends."""
        return self.run(*command, "-o", "json").document

    def release(self, version: str) -> None:
        self.do("push", version, f"app=oci:builds/{version}")
        self.do("promote", version, "--to", "prod")

    def login_of(self, name: str, password: str) -> str:
        """The Docker configuration of another user."""
        directory = self.desk.path / f"docker-{name}"
        directory.mkdir()
        auth = b64encode(f"{name}:{password}".encode()).decode()
        (directory / "config.json").write_text(json.dumps({"auths": {self.pulp.host: {"auth": auth}}}))
        return str(directory)


@pytest.fixture
def shop(pulp: RegistryServer, tmp_path: Path) -> Shop:
    return Shop(pulp, tmp_path)


def test_a_release_goes_forward_and_back(shop: Shop, host: RegistryHost) -> None:
    registry: Store = host.store(shop.repository)
    for version in ("v1.0", "v1.1"):
        shop.release(version)
    for tag in ("v1.1", "v1.1-dev", "v1.1-prod", "dev", "prod", "latest", "v1"):
        assert registry.resolve(tag) == shop.built["v1.1"].digest, tag
    assert registry.get("prod") == shop.built["v1.1"], "byte for byte"
    shop.do("rollback", "prod")
    assert registry.resolve("prod") == registry.resolve("latest") == shop.built["v1.0"].digest
    assert shop.run("promote", "v1.1", "--to", "prod").status == 3, "held"
    shop.do("verify")
    entries = json.loads(shop.do("history", "prod", "-o", "json").out)["result"]["entries"]
    assert [it["action"] for it in entries] == ["rollback", "promote", "promote"]


def test_doctor_finds_it_usable(shop: Shop) -> None:
    (registry,) = json.loads(shop.do("doctor", "-o", "json").out)["result"]["registries"]
    assert registry["usable"]
    assert "config.json" in registry["credential"]


def test_who_may_not_push_is_told_so(shop: Shop, host: RegistryHost) -> None:
    """A right that is missing is no wrong password."""
    shop.release("v1.0")
    name = f"bob-{shop.namespace}"
    add_user(shop.pulp, name, SECRET)
    done = shop.run("push", "v1.1", "app=oci:builds/v1.1", login=shop.login_of(name, SECRET))
    assert done.status == 6, done.err
    assert f"{name} (from" in done.err
    assert "may not push there" in done.err
    assert "password" not in done.err
    assert host.store(shop.repository).resolve("dev") == shop.built["v1.0"].digest


def test_a_wrong_password_is_told(shop: Shop) -> None:
    done = shop.run("status", login=shop.login_of("admin", "not it"))
    assert done.status == 6
    assert "not it" not in done.err


class TestNothingIsLost:
    """What cost people data elsewhere, and what Pulp alone does."""

    def test_a_version_on_a_later_page_is_not_overwritten(
        self, shop: Shop, host: RegistryHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tagflow.stores.registry.listing.PAGE_SIZE", 3)
        shop.release("v1.0")
        registry = host.store(shop.repository)
        for number in range(8):
            registry.put(registry.get("v1.0"), f"build-{number}")
        assert len(registry.tags()) > 12
        document = shop.json("push", "v1.0", "app=oci:builds/v1.1")
        assert (document["exit_code"], document["error"]["code"]) == (3, "tag.immutable")
        assert registry.resolve("v1.0") == shop.built["v1.0"].digest
        shop.do("verify")

    def test_what_strangers_may_not_see(self, shop: Shop, host: RegistryHost, pulp: RegistryServer) -> None:
        shop.release("v1.0")
        make_private(pulp, shop.repository)
        assert "v1.0" in shop.do("status", "prod").out
        assert shop.run("push", "v1.0", "app=oci:builds/v1.1").status == 3
        nobody = shop.desk.path / "nobody"
        nobody.mkdir()
        done = shop.run("status", login=str(nobody))
        assert done.status == 6, done.out
        assert "docker login" in done.err
        assert host.store(shop.repository).resolve("v1.0") == shop.built["v1.0"].digest

    def test_an_image_that_was_deleted_gets_no_name_and_comes_back_by_a_push(
        self, shop: Shop, host: RegistryHost, pulp: RegistryServer
    ) -> None:
        """Its platforms and layers are gone with it; the index is in the cache still."""
        for version in ("v1.0", "v1.1"):
            shop.do("push", version, f"app=oci:builds/{version}")
        shop.do("promote", "v1.0", "--to", "prod")
        registry = host.store(shop.repository)
        lost = shop.built["v1.1"]
        delete(pulp, shop.repository, lost.digest)
        left = registry.tags()
        assert not any(registry.has(child.digest) for child in lost.children)
        assert "v1.1" not in left
        assert shop.run("verify", "--repair").status == 5
        assert registry.tags() == left
        assert shop.json("promote", "v1.1", "--to", "prod")["exit_code"] in (4, 5)
        assert registry.resolve("prod") == shop.built["v1.0"].digest
        shop.do("push", "v1.1", "app=oci:builds/v1.1")
        shop.do("promote", "v1.1", "--to", "prod")
        assert registry.resolve("prod") == lost.digest
        assert all(registry.has(child.digest) for child in lost.children)
        shop.do("verify")

    def test_what_is_no_record_is_set_aside(self, shop: Shop, host: RegistryHost) -> None:
        """No tag is removed here by itself."""
        for version in ("v1.0", "v1.1"):
            shop.release(version)
        registry = host.store(shop.repository)
        registry.put(registry.get("v1.0"), "_tagflow.prod.000009.aaaaaaaaaaaa")
        assert "v1.1" in shop.do("status").out
        assert shop.json("rollback", "prod", "app")["error"]["code"] == "history.broken"
        shop.do("verify", "--repair")
        shop.do("rollback", "prod")
        assert registry.resolve("prod") == shop.built["v1.0"].digest


def test_from_here_to_distribution(shop: Shop, host: RegistryHost, registry: RegistryServer) -> None:
    """Its blobs are redirected to; nothing of the login goes along."""
    production = registry.fresh("production")
    policy = (shop.desk.path / "promotion.yaml").read_text()
    shop.desk.write(policy.replace("prod: {", f"prod: {{registry: {production}, "))
    shop.release("v1.0")
    with_tags = RegistryHost(registry.host, Settings(environ={}))
    there = with_tags.store(f"{production.path}/app")
    assert there.get("prod") == host.store(shop.repository).get("v1.0") == shop.built["v1.0"]
    assert all(there.has(child.digest) for child in shop.built["v1.0"].children)
    shop.do("verify")
    with_tags.close()


def test_a_hold_and_a_freeze(shop: Shop) -> None:
    shop.do("push", "v1.0", "app=oci:builds/v1.0")
    shop.do("hold", "prod", "v1.0", "--reason", "it leaks")
    assert shop.json("promote", "v1.0", "--to", "prod")["error"]["code"] == "promotion.held"
    shop.do("hold", "prod", "v1.0", "--lift", "--reason", "it does not")
    shop.do("freeze", "prod", "--reason", "a holiday")
    assert shop.json("promote", "v1.0", "--to", "prod")["error"]["code"] == "promotion.frozen"
    shop.do("freeze", "prod", "--lift", "--reason", "it is over")
    shop.do("promote", "v1.0", "--to", "prod")
    shop.do("verify")


def test_who_has_not_logged_in_is_told_what_to_do(shop: Shop) -> None:
    nobody = shop.desk.path / "nobody"
    nobody.mkdir()
    done = shop.run("push", "v1.0", "app=oci:builds/v1.0", login=str(nobody))
    assert done.status == 6
    assert "docker login" in done.err
