"""The matrix of `status`: a line an image, equal ones as one line, what differs marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from tagflow.cli.text import FEW, columns, counted, fitted, hung, listed, pad, styled, width
from tagflow.cli.text import cell as one_line

if TYPE_CHECKING:
    from tagflow.verbs.status import Cell, Row

STYLES: Mapping[str, str] = {"interrupted": "red", "unrecorded": "yellow", "late": "red", "broken": "red"}
DIFFERS = "*"
"""Behind what is another version than most images have there."""
LOOK = "!"
"""Behind what is told below the matrix."""
_LEAST = 4
"""Columns of a cell that is cut."""


class _Line(Struct, frozen=True):
    """Images whose cells say the same; ``cells`` by environment."""

    images: tuple[str, ...]
    cells: Mapping[str, Cell]

    @property
    def label(self) -> str:
        """How the line begins."""
        return counted(self.images)


def matrix(rows: Sequence[Row], frozen: Sequence[str], fancy: bool) -> list[str]:
    """The lines. ``frozen`` names the environments of which more is told below.

    Cells tell a state in so many words where there is room, else by a sign; where not even that fits, a name that is
    too long stands above its cells.
    """
    environments = list(dict.fromkeys(cell.environment for row in rows for cell in row.environments))
    lines = _lines(rows)
    common = {name: _common(rows, name) for name in environments}
    for apart in (False, True):
        for say in (full, brief, _cut):
            shown = _laid(lines, environments, frozen, common, say, fancy, apart=apart)
            if shown:
                return shown
    return _stacked(lines, environments, common, fancy)


def full(cell: Cell) -> str:
    """What a cell says, in words: ``v1.2 (→ v1.3 interrupted)``."""
    runs = version(cell)
    wanted = cell.wanted
    match cell.state:
        case "interrupted":
            return f"{runs} (→ {wanted or '?'} interrupted)"
        case "unrecorded" if not cell.digest:
            return "removed" + (f" (was {wanted})" if wanted else "")
        case "unrecorded":
            return f"{runs} by hand" + (f" (was {wanted})" if wanted else "")
        case "late":
            return f"{runs} came late" + (f" (should be {wanted})" if wanted else "")
        case "broken":
            return "history broken"
    return runs


def brief(cell: Cell) -> str:
    """The same by a sign, that more is told below."""
    if cell.state in STYLES:
        return f"{'broken' if cell.state == 'broken' else version(cell)}{LOOK}"
    return version(cell)


def version(cell: Cell) -> str:
    """What runs, as far as it is known: its version, else the beginning of its digest."""
    known = cell.version or cell.found
    if known:
        return str(one_line(known))
    return cell.digest.removeprefix("sha256:")[:7] if cell.digest else "-"


def _cut(cell: Cell) -> str:
    text = brief(cell)
    return text if len(text) <= 2 * _LEAST else f"{text[: 2 * _LEAST - 1]}…"


def _lines(rows: Sequence[Row]) -> list[_Line]:
    """The images, those together that say the same everywhere where they are more than a few; the most first."""
    groups: dict[object, list[Row]] = {}
    for row in rows:
        said = tuple((cell.environment, full(cell), cell.state) for cell in row.environments)
        groups.setdefault(said, []).append(row)
    found: list[_Line] = []
    for several in sorted(groups.values(), key=len, reverse=True):
        cells = {cell.environment: cell for cell in several[0].environments}
        parts = [several] if len(several) > FEW else [[row] for row in several]
        found += [_Line(tuple(row.image for row in part), cells) for part in parts]
    return found


def _common(rows: Sequence[Row], environment: str) -> str:
    """What most images run there, where that can be said: half of them at least."""
    told = [version(cell) for row in rows for cell in row.environments if cell.environment == environment]
    if len(told) < FEW:
        return ""
    [(found, times)] = Counter(told).most_common(1)
    return found if 2 * times >= len(told) else ""


def _laid(
    lines: Sequence[_Line],
    environments: Sequence[str],
    frozen: Sequence[str],
    common: Mapping[str, str],
    say: Callable[[Cell], str],
    fancy: bool,
    *,
    apart: bool,
) -> list[str]:
    """The matrix as columns; nothing where they do not fit. ``apart``: the names that are too long, fewer than fit,
    stand on lines of their own."""
    header = ["IMAGE", *(name + (LOOK if name in frozen else "") for name in environments)]
    body = [
        [it.label, *(_shown(it.cells.get(name), common[name], say, fancy) for name in environments)] for it in lines
    ]
    widths = [max(map(width, column)) for column in zip(header, *body, strict=True)]
    room = columns() - sum(widths[1:]) - 2 * (len(widths) - 1)
    if widths[0] > room:
        fitting = [wide for row in body if (wide := width(row[0])) <= room]
        if not apart or 2 * len(fitting) <= len(body) or width(header[0]) > room:
            return []
        widths[0] = max(width(header[0]), *fitting)
    shown = [_joined([styled(title, "bold", fancy) for title in header], widths)]
    for line, cells in zip(lines, body, strict=True):
        label = styled(one_line(cells[0]), "bold", fancy)
        if width(label) > widths[0]:
            shown.append(fitted(label, 2))
            label = ""
        shown.append(_joined([label, *cells[1:]], widths))
        if len(line.images) > FEW:
            shown.append(styled(f"  {hung(one_line(listed(line.images)), 2)}", "dim", fancy))
    return shown


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(pad(cell, wide) for cell, wide in zip(cells, widths, strict=True)).rstrip()


def _shown(cell: Cell | None, common: str, say: Callable[[Cell], str], fancy: bool) -> str:
    if cell is None:
        return ""
    text = say(cell)
    if cell.state in STYLES:
        return styled(text, STYLES[cell.state], fancy)
    if cell.state == "empty":
        return styled(text, "dim", fancy)
    return styled(text + DIFFERS, "yellow", fancy) if common and version(cell) != common else text


def _stacked(lines: Sequence[_Line], environments: Sequence[str], common: Mapping[str, str], fancy: bool) -> list[str]:
    """A terminal too narrow for columns: a line an environment, below its images."""
    shown = []
    wide = max(map(len, environments))
    for line in lines:
        shown.append(styled(one_line(line.label), "bold", fancy))
        for name in environments:
            if name in line.cells:
                shown.append(f"  {name.ljust(wide)}  {_shown(line.cells[name], common[name], full, fancy)}")
    return shown
