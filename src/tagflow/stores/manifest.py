"""Manifests and what points at content, as values: byte for byte as a medium keeps them, read but never written again.

image-spec 1.1 ("Image Manifest", "Image Index", "OCI Content Descriptors"), Docker's schema 2 and manifest lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from tagflow.domain.reference import Digest, digest_of, is_digest
from tagflow.errors import StoreError

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
SCHEMA1_TYPES = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
"""What Docker pushed before 2016. An index may still name one; nothing more is done with them."""
_SAYS_NOTHING = ("", "application/json", "application/octet-stream", "binary/octet-stream", "text/plain")
"""Content types of servers that know no better: plain file servers, caches, some proxies."""
MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes. distribution-spec 1.1: registries should accept manifests up to 4 MiB."""


class UnreadableManifest(StoreError):
    """Content that tagflow cannot take for a manifest: ``manifest.invalid``, or ``manifest.unsupported``."""


@dataclass(frozen=True)
class Descriptor:
    """What points at content (image-spec 1.1, "OCI Content Descriptors")."""

    media_type: str
    digest: Digest
    size: int
    platform: str = ""
    """``os/architecture[/variant]`` where the descriptor names one."""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    foreign: bool = False
    """A layer that is fetched from its ``urls`` and may be absent from the repository."""

    @property
    def is_index(self) -> bool:
        """Whether it points at an image index (or Docker manifest list)."""
        return self.media_type in INDEX_TYPES

    @property
    def is_manifest(self) -> bool:
        """Whether it points at a manifest or an index, not at a blob."""
        return self.media_type in MANIFEST_TYPES


