"""The index of what refers to a manifest, kept by hand under a tag where the registry does not keep one.

distribution-spec 1.1, "Referrers Tag Schema" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from tagflow.domain.reference import Digest
from tagflow.errors import NotFound, StoreError
from tagflow.stores.port import OCI_INDEX, Descriptor, Manifest, Store, TagMoved, parse_descriptor

_TRIES = 5


def fallback_tag(digest: Digest) -> str:
    """The tag of the index of what refers to ``digest``.

    >>> fallback_tag(Digest("sha256:" + "a" * 64))[:10]
    'sha256-aaa'
    """
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def parse_referrers(content: bytes, where: str) -> list[Descriptor]:
    """The descriptors of an index.

    :raises StoreError: ``manifest.invalid``; ``where`` says in what.
    """
    values = _document(content, where).get("manifests") or []
    if not isinstance(values, list):
        raise StoreError("manifest.invalid", f"{where}: 'manifests' is not a list")
    return [parse_descriptor(value, where=where) for value in values]


def unique(descriptors: Iterable[Descriptor]) -> list[Descriptor]:
    """Each digest once, in the order given."""
    found: dict[Digest, Descriptor] = {}
    for descriptor in descriptors:
        found.setdefault(descriptor.digest, descriptor)
    return list(found.values())


class ReferrersTag:
    """The indexes under fallback tags in one repository. Safe for use by several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def read(self, subject: Digest) -> tuple[Descriptor, ...]:
        """What refers to a manifest.

        :raises StoreError: ``manifest.invalid``, or as :meth:`Store.get`.
        """
        index = self._index(subject)
        return index.children if index else ()

    def add(self, subject: Digest, referrer: Manifest) -> None:
        """List a referrer, and look again whether another writer's index replaced ours.

        :raises StoreError: ``referrers.contended``, or as :meth:`Store.get` and :meth:`Store.put`.
        """
        tag = fallback_tag(subject)
        with self._lock:
            for _ in range(_TRIES):
                before = self._index(subject)
                index = with_referrer(before, referrer)
                if index is None:
                    return
                with suppress(TagMoved):  # another writer's list is there: it is read, and ours added to it
                    self._store.move(tag, index, before.digest if before else None)
        raise StoreError(
            "referrers.contended",
            f"{self._store.repository}:{tag} is overwritten by others again and again",
            hint="Run the command again.",
        )

    def _index(self, subject: Digest) -> Manifest | None:
        tag = fallback_tag(subject)
        try:
            index = self._store.get(tag)
        except NotFound:
            return None
        if not index.is_index:
            raise StoreError("manifest.invalid", f"{self._store.repository}:{tag} is not an index")
        return index


def with_referrer(index: Manifest | None, referrer: Manifest) -> Manifest | None:
    """The index with one more entry, all others as they are; None where it is there already.

    :raises StoreError: ``manifest.invalid``.
    """
    document: dict[str, Any] = dict(index.document) if index else {"schemaVersion": 2, "mediaType": OCI_INDEX}
    if index and any(descriptor.digest == referrer.digest for descriptor in index.children):
        return None
    document["manifests"] = [*(document.get("manifests") or []), _entry(referrer)]
    return Manifest(OCI_INDEX, msgspec.json.encode(document))


def _entry(referrer: Manifest) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mediaType": referrer.media_type,
        "digest": referrer.digest,
        "size": len(referrer.content),
    }
    if referrer.artifact_type:
        entry["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        entry["annotations"] = dict(referrer.annotations)
    return entry


def _document(content: bytes, where: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        raise StoreError("manifest.invalid", f"{where} is not JSON") from exc
    if not isinstance(document, dict):
        raise StoreError("manifest.invalid", f"{where} is not a JSON object")
    return document
