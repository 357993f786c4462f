"""An image in a tar file as a store to copy from: what ``docker save`` writes, or an OCI layout in a tar.

Docker's archive (`manifest.json`, docker/docker image-spec v1.2) has no manifest as registries know it before Docker
25, so one is made. Its configuration is the archive's, byte for byte: the image keeps its ID.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from msgspec.structs import replace

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import NotFound, StoreError, UsageError
from tagflow.stores.archive.files import ArchiveFiles, Member
from tagflow.stores.archive.stored import Members, TarBlobs, as_pushed, blobs, layout_index
from tagflow.stores.layout.index import new_index
from tagflow.stores.layout.names import Choice, absent, choose, tag_of
from tagflow.stores.layout.reader import LayoutReader
from tagflow.stores.port import DOCKER_MANIFEST, MANIFEST_LIMIT, Manifest

CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar"
_SHOWN = 12
"""Digits of a digest by which an image of an archive is called."""


class _Item(msgspec.Struct):
    """One image in ``manifest.json``."""

    Config: str
    Layers: list[str] | None = None
    RepoTags: list[str] | None = None


class _RootFS(msgspec.Struct):
    diff_ids: list[str] = []


class _Config(msgspec.Struct):
    rootfs: _RootFS = msgspec.field(default_factory=_RootFS)


def open_archive(path: Path, name: str = "", digest: Digest | None = None) -> ArchiveStore:
    """One image of an archive. ``name`` (as in ``docker save NAME``) or ``digest`` chooses where there are several.

    :raises NotFound: ``source.not_found``: no such file, or no such image in it.
    :raises UsageError: ``source.ambiguous``: several images, and no name.
    :raises StoreError: ``archive.invalid``, ``archive.unreadable``.
    """
    files = ArchiveFiles(path)
    described = files.find("manifest.json")
    if described is not None:
        return _open_docker(files, described, name, digest)
    index = layout_index(files)
    if index is None:
        raise files.invalid("it has neither a manifest.json nor an OCI layout")
    reader = ArchiveStore(files, TarBlobs(files, index, blobs(files)))
    reader.chosen = reader.choose(name) if digest is None else reader.choose_digest(digest)
    return reader


class ArchiveStore(LayoutReader):
    """An archive of which one image was ``chosen``; it cannot be written to."""

    def __init__(self, files: ArchiveFiles, content: TarBlobs, chosen: Digest | None = None) -> None:
        self._path, self.chosen = files.path, chosen
        # Each image of an archive by itself: of Docker's own description, a store knows the content of one image alone.
        name = chosen.partition(":")[2][:_SHOWN] if chosen else "image"
        super().__init__(Repository(f"docker-archive:{files.path}", name), content, f"docker-archive:{files.path}")

    def __str__(self) -> str:
        return str(self._path)

    def sole(self) -> Digest:
        """The image that was chosen."""
        assert self.chosen is not None
        return self.chosen

    def mount(self, *_: object) -> bool:
        return False

    def put(self, *_: object, **__: object) -> None:
        self._refuse()

    def create(self, *_: object, **__: object) -> None:
        self._refuse()

    def move(self, *_: object, **__: object) -> None:
        self._refuse()

    def confirm(self, *_: object) -> None:
        self._refuse()

    def place(self, *_: object, **__: object) -> NoReturn:
        self._refuse()

    def untag(self, *_: object, **__: object) -> None:
        self._refuse()

    def refuse_untag(self, *_: object, **__: object) -> None:
        self._refuse()

    def write_blob(self, *_: object, **__: object) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreError("archive.read_only", f"{self._path}: tagflow only reads archives")


def _open_docker(files: ArchiveFiles, described: Member, name: str, digest: Digest | None) -> ArchiveStore:
    items: list[_Item] = _decode(files, files.read(described, MANIFEST_LIMIT), list[_Item], described.name)
    if not items:
        raise files.invalid("it holds no image")
    choices = [Choice(tuple(item.RepoTags or ()), item.Config, item) for item in items]
    names = {known for choice in choices for known in choice.names}
    source = f"docker-archive:{files.path}"
    if digest is None:
        chosen = _choose(files, choices, name, source)
        root, members = _saved(files, chosen)
        names = {known for choice in choices if choice.key == chosen.Config for known in choice.names}
    else:
        found = next((saved for saved in (_saved(files, item) for item in items) if saved[0].digest == digest), None)
        index = layout_index(files)
        if found is None and index is not None:
            layout = ArchiveStore(files, TarBlobs(files, index, blobs(files)))
            layout.chosen = layout.choose_digest(digest)
            return layout
        if found is None:
            raise absent(source, digest, _by_digest(files, choices))
        root, members = found
    index = new_index(f"{files.path}: manifest.json")
    for tag in sorted({tag_of(known) for known in names} - {""}):
        index = index.with_name(tag, root)
    return ArchiveStore(files, TarBlobs(files, index, members, {root.digest: root.content}), root.digest)


def _choose(files: ArchiveFiles, choices: Sequence[Choice[_Item]], name: str, source: str) -> _Item:
    try:
        return choose(choices, name, source)
    except (NotFound, UsageError):
        # What can be typed instead is told with digests, which are found out for that alone.
        return choose(_by_digest(files, choices), name, source)


def _by_digest(files: ArchiveFiles, choices: Sequence[Choice[_Item]]) -> list[Choice[_Item]]:
    return [replace(choice, key=_saved(files, choice.image)[0].digest) for choice in choices]


def _saved(files: ArchiveFiles, item: _Item) -> tuple[Manifest, Members]:
    """The manifest that an image of Docker's archive was pushed under, where that is kept in it; else one is made."""
    config, members = _digest(files.chunks(files.member(item.Config))), blobs(files)
    root = as_pushed(files, members, config, len(item.Layers or ()))
    return (root, members) if root else _made(files, item)


