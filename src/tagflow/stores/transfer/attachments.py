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
from tagflow.stores.transfer.pool import WorkerPool
from tagflow.stores.transfer.tree import MANIFEST_COUNT_LIMIT, bytes_of, read_trees

SUFFIXES = ("sig", "att", "sbom")


@dataclass(frozen=True)
class Attachments:
    """Manifests, each after everything that it names, the blobs below them, and the tags that some of them have."""

    manifests: tuple[Manifest, ...] = ()
    blobs: tuple[Descriptor, ...] = ()
    tags: Mapping[Digest, Sequence[str]] = field(default_factory=dict)


def find_attachments(pool: WorkerPool, store: Store, subjects: Iterable[Manifest]) -> Attachments:
    """Everything that hangs on some manifests, and on what hangs there. Nothing is written.

    A referrer that is listed and gone is no referrer any more; one that is there and incomplete is an error.

    :raises NotFound: ``manifest.not_found``.
    :raises StoreError: what the store raises: an error is never read as "there is none".
    """
    level = list(subjects)
    seen = {manifest.digest for manifest in level}
    held = bytes_of(level)
    found: dict[Digest, Manifest] = {}
    blobs: dict[Digest, Descriptor] = {}
    tags: dict[Digest, list[str]] = {}
    while level:
        ways = [(manifest.digest, suffix) for manifest in level for suffix in ("", *SUFFIXES)]
        roots: dict[Digest, Descriptor] = {}
        for listed, tagged in pool.map(partial(_hanging_on, store), ways):
            roots |= {root.digest: root for root in listed}
            for tag, manifest in tagged.items():
                roots[manifest.digest] = manifest.descriptor
                tags.setdefault(manifest.digest, []).append(tag)
        if len(found) + len(roots) > MANIFEST_COUNT_LIMIT:
            raise StoreError("manifest.too_many", f"{store.repository}: more than {MANIFEST_COUNT_LIMIT} referrers")
        tree = read_trees(pool, store, [root for digest, root in roots.items() if digest not in seen], held)
        require_all(store, [descriptor for descriptor in tree.absent if descriptor.digest not in roots])
        level = [manifest for manifest in tree.manifests if manifest.digest not in seen]
        seen |= {manifest.digest for manifest in level}
        held += bytes_of(level)
        found |= {manifest.digest: manifest for manifest in level}
        blobs |= {blob.digest: blob for blob in tree.blobs}
    return Attachments(tuple(found.values()), tuple(blobs.values()), tags)


def require_all(store: Store, absent: Iterable[Descriptor]) -> None:
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


def expected_tag(target: Store, tag: str, manifest: Manifest) -> Digest | None:
    """Where the tag of an attachment stands, and may be moved from: nowhere yet, or at an older one. The manifest's own
    digest where nothing needs to move. Nothing is written.

    cosign rewrites the tag with one layer more for each signature, so a manifest with fewer layers is an older one; the
    tag of one with more layers stays.

    :raises Conflict: ``referrers.diverged``: each side has something that the other has not.
    """
    current = target.resolve(tag)
    if current is None or current == manifest.digest:
        return current
    ours, theirs = _payloads(manifest), _payloads(target.get(current))
    if ours < theirs:
        return manifest.digest
    if not theirs <= ours:
        raise Conflict(
            "referrers.diverged",
            f"{target.repository}:{tag} lacks signatures or attestations of the source, and holds others",
            hint="Sign in one place, or set `referrers: ignore` in promotion.yaml.",
        )
    return current


def tag_attachment(target: Store, tag: str, manifest: Manifest) -> None:
    """Give an attachment its tag, unless the one there already holds everything that it holds.

    :raises Conflict: ``referrers.diverged``, ``tag.moved``.
    """
    expected = expected_tag(target, tag, manifest)
    if expected != manifest.digest:
        target.move(tag, manifest, expected)


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
