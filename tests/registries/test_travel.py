"""What hangs on an image travels with it, from one real registry to another, and is verified on the far side."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tagflow.errors import Refused
from tagflow.stores.port import Manifest, Store
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost
from tagflow.stores.transfer.copy import copy_image, missing_parts
from tests import images
from tests.cli.runner import Desk
from tests.servers import RegistryServer

pytestmark = pytest.mark.registry

QUICK = RetryPolicy(attempts=3, first=0.01)


@dataclass(frozen=True)
class Signed:
    """An image of two platforms, a cosign-style signature, and two referrers, one of them of a child."""

    image: Manifest
    signature: Manifest
    sbom: Manifest
    report: Manifest

    @property
    def all(self) -> list[Manifest]:
        return [self.image, self.signature, self.sbom, self.report]


@pytest.fixture
def source(registry: RegistryServer, tmp_path: Path) -> Iterator[Store]:
    host = RegistryHost(registry.host, Settings(environ={"HOME": str(tmp_path)}, retry=QUICK))
    yield host.store(registry.fresh("source").path)
    host.close()


@pytest.fixture
def target(second_registry: RegistryServer, tmp_path: Path) -> Iterator[Store]:
    host = RegistryHost(second_registry.host, Settings(environ={"HOME": str(tmp_path)}, retry=QUICK))
    yield host.store(second_registry.fresh("target").path)
    host.close()


@pytest.fixture
def signed(source: Store) -> Signed:
    image = images.index(source, tag="v1.0")
    child = source.get(image.children[0].digest)
    return Signed(
        image,
        images.signature(source, image, b"signed by alice"),
        images.referrer(source, image),
        images.referrer(source, child, "application/vnd.example.report", b"fine"),
    )


def raw(store: Store, path: str) -> bytes:
    """What another client sees: no code of tagflow in between."""
    accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
    address = f"http://{store.repository.host}/v2/{store.repository.path}/{path}"
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Accept": accept}), timeout=5) as answer:
        content: bytes = answer.read()
    return content


def test_all_of_it_arrives(source: Store, target: Store, signed: Signed) -> None:
    copy_image(source, target, "v1.0")
    for manifest in signed.all:
        assert raw(target, f"manifests/{manifest.digest}") == manifest.content
        for part in manifest.children or (manifest.descriptor,):
            child = raw(target, f"manifests/{part.digest}")
            assert "sha256:" + hashlib.sha256(child).hexdigest() == part.digest
            for blob in Manifest(part.media_type, child).blobs:
                content = raw(target, f"blobs/{blob.digest}")
                assert "sha256:" + hashlib.sha256(content).hexdigest() == blob.digest
    hexes = signed.image.digest.replace(":", "-")
    assert raw(target, f"manifests/{hexes}.sig") == signed.signature.content
    assert _listed(target, signed.image.digest) == [signed.sbom.digest]
    assert _listed(target, signed.image.children[0].digest) == [signed.report.digest]


def test_a_second_run_sends_nothing(
    source: Store, target: Store, signed: Signed, second_registry: RegistryServer
) -> None:
    copy_image(source, target, "v1.0")
    before = len(second_registry.requests())
    copy_image(source, target, "v1.0")
    assert {request.method for request in second_registry.requests()[before:]} <= {"GET", "HEAD"}


def test_a_signature_that_came_later_arrives_alone(
    source: Store, target: Store, signed: Signed, second_registry: RegistryServer
) -> None:
    copy_image(source, target, "v1.0")
    before = len(second_registry.requests())
    images.signature(source, signed.image, b"signed by alice", b"signed by bob")
    copy_image(source, target, "v1.0")
    puts = [request for request in second_registry.requests()[before:] if request.method == "PUT"]
    assert len([it for it in puts if "/manifests/" in it.path]) == 2, "the manifest, and its tag"
    assert len([it for it in puts if "/blobs/" in it.path]) == 1, "the new payload"


@pytest.mark.parametrize("referrers", ["ignore", "require"])
def test_the_other_ways(source: Store, target: Store, signed: Signed, referrers: Literal["ignore", "require"]) -> None:
    copy_image(source, target, "v1.0", referrers=referrers)
    assert target.has(signed.image.digest)
    assert target.has(signed.signature.digest) == target.has(signed.report.digest) == (referrers == "require")


def test_required_and_missing(source: Store, target: Store) -> None:
    image = images.index(source, tag="v1.0")
    with pytest.raises(Refused) as caught:
        copy_image(source, target, "v1.0", referrers="require")
    assert caught.value.code == "referrers.missing"
    assert not target.has(image.digest)


def test_a_blob_among_the_children(source: Store, target: Store) -> None:
    """distribution fails at a blob that is asked for as a manifest: that is no failure of the registry."""
    note = images.add_blob(source, b"a note", "text/plain")
    root = images.index_of(source, [images.pointer(note), images.pointer(images.image(source).descriptor)])
    copy_image(source, target, root.digest)
    assert raw(target, f"blobs/{note.digest}") == b"a note"
    assert missing_parts(target, root.digest) == []


class TestPromotion:
    """The same by the command, from an environment on one registry to one on another."""

    POLICY = """\
version: 1
registry: {source}
images: {{app: {name}}}
environments:
  dev: {{}}
  prod: {{registry: "{target}/prod"}}
"""

    @pytest.fixture
    def desk(self, source: Store, second_registry: RegistryServer, tmp_path: Path) -> Desk:
        namespace, _, name = source.repository.path.rpartition("/")
        registry = f"{source.repository.host}/{namespace}"
        desk = Desk(tmp_path)
        desk.write(self.POLICY.format(source=registry, name=name, target=second_registry.host))
        return desk

    @pytest.fixture
    def promoted(self, source: Store, second_registry: RegistryServer, tmp_path: Path) -> Iterator[Store]:
        host = RegistryHost(second_registry.host, Settings(environ={"HOME": str(tmp_path)}, retry=QUICK))
        yield host.store(f"prod/{source.repository.path.rpartition('/')[2]}")
        host.close()

    def promote(self, desk: Desk, to: str) -> None:
        done = desk.quickly("promote", "v1.0", "--to", to)
        assert done.status == 0, done.err

    def test_takes_everything_along_once(
        self, desk: Desk, promoted: Store, signed: Signed, second_registry: RegistryServer
    ) -> None:
        self.promote(desk, "dev")
        self.promote(desk, "prod")
        assert promoted.resolve("prod") == signed.image.digest
        for manifest in signed.all:
            assert raw(promoted, f"manifests/{manifest.digest}") == manifest.content
        before = len(second_registry.requests())
        self.promote(desk, "prod")
        assert {request.method for request in second_registry.requests()[before:]} <= {"GET", "HEAD"}

    def test_brings_a_signature_that_came_later(
        self, desk: Desk, promoted: Store, signed: Signed, source: Store
    ) -> None:
        self.promote(desk, "dev")
        self.promote(desk, "prod")
        later = images.signature(source, signed.image, b"signed by alice", b"signed by bob")
        assert not promoted.has(later.digest)
        self.promote(desk, "prod")
        assert raw(promoted, f"manifests/{signed.image.digest.replace(':', '-')}.sig") == later.content


def _listed(store: Store, digest: str) -> list[str]:
    index = json.loads(raw(store, f"manifests/{digest.replace(':', '-')}"))
    return [entry["digest"] for entry in index["manifests"]]
