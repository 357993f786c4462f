"""What an image says about itself: platforms and labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from tagflow.domain.reference import Digest, normal_platform
from tagflow.errors import StoreError
from tagflow.stores.port import MANIFEST_LIMIT, Descriptor, Manifest, Store

CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_MOST_PARTS = 4096
_ATTESTATION = "vnd.docker.reference.type"
_UNKNOWN = "unknown/unknown"
_EXPIRY = "quay.expires-after"
_AFTER = re.compile(r"[0-9]{1,9}[smhdw]")
"""A value that Quay can read; with any other the label says nothing to it."""


def platforms(store: Store, manifest: Manifest) -> frozenset[str]:
    """The platforms of an image, each as :func:`normal_platform` writes it; build attestations are none.

    Of an index its descriptors say so; where they don't, and for a single image, the configuration does.

    :raises NotFound: a child or configuration is not there.
    :raises StoreError: ``config.invalid``.
    """
    return frozenset(platform for platform, _ in _parts(store, manifest))


def labels(store: Store, manifest: Manifest) -> list[tuple[str, Mapping[str, str]]]:
    """For each platform of an image the labels in its configuration.

    :raises NotFound: a child or configuration is not there.
    :raises StoreError: ``config.invalid``.
    """
    return [(platform, _labels(_config(store, read()))) for platform, read in _parts(store, manifest)]


def expiry(store: Store, manifest: Manifest) -> str:
    """The label by which Quay removes each tag of an image some time after it was put, ``quay.expires-after=20h``; or
    empty. As quay/quay reads it (``get_manifest_labels`` in ``image/oci``): annotations before labels, and of
    an index neither.

    :raises NotFound: its configuration is not there.
    :raises StoreError: ``config.invalid``.
    """
    if manifest.is_index:
        return ""
    after = manifest.annotations.get(_EXPIRY) or _labels(_config(store, manifest)).get(_EXPIRY)
    return f"{_EXPIRY}={after}" if after and _AFTER.fullmatch(after) else ""


class About(Struct, frozen=True):
    """What the first platform of an image says of it: its ``labels``, when it was ``created`` (as it is written there),
    and the ``size`` of its configuration and layers in bytes, as they are stored."""

    labels: Mapping[str, str]
    created: str | None
    size: int


def about(store: Store, manifest: Manifest) -> About:
    """What an image says of itself, by its first platform; of what is no image, nothing.

    :raises NotFound: a child or configuration is not there.
    :raises StoreError: ``config.invalid``.
    """
    seen: set[Digest] = set()
    while manifest.is_index and manifest.digest not in seen:
        seen.add(manifest.digest)
        children = [child for child in manifest.children if child.is_manifest and not _is_attestation(child)]
        if not children:
            break
        manifest = store.get(children[0].digest)
    config = _config(store, manifest)
    created = config.get("created")
    size = sum(blob.size for blob in manifest.blobs)
    return About(_labels(config), created if isinstance(created, str) else None, size)


def _parts(store: Store, root: Manifest) -> Iterator[tuple[str, Callable[[], Manifest]]]:
    """The single images of an image in the order of the index: the platform, and what reads the manifest."""
    seen: set[Digest] = set()
    waiting = [root.descriptor]
    while waiting:
        part = waiting.pop()
        if part.digest in seen or _is_attestation(part):
            continue
        seen.add(part.digest)
        if len(seen) > _MOST_PARTS:
            raise StoreError(
                "manifest.too_many", f"{store.repository}: {root.digest} has more than {_MOST_PARTS} parts"
            )
        read = partial(_read, store, root, part.digest)
        if part.is_index:
            waiting += [child for child in reversed(read().children) if child.is_manifest]
        elif platform := normal_platform(part.platform) or _platform(_config(store, read())):
            yield platform, read


def _read(store: Store, root: Manifest, digest: Digest) -> Manifest:
    return root if digest == root.digest else store.get(digest)


def _is_attestation(child: Descriptor) -> bool:
    return child.platform == _UNKNOWN or _ATTESTATION in child.annotations


def _platform(config: Mapping[str, Any]) -> str:
    """Empty where it is no image that runs anywhere: a signature, a chart."""
    system, architecture, variant = (config.get(key) for key in ("os", "architecture", "variant"))
    if not isinstance(system, str) or not isinstance(architecture, str) or not (system and architecture):
        return ""
    return normal_platform(f"{system}/{architecture}/{variant if isinstance(variant, str) else ''}")


def _config(store: Store, manifest: Manifest) -> Mapping[str, Any]:
    """The configuration of an image, or nothing where it is another kind of artifact."""
    blob = manifest.config
    if blob is None or blob.media_type not in CONFIG_TYPES:
        return {}
    where = f"{store.repository}: configuration {blob.digest}"
    if blob.size > MANIFEST_LIMIT:
        raise StoreError("config.invalid", f"{where} of {blob.size} bytes is too large")
    try:
        document = msgspec.json.decode(b"".join(store.read_blob(blob)))
    except (ValueError, RecursionError) as exc:
        raise StoreError("config.invalid", f"{where} is not JSON") from exc
    if not isinstance(document, dict):
        raise StoreError("config.invalid", f"{where} is not a JSON object")
    return document


def _labels(config: Mapping[str, Any]) -> dict[str, str]:
    section = config.get("config")
    values = section.get("Labels") if isinstance(section, dict) else None
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if isinstance(value, str)}
