"""SOURCE arguments: where a build comes from, by the transport names that skopeo, buildah and podman users know."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec import Struct

from tagflow.context import Context
from tagflow.domain.reference import Digest, Repository, is_digest, is_tag, parse_reference
from tagflow.errors import NotFound, StoreError, TagflowError, UsageError
from tagflow.stores.port import Store

TRANSPORTS = (
    "docker-daemon:NAME[:TAG]",
    "docker://HOST/REPO[:TAG|@DIGEST]",
    "oci:DIR[:TAG|@DIGEST]",
    "docker-archive:FILE[:NAME|@DIGEST]",
)


class Source(Struct, frozen=True):
    """One SOURCE, read but not opened: ``transport`` and what follows it."""

    transport: str
    text: str

    def __str__(self) -> str:
        return f"{self.transport}{self.text}"


class OpenedSource(Struct, frozen=True):
    """A store, and the reference of the image in it."""

    store: Store
    reference: str


def parse_source(text: str) -> Source:
    """Read a SOURCE.

    :raises UsageError: ``source.invalid``, listing the transports.
    """
    for transport in ("docker-daemon:", "docker://", "oci:", "docker-archive:"):
        if text.startswith(transport):
            rest = text.removeprefix(transport)
            if not rest:
                hint = f"Write one of: {', '.join(TRANSPORTS)}."
                raise UsageError("source.invalid", f"{text!r} names nothing", hint=hint)
            return Source(transport, rest)
    raise UsageError(
        "source.invalid",
        f"{text!r} is no SOURCE: it begins with no transport. There is {', '.join(TRANSPORTS)}",
        hint="Write the transport first, and what it names behind it.",
    )


def open_source(context: Context, source: Source, base: Path) -> OpenedSource:
    """Open a SOURCE that is no daemon's: a store, and the reference of the image in it. ``base`` is for relative paths.

    :raises NotFound: ``source.not_found``.
    """
    if source.transport == "docker://":
        return _remote(context, source)
    if source.transport == "oci:":
        return _layout(source, base)
    whole, digest = _with_digest(source.text, base)
    if digest is not None:
        return archive(base / whole, digest=digest)
    whole, name = _file(source.text, base)
    return archive(base / whole, name)


def _file(text: str, base: Path) -> tuple[str, str]:
    """The file in ``FILE[:NAME]``, and the name."""
    return (text, "") if _found((base / text).exists) else _split(text, lambda part: (base / part).is_file())


def _split(text: str, is_place: Callable[[str], bool]) -> tuple[str, str]:
    """The longest place that ``text`` begins with, and the name behind it: both may have colons. All of it, and no
    name, where there is none."""
    ends = [len(text), *(at for at in range(len(text) - 1, 0, -1) if text[at] == ":" and text[at + 1 :])]
    end = next((at for at in ends if _found(partial(is_place, text[:at]))), len(text))
    return text[:end], text[end + 1 :]


def archive(path: Path, name: str = "", digest: Digest | None = None) -> OpenedSource:
    """The image of that name or digest in a docker-archive file; without one, its only one."""
    from tagflow.stores.archive.reader import open_archive

    store = open_archive(path, name, digest)
    return OpenedSource(store, store.sole())


def _remote(context: Context, source: Source) -> OpenedSource:
    reference = parse_reference(source.text)
    store = context.stores(reference.repository)
    digest = reference.target if ":" in reference.target else store.resolve(reference.target)
    if digest is None:
        raise NotFound("source.not_found", f"there is no {source}", hint="Check repository and tag.")
    return OpenedSource(store, digest)


def _layout(source: Source, base: Path) -> OpenedSource:
    from tagflow.stores.layout.store import LayoutStore

    whole, wanted = _with_digest(source.text, base)
    path, name = _place(source.text, base) if wanted is None else ((base / whole).resolve(), "")
    if not _found(path.is_dir):
        raise _no_layout(source, path)
    store = LayoutStore(Repository(f"oci:{path.parent}", path.name), path)
    return OpenedSource(store, store.choose(name) if wanted is None else store.choose_digest(wanted))


def _with_digest(text: str, base: Path) -> tuple[str, Digest | None]:
    """The path in ``PATH@DIGEST``, and the digest; None where it names none, or a file is called so."""
    path, _, digest = text.rpartition("@")
    if not path or not is_digest(digest) or _found((base / text).exists):
        return text, None
    return path, Digest(digest)


def _place(text: str, base: Path) -> tuple[Path, str]:
    """The directory in ``DIR[:NAME]``, and the name: a tag, or where that gives a directory, a whole reference, for
    ``docker.io/app:v1`` is a name too."""
    whole, name = _split(text, lambda part: (base / part).is_dir())
    if not name and not _found((base / whole).exists):  # what is missing is told as what was most likely meant
        directory, _, tag = text.rpartition(":")
        whole, name = (directory, tag) if directory and is_tag(tag) else (text, "")
    return (base / whole).resolve(), name


def _found(look: Callable[[], bool]) -> bool:
    """Whether a look at the disk finds something. A name that is too long fails there: nothing is called so."""
    try:
        return look()
    except OSError:
        return False


def _no_layout(source: Source, path: Path) -> TagflowError:
    try:
        path.stat()
    except PermissionError as exc:
        return StoreError("layout.unreadable", f"{path}: cannot be read: {exc.strerror}")
    except OSError:
        pass
    hint = "oci:DIR[:TAG|@DIGEST] names a layout."
    if _found(path.is_file):
        hint = f"It is a file: docker-archive:{source.text} reads an OCI layout in a tar too."
    return NotFound("source.not_found", f"there is no directory {path}", hint=hint)
