"""Manifests that were read before, on disk: they never change, so a second command need not fetch them again.

Tags are never cached, nor is whether something is there. A cache that cannot be written is no cache, and no error.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from tagflow.domain.reference import Digest, Repository, is_digest
from tagflow.errors import NotFound
from tagflow.stores.files import publish
from tagflow.stores.port import MANIFEST_TYPES, Chunks, Descriptor, Manifest, Store, UnreadableManifest, read_manifest
from tagflow.stores.stream import matches

LIMIT = 256 * 1024 * 1024
"""Bytes on disk; the oldest files go first."""
_SWEEP_EVERY = 1000
_KEPT = 0.9
_FINGERPRINT = 12
"""Hex digits of a digest that a tag may end with."""


def default_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_CACHE_HOME/tagflow``, by default ~/.cache/tagflow (XDG Base Directory Specification)."""
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the specification: a relative path is to be ignored
        base = Path(environ.get("HOME") or os.path.expanduser("~")) / ".cache"
    return base / "tagflow"


class ManifestFiles:
    """A directory of manifests, one file each: its media type in the first line, then its bytes.

    Kept apart by repository: that a manifest was seen in one says nothing about another. Safe for use by several
    threads and processes; ``limit`` is in bytes.
    """

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        self._directory = directory / "manifests"
        self._limit = limit
        self._written = 0
        self._lock = threading.Lock()

    def read(self, repository: Repository, digest: Digest) -> Manifest | None:
        """A manifest whose hash is right; one whose hash is wrong is dropped."""
        path = self._path(repository, digest)
        try:
            line, _, content = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        media_type = line.decode(errors="replace")
        if media_type in MANIFEST_TYPES and matches(content, digest):
            with suppress(UnreadableManifest):
                return read_manifest(content, media_type, f"{repository}: {digest}", digest)
        with suppress(OSError):
            path.unlink()
        return None

    def kept(self, repository: Repository) -> list[str]:
        """The digests of a repository that were kept."""
        try:
            return [name.replace("-", ":", 1) for name in os.listdir(self._folder(repository))]
        except OSError:
            return []

    def newest(self, repository: Repository, limit: int) -> Iterator[Manifest]:
        """The manifests of a repository that were kept last, at most ``limit``; their hashes are not looked at."""
        with suppress(OSError):
            files = sorted(self._folder(repository).iterdir(), key=lambda it: it.stat().st_mtime_ns, reverse=True)
            for path in files[:limit]:
                line, _, content = path.read_bytes().partition(b"\n")
                yield Manifest(line.decode(errors="replace"), content)

    def write(self, repository: Repository, manifest: Manifest) -> None:
        """Keep a manifest, where that is possible."""
        path = self._path(repository, manifest.digest)
        if manifest.media_type not in MANIFEST_TYPES or path.exists():
            return
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            publish(path, [manifest.media_type.encode(), b"\n", manifest.content], durable=False)
            if self._is_due():
                self._sweep()

    def _path(self, repository: Repository, digest: Digest) -> Path:
        return self._folder(repository) / digest.replace(":", "-")

    def _folder(self, repository: Repository) -> Path:
        return self._directory / hashlib.sha256(str(repository).encode()).hexdigest()[:16]

    def _is_due(self) -> bool:
        with self._lock:
            self._written += 1
            return self._written % _SWEEP_EVERY == 1

    def _sweep(self) -> None:
        """Drop the oldest files until the rest is well below the limit. Another process may do the same."""
        files = [(status.st_mtime_ns, status.st_blocks * 512, path) for path, status in self._files()]
        total = sum(size for _, size, _ in files)
        if total <= self._limit:
            return
        for _, size, path in sorted(files):
            if total <= self._limit * _KEPT:
                return
            with suppress(OSError):
                path.unlink()
            total -= size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._directory.glob("*/*"):
            with suppress(OSError):
                yield path, path.stat()


class CachedStore:
    """A store whose manifests are read from disk where they were read, put or moved before."""

    def __init__(self, store: Store, files: ManifestFiles) -> None:
        self._store, self._files = store, files
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

    def move(self, tag: str, manifest: Manifest, expected: Digest | None, *, looked: bool = False) -> None:
        self._store.move(tag, manifest, expected, looked=looked)
        self._keep(manifest, tag)

    def place(self, manifest: Manifest, moves: Mapping[str, Digest | None], *, looked: bool = False) -> bool:
        return self._store.place(manifest, moves, looked=looked)

    def untag(self, tag: str, expected: Digest) -> None:
        self._store.untag(tag, expected)

    def has_blob(self, digest: Digest) -> bool:
        return self._store.has_blob(digest)

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        return self._store.read_blob(blob)

    def write_blob(self, blob: Descriptor, content: Chunks) -> None:
        self._store.write_blob(blob, content)

    def mount(self, blob: Descriptor, source: Repository) -> bool:
        return self._store.mount(blob, source)

    def referrers(self, digest: Digest) -> list[Descriptor]:
        return self._store.referrers(digest)

    def _keep(self, manifest: Manifest, tag: str | None = None) -> Manifest:
        self._files.write(self.repository, manifest)
        if tag is not None:
            self._met.add(tag)
        return manifest

    def _read(self, digest: Digest, *, current: bool = False) -> Manifest:
        kept = self._files.read(self.repository, digest)
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
            kept = self._files.kept(self.repository)
            self._fingerprints = {digest.partition(":")[2][:_FINGERPRINT] for digest in kept}
        return tag in self._met or tag[-_FINGERPRINT:] in self._fingerprints
