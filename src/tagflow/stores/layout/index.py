"""The ``index.json`` of an OCI image layout as a value (image-spec 1.1, "OCI Image Layout").

Entries that somebody else wrote are kept byte for byte: only the entry of a tag that changes is written anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct, structs

from tagflow.domain.reference import Digest, is_digest, is_tag
from tagflow.errors import StoreError
from tagflow.stores.layout.names import CONTAINERD_NAME, REF_NAME, Choice, names_of
from tagflow.stores.manifest import OCI_INDEX, Descriptor, Manifest, platform_name

_NEW: Mapping[str, bytes] = {
    "schemaVersion": b"2",
    "mediaType": msgspec.json.encode(OCI_INDEX),
    "manifests": b"[]",
}


class _Fields(msgspec.Struct):
    digest: str
    size: int
    mediaType: str = ""
    artifactType: str | None = None
    platform: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = None


_STRANGE = re.compile(r"(?!sha(256|512):)[a-z0-9]+([+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+")
"""A digest of another algorithm (image-spec 1.1, "Digests"). An entry by one is for other readers, and stays; what it
is about cannot be verified, so nothing is done that depends on it."""
_FIELDS = msgspec.json.Decoder(_Fields)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


class Entry(Struct, frozen=True):
    """One entry: its JSON text, what it points at, and the tag that it gives (or empty)."""

    raw: bytes
    descriptor: Descriptor
    name: str

    @property
    def is_strange(self) -> bool:
        """Whether what it points at cannot be verified."""
        return not is_digest(self.descriptor.digest)

    @property
    def shown(self) -> str:
        """The tag, else what other tools call it."""
        return self.name or self.descriptor.annotations.get(CONTAINERD_NAME, "")


class LayoutIndex(Struct, frozen=True, dict=True):
    """All entries. ``where`` is the file, for errors; ``fields`` the JSON texts of everything beside the entries."""

    where: str
    fields: Mapping[str, bytes]
    entries: tuple[Entry, ...]

    @property
    def tags(self) -> list[str]:
        """The names that are tags, sorted."""
        return sorted(name for name in self._named if is_tag(name))

    def find(self, name: str) -> Descriptor | None:
        """What a name points at. One that several platforms have is an index of them, which is nowhere but in ``made``.

        :raises StoreError: ``layout.corrupt`` where it is listed with several digests, ``layout.unsupported`` with one
            of an algorithm that tagflow does not know.
        """
        found = self._named.get(name, ())
        self.require_known(found)
        if len({entry.descriptor.digest for entry in found}) > 1:
            if name in self._made_of:
                return self._made_of[name].descriptor
            raise corrupt(self.where, f"the tag {name!r} is listed {len(found)} times, with different digests")
        return found[0].descriptor if found else None

    def require_known(self, entries: Iterable[Entry]) -> None:
        """Go no further where one of these entries of the index cannot be verified.

        :raises StoreError: ``layout.unsupported``.
        """
        for entry in entries:
            if entry.is_strange:
                name = f"the tag {entry.name!r}" if entry.name else "an entry without a tag"
                raise StoreError(
                    "layout.unsupported",
                    f"{self.where}: {name} is at {entry.descriptor.digest}, and tagflow knows sha256 and sha512",
                    hint="Copy that image again with a tool that names it by sha256, or take it out of the layout.",
                )

    def media_type(self, digest: Digest) -> str:
        """The media type under which a manifest is listed, or empty."""
        return self._types.get(digest, "")

    @cached_property
    def made(self) -> Mapping[Digest, Manifest]:
        """The indexes of names that several platforms have, each entry its own (:meth:`find`)."""
        return {made.digest: made for made in self._made_of.values()}

    @property
    def choices(self) -> list[Choice[Digest]]:
        """The images, each with all of its names."""
        names: dict[Digest, list[str]] = {}
        for entry in self.entries:
            made = self._made_of.get(entry.shown)
            known = names.setdefault(made.digest if made else entry.descriptor.digest, [])
            known += [name for name in names_of(entry.descriptor) if name not in known]
        return [Choice(tuple(known), digest, digest) for digest, known in names.items()]

    def with_name(self, name: str, manifest: Manifest) -> LayoutIndex:
        """The same, but the name points at that manifest."""
        new = _entry(manifest, name)
        found = self._named.get(name)
        if not found:
            return structs.replace(self, entries=(*self.entries, new))
        kept = [entry for entry in self.entries if entry.name != name or entry is found[0]]
        return structs.replace(self, entries=tuple(new if entry is found[0] else entry for entry in kept))

    def without_name(self, name: str) -> LayoutIndex:
        """The same without that name."""
        return structs.replace(self, entries=tuple(entry for entry in self.entries if entry.name != name))

    def with_unnamed(self, manifest: Manifest) -> LayoutIndex:
        """The same, with the manifest listed without a name: so referrers are found."""
        if any(entry.descriptor.digest == manifest.digest and not entry.name for entry in self.entries):
            return self
        return structs.replace(self, entries=(*self.entries, _entry(manifest, "")))

    def encode(self) -> bytes:
        """The JSON document."""
        manifests = b"[" + b",".join(entry.raw for entry in self.entries) + b"]"
        fields = {**self.fields, "manifests": manifests}
        return b"{" + b",".join(msgspec.json.encode(key) + b":" + raw for key, raw in fields.items()) + b"}"

    @cached_property
    def _named(self) -> Mapping[str, tuple[Entry, ...]]:
        named: dict[str, tuple[Entry, ...]] = {}
        for entry in self.entries:
            if entry.name:
                named[entry.name] = (*named.get(entry.name, ()), entry)
        return named

    @cached_property
    def _made_of(self) -> Mapping[str, Manifest]:
        shared: dict[str, list[Entry]] = {}
        for entry in self.entries:
            shared.setdefault(entry.shown, []).append(entry)
        indexes = {name: _index_of(entries) for name, entries in shared.items() if name and len(entries) > 1}
        return {name: made for name, made in indexes.items() if made is not None}

    @cached_property
    def _types(self) -> Mapping[Digest, str]:
        return {entry.descriptor.digest: entry.descriptor.media_type for entry in self.entries}


def new_index(where: str) -> LayoutIndex:
    """An index without entries."""
    return LayoutIndex(where, _NEW, ())


def parse_index(content: bytes, where: str) -> LayoutIndex:
    """Read an ``index.json``.

    :raises StoreError: ``layout.corrupt``.
    """
    try:
        fields = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        manifests = msgspec.json.decode(fields.get("manifests", b"[]"), type=list[msgspec.Raw] | None) or []
        version = msgspec.json.decode(fields.get("schemaVersion", b"null"))
        entries = tuple(_parse_entry(bytes(raw), where) for raw in manifests)
    except (ValueError, RecursionError) as exc:
        raise corrupt(where, f"it is damaged ({exc})") from exc
    if version != 2:
        raise corrupt(where, "its schemaVersion is not 2")
    return LayoutIndex(where, {key: bytes(raw) for key, raw in fields.items()}, entries)


def corrupt(where: str, problem: str) -> StoreError:
    """The error for a layout that is not as the specification says."""
    hint = "Something else damaged or half wrote it. Restore it from a copy, or push the images to a new directory."
    return StoreError("layout.corrupt", f"{where}: {problem}", hint=hint)


def _parse_entry(raw: bytes, where: str) -> Entry:
    fields = _FIELDS.decode(raw)
    if not (is_digest(fields.digest) or _STRANGE.fullmatch(fields.digest)) or fields.size < 0:
        raise corrupt(where, f"an entry has no valid digest and size: {fields.digest!r}, {fields.size}")
    annotations = {key: text for key, text in (fields.annotations or {}).items() if isinstance(text, str)}
    descriptor = Descriptor(
        fields.mediaType,
        Digest(fields.digest),
        fields.size,
        platform=platform_name(fields.platform),
        artifact_type=fields.artifactType or "",
        annotations=annotations,
    )
    return Entry(raw, descriptor, annotations.get(REF_NAME, ""))


def _index_of(entries: Sequence[Entry]) -> Manifest | None:
    """The index of entries that have one name and each a platform of its own; None where they don't.

    Some tools list the platforms of an image side by side under its name, without an index of them. Made of the same
    entries it has the same digest every time.
    """
    found = {entry.descriptor.digest: entry for entry in entries}
    platforms = {entry.descriptor.platform for entry in found.values()} - {""}
    if len(found) < 2 or len(platforms) < len(found):
        return None
    children = []
    for entry in found.values():
        fields = msgspec.json.decode(entry.raw)
        children.append({key: fields[key] for key in ("mediaType", "digest", "size", "platform") if key in fields})
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}
    return Manifest(OCI_INDEX, msgspec.json.encode(document))


def _entry(manifest: Manifest, name: str) -> Entry:
    descriptor = manifest.descriptor
    document: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if manifest.document.get("artifactType"):
        document["artifactType"] = descriptor.artifact_type
    if name:
        document["annotations"] = {REF_NAME: name}
        descriptor = replace(descriptor, annotations={REF_NAME: name})
    return Entry(msgspec.json.encode(document), descriptor, name)
