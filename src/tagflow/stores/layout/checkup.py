"""A look at a directory of OCI image layouts for `doctor`. Nothing is left behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tagflow.domain.reference import LAYOUT, Repository
from tagflow.errors import TagflowError
from tagflow.stores.files import locked
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Check, Checkup


def examine(host: str, repositories: Sequence[Repository]) -> Checkup:
    """Look at a directory (``oci:DIR``) and at the layouts of ``repositories`` below it."""
    return Checkup(tuple(_checks(Path(host.removeprefix(LAYOUT)), repositories)), "")


def _checks(root: Path, repositories: Sequence[Repository]) -> Iterator[Check]:
    there = next((path for path in (root, *root.parents) if os.path.exists(path)), root)
    detail = str(root) if there == root else f"{root} is created by the first push"
    yield Check("directory", there.is_dir(), detail if there.is_dir() else f"{there} is no directory", essential=True)
    if not there.is_dir():
        return
    yield from _written(there)
    yield _readable(repositories)


def _written(directory: Path) -> Iterator[Check]:
    """Write a file beside the layouts and lock it; where there is nothing yet, only ask whether that is allowed."""
    try:
        with tempfile.TemporaryDirectory(prefix=".tagflow-doctor-", dir=directory) as scratch:
            yield Check("writable", True, str(directory), essential=True)
            yield _attempt("lock", lambda: _lock(Path(scratch, "lock")), "a lock keeps writers apart")
    except OSError as exc:
        mode = "read only" if not os.access(directory, os.W_OK) else (exc.strerror or "error").lower()
        yield Check("writable", False, f"{directory}: {mode}", essential=True)


def _lock(path: Path) -> None:
    with locked(path):
        pass


def _readable(repositories: Sequence[Repository]) -> Check:
    """Whether each layout that is there says a version that tagflow, skopeo and others know."""

    def read() -> None:
        for repository in repositories:
            LayoutStore(repository).tags()

    return _attempt("layouts", read, "imageLayoutVersion 1.0.0, which skopeo, crane and oras read")


def _attempt(name: str, action: Callable[[], None], detail: str) -> Check:
    try:
        action()
    except TagflowError as error:
        return Check(name, False, f"{error.message} ({error.code})", essential=True)
    except OSError as exc:
        return Check(name, False, (exc.strerror or "error").lower(), essential=True)
    return Check(name, True, detail, essential=True)
