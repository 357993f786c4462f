"""The index of what refers to a manifest, kept by hand under a tag where the registry does not keep one.

distribution-spec 1.1, "Referrers Tag Schema" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import NotFound, StoreError
from tagflow.stores.port import MANIFEST_LIMIT, OCI_INDEX, Descriptor, Manifest, Store, TagMoved, parse_descriptor
from tagflow.stores.registry.answers import has_no_referrers_api, refusal
from tagflow.stores.registry.listing import pages
from tagflow.stores.registry.session import Session
from tagflow.stores.stream import matches

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


def listed_by_api(session: Session, subject: Digest) -> list[Descriptor] | None:
    """What the referrers API lists; None where the registry has none, or answers with what is no list.

    :raises StoreError: ``manifest.invalid``, ``registry.*``, ``auth.denied``.
    """
    found: list[Descriptor] = []
    for number, answer in enumerate(pages(session, f"referrers/{subject}", OCI_INDEX, MANIFEST_LIMIT)):
        if number == 0 and has_no_referrers_api(answer):
            return None
        if answer.status != 200:
            raise refusal(answer, session.repository, f"list what refers to {subject}")
        found += parse_referrers(answer.body, f"{session.repository}, referrers of {subject}")
    return found


class ReferrersTag:
    """The indexes under fallback tags in one repository. Safe for use by several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def read(self, subject: Digest) -> tuple[Descriptor, ...]:
        """What refers to a manifest. What is no list of that is none (distribution-spec 1.1, "Referrers Tag Schema"):
        GitLab answers the tag with the manifest itself.

        :raises StoreError: ``manifest.invalid``, or as :meth:`Store.get`.
        """
        stands = self._stands(subject)
        return stands.children if stands and _is_list(stands, subject) else ()

    def add(self, subject: Digest, referrer: Manifest) -> None:
        """List a referrer; a list that another writer has put there meanwhile is read, and added to.

        :raises StoreError: ``referrers.contended``, ``referrers.no_list`` where the tag names something else, or as
            :meth:`Store.get` and :meth:`Store.move`.
        """
        tag = fallback_tag(subject)
        with self._lock:
            for _ in range(_TRIES):
                stands = self._stands(subject)
                if stands and not _is_list(stands, subject):
                    raise _no_list(self._store.repository, tag)
                index = with_referrer(stands, referrer)
                if index is None:
                    return None
                with suppress(TagMoved):
                    return self._store.move(tag, index, stands.digest if stands else None)
        raise StoreError(
            "referrers.contended",
            f"{self._store.repository}:{tag} is overwritten by others again and again",
            hint="Run the command again.",
        )

    def _stands(self, subject: Digest) -> Manifest | None:
        try:
            return self._store.get(fallback_tag(subject))
        except NotFound:
            return None


def _is_list(manifest: Manifest, subject: Digest) -> bool:
    return manifest.media_type == OCI_INDEX and not matches(manifest.content, subject)


def _no_list(repository: Repository, tag: str) -> StoreError:
    return StoreError(
        "referrers.no_list",
        f"{repository}:{tag} should list what refers to an image, and is something else: nothing can be listed there",
        hint="If nobody needs that tag, remove it; or set `referrers: ignore`. GitLab offers no such lists.",
    )


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
