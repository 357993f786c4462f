"""Manifests that are no images: a type, annotations, and the empty blob for what an image has beside them.

image-spec 1.1, "Guidelines for Artifact Usage" and "Guidance for an Empty Descriptor". Most registries keep them, and
crane, oras and skopeo show them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from tagflow.domain.reference import digest_of
from tagflow.stores.port import IMAGE_CONFIG, OCI_MANIFEST, Descriptor, Manifest, Store

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY_CONTENT = b"{}"
EMPTY = Descriptor(EMPTY_TYPE, digest_of(EMPTY_CONTENT), len(EMPTY_CONTENT))
TYPE = "io.tagflow.artifact-type"
"""The annotation that says the type where the manifest calls itself an image."""


def artifact(artifact_type: str, annotations: Mapping[str, str]) -> Manifest:
    """The manifest, the same bytes for the same annotations in the same order; what is no text becomes ``?``.

    Where the annotations bear the type (:func:`as_image`), it calls itself an image.
    """
    empty = {"mediaType": EMPTY_TYPE, "digest": EMPTY.digest, "size": EMPTY.size}
    bears_type = TYPE in annotations
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        **({} if bears_type else {"artifactType": artifact_type}),
        "config": {**empty, "mediaType": IMAGE_CONFIG} if bears_type else empty,
        "layers": [empty],
        "annotations": dict(annotations),
    }
    return Manifest(OCI_MANIFEST, _encoded(document))


def as_image(artifact_type: str, annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations of a manifest that calls itself an image, for registries that refuse types that they do not know,
    as GitLab's does."""
    return {**annotations, TYPE: artifact_type}


def stated_type(manifest: Manifest) -> str:
    """What such a manifest says that it is; empty for an image."""
    kind = manifest.document.get("artifactType")
    return kind if kind and isinstance(kind, str) else manifest.annotations.get(TYPE, "")


def _encoded(document: Mapping[str, object]) -> bytes:
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def write_empty(store: Store) -> None:
    """Bring in the blob that such manifests name."""
    store.write_blob(EMPTY, lambda: iter([EMPTY_CONTENT]))