def _made(files: ArchiveFiles, item: _Item) -> tuple[Manifest, Members]:
    """A schema 2 manifest for an image of Docker's archive (distribution, "Image Manifest V 2, Schema 2")."""
    config_member = files.member(item.Config)
    config = _decode(files, files.read(config_member, MANIFEST_LIMIT), _Config, item.Config)
    layers = [files.member(name) for name in item.Layers or ()]
    digests = {member: _digest(files.chunks(member)) for member in (config_member, *layers)}
    _check_layers(files, config.rootfs.diff_ids, layers, digests)
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": CONFIG_TYPE, "size": config_member.size, "digest": digests[config_member]},
        "layers": [
            {"mediaType": _layer_type(files, member), "size": member.size, "digest": digests[member]}
            for member in layers
        ],
    }
    members = {digest: member for member, digest in digests.items()}
    return Manifest(DOCKER_MANIFEST, msgspec.json.encode(document)), members


def _check_layers(
    files: ArchiveFiles, diff_ids: list[str], layers: list[Member], digests: Mapping[Member, Digest]
) -> None:
    """The configuration names the layers as they are unpacked: an archive whose layers are others is damaged or forged,
    and no daemon would run what it holds."""
    if len(diff_ids) != len(layers):
        raise files.invalid(f"its configuration names {len(diff_ids)} layers, it holds {len(layers)}")
    for diff_id, member in zip(diff_ids, layers, strict=True):
        if (_digest(files.unpacked(member)) if files.is_gzip(member) else digests[member]) != diff_id:
            raise files.invalid(f"the layer {member.name!r} is not the one that the configuration names, {diff_id}")


def _layer_type(files: ArchiveFiles, member: Member) -> str:
    return LAYER_TYPE + ".gzip" if files.is_gzip(member) else LAYER_TYPE


def _digest(chunks: Iterable[bytes]) -> Digest:
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
    return Digest("sha256:" + hasher.hexdigest())


def _decode(files: ArchiveFiles, content: bytes, kind: Any, name: str) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as exc:
        raise files.invalid(f"{name!r} is not as it should be ({exc})") from exc
