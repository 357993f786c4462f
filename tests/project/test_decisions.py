"""Every decision in docs/adr has a day and a status, and stands in the list."""

from __future__ import annotations

import re
from datetime import date

from tests.project.source import ROOT

FOLDER = ROOT / "docs" / "adr"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))
_HEAD = re.compile(r"# (\d{4}): (.+)\n\n(\d{4}-\d\d-\d\d) · (accepted|superseded by \d{4})( · .+)?\n\n")
_ROW = re.compile(r"^\| \[(\d{4})\]\((.+?)\) \| (.+?) \| (\S+) \| (.+?) \|$", re.M)


def test_each_has_a_day_and_a_status_and_a_row() -> None:
    rows = {number: row for number, *row in _ROW.findall((FOLDER / "README.md").read_text())}
    written = {}
    for path in DECISIONS:
        head = _HEAD.match(path.read_text())
        assert head is not None, f"{path.name}: no number, title, day and status"
        number, title, day, status, _ = head.groups()
        assert path.name.startswith(number), path.name
        assert date.fromisoformat(day), path.name
        written[number] = [path.name, title, day, status]
    assert rows == written


def test_what_supersedes_is_there() -> None:
    numbers = {path.name[:4] for path in DECISIONS}
    named = {number for path in DECISIONS for number in re.findall(r"superseded by (\d{4})", path.read_text())}
    assert named <= numbers
