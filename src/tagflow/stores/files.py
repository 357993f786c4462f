"""Files that others read while they are replaced: written aside, then renamed; writers take turns."""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_SECONDS = 60.0
"""A lock is held for one write; who holds it for longer hangs, or is stopped."""


def publish(path: Path, chunks: Iterable[bytes], *, durable: bool = True) -> None:
    """Make ``path`` a file of these chunks at one stroke: readers see the old file or the whole new one.

    The directory must exist. ``durable``: it also survives a power cut. What ``chunks`` raises passes through, and
    nothing is left behind.

    :raises OSError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    if durable:
        _sync_directory(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` (made where missing) against every other thread and process of this machine.

    The system lets go of it when a process dies, so the file is never removed.

    :raises TimeoutError: another holds it for LOCK_SECONDS.
    :raises OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
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
        time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - jitter, not a secret


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
