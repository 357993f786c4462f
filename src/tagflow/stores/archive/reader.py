"""An image in a tar file as a store to copy from: what ``docker save`` writes, or an OCI layout in a tar.

Docker's archive (`manifest.json`, docker/docker image-spec v1.2) has no manifest as registries know it before Docker
25, so one is made. Its configuration is the archive's, byte for byte: the image keeps its ID.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from tagflow.domain.reference import Digest, Repository, is_digest
from tagflow.errors import NotFound, StoreError, UsageError
from tagflow.stores.archive.files import ArchiveFiles, Member
from tagflow.stores.archive.stored import as_pushed, blobs, layout_index, stored
from tagflow.stores.layout.names import is_named, names_of, tag_of
from tagflow.stores.port import DOCKER_MANIFEST, MANIFEST_LIMIT, Descriptor, Manifest
from tagflow.stores.stream import verified

CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar"


class _Item(msgspec.Struct):
    """One image in ``manifest.json``."""

    Config: str
    Layers: list[str] | None = None
    RepoTags: list[str] | None = None


class _RootFS(msgspec.Struct):
    diff_ids: list[str] = []


class _Config(msgspec.Struct):
    rootfs: _RootFS = msgspec.field(default_factory=_RootFS)


@dataclass(frozen=True)
class _Choice:
    """An image of the archive: what identifies it, its names, where it is described."""

    key: str
    names: tuple[str, ...]
    source: _Item | Descriptor


def open_archive(path: Path, name: str = "") -> ArchiveStore:
    """One image of an archive. ``name`` (as in ``docker save NAME``) chooses where there are several.

    :raises NotFound: ``source.not_found``: no such file, or no such image in it.
    :raises UsageError: ``source.ambiguous``: several images, and no name.
    :raises StoreError: ``archive.invalid``, ``archive.unreadable``.
    """
    files = ArchiveFiles(path)
    described = files.find("manifest.json")
    choices = _items(files, described) if described else _entries(files)
    choice = _choose(files, choices, name)
    if isinstance(choice.source, Descriptor):
        places = blobs(files)
        root = stored(files, places, choice.source.digest, choice.source.media_type)
    else:
        root, places = _saved(files, choice.source)
    return ArchiveStore(files, root, frozenset(map(tag_of, choice.names)) - {""}, places)


class ArchiveStore:
    """One image of an archive; it cannot be written to."""

    def __init__(
        self, files: ArchiveFiles, root: Manifest, tags: Iterable[str], places: Mapping[Digest, Member]
    ) -> None:
        self._files, self._root, self._tags, self._places = files, root, frozenset(tags), places

    @property
    def repository(self) -> Repository:
        return Repository("docker-archive:" + str(self._files.path), "image")

    def __str__(self) -> str:
        return str(self._files.path)

    def sole(self) -> Digest:
        """The image."""
        return self._root.digest

    def tags(self) -> list[str]:
        return sorted(self._tags)

    def resolve(self, tag: str) -> Digest | None:
        return self._root.digest if tag in self._tags else None

    def get(self, reference: str, *, current: bool = False) -> Manifest:  # noqa: ARG002
        if reference in self._tags or reference == self._root.digest:
            return self._root
        if not is_digest(reference) or not self.has(Digest(reference)):
            raise NotFound("manifest.not_found", f"{self._files.path} has no manifest {reference}")
        return stored(self._files, self._places, Digest(reference), "")

    def has(self, digest: Digest) -> bool:
        return digest == self._root.digest or digest in self._places

    def has_blob(self, digest: Digest) -> bool:
        return digest in self._places

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        member = self._places.get(blob.digest)
        if member is None:
            raise NotFound("blob.not_found", f"{self._files.path} has no blob {blob.digest}")
        yield from verified(blob, self._files.chunks(member), str(self._files.path))

    def referrers(self, *_: object) -> list[Descriptor]:
        return []

    def mount(self, *_: object) -> bool:
        return False

    def put(self, *_: object, **__: object) -> None:
        self._refuse()

    def create(self, *_: object, **__: object) -> None:
        self._refuse()

    def move(self, *_: object, **__: object) -> None:
        self._refuse()

    def place(self, *_: object, **__: object) -> NoReturn:
        self._refuse()

    def untag(self, *_: object, **__: object) -> None:
        self._refuse()

    def write_blob(self, *_: object, **__: object) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreError("archive.read_only", f"{self._files.path}: tagflow only reads archives")


def _items(files: ArchiveFiles, described: Member) -> list[_Choice]:
    items: list[_Item] = _decode(files, files.read(described, MANIFEST_LIMIT), list[_Item], described.name)
    return [_Choice(item.Config, tuple(item.RepoTags or ()), item) for item in items]


def _entries(files: ArchiveFiles) -> list[_Choice]:
    """The images of an OCI layout in a tar."""
    index = layout_index(files)
    if index is None:
        raise files.invalid("it has neither a manifest.json nor an OCI layout")
    choices: dict[Digest, _Choice] = {}
    for entry in index.entries:
        found = choices.get(entry.descriptor.digest)
        names = (*(found.names if found else ()), *names_of(entry.descriptor))
        choices[entry.descriptor.digest] = _Choice(entry.descriptor.digest, names, entry.descriptor)
    return list(choices.values())


def _choose(files: ArchiveFiles, choices: list[_Choice], name: str) -> _Choice:
    names = ", ".join(sorted({known for choice in choices for known in choice.names})) or "none has a name"
    if name:
        matching = [choice for choice in choices if is_named(choice.names, name)]
        if not matching:
            raise NotFound("source.not_found", f"{files.path} holds no image {name}", hint=f"It holds: {names}.")
    else:
        matching = choices
    if not matching:
        raise files.invalid("it holds no image")
    if len({choice.key for choice in matching}) > 1:
        hint = f"Name one: docker-archive:{files.path}:NAME[:TAG]. It holds: {names}."
        raise UsageError("source.ambiguous", f"{files.path} holds {len(matching)} images", hint=hint)
    return matching[0]


def _saved(files: ArchiveFiles, item: _Item) -> tuple[Manifest, Mapping[Digest, Member]]:
    """The manifest that an image of Docker's archive was pushed under, where that is kept in it; else one is made."""
    config, places = _digest(files, files.member(item.Config)), blobs(files)
    root = as_pushed(files, places, config, len(item.Layers or ()))
    return (root, places) if root else _made(files, item)


