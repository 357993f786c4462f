"""Results as text for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tagflow.cli.text import cell as one_line
from tagflow.cli.text import columns, hung, is_fancy, styled

if TYPE_CHECKING:
    from tagflow.verbs.doctor import Diagnosis
    from tagflow.verbs.pull import Pulled

_WAY = 27
"""Columns that a name in front of a text must leave."""


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


def pulled(images: Iterable[Pulled]) -> str:
    """What is on this machine now."""
    return "\n".join(f"{it.reference}  {it.digest}" for it in images)
