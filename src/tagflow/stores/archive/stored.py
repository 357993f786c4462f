"""An OCI image layout in a tar: on its own, or beside Docker's ``manifest.json``.

`docker save` writes one beside its own description since Docker 25 (moby, PR 44598); with the containerd image store,
byte for byte as the image was pushed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tagflow.domain.reference import Digest, is_digest
from tagflow.errors import StoreError
from tagflow.stores.archive.files import ArchiveFiles, Member
from tagflow.stores.layout.index import LayoutIndex, parse_index
from tagflow.stores.port import MANIFEST_LIMIT, Manifest, read_manifest
from tagflow.stores.stream import matches

Members = Mapping[Digest, Member]
_MANIFEST_COUNT_LIMIT = 1000


class TarBlobs:
    """The blobs of an archive as files of a layout; ``made`` are manifests that are not in it."""

    def __init__(
        self, files: ArchiveFiles, index: LayoutIndex, members: Members, made: Mapping[Digest, bytes] | None = None
    ) -> None:
        self._files, self._index, self._members, self._made = files, index, members, made or {}

    def index(self) -> LayoutIndex:
        """What is listed."""
        return self._index

    def size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not there."""
        if digest in self._made:
            return len(self._made[digest])
        return self._members[digest].size if digest in self._members else None

    def content(self, digest: Digest) -> bytes | None:
        """A small blob in one piece; None where it is not there."""
        if digest in self._made:
            return self._made[digest]
        return self._files.read(self._members[digest], MANIFEST_LIMIT) if digest in self._members else None

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """A blob that is there, in pieces."""
        return iter([self._made[digest]]) if digest in self._made else self._files.chunks(self._members[digest])

    def where(self, digest: Digest) -> str:
        """The archive, and the member where it is known."""
        return (
            f"{self._files.path}: {self._members[digest].name!r}" if digest in self._members else str(self._files.path)
        )

    def damaged(self, digest: Digest, problem: str) -> StoreError:
        """The error for a blob that is not as it should be."""
        return self._files.invalid(f"{digest} is damaged: {problem}")


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


def blobs(files: ArchiveFiles) -> Members:
    """The blobs of an OCI layout, by the digest that their path says."""
    found = {}
    for name in (*files.members, *files.links):
        folder, _, digits = name.rpartition("/")
        digest = f"{folder.removeprefix('blobs/')}:{digits}"
        if folder.startswith("blobs/") and is_digest(digest) and (member := files.find(name)) is not None:
            found[Digest(digest)] = member
    return found


def as_pushed(files: ArchiveFiles, members: Members, config: Digest, layers: int) -> Manifest | None:
    """The image with that configuration and that many layers as the layout has it: the index that holds it where all of
    it is there, else its own manifest; None where there is neither. Docker saves the platforms that it has of an
    index, and release 25.0.0 wrote manifests without layers.

    :raises StoreError: ``archive.invalid``.
    """
    index = layout_index(files)
    for entry in index.entries if index else ():
        if entry.descriptor.digest not in members:
            continue
        root = _stored(files, members, entry.descriptor.digest, entry.descriptor.media_type)
        tree, whole = _tree(files, members, root)
        for manifest in tree:
            if manifest.config and manifest.config.digest == config and len(manifest.blobs) == layers + 1:
                if whole:
                    return root
                return manifest if _is_complete(manifest, members) else None
    return None


def _stored(files: ArchiveFiles, members: Members, digest: Digest, media_type: str) -> Manifest:
    content = files.read(members[digest], MANIFEST_LIMIT)
    if not matches(content, digest):
        raise files.invalid(f"the content of {members[digest].name!r} does not have that digest")
    return read_manifest(content, media_type, f"{files.path}: {members[digest].name!r}", digest)


def _tree(files: ArchiveFiles, members: Members, root: Manifest) -> tuple[list[Manifest], bool]:
    """The manifests below a root that are there, and whether all of them and their blobs are."""
    found, whole = {root.digest: root}, True
    level = [root]
    while level:
        children = {child.digest: child for manifest in level for child in manifest.children}
        there = [child for digest, child in children.items() if digest in members]
        whole = whole and len(there) == len(children) and all(_is_complete(manifest, members) for manifest in level)
        fresh = [child for child in there if child.digest not in found]
        level = [_stored(files, members, child.digest, child.media_type) for child in fresh]
        found |= {manifest.digest: manifest for manifest in level}
        if len(found) > _MANIFEST_COUNT_LIMIT:
            raise files.invalid(f"it holds an index of more than {_MANIFEST_COUNT_LIMIT} manifests")
    return list(found.values()), whole


def _is_complete(manifest: Manifest, members: Members) -> bool:
    return all(blob.foreign or blob.digest in members for blob in manifest.blobs)
