"""An image tree from any store to any other, byte for byte: children before parents, each blob once.

A blob that the target has is left alone, one in another repository of the same host is mounted, the rest is streamed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Literal

from msgspec import Struct

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import Refused, StoreError
from tagflow.stores.port import Descriptor, Manifest, Progress, Silence, Store
from tagflow.stores.transfer.facts import About, about, expiry, labels, platforms
from tagflow.stores.transfer.pool import WorkerPool
from tagflow.stores.transfer.tree import (
    Attachments,
    expected_tag,
    find_attachments,
    read_tree,
    require_all,
    tag_attachment,
)
from tagflow.stores.transfer.whole import ContentCheck, MissingPart, missing_parts

__all__ = [
    "About",
    "ContentCheck",
    "Copier",
    "MissingPart",
    "PreparedCopy",
    "Referrers",
    "about",
    "copy_image",
    "expiry",
    "labels",
    "missing_parts",
    "platforms",
]

Referrers = Literal["copy", "ignore", "require"]
_AT_ONCE = 16
"""Blobs on their way at once: more of them share the same line, and each has buffers of its own."""


def copy_image(
    source: Store,
    target: Store,
    reference: str,
    *,
    referrers: Referrers = "copy",
    progress: Progress | None = None,
    threads: int = 8,
) -> Manifest:
    """Copy one image, as :meth:`Copier.copy` does."""
    with Copier(progress, threads) as copier:
        return copier.copy(source, target, reference, referrers)


class PreparedCopy(Struct, frozen=True):
    """What a copy will send: all of it was found, and nothing was written yet.

    ``manifests``: the image's and those of what hangs on it, each after everything that it names; ``tags``: those that
    some of them get.
    """

    source: Store
    target: Store
    root: Manifest
    manifests: tuple[Manifest, ...]
    blobs: tuple[Descriptor, ...]
    tags: Mapping[Digest, Sequence[str]]


class Copier:
    """Copies images and remembers which blobs went where, so that images that share layers share the way.

    Safe for use by several threads. Close it, or use it as a context manager.
    """

    def __init__(self, progress: Progress | None = None, threads: int = 8) -> None:
        self._progress = progress or Silence()
        self._pool = WorkerPool(min(threads, _AT_ONCE))
        self._homes: dict[tuple[str, Digest], Repository] = {}
        self._turns: defaultdict[tuple[str, Digest], threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def copy(self, source: Store, target: Store, reference: str, referrers: Referrers = "copy") -> Manifest:
        """Copy the image at a tag or digest, whole, and what hangs on it. Tags are not set (cosign's own excepted).

        Everything is found and read before anything is written, as :meth:`prepare` does, and raises.

        :returns: the manifest, as it now is in the target too.
        """
        prepared = self.prepare(source, target, reference, referrers)
        self.send(prepared)
        return prepared.root

    def prepare(self, source: Store, target: Store, reference: str, referrers: Referrers = "copy") -> PreparedCopy:
        """Find everything that a copy needs, and every reason against it. Nothing is written: a dry run asks this too.

        Whoever copies several images prepares all of them before the first is sent, so that none is copied where one is
        refused. The result holds the manifests of the image (64 MiB at most): let go of it where nothing is to be known
        but whether the copy may begin.

        :raises NotFound: ``manifest.not_found``.
        :raises Refused: ``referrers.missing``: they are required and there are none.
        :raises Conflict: ``referrers.diverged``: the target's signatures are not those of the source.
        :raises StoreError: what the stores raise; ``manifest.unsupported``, ``manifest.too_many``.
        """
        tree = read_tree(self._pool, source, reference)
        require_all(source, tree.absent)
        root = tree.roots[0]
        hanging = Attachments() if referrers == "ignore" else find_attachments(self._pool, source, tree.manifests)
        if referrers == "require" and not hanging.manifests:
            raise _unsigned(source, root)
        manifests = (*tree.manifests, *hanging.manifests)
        tagged = [(tag, manifest) for manifest in manifests for tag in hanging.tags.get(manifest.digest, ())]
        self._pool.map(lambda pair: expected_tag(target, *pair), tagged)
        blobs = {blob.digest: blob for blob in (*tree.blobs, *hanging.blobs)}
        return PreparedCopy(source, target, root, manifests, tuple(blobs.values()), hanging.tags)

    def send(self, prepared: PreparedCopy) -> None:
        """Send what the target lacks.

        Where it has the manifest, parts of it may still be missing there: somebody deleted a child or a blob, or a disk
        lost it. So the target is asked for every manifest and every blob.

        :raises NotFound: ``blob.not_found``: the source lost it.
        :raises Conflict: ``referrers.diverged``, ``tag.moved``.
        :raises StoreError: what the stores raise.
        """
        target = prepared.target
        there = self._pool.map(lambda manifest: target.has(manifest.digest), prepared.manifests)
        absent = [manifest for manifest, found in zip(prepared.manifests, there, strict=True) if not found]
        present = [manifest for manifest, found in zip(prepared.manifests, there, strict=True) if found]
        self._send_blobs(prepared, {blob.digest for manifest in present for blob in manifest.blobs})
        alone = [manifest for manifest in absent if not manifest.children and manifest.subject is None]
        self._pool.map(target.put, alone)
        for manifest in absent:
            if manifest.children or manifest.subject is not None:  # a subject's fallback tag has one writer at a time
                target.put(manifest)
        for manifest in prepared.manifests:
            for tag in prepared.tags.get(manifest.digest, ()):
                tag_attachment(target, tag, manifest)

    def close(self) -> None:
        """End the threads."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Copier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.__exit__(kind, error, trace)

    def _send_blobs(self, prepared: PreparedCopy, likely: Collection[Digest]) -> None:
        """Send blobs; those that are ``likely`` there, for a manifest that names them is, are asked for first."""
        self._progress.expect(sum(blob.size for blob in prepared.blobs))
        halt = threading.Event()
        send = partial(self._send_blob, prepared.source, prepared.target, halt, likely)
        self._pool.map(send, prepared.blobs, on_failure=halt.set)

    def _send_blob(
        self, source: Store, target: Store, halt: threading.Event, likely: Collection[Digest], blob: Descriptor
    ) -> None:
        key = (target.repository.host, blob.digest)
        with self._lock:
            turn = self._turns[key]
        with turn:  # one at a time: a second image with this blob finds it there, or mounts it
            counted = 0
            if not self._is_there(source, target, blob, likely=blob.digest in likely):
                content = _BlobContent(source, blob, self._progress, halt)
                target.write_blob(blob, content.open)
                counted = content.counted
            self._progress.advance(blob.size - counted)
            self._homes[key] = target.repository

    def _is_there(self, source: Store, target: Store, blob: Descriptor, *, likely: bool) -> bool:
        """Whether a blob needs no bytes: the target takes it over from a neighbour, or has it, or may go without.

        Without a neighbour, writing the blob finds out by itself whether it is there.
        """
        home = self._homes.get((target.repository.host, blob.digest))
        if home == target.repository:
            return True
        near = [other for other in dict.fromkeys((home, source.repository)) if other]
        near = [other for other in near if other.host == target.repository.host]
        if (near or blob.foreign or likely) and target.has_blob(blob.digest):
            return True
        if any(target.mount(blob, neighbour) for neighbour in near if neighbour != target.repository):
            return True
        return blob.foreign and not source.has_blob(blob.digest)


class _BlobContent:
    """The content of one blob, read as often as an upload begins; what is sent again is not counted twice."""

    def __init__(self, source: Store, blob: Descriptor, progress: Progress, halt: threading.Event) -> None:
        self._source, self._blob, self._progress, self._halt = source, blob, progress, halt
        self.counted = 0

    def open(self) -> Iterator[bytes]:
        seen = 0
        for chunk in self._source.read_blob(self._blob):
            if self._halt.is_set():
                raise StoreError("copy.stopped", f"blob {self._blob.digest} was not sent: another one failed")
            seen += len(chunk)
            if seen > self.counted:
                self._progress.advance(seen - self.counted)
                self.counted = seen
            yield chunk


def _unsigned(source: Store, root: Manifest) -> Refused:
    return Refused(
        "referrers.missing",
        f"{source.repository}@{root.digest} has no signature, attestation or SBOM, and promotion.yaml requires one",
        hint="Sign the image where it is now (for example with cosign), or set `referrers: copy`.",
    )
