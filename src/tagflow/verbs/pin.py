"""pin: what an environment runs, written into deployment files: all or none, each at one stroke."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tagflow.context import Context
from tagflow.errors import Conflict, StoreError, TagflowError, UsageError, combine
from tagflow.pin.edit import Change, Form, Pinned, Runs, commit_message, pin, unified_diff
from tagflow.pin.places import Elsewhere, Scan, scan
from tagflow.pin.source import decode
from tagflow.pin.written import Names, names
from tagflow.verbs.worktree import labels, named_here

LARGEST = 64 * 1024 * 1024
"""Bytes of a file that is read as text."""


class Rewrite(Struct, frozen=True):
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
            hint = "Name the files in it." if os.path.isdir(path) else "Check the name and its permissions."
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


Mode = Literal["write", "check", "show"]
_FORM: Form = "tag@digest"
_FEW = 5
"""So many files are named in a command."""


@dataclass(frozen=True)
class PinnedFile:
    """One file: its ``changes``, how many ``references`` it has to images of the policy, how many references are
    ``templates`` as a whole and were left alone, a unified ``diff``, and what is named ``elsewhere``, where pin does
    not look."""

    file: str
    changes: tuple[Change, ...]
    references: int
    templates: int
    diff: str
    elsewhere: tuple[Elsewhere, ...] = ()


@dataclass(frozen=True)
class Pinning:
    """What pinning some files came to. ``written``: the files are so now; ``message`` is one for the commit, and
    ``paths`` what git calls those that differ, from here (nothing where they are not all in one work tree with it)."""

    environment: str
    files: tuple[PinnedFile, ...]
    written: bool
    message: str
    paths: tuple[str, ...] = ()

    @property
    def differing(self) -> tuple[str, ...]:
        """The files that are, or were, not as they should be."""
        return tuple(it.file for it in self.files if it.changes)


def pin_files(
    context: Context, environment: str, files: Sequence[Path], form: Form = _FORM, mode: Mode = "write"
) -> Pinning:
    """Put what an environment runs into files: all of them, or none. ``check`` and ``show`` change nothing.

    No registry is asked where no file names an image of the policy.

    :raises UsageError: ``file.unreadable``, ``pin.unsupported``.
    :raises NotFound: ``environment.empty`` for an image that does not run there.
    :raises Conflict: ``pin.differs`` where a file that is to be checked differs; its ``result`` is a :class:`Pinning`.
        ``environment.unrecorded`` where somebody moved it by hand, and records are signed or a tag cannot be told;
        ``history.broken``.
    """
    chosen = context.environment(environment)
    known = names(context.policy, chosen)
    contents = read_files(files)
    scans = _scan(contents, known)
    images = list(dict.fromkeys(place.image for found in scans.values() for place in found.places))
    runs = _running(context, environment, images)
    pinned = {path: pin(found, known, runs, form) for path, found in scans.items()}
    changed = {path: it for path, it in pinned.items() if it.changes}
    if mode == "write" and changed:
        rewrite([Rewrite(path, contents[path], it.content) for path, it in changed.items()])
    called = labels(list(changed))
    result = Pinning(
        environment,
        tuple(_file(path, it, called.get(path, str(path))) for path, it in pinned.items()),
        written=mode == "write",
        message=commit_message(environment, [change for it in changed.values() for change in it.changes], runs),
        paths=named_here(list(changed)),
    )
    if mode == "check" and changed:
        raise _differs(result, form)
    return result


def _running(context: Context, environment: str, images: Sequence[str]) -> Mapping[str, Runs]:
    if not images:
        return {}
    from tagflow.verbs.runs import running  # what asks a registry is loaded where one is asked

    return running(context, environment, images)


def _scan(contents: Mapping[Path, bytes], known: Names) -> dict[Path, Scan]:
    """The references of each file.

    :raises UsageError: ``pin.unsupported``, with the problems of all files.
    """
    found: dict[Path, Scan] = {}
    errors: list[TagflowError] = []
    for path, content in contents.items():
        try:
            found[path] = scan(decode(str(path), content), known)
        except TagflowError as error:
            errors.append(error)
    if errors:
        raise combine(errors)
    return found


def _file(path: Path, it: Pinned, name: str) -> PinnedFile:
    return PinnedFile(str(path), it.changes, it.references, it.templates, unified_diff(name, it), it.elsewhere)


def _differs(result: Pinning, form: Form) -> Conflict:
    files = result.differing
    who = f"{files[0]} does" if len(files) == 1 else f"{len(files)} of {len(result.files)} files do"
    dashes = ["--"] if any(file.startswith("-") for file in files) else []
    named = shlex.join([*dashes, *files]) if len(files) <= _FEW else "FILE…"
    named = named if form == _FORM else f"--form {form} {named}" if dashes else f"{named} --form {form}"
    error = Conflict(
        "pin.differs",
        f"{who} not say what {result.environment} runs",
        hint=f"`tagflow pin {result.environment} {named}` writes it.",
    )
    error.result = result
    return error
