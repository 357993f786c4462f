"""The narrow port between tagflow and whatever holds images.

A :class:`Store` is one repository in one medium. It holds immutable manifests and blobs, addressed by digest, and
movable names. Its methods raise :class:`~tagflow.errors.StoreError` (or :class:`~tagflow.errors.NotFound` where they
say so), never an exception of the medium.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import Conflict, StoreError
from tagflow.stores.manifest import DOCKER_LIST as DOCKER_LIST
from tagflow.stores.manifest import DOCKER_MANIFEST as DOCKER_MANIFEST
from tagflow.stores.manifest import IMAGE_CONFIG as IMAGE_CONFIG
from tagflow.stores.manifest import INDEX_TYPES as INDEX_TYPES
from tagflow.stores.manifest import MANIFEST_LIMIT as MANIFEST_LIMIT
from tagflow.stores.manifest import MANIFEST_TYPES as MANIFEST_TYPES
from tagflow.stores.manifest import OCI_INDEX as OCI_INDEX
from tagflow.stores.manifest import OCI_MANIFEST as OCI_MANIFEST
from tagflow.stores.manifest import SCHEMA1_TYPES as SCHEMA1_TYPES
from tagflow.stores.manifest import Descriptor as Descriptor
from tagflow.stores.manifest import Manifest as Manifest
from tagflow.stores.manifest import UnreadableManifest as UnreadableManifest
from tagflow.stores.manifest import parse_descriptor as parse_descriptor
from tagflow.stores.manifest import read_manifest as read_manifest


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


class TypeRefused(StoreError):
    """A registry keeps no manifests of an artifact type that it does not know (``registry.rejected``)."""


Chunks = Callable[[], Iterator[bytes]]
"""A factory of the content of a blob: called again when an upload has to start over."""


class Guard(Protocol):
    """Asked before a write. What it raises keeps the write from happening."""

    def prepare(self) -> None:
        """Before each try, while nothing is held: it may ask the medium, and take its time."""

    def allow(self, tags: Collection[str] | None) -> None:
        """Right before it is sent, after all waits. With the tags of the repository where the medium holds its lock
        meanwhile, so that what it decides stays true until the write is done; with None elsewhere. It asks nobody: who
        waits for an answer of a registry must not hold one of the places of those who ask it."""


class Store(Protocol):
    """One repository. Safe for use by several threads."""

    @property
    def repository(self) -> Repository:
        """Which repository this is."""

    def tags(self) -> list[str]:
        """All tags, sorted, all pages, asked for anew at each call; empty where the repository does not exist."""

    def resolve(self, tag: str) -> Digest | None:
        """The digest at which a tag stands now, or None. Never cached."""

    def get(self, reference: str, *, current: bool = False) -> Manifest:
        """The manifest at a tag or digest, byte for byte, its hash checked.

        ``current``: what a cache in between holds counts only where the medium says that the manifest is there now.

        :raises NotFound: ``manifest.not_found``.
        :raises UnreadableManifest: what is there is no manifest, or one of a type that tagflow does not move.
        """

    def has(self, digest: Digest) -> bool:
        """Whether a manifest is there."""

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store a manifest, by digest or under a tag (which it overwrites), and check what was stored.

        Everything that it names must be there already.

        :raises TypeRefused: the registry does not know its artifact type, and keeps none such.
        """

    def create(self, tag: str, manifest: Manifest) -> None:
        """Give a manifest a tag that never moves: :meth:`move` from None.

        It is written only where a look at that moment finds none, whatever a list said before; each further try looks
        first, and it is read back. Nothing happens where it stands at the manifest already.

        :raises TagMoved: it stands elsewhere, before or after.
        """

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
        """Move a tag from ``expected`` (None: it does not exist) to a manifest that is in this repository or is stored
        with it; as close to compare-and-swap as the medium allows: checked before, read back after.

        A tag that stands at the manifest already is left alone. ``looked``: the caller has just resolved it, for many
        tags side by side, and a medium that can do no better need not look again. Without ``confirm`` the caller reads
        back, for many tags side by side, and asks :meth:`confirm` where a tag is not where it was put. ``guard``
        is asked before each try to write; what it raises keeps the write from happening.

        :raises TagMoved: it stands elsewhere, before or after.
        :raises Refused: ``tag.immutable`` where the medium itself does not let it move.
        """

    def confirm(self, tag: str, wanted: Digest, before: Digest | None) -> None:
        """Read back a tag that was just moved from ``before``; a replica that lags behind is waited for.

        :raises TagMoved: it stands elsewhere.
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

    def refuse_untag(self, tag: str, *, trial: bool = True) -> None:
        """Whether a tag could be removed, before anything depends on it. Without a ``trial`` nothing is written, and
        nothing is said where that takes one.

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
    """One thing that `doctor` looked at. Where an ``essential`` one is not ``ok``, the medium cannot be used.

    ``fix`` is what to do about it.
    """

    check: str
    ok: bool
    detail: str
    essential: bool = False
    fix: str = ""


class Checkup(Struct, frozen=True):
    """What `doctor` found out about one registry; ``credential`` is the source of the login, empty for none."""

    checks: tuple[Check, ...]
    credential: str = ""


Stores = Callable[[Repository], Store]
"""Opens a repository wherever it lives; the same repository gives the same store."""


class Progress(Protocol):
    """Hears of bytes on their way, or of questions to be answered. Safe for use by several threads."""

    def expect(self, size: int) -> None:
        """That many bytes more will travel, or that many questions more were put."""

    def advance(self, size: int) -> None:
        """That many bytes have travelled (or turned out not to be needed), or were answered."""


class Silence:
    """A :class:`Progress` that tells nobody."""

    def expect(self, size: int) -> None:
        """Nothing."""

    def advance(self, size: int) -> None:
        """Nothing."""


class Pushed(Struct, frozen=True):
    """What a daemon pushed. ``part_of`` is the index of which it has one platform, and pushed that alone; None where it
    pushed all of the image."""

    digest: Digest
    part_of: Digest | None = None


class Engine(Protocol):
    """What flows ask of the Docker Engine: no store, for it keeps images, not bytes. Safe for several threads."""

    def image_id(self, name: str) -> Digest:
        """The ID of a local image."""

    def platform_here(self, name: str) -> Digest | None:
        """The manifest of the only platform that is here of an index; None where it is whole, or none."""

    def push(self, name: str, repository: Repository, tag: str, progress: Progress) -> Pushed:
        """Push one local image under one tag."""

    def save_to(self, name: str, path: Path) -> Digest:
        """Write a local image to a docker-archive file."""

    def would_change(self, manifest: Manifest) -> str:
        """Why the digest would not survive pull and push through this engine; empty where it would."""

    def transfer(self, source: Repository, digest: Digest, target: Repository, tag: str, progress: Progress) -> Digest:
        """Pull by digest, tag, push under a tag; the digest that arrived."""

    def pull(self, repository: Repository, digest: Digest, progress: Progress, platform: str = "") -> Digest:
        """Pull by digest; the image ID. ``platform`` (``os/architecture[/variant]``) is that of the daemon's machine
        where it is empty."""

    def load_from(self, store: Store, manifest: Manifest, progress: Progress, platform: str = "") -> Digest:
        """Bring a platform of an image out of a store that no daemon can pull from; the image ID."""

    def strange_platform(self, image: Digest, platform: str = "") -> str:
        """Which platform a local image is for, where it is another than the one that was asked for; else empty."""

    def tag(self, image_id: Digest, repository: Repository, tag: str) -> None:
        """Give a local image a name."""
