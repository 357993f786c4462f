"""What git and patch call files: from here, or from the top of the work tree they are in. git itself is not run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def labels(paths: Sequence[Path]) -> Mapping[Path, str]:
    """What a diff calls some files: from here, where all of them are below; else from the top of the work tree that all
    are in; else from the root.

    Links are followed: neither git nor patch changes a file by a link.
    """
    here, real = Path(os.path.realpath(".")), {path: Path(os.path.realpath(path)) for path in paths}
    tops = {_top(path.parent) for path in real.values()}
    top = tops.pop() if len(tops) == 1 else None
    base = here if all(path.is_relative_to(here) for path in real.values()) else top
    return {path: str(it.relative_to(base or it.anchor)) for path, it in real.items()}


def named_here(paths: Sequence[Path]) -> tuple[str, ...]:
    """The names by which git, run here, takes files; none where one of them is not in the work tree that here is in."""
    here = Path(os.path.realpath("."))
    top = _top(here)
    real = [Path(os.path.realpath(path)) for path in paths]
    if top is None or any(_top(path.parent) != top for path in real):
        return ()
    return tuple(os.path.relpath(path, here) for path in real)


def _top(folder: Path) -> Path | None:
    """The top of the work tree that a folder is in: it has `.git`, as a folder, or a file that names one."""
    return next((it for it in (folder, *folder.parents) if (it / ".git").exists()), None)
