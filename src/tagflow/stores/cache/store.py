"""A store whose manifests and image configurations are kept on disk.

Tags are never cached, nor is whether something is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tagflow.domain.reference import Digest, Repository, is_digest
from tagflow.errors import NotFound
from tagflow.stores.cache.log import ManifestLog
from tagflow.stores.port import Chunks, Descriptor, Guard, Manifest, Store

_FINGERPRINT = 12
"""Hex digits of a digest that a tag may end with."""


class CachedStore:
    """A store whose manifests are read from disk where they were read, put or moved before."""

    def __init__(self, store: Store, log: ManifestLog) -> None:
        self._store, self._log = store, log
        self._fingerprints: set[str] | None = None
        self._met: set[str] = set()

    @property
    def repository(self) -> Repository:
        return self._store.repository

    def tags(self) -> list[str]:
        return self._store.tags()

    def resolve(self, tag: str) -> Digest | None:
        return self._store.resolve(tag)

    def get(self, reference: str, *, current: bool = False) -> Manifest:
        """As any store. A tag whose manifest is likely to be here is asked for its digest only: that is free where
        reading a manifest counts. Any other is read: to ask first would be one more round trip.
        """
        if is_digest(reference):
            return self._read(Digest(reference), current=current)
        if not self._is_known(reference):
            return self._keep(self._store.get(reference), reference)
        digest = self._store.resolve(reference)
        if digest is None:
            raise self._absent(reference)
        return self._read(digest)

    def has(self, digest: Digest) -> bool:
        return self._store.has(digest)

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        self._store.put(manifest, tag)
        self._keep(manifest, tag)

    def create(self, tag: str, manifest: Manifest) -> None:
        self._store.create(tag, manifest)
        self._keep(manifest, tag)

    def move(
        self,
        tag: str,
        manifest: Manifest,
        expected: Digest | None,
        *,
        looked: bool = False,
        confirm: bool = True,
        guard: Guard | None = None,
    ) -> None:
        self._store.move(tag, manifest, expected, looked=looked, confirm=confirm, guard=guard)
        self._keep(manifest, tag)

    def confirm(self, tag: str, wanted: Digest, before: Digest | None) -> None:
        self._store.confirm(tag, wanted, before)

    def place(self, manifest: Manifest, moves: Mapping[str, Digest | None], *, looked: bool = False) -> bool:
        return self._store.place(manifest, moves, looked=looked)

    def untag(self, tag: str, expected: Digest) -> None:
        self._store.untag(tag, expected)

    def refuse_untag(self, tag: str, *, trial: bool = True) -> None:
        self._store.refuse_untag(tag, trial=trial)

    def has_blob(self, digest: Digest) -> bool:
        return self._store.has_blob(digest)

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        """As any store; a small image configuration, which has the labels, is kept."""
        if not self._log.keeps(blob):
            return self._store.read_blob(blob)
        content = self._log.read_config(self.repository, blob)
        if content is None:
            content = b"".join(self._store.read_blob(blob))
            self._log.write_config(self.repository, blob, content)
        return iter((content,))

    def write_blob(self, blob: Descriptor, content: Chunks) -> None:
        self._store.write_blob(blob, content)

    def mount(self, blob: Descriptor, source: Repository) -> bool:
        return self._store.mount(blob, source)

    def referrers(self, digest: Digest) -> list[Descriptor]:
        return self._store.referrers(digest)

    def _keep(self, manifest: Manifest, tag: str | None = None) -> Manifest:
        self._log.write(self.repository, manifest)
        if tag is not None:
            self._met.add(tag)
        return manifest

    def _read(self, digest: Digest, *, current: bool = False) -> Manifest:
        kept = self._log.read(self.repository, digest)
        if kept is None:
            return self._keep(self._store.get(digest))
        if current and not self._store.has(digest):
            raise self._absent(digest)
        return kept

    def _absent(self, reference: str) -> NotFound:
        return NotFound("manifest.not_found", f"{self.repository} has no manifest {reference}")

    def _is_known(self, tag: str) -> bool:
        """Whether a tag was read or written in this run, or ends with the first digits of a digest that was here
        before, as the tags of records do."""
        if self._fingerprints is None:
            kept = self._log.kept(self.repository)
            self._fingerprints = {digest.partition(":")[2][:_FINGERPRINT] for digest in kept}
        return tag in self._met or tag[-_FINGERPRINT:] in self._fingerprints
