"""Results as text for people."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from tagflow.cli.text import clean, is_fancy, styled, table
from tagflow.domain.plan import Move, Plan
from tagflow.domain.reference import Digest
from tagflow.flows.decision import Outcome
from tagflow.flows.pull import Pulled
from tagflow.flows.status import Cell, Row

_SIGNS = {"create": ("+", "green"), "move": ("~", "yellow"), "keep": ("=", "dim")}
_STATES = {"interrupted": "red", "unrecorded": "yellow"}
_DONE = {"push": "pushed", "promote": "promoted", "rollback": "rolled back"}


def plan(it: Plan) -> str:
    """A plan as terraform shows one: what is created, what moves from where to where, what stays."""
    fancy = is_fancy(sys.stdout)
    lines = [styled(f"{it.request.command} → {it.request.environment}", "bold", fancy)]
    versions = {step.image: (step.previous_version, step.version, step.action) for step in it.steps}
    for image in dict.fromkeys(move.image for move in it.moves):
        before, after, action = versions.get(image, (None, None, ""))
        told = f"  {before or 'nothing'} → {after or 'nothing'}" if action else "  unchanged"
        if action in ("adopt", "abort"):
            told += f" ({action})"
        lines += ["", f"  {styled(clean(image), 'bold', fancy)}{clean(told)}"]
        moves = [move for move in it.moves if move.image == image]
        width = max(len(move.tag) for move in moves)
        lines += [_move(move, width, fancy) for move in moves]
    return "\n".join([*lines, "", _count(it)])


def outcome(it: Outcome) -> str:
    """What a push, promotion or rollback came to."""
    fancy = is_fancy(sys.stdout)
    lines = [plan(it.plan)] + [f"note: {clean(note)}" for note in it.notes]
    lines += [
        f"{styled('✓', 'green', fancy)} {clean(gate.image)}: gate {clean(gate.gate)}"
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
        lines.append(f"{styled('✓', 'green', fancy)} {it.environment}: {clean(told)}")
    return "\n".join(lines)


def status(rows: Sequence[Row], now: datetime) -> str:
    """Image × environment."""
    if not rows:
        return "Nowhere."
    fancy = is_fancy(sys.stdout)
    header = ["IMAGE", "ENVIRONMENT", "VERSION", "DIGEST", "SINCE", "BY", "STATE"]
    body = [
        [
            styled(clean(row.image), "bold", fancy),
            cell.environment,
            clean(cell.version or "-"),
            _short(cell.digest),
            age(cell.since, now),
            clean(cell.by or "-"),
            _state(cell, fancy),
        ]
        for row in rows
        for cell in row.cells
    ]
    return table(header, body, fancy)


def pulled(images: Iterable[Pulled]) -> str:
    """What is on this machine now."""
    return "\n".join(f"{it.reference}  {it.digest}" for it in images)


def age(since: datetime | None, now: datetime) -> str:
    """A moment and how long ago it was: ``2026-11-23 12:00 (2d)``."""
    if since is None:
        return "-"
    return f"{since.astimezone(UTC):%Y-%m-%d %H:%M}Z ({_rough(now - since)})"


def _rough(span: timedelta) -> str:
    seconds = max(int(span.total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _state(cell: Cell, fancy: bool) -> str:
    told = styled(cell.state, _STATES.get(cell.state, ""), fancy)
    return told + (f"; holds {clean(', '.join(cell.holds))}" if cell.holds else "")


def _move(move: Move, width: int, fancy: bool) -> str:
    sign, style = _SIGNS[move.action]
    way = _short(move.after) if move.action != "move" else f"{_short(move.before)} → {_short(move.after)}"
    return f"    {styled(sign, style, fancy)} {move.tag.ljust(width)}  {way}"


def _count(it: Plan) -> str:
    counted = Counter(move.action for move in it.moves)
    return f"Plan: {counted['create']} to create, {counted['move']} to move, {counted['keep']} to keep."


def _short(digest: Digest | None) -> str:
    if digest is None:
        return "-"
    return digest.removeprefix("sha256:")[:12] or "(known once pushed)"
