"""The matrix image × environment as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tagflow.cli.report.markup import Html, element, joined
from tagflow.cli.report.timeline import digest, holds, moment
from tagflow.domain.reference import Digest
from tagflow.verbs.report import Report
from tagflow.verbs.status import Cell, Row

_MARKS = "ABCDEFGH"
_STATES = {
    "unrecorded": ("moved by hand", "drift"),
    "interrupted": ("interrupted", "open"),
    "late": ("taken back, arrived late", "drift"),
    "broken": ("history broken", "drift"),
}


def matrix(report: Report) -> Html:
    """A row for each image, a column for each environment."""
    names = [it.environment for it in report.timelines]
    head = [element("th", "Image", scope="col")]
    head += [element("th", element("a", name, href=f"#env-{name}"), scope="col", data_env=name) for name in names]
    return element(
        "table",
        element("caption", "Which version of each image runs in each environment"),
        element("thead", element("tr", *head)),
        element("tbody", *(_row(row, names) for row in report.rows)),
    )


def _row(row: Row, names: Sequence[str]) -> Html:
    cells = {cell.environment: cell for cell in row.cells}
    marks: dict[Digest, int] = {}
    for name in names:
        if name in cells and (found := cells[name].digest):
            marks.setdefault(found, len(marks))
    return element(
        "tr",
        element("th", row.image, scope="row"),
        *(_cell(row.image, name, cells.get(name), marks) for name in names),
        data_image=row.image,
    )


def _cell(image: str, environment: str, cell: Cell | None, marks: Mapping[Digest, int]) -> Html:
    if cell is None or cell.state == "empty":
        told = element("span", "–" if cell else "", aria_hidden="true")
        spoken = element("span", "nothing" if cell else "not shown", class_="spoken")
        parts = [told, spoken, holds(cell.holds) if cell else Html()]
    else:
        parts = [_version(image, environment, cell, marks), digest(cell.digest), _since(cell), _badges(cell)]
    state = cell.state if cell else None
    return element("td", *parts, data_env=environment, data_state=state, data_held=bool(cell and cell.holds))


def _version(image: str, environment: str, cell: Cell, marks: Mapping[Digest, int]) -> Html:
    mark = marks[cell.digest] if cell.digest else 0
    letter = element("span", _MARKS[mark % len(_MARKS)], class_=f"mark m{mark % len(_MARKS)}", aria_hidden="true")
    follow = element("span", f": follow {image} in {environment}", class_="spoken")
    version = element("span", cell.version or "unknown", class_=None if cell.version else "unknown")
    return element("a", letter, version, follow, class_="version", href=f"#env-{environment}", data_follow=image)


def _since(cell: Cell) -> Html:
    told = ["since ", moment(cell.since)] if cell.since else []
    told += [f" by {cell.by}"] if cell.by else []
    return element("span", *told, class_="since") if told else Html()


def _badges(cell: Cell) -> Html:
    told, tone = _STATES.get(cell.state, ("", ""))
    state = [element("span", told, class_=f"badge {tone}")] if told else []
    return joined([*state, holds(cell.holds)])
