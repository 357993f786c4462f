"""Six processes at once, with kills, on a registry and on layouts."""

from __future__ import annotations

from tests.race.site import Site
from tests.race.storm import Storm


def test_storm_of_six_processes(site: Site, attempt: int) -> None:
    storm = Storm(site, seed=attempt)
    storm.prepare()
    assert storm.blow() == []
    assert storm.calm() == []
