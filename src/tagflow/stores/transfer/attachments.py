"""What hangs on an image: signatures, attestations, SBOMs, and what hangs on those.

Two ways are in use: manifests with a ``subject`` (distribution-spec 1.1, "Listing Referrers") and the tags
``sha256-<hex>.sig``, ``.att``, ``.sbom`` that cosign writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tagflow.domain.reference import Digest
from tagflow.errors import Conflict, NotFound, StoreError
from tagflow.stores.port import Descriptor, Manifest, Store
from tagflow.stores.transfer.crew import Crew
from tagflow.stores.transfer.tree import MANIFEST_COUNT_LIMIT, read_trees

SUFFIXES = ("sig", "att", "sbom")


@dataclass(frozen=True)
class Attachments:
    """Manifests, each after everything that it names, and the tags that some of them have."""

    manifests: tuple[Manifest, ...] = ()
    tags: Mapping[Digest, Sequence[str]] = field(default_factory=dict)


def find_attachments(crew: Crew, store: Store, subjects: Iterable[Manifest]) -> Attachments:
    """Everything that hangs on some manifests, and on what hangs there.

    A referrer that is listed and gone is no referrer any more; one that is there and incomplete is an error.

    :raises NotFound: ``manifest.not_found``.
    :raises StoreError: what the store raises: an error is never read as "there is none".
    """
    level = list(subjects)
    seen = {manifest.digest for manifest in level}
    found: dict[Digest, Manifest] = {}
    tags: dict[Digest, list[str]] = {}
    while level:
        ways = [(manifest.digest, suffix) for manifest in level for suffix in ("", *SUFFIXES)]
        roots: dict[Digest, Descriptor] = {}
        for listed, tagged in crew.map(partial(_hanging_on, store), ways):
            roots |= {root.digest: root for root in listed}
            for tag, manifest in tagged.items():
                roots[manifest.digest] = manifest.descriptor
                tags.setdefault(manifest.digest, []).append(tag)
        tree = read_trees(crew, store, [root for digest, root in roots.items() if digest not in seen])
        complete(store, [descriptor for descriptor in tree.absent if descriptor.digest not in roots])
        level = [manifest for manifest in tree.manifests if manifest.digest not in seen]
        seen |= {manifest.digest for manifest in level}
        found |= {manifest.digest: manifest for manifest in level}
        if len(found) > MANIFEST_COUNT_LIMIT:
            raise StoreError("manifest.too_many", f"{store.repository}: more than {MANIFEST_COUNT_LIMIT} referrers")
    return Attachments(tuple(found.values()), tags)


def complete(store: Store, absent: Iterable[Descriptor]) -> None:
    """Refuse a tree in which something is absent.

    :raises NotFound: ``manifest.not_found``.
    """
    lost = [f"{child.digest} ({child.platform})" if child.platform else child.digest for child in absent]
    if lost:
        raise NotFound(
            "manifest.not_found",
            f"{store.repository} has an index without its parts: {', '.join(lost)}",
            hint="Push the image again, with all its platforms.",
        )


def hang(target: Store, tag: str, manifest: Manifest) -> None:
    """Give an attachment its tag, unless the one there already holds everything that it holds.

    cosign rewrites the tag with one layer more for each signature, so a manifest with fewer layers is an older one.

    :raises Conflict: ``referrers.diverged``: each side has something that the other has not.
    """
    current = target.resolve(tag)
    if current == manifest.digest:
        return
    if current is not None:
        ours, theirs = _payloads(manifest), _payloads(target.get(current))
        if ours < theirs:
            return
        if not theirs <= ours:
            raise Conflict(
                "referrers.diverged",
                f"{target.repository}:{tag} lacks signatures or attestations of the source, and holds others",
                hint="Sign in one place, or set `referrers: ignore` in promotion.yaml.",
            )
    target.move(tag, manifest, current)


def _payloads(manifest: Manifest) -> set[Digest]:
    return {blob.digest for blob in manifest.blobs[1:]}


def _hanging_on(store: Store, way: tuple[Digest, str]) -> tuple[list[Descriptor], dict[str, Manifest]]:
    """What hangs on a manifest by the tag with a suffix, or by ``subject`` where there is none."""
    digest, suffix = way
    if not suffix:
        return store.referrers(digest), {}
    tag = f"{digest.replace(':', '-')}.{suffix}"
    at = store.resolve(tag)
    return [], {} if at is None else {tag: store.get(at)}
