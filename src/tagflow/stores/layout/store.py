"""One OCI image layout on disk as a store (image-spec 1.1, "OCI Image Layout"): no server, no daemon, no network.

``oci:DIR`` holds one layout per repository, at DIR/PATH, as skopeo, crane and oras read and write them. A tag moves
by exact compare-and-swap among all tagflow processes of a machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tagflow.domain.reference import LAYOUT, Digest, Repository, is_digest
from tagflow.errors import NotFound, StoreError, UsageError
from tagflow.stores.layout.files import LayoutFiles
from tagflow.stores.layout.index import LayoutIndex, corrupt
from tagflow.stores.layout.names import is_named, names_of
from tagflow.stores.port import (
    MANIFEST_LIMIT,
    OCI_MANIFEST,
    Chunks,
    Descriptor,
    Guard,
    Manifest,
    TagMoved,
    read_manifest,
)
from tagflow.stores.stream import matches, verified


class LayoutStore:
    """One repository in one layout; ``path`` names the directory where it does not follow from the repository."""

    def __init__(self, repository: Repository, path: Path | None = None) -> None:
        root = Path(repository.host.removeprefix(LAYOUT)) if path is None else path
        self._repository = repository
        self._files = LayoutFiles(root / repository.path if path is None else path, root)
        self._subjects: dict[Digest, Digest | None] = {}

    @property
    def repository(self) -> Repository:
        return self._repository

    def tags(self) -> list[str]:
        return self._files.index().tags

    def resolve(self, tag: str) -> Digest | None:
        return _at(self._files.index(), tag)

    def sole(self) -> Digest:
        """The image of a layout that holds only one: what ``oci:DIR`` without a tag means, as to skopeo.

        :raises NotFound: ``source.not_found``: there is no layout, or it is empty.
        :raises UsageError: ``source.ambiguous``: it holds several.
        """
        directory, entries = self._files.directory, self._files.index().entries
        tagged = [entry for entry in entries if entry.name]
        digests = {entry.descriptor.digest for entry in tagged or entries}
        if not digests:
            raise NotFound("source.not_found", f"{directory} holds no image in OCI layout")
        if len(digests) > 1:
            names = ", ".join(sorted({entry.name for entry in tagged})) or "none has a tag"
            hint = f"Name one: oci:{directory}:TAG. There are: {names}."
            raise UsageError("source.ambiguous", f"{directory} holds {len(digests)} images", hint=hint)
        return digests.pop()

    def named(self, name: str) -> Digest | None:
        """The image of that name: a tag, or a reference as other tools write them; None where there is none.

        :raises UsageError: ``source.ambiguous``: it is the name of several.
        """
        exact = self.resolve(name)
        if exact is not None:
            return exact
        entries = [entry.descriptor for entry in self._files.index().entries]
        found = {entry.digest: names_of(entry) for entry in entries if is_named(names_of(entry), name)}
        if len(found) > 1:
            names = ", ".join(sorted({each for names in found.values() for each in names}))
            message = f"{self._files.directory} holds {len(found)} images called {name}"
            raise UsageError("source.ambiguous", message, hint=f"Name one in full. There are: {names}.")
        return next(iter(found), None)

    def get(self, reference: str, *, current: bool = False) -> Manifest:  # noqa: ARG002
        index = self._files.index()
        digest = Digest(reference) if is_digest(reference) else _at(index, reference)
        content = None if digest is None else self._manifest(digest)
        if digest is None or (content is None and digest == reference):
            raise NotFound("manifest.not_found", f"{self._repository} has no manifest {reference}")
        if content is None:
            raise self._lost(digest)
        stated = index.media_type(digest)  # a child of an index is listed nowhere
        return read_manifest(content, stated, f"{self._repository}@{digest}", digest)

    def has(self, digest: Digest) -> bool:
        return self.has_blob(digest)

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        self._store(manifest)
        if tag is not None or manifest.subject is not None:
            with self._files.changing() as index:
                self._list(index, manifest, tag)

    def create(self, tag: str, manifest: Manifest) -> None:
        self.move(tag, manifest, None)

    def move(
        self,
        tag: str,
        manifest: Manifest,
        expected: Digest | None,
        *,
        looked: bool = False,  # noqa: ARG002 - under the lock, a look costs nothing
        guard: Guard | None = None,
    ) -> None:
        self._store(manifest)
        with self._files.changing() as index:
            current = _at(index, tag)
            if current == manifest.digest:
                return
            if current != expected:
                raise TagMoved(self._repository, tag, expected, current)
            if guard is not None:
                guard(index.tags)
            self._list(index, manifest, tag)

    def place(self, *_: object, **__: object) -> bool:
        """Nothing: a move costs no request here."""
        return False

    def untag(self, tag: str, expected: Digest) -> None:
        with self._files.changing() as index:
            current = _at(index, tag)
            if current != expected:
                raise TagMoved(self._repository, tag, expected, current)
            self._files.publish_index(index.without_name(tag))

    def has_blob(self, digest: Digest) -> bool:
        return self._files.size(digest) is not None

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        if not self.has_blob(blob.digest):
            raise NotFound("blob.not_found", f"{self._repository} has no blob {blob.digest}")
        yield from verified(blob, self._files.chunks(blob.digest), str(self._files.blob(blob.digest)))

    def write_blob(self, blob: Descriptor, content: Chunks) -> None:
        if self._files.size(blob.digest) != blob.size:
            self._files.write(blob.digest, verified(blob, content(), str(self._repository)))

    def mount(self, blob: Descriptor, source: Repository) -> bool:
        if source.host != self._repository.host:
            return False
        theirs = LayoutStore(source)._files
        if self._files.size(blob.digest) == blob.size:
            return True
        return theirs.size(blob.digest) == blob.size and self._files.link(blob.digest, theirs.blob(blob.digest))

    def referrers(self, digest: Digest) -> list[Descriptor]:
        index = self._files.index()
        listed = dict.fromkeys(entry.descriptor.digest for entry in index.entries)
        found = [self.get(candidate) for candidate in listed if self._subject(candidate) == digest]
        descriptors = [replace(manifest.descriptor, annotations=manifest.annotations) for manifest in found]
        fallback = digest.replace(":", "-")
        if index.find(fallback) is not None:
            descriptors += self.get(fallback).children
        return list({descriptor.digest: descriptor for descriptor in descriptors}.values())

    def _store(self, manifest: Manifest) -> None:
        """Store a manifest by digest; everything that it names must be there, as a registry demands."""
        if self._files.size(manifest.digest) == len(manifest.content):
            return
        named = (*manifest.children, *(blob for blob in manifest.blobs if not blob.foreign))
        absent = [descriptor.digest for descriptor in named if not self.has_blob(descriptor.digest)]
        if absent:
            raise StoreError(
                "manifest.incomplete",
                f"{self._repository}: manifest {manifest.digest} names what is not there: {', '.join(absent)}",
                hint="Copy the image again: its parts come before it.",
            )
        self._files.write(manifest.digest, [manifest.content])

    def _list(self, index: LayoutIndex, manifest: Manifest, tag: str | None) -> None:
        """List a manifest. One with a subject also without a name, so that it is found when its tag moves on."""
        new = index
        if tag is not None and _at(index, tag) != manifest.digest:
            new = new.with_name(tag, manifest)
        if manifest.subject is not None:
            new = new.with_unnamed(manifest)
        if new is not index:
            self._files.publish_index(new)

    def _manifest(self, digest: Digest) -> bytes | None:
        """The bytes of a manifest, their hash checked."""
        path, size = self._files.blob(digest), self._files.size(digest)
        if size is not None and size > MANIFEST_LIMIT:
            raise StoreError("manifest.invalid", f"{path}: {size} bytes are too many for a manifest")
        content = self._files.content(digest)
        if content is not None and not matches(content, digest):
            raise corrupt(str(path), "its content does not have that digest")
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
        return corrupt(str(self._files.blob(digest)), f"missing, though {self._files.index_file} lists it")


def _at(index: LayoutIndex, tag: str) -> Digest | None:
    found = index.find(tag)
    return found.digest if found else None
