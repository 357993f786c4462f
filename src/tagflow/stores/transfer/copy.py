"""An image tree from any store to any other, byte for byte: children before parents, each blob once.

A blob that the target has is left alone, one in another repository of the same host is mounted, the rest is streamed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Literal

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import Refused, StoreError
from tagflow.stores.port import Descriptor, Manifest, Progress, Silence, Store
from tagflow.stores.transfer.attachments import Attachments, complete, find_attachments, hang
from tagflow.stores.transfer.crew import Crew
from tagflow.stores.transfer.facts import labels, normal_platform, platforms
from tagflow.stores.transfer.tree import blobs_of, missing, read_tree

__all__ = ["Copier", "Referrers", "copy_image", "labels", "missing", "normal_platform", "platforms"]

Referrers = Literal["copy", "ignore", "require"]


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


class Copier:
    """Copies images and remembers which blobs went where, so that images that share layers share the way.

    Safe for use by several threads. Close it, or use it as a context manager.
    """

    def __init__(self, progress: Progress | None = None, threads: int = 8) -> None:
        self._progress = progress or Silence()
        self._crew = Crew(threads)
        self._homes: dict[tuple[str, Digest], Repository] = {}
        self._turns: defaultdict[tuple[str, Digest], threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def copy(self, source: Store, target: Store, reference: str, referrers: Referrers = "copy") -> Manifest:
        """Copy the image at a tag or digest, whole, and what hangs on it. Tags are not set (cosign's own excepted).

        Everything is found and read before anything is written.

        :returns: the manifest, as it now is in the target too.
        :raises NotFound: ``manifest.not_found``, ``blob.not_found``.
        :raises Refused: ``referrers.missing``: they are required and there are none.
        :raises Conflict: ``referrers.diverged``: the target's signatures are not those of the source.
        :raises StoreError: what the stores raise.
        """
        tree = read_tree(self._crew, source, reference)
        complete(source, tree.absent)
        root = tree.roots[0]
        hanging = Attachments() if referrers == "ignore" else find_attachments(self._crew, source, tree.manifests)
        if referrers == "require" and not hanging.manifests:
            raise _unsigned(source, root)
        manifests = (*tree.manifests, *hanging.manifests)
        self._send_all(source, target, manifests)
        for manifest in manifests:
            for tag in hanging.tags.get(manifest.digest, ()):
                hang(target, tag, manifest)
        return root

    def close(self) -> None:
        """End the threads."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Copier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._crew.__exit__(kind, error, trace)

    def _send_all(self, source: Store, target: Store, manifests: tuple[Manifest, ...]) -> None:
        """A registry keeps what its manifests name; a layout on disk may have lost some of it."""
        there = self._crew.map(lambda manifest: target.has(manifest.digest), manifests)
        wanted = [manifest for manifest, found in zip(manifests, there, strict=True) if not found]
        self._send_blobs(source, target, blobs_of(manifests if target.repository.is_layout else wanted))
        alone = [manifest for manifest in wanted if not manifest.children and manifest.subject is None]
        self._crew.map(target.put, alone)
        for manifest in wanted:
            if manifest.children or manifest.subject is not None:  # a subject's fallback tag has one writer at a time
                target.put(manifest)

    def _send_blobs(self, source: Store, target: Store, blobs: list[Descriptor]) -> None:
        self._progress.expect(sum(blob.size for blob in blobs))
        halt = threading.Event()
        self._crew.map(partial(self._send, source, target, halt), blobs, on_failure=halt.set)

    def _send(self, source: Store, target: Store, halt: threading.Event, blob: Descriptor) -> None:
        key = (target.repository.host, blob.digest)
        with self._lock:
            turn = self._turns[key]
        with turn:
            told = 0
            if not self._is_there(source, target, blob):
                parcel = _Parcel(source, blob, self._progress, halt)
                target.write_blob(blob, parcel.open)
                told = parcel.told
            self._progress.advance(blob.size - told)
            self._homes[key] = target.repository

    def _is_there(self, source: Store, target: Store, blob: Descriptor) -> bool:
        """Whether a blob needs no bytes: the target takes it over from a neighbour, or has it, or may go without.

        Without a neighbour, writing the blob finds out by itself whether it is there.
        """
        home = self._homes.get((target.repository.host, blob.digest))
        if home == target.repository:
            return True
        near = [it for it in dict.fromkeys((home, source.repository)) if it and it.host == target.repository.host]
        if (near or blob.foreign) and target.has_blob(blob.digest):
            return True
        if any(target.mount(blob, neighbour) for neighbour in near if neighbour != target.repository):
            return True
        return blob.foreign and not source.has_blob(blob.digest)


class _Parcel:
    """One blob on its way; what is sent again after a failure is not counted twice."""

    def __init__(self, source: Store, blob: Descriptor, progress: Progress, halt: threading.Event) -> None:
        self._source, self._blob, self._progress, self._halt = source, blob, progress, halt
        self.told = 0

    def open(self) -> Iterator[bytes]:
        seen = 0
        for chunk in self._source.read_blob(self._blob):
            if self._halt.is_set():
                raise StoreError("copy.stopped", f"blob {self._blob.digest} was not sent: another one failed")
            seen += len(chunk)
            if seen > self.told:
                self._progress.advance(seen - self.told)
                self.told = seen
            yield chunk


def _unsigned(source: Store, root: Manifest) -> Refused:
    return Refused(
        "referrers.missing",
        f"{source.repository}@{root.digest} has no signature, attestation or SBOM, and promotion.yaml requires one",
        hint="Sign the image where it is now (for example with cosign), or set `referrers: copy`.",
    )
