"""One file of manifests, and of the small image configurations that hold labels, that is only ever appended to.

Each entry is a header (mark, repository, digest, media type, size) and the bytes of the manifest. Several processes
append at once without a lock: the system lets no two appends overlap. What a kill, a full disk or a file system without
that promise leaves torn is passed over: no mark can stand inside of JSON, and every manifest is hashed when it is read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import struct
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

from tagflow.domain.reference import Digest, Repository
from tagflow.stores.files import publish
from tagflow.stores.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    UnreadableManifest,
    read_manifest,
)
from tagflow.stores.stream import matches

LIMIT = 32 * 1024 * 1024
"""Bytes on disk; above that the older half goes. What is in the file is listed at the start of a run."""
_SWEPT_TO = 0.5
_MOST_BYTES = 8 * LIMIT
"""What is larger than that was not written by tagflow: it counts as empty, and is swept by the next write."""
_NAME = "manifests.log"
_FILES_OF_OLD = "manifests"
"""Earlier versions kept one file a manifest in this directory."""
_MANIFESTS = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_TYPES = (*_MANIFESTS, *_CONFIGS)
"""Written as a number: never change the order."""
_LARGEST_CONFIG = 128 * 1024
_MARK = b"\xfftf1"  # 0xff is in no UTF-8, and so in no manifest
_HEADER = struct.Struct("<4s16s32sBI")
_NO_HEADER = (b"", b"", b"", 0, 0)
_PREFIX = "sha256:"


def default_directory(environ: Mapping[str, str] = os.environ) -> Path | None:
    """``$XDG_CACHE_HOME/tagflow``, by default ~/.cache/tagflow (XDG Base Directory Specification). None for a user
    without a home, as in a container that runs under any number: the working directory is no place for a cache."""
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the specification: a relative path is to be ignored
        base = Path(environ.get("HOME") or os.path.expanduser("~")) / ".cache"
    return base / "tagflow" if base.is_absolute() else None


class ManifestLog:
    """The manifests of all repositories, kept apart: that one was seen in a repository says nothing about another.

    Safe for use by several threads and processes. What other processes append is seen by the next run. A cache that
    cannot be read or written is no cache, and no error; without a directory nothing is kept. ``limit`` is in bytes.
    """

    def __init__(self, directory: Path | None, limit: int = LIMIT) -> None:
        self._directory = directory or Path()
        self._path, self._limit = self._directory / _NAME, limit
        self._lock = threading.Lock()
        self._file: _File | None = None
        self._is_loaded = directory is None
        self._may_write = directory is not None

    def read(self, repository: Repository, digest: Digest) -> Manifest | None:
        """A manifest that was kept, its hash and its type looked at."""
        found = self._find(repository, digest)
        if found is None or found.media_type not in _MANIFESTS:
            return None
        with suppress(UnreadableManifest):
            return read_manifest(found.content, found.media_type, f"{repository}: {digest}", digest)
        self._forget(repository, digest)
        return None

    @staticmethod
    def keeps(blob: Descriptor) -> bool:
        """Whether a blob is an image configuration, and small enough to be kept."""
        return blob.media_type in _CONFIGS and blob.size <= _LARGEST_CONFIG

    def read_config(self, repository: Repository, blob: Descriptor) -> bytes | None:
        """An image configuration that was kept, its hash looked at."""
        found = self._find(repository, blob.digest)
        return found.content if found is not None and found.media_type in _CONFIGS else None

    def write_config(self, repository: Repository, blob: Descriptor, content: bytes) -> None:
        """Keep an image configuration, where that is possible."""
        if matches(content, blob.digest):
            self._write(repository, blob.media_type, blob.digest, content)

    def _find(self, repository: Repository, digest: Digest) -> Manifest | None:
        """What was kept under a digest, its hash looked at."""
        if not digest.startswith(_PREFIX):
            return None
        with self._lock:
            file = self._loaded()
            position = file.places.get(_key(repository), {}).get(_name(digest))
        if position is None:
            return None
        found = file.read(position)
        if found is not None and matches(found.content, digest):
            return found
        self._forget(repository, digest)
        return None

    def _forget(self, repository: Repository, digest: Digest) -> None:
        """What is damaged is fetched once more, and kept anew."""
        with self._lock:
            self._loaded().places.get(_key(repository), {}).pop(_name(digest), None)

    def kept(self, repository: Repository) -> list[Digest]:
        """The digests of a repository that were kept, the last one last."""
        with self._lock:
            return [Digest(_PREFIX + key.hex()) for key in self._loaded().places.get(_key(repository), {})]

    def newest(self, repository: Repository, limit: int) -> Iterator[Manifest]:
        """The manifests of a repository that were kept last, at most ``limit``; their hashes are not looked at."""
        with self._lock:
            file = self._loaded()
            positions = list(islice(reversed(file.places.get(_key(repository), {}).values()), limit))
        for position in positions:
            manifest = file.read(position)
            if manifest is not None and manifest.media_type in _MANIFESTS:
                yield manifest

    def write(self, repository: Repository, manifest: Manifest) -> None:
        """Keep a manifest, where that is possible."""
        if manifest.media_type in _MANIFESTS:
            self._write(repository, manifest.media_type, manifest.digest, manifest.content)

    def _write(self, repository: Repository, media_type: str, digest: Digest, content: bytes) -> None:
        if not digest.startswith(_PREFIX):
            return
        key, name = _key(repository), _name(digest)
        header = _HEADER.pack(_MARK, key, name, _TYPES.index(media_type), len(content))
        with self._lock:
            if not self._may_write or name in self._loaded().places.get(key, {}):
                return
            try:
                self._append(key, name, header + content)
            except OSError:
                self._may_write = False

    def _append(self, key: bytes, name: bytes, entry: bytes) -> None:
        file = self._file
        if file is None or not file.is_writable:
            file = self._open_to_write()
        if os.write(file.descriptor, entry) != len(entry):  # a full disk: the torn entry is passed over
            raise OSError("the disk is full")
        end = os.lseek(file.descriptor, 0, os.SEEK_CUR)
        file.places.setdefault(key, {})[name] = end - len(entry)
        if end > self._limit:
            self._sweep(file)

    def _loaded(self) -> _File:
        if not self._is_loaded:
            self._is_loaded = True
            with suppress(OSError):
                self._file = _open(self._path)
        return self._file or _NOTHING

    def _open_to_write(self) -> _File:
        if not self._path.exists():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(self._directory / _FILES_OF_OLD, ignore_errors=True)
        self._file = _open(self._path, create=True)
        return self._file

    def _sweep(self, file: _File) -> None:
        """Keep the newer entries in a new file. Another process may do the same, or append to the old one: at worst
        some manifests are fetched once more."""
        left, kept = self._limit * _SWEPT_TO, []
        for position in sorted((it for named in file.places.values() for it in named.values()), reverse=True):
            entry = file.entry(position)
            left -= len(entry)
            if left < 0:
                break
            kept.append(position)
        publish(self._path, map(file.entry, reversed(kept)), durable=False)
        self._file = _open(self._path)


class _File:
    """An open file and where in it what is: repository → digest → position, in the order in which they were kept."""

    def __init__(self, descriptor: int, *, is_writable: bool) -> None:
        self.descriptor, self.is_writable = descriptor, is_writable
        self.places: dict[bytes, dict[bytes, int]] = {}
        if descriptor >= 0:
            weakref.finalize(self, os.close, descriptor)

    def entry(self, position: int) -> bytes:
        """One whole entry; empty where it cannot be read."""
        try:
            header = os.pread(self.descriptor, _HEADER.size, position)
            size = _HEADER.unpack(header)[-1]
            content = os.pread(self.descriptor, size, position + _HEADER.size)
        except (OSError, struct.error):
            return b""
        return header + content if len(content) == size else b""

    def read(self, position: int) -> Manifest | None:
        """The manifest of one entry, nothing of it looked at."""
        entry = self.entry(position)
        return Manifest(_TYPES[_HEADER.unpack_from(entry)[3]], entry[_HEADER.size :]) if entry else None

    def list_all(self, content: bytes) -> None:
        """Note where each entry is. One after which neither another nor the end follows is torn, and passed over."""
        unpack, size, end = _HEADER.unpack_from, _HEADER.size, len(content)
        named: dict[bytes, int] = {}
        name, position, resume = b"", 0, 1
        while position != end:
            mark, key, digest, kind, length = unpack(content, position) if position <= end - size else _NO_HEADER
            if mark == _MARK and kind < len(_TYPES):
                named, name = self.places.setdefault(key, {}), digest
                named[name] = position
                resume, position = position + 1, position + size + length
            else:
                named.pop(name, None)
                position = content.find(_MARK, resume)
                if position < 0:
                    return
                resume = position + 1


_NOTHING = _File(-1, is_writable=False)


def _open(path: Path, *, create: bool = False) -> _File:
    """Open the file and list what is in it.

    :raises OSError: it is not there, or no file, or may not be read.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        writing = flags | os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0)
        file = _File(os.open(path, writing, 0o600), is_writable=True)
    except OSError as exc:
        if create or exc.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        file = _File(os.open(path, flags | os.O_RDONLY), is_writable=False)
    status = os.fstat(file.descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if status.st_size <= _MOST_BYTES:  # read, not mapped: who shortens a mapped file kills its readers
        file.list_all(os.pread(file.descriptor, status.st_size, 0))
    return file


def _name(digest: Digest) -> bytes:
    return bytes.fromhex(digest.removeprefix(_PREFIX))


def _key(repository: Repository) -> bytes:
    return hashlib.sha256(str(repository).encode()).digest()[:16]
