"""What a manifest is, is in its own bytes: what a medium states beside them may be wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.reference import Digest
from tagflow.stores.cache.log import ManifestLog
from tagflow.stores.cache.store import CachedStore
from tagflow.stores.port import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    UnreadableManifest,
    read_manifest,
)
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tagflow.stores.transfer.copy import copy_image
from tests import images
from tests.proxy import fault_proxy
from tests.servers import RegistryServer

POINTER = {"mediaType": OCI_MANIFEST, "digest": images.absent(), "size": 3}
INDEX_FIELDS: dict[str, Any] = {"schemaVersion": 2, "manifests": [POINTER]}
IMAGE_FIELDS: dict[str, Any] = {"schemaVersion": 2, "config": POINTER, "layers": []}


def read(document: object, stated: str) -> str:
    return read_manifest(json.dumps(document).encode(), stated, "app: v1").media_type


class TestType:
    @pytest.mark.parametrize("stated", [*MANIFEST_TYPES, "", "application/json", "text/html", "application/vnd.x"])
    @pytest.mark.parametrize("own", MANIFEST_TYPES)
    def test_is_what_the_document_says(self, own: str, stated: str) -> None:
        fields = INDEX_FIELDS if own in (OCI_INDEX, DOCKER_LIST) else IMAGE_FIELDS
        assert read({**fields, "mediaType": own}, stated) == own

    @pytest.mark.parametrize(
        ("fields", "stated", "found"),
        [
            (INDEX_FIELDS, OCI_INDEX, OCI_INDEX),
            (INDEX_FIELDS, DOCKER_LIST, DOCKER_LIST),
            (INDEX_FIELDS, OCI_MANIFEST, OCI_INDEX),
            (INDEX_FIELDS, DOCKER_MANIFEST, OCI_INDEX),
            (INDEX_FIELDS, "", OCI_INDEX),
            (INDEX_FIELDS, "application/json", OCI_INDEX),
            (IMAGE_FIELDS, OCI_MANIFEST, OCI_MANIFEST),
            (IMAGE_FIELDS, DOCKER_MANIFEST, DOCKER_MANIFEST),
            (IMAGE_FIELDS, OCI_INDEX, OCI_MANIFEST),
            (IMAGE_FIELDS, "application/octet-stream", OCI_MANIFEST),
            ({"schemaVersion": 2}, OCI_INDEX, OCI_INDEX),
            ({"schemaVersion": 2, "manifests": None}, OCI_INDEX, OCI_INDEX),
        ],
    )
    def test_of_a_document_that_says_none_fits_its_fields(self, fields: Any, stated: str, found: str) -> None:
        assert read(fields, stated) == found

    @pytest.mark.parametrize(
        ("document", "stated"),
        [
            ({**IMAGE_FIELDS, "schemaVersion": 1}, DOCKER_MANIFEST),
            ({"schemaVersion": 1, "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
            ({"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": []}, ""),
            (IMAGE_FIELDS, "application/vnd.example"),
            ({"spdxVersion": "SPDX-2.3"}, ""),
            ({}, "application/json"),
        ],
    )
    def test_that_is_moved_by_nobody_is_unsupported(self, document: Any, stated: str) -> None:
        with pytest.raises(UnreadableManifest) as caught:
            read(document, stated)
        assert caught.value.code == "manifest.unsupported"

    @pytest.mark.parametrize(
        "document",
        [
            {**INDEX_FIELDS, **IMAGE_FIELDS},
            {**INDEX_FIELDS, "layers": []},
            {**INDEX_FIELDS, "mediaType": OCI_MANIFEST},
            {**IMAGE_FIELDS, "mediaType": OCI_INDEX},
            [],
            7,
        ],
    )
    def test_of_a_document_that_is_two_things_is_invalid(self, document: Any) -> None:
        with pytest.raises(UnreadableManifest) as caught:
            read(document, OCI_INDEX)
        assert caught.value.code == "manifest.invalid"

    @given(
        fields=st.sampled_from([INDEX_FIELDS, IMAGE_FIELDS]),
        own=st.sampled_from([None, *MANIFEST_TYPES, "application/vnd.x"]),
        first=st.sampled_from([*MANIFEST_TYPES, ""]),
        second=st.sampled_from([*MANIFEST_TYPES, ""]),
    )
    def test_never_turns_an_index_into_an_image(self, fields: Any, own: str | None, first: str, second: str) -> None:
        """Whatever is stated, before or later: an index stays one, or is refused."""
        document = fields if own is None else {**fields, "mediaType": own}
        try:
            once = read_manifest(json.dumps(document).encode(), first, "x")
            again = read_manifest(once.content, second, "x")
        except UnreadableManifest:
            return
        assert once.is_index == again.is_index == (fields is INDEX_FIELDS)
        assert read_manifest(once.content, once.media_type, "x") == once


def test_a_manifest_has_the_digest_by_which_it_was_asked_for() -> None:
    content = json.dumps(IMAGE_FIELDS).encode()
    sha512 = Digest("sha512:" + hashlib.sha512(content).hexdigest())
    sha256 = Digest("sha256:" + hashlib.sha256(content).hexdigest())
    assert read_manifest(content, "", "x", sha512).digest == sha512
    assert read_manifest(content, "", "x", sha256).digest == sha256
    assert read_manifest(content, "", "x").digest == sha256
    assert read_manifest(content, "", "x", sha512) == read_manifest(content, "", "x")


@pytest.mark.registry
def test_a_content_type_that_is_wrong_for_once_is_not_believed(registry: RegistryServer, tmp_path: Path) -> None:
    """An index that a registry calls an image, once: neither now nor from the cache is it one."""
    path = registry.fresh("once").path
    plain = RegistryHost(registry.host, Settings(environ={}))
    root = images.index(plain.store(path), tag="v1.0")
    with fault_proxy(registry.host) as proxy:
        proxy.add(method="GET", path="manifests/", set_headers={"Content-Type": OCI_MANIFEST})
        host = RegistryHost(proxy.host, Settings(environ={}))
        cached = CachedStore(host.store(path), ManifestLog(tmp_path))
        assert cached.get("v1.0") == root
        later = CachedStore(host.store(path), ManifestLog(tmp_path))
        assert later.get(root.digest) == root
        target = plain.store(f"{path}/target")
        copy_image(later, target, root.digest)
        assert all(target.has(child.digest) for child in root.children)
        host.close()
    plain.close()
