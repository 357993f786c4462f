"""SOURCE arguments: where a build comes from, by the transport names that skopeo, buildah and podman users know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tagflow.domain.reference import Repository, is_tag, parse_reference
from tagflow.errors import NotFound, UsageError
from tagflow.flows.context import Context
from tagflow.flows.decision import Origin

TRANSPORTS = (
    "docker-daemon:NAME[:TAG]",
    "docker://HOST/REPO[:TAG|@DIGEST]",
    "oci:DIR[:TAG]",
    "docker-archive:FILE.tar",
)


@dataclass(frozen=True)
class Source:
    """One SOURCE, read but not opened: ``transport`` and what follows it."""

    transport: str
    text: str

    def __str__(self) -> str:
        return f"{self.transport}{self.text}"


def parse_source(text: str) -> Source:
    """Read a SOURCE.

    :raises UsageError: ``source.invalid``, listing the transports.
    """
    for transport in ("docker-daemon:", "docker://", "oci:", "docker-archive:"):
        if text.startswith(transport):
            rest = text.removeprefix(transport)
            if not rest:
                break
            return Source(transport, rest)
    raise UsageError(
        "source.invalid",
        f"{text!r} is no SOURCE: it has no transport",
        hint="Write one of: " + ", ".join(TRANSPORTS) + ".",
    )


def open_source(context: Context, source: Source, base: Path) -> Origin:
    """Open a SOURCE that is no daemon's: a store, and the reference of the image in it. ``base`` is for relative paths.

    :raises NotFound: ``source.not_found``.
    """
    if source.transport == "docker://":
        return _remote(context, source)
    if source.transport == "oci:":
        return _layout(source, base)
    return archive(base / source.text)


def archive(path: Path) -> Origin:
    """The one image of a docker-archive file."""
    from tagflow.stores.archive.reader import open_archive

    store = open_archive(path)
    return Origin(store, store.sole())


def _remote(context: Context, source: Source) -> Origin:
    reference = parse_reference(source.text)
    store = context.stores(reference.repository)
    digest = reference.target if ":" in reference.target else store.resolve(reference.target)
    if digest is None:
        raise NotFound("source.not_found", f"there is no {source}", hint="Check repository and tag.")
    return Origin(store, digest)


def _layout(source: Source, base: Path) -> Origin:
    from tagflow.stores.layout.store import LayoutStore

    directory, _, tag = source.text.rpartition(":")
    if not directory or not is_tag(tag):
        directory, tag = source.text, ""
    path = (base / directory).resolve()
    if not path.is_dir():
        raise NotFound("source.not_found", f"there is no directory {directory}", hint="oci:DIR[:TAG] names a layout.")
    store = LayoutStore(Repository(f"oci:{path.parent}", path.name), path)
    digest = store.resolve(tag) if tag else store.sole()
    if digest is None:
        told = ", ".join(store.tags()) or "no tags"
        raise NotFound("source.not_found", f"there is no {source}", hint=f"It has: {told}.")
    return Origin(store, digest)
