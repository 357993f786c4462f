"""pin: what an environment runs, written into deployment files."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tagflow.context import Context
from tagflow.domain.reference import Digest
from tagflow.errors import Conflict, NotFound, TagflowError, combine
from tagflow.pin.edit import Change, Form, Pinned, Runs, commit_message, pin, unified_diff
from tagflow.pin.places import Scan, scan
from tagflow.pin.source import decode
from tagflow.pin.written import Names, names
from tagflow.verbs.files import Rewrite, read_files, rewrite

Mode = Literal["write", "check", "show"]
_FEW = 5
"""So many files are named in a command."""


@dataclass(frozen=True)
class PinnedFile:
    """One file: its ``changes``, how many ``references`` it has to images of the policy, how many references are
    ``templates`` as a whole and were left alone, and a unified ``diff``."""

    file: str
    changes: tuple[Change, ...]
    references: int
    templates: int
    diff: str


@dataclass(frozen=True)
class Pinning:
    """What pinning some files came to. ``written``: the files are so now; ``message`` is one for the commit."""

    environment: str
    files: tuple[PinnedFile, ...]
    written: bool
    message: str

    @property
    def differing(self) -> tuple[str, ...]:
        """The files that are, or were, not as they should be."""
        return tuple(it.file for it in self.files if it.changes)


def pin_files(
    context: Context, environment: str, files: Sequence[Path], form: Form = "tag@digest", mode: Mode = "write"
) -> Pinning:
    """Put what an environment runs into files: all of them, or none. ``check`` and ``show`` change nothing.

    No registry is asked where no file names an image of the policy.

    :raises UsageError: ``file.unreadable``, ``pin.unsupported``.
    :raises NotFound: ``environment.empty`` for an image that does not run there.
    :raises Conflict: ``pin.differs`` where a file that is to be checked differs; its ``result`` is a :class:`Pinning`.
    """
    chosen = context.environment(environment)
    known = names(context.policy, chosen)
    contents = read_files(files)
    scans = _scan(contents, known)
    images = list(dict.fromkeys(place.image for found in scans.values() for place in found.places))
    runs = running(context, environment, images) if images else {}
    pinned = {path: pin(found, known, runs, form) for path, found in scans.items()}
    changed = {path: it for path, it in pinned.items() if it.changes}
    if mode == "write" and changed:
        rewrite([Rewrite(path, contents[path], it.content) for path, it in changed.items()])
    result = Pinning(
        environment,
        tuple(_file(path, it) for path, it in pinned.items()),
        written=mode == "write",
        message=commit_message(environment, [change for it in changed.values() for change in it.changes], runs),
    )
    if mode == "check" and changed:
        raise _differs(result)
    return result


def running(context: Context, environment: str, images: Iterable[str]) -> Mapping[str, Runs]:
    """What an environment runs of some images.

    :raises NotFound: ``environment.empty``.
    :raises Conflict: ``environment.unrecorded`` where it stands at what was taken back, ``history.broken``.
    """
    from tagflow.observe.observer import Observer
    from tagflow.verbs.status import Cell, look

    found: dict[str, Runs] = {}
    errors: list[TagflowError] = []
    under_way: list[str] = []
    for row in look(context, Observer(context), [environment, *images]):
        cell: Cell = row.cells[0]
        if cell.digest is None:
            errors.append(
                NotFound(
                    "environment.empty",
                    f"{row.image}: nothing runs in {environment}",
                    hint=f"Look at `tagflow status {environment}`.",
                )
            )
        elif cell.state in ("late", "broken"):
            errors.append(_unsure(row.image, environment, cell.state, cell.detail))
        else:
            found[row.image] = Runs(row.image, cell.version or cell.found, Digest(cell.digest))
            under_way += [row.image] if cell.state == "interrupted" else []
    if errors:
        raise combine(errors)
    if under_way:
        context.warn(
            f"note: a release to {environment} is not finished; files get what runs now: {', '.join(under_way)}"
        )
    return found


def _unsure(image: str, environment: str, state: str, detail: str) -> TagflowError:
    if state == "broken":
        return Conflict("history.broken", f"{image}: {detail}", hint=f"`tagflow verify {environment}` tells more.")
    return Conflict(
        "environment.unrecorded",
        f"{image}: {environment} stands at a digest that was taken back",
        hint=f"First put it right: `tagflow verify {environment} --repair`.",
    )


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


def _file(path: Path, it: Pinned) -> PinnedFile:
    return PinnedFile(str(path), it.changes, it.references, it.templates, unified_diff(str(path), it))


def _differs(result: Pinning) -> Conflict:
    files = result.differing
    who = f"{files[0]} does" if len(files) == 1 else f"{len(files)} of {len(result.files)} files do"
    named = shlex.join(files) if len(files) <= _FEW else "FILE…"
    error = Conflict(
        "pin.differs",
        f"{who} not say what {result.environment} runs",
        hint=f"`tagflow pin {result.environment} {named}` writes it.",
    )
    error.result = result
    return error
