"""A registry in memory that is asked one request at a time, as the registry store asks a real one.

Moving a tag is three requests here (look, PUT, read back), so that another run may come in between; whatever a run asks
goes through its :class:`Gate`, which decides when the request reaches the registry, and whether its answer comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from tagflow.domain.reference import Digest, Repository, is_digest
from tagflow.errors import NotFound, StoreError, Unanswered
from tagflow.stores.port import Chunks, Descriptor, Guard, Manifest, Store, TagMoved
from tagflow.stores.stream import verified

R = TypeVar("R")

TRIES = 3
"""How often a request is sent while its answer is lost."""
PAUSE = 1.0
"""Seconds between two of them."""


class Lost(Exception):
    """No answer came. Whether the request took effect, only the registry knows."""


@dataclass(frozen=True)
class Call:
    """One request. ``tag`` is empty for a list; ``digest`` is what a PUT puts there (None: the tag is removed)."""

    kind: str
    repository: Repository
    tag: str = ""
    digest: Digest | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes a tag."""
        return self.kind in ("put", "delete")

    @property
    def what(self) -> tuple[Repository, str]:
        """The name that it asks for or changes; the list of a repository is one, too."""
        return self.repository, self.tag


class Gate(Protocol):
    """Decides when a request reaches the registry."""

    def call(self, call: Call, effect: Callable[[], R]) -> R:
        """Let a request happen.

        :raises Lost: its answer does not come.
        """

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Open:
    """A gate that lets everything through at once."""

    def call(self, call: Call, effect: Callable[[], R]) -> R:
        return effect()

    def sleep(self, seconds: float) -> None:
        """No time passes."""


@dataclass
class Content:
    """One repository."""

    tags: dict[str, Digest] = field(default_factory=dict)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)


Heard = Callable[[Call, Digest | None], None]
"""Told of each change of a tag, with where it stood before."""


class Registry:
    """All repositories. ``lag``: a list shows what was there that many changes of the repository ago."""

    def __init__(self) -> None:
        self.contents: dict[Repository, Content] = {}
        self.heard: Heard = lambda call, before: None
        self.lag = 0
        self._lists: dict[Repository, list[tuple[str, ...]]] = {}
        self._trace = 0

    def copy(self) -> Registry:
        """Another one that holds the same. What never changes is shared."""
        twin = Registry()
        for name, content in self.contents.items():
            twin.contents[name] = Content(dict(content.tags), dict(content.manifests), dict(content.blobs))
        return twin

    def content(self, repository: Repository) -> Content:
        """What one repository holds."""
        if repository not in self.contents:
            self.contents[repository] = Content()
        return self.contents[repository]

    @property
    def trace(self) -> int:
        """A number that is the same where all tags are the same (and lists, where they lag)."""
        return hash((self._trace, tuple(map(tuple, self._lists.values())))) if self.lag else self._trace

    def list(self, repository: Repository) -> tuple[str, ...]:
        """The tags, or those of a while ago."""
        old = self._lists.get(repository, [])
        if self.lag and old:
            return old[max(0, len(old) - self.lag)]
        return tuple(sorted(self.content(repository).tags))

    def change(self, call: Call) -> None:
        """Carry out a PUT or DELETE of a tag."""
        tags = self.content(call.repository).tags
        before = tags.get(call.tag)
        if before == call.digest:
            return
        if self.lag:
            self._lists.setdefault(call.repository, []).append(tuple(sorted(tags)))
        if call.digest is None:
            del tags[call.tag]
        else:
            tags[call.tag] = call.digest
        for digest in (before, call.digest):
            if digest is not None:
                self._trace ^= hash((call.repository, call.tag, digest))
        self.heard(call, before)

    def store(self, manifest: Manifest, repository: Repository) -> None:
        """Keep a manifest; what it names must be there."""
        content = self.content(repository)
        if manifest.digest in content.manifests:
            return
        lost = [child for child in manifest.children if child.digest not in content.manifests]
        lost += [blob for blob in manifest.blobs if blob.digest not in content.blobs]
        if lost:
            raise StoreError("manifest.incomplete", f"{repository}: {manifest.digest} names {lost[0].digest}")
        content.manifests[manifest.digest] = manifest


def unreachable(call: Call) -> Unanswered:
    """What the store says when it has tried often enough."""
    return Unanswered("registry.unreachable", f"{call.repository}: no answer to {call.kind} {call.tag}")


