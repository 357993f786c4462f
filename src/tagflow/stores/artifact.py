"""Manifests that are no images: a type, annotations, and the empty blob for what an image has beside them.

image-spec 1.1, "Guidelines for Artifact Usage" and "Guidance for an Empty Descriptor". Any registry keeps them, and
crane, oras and skopeo show them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from tagflow.domain.reference import digest_of
from tagflow.stores.port import OCI_MANIFEST, Descriptor, Manifest, Store

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY_CONTENT = b"{}"
EMPTY = Descriptor(EMPTY_TYPE, digest_of(EMPTY_CONTENT), len(EMPTY_CONTENT))


def artifact(artifact_type: str, annotations: Mapping[str, str]) -> Manifest:
    """The manifest, the same bytes for the same annotations in the same order; what is no text becomes ``?``."""
    empty = {"mediaType": EMPTY.media_type, "digest": EMPTY.digest, "size": EMPTY.size}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": empty,
        "layers": [empty],
        "annotations": dict(annotations),
    }
    return Manifest(OCI_MANIFEST, _encoded(document))


def _encoded(document: Mapping[str, object]) -> bytes:
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def write_empty(store: Store) -> None:
    """Bring in the blob that such manifests name."""
    store.write_blob(EMPTY, lambda: iter([EMPTY_CONTENT]))
