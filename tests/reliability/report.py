"""docs/reliability.md: what runs have shown, written by the runs themselves between markers in the page."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tests.reliability.faults import STORMS, Season
from tests.reliability.matrix import VERBS, Cell
from tests.reliability.soak import Tally


class Interleaved(Protocol):
    """What was explored of one case."""

    schedules: int
    calls: int
    kills: int
    lost: int
    gaps: int

    @property
    def whole(self) -> Sequence[object]:
        """The budgets of which every schedule was played."""


@dataclass(frozen=True)
class Raced:
    """One round of a scene between processes; ``failure`` is empty where no promise was broken."""

    scene: str
    case: int
    medium: str
    number: int
    runs: int
    kills: int
    seconds: float
    failure: str


PAGE = Path(__file__).parents[2] / "docs/reliability.md"


def write(part: str, text: str) -> None:
    """Replace one part of the page."""
    page = PAGE.read_text()
    begin, end = f"<!-- {part}: made by a run -->\n", f"<!-- {part}: end -->"
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    assert head != page, f"{PAGE} has no part {part}"
    PAGE.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def day() -> str:
    """Today, in UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def matrix(cells: Sequence[Cell]) -> str:
    """The table of the matrix, and what it took to make it."""
    statuses: defaultdict[tuple[str, str, Season], set[int]] = defaultdict(set)
    for cell in cells:
        statuses[cell.storm, cell.verb, cell.season].add(cell.status)

    def shown(storm: str, verb: str, season: Season) -> str:
        return ", ".join(map(str, sorted(statuses[storm, verb, season]))) or "–"

    lines = ["| | " + " | ".join(VERBS) + " |", "| --- " * (len(VERBS) + 1) + "|"]
    for storm in STORMS.values():
        told = [f"{shown(storm.name, verb, 'passing')} / {shown(storm.name, verb, 'lasting')}" for verb in VERBS]
        lines.append(f"| {storm.told} | " + " | ".join(told) + " |")
    counted = {status: sum(cell.status == status for cell in cells) for status in sorted({it.status for it in cells})}
    outcomes = ", ".join(f"{count} × exit {status}" for status, count in counted.items())
    slowest = max(cells, key=lambda cell: cell.seconds)
    lines += [
        "",
        f"Made on {day()}: {len(cells)} commands in a storm ({outcomes}; none unknown), which sent"
        f" {sum(cell.requests for cell in cells):,} requests and met {sum(cell.faults for cell in cells):,} faults;"
        f" {sum(cell.runs for cell in cells) - len(cells):,} commands in fair weather afterwards, all with exit 0."
        f" The slowest took {slowest.seconds:.1f} s ({slowest.verb}, {STORMS[slowest.storm].told}).",
    ]
    return "\n".join(lines) + "\n"


def rows_of(page: str) -> list[list[str]]:
    """The cells of the matrix in the page."""
    part = page.partition("<!-- matrix: made by a run -->")[2].partition("<!-- matrix: end -->")[0]
    rows = [line for line in part.splitlines() if line.startswith("|") and not re.match(r"\| ---", line)]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def soak(memory: Tally, real: Tally, seed: int, minutes: float) -> str:
    """The two parts of the soak side by side."""
    columns = [("in memory", memory), ("a real registry, two processes", real)]
    rows = {
        "runs": [f"{it.runs:,}" for _, it in columns],
        "commands in the storm": [f"{it.commands:,}" for _, it in columns],
        "operations or requests": [f"{it.operations:,}" for _, it in columns],
        "faults that struck": [f"{it.faults:,}" for _, it in columns],
        "changes acknowledged": [f"{it.acknowledged:,}" for _, it in columns],
        "acknowledged changes missing in the history": ["0", "0"],
        "runs after which `verify` had another finding than `floating.stale`": ["0", "0"],
        "runs after which it had that one": [f"{it.stale:,}" for _, it in columns],
        "what the commands said": [_counted(it.outcomes) for _, it in columns],
        "what it took in fair weather": [_counted(it.reruns) for _, it in columns],
    }
    lines = ["| | " + " | ".join(name for name, _ in columns) + " |", "| --- " * 3 + "|"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    lines += ["", f"Made on {day()} in {minutes:.0f} minutes; first seed {seed}."]
    return "\n".join(lines) + "\n"


def interleave(tallies: Mapping[str, Interleaved], minutes: float) -> str:
    """What was explored, a line a case, and all of it."""
    lines = ["| commands that meet | schedules | calls | kills | lost answers | pauses | every schedule with |"]
    lines.append("| --- " + "| ---: " * 5 + "| --- |")
    for name, it in tallies.items():
        numbers = (it.schedules, it.calls, it.kills, it.lost, it.gaps)
        whole = "; ".join(map(str, it.whole)) or "(samples)"
        lines.append(f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + f" | {whole} |")
    total = {key: sum(getattr(it, key) for it in tallies.values()) for key in ("schedules", "calls", "kills", "lost")}
    lines += [
        "",
        f"Made on {day()} in {minutes:.0f} minutes: {total['schedules']:,} schedules with {total['calls']:,} calls,"
        f" {total['kills']:,} kills and {total['lost']:,} lost answers. None broke a promise.",
    ]
    return "\n".join(lines) + "\n"


def race(cases: Mapping[int, str], played: Sequence[Raced], minutes: float) -> str:
    """What was raced, a line a case, and all of it."""
    lines = ["| case | scenes | rounds, registry | rounds, layout | commands | killed |"]
    lines.append("| --- " + "| ---: " * 5 + "|")
    for number, told in cases.items():
        of_case = [it for it in played if it.case == number]
        rounds = Counter(it.medium for it in of_case)
        commands, kills = (sum(getattr(it, key) for it in of_case) for key in ("runs", "kills"))
        numbers = (len({it.scene for it in of_case}), rounds["registry"], rounds["layout"], commands, kills)
        lines.append(f"| {number}. {told} | " + " | ".join(f"{it:,}" for it in numbers) + " |")
    failures = sum(bool(it.failure) for it in played)
    lines += [
        "",
        f"Made on {day()} in {minutes:.0f} minutes: {len(played):,} rounds with {sum(it.runs for it in played):,}"
        f" commands, each a process, {sum(it.kills for it in played):,} of them killed; {failures} broke a promise.",
    ]
    return "\n".join(lines) + "\n"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count:,} × {what}" for what, count in counter.most_common())
