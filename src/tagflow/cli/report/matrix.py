"""What runs where: a card for each environment, in order, and the matrix image × environment as a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from tagflow.cli.render.matrix import full, version
from tagflow.cli.report.markup import Html, element, joined
from tagflow.cli.report.timeline import digest, holds, moment
from tagflow.cli.text import FEW, age
from tagflow.domain.reference import Digest
from tagflow.verbs.report import Report, Run, Timeline
from tagflow.verbs.status import Cell, Row

TONES = {"interrupted": "alarm", "late": "alarm", "broken": "alarm", "unrecorded": "warn"}
"""How bad a state is."""
_TOLD = {"interrupted": "interrupted", "late": "late", "broken": "unreadable", "unrecorded": "by hand"}


def flow(report: Report, now: datetime) -> Html:
    """A card for each environment that is shown."""
    cells: dict[str, list[Cell]] = {}
    for row in report.rows:
        for cell in row.environments:
            cells.setdefault(cell.environment, []).append(cell)
    return joined(_card(it, cells.get(it.environment, []), now) for it in report.timelines)


def _card(it: Timeline, cells: Sequence[Cell], now: datetime) -> Html:
    running = [version(cell) for cell in cells if cell.digest]
    ranked = Counter(running).most_common()
    common, times = ranked[0] if ranked else ("", 0)
    shared = 2 * times >= len(running)
    if not running:
        main, share = "–", "nothing yet"
    elif not shared:
        main, share = "", f"{len(ranked)} versions"
    else:
        main, share = (
            common,
            "" if len(cells) == 1 else f"all {times}" if times == len(cells) else f"{times} of {len(cells)}",
        )
    last = it.events[0] if it.events else None
    told = f"{last.action} {age(last.at, now)}" if last else ""
    return element(
        "li",
        element(
            "a",
            element(
                "span",
                element("span", it.environment, class_="name"),
                " ",
                element("span", main, class_="main", title=main),
                class_="line",
            ),
            element(
                "span",
                element("span", share, class_="share", title=f"{share} images" if share[-1:].isdigit() else None),
                " ",
                element(
                    "span",
                    told,
                    class_="last",
                    title=f"{last.action} {age(last.at, now)} ago by {last.actor}" if last else None,
                ),
                class_="line",
            ),
            element("span", *_badges(cells), class_="badges"),
            href=f"#env-{it.environment}",
        ),
        class_=f"stage {tone(cells)}",
        data_env=it.environment,
    )


def tone(cells: Sequence[Cell]) -> str:
    """What is worst in an environment."""
    found = {TONES.get(cell.state, "") for cell in cells}
    if any(cell.frozen for cell in cells):
        found.add("cold")
    if all(cell.state == "empty" for cell in cells):
        return "empty"
    return next((it for it in ("alarm", "warn", "cold") if it in found), "calm")


def _badges(cells: Sequence[Cell]) -> list[Html]:
    found = []
    if frozen := next((cell.frozen for cell in cells if cell.frozen), None):
        found.append(element("span", "frozen", class_="badge cold", title=f"by {frozen.by}: {frozen.reason}"))
    states = Counter(cell.state for cell in cells if cell.state in _TOLD)
    for state, times in states.items():
        kind = "open" if TONES[state] == "alarm" else "drift"
        found.append(element("span", f"{times} {_TOLD[state]}", class_=f"badge {kind}"))
    held = Counter(label for cell in cells for label in cell.holds)
    found += [element("span", f"{label} held", class_="badge held") for label in list(held)[:2]]
    if len(held) > 2:
        found.append(element("span", f"{len(held) - 2} more held", class_="badge held"))
    return found


_MARKS = "ABCDEFGH"


def matrix(report: Report, now: datetime) -> Html:
    """A row for each image, a column for each environment. Images that run the same versions everywhere, and are all as
    recorded, are one row that unfolds."""
    names = [it.environment for it in report.timelines]
    past = {(it.environment, image): runs for it in report.timelines for image, runs in it.past.items()}
    head = [element("th", "Image", scope="col")]
    head += [element("th", element("a", name, href=f"#env-{name}"), scope="col", data_env=name) for name in names]
    return element(
        "table",
        element("caption", "Which version of each image runs in each environment"),
        element("thead", element("tr", *head)),
        *(_group(rows, names, number, now, past) for number, rows in enumerate(_groups(report.rows))),
    )


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that say the same, where they are more than a few; the others one by one, out of the ordinary first."""
    found: dict[object, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple((cell.environment, full(cell), cell.holds) for cell in row.environments), []).append(row)
    odd, single, folded = list[list[Row]](), list[list[Row]](), list[list[Row]]()
    for several in found.values():
        strange = any(cell.state in TONES for cell in several[0].environments)
        if len(several) > FEW and not strange:
            folded.append(several)
        else:
            (odd if strange else single).extend([row] for row in several)
    singles = [row for group in [*odd, *single] for row in group]
    return [*([singles] if singles else []), *sorted(folded, key=len, reverse=True)]


Past = Mapping[tuple[str, str], Sequence[Run]]
"""What ran when, by environment and image."""


