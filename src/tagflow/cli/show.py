"""Results as text for people."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tagflow.cli.text import cell as one_line
from tagflow.cli.text import columns, hung, is_fancy, styled, table

if TYPE_CHECKING:
    from tagflow.decide.audit import Finding
    from tagflow.domain.outcome import Outcome
    from tagflow.domain.plan import Move, Plan, Step
    from tagflow.domain.reference import Digest
    from tagflow.verbs.doctor import Diagnosis
    from tagflow.verbs.history import History, Item
    from tagflow.verbs.pull import Pulled
    from tagflow.verbs.status import Cell, Row


_SIGNS = {"create": ("+", "green"), "move": ("~", "yellow"), "keep": ("=", "dim")}
_STATES = {"interrupted": "red", "unrecorded": "yellow"}
_SIGN, _WAY = 2, 27
"""Columns of a move's sign, and of two short digests with an arrow between them."""
_DONE = {"push": "pushed", "promote": "promoted", "rollback": "rolled back"}


def plan(it: Plan) -> str:
    """A plan as terraform shows one: what is created, what moves from where to where, what stays."""
    fancy = is_fancy(sys.stdout)
    finishes = f" (finishes release {it.resumes.number})" if it.resumes else ""
    lines = [styled(f"{it.request.command} → {it.request.environment}", "bold", fancy) + finishes]
    steps = {step.image: step for step in it.steps}
    for image in dict.fromkeys(move.image for move in it.moves):
        lines += ["", f"  {styled(one_line(image), 'bold', fancy)}  {one_line(_way(steps.get(image)))}"]
        moves = [move for move in it.moves if move.image == image]
        wide = max(len(move.tag) for move in moves)
        lines += [_move(move, wide, fancy) for move in moves]
    return "\n".join([*lines, "", _count(it)])


def _way(step: Step | None) -> str:
    """From which version to which."""
    if step is None:
        return "unchanged"
    before = step.previous_version or ("unknown" if step.previous_digest else "nothing")
    after = step.version or ("unknown" if step.digest else "nothing")
    adopts = " (moved by hand before; that is recorded first)" if step.adopts else ""
    return f"{before} → {after}" + (f" ({step.action})" if step.action in ("adopt", "abort") else adopts)


def outcome(it: Outcome) -> str:
    """What a push, promotion or rollback came to."""
    fancy = is_fancy(sys.stdout)
    lines = [plan(it.plan)]
    lines += [
        f"{styled('✓', 'green', fancy)} {one_line(gate.image)}: gate {one_line(gate.gate)}"
        for gate in it.gates
        if gate.passed
    ]
    if not it.applied:
        lines.append("Dry run: nothing was changed.")
    elif not it.plan.changes:
        lines.append("Nothing to do.")
    else:
        images = ", ".join(it.plan.members)
        release = f" in release {it.release}" if it.release else ""
        verb = _DONE.get(it.plan.request.command, "changed")
        told = f"{verb} {images}{release}" if images else "tags put right"
        lines.append(f"{styled('✓', 'green', fancy)} {it.environment}: {one_line(told)}")
    return "\n".join(lines)


def status(rows: Sequence[Row], now: datetime) -> str:
    """Image × environment."""
    if not rows:
        return "Nothing matches."
    fancy = is_fancy(sys.stdout)
    header = ["IMAGE", "ENVIRONMENT", "VERSION", "DIGEST", "SINCE", "AGE", "BY", "STATE"]
    body = [
        [
            styled(one_line(row.image), "bold", fancy),
            cell.environment,
            one_line(cell.version or "-"),
            _short(cell.digest),
            _minute(cell.since),
            _age(cell.since, now),
            one_line(cell.by or "-"),
            _state(cell, fancy),
        ]
        for row in rows
        for cell in row.cells
    ]
    return table(header, body, fancy, spare=["DIGEST", "SINCE", "BY", "AGE"])


def history(it: History) -> str:
    """Newest first; what is out of the ordinary is said in so many words."""
    fancy = is_fancy(sys.stdout)
    if not it.entries and all(now.condition == "empty" for now in it.present):
        return f"Nothing ran in {it.environment} yet."
    lines = []
    for now in it.present:
        if now.condition == "unrecorded":
            lines.append(
                _warned(f"{now.image}: {it.environment} was moved by hand and is at {_short(now.digest)}", fancy)
            )
        if now.heads > 1:
            lines.append(_warned(f"{now.image}: the history is forked: {now.heads} heads", fancy))
    header = ["WHEN", "IMAGE", "SEQ", "ACTION", "VERSION", "DIGEST", "RELEASE", "BY", "WHY"]
    return "\n".join(
        [
            *lines,
            table(
                header, [_item(item, fancy) for item in it.entries], fancy, spare=["DIGEST", "SEQ", "RELEASE"], last=24
            ),
        ]
    )


