"""The environments in order, each a card: what most images run there, what is out of the ordinary, what came last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from tagflow.cli.render.matrix import version
from tagflow.cli.render.moments import age
from tagflow.cli.report.markup import Html, element, joined
from tagflow.verbs.report import Report, Timeline
from tagflow.verbs.status import Cell

TONES = {"interrupted": "alarm", "late": "alarm", "broken": "alarm", "unrecorded": "warn"}
"""How bad a state is."""
_TOLD = {"interrupted": "interrupted", "late": "late", "broken": "unreadable", "unrecorded": "by hand"}


def flow(report: Report, now: datetime) -> Html:
    """A card for each environment that is shown."""
    cells: dict[str, list[Cell]] = {}
    for row in report.rows:
        for cell in row.cells:
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
