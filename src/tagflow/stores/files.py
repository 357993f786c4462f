"""Files that others read while they are replaced: written aside, then renamed; writers take turns.

Where a directory is given by its descriptor, names are looked up in it and nowhere else, so that no symbolic link can
lead a write out of it, not even one that appears between a check and the write.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LOCK_SECONDS = 60.0
"""A lock is held for one write; who holds it for longer hangs, or is stopped."""
_YOUNG_SECONDS = 60.0
"""A file that is written aside is not taken for a leftover before this age: its writer may not hold its lock yet."""
_SHOWN = 48
"""Characters of a name that the file written aside bears too: with all of them its own may be too long."""
_ASIDE = re.compile(r"\..+\.[0-9]+-[0-9a-f]{8}")


def open_regular(path: str | Path, *, directory: int | None = None) -> BinaryIO:
    """Open a regular file to read it. Anything else is refused: a pipe may never end, nor may opening it.

    :raises OSError: it cannot be opened, or is no regular file.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    descriptor = os.open(path, flags, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def publish(path: Path, chunks: Iterable[bytes], *, durable: bool = True) -> None:
    """Make ``path`` a file of these chunks at one stroke: readers see the old file or the whole new one.

    The directory must exist. ``durable``: it also survives a power cut. What ``chunks`` raises passes through, and
    nothing is left behind.

    :raises OSError: it cannot be written.
    """
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        publish_in(descriptor, path.name, chunks, durable=durable)
    finally:
        os.close(descriptor)


def put(path: Path, content: bytes) -> None:
    """Write a file that a user names for what a command makes: by :func:`publish`, but for what is no file of its own.

    A symbolic link keeps pointing at its file. A pipe or a device is written into: to put a file in its place would
    take ``/dev/stdout`` or ``/dev/null`` from everybody.

    :raises OSError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return publish(target, [content])
    with ExitStack() as opened:
        stream = _standard_stream(found)
        if stream is not None:
            file = opened.enter_context(open(os.dup(stream), "wb"))
        elif stat.S_ISREG(found.st_mode) and _is_at(target, found):
            return publish(target, [content])
        else:
            flags = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY
            file = opened.enter_context(open(os.open(path, flags), "wb"))
        file.write(content)
    return None


def why_unwritable(path: Path) -> str:
    """Why :func:`put` would fail, as far as that can be seen without touching anything; empty where nothing is seen."""
    folder = os.path.dirname(os.path.realpath(path))
    try:
        found = os.stat(path)
    except FileNotFoundError:
        found = None
    except OSError as exc:
        return exc.strerror or "the system refuses"
    if not os.path.isdir(folder) and found is None:
        return "there is no such folder"
    if found is not None and stat.S_ISDIR(found.st_mode):
        return "it is a folder"
    if found is not None and not stat.S_ISREG(found.st_mode):
        return "" if os.access(path, os.W_OK) else "it cannot be written to"
    return "" if os.access(folder, os.W_OK) else "its folder cannot be written to"


def room_for(place: str) -> str:
    """What to do where a temporary file cannot be written to ``place``: a hint."""
    return f"Free some disk in {place}, or set TMPDIR to a directory that has more."


def _standard_stream(found: os.stat_result) -> int | None:
    """Standard output or standard error, where that is what was found: what else is written there stays, and follows.
    Their names in ``/dev`` lead to whatever file the shell has put there."""
    for stream in (1, 2):
        with suppress(OSError):
            if os.path.samestat(found, os.fstat(stream)):
                return stream
    return None


def _is_at(target: Path, found: os.stat_result) -> bool:
    """Whether a file has a name at all: one that is only open, as ``/dev/fd/3``, may have lost it."""
    try:
        return os.path.samestat(found, os.stat(target))
    except OSError:
        return False


def publish_in(directory: int, name: str, chunks: Iterable[bytes], *, durable: bool = True) -> None:
    """As :func:`publish`, for a name in an open directory."""
    aside = f".{name[:_SHOWN]}.{os.getpid()}-{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with open(os.open(aside, flags, 0o666, dir_fd=directory), "wb") as file:
            with suppress(OSError):  # some file systems have no locks: then nobody takes it for a leftover
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(aside, dir_fd=directory)
        raise
    if durable:
        os.fsync(directory)


def remove_leftovers(directory: int) -> int:
    """Remove what writers that were killed left aside in an open directory; how many files that were.

    A living writer holds a lock on its file, and the system lets go of it when it dies.

    :raises OSError: the directory cannot be read.
    """
    removed = 0
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if _ASIDE.fullmatch(entry.name)]
    for name in names:
        with suppress(OSError), _open_leftover(directory, name) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(file.fileno()).st_mtime > _YOUNG_SECONDS:
                os.unlink(name, dir_fd=directory)
                removed += 1
    return removed


@contextmanager
def locked(path: str | Path, *, directory: int | None = None) -> Iterator[None]:
    """Hold the lock file ``path`` (made where missing) against every other thread and process of this machine.

    The system lets go of it when a process dies, so the file is never removed.

    :raises TimeoutError: another holds it for LOCK_SECONDS.
    :raises OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags, 0o666, dir_fd=directory)
    try:
        _lock(descriptor, LOCK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(f"another process holds the lock for {seconds:.0f} s") from None
        import random  # seldom needed

        time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - jitter, not a secret


@contextmanager
def _open_leftover(directory: int, name: str) -> Iterator[BinaryIO]:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(name, flags, dir_fd=directory), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        yield file
