"""Whether images are whole: the manifest, its children, their blobs. One answer for push, promote, rollback and verify.

What one of them admits, another must not find missing, so all of them ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import Literal, TypeVar

from msgspec import Struct

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import NotFound, StoreError, TagflowError
from tagflow.stores.port import SCHEMA1_TYPES, Descriptor, Manifest, Progress, Silence, Store, UnreadableManifest
from tagflow.stores.transfer.pool import WorkerPool
from tagflow.stores.transfer.tree import MANIFEST_COUNT_LIMIT

T = TypeVar("T")
R = TypeVar("R")

BLOB_COUNT_LIMIT = 16 * MANIFEST_COUNT_LIMIT
"""More blobs than this below one name are taken for an attack or a mistake."""

Image = tuple[Repository, Digest]
"""One image in one repository, by the digest of its manifest."""


class MissingPart(Struct, frozen=True):
    """A manifest or blob that an image names and that is not in its repository.

    ``descriptor`` is as the image names it; of the image itself only the digest is known. ``children`` are the
    manifests below an index that need it; none where the image itself, or what it names directly, is missing.
    """

    kind: Literal["manifest", "blob"]
    descriptor: Descriptor
    children: tuple[Descriptor, ...] = ()

    @property
    def digest(self) -> Digest:
        """What is missing."""
        return self.descriptor.digest

    def __str__(self) -> str:
        """For people: ``blob sha256:… (TYPE, 99 bytes) of linux/arm64``."""
        about = self.descriptor.platform or self.descriptor.media_type
        size = f" ({about}, {self.descriptor.size} bytes)" if about else ""
        of = " of " + ", ".join(child.platform or child.digest for child in self.children) if self.children else ""
        return f"{self.kind} {self.digest}{size}{of}"


def missing_parts(store: Store, digest: Digest, *, threads: int = 8) -> list[MissingPart]:
    """What of the image ``digest`` is not in ``store``; empty where it is whole. For several images at once, and to ask
    for each digest once in a run, see :class:`ContentCheck`.

    :raises StoreError: where the store fails, or may not be read: that is never taken for "missing".
    """
    return ContentCheck(threads).missing([(store, digest)])[store.repository, digest]


class ContentCheck:
    """Finds out what of images is not there. Every manifest and blob of a repository is asked for once: what was there
    is remembered for as long as the check lives, what was missing is asked for again the next time.

    It asks the medium, whatever a cache holds. Foreign layers may be absent. A child of an index may be addressed by
    any hash that a digest can name, and be of any type: one that tagflow cannot read counts as whole where it is there.
    Safe for use by several threads, but they wait for each other: give it all images in one call. ``threads`` is how
    many things it asks at once, however many images there are; ``questions`` hears of each.
    """

    def __init__(self, threads: int = 8, questions: Progress | None = None) -> None:
        self._threads = threads
        self._questions = questions or Silence()
        self._lock = Lock()
        self._manifests: dict[Image, _Answer] = {}
        self._blobs: set[Image] = set()

    def missing(
        self, images: Iterable[tuple[Store, Digest]], there: Collection[Image] = ()
    ) -> Mapping[Image, list[MissingPart]]:
        """For each image what is missing of it, manifests first; an empty list where it is whole. ``there`` as in
        :meth:`look`.

        :raises StoreError: where a store fails; ``manifest.invalid``, ``manifest.too_many``.
        """
        found = self.look(images, there)
        for parts in found.values():
            if isinstance(parts, TagflowError):
                raise parts
        return {image: parts for image, parts in found.items() if not isinstance(parts, TagflowError)}

    def look(
        self, images: Iterable[tuple[Store, Digest]], there: Collection[Image] = ()
    ) -> Mapping[Image, list[MissingPart] | TagflowError]:
        """For each image what is missing of it, or why that cannot be told.

        ``there`` are manifests that the medium was seen to have just now, by a tag that stands at them: it is not
        asked for these again where their content is known.
        """
        with self._lock, WorkerPool(self._threads) as pool:
            walks = {(store.repository, digest): _Walk(store, digest) for store, digest in images}
            try:
                self._read_manifests(pool, list(walks.values()), there)
                lost, failed = self._look_for_blobs(pool, walks.values())
                return {image: walk.outcome(self._manifests, lost, failed) for image, walk in walks.items()}
            finally:
                kept = {image: it for image, it in self._manifests.items() if isinstance(it, _Parts)}
                self._manifests = dict[Image, _Answer](kept)

    def _counted(self, ask: Callable[[T], R], count: int) -> Callable[[T], R]:
        """A question that is put so many times, and says of each time that it was answered."""
        if count:
            self._questions.expect(count)

        def told(item: T) -> R:
            try:
                return ask(item)
            finally:
                self._questions.advance(1)

        return told

    def _read_manifests(self, pool: WorkerPool, walks: list[_Walk], there: Collection[Image]) -> None:
        """Level by level, for all images at once: what they have in common is read once."""
        read = partial(_or_error, partial(_parts_of, there=there))
        while walks:
            wanted = {
                (walk.store.repository, named.digest): (walk.store, named, walk.must_be_manifest(named))
                for walk in walks
                for named in walk.level
                if (walk.store.repository, named.digest) not in self._manifests
            }
            answers = pool.map(self._counted(read, len(wanted)), wanted.values())
            self._manifests.update(zip(wanted, answers, strict=True))
            walks = [walk for walk in walks if walk.descend(self._manifests)]

    def _look_for_blobs(
        self, pool: WorkerPool, walks: Iterable[_Walk]
    ) -> tuple[frozenset[Image], Mapping[Image, TagflowError]]:
        """The blobs that are not there, and those of which that could not be told."""
        wanted = {
            (walk.store.repository, digest): walk.store
            for walk in walks
            if walk.error is None
            for digest in walk.blobs
            if (walk.store.repository, digest) not in self._blobs
        }

        def has(image: Image) -> bool | TagflowError:
            return _or_error(wanted[image].has_blob, image[1])

        answers = pool.map(self._counted(has, len(wanted)), wanted)
        found = dict(zip(wanted, answers, strict=True))
        failed = {image: it for image, it in found.items() if isinstance(it, TagflowError)}
        self._blobs |= {image for image, it in found.items() if it is True}
        return frozenset(image for image, it in found.items() if it is False), failed


def _or_error(ask: Callable[[T], R], item: T) -> R | TagflowError:
    try:
        return ask(item)
    except TagflowError as error:
        return error


class _Parts(Struct, frozen=True):
    """What one manifest names."""

    children: tuple[Descriptor, ...] = ()
    blobs: tuple[Descriptor, ...] = ()


_Answer = _Parts | TagflowError | None
"""What a manifest names; None where there is none, or why it could not be read."""

_Known = Mapping[Image, _Answer]


def _parts_of(question: tuple[Store, Descriptor, bool], there: Collection[Image]) -> _Parts | None:
    """What the content at a digest names in turn, None where it is not there.

    image-spec 1.1 lets an index name content of any type. Where the type is not one of those that we know, the
    manifests are asked first: to a registry what it keeps as a manifest is no blob.
    """
    store, named, must_be_manifest = question
    if named.media_type in SCHEMA1_TYPES:  # its digest leaves out its signatures: the bytes prove nothing
        return _Parts() if store.has(named.digest) else None
    try:
        manifest = store.get(named.digest, current=(store.repository, named.digest) not in there)
    except NotFound:
        return None if must_be_manifest or not store.has_blob(named.digest) else _Parts()
    except UnreadableManifest:
        if must_be_manifest:
            raise
        return _Parts()
    except StoreError:  # distribution answers 500 where a blob is asked for as a manifest
        if must_be_manifest or not store.has_blob(named.digest):
            raise
        return _Parts()
    return _Parts(manifest.children, _needed(manifest))


def _needed(manifest: Manifest) -> tuple[Descriptor, ...]:
    return tuple(blob for blob in manifest.blobs if not blob.foreign)


class _Walk:
    """The way through one image: ``level`` is what is read next."""

    def __init__(self, store: Store, digest: Digest) -> None:
        self.store = store
        self.level = [Descriptor("", digest, 0)]
        self.blobs: dict[Digest, Descriptor] = {}
        self.error: TagflowError | None = None
        self._root = digest
        self._seen = {digest: self.level[0]}

    def must_be_manifest(self, named: Descriptor) -> bool:
        """Whether nothing but a readable manifest will do: for the image itself, and where the type says so."""
        return named.is_manifest or named.digest == self._root

    def descend(self, known: _Known) -> bool:
        """Go on to what the manifests of this level name; False where that is nothing, or cannot be told."""
        below: list[Descriptor] = []
        for parent in self.level:
            parts = known[self.store.repository, parent.digest]
            if isinstance(parts, TagflowError):
                self.error = parts
                return False
            for blob in parts.blobs if parts else ():
                self.blobs.setdefault(blob.digest, blob)
            for child in parts.children if parts else ():
                if child.digest not in self._seen:
                    self._seen[child.digest] = child
                    below.append(child)
            if len(self._seen) > MANIFEST_COUNT_LIMIT or len(self.blobs) > BLOB_COUNT_LIMIT:
                message = (
                    f"{self.store.repository}@{self._root} holds more than {MANIFEST_COUNT_LIMIT} manifests"
                    f" or {BLOB_COUNT_LIMIT} blobs"
                )
                self.error = StoreError("manifest.too_many", message)
                return False
        self.level = below
        return bool(below)

    def outcome(
        self, known: _Known, lost: frozenset[Image], failed: Mapping[Image, TagflowError]
    ) -> list[MissingPart] | TagflowError:
        """What turned out to be missing, or why that cannot be told."""
        here = self.store.repository
        error = self.error or next((failed[here, it] for it in self.blobs if (here, it) in failed), None)
        return error or self._missing(known, lost)

    def _missing(self, known: _Known, lost: frozenset[Image]) -> list[MissingPart]:
        """What is missing; of an image without its manifest only that."""
        here = self.store.repository
        answers = {digest: known[here, digest] for digest in self._seen}
        parts = {digest: it for digest, it in answers.items() if not isinstance(it, TagflowError)}
        gone: list[tuple[Literal["manifest", "blob"], Descriptor]]
        gone = [("manifest", named) for digest, named in self._seen.items() if parts[digest] is None]
        gone += [("blob", blob) for digest, blob in self.blobs.items() if (here, digest) in lost]
        return [MissingPart(kind, named, tuple(self._needing(named.digest, parts))) for kind, named in gone]

    def _needing(self, digest: Digest, parts: Mapping[Digest, _Parts | None]) -> Iterator[Descriptor]:
        """The manifests below the image itself that name a digest."""
        for parent, named in self._seen.items():
            found = parts[parent]
            if parent != self._root and found and any(it.digest == digest for it in (*found.children, *found.blobs)):
                yield named
