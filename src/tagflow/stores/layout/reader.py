"""Reading an OCI image layout (image-spec 1.1, "OCI Image Layout"), wherever its files are: on disk, or in a tar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from tagflow.domain.reference import Digest, Repository, is_digest
from tagflow.errors import NotFound, StoreError
from tagflow.stores.layout.index import LayoutIndex
from tagflow.stores.layout.names import absent, choose
from tagflow.stores.port import MANIFEST_LIMIT, OCI_MANIFEST, Descriptor, Manifest, UnreadableManifest, read_manifest
from tagflow.stores.stream import matches, verified


class Files(Protocol):
    """The files of one layout."""

    def index(self) -> LayoutIndex:
        """What is listed now."""

    def size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not there."""

    def content(self, digest: Digest) -> bytes | None:
        """A blob in one piece; None where it is not there."""

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """A blob that is there, in pieces."""

    def where(self, digest: Digest) -> str:
        """Where a blob is, or would be, for errors."""

    def damaged(self, digest: Digest, problem: str) -> StoreError:
        """The error for a blob that is not as it should be."""


class LayoutReader:
    """The reading half of a store. ``source`` is what the layout is called in a SOURCE, for errors."""

    def __init__(self, repository: Repository, files: Files, source: str) -> None:
        self._repository, self._source = repository, source
        self._content = files
        self._subjects: dict[Digest, Digest | None] = {}

    @property
    def repository(self) -> Repository:
        return self._repository

    def tags(self) -> list[str]:
        return self._content.index().tags

    def resolve(self, tag: str) -> Digest | None:
        found = self._content.index().find(tag)
        return found.digest if found else None

    def choose(self, name: str = "") -> Digest:
        """The image of that name, a tag or a reference as other tools write them; without one, the only image, as
        ``oci:DIR`` means it to skopeo.

        :raises NotFound: ``source.not_found``.
        :raises UsageError: ``source.ambiguous``.
        """
        index = self._content.index()
        if name and (exact := index.find(name)) is not None:
            return exact.digest
        index.require_known(index.entries)  # any of them may be the one that is meant
        return choose(index.choices, name, self._source)

    def choose_digest(self, digest: Digest) -> Digest:
        """The image of that digest, listed or not.

        :raises NotFound: ``source.not_found``.
        """
        if not self.has(digest):
            raise absent(self._source, digest, self._content.index().choices)
        return digest

    def get(self, reference: str, *, current: bool = False) -> Manifest:  # noqa: ARG002
        index = self._content.index()
        listed = None if is_digest(reference) else index.find(reference)
        digest = Digest(reference) if is_digest(reference) else listed.digest if listed else None
        if digest is None:
            raise NotFound("manifest.not_found", f"{self._repository} has no manifest {reference}")
        content = self._manifest(digest)
        if content is not None:
            stated = index.media_type(digest)  # a child of an index is listed nowhere
            return read_manifest(content, stated, f"{self._repository}@{digest}", digest)
        if digest in index.made:
            return index.made[digest]
        if digest == reference:
            raise NotFound("manifest.not_found", f"{self._repository} has no manifest {reference}")
        raise self._lost(digest)

    def has(self, digest: Digest) -> bool:
        return self.has_blob(digest) or digest in self._content.index().made

    def has_blob(self, digest: Digest) -> bool:
        return self._content.size(digest) is not None

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        if not self.has_blob(blob.digest):
            raise NotFound("blob.not_found", f"{self._repository} has no blob {blob.digest}")
        yield from verified(blob, self._content.chunks(blob.digest), self._content.where(blob.digest))

    def referrers(self, digest: Digest) -> list[Descriptor]:
        index = self._content.index()
        index.require_known(index.entries)  # any of them may be a referrer
        listed = dict.fromkeys(entry.descriptor.digest for entry in index.entries)
        found = [self.get(candidate) for candidate in listed if self._subject(candidate) == digest]
        descriptors = [replace(manifest.descriptor, annotations=manifest.annotations) for manifest in found]
        fallback = digest.replace(":", "-")
        if index.find(fallback) is not None:
            descriptors += self.get(fallback).children
        return list({descriptor.digest: descriptor for descriptor in descriptors}.values())

    def _manifest(self, digest: Digest) -> bytes | None:
        """The bytes of a manifest, their hash checked."""
        size = self._content.size(digest)
        if size is not None and size > MANIFEST_LIMIT:
            message = f"{self._content.where(digest)}: {size} bytes are too many for a manifest"
            raise UnreadableManifest("manifest.invalid", message)
        content = self._content.content(digest)
        if content is not None and not matches(content, digest):
            raise self._content.damaged(digest, "its content does not have that digest")
        return content

    def _subject(self, digest: Digest) -> Digest | None:
        """What a listed manifest refers to. It never changes, so it is read once."""
        if digest not in self._subjects:
            content = self._manifest(digest)
            if content is None:
                raise self._lost(digest)
            subject = Manifest(OCI_MANIFEST, content).subject
            self._subjects[digest] = subject.digest if subject else None
        return self._subjects[digest]

    def _lost(self, digest: Digest) -> StoreError:
        return self._content.damaged(digest, "missing, though the index.json lists it")