@dataclass
class OneStore:
    """One repository as one run sees it: :class:`tagflow.stores.port.Store`, request by request."""

    registry: Registry
    gate: Gate
    repository: Repository
    cache: dict[str, Manifest] = field(default_factory=dict)

    # --- names: each of these is one request or several, and another run may come before each ----------------------

    def tags(self) -> list[str]:
        return list(self._ask(Call("list", self.repository), lambda: self.registry.list(self.repository)))

    def resolve(self, tag: str) -> Digest | None:
        return self._ask(Call("head", self.repository, tag), lambda: self._content.tags.get(tag))

    def get(self, reference: str, *, current: bool = False) -> Manifest:
        if is_digest(reference):
            found = self._content.manifests.get(Digest(reference))
        elif reference.startswith("_tagflow."):
            found = self._record(reference)
        else:
            digest = self._ask(Call("get", self.repository, reference), lambda: self._content.tags.get(reference))
            found = self._content.manifests.get(digest) if digest else None
        if found is None:
            raise NotFound("manifest.not_found", f"{self.repository} has no manifest {reference}")
        return found

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        self.registry.store(manifest, self.repository)
        if tag is not None:
            call = Call("put", self.repository, tag, manifest.digest)
            self._ask(call, lambda: self.registry.change(call))

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
        self.registry.store(manifest, self.repository)
        actual = expected if looked and expected != manifest.digest else self.resolve(tag)
        call = Call("put", self.repository, tag, manifest.digest)
        for left in reversed(range(TRIES)):
            if actual == manifest.digest:
                return
            if actual != expected:
                raise TagMoved(self.repository, tag, expected, actual)
            if guard is not None:
                guard.prepare()
                guard.allow(None)
            try:
                self.gate.call(call, lambda: self.registry.change(call))
                break
            except Lost:
                self.gate.sleep(PAUSE)
                actual = self.resolve(tag)
                if actual == manifest.digest:
                    return
                if not left:
                    raise unreachable(call) from None
        if confirm:
            self.confirm(tag, manifest.digest, expected)

    def confirm(self, tag: str, wanted: Digest, before: Digest | None) -> None:
        actual = self.resolve(tag)
        if actual != wanted:
            raise TagMoved(self.repository, tag, wanted, actual)

    def place(self, manifest: Manifest, moves: Mapping[str, Digest | None], **_: Any) -> bool:
        return False

    def untag(self, tag: str, expected: Digest) -> None:
        actual = self.resolve(tag)
        if actual != expected:
            raise TagMoved(self.repository, tag, expected, actual)
        call = Call("delete", self.repository, tag)
        self._ask(call, lambda: self.registry.change(call))

    def refuse_untag(self, tag: str, *, trial: bool = True) -> None:
        """Nothing: any tag can be removed."""

    # --- what is addressed by its hash: no order of requests makes a difference ------------------------------------

    def has(self, digest: Digest) -> bool:
        return digest in self._content.manifests

    def has_blob(self, digest: Digest) -> bool:
        return digest in self._content.blobs

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        if blob.digest not in self._content.blobs:
            raise NotFound("blob.not_found", f"{self.repository} has no blob {blob.digest}")
        yield from verified(blob, iter([self._content.blobs[blob.digest]]), str(self.repository))

    def write_blob(self, blob: Descriptor, content: Chunks) -> None:
        if blob.digest not in self._content.blobs:
            self._content.blobs[blob.digest] = b"".join(verified(blob, content(), str(self.repository)))

    def mount(self, blob: Descriptor, source: Repository) -> bool:
        found = self.registry.content(source).blobs.get(blob.digest)
        if found is not None:
            self._content.blobs[blob.digest] = found
        return found is not None

    def referrers(self, digest: Digest) -> list[Descriptor]:
        manifests = list(self._content.manifests.values())
        found = [it for it in manifests if it.subject is not None and it.subject.digest == digest]
        return [replace(it.descriptor, annotations=it.annotations) for it in found]

    # ---------------------------------------------------------------------------------------------------------------

    @property
    def _content(self) -> Content:
        return self.registry.content(self.repository)

    def _record(self, tag: str) -> Manifest | None:
        """A record, or a pin: where there is one, it never changes."""
        digest = self._content.tags.get(tag)
        return self._content.manifests.get(digest) if digest else None

    def _ask(self, call: Call, effect: Callable[[], R]) -> R:
        """A request that may be sent again without harm."""
        for left in reversed(range(TRIES)):
            try:
                return self.gate.call(call, effect)
            except Lost:
                if not left:
                    raise unreachable(call) from None
                self.gate.sleep(PAUSE)
        raise AssertionError("unreachable")


def opener(registry: Registry, gate: Gate) -> Callable[[Repository], Store]:
    """Opens repositories for one run."""
    stores: dict[Repository, Store] = {}

    def store(repository: Repository) -> Store:
        if repository not in stores:
            stores[repository] = OneStore(registry, gate, repository)
        return stores[repository]

    return store
