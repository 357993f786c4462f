"""What hangs together below a manifest, and on it: children, blobs, signatures, SBOMs, read to be copied.

Two ways are in use: manifests with a ``subject`` (distribution-spec 1.1, "Listing Referrers") and the tags
``sha256-<hex>.sig``, ``.att``, ``.sbom`` that cosign writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from msgspec import Struct, field

from tagflow.domain.reference import Digest
from tagflow.errors import Conflict, NotFound, StoreError
from tagflow.stores.port import SCHEMA1_TYPES, Descriptor, Manifest, Store, UnreadableManifest, read_manifest
from tagflow.stores.transfer.pool import WorkerPool

MANIFEST_COUNT_LIMIT = 4096
"""More manifests than this below one name are taken for an attack or a mistake."""

MANIFEST_BYTES_LIMIT = 64 * 1024 * 1024
"""Nor may they hold more bytes than this: they are kept in memory."""
_AT_ONCE = 32


class Tree(Struct, frozen=True):
    """``manifests``: each after everything that it names, each once. ``leaves``: what an index names beside manifests.
    ``absent``: named, and not there."""

    roots: tuple[Manifest, ...]
    manifests: tuple[Manifest, ...]
    leaves: tuple[Descriptor, ...]
    absent: tuple[Descriptor, ...]

    @property
    def blobs(self) -> list[Descriptor]:
        """The blobs that the manifests name, each once, and the leaves."""
        blobs = [blob for manifest in self.manifests for blob in manifest.blobs]
        return list({blob.digest: blob for blob in (*blobs, *self.leaves)}.values())


def read_tree(pool: WorkerPool, store: Store, reference: str) -> Tree:
    """The whole tree of the manifest at a tag or digest.

    :raises NotFound: ``manifest.not_found``: the manifest itself is not there.
    :raises StoreError: ``manifest.invalid``, ``manifest.unsupported``, ``manifest.too_many``.
    """
    return _grow(pool, store, (store.get(reference),), [], 0)


def read_trees(pool: WorkerPool, store: Store, roots: Iterable[Descriptor], held: int) -> Tree:
    """The trees of several manifests as one; those that are not there are ``absent``.

    ``held`` bytes of manifests are in memory already.

    :raises StoreError: as :func:`read_tree`.
    """
    wanted = list(roots)
    answers = _fetch_all(pool, store, wanted, held)
    found = tuple(answer for answer in answers if isinstance(answer, Manifest))
    lost = [root for root, answer in zip(wanted, answers, strict=True) if answer is None]
    return _grow(pool, store, found, lost, held)


def bytes_of(manifests: Iterable[Manifest]) -> int:
    """How many bytes manifests hold."""
    return sum(len(manifest.content) for manifest in manifests)


_Answer = Manifest | Descriptor | None
"""What is at a digest: a manifest, a blob (named as before), or nothing."""


def _grow(pool: WorkerPool, store: Store, roots: tuple[Manifest, ...], lost: Iterable[Descriptor], held: int) -> Tree:
    """Read level by level, several manifests at once."""
    found = {root.digest: root for root in roots}
    others: dict[Digest, Descriptor | None] = {}
    absent = {root.digest: root for root in lost}
    level = _next_level(roots, found)
    while level:
        if len(found) + len(others) + len(level) > MANIFEST_COUNT_LIMIT:
            message = f"{store.repository}: {roots[0].digest} holds more than {MANIFEST_COUNT_LIMIT} manifests"
            raise StoreError("manifest.too_many", message)
        answers = _fetch_all(pool, store, level, held + bytes_of(found.values()))
        fresh = []
        for child, answer in zip(level, answers, strict=True):
            if isinstance(answer, Manifest):
                _check_size(store, child, answer)
                fresh.append(answer)
            else:
                others[child.digest] = answer
                if answer is None:
                    absent[child.digest] = child
        found |= {manifest.digest: manifest for manifest in fresh}
        level = [child for child in _next_level(fresh, found) if child.digest not in others]
    leaves = tuple(leaf for leaf in others.values() if leaf is not None)
    return Tree(roots, tuple(_children_first(roots, found)), leaves, tuple(absent.values()))


def _check_size(store: Store, named: Descriptor, manifest: Manifest) -> None:
    """Refuse an index that is wrong about the size of a child: containerd reads as many bytes as it says, and pulls no
    such image. Registries take it, and so do tools that never look; to put it right is another digest."""
    actual = len(manifest.content)
    if named.size != actual:
        raise StoreError(
            "manifest.invalid",
            f"{store.repository}: {named.digest} has {actual} bytes, and the index that names it says {named.size}",
            hint="containerd pulls no such image: build the index again from its platforms.",
        )


def _fetch_all(pool: WorkerPool, store: Store, level: list[Descriptor], held: int) -> list[_Answer]:
    """What is at the digests of one level, some at a time; ``held`` is what is in memory already, in bytes."""
    answers: list[_Answer] = []
    for start in range(0, len(level), _AT_ONCE):
        answers += pool.map(partial(_fetch, store), level[start : start + _AT_ONCE])
        held += bytes_of(answer for answer in answers[start:] if isinstance(answer, Manifest))
        if held > MANIFEST_BYTES_LIMIT:
            message = f"{store.repository}: the manifests of one image hold more than {MANIFEST_BYTES_LIMIT} bytes"
            raise StoreError("manifest.too_many", message)
    return answers


def _next_level(parents: Iterable[Manifest], found: Mapping[Digest, Manifest]) -> list[Descriptor]:
    children = {child.digest: child for parent in parents for child in parent.children}
    return [child for digest, child in children.items() if digest not in found]


def _fetch(store: Store, child: Descriptor) -> _Answer:
    """What an index names, as its parent calls it where it does not say itself.

    image-spec 1.1 lets an index name content of any type. Where the type is not one of those that we know, the
    manifests are asked first: a blob of that digest is none to a registry. distribution fails at it instead, with 500.
    """
    if child.media_type in SCHEMA1_TYPES:
        message = f"{store.repository}: {child.digest} is of Docker schema 1, which tagflow does not copy"
        raise UnreadableManifest("manifest.unsupported", message, hint="Build the image again with a current tool.")
    try:
        manifest = store.get(child.digest)
    except NotFound:
        return child if not child.is_manifest and store.has_blob(child.digest) else None
    except StoreError:
        if not child.is_manifest and store.has_blob(child.digest):
            return child
        raise
    stated = child.media_type if child.is_manifest else manifest.media_type
    return read_manifest(manifest.content, stated, f"{store.repository}@{child.digest}", child.digest)


def _children_first(roots: Iterable[Manifest], found: Mapping[Digest, Manifest]) -> list[Manifest]:
    """Depth first, without recursion: a tree may be deeper than the interpreter's stack."""
    ordered: dict[Digest, Manifest] = {}
    for root in roots:
        path = [(root, iter(root.children))]
        while path:
            parent, children = path[-1]
            child = next((c for c in children if c.digest in found and c.digest not in ordered), None)
            if child is None:
                ordered[parent.digest] = parent
                path.pop()
            else:
                path.append((found[child.digest], iter(found[child.digest].children)))
    return list(ordered.values())


SUFFIXES = ("sig", "att", "sbom")


class Attachments(Struct, frozen=True):
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
