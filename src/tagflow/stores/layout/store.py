"""One OCI image layout on disk as a store (image-spec 1.1, "OCI Image Layout"): no server, no daemon, no network.

``oci:DIR`` holds one layout per repository, at DIR/PATH, as skopeo, crane and oras read and write them. A tag moves
by exact compare-and-swap among all tagflow processes of a machine: whoever writes looks and writes under one lock.
"""

from __future__ import annotations

from pathlib import Path

from tagflow.domain.reference import LAYOUT, Digest, Repository
from tagflow.errors import StoreError
from tagflow.stores.layout.files import LayoutFiles
from tagflow.stores.layout.index import LayoutIndex
from tagflow.stores.layout.reader import LayoutReader
from tagflow.stores.port import Chunks, Descriptor, Guard, Manifest, TagMoved
from tagflow.stores.stream import verified


class LayoutStore(LayoutReader):
    """One repository in one layout; ``path`` names the directory where it does not follow from the repository."""

    def __init__(self, repository: Repository, path: Path | None = None) -> None:
        root = Path(repository.host.removeprefix(LAYOUT)) if path is None else path
        self._files = LayoutFiles(root / repository.path if path is None else path, root)
        super().__init__(repository, self._files, f"oci:{self._files.directory}")

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
        confirm: bool = True,  # noqa: ARG002 - and there is nothing to read back
        guard: Guard | None = None,
    ) -> None:
        self._store(manifest)
        if guard is not None:
            guard.prepare()
        with self._files.changing() as index:
            current = _at(index, tag)
            if current == manifest.digest:
                return
            if current != expected:
                raise TagMoved(self._repository, tag, expected, current)
            if guard is not None:
                guard.allow(index.tags)
            self._list(index, manifest, tag)

    def confirm(self, tag: str, wanted: Digest, before: Digest | None) -> None:  # noqa: ARG002 - nothing lags
        current = self.resolve(tag)
        if current != wanted:
            raise TagMoved(self._repository, tag, wanted, current)

    def place(self, *_: object, **__: object) -> bool:
        """Nothing: a move costs no request here."""
        return False

    def untag(self, tag: str, expected: Digest) -> None:
        with self._files.changing() as index:
            current = _at(index, tag)
            if current != expected:
                raise TagMoved(self._repository, tag, expected, current)
            self._files.publish_index(index.without_name(tag))

    def refuse_untag(self, tag: str, *, trial: bool = True) -> None:
        """Nothing: under its lock a layout removes any tag."""

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


def _at(index: LayoutIndex, tag: str) -> Digest | None:
    found = index.find(tag)
    return found.digest if found else None
