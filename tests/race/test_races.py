"""Each scene once, on each medium; `make race` plays each fifty times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.marks import LONG
from tests.race.nursery import Nursery
from tests.race.scenes import CASES, SCENES, Scene
from tests.race.site import MEDIA, Medium, site
from tests.servers import require


def _all() -> Iterator[Any]:
    for scene in SCENES.values():
        for medium in scene.media:
            marks = [pytest.mark.registry] if medium == "registry" else []
            marks += [] if scene.short else [LONG]
            marks += [getattr(pytest.mark, tool) for tool in scene.needs]
            yield pytest.param(scene, medium, marks=marks, id=f"{scene.case} {scene.name}, {medium}")


@pytest.mark.parametrize(("scene", "medium"), list(_all()))
def test_race(scene: Scene, medium: Medium, nursery: Nursery, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for tool in scene.needs:
        require(tool)
    server = request.getfixturevalue("registry") if medium == "registry" else None
    with site(medium, tmp_path / "site", nursery, server) as ground:
        try:
            scene.play(ground)
        except BaseException:
            print(ground)
            raise


def test_each_case_is_played_on_each_medium() -> None:
    played = {(scene.case, medium) for scene in SCENES.values() for medium in scene.media}
    assert played == {(case, medium) for case in CASES for medium in MEDIA}
