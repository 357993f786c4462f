"""What hangs together below a manifest: an index, its children, their blobs, to any depth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from tagflow.domain.reference import Digest
from tagflow.errors import NotFound, StoreError
from tagflow.stores.port import Descriptor, Manifest, Store
from tagflow.stores.transfer.crew import Crew

MANIFEST_COUNT_LIMIT = 4096
"""More manifests than this below one name are taken for an attack or a mistake."""

MANIFEST_BYTES_LIMIT = 64 * 1024 * 1024
"""Nor may they hold more bytes than this: they are kept in memory."""
_AT_ONCE = 32


@dataclass(frozen=True)
class Tree:
    """``manifests``: each after everything that it names, each once. ``absent``: named, and not there."""

    roots: tuple[Manifest, ...]
    manifests: tuple[Manifest, ...]
    absent: tuple[Descriptor, ...]


def read_tree(crew: Crew, store: Store, reference: str) -> Tree:
    """The whole tree of the manifest at a tag or digest.

    :raises NotFound: ``manifest.not_found``: the manifest itself is not there.
    :raises StoreError: ``manifest.invalid``, ``manifest.too_many``.
    """
    return _grow(crew, store, (store.get(reference),))


def read_trees(crew: Crew, store: Store, roots: Iterable[Descriptor]) -> Tree:
    """The trees of several manifests as one; those that are not there are ``absent``."""
    wanted = list(roots)
    answers = crew.map(partial(_fetch, store), wanted)
    tree = _grow(crew, store, tuple(manifest for manifest in answers if manifest is not None))
    lost = [root for root, manifest in zip(wanted, answers, strict=True) if manifest is None]
    return Tree(tree.roots, tree.manifests, (*lost, *tree.absent))


def blobs_of(manifests: Iterable[Manifest]) -> list[Descriptor]:
    """The blobs that manifests name, each once; what an index names beside manifests counts as one."""
    blobs = [blob for manifest in manifests for blob in manifest.blobs]
    blobs += [child for manifest in manifests for child in manifest.children if not child.is_manifest]
    return list({blob.digest: blob for blob in blobs}.values())


def missing(store: Store, digest: Digest, *, threads: int = 8) -> list[str]:
    """What of an image is not in a store: a line for each manifest and blob, for people. Empty: it is complete.

    Foreign layers may be absent. Every manifest is asked for anew, so a cache in between hides nothing.
    """
    with Crew(threads) as crew:
        try:
            tree = read_tree(crew, store, digest)
        except NotFound:
            return [f"manifest {digest}"]
        parts = [("manifest", store.has, manifest.descriptor) for manifest in tree.manifests]
        parts += [("blob", store.has_blob, blob) for blob in blobs_of(tree.manifests) if not blob.foreign]
        there = crew.map(lambda part: part[1](part[2].digest), parts)
        lost = [(kind, descriptor) for (kind, _, descriptor), found in zip(parts, there, strict=True) if not found]
        if any(descriptor.digest == digest for _, descriptor in lost):
            return [f"manifest {digest}"]
        return [_line("manifest", child) for child in tree.absent] + [_line(*it) for it in lost]


def _grow(crew: Crew, store: Store, roots: tuple[Manifest, ...]) -> Tree:
    """Read level by level, several manifests at once."""
    found = {root.digest: root for root in roots}
    absent: dict[Digest, Descriptor] = {}
    level = _next_level(roots, found, absent)
    while level:
        if len(found) + len(level) > MANIFEST_COUNT_LIMIT:
            message = f"{store.repository}: {roots[0].digest} holds more than {MANIFEST_COUNT_LIMIT} manifests"
            raise StoreError("manifest.too_many", message)
        answers = _fetch_all(crew, store, level, sum(len(manifest.content) for manifest in found.values()))
        absent |= {child.digest: child for child, answer in zip(level, answers, strict=True) if answer is None}
        fresh = [answer for answer in answers if answer is not None]
        found |= {manifest.digest: manifest for manifest in fresh}
        level = _next_level(fresh, found, absent)
    return Tree(roots, tuple(_children_first(roots, found)), tuple(absent.values()))


def _fetch_all(crew: Crew, store: Store, level: list[Descriptor], held: int) -> list[Manifest | None]:
    """The manifests of one level, some at a time; ``held`` is what is in memory already, in bytes."""
    answers: list[Manifest | None] = []
    for start in range(0, len(level), _AT_ONCE):
        answers += crew.map(partial(_fetch, store), level[start : start + _AT_ONCE])
        held += sum(len(answer.content) for answer in answers[start:] if answer is not None)
        if held > MANIFEST_BYTES_LIMIT:
            message = f"{store.repository}: the manifests of one image hold more than {MANIFEST_BYTES_LIMIT} bytes"
            raise StoreError("manifest.too_many", message)
    return answers


def _next_level(
    parents: Iterable[Manifest], found: Mapping[Digest, Manifest], absent: Mapping[Digest, Descriptor]
) -> list[Descriptor]:
    children = {child.digest: child for parent in parents for child in parent.children if child.is_manifest}
    return [child for digest, child in children.items() if digest not in found and digest not in absent]


def _fetch(store: Store, child: Descriptor) -> Manifest | None:
    """A manifest under the media type that its parent gives it, None where it is not there."""
    try:
        manifest = store.get(child.digest)
    except NotFound:
        return None
    if manifest.digest != child.digest:
        message = f"{store.repository}: manifest {child.digest} is not addressed by SHA-256"
        raise StoreError("manifest.invalid", message, hint="Registries address manifests by SHA-256 only.")
    return Manifest(child.media_type, manifest.content) if child.is_manifest else manifest


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


def _line(kind: str, descriptor: Descriptor) -> str:
    about = descriptor.platform or descriptor.media_type
    return f"{kind} {descriptor.digest} ({about}, {descriptor.size} bytes)"
