"""The narrow port between tagflow and whatever holds images.

A :class:`Store` is one repository in one medium. It holds immutable manifests and blobs, addressed by digest, and
movable names. Its methods raise :class:`~tagflow.errors.StoreError` (or :class:`~tagflow.errors.NotFound` where they
say so), never an exception of the medium.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tagflow.domain.reference import Digest, Repository, digest_of, is_digest
from tagflow.errors import Conflict, StoreError

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes. distribution-spec 1.1: registries should accept manifests up to 4 MiB."""


@dataclass(frozen=True)
class Descriptor:
    """What points at content (image-spec 1.1, "OCI Content Descriptors")."""

    media_type: str
    digest: Digest
    size: int
    platform: str = ""
    """``os/architecture[/variant]`` where the descriptor names one."""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    foreign: bool = False
    """A layer that is fetched from its ``urls`` and may be absent from the repository."""

    @property
    def is_index(self) -> bool:
        """Whether it points at an image index (or Docker manifest list)."""
        return self.media_type in INDEX_TYPES

    @property
    def is_manifest(self) -> bool:
        """Whether it points at a manifest or an index, not at a blob."""
        return self.media_type in MANIFEST_TYPES


@dataclass(frozen=True)
class Manifest:
    """A manifest or index, byte for byte as stored. It is never re-encoded."""

    media_type: str
    content: bytes

    @cached_property
    def digest(self) -> Digest:
        """The digest of the bytes."""
        return digest_of(self.content)

    @property
    def descriptor(self) -> Descriptor:
        """What points at this manifest."""
        return Descriptor(self.media_type, self.digest, len(self.content), artifact_type=self.artifact_type)

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The JSON object within.

        :raises StoreError: ``manifest.invalid`` where it is none.
        """
        try:
            document = msgspec.json.decode(self.content)
        except (ValueError, RecursionError) as exc:  # text that is not UTF-8 is a plain ValueError
            raise StoreError("manifest.invalid", f"manifest {self.digest} is not JSON") from exc
        if not isinstance(document, dict):
            raise StoreError("manifest.invalid", f"manifest {self.digest} is not a JSON object")
        return document

    @property
    def is_index(self) -> bool:
        """Whether this is an index (or Docker manifest list) of other manifests."""
        return self.media_type in INDEX_TYPES

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests that an index names; none for an image manifest."""
        return self._descriptors("manifests") if self.is_index else ()

    @property
    def config(self) -> Descriptor | None:
        """The configuration blob of an image manifest."""
        if self.is_index or "config" not in self.document:
            return None
        return self._descriptor(self.document["config"])

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Configuration and layers of an image manifest, in that order; none for an index."""
        if self.is_index:
            return ()
        config = self.config
        return ((config,) if config else ()) + self._descriptors("layers")

    @property
    def subject(self) -> Descriptor | None:
        """The manifest that this one refers to (image-spec 1.1, ``subject``)."""
        return self._descriptor(self.document["subject"]) if self.document.get("subject") else None

    @property
    def artifact_type(self) -> str:
        """``artifactType``, or the configuration's media type (distribution-spec 1.1, "Listing Referrers")."""
        value = self.document.get("artifactType")
        if isinstance(value, str) and value:
            return value
        return "" if self.is_index or self.config is None else self.config.media_type

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations; those that are not strings are left out."""
        return _strings(self.document.get("annotations"))

    def _descriptors(self, key: str) -> tuple[Descriptor, ...]:
        values = self.document.get(key) or []
        if not isinstance(values, list):
            raise StoreError("manifest.invalid", f"manifest {self.digest}: {key!r} is not a list")
        return tuple(self._descriptor(value) for value in values)

    def _descriptor(self, value: Any) -> Descriptor:
        return parse_descriptor(value, where=f"manifest {self.digest}")


def parse_descriptor(value: Any, *, where: str) -> Descriptor:
    """Read one descriptor out of decoded JSON.

    :raises StoreError: ``manifest.invalid``; ``where`` says in what.
    """
    if not isinstance(value, dict):
        raise StoreError("manifest.invalid", f"{where}: a descriptor is not an object")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not isinstance(digest, str) or not is_digest(digest):
        raise StoreError("manifest.invalid", f"{where}: a descriptor has no valid mediaType and digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise StoreError("manifest.invalid", f"{where}: the descriptor of {digest} has no valid size")
    platform = value.get("platform")
    parts: list[str] = []
    if isinstance(platform, dict):
        parts = [str(platform[key]) for key in ("os", "architecture", "variant") if platform.get(key)]
    return Descriptor(
        media_type=media_type,
        digest=Digest(digest),
        size=size,
        platform="/".join(parts),
        artifact_type=value["artifactType"] if isinstance(value.get("artifactType"), str) else "",
        annotations=_strings(value.get("annotations")),
        foreign=bool(value.get("urls")) or "foreign" in media_type or "nondistributable" in media_type,
    )


def _strings(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}


class TagMoved(Conflict):
    """A tag was not where it was expected to be, or did not stay where it was put."""

    def __init__(self, repository: Repository, tag: str, expected: Digest | None, actual: Digest | None) -> None:
        super().__init__(
            "tag.moved",
            f"{repository}:{tag} is at {actual or 'no digest'}, expected {expected or 'none'}:"
            " somebody moved it meanwhile",
            hint="Look at `tagflow status`, then run the command again.",
        )
        self.repository, self.tag, self.expected, self.actual = repository, tag, expected, actual


Chunks = Callable[[], Iterator[bytes]]
"""A factory of the content of a blob: called again when an upload has to start over."""


class Store(Protocol):
    """One repository. Safe for use by several threads."""

    @property
    def repository(self) -> Repository:
        """Which repository this is."""

    def tags(self) -> list[str]:
        """All tags, sorted, all pages; empty where the repository does not exist."""

    def resolve(self, tag: str) -> Digest | None:
        """The digest at which a tag stands now, or None. Never cached."""

    def get(self, reference: str) -> Manifest:
        """The manifest at a tag or digest, byte for byte, its hash checked.

        :raises NotFound: ``manifest.not_found``.
        """

    def has(self, digest: Digest) -> bool:
        """Whether a manifest is there."""

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store a manifest, by digest or under a tag (which it overwrites), and check what was stored.

        Everything that it names must be there already.
        """

    def create(self, tag: str, manifest: Manifest) -> None:
        """Give a manifest a tag that nothing had when the caller looked: one that never moves.

        As :meth:`move` from None, but with fewer questions where each costs a round trip: a list of tags from a moment
        ago is the look, and the medium's answer with the digest is the proof.

        :raises TagMoved: it stands elsewhere.
        """

    def move(self, tag: str, manifest: Manifest, expected: Digest | None, *, looked: bool = False) -> None:
        """Move a tag from ``expected`` (None: it does not exist) to a manifest that is in this repository or is stored
        with it; as close to compare-and-swap as the medium allows: checked before, read back after.

        A tag that stands at the manifest already is left alone. ``looked``: the caller has just resolved it, for many
        tags side by side, and a medium that can do no better need not look again.

        :raises TagMoved: it stands elsewhere, before or after.
        :raises Refused: ``tag.immutable`` where the medium itself does not let it move.
        """

    def place(self, manifest: Manifest, moves: Mapping[str, Digest | None], *, looked: bool = False) -> bool:
        """Put several tags at a manifest that is in this repository, those that stand where ``moves`` says (None: they
        do not exist), in one request where the medium takes several; else nothing, and False. Each is to be moved
        afterwards. ``looked`` as for :meth:`move`.
        """

    def untag(self, tag: str, expected: Digest) -> None:
        """Remove a tag that stands at ``expected``, and nothing else.

        :raises TagMoved: it stands elsewhere.
        :raises StoreError: ``tag.undeletable`` where the medium cannot do that.
        """

    def has_blob(self, digest: Digest) -> bool:
        """Whether a blob is there."""

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        """The content in chunks; size and hash are checked while it passes, before the last chunk is handed out.

        :raises NotFound: ``blob.not_found``.
        :raises StoreError: ``blob.invalid`` where size or hash differ.
        """

    def write_blob(self, blob: Descriptor, content: Chunks) -> None:
        """Store a blob, streaming; the medium verifies the digest. Nothing happens where it is there already."""

    def mount(self, blob: Descriptor, source: Repository) -> bool:
        """Take a blob over from another repository of the same host without moving bytes; False where it can't."""

    def referrers(self, digest: Digest) -> list[Descriptor]:
        """What refers to a manifest (distribution-spec 1.1, "Listing Referrers"): API, or fallback tag."""


