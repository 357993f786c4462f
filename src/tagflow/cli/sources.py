"""NAME=SOURCE of what people write for a source: without a name, without a transport, with that of another tool."""

from __future__ import annotations

import re

from tagflow.cli.meant import Names

_TRANSPORTS = ("docker-daemon:", "docker://", "oci:", "docker-archive:")
_OCI_ARCHIVE = "oci-archive:"
_FOREIGN = re.compile(
    r"podman:|containers-storage:|dir:|ostree:|sif:|tarball:|docker-image:|docker:(?!//)|type=", re.IGNORECASE
)
"""What other tools write before a source, and tagflow does not read: no name of an image."""
_ARCHIVE = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def delivery(word: str, names: Names) -> str | None:
    """NAME=SOURCE as it is written here, the name in any letter case."""
    name, _, source = word.partition("=")
    image = names.image(name)
    return f"{image}={source}" if image and source.startswith(_TRANSPORTS) else None


def as_delivery(word: str, names: Names) -> str | None:
    """NAME=SOURCE of a word that is only one of both, ``frontend:build``, or whose SOURCE says no transport."""
    name, equals, text = word.partition("=")
    source = _with_known_transport(text if equals else word)
    image = names.image(name if equals else _last_name(source))
    if not image or source in ("", *_TRANSPORTS) or _FOREIGN.match(source) or names.version(source):
        return None
    return f"{image}={_transport(source, names)}{source}"


def _transport_of(source: str) -> str:
    """The transport that a source says; empty where it says none."""
    return next((it for it in _TRANSPORTS if source.startswith(it)), "")


def _with_known_transport(source: str) -> str:
    """A source whose transport is written with other letters, or is skopeo's for a layout in a tar."""
    transport = next((it for it in (*_TRANSPORTS, _OCI_ARCHIVE) if source.lower().startswith(it)), "")
    known = "docker-archive:" if transport == _OCI_ARCHIVE else transport
    return known + source[len(transport) :]


def _last_name(source: str) -> str:
    """What an image is called by its source alone: ``frontend`` of ``oci:build/frontend:v1.0``."""
    name = source.removeprefix(_transport_of(source)).partition("@")[0].rpartition("/")[2].partition(":")[0]
    ending = next((it for it in _ARCHIVE if name.endswith(it)), "")
    return name.removesuffix(ending)


def _transport(source: str, names: Names) -> str:
    """What a source that says no transport begins with; nothing before one that does."""
    if _transport_of(source):
        return ""
    if source.endswith(_ARCHIVE) or source.partition(":")[0].endswith(_ARCHIVE):
        return "docker-archive:"
    if source.startswith((".", "/")) or names.is_layout(source):
        return "oci:"
    host, slash, _ = source.partition("/")
    return "docker://" if slash and ("." in host or ":" in host or host == "localhost") else "docker-daemon:"
