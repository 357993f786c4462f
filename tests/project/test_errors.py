"""docs/errors.md lists every error code of the source with its exit status, and no other."""

from __future__ import annotations

import re

from tests.project.codes import raised
from tests.project.source import ROOT

ROW = re.compile(r"^\| (?:<a id=\"[a-z_.]+\"></a>)?`([a-z_.]+)` \| ([\d, ]+) \| (.+?) \| (.+?) \|$", re.M)
TEXT = (ROOT / "docs" / "errors.md").read_text()
DOCUMENTED = {code: {int(status) for status in statuses.split(",")} for code, statuses, _, _ in ROW.findall(TEXT)}


RAISED = raised()


def test_the_source_is_read() -> None:
    assert RAISED["promotion.order"] == {3}
    assert RAISED["promotion.held"] == {3}
    assert RAISED["tag.moved"] == {5}
    assert RAISED["policy.invalid"] == {2}
    assert RAISED["engine.push_failed"] == {6}


def test_every_code_is_documented() -> None:
    assert sorted(RAISED.keys() - DOCUMENTED.keys()) == []


def test_every_documented_code_is_raised() -> None:
    assert sorted(DOCUMENTED.keys() - RAISED.keys()) == []


def test_exit_statuses() -> None:
    both = RAISED.keys() & DOCUMENTED.keys()
    assert {code: DOCUMENTED[code] for code in both} == {code: RAISED[code] for code in both}


def test_codes_are_listed_once_and_in_order() -> None:
    """Sorted below each heading, and under the heading of their area."""
    for heading, *rows in (section.splitlines() for section in re.split(r"^## ", TEXT, flags=re.M)[1:]):
        codes = [match[1] for row in rows if (match := ROW.fullmatch(row))]
        assert codes == sorted(codes), heading
        areas = {code.partition(".")[0] for code in codes}
        assert areas <= set(re.findall(r"\w+", heading.lower())), heading
    assert len(ROW.findall(TEXT)) == len(DOCUMENTED)


def test_every_exit_status_is_explained() -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "exit-codes.md").read_text(), re.M)
    raisable = {status for statuses in RAISED.values() for status in statuses}
    assert {int(row) for row in rows} == {0, 141} | raisable  # 141: whoever read standard output closed it
