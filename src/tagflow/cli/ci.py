"""What GitHub Actions takes from a step: outputs for later steps, and a summary of the job in Markdown.

``$GITHUB_OUTPUT`` and ``$GITHUB_STEP_SUMMARY`` name files that a step appends to ("Workflow commands for GitHub
Actions"). Other systems that set these variables get the same. The result never depends on it: what cannot be
written is a warning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from tagflow.cli.text import FEW, clean, counted

if TYPE_CHECKING:
    from tagflow.domain.plan import Move, Outcome, Plan
    from tagflow.errors import TagflowError

_SIGNS = {"create": "+", "move": "~", "keep": "="}
_LARGEST = 900_000
"""Characters of a summary; GitHub refuses one of more than 1 MiB."""
_PUNCTUATION = re.compile(r"[^\w\s.,/=+;-]")

_HIDDEN = ("record", "pin")
"""Kinds of tags that no later step asks for."""

Warn = Callable[[str], None]


def tell(outcome: Outcome, environ: Mapping[str, str], warn: Warn) -> None:
    """Hand on what a push, promotion, rollback or apply came to; a dry run has a summary, and no outputs."""
    if outcome.applied:
        _append("GITHUB_OUTPUT", environ, warn, lambda: outputs(outcome.plan))
    _append("GITHUB_STEP_SUMMARY", environ, warn, lambda: summary(outcome))


def tell_failure(error: TagflowError, environ: Mapping[str, str], warn: Warn) -> None:
    """Hand on why it did not come to anything."""
    _append("GITHUB_STEP_SUMMARY", environ, warn, lambda: failure(error))


def outputs(plan: Plan) -> str:
    """``version``, ``digest`` and ``tags`` as GITHUB_OUTPUT takes them.

    Versions that differ stand one a line as ``NAME=VERSION``, the digests of several images as ``NAME=DIGEST``: two may
    be of the same bytes. ``tags`` are whole references, one a line, of what stands at these digests. Each value stands
    between delimiters that nobody could have foreseen.
    """
    versions = {image: _version(plan, image) for image in _images(plan)}
    digests = {image: _digest(plan, image) for image in _images(plan)}
    tags = [
        f"{move.repository}:{move.tag}"
        for move in plan.moves
        if move.after == digests[move.image] and move.kind not in _HIDDEN
    ]
    version = _listed(versions, together=len(set(versions.values())) == 1)
    digest = _listed(digests, together=len(digests) == 1)
    return _output("version", version) + _output("digest", digest) + _output("tags", "\n".join(tags))


def summary(it: Outcome) -> str:
    """What happened, as Markdown; nothing in it can be taken for markup."""
    request = it.plan.request
    done = "Dry run" if not it.applied else "Done" if it.plan.changes else "Nothing to do"
    release = f", release {_code(it.release)}" if it.release else ""
    lines = [f"### tagflow {request.command} → {_literal(it.environment)}", "", f"{done}{release}.", ""]
    lines += [_literal(request.reason), ""] if request.reason else []
    lines += _table(it.plan)
    passed: dict[str, list[str]] = {}
    for gate in it.gates:
        if gate.passed:
            passed.setdefault(gate.gate, []).append(gate.image)
    lines += [""] + [f"- {_literal(counted(images))}: gate {_literal(name)} passed" for name, images in passed.items()]
    return _cut("\n".join(lines).rstrip()) + "\n\n"


def failure(error: TagflowError) -> str:
    """Why nothing happened, or not all, as Markdown."""
    told = [f"{_bullet(line)}{_marked(line.strip())}" for line in error.message.splitlines()]
    hints = [f"{_bullet(line)}{_marked(line.strip())}" for line in error.hint.splitlines()]
    lines = [f"### tagflow: {_code(error.code)}", "", *told]
    lines += ["", "What to do:", "", *hints] if hints else []
    return _cut("\n".join(lines)) + "\n\n"


_HEAD = ["| Image | Version | Digest | Tags |", "| --- | --- | --- | --- |"]


def _table(plan: Plan) -> list[str]:
    """A row for each image; where the tags of many do the same, one for all of them, and theirs behind a fold."""
    groups: dict[object, list[str]] = {}
    for image in _images(plan):
        moves = [move for move in plan.moves if move.image == image]
        groups.setdefault((_way(plan, image), tuple((it.kind, it.action) for it in moves)), []).append(image)
    lines, folded = list(_HEAD), list[str]()
    for images in groups.values():
        rows = [_row(plan, image) for image in images]
        if len(images) > FEW:
            tags = [_tag(it) for it in plan.moves if it.image == images[0] and it.kind not in _HIDDEN]
            lines.append(f"| {len(images)} images | {_way(plan, images[0])} | | {' '.join(tags)} |")
            folded += ["", f"<details><summary>{len(images)} images</summary>", "", *_HEAD, *rows, "", "</details>"]
        else:
            lines += rows
    return lines + folded


def _row(plan: Plan, image: str) -> str:
    moves = [move for move in plan.moves if move.image == image]
    return f"| {_code(image)} | {_way(plan, image)} | {_code(_digest(plan, image))} | {' '.join(map(_tag, moves))} |"


def _way(plan: Plan, image: str) -> str:
    step = next((step for step in plan.steps if step.image == image), None)
    version = _code(_version(plan, image)) or "unknown"
    if step and step.action == "admit":
        return f"{version} beside {_code(step.previous_version) or 'nothing'}"
    return (f"{_code(step.previous_version) or 'nothing'} → " if step else "") + version


def _tag(move: Move) -> str:
    return f"{_SIGNS[move.action]} {_code(move.tag)}"


def _bullet(line: str) -> str:
    return "  " if line.startswith(" ") else "- "


def _marked(text: str) -> str:
    """Text in which a command between backticks is shown as code, and nothing else is markup."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _literal(text)
    return "".join(_code(part) if position % 2 else _literal(part) for position, part in enumerate(parts))


