"""status as text: the matrix and what to type next; of one environment or image everything that is known."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from tagflow.cli.fold import FEW, counted, listed
from tagflow.cli.render.matrix import DIFFERS, STYLES, full, matrix, version
from tagflow.cli.render.next_steps import Note, notes
from tagflow.cli.render.releases import short
from tagflow.cli.text import age, columns, hung, is_fancy, minute, styled, table
from tagflow.cli.text import cell as one_line

if TYPE_CHECKING:
    from tagflow.domain.policy import Policy
    from tagflow.verbs.status import Cell, Row

_ASIDE = 20
"""Columns before a command, and behind it for what it does."""


def status(rows: Sequence[Row], policy: Policy, now: datetime, *, advise: bool = True) -> str:
    """Image × environment; ``advise``: with what is out of the ordinary, and the commands to type next."""
    if not any(row.cells for row in rows):
        return "Nothing matches."
    fancy = is_fancy(sys.stdout)
    told = notes(rows, policy, now) if advise else []
    environments = {cell.environment for row in rows for cell in row.cells}
    if len(rows) == 1 or len(environments) == 1:
        lines = _details(rows, now, fancy)
    else:
        frozen = [cell.environment for row in rows for cell in row.cells if cell.frozen]
        lines = matrix(rows, frozen, fancy)
        if any(DIFFERS in line for line in lines):
            lines.append(styled(f"{DIFFERS} another version than most images have there", "dim", fancy))
    return "\n".join([*lines, *_told(told, fancy)])


def _details(rows: Sequence[Row], now: datetime, fancy: bool) -> list[str]:
    """Everything that is known of each cell, a line each."""
    header = ["IMAGE", "ENVIRONMENT", "VERSION", "DIGEST", "SINCE", "AGE", "BY", "STATE"]
    body = [
        [
            styled(one_line(row.image), "bold", fancy),
            cell.environment,
            version(cell) if cell.version or cell.state != "recorded" else "-",
            short(cell.digest),
            minute(cell.since),
            age(cell.since, now),
            one_line(cell.by or "-"),
            _state(cell, fancy),
        ]
        for row in rows
        for cell in row.cells
    ]
    return [table(header, body, fancy, spare=["DIGEST", "SINCE", "BY", "AGE"])]


def _state(cell: Cell, fancy: bool) -> str:
    told = full(cell) if cell.state in STYLES else cell.state
    told = styled(one_line(told), STYLES.get(cell.state, ""), fancy)
    proof = f"; {one_line(cell.proof.told)}" if cell.proof else ""
    return told + proof + (f"; holds {one_line(', '.join(cell.holds))}" if cell.holds else "")


def _told(found: Sequence[Note], fancy: bool) -> Iterator[str]:
    if found:
        yield ""
    for note in found:
        sign = styled("!", note.style, fancy) if note.alarms else styled("→", "cyan", fancy)
        names = f": {one_line(listed(note.images))}" if len(note.images) <= FEW and note.images else ""
        count = f" ({counted(note.images)})" if len(note.images) > FEW else ""
        yield f"{sign} {hung(one_line(note.text + names + count), 2)}"
        # What a command does stands behind it as a comment, so that the whole line can be pasted into a shell.
        wide = max((len(command) for command, _ in note.commands), default=0)
        gap = wide if wide + _ASIDE <= columns() else 0
        for command, does in note.commands:
            aside = f"{' ' * (gap - len(command))}  {styled(f'# {does}', 'dim', fancy)}" if does else ""
            yield f"    {styled(one_line(command), 'bold', fancy)}{aside}"