def _item(item: Item, fancy: bool) -> list[str]:
    record = item.entry.record
    action = record.action + (styled(" (interrupted)", "red", fancy) if item.open else "")
    why = [one_line(record.reason)] if record.reason else []
    if record.overrides:
        why.append(f"overrides {one_line(', '.join(record.overrides))}")
    return [
        _minute(record.at),
        styled(one_line(item.image), "bold", fancy),
        str(item.entry.tag.sequence),
        action,
        one_line(f"{record.previous_version or '-'} → {record.version or '-'}"),
        _short(record.digest),
        f"{record.release.number} ({one_line(record.release.id)[:8]})",
        one_line(record.actor),
        "; ".join(why),
    ]


def findings(found: Iterable[Finding]) -> str:
    """What verify found, a block each, with the command that mends it."""
    fancy = is_fancy(sys.stdout)
    blocks = []
    for it in found:
        where = one_line(f"{it.image} in {it.environment}" + (f": {it.tag}" if it.tag else ""))
        lines = [f"{styled(it.problem, 'yellow', fancy)}  {where}"]
        lines += [f"  {hung(one_line(it.detail), 2)}"] if it.detail else []
        lines += [f"  expected {one_line(it.expected)}"] if it.expected else []
        lines += [f"  actual   {one_line(it.actual)}"] if it.actual else []
        blocks.append("\n".join([*lines, f"  repair   {one_line(it.repair)}"]))
    return "\n".join(blocks)


def diagnoses(found: Iterable[Diagnosis]) -> str:
    """What doctor found: a block each registry; what makes it unusable stands out from what is only to be known."""
    fancy = is_fancy(sys.stdout)
    return "\n\n".join(_diagnosis(it, fancy) for it in found)


def _diagnosis(it: Diagnosis, fancy: bool) -> str:
    state = styled("usable", "green", fancy) if it.usable else styled("cannot be used", "red", fancy)
    lines = [f"{styled(one_line(it.registry), 'bold', fancy)}  {state}"]
    wide = max((len(check.name) for check in it.checks), default=0)
    if columns() < 2 * wide + _WAY:
        wide = 0  # each name is told where it ends: there is no room for a column
    for check in it.checks:
        sign, style = ("✓", "green") if check.ok else ("✗", "red") if check.essential else ("!", "yellow")
        detail = hung(one_line(check.detail), wide + 6) if wide else hung(one_line(f"{check.name}: {check.detail}"), 4)
        name = f"{check.name.ljust(wide)}  " if wide else ""
        lines.append(f"  {styled(sign, style, fancy)} {name}{detail}")
    return "\n".join(lines)


def _warned(text: str, fancy: bool) -> str:
    return f"{styled('!', 'yellow', fancy)} {one_line(text)}"


def pulled(images: Iterable[Pulled]) -> str:
    """What is on this machine now."""
    return "\n".join(f"{it.reference}  {it.digest}" for it in images)


def _minute(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z" if moment else "-"


def _age(since: datetime | None, now: datetime) -> str:
    """How long ago, roughly: ``2d``."""
    if since is None:
        return "-"
    seconds = max(int((now - since).total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _state(cell: Cell, fancy: bool) -> str:
    told = styled(cell.state, _STATES.get(cell.state, ""), fancy)
    return told + (f"; holds {one_line(', '.join(cell.holds))}" if cell.holds else "")


def _move(move: Move, wide: int, fancy: bool) -> str:
    sign, style = _SIGNS[move.action]
    way = _short(move.after) if move.action != "move" else f"{_short(move.before)} → {_short(move.after)}"
    room = columns() - 4 - _SIGN
    gap = "\n" + " " * (4 + _SIGN + 2) if wide + 2 + _WAY > room else " " * (wide - len(move.tag) + 2)
    return f"    {styled(sign, style, fancy)} {move.tag}{gap}{way}"


def _count(it: Plan) -> str:
    counted = Counter(move.action for move in it.moves)
    return f"Plan: {counted['create']} to create, {counted['move']} to move, {counted['keep']} to keep."


def _short(digest: Digest | None) -> str:
    if digest is None:
        return "-"
    return digest.removeprefix("sha256:")[:12] or "(known once pushed)"