@dataclass(frozen=True)
class Check:
    """One thing that `doctor` looked at. Where an ``essential`` one is not ``ok``, the medium cannot be used."""

    name: str
    ok: bool
    detail: str
    essential: bool = False


@dataclass(frozen=True)
class Checkup:
    """What `doctor` found out about one registry; ``credential`` is the source of the login, empty for none."""

    checks: tuple[Check, ...]
    credential: str = ""


Stores = Callable[[Repository], Store]
"""Opens a repository wherever it lives; the same repository gives the same store."""


class Progress(Protocol):
    """Hears of bytes on their way. Safe for use by several threads."""

    def expect(self, size: int) -> None:
        """That many bytes more will travel."""

    def advance(self, size: int) -> None:
        """That many bytes have travelled (or turned out not to be needed)."""


class Silence:
    """A :class:`Progress` that tells nobody."""

    def expect(self, size: int) -> None:
        """Nothing."""

    def advance(self, size: int) -> None:
        """Nothing."""


class Engine(Protocol):
    """What flows ask of the Docker Engine: no store, for it keeps images, not bytes. Safe for several threads."""

    def image_id(self, name: str) -> Digest:
        """The ID of a local image."""

    def push(self, name: str, repository: Repository, tag: str, progress: Progress) -> Digest:
        """Push one local image under one tag; its digest."""

    def save_to(self, name: str, path: Path) -> Digest:
        """Write a local image to a docker-archive file."""

    def would_change(self, manifest: Manifest) -> str:
        """Why the digest would not survive pull and push through this engine; empty where it would."""

    def transfer(self, source: Repository, digest: Digest, target: Repository, tag: str, progress: Progress) -> Digest:
        """Pull by digest, tag, push under a tag; the digest that arrived."""

    def pull(self, repository: Repository, digest: Digest, progress: Progress) -> Digest:
        """Pull by digest; the image ID."""

    def load_from(self, store: Store, manifest: Manifest, progress: Progress) -> Digest:
        """Bring this machine's platform of an image out of a store that no daemon can pull from; the image ID."""

    def tag(self, image_id: Digest, repository: Repository, tag: str) -> None:
        """Give a local image a name."""
