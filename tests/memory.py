"""A registry in memory: a working implementation of the port, which a test can watch, crash and interfere with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tagflow.domain.reference import Digest, Repository, is_digest
from tagflow.errors import NotFound, Refused, StoreError
from tagflow.stores.port import Chunks, Descriptor, Guard, Manifest, Store, TagMoved, TypeRefused, read_manifest
from tagflow.stores.stream import verified

WRITES = frozenset({"put", "move", "untag", "write_blob", "mount"})

Hook = Callable[[str, Repository, str], None]
"""Hears (operation, repository, tag or digest); what it raises comes out of the operation."""


def _nothing(operation: str, repository: Repository, detail: str) -> None:
    """The hook that does nothing."""


@dataclass(frozen=True)
class Call:
    """One operation that was begun. ``detail`` is its tag where it has one, else its digest, else empty."""

    operation: str
    repository: Repository
    detail: str


@dataclass
class _Content:
    tags: dict[str, Digest] = field(default_factory=dict)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)


class MemoryRegistry:
    """All repositories of all hosts. Set ``before`` and ``after`` to hear of each operation while it runs.

    ``before`` runs when nothing is done yet, ``after`` when it is done but not answered (for ``move``: not yet read
    back): raise there to play a crash, or change something to play somebody else. Hooks may call stores; the
    operations that they make are counted too. ``undeletable`` plays a registry without tag deletion, ``immutable``
    says which existing tags the registry itself lets nobody move, ``knows_types`` whether it keeps artifacts of any
    type.
    """

    def __init__(self) -> None:
        self.before: Hook = _nothing
        self.after: Hook = _nothing
        self.undeletable = False
        self.knows_types = True
        self.immutable: Callable[[Repository, str], bool] = lambda repository, tag: False
        self.calls: list[Call] = []
        self.lock = threading.RLock()
        self._contents: dict[Repository, _Content] = {}

    def open(self, repository: Repository) -> Store:
        """One repository, which may be empty."""
        return MemoryStore(self, repository)

    @property
    def writes(self) -> list[Call]:
        """The operations that change something."""
        return [call for call in self.calls if call.operation in WRITES]

    def snapshot(self) -> dict[Repository, dict[str, Digest]]:
        """Every tag of every repository that has any."""
        with self.lock:
            return {name: dict(content.tags) for name, content in self._contents.items() if content.tags}

    def forget(self, repository: Repository, digest: Digest) -> None:
        """Lose a manifest or blob, as garbage collection does."""
        with self.lock:
            content = self.content(repository)
            content.manifests.pop(digest, None)
            content.blobs.pop(digest, None)

    def content(self, repository: Repository) -> _Content:
        """What is stored in one repository."""
        return self._contents.setdefault(repository, _Content())

    def begin(self, operation: str, repository: Repository, detail: str) -> None:
        """Note an operation and tell ``before``."""
        with self.lock:
            self.calls.append(Call(operation, repository, detail))
        self.before(operation, repository, detail)


class MemoryStore:
    """One repository of a :class:`MemoryRegistry`."""

    def __init__(self, registry: MemoryRegistry, repository: Repository) -> None:
        self._registry = registry
        self._repository = repository

    @property
    def repository(self) -> Repository:
        return self._repository

    def tags(self) -> list[str]:
        self._begin("tags")
        with self._registry.lock:
            tags = sorted(self._content.tags)
        self._end("tags")
        return tags

    def resolve(self, tag: str) -> Digest | None:
        self._begin("resolve", tag)
        with self._registry.lock:
            digest = self._content.tags.get(tag)
        self._end("resolve", tag)
        return digest

    def get(self, reference: str, *, current: bool = False) -> Manifest:
        self._begin("get", reference)
        with self._registry.lock:
            digest = Digest(reference) if is_digest(reference) else self._content.tags.get(reference)
            manifest = self._content.manifests.get(digest) if digest else None
        if manifest is None:
            raise NotFound("manifest.not_found", f"{self.repository} has no manifest {reference}")
        self._end("get", reference)
        return read_manifest(manifest.content, manifest.media_type, f"{self.repository}: {reference}", digest)

    def has(self, digest: Digest) -> bool:
        self._begin("has", digest)
        with self._registry.lock:
            found = digest in self._content.manifests
        self._end("has", digest)
        return found

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        detail = tag or manifest.digest
        self._begin("put", detail)
        if not self._registry.knows_types and manifest.document.get("artifactType"):
            raise TypeRefused("registry.rejected", f"{self.repository}: unknown media type: {manifest.artifact_type}")
        with self._registry.lock:
            if tag is not None and self._content.tags.get(tag, manifest.digest) != manifest.digest:
                self._check_mutable(tag)
            self._store(manifest)
            if tag is not None:
                self._content.tags[tag] = manifest.digest
        self._end("put", detail)

    def create(self, tag: str, manifest: Manifest) -> None:
        self.move(tag, manifest, None)

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
        if guard is not None:
            guard.prepare()
            guard.allow(None)
        self._begin("move", tag)
        with self._registry.lock:
            self._store(manifest)
            current = self._content.tags.get(tag)
            if current == manifest.digest:
                return
            if current != expected:
                raise TagMoved(self.repository, tag, expected, current)
            if current is not None:
                self._check_mutable(tag)
            self._content.tags[tag] = manifest.digest
        self._end("move", tag)
        if confirm:
            self.confirm(tag, manifest.digest, expected)

    def confirm(self, tag: str, wanted: Digest, before: Digest | None) -> None:
        with self._registry.lock:
            actual = self._content.tags.get(tag)
        if actual != wanted:
            raise TagMoved(self.repository, tag, wanted, actual)

    def place(self, *_: object, **__: object) -> bool:
        """Nothing: it takes one tag at a time."""
        return False

    def untag(self, tag: str, expected: Digest) -> None:
        self._begin("untag", tag)
        with self._registry.lock:
            current = self._content.tags.get(tag)
            if current != expected:
                raise TagMoved(self.repository, tag, expected, current)
            self.refuse_untag(tag)
            del self._content.tags[tag]
        self._end("untag", tag)

    def refuse_untag(self, tag: str, *, trial: bool = True) -> None:
        if self._registry.undeletable:
            raise StoreError("tag.undeletable", f"{self.repository}:{tag} cannot be deleted")

    def has_blob(self, digest: Digest) -> bool:
        self._begin("has_blob", digest)
        with self._registry.lock:
            found = digest in self._content.blobs
        self._end("has_blob", digest)
        return found

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        self._begin("read_blob", blob.digest)
        with self._registry.lock:
            content = self._content.blobs.get(blob.digest)
        if content is None:
            raise NotFound("blob.not_found", f"{self.repository} has no blob {blob.digest}")
        half = len(content) // 2 + 1
        yield from verified(blob, iter([content[:half], content[half:]]), str(self.repository))
        self._end("read_blob", blob.digest)

    def write_blob(self, blob: Descriptor, content: Chunks) -> None:
        self._begin("write_blob", blob.digest)
        with self._registry.lock:
            there = blob.digest in self._content.blobs
        if not there:
            data = b"".join(verified(blob, content(), str(self.repository)))
            with self._registry.lock:
                self._content.blobs[blob.digest] = data
        self._end("write_blob", blob.digest)

    def mount(self, blob: Descriptor, source: Repository) -> bool:
        self._begin("mount", blob.digest)
        with self._registry.lock:
            found = (
                self._registry.content(source).blobs.get(blob.digest) if source.host == self.repository.host else None
            )
            if found is not None:
                self._content.blobs[blob.digest] = found
        self._end("mount", blob.digest)
        return found is not None

    def referrers(self, digest: Digest) -> list[Descriptor]:
        self._begin("referrers", digest)
        with self._registry.lock:
            manifests = list(self._content.manifests.values())
        found = [m for m in manifests if m.subject is not None and m.subject.digest == digest]
        self._end("referrers", digest)
        return [replace(manifest.descriptor, annotations=manifest.annotations) for manifest in found]

    @property
    def _content(self) -> _Content:
        return self._registry.content(self._repository)

    def _begin(self, operation: str, detail: str = "") -> None:
        self._registry.begin(operation, self._repository, detail)

    def _end(self, operation: str, detail: str = "") -> None:
        self._registry.after(operation, self._repository, detail)

    def _store(self, manifest: Manifest) -> None:
        """A registry refuses a manifest that names what it doesn't have."""
        if manifest.digest in self._content.manifests:
            return
        lost = [child for child in manifest.children if child.digest not in self._content.manifests]
        lost += [blob for blob in manifest.blobs if not blob.foreign and blob.digest not in self._content.blobs]
        if lost:
            raise StoreError("manifest.incomplete", f"{self.repository}: {manifest.digest} names {lost[0].digest}")
        self._content.manifests[manifest.digest] = manifest

    def _check_mutable(self, tag: str) -> None:
        if self._registry.immutable(self._repository, tag):
            raise Refused("tag.immutable", f"{self.repository}:{tag} is immutable")