def _group(rows: Sequence[Row], names: Sequence[str], number: int, now: datetime, past: Past) -> Html:
    folded = len(rows) > FEW and len({tuple(full(cell) for cell in row.environments) for row in rows}) == 1
    head = [_fold(rows, names, number)] if folded else []
    return element("tbody", *head, *(_row(row, names, now, past) for row in rows))


def _fold(rows: Sequence[Row], names: Sequence[str], number: int) -> Html:
    cells = {cell.environment: cell for cell in rows[0].environments}
    images = ", ".join(row.image for row in rows)
    box = element("input", type="checkbox", id=f"fold-{number}", autocomplete="off")
    label = element("label", box, f"{len(rows)} images", for_=f"fold-{number}")
    told = element("span", images, class_="names", title=images)
    return element(
        "tr",
        element("th", label, told, scope="row"),
        *(element("td", _same(cells.get(name)), data_env=name) for name in names),
        class_="fold",
    )


def _same(cell: Cell | None) -> Html:
    if cell is None or cell.state == "empty":
        return element("span", "–", class_="nothing")
    parts = [element("span", version(cell), class_="version", title=version(cell)), _dot(cell)]
    return element("div", *parts)


def _row(row: Row, names: Sequence[str], now: datetime, past: Past) -> Html:
    cells = {cell.environment: cell for cell in row.environments}
    marks: dict[Digest, int] = {}
    for name in names:
        if name in cells and (found := cells[name].digest):
            marks.setdefault(found, len(marks))
    return element(
        "tr",
        element("th", row.image, scope="row"),
        *(
            _cell(row.image, name, cells.get(name), marks, now, _past(past.get((name, row.image), ())))
            for name in names
        ),
        data_image=row.image,
    )


def _past(runs: Sequence[Run]) -> str | None:
    """What ran from when on, for the script: seconds since 1970 and a version, null for nothing."""
    found = [[int(run.begin.timestamp()), (run.version or "unknown") if run.digest else None] for run in runs]
    return json.dumps(found, separators=(",", ":")) if found else None


def _cell(
    image: str, environment: str, cell: Cell | None, marks: Mapping[Digest, int], now: datetime, past: str | None
) -> Html:
    state = cell.state if cell else None
    held = bool(cell and cell.holds)
    if cell is None or (cell.state == "empty" and not cell.holds):
        told = element("span", "–" if cell else "", aria_hidden="true")
        spoken = element("span", "nothing" if cell else "not shown", class_="spoken")
        nothing = element("span", told, spoken, class_="nothing")
        return element("td", nothing, data_env=environment, data_state=state, data_past=past)
    line = [*_mark(cell, marks), _version(cell), *_flag(cell), _dot(cell), _age(cell, now)]
    opened = element(
        "details", element("summary", *line), element("div", *_more(image, cell), class_="more"), class_="cell"
    )
    return element("td", opened, data_env=environment, data_state=state, data_held=held, data_past=past)


def _mark(cell: Cell, marks: Mapping[Digest, int]) -> list[Html]:
    if not cell.digest:
        return []
    mark = marks[cell.digest] % len(_MARKS)
    return [element("span", _MARKS[mark], class_=f"mark m{mark}", aria_hidden="true")]


def _version(cell: Cell) -> Html:
    known = cell.version or cell.found
    told = version(cell)
    return element("span", told, class_="version" if known else "version unknown", title=told)


def _flag(cell: Cell) -> list[Html]:
    """What is out of the ordinary, in a word or two."""
    told = {
        "interrupted": f"→ {cell.wanted or '?'}",
        "unrecorded": "by hand",
        "late": "late",
        "broken": "unreadable",
    }.get(cell.state)
    return [element("span", told, class_="flag", title=full(cell))] if told else []


def _dot(cell: Cell) -> Html:
    if not cell.holds:
        return Html()
    told = f"holds {', '.join(cell.holds)}"
    return element("span", element("span", told, class_="spoken"), class_="dot", title=told)


def _age(cell: Cell, now: datetime) -> Html:
    if cell.since is None or cell.state in ("unrecorded", "late"):
        return Html()
    return moment(cell.since, age(cell.since, now), class_="age")


def _more(image: str, cell: Cell) -> Iterable[Html]:
    """What a cell says when it is opened."""
    if cell.digest:
        yield digest(cell.digest)
    since = ["since ", moment(cell.since)] if cell.since else []
    by = [f" by {cell.by}" if since else f"by {cell.by}"] if cell.by else []
    if since or by:
        yield element("span", *since, *by, class_="since")
    if cell.proof:
        yield element("span", cell.proof.told, class_="signed")
    if cell.doubtful:
        told = "1 record does not count" if cell.doubtful == 1 else f"{cell.doubtful} records do not count"
        yield element("span", told, class_="badge open")
    if cell.state not in ("recorded", "empty"):
        yield element("span", full(cell), class_="badge open" if TONES[cell.state] == "alarm" else "badge drift")
    if cell.detail:
        yield element("span", cell.detail)
    known = {hold.version: hold for hold in cell.held}
    for label in cell.holds:
        yield joined([holds([label])])
        if (hold := known.get(label)) and hold.by:
            yield element("span", f"{hold.reason}, by {hold.by}")
    yield element("a", "What happened", element("span", f" to {image} in {cell.environment}", class_="spoken"),
                  href=f"#env-{cell.environment}", data_follow=image)  # fmt: skip
