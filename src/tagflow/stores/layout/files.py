"""The files of one OCI image layout, and its directories, opened so that no link leads out.

Every file is replaced at one stroke, so readers take no lock. Writers of ``index.json`` take turns on a lock file.
Readers follow symbolic links (build tools link blobs into layouts, and what is read is hashed); writers never do.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tagflow.domain.reference import Digest
from tagflow.errors import StoreError
from tagflow.stores.files import locked, open_regular, publish_in, remove_leftovers
from tagflow.stores.layout.index import LayoutIndex, corrupt, new_index, parse_index
from tagflow.stores.stream import chunks_of

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_inside(path: Path, root: Path) -> tuple[Path, Path]:
    """``path`` and ``root`` without symbolic links; the path below the root.

    Repository names and digests are validated, so only a link can lead elsewhere. The root itself may be one: its name
    is the user's.

    :raises StoreError: ``layout.outside``.
    """
    real, inside = Path(os.path.realpath(path)), Path(os.path.realpath(root))
    if not real.is_relative_to(inside):
        raise StoreError(
            "layout.outside",
            f"{path} leads out of {root} by a symbolic link, to {real}",
            hint=f"Replace the link by what it leads to, or name that directory itself: oci:{real}.",
        )
    return real, inside


@contextmanager
def opened(path: Path, root: Path, *, create: bool = False) -> Iterator[int]:
    """The descriptor of a directory below ``root``; ``create``: it is made where it is missing.

    The way is looked at first and then walked again without following any link, so that one which appears in between
    leads nowhere.

    :raises StoreError: ``layout.outside``.
    :raises OSError: it cannot be opened.
    """
    real, inside = check_inside(path, root)
    if create:
        inside.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(inside, _FLAGS)
    try:
        for name in real.relative_to(inside).parts:
            below = _below(descriptor, name, create)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def require_no_link(directory: int, path: Path) -> None:
    """Refuse to replace a file that is a symbolic link: what it leads to would fall behind, unnoticed.

    :raises StoreError: ``layout.outside``.
    """
    try:
        status = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise StoreError(
            "layout.outside",
            f"{path} is a symbolic link, and tagflow writes only files of the layout itself",
            hint="Replace the link by the file that it leads to.",
        )


def _below(directory: int, name: str, create: bool) -> int:
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=directory)
    return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=directory)


_MARKER = b'{"imageLayoutVersion":"1.0.0"}'
_LOCK = ".tagflow.lock"
_LIMIT = 256 * 1024 * 1024
"""Bytes of a file that is read in one piece."""
_SETTLED_NS = 50_000_000
"""A file that changed later than this before it was looked at may change again within the same time stamp."""
_PAUSES: tuple[float, ...] = (0.01, 0.04, 0.15, 0.3)
"""Seconds before what looks damaged is read once more."""

_Stamp = tuple[int, int, int]


class _Seen(Struct, frozen=True):
    """What was read last, and how the file looked before."""

    content: bytes
    index: LayoutIndex
    stamp: _Stamp | None


class LayoutFiles:
    """One layout in ``directory``, which no symbolic link may lead out of ``root``."""

    def __init__(self, directory: Path, root: Path) -> None:
        self.directory = directory
        self.index_file = directory / "index.json"
        self._root = root
        self._marker_file = directory / "oci-layout"
        self._seen: _Seen | None = None
        self._is_swept = self._is_damaged = False

    def index(self) -> LayoutIndex:
        """What is listed now; read again only where the file may have changed. Empty where there is no layout.

        :raises StoreError: ``layout.corrupt``, ``layout.unsupported``, ``layout.unreadable``, ``layout.outside``.
        """
        stamp, seen = self._stamp(), self._seen
        if seen is not None and stamp is not None and seen.stamp == stamp:
            return seen.index
        return self._read_index(stamp)

    @contextmanager
    def changing(self) -> Iterator[LayoutIndex]:
        """Hold the lock, with what is listed now: read afresh, since others may have written. Makes a new layout."""
        self._create()
        with self._locked():
            if not self._is_swept:
                self._remove_leftovers()
            yield self._read_index()

    def publish_index(self, index: LayoutIndex) -> None:
        """Replace ``index.json``; only while :meth:`changing`."""
        content = index.encode()
        self._publish(self.index_file, content)
        self._seen = _Seen(content, index, None)

    def blob(self, digest: Digest) -> Path:
        """Where a blob is, or would be."""
        algorithm, _, digits = digest.partition(":")
        return self.directory / "blobs" / algorithm / digits

    def where(self, digest: Digest) -> str:
        """Where a blob is, or would be, for errors."""
        return str(self.blob(digest))

    def damaged(self, digest: Digest, problem: str) -> StoreError:
        """The error for a blob that is not as it should be."""
        return corrupt(self.where(digest), problem)

    def size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not there."""
        path = self.blob(digest)
        with reading(path):
            try:
                status = path.stat()
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(status.st_mode):  # a pipe would never end, a device neither
                raise OSError(errno.EINVAL, "it is not a regular file")
            return status.st_size

    def content(self, digest: Digest) -> bytes | None:
        """A blob in one piece; None where it is not there."""
        return _content(self.blob(digest))

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """A blob that is there, in pieces."""
        path = self.blob(digest)
        with reading(path), open_regular(path) as file:
            yield from chunks_of(file)

    def write(self, digest: Digest, chunks: Iterable[bytes]) -> None:
        """Store a blob; the caller has seen to it that the chunks have that digest."""
        path = self.blob(digest)
        self._create()
        with writing(path), opened(path.parent, self._root, create=True) as directory:
            publish_in(directory, path.name, chunks)

    def link(self, digest: Digest, source: Path) -> bool:
        """Take over the file of another layout without moving bytes; False where the file system can't."""
        path = self.blob(digest)
        self._create()
        with writing(path), opened(path.parent, self._root, create=True) as directory:
            try:
                if source.is_symlink():  # it may lead anywhere: its bytes are hashed, so they are copied
                    return False
                os.link(source, path.name, dst_dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                return path.is_file() and path.stat().st_size == source.stat().st_size
            except OSError:
                return False
        return True

    def _stamp(self) -> _Stamp | None:
        """What changes with the file; None where it is not there, or so young that it cannot be told from the next.

        It is opened for that: over NFS only an open asks the server what the file is now.
        """
        with reading(self.index_file):
            try:
                with open_regular(self.index_file) as file:
                    status = os.fstat(file.fileno())
            except FileNotFoundError:
                return None
        if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _read_index(self, stamp: _Stamp | None = None) -> LayoutIndex:
        """What is listed. skopeo and crane write their files in place: what looks damaged may be half written, and is
        read again for half a second, once in a run."""
        for pause in () if self._is_damaged else _PAUSES:
            try:
                return self._read_as_it_is(stamp)
            except StoreError as error:
                if error.code != "layout.corrupt":
                    raise
            time.sleep(pause)
        self._is_damaged = True
        return self._read_as_it_is(stamp)

    def _read_as_it_is(self, stamp: _Stamp | None) -> LayoutIndex:
        check_inside(self.directory, self._root)
        where = str(self.index_file)
        marker, content = _content(self._marker_file), _content(self.index_file)
        if content is None:
            if marker is not None:
                raise corrupt(where, "missing, though the directory is an OCI layout")
            return new_index(where)
        seen = self._seen
        index = seen.index if seen is not None and seen.content == content else parse_index(content, where)
        _check_marker(marker, index, str(self._marker_file))
        self._seen = _Seen(content, index, stamp)
        return index

    def _create(self) -> None:
        """Make an empty layout where there is none; its marker comes last, so that half a layout is none."""
        if _content(self._marker_file) is not None:
            return
        check_inside(self.directory, self._root)
        with self._locked():
            if _content(self._marker_file) is None:
                self._publish(self.index_file, self._read_index().encode())
                self._publish(self._marker_file, _MARKER)

    def _publish(self, path: Path, content: bytes) -> None:
        with writing(path), opened(self.directory, self._root) as directory:
            require_no_link(directory, path)
            publish_in(directory, path.name, [content])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the layout's lock; the directory is made where it is missing."""
        path = self.directory / _LOCK
        with ExitStack() as held:
            with writing(path):
                directory = held.enter_context(opened(self.directory, self._root, create=True))
                try:
                    held.enter_context(locked(_LOCK, directory=directory))
                except TimeoutError as exc:
                    hint = "Does another tagflow hang, or is one stopped (Ctrl-Z)? `fuser` names who has the file open."
                    raise StoreError("layout.locked", f"{path}: {exc}", hint=hint) from exc
            yield

    def _remove_leftovers(self) -> None:
        """Remove what killed writers left, once in a run; where that cannot be, they harm nobody."""
        self._is_swept = True
        with suppress(OSError, StoreError):
            directories = [path for path in (self.directory / "blobs").iterdir() if path.is_dir()]
            for path in (self.directory, *directories):
                with opened(path, self._root) as directory:
                    remove_leftovers(directory)


def _check_marker(marker: bytes | None, index: LayoutIndex, where: str) -> None:
    """The file ``oci-layout`` must say a version that we know."""
    if marker is None:
        if index.entries:
            raise corrupt(where, "missing, though there is an index.json beside it")
        return
    try:
        document: Any = msgspec.json.decode(marker)
    except (ValueError, RecursionError) as exc:
        raise corrupt(where, "it is not JSON") from exc
    version = document.get("imageLayoutVersion") if isinstance(document, dict) else None
    if not isinstance(version, str) or not version.startswith("1."):
        hint = "tagflow knows version 1.0.0."
        raise StoreError("layout.unsupported", f"{where}: imageLayoutVersion is {version!r}", hint=hint)


def _content(path: Path) -> bytes | None:
    """A small file in one piece; None where it is not there."""
    with reading(path):
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > _LIMIT:
                    raise OSError(errno.EFBIG, f"it has {size} bytes, more than such a file may have")
                return file.read()
        except FileNotFoundError:
            return None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate what the file system says to a reader."""
    try:
        yield
    except OSError as exc:
        raise StoreError("layout.unreadable", f"{path}: cannot be read: {exc.strerror or exc}") from exc


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what the file system says to a writer."""
    try:
        yield
    except OSError as exc:
        hint = "Check the permissions of the directory and the space left on its disk."
        raise StoreError("layout.unwritable", f"{path}: cannot be written: {exc.strerror or exc}", hint=hint) from exc
