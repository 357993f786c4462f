"""docs/versions.md has lists of real tags in their order: that is the order."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path

import pytest

from tagflow.domain.versions.natural import NATURAL
from tagflow.domain.versions.semver import SEMVER

PAGE = (Path(__file__).parents[2] / "docs" / "versions.md").read_text()
ROWS = {
    image: re.findall(r"`([^`]+)`", order)
    for image, order in re.findall(r"^\| ([^|]+) \| (`[^|]+) \|$", PAGE, re.M)
    if order.count("`") > 4 and "(default)" not in order
}


def test_the_table_is_there() -> None:
    assert len(ROWS) == 12


@pytest.mark.parametrize("image", ROWS)
def test_the_order_of_a_real_list(image: str) -> None:
    versions = [NATURAL.read(text) for text in ROWS[image]]
    for older, newer in pairwise(versions):
        assert older < newer
    shuffled = random.Random(7).sample(versions, len(versions))
    assert sorted(shuffled) == versions
    assert [str(version) for version in versions] == [text.removeprefix("v") for text in ROWS[image]]


@pytest.mark.parametrize("image", ROWS)
def test_semver_orders_a_list_alike_or_reads_it_otherwise(image: str) -> None:
    """Where strict SemVer reads a neighbouring pair and sees it the other way round, a suffix is why."""
    for one, other in pairwise(ROWS[image]):
        older, newer = SEMVER.find(one), SEMVER.find(other)
        if older is not None and newer is not None and newer < older:
            assert SEMVER.is_unclear(older, newer) or newer.is_prerelease
