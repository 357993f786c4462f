"""Manifests that an archive holds as they were pushed: those of an OCI layout.

`docker save` writes one beside its own ``manifest.json`` since Docker 25 (moby, PR 44598); with the containerd
image store, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping

from tagflow.domain.reference import Digest, is_digest
from tagflow.errors import StoreError
from tagflow.stores.archive.files import ArchiveFiles, Member
from tagflow.stores.layout.index import LayoutIndex, parse_index
from tagflow.stores.port import MANIFEST_LIMIT, Manifest, read_manifest
from tagflow.stores.stream import matches

Places = Mapping[Digest, Member]
_MANIFEST_COUNT_LIMIT = 1000


def layout_index(files: ArchiveFiles) -> LayoutIndex | None:
    """The ``index.json`` of an OCI layout in a tar; None where it is none.

    :raises StoreError: ``archive.invalid``.
    """
    described = files.find("index.json")
    if described is None or files.find("oci-layout") is None:
        return None
    try:
        return parse_index(files.read(described, MANIFEST_LIMIT), f"{files.path}: index.json")
    except StoreError as exc:
        raise files.invalid(exc.message) from exc


def blobs(files: ArchiveFiles) -> Places:
    """The blobs of an OCI layout, by the digest that their path says."""
    places = {}
    for name, member in files.members.items():
        folder, _, digits = name.rpartition("/")
        digest = f"{folder.removeprefix('blobs/')}:{digits}"
        if folder.startswith("blobs/") and is_digest(digest):
            places[Digest(digest)] = member
    return places


def stored(files: ArchiveFiles, places: Places, digest: Digest, media_type: str) -> Manifest:
    """One manifest, its hash checked.

    :raises StoreError: ``archive.invalid``.
    """
    member = places.get(digest)
    if member is None:
        raise files.invalid(f"it has no manifest {digest}, which its index.json names")
    content = files.read(member, MANIFEST_LIMIT)
    if not matches(content, digest):
        raise files.invalid(f"the content of {member.name!r} does not have that digest")
    return read_manifest(content, media_type, f"{files.path}: {member.name!r}", digest)


def as_pushed(files: ArchiveFiles, places: Places, config: Digest, layers: int) -> Manifest | None:
    """The image with that configuration and that many layers as the layout has it: the index that holds it where all of
    it is there, else its own manifest; None where there is neither. Docker saves the platforms that it has of an
    index, and release 25.0.0 wrote manifests without layers.

    :raises StoreError: ``archive.invalid``.
    """
    index = layout_index(files)
    for entry in index.entries if index else ():
        if entry.descriptor.digest not in places:
            continue
        root = stored(files, places, entry.descriptor.digest, entry.descriptor.media_type)
        tree, whole = _tree(files, places, root)
        for manifest in tree:
            if manifest.config and manifest.config.digest == config and len(manifest.blobs) == layers + 1:
                if whole:
                    return root
                return manifest if _is_complete(manifest, places) else None
    return None


def _tree(files: ArchiveFiles, places: Places, root: Manifest) -> tuple[list[Manifest], bool]:
    """The manifests below a root that are there, and whether all of them and their blobs are."""
    found, whole = {root.digest: root}, True
    level = [root]
    while level:
        children = {child.digest: child for manifest in level for child in manifest.children}
        there = [child for digest, child in children.items() if digest in places]
        whole = whole and len(there) == len(children) and all(_is_complete(manifest, places) for manifest in level)
        level = [stored(files, places, it.digest, it.media_type) for it in there if it.digest not in found]
        found |= {manifest.digest: manifest for manifest in level}
        if len(found) > _MANIFEST_COUNT_LIMIT:
            raise files.invalid(f"it holds an index of more than {_MANIFEST_COUNT_LIMIT} manifests")
    return list(found.values()), whole


def _is_complete(manifest: Manifest, places: Places) -> bool:
    return all(blob.foreign or blob.digest in places for blob in manifest.blobs)