def _made(files: ArchiveFiles, item: _Item) -> tuple[Manifest, Mapping[Digest, Member]]:
    """A schema 2 manifest for an image of Docker's archive (distribution, "Image Manifest V 2, Schema 2")."""
    config_member = files.member(item.Config)
    config = _decode(files, files.read(config_member, MANIFEST_LIMIT), _Config, item.Config)
    members = [files.member(name) for name in item.Layers or ()]
    digests = {member: _digest(files, member) for member in (config_member, *members)}
    _check_layers(files, config.rootfs.diff_ids, members, digests)
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": CONFIG_TYPE, "size": config_member.size, "digest": digests[config_member]},
        "layers": [
            {"mediaType": _layer_type(files, member), "size": member.size, "digest": digests[member]}
            for member in members
        ],
    }
    places = {digest: member for member, digest in digests.items()}
    return Manifest(DOCKER_MANIFEST, msgspec.json.encode(document)), places


def _check_layers(
    files: ArchiveFiles, diff_ids: list[str], members: list[Member], digests: Mapping[Member, Digest]
) -> None:
    """The configuration names the uncompressed layers: an archive whose layers are others is damaged or forged."""
    if len(diff_ids) != len(members):
        raise files.invalid(f"its configuration names {len(diff_ids)} layers, it holds {len(members)}")
    for diff_id, member in zip(diff_ids, members, strict=True):
        if not files.is_gzip(member) and digests[member] != diff_id:
            raise files.invalid(f"the layer {member.name!r} is not the one that the configuration names, {diff_id}")


def _layer_type(files: ArchiveFiles, member: Member) -> str:
    return LAYER_TYPE + ".gzip" if files.is_gzip(member) else LAYER_TYPE


def _digest(files: ArchiveFiles, member: Member) -> Digest:
    hasher = hashlib.sha256()
    for chunk in files.chunks(member):
        hasher.update(chunk)
    return Digest("sha256:" + hasher.hexdigest())


def _decode(files: ArchiveFiles, content: bytes, kind: Any, name: str) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as exc:
        raise files.invalid(f"{name!r} is not as it should be ({exc})") from exc
