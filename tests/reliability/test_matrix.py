"""Verbs in storms: a part of the matrix that docs/reliability.md holds whole (`make reliability` makes it anew)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from tests.daemons import Daemon, running_daemon
from tests.marks import LONG
from tests.reliability.faults import STORMS, Season
from tests.reliability.matrix import VERBS, Ground, challenge_of, every_cell, ground
from tests.reliability.report import PAGE, rows_of
from tests.servers import RegistryServer

pytestmark = pytest.mark.registry
SHORT = ("429-seconds", "reset-after", "stalled", "token", "lost-put")


def _is_short(storm: str, season: Season) -> bool:
    return storm in SHORT and season == STORMS[storm].seasons[0]


_KINDS = list(dict.fromkeys((storm.name, season) for _, storm, season in every_cell()))
PART = [
    pytest.param(verb, *kind, marks=[pytest.mark.engine] * (verb == "pull") + [LONG] * (not _is_short(*kind)))
    for verb, kind in zip(cycle(VERBS), _KINDS, strict=False)
]
"""Each storm once, each verb several times. `make test` has one storm of each sort, that passes where it does."""


@pytest.fixture(scope="module")
def plain(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(registry, tmp_path_factory.mktemp("storm")) as made:
        yield made


@pytest.fixture(scope="module")
def locked(token_registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(token_registry, tmp_path_factory.mktemp("storm"), challenge_of(token_registry)) as made:
        yield made


@pytest.fixture(scope="module")
def machine() -> Iterator[Daemon]:
    with running_daemon() as daemon:
        yield daemon


@pytest.mark.parametrize(("verb", "storm", "season"), PART)
def test_the_outcome_is_right_and_nothing_is_lost(
    request: pytest.FixtureRequest, verb: str, storm: str, season: Season
) -> None:
    place: Ground = request.getfixturevalue("locked" if STORMS[storm].login else "plain")
    if verb == "pull":
        place.attach(request.getfixturevalue("machine"))
    cell = place.run(verb, STORMS[storm], season)
    assert cell.healed == 0
    if storm not in ("refused", "lost-put", "token"):  # where nobody listens or too little is asked, nothing strikes
        assert cell.faults, "the storm did not strike"


def test_the_page_holds_every_verb_in_every_storm() -> None:
    header, *rows = rows_of(Path(PAGE).read_text())
    assert header == ["", *VERBS]
    assert [row[0] for row in rows] == [storm.told for storm in STORMS.values()]
    for row in rows:
        for cell in row[1:]:
            assert set(cell) <= set("04567, /–"), row
