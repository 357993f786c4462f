"""The members of a tar archive, read in place, packed or not: nothing is written, nothing is held in memory.

An archive may be hostile: names and links only ever lead to other members, sizes are held against the file.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from msgspec import Struct

from tagflow.errors import NotFound, StoreError
from tagflow.stores.files import open_regular, room_for
from tagflow.stores.stream import CHUNK, chunks_of

_PIECE = 1024 * 1024
"""Bytes that are unpacked at once, whatever they were packed from."""
_XZ_MEMORY = 256 * 1024 * 1024
"""Bytes. xz asks for as much as the file says; `xz -9` needs 65 MiB."""


class UnpackError(Exception):
    """The content is damaged, or cannot be unpacked here; the text says which, to follow on "it"."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def packing(head: bytes) -> str:
    """How content is packed that begins so: ``gzip``, ``bzip2``, ``xz``, ``zstd``, or empty.

    >>> packing(b"BZh91AY"), packing(b"config.json")
    ('bzip2', '')
    """
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")


def unpacked(chunks: Iterable[bytes], how: str) -> Iterator[bytes]:
    """The content of all streams that follow each other, in pieces of a bounded size.

    :raises UnpackError: it is damaged, or this Python cannot unpack it.
    """
    try:
        make, failures = _ENGINES[how]()
    except ImportError as exc:
        raise UnpackError(f"is packed with {how}, which this Python was built without: unpack it first") from exc
    engine = make()
    for chunk in chunks:
        data = chunk
        while data or not (engine.eof or engine.needs_input):
            if engine.eof:
                data = data.lstrip(b"\0")  # padding between and after streams
                if not data:
                    break
                engine = make()
            try:
                piece = engine.decompress(data, _PIECE)
            except failures as exc:  # here alone: bzip2 has no exception of its own, and a disk may fail as well
                raise UnpackError(f"is damaged: {how} cannot unpack it ({exc})") from exc
            data = engine.unused_data if engine.eof else b""
            yield piece
    if not engine.eof:
        raise UnpackError(f"is cut off: its {how} has no end")


