"""Files of the user's that are changed in place: all or none, each at one stroke, unless others changed them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import Conflict, StoreError, TagflowError, UsageError, combine

LARGEST = 64 * 1024 * 1024
"""Bytes of a file that is read as text."""


@dataclass(frozen=True)
class Rewrite:
    """A file as it was read, and as it is to be; ``path`` as its user calls it."""

    path: Path
    before: bytes
    after: bytes


def read_files(paths: Sequence[Path]) -> Mapping[Path, bytes]:
    """Files and what they hold; one that is named twice, by any name, is one file.

    :raises UsageError: ``file.unreadable``, with all that cannot be read.
    """
    found: dict[Path, bytes] = {}
    known: set[Path] = set()
    errors: list[TagflowError] = []
    for path in paths:
        resolved = Path(os.path.realpath(path))
        if resolved in known:
            continue
        known.add(resolved)
        try:
            found[path] = _read(path)
        except OSError as exc:
            why = exc.strerror or "the system refuses"
            hint = "Name the files in it." if path.is_dir() else "Check the name and its permissions."
            errors.append(UsageError("file.unreadable", f"cannot read {path}: {why}", hint=hint))
    if errors:
        raise combine(errors)
    return found


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(None, "it is no regular file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(None, f"it has more than {LARGEST // 1024 // 1024} MiB")
    return content


def rewrite(changes: Sequence[Rewrite]) -> None:
    """Replace files, or none of them: each is written aside, all are compared with what was read, then renamed.

    Permissions stay, the owner where the system lets it, and a link keeps pointing at its file.

    :raises Conflict: ``file.changed`` where somebody wrote to one meanwhile.
    :raises StoreError: ``file.unwritable``; nothing is changed then, or the message says what is.
    """
    written: list[tuple[Rewrite, Path, Path]] = []
    try:
        for change in changes:
            target = Path(os.path.realpath(change.path))
            with _told(change.path):
                written.append((change, target, _aside(target, change.after)))
        for change, target, _ in written:
            with _told(change.path):
                if target.read_bytes() != change.before:
                    raise Conflict(
                        "file.changed", f"{change.path} was changed meanwhile", hint="Run the command again."
                    )
        _rename(written)
    finally:
        for _, _, aside in written:
            with suppress(OSError):
                aside.unlink()


def _rename(written: Sequence[tuple[Rewrite, Path, Path]]) -> None:
    done: list[tuple[Rewrite, Path]] = []
    try:
        for change, target, aside in written:
            with _told(change.path):
                aside.replace(target)
            done.append((change, target))
    except BaseException as error:
        left = [str(change.path) for change, target in done if not _restored(target, change.before)]
        if left and isinstance(error, TagflowError):
            raise StoreError(
                "file.unwritable", f"{error.message}; already changed: {', '.join(left)}", hint=error.hint
            ) from error
        raise
    for directory in {target.parent for _, target in done}:
        with suppress(OSError):
            _sync(directory)


def _restored(target: Path, content: bytes) -> bool:
    try:
        _aside(target, content).replace(target)
    except OSError:
        return False
    return True


def _aside(target: Path, content: bytes) -> Path:
    """A new file beside another, with its permissions."""
    known = target.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:64]}.", dir=target.parent)
    aside = Path(name)
    try:
        with open(descriptor, "wb") as file:
            with suppress(OSError):
                os.fchown(file.fileno(), known.st_uid, known.st_gid)
            os.fchmod(file.fileno(), known.st_mode & 0o7777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    return aside


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """An error of the system becomes one that names the file."""
    try:
        yield
    except OSError as exc:
        why = exc.strerror or "the system refuses"
        raise StoreError("file.unwritable", f"cannot write {path}: {why}", hint="Nothing was written.") from exc