def _images(plan: Plan) -> Iterable[str]:
    return dict.fromkeys(move.image for move in plan.moves)


def _version(plan: Plan, image: str) -> str:
    """The version that an image has now: of its step, else, where nothing changes, of the tag that stays."""
    step = next((step.version for step in plan.steps if step.image == image), None)
    tags = (move.tag for move in plan.moves if move.image == image and move.kind == "version")
    return step or next(tags, "")


def _digest(plan: Plan, image: str) -> str:
    """The digest of that version: what a step brings beside what runs, else where the version's tag stands, for the
    environment may go on with another; a rollback moves the environment's alone."""
    beside = (step.subject for step in plan.steps if step.image == image and step.subject)
    tags = (
        move.after
        for kind in ("version", "environment")
        for move in plan.moves
        if move.image == image and move.kind == kind and move.after
    )
    return next(beside, "") or next(tags, "")


def _listed(values: Mapping[str, str], *, together: bool) -> str:
    """One value for all of them, else ``NAME=VALUE`` a line."""
    if together:
        return next(iter(values.values()))
    return "\n".join(f"{name}={value}" for name, value in values.items())


def _output(name: str, value: str) -> str:
    delimiter = f"tagflow_{os.urandom(16).hex()}"
    return f"{name}<<{delimiter}\n{clean(value)}\n{delimiter}\n"


def _append(variable: str, environ: Mapping[str, str], warn: Warn, text: Callable[[], str]) -> None:
    path = environ.get(variable)
    if not path:
        return
    try:
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), "ab") as file:
            file.write(text().encode(errors="backslashreplace"))
    except OSError as exc:
        warn(f"warning: cannot write ${variable} ({path}): {exc.strerror}")


def _code(text: str | None) -> str:
    if not text:
        return ""
    from html import escape  # only where a summary is written

    return f"<code>{escape(_flat(text)).replace('|', '&#124;')}</code>"


def _literal(text: str) -> str:
    """Text in which Markdown finds no markup: a character reference never is (CommonMark 0.31, 2.5)."""
    return _PUNCTUATION.sub(lambda match: f"&#{ord(match[0])};", _flat(text))


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", clean(text))


def _cut(text: str) -> str:
    return text if len(text) <= _LARGEST else text[:_LARGEST].rpartition("\n")[0] + "\n\n(shortened)"
