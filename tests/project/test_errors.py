"""docs/errors.md lists every error code of the source with its exit status, and no other."""

from __future__ import annotations

import re

import pytest

from tests.project.codes import raised
from tests.project.source import ROOT

ROW = re.compile(r"^\| (?:<a id=\"[a-z_.]+\"></a>)?`([a-z_.]+)` \| ([\d, ]+) \| (.+?) \| (.+?) \|$", re.M)
TEXT = (ROOT / "docs" / "errors.md").read_text()
DOCUMENTED = {code: {int(status) for status in statuses.split(",")} for code, statuses, _, _ in ROW.findall(TEXT)}

Codes = dict[str, set[int]]


@pytest.fixture(scope="module")
def codes() -> Codes:
    """Every code of the source."""
    return raised()


def test_the_source_is_read(codes: Codes) -> None:
    assert codes["promotion.order"] == {3}
    assert codes["promotion.held"] == {3}
    assert codes["tag.moved"] == {5}
    assert codes["policy.invalid"] == {2}
    assert codes["engine.push_failed"] == {6}


def test_every_code_is_documented(codes: Codes) -> None:
    assert sorted(codes.keys() - DOCUMENTED.keys()) == []


def test_every_documented_code_is_raised(codes: Codes) -> None:
    assert sorted(DOCUMENTED.keys() - codes.keys()) == []


def test_exit_statuses(codes: Codes) -> None:
    both = codes.keys() & DOCUMENTED.keys()
    assert {code: DOCUMENTED[code] for code in both} == {code: codes[code] for code in both}


def test_codes_are_listed_once_and_in_order() -> None:
    """Sorted below each heading, and under the heading of their area."""
    for heading, *rows in (section.splitlines() for section in re.split(r"^## ", TEXT, flags=re.M)[1:]):
        listed = [match[1] for row in rows if (match := ROW.fullmatch(row))]
        assert listed == sorted(listed), heading
        areas = {code.partition(".")[0] for code in listed}
        assert areas <= set(re.findall(r"\w+", heading.lower())), heading
    assert len(ROW.findall(TEXT)) == len(DOCUMENTED)


def test_every_exit_status_is_explained(codes: Codes) -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "exit-codes.md").read_text(), re.M)
    raisable = {status for statuses in codes.values() for status in statuses}
    assert {int(row) for row in rows} == {0, 141} | raisable  # 141: whoever read standard output closed it
