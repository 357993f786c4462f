"""One scene played once, by one of several workers."""

from __future__ import annotations

import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.race.nursery import Nursery
from tests.race.scenes import SCENES
from tests.race.site import Medium, site
from tests.reliability.report import Raced
from tests.servers import RegistryServer


@dataclass(frozen=True)
class Round:
    """One scene to be played once, in a folder."""

    name: str
    medium: Medium
    number: int
    folder: Path
    server: RegistryServer


_nurseries: list[Nursery] = []


def begin() -> None:
    """In each worker, first."""
    _nurseries.append(Nursery())


def play(one: Round) -> Raced:
    """Play one round."""
    began, failure = time.monotonic(), ""
    with site(one.medium, one.folder, _nurseries[0], one.server, one.number) as ground:
        try:
            SCENES[one.name].play(ground)
        except Exception:  # noqa: BLE001 - whatever it was, the other rounds go on
            failure = f"{traceback.format_exc()}\n{ground}"
        runs, kills = len(ground.runs), ground.kills
    if not failure:
        shutil.rmtree(one.folder, ignore_errors=True)
    seconds = time.monotonic() - began
    return Raced(one.name, SCENES[one.name].case, one.medium, one.number, runs, kills, seconds, failure)