class _Gzip:
    """zlib's decompressor, with the ways of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


_Engine = tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]
"""What makes a decompressor for one stream, and what that raises."""


def _gzip() -> _Engine:
    return _Gzip, (zlib.error,)


def _bzip2() -> _Engine:
    import bz2

    return bz2.BZ2Decompressor, (OSError, EOFError)


def _xz() -> _Engine:
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), (lzma.LZMAError, EOFError)


def _zstd() -> _Engine:
    import importlib

    for name in ("compression.zstd", "backports.zstd"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return module.ZstdDecompressor, (module.ZstdError, EOFError)
    raise UnpackError(
        "is packed with zstd, which Python unpacks from 3.14 on: install backports.zstd, or unpack it with `zstd -d`"
    )


_MARKS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_ENGINES: dict[str, Callable[[], _Engine]] = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zstd": _zstd}

_MEMBER_LIMIT = 50_000
_HEADER_LIMIT = 16 * 1024 * 1024
_LINK_LIMIT = 8
_UNPACKED_TIMES, _UNPACKED_LEAST = 100, 64 * 1024 * 1024
"""A file that unpacks to more than so many times its size, and more than so many bytes, is a bomb: gzip can make a
thousand out of one, xz seven thousand, an image two to ten."""
_MARK_LENGTH = 8


class Member(Struct, frozen=True):
    """A regular file in the archive: where its bytes are."""

    name: str
    offset: int
    size: int


class ArchiveFiles:
    """A tar archive, which may be packed (it is then unpacked into a temporary file without a name). Names are as seen
    from its root, with or without a slash before them.

    :raises NotFound: ``source.not_found``: there is no such file.
    :raises StoreError: ``archive.invalid``, ``archive.unreadable``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = self._open()
        self._descriptor = file.fileno()
        weakref.finalize(self, file.close)
        self.members, self.links = self._scan(file)

    def find(self, name: str) -> Member | None:
        """A member by its name, through links to other members."""
        place = _from_root(name)
        for _ in range(_LINK_LIMIT):
            if place in self.members:
                return self.members[place]
            if place not in self.links:
                return None
            place = self.links[place]
        raise self.invalid(f"the links of {name!r} lead round in circles")

    def member(self, name: str) -> Member:
        """A member that must be there."""
        found = self.find(name)
        if found is None:
            raise self.invalid(f"it has no file {name!r}, which it names")
        return found

    def chunks(self, member: Member) -> Iterator[bytes]:
        """The content of a member."""
        offset, end = member.offset, member.offset + member.size
        while offset < end:
            with self._reading():
                chunk = os.pread(self._descriptor, min(CHUNK, end - offset), offset)
            if not chunk:
                raise self.invalid(f"{member.name!r} was cut off while it was read")
            offset += len(chunk)
            yield chunk

    def unpacked(self, member: Member) -> Iterator[bytes]:
        """The content of a member that is compressed with gzip, as it is unpacked."""
        total, limit = 0, _unpacked_limit(member.size)
        try:
            for piece in unpacked(self.chunks(member), "gzip"):
                total += len(piece)
                if total > limit:
                    raise self.invalid(f"{member.name!r} unpacks to more than {_UNPACKED_TIMES} times its size")
                yield piece
        except UnpackError as exc:
            raise self.invalid(f"{member.name!r} {exc}") from exc

    def read(self, member: Member, limit: int) -> bytes:
        """The content of a small member in one piece; ``limit`` is in bytes."""
        if member.size > limit:
            raise self.invalid(f"{member.name!r} has {member.size} bytes, more than such a file may have")
        return b"".join(self.chunks(member))

    def is_gzip(self, member: Member) -> bool:
        """Whether a member is compressed with gzip."""
        with self._reading():
            head = os.pread(self._descriptor, min(member.size, _MARK_LENGTH), member.offset)
        return packing(head) == "gzip"

    def invalid(self, problem: str) -> StoreError:
        """The error for an archive that is none, or a hostile one."""
        hint = "Write it again with `docker save` or `skopeo copy … docker-archive:FILE`."
        return StoreError("archive.invalid", f"{self.path}: {problem}", hint=hint)

    def _open(self) -> IO[bytes]:
        with self._reading():
            try:
                file = open_regular(self.path)
            except FileNotFoundError as exc:
                raise NotFound("source.not_found", f"there is no file {self.path}") from exc
            how = packing(os.pread(file.fileno(), _MARK_LENGTH, 0))
            if not how:
                return file
            with file:
                return self._unpacked(file, how)

    def _unpacked(self, file: IO[bytes], how: str) -> IO[bytes]:
        with self._writing():
            plain = tempfile.TemporaryFile()  # noqa: SIM115 (it outlives this function)
        try:
            limit = _unpacked_limit(os.fstat(file.fileno()).st_size)
            for chunk in unpacked(chunks_of(file), how):
                with self._writing():
                    plain.write(chunk)
                if plain.tell() > limit:
                    raise self.invalid(f"it unpacks to more than {_UNPACKED_TIMES} times its size")
            with self._writing():
                plain.flush()
        except BaseException as exc:
            with suppress(OSError):  # on a full disk what it still holds cannot be written: that is told already
                plain.close()
            if isinstance(exc, UnpackError):
                raise self.invalid(f"it {exc}") from exc
            raise
        return plain

    def _scan(self, file: IO[bytes]) -> tuple[dict[str, Member], dict[str, str]]:
        """All members in one pass over the headers; of several with one name the last counts, as in tar."""
        members: dict[str, Member] = {}
        links: dict[str, str] = {}
        total = os.fstat(self._descriptor).st_size
        for info in self._headers(file):
            name = _from_root(info.name)
            if info.issym():
                links[name] = _from_root(posixpath.join(posixpath.dirname(name), info.linkname))
            elif info.islnk():
                links[name] = _from_root(info.linkname)
            elif info.isreg():
                if info.issparse() or info.size < 0 or info.offset_data + info.size > total:
                    raise self.invalid(f"{info.name!r} is not as long as its header says")
                members[name] = Member(name, info.offset_data, info.size)
                links.pop(name, None)
        return members, links

    def _headers(self, file: IO[bytes]) -> Iterator[tarfile.TarInfo]:
        with self._reading():
            try:
                file.seek(0)
                with tarfile.open(fileobj=_Bounded(file), mode="r:") as archive:  # type: ignore[call-overload]
                    for number, info in enumerate(archive):
                        if number >= _MEMBER_LIMIT:
                            raise self.invalid(f"it has more than {_MEMBER_LIMIT} members")
                        yield info
            except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as exc:
                raise self.invalid(f"it is not a tar archive, or damaged ({exc})") from exc

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """What is unpacked is written beside the archive's own disk: that is no failure to read it."""
        try:
            yield
        except OSError as exc:
            place = tempfile.gettempdir()
            message = f"{self.path}: cannot be unpacked into {place}: {(exc.strerror or str(exc)).lower()}"
            raise StoreError("archive.unreadable", message, hint=room_for(place)) from exc

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            hint = f"It is a directory: oci:{self.path} reads an OCI layout in it." if os.path.isdir(self.path) else ""
            message = f"{self.path}: cannot be read: {exc.strerror or exc}"
            raise StoreError("archive.unreadable", message, hint=hint) from exc


def _unpacked_limit(size: int) -> int:
    """How many bytes a file of so many may unpack to."""
    return max(_UNPACKED_LEAST, size * _UNPACKED_TIMES)


def _from_root(name: str) -> str:
    """A name in the archive as seen from its root; the root is its own parent, as in a chroot."""
    return posixpath.normpath(f"/{name}").lstrip("/")


class _Bounded:
    """A file that gives out no more at once than headers need, whatever they claim."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER_LIMIT:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)
