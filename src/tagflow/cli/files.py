"""Files that a user asks for: looked at before any work begins, and replaced at one stroke."""

from __future__ import annotations

import os
from pathlib import Path

from tagflow.errors import StoreError
from tagflow.stores.files import publish


def check_writable(path: Path) -> None:
    """Refuse a place where a file cannot be written, before anything else is done; the file is not touched.

    :raises StoreError: ``file.unwritable``.
    """
    target = path.resolve()
    if not target.parent.is_dir():
        raise _unwritable(path, "there is no such folder")
    if target.is_dir():
        raise _unwritable(path, "it is a folder")
    if target.exists() and not target.is_file():
        raise _unwritable(path, "it is no regular file")
    if not os.access(target.parent, os.W_OK):
        raise _unwritable(path, "its folder cannot be written to")


def write(path: Path, content: str) -> None:
    """Write a file that readers see as it was or whole; what UTF-8 does not know is written with backslashes.

    :raises StoreError: ``file.unwritable``.
    """
    try:
        publish(path.resolve(), [content.encode(errors="backslashreplace")])
    except OSError as exc:
        raise _unwritable(path, exc.strerror or "the system refuses") from exc


def _unwritable(path: Path, why: str) -> StoreError:
    return StoreError("file.unwritable", f"cannot write {path}: {why}", hint="Choose another file.")
