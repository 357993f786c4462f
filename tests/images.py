"""Small real images for tests: deterministic, with layers that a daemon unpacks and (``runnable``) runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tagflow.domain.reference import Digest, digest_of
from tagflow.stores.artifact import EMPTY_CONTENT, EMPTY_TYPE
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    Store,
)
from tests.servers import require

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
PLATFORMS = ("linux/amd64", "linux/arm64")


def as_json(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def tar(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of executable files, the same for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def add_blob(store: Store, content: bytes, media_type: str = "application/octet-stream") -> Descriptor:
    """Store bytes as a blob."""
    blob = Descriptor(media_type, digest_of(content), len(content))
    store.write_blob(blob, lambda: iter([content]))
    return blob


def _part(store: Store, content: bytes, media_type: str) -> Descriptor:
    """A part of an image. In a layout it is a file, written as any other tool would: most tests begin so, and wait."""
    blob = Descriptor(media_type, digest_of(content), len(content))
    path = store._files.blob(blob.digest) if isinstance(store, LayoutStore) else None
    if path is None or path.parent.resolve() != path.parent:  # where a link leads is the store's to judge
        return add_blob(store, content, media_type)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return blob


def pointer(descriptor: Descriptor, **extra: Any) -> dict[str, Any]:
    """A descriptor as JSON writes it."""
    return {"mediaType": descriptor.media_type, "size": descriptor.size, "digest": descriptor.digest, **extra}


def platform_of(text: str) -> dict[str, str]:
    """``os/architecture[/variant]`` as JSON writes it."""
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def image(
    store: Store,
    *,
    platform: str = "linux/amd64",
    content: bytes = b"hello\n",
    labels: Mapping[str, str] | None = None,
    docker: bool = False,
    runnable: bool = False,
    tag: str | None = None,
    layers: Iterable[bytes] | None = None,
) -> Manifest:
    """Store an image of one platform: a configuration and one gzip layer with ``content`` in the file /content.

    ``runnable``: with a static busybox that prints it; ``layers``: these (uncompressed tars) instead; ``docker``:
    schema 2 instead of OCI. Other content gives another digest.
    """
    files = {"content": content}
    if runnable:
        files["bin/busybox"] = Path(require("busybox")).read_bytes()
    tars = list(layers) if layers is not None else [tar(files)]
    layer_type, config_type = (DOCKER_LAYER, DOCKER_CONFIG) if docker else (OCI_LAYER, OCI_CONFIG)
    config = as_json(
        {
            **platform_of(platform),
            "created": "2026-01-01T00:00:00Z",
            "config": {"Cmd": ["/bin/busybox", "cat", "/content"], "Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in tars]},
            "history": [{"created_by": "tests"} for _ in tars],
        }
    )
    descriptors = [_part(store, gzip.compress(layer, 1, mtime=0), layer_type) for layer in tars]
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": pointer(_part(store, config, config_type)),
        "layers": [pointer(descriptor) for descriptor in descriptors],
    }
    return put(store, manifest, tag)


def index(
    store: Store,
    platforms: Iterable[str] = PLATFORMS,
    seed: str = "1",
    *,
    labels: Mapping[str, str] | None = None,
    docker: bool = False,
    tag: str | None = None,
) -> Manifest:
    """Store an image of several platforms (``docker``: as a Docker manifest list). Another seed gives other digests."""
    children = []
    for platform in platforms:
        content = f"{seed} {platform}\n".encode()
        child = image(store, platform=platform, content=content, labels=labels, docker=docker)
        children.append(pointer(child.descriptor, platform=platform_of(platform)))
    return index_of(store, children, docker=docker, tag=tag)


def index_of(store: Store, children: list[dict[str, Any]], *, docker: bool = False, tag: str | None = None) -> Manifest:
    """Store an index of descriptors as :func:`pointer` gives them."""
    media_type = DOCKER_LIST if docker else OCI_INDEX
    return put(store, {"schemaVersion": 2, "mediaType": media_type, "manifests": children}, tag)


def referrer(
    store: Store, subject: Manifest, artifact_type: str = "application/vnd.example.sbom.v1", content: bytes = b"sbom"
) -> Manifest:
    """Store an artifact that refers to a manifest (image-spec 1.1, ``subject``)."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": pointer(add_blob(store, EMPTY_CONTENT, EMPTY_TYPE)),
        "layers": [pointer(add_blob(store, content))],
        "subject": pointer(subject.descriptor),
        "annotations": {"org.example.note": "refers"},
    }
    return put(store, manifest)


def signature(store: Store, subject: Manifest, *payloads: bytes, suffix: str = "sig") -> Manifest:
    """Store what cosign stores: an image under the tag ``sha256-<hex>.<suffix>``, one layer a signature."""
    config = as_json({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": []}, "config": {}})
    blobs = [add_blob(store, payload, "application/vnd.dev.cosign.simplesigning.v1+json") for payload in payloads]
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": pointer(add_blob(store, config, OCI_CONFIG)),
        "layers": [pointer(blob) for blob in blobs],
    }
    return put(store, manifest, f"{subject.digest.replace(':', '-')}.{suffix}")


def put(store: Store, document: Mapping[str, Any], tag: str | None = None) -> Manifest:
    """Store a manifest of the media type that it says."""
    manifest = Manifest(str(document["mediaType"]), as_json(document))
    store.put(manifest, tag)
    return manifest


def absent(seed: str = "absent") -> Digest:
    """A digest of nothing that is stored anywhere."""
    return Digest("sha256:" + hashlib.sha256(seed.encode()).hexdigest())