@dataclass(frozen=True)
class Manifest:
    """A manifest or index, byte for byte as stored. It is never re-encoded."""

    media_type: str
    content: bytes
    address: Digest | None = field(default=None, compare=False, repr=False)
    """The digest by which it was asked for, where that is not SHA-256 (image-spec 1.1, "Registered algorithms")."""

    @cached_property
    def digest(self) -> Digest:
        """The digest of the bytes: by SHA-256, unless it is addressed by another hash."""
        return self.address or digest_of(self.content)

    @property
    def descriptor(self) -> Descriptor:
        """What points at this manifest."""
        return Descriptor(self.media_type, self.digest, len(self.content), artifact_type=self.artifact_type)

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The JSON object within.

        :raises UnreadableManifest: ``manifest.invalid`` where it is none.
        """
        return _object(self.content, f"manifest {self.digest}")

    @property
    def is_index(self) -> bool:
        """Whether this is an index (or Docker manifest list) of other manifests."""
        return self.media_type in INDEX_TYPES

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests that an index names; none for an image manifest."""
        return self._descriptors("manifests") if self.is_index else ()

    @property
    def config(self) -> Descriptor | None:
        """The configuration blob of an image manifest."""
        if self.is_index or "config" not in self.document:
            return None
        return self._descriptor(self.document["config"])

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Configuration and layers of an image manifest, in that order; none for an index."""
        if self.is_index:
            return ()
        config = self.config
        return ((config,) if config else ()) + self._descriptors("layers")

    @property
    def subject(self) -> Descriptor | None:
        """The manifest that this one refers to (image-spec 1.1, ``subject``)."""
        return self._descriptor(self.document["subject"]) if self.document.get("subject") else None

    @property
    def artifact_type(self) -> str:
        """``artifactType``, or the configuration's media type (distribution-spec 1.1, "Listing Referrers")."""
        value = self.document.get("artifactType")
        if isinstance(value, str) and value:
            return value
        return "" if self.is_index or self.config is None else self.config.media_type

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations; those that are not strings are left out."""
        return _strings(self.document.get("annotations"))

    def _descriptors(self, key: str) -> tuple[Descriptor, ...]:
        values = self.document.get(key) or []
        if not isinstance(values, list):
            raise UnreadableManifest("manifest.invalid", f"manifest {self.digest}: {key!r} is not a list")
        return tuple(self._descriptor(value) for value in values)

    def _descriptor(self, value: Any) -> Descriptor:
        return parse_descriptor(value, where=f"manifest {self.digest}")


def read_manifest(content: bytes, stated: str, where: str, digest: Digest | None = None) -> Manifest:
    """A manifest as a medium gives it, under the media type that it has by its own content.

    ``stated`` is what stands beside the content: a Content-Type, the descriptor in a parent, an entry of a cache. The
    digest does not cover that, and a registry that states another type for once would be believed for ever: an index
    that passes for an image has no platforms. So what the document says of itself counts first, then ``stated``, then
    which fields the document has. ``where`` names the content in errors; ``digest`` is what it was asked for by, and
    the caller has compared.

    :raises UnreadableManifest: ``manifest.invalid``: no JSON object, or an index and an image at once (readers that
        disagree about such a document see two different images: CVE-2021-41190); ``manifest.unsupported``.
    """
    document = _object(content, where)
    shape = _shape(document, where)
    own = document.get("mediaType")
    if document.get("schemaVersion") == 1:
        raise _unsupported(where, "schema 1")
    if isinstance(own, str) and own in MANIFEST_TYPES:
        if shape and (own in INDEX_TYPES) != (shape in INDEX_TYPES):
            contradiction = f"{where} says that it is {own}, and has the fields of {shape}"
            raise UnreadableManifest("manifest.invalid", contradiction)
        media_type = own
    elif stated in MANIFEST_TYPES and (not shape or (stated in INDEX_TYPES) == (shape in INDEX_TYPES)):
        media_type = stated
    elif shape and not own and stated in (*_SAYS_NOTHING, *MANIFEST_TYPES):
        media_type = shape
    else:
        raise _unsupported(where, own if isinstance(own, str) and own else stated or "unknown")
    address = None if digest is None or digest.startswith("sha256:") else digest
    manifest = Manifest(media_type, content, address)
    manifest.__dict__["document"] = document  # what the cached property would decode once more
    return manifest


def _shape(document: Mapping[str, Any], where: str) -> str:
    """The type that the fields of a document speak for; empty where they speak for none."""
    is_index = document.get("manifests") is not None
    is_image = document.get("config") is not None or document.get("layers") is not None
    if is_index and is_image:
        raise UnreadableManifest("manifest.invalid", f"{where} is an index and an image at once")
    if is_index:
        return OCI_INDEX
    return OCI_MANIFEST if is_image else ""


def _unsupported(where: str, kind: str) -> UnreadableManifest:
    return UnreadableManifest(
        "manifest.unsupported",
        f"{where} is of type {kind}, which tagflow does not move",
        hint="Push the image again with a current tool: OCI, or Docker schema 2.",
    )


def _object(content: bytes, where: str) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(content)
    except (ValueError, RecursionError) as exc:  # text that is not UTF-8 is a plain ValueError
        raise UnreadableManifest("manifest.invalid", f"{where} is not JSON") from exc
    if not isinstance(document, dict):
        raise UnreadableManifest("manifest.invalid", f"{where} is not a JSON object")
    return document


def parse_descriptor(value: Any, *, where: str) -> Descriptor:
    """Read one descriptor out of decoded JSON.

    :raises UnreadableManifest: ``manifest.invalid``; ``where`` says in what.
    """
    if not isinstance(value, dict):
        raise UnreadableManifest("manifest.invalid", f"{where}: a descriptor is not an object")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not isinstance(digest, str) or not is_digest(digest):
        raise UnreadableManifest("manifest.invalid", f"{where}: a descriptor has no valid mediaType and digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise UnreadableManifest("manifest.invalid", f"{where}: the descriptor of {digest} has no valid size")
    return Descriptor(
        media_type=media_type,
        digest=Digest(digest),
        size=size,
        platform=platform_name(value.get("platform")),
        artifact_type=value["artifactType"] if isinstance(value.get("artifactType"), str) else "",
        annotations=_strings(value.get("annotations")),
        foreign=bool(value.get("urls")) or "foreign" in media_type or "nondistributable" in media_type,
    )


def platform_name(value: Any) -> str:
    """``os/architecture[/variant]`` out of decoded JSON; empty where it names none.

    >>> platform_name({"os": "linux", "architecture": "arm", "variant": "v7"})
    'linux/arm/v7'
    """
    if not isinstance(value, dict):
        return ""
    return "/".join(str(value[key]) for key in ("os", "architecture", "variant") if value.get(key))


def _strings(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}
