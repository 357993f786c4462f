"""The directories of a layout, opened so that no symbolic link leads a write out of the layouts' root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tagflow.errors import StoreError

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
