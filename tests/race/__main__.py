"""`make race`: play fifty rounds of each case on each medium, and write what was played into docs/reliability.md.

    python -m tests.race [--rounds N] [--at-once N] [--keep FOLDER] [SCENE…]

Most scenes wait most of the time: several are played at once, each on a site of its own. ``SCENE`` is a part of a
scene's name, or the number of its case. What fails is printed, and its folder kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from tests.race.rounds import Round, begin, play
from tests.race.scenes import CASES, SCENES
from tests.race.site import MEDIA
from tests.reliability import report
from tests.servers import RegistryServer, require, running_registry


def _rounds(names: Sequence[str], rounds: int, folder: Path, server: RegistryServer) -> Iterator[Round]:
    """All of them: of each case, its scenes in turn. A round of each case, then another: what breaks is seen early."""
    for number in range(1, rounds + 1):
        for case, medium in product(CASES, MEDIA):
            scenes = [it for it in names if SCENES[it].case == case and medium in SCENES[it].media]
            if scenes:
                name = scenes[(number - 1) % len(scenes)]
                yield Round(name, medium, number, folder / f"{case}-{medium}-{number}", server)


def _chosen(asked: Sequence[str]) -> list[str]:
    def is_chosen(name: str) -> bool:
        return not asked or any(it == str(SCENES[name].case) or (not it.isdigit() and it in name) for it in asked)

    return [name for name in SCENES if is_chosen(name)]


def _tell(played: Sequence[report.Raced]) -> None:
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for it in played:
        seconds[f"{it.case:2} {it.scene}, {it.medium}"].append(it.seconds)
    failed = Counter(f"{it.case:2} {it.scene}, {it.medium}" for it in played if it.failure)
    for name, taken in sorted(seconds.items()):
        mean = sum(taken) / len(taken)
        print(f"{len(taken):4} rounds, {failed[name]:3} failed, {mean:5.1f} s each: {name}", flush=True)


def main() -> None:
    """Play, tell, and write the page where all was played and nothing broke."""
    parser = argparse.ArgumentParser(prog="tests.race")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=6 * multiprocessing.cpu_count())
    parser.add_argument("--keep", type=Path, default=None)
    parser.add_argument("scenes", nargs="*", metavar="SCENE")
    asked = parser.parse_args()
    names = _chosen(asked.scenes)
    for tool in sorted({tool for name in names for tool in SCENES[name].needs}):
        require(tool)
    folder = Path(tempfile.mkdtemp(prefix="race-", dir=asked.keep))
    began = time.monotonic()
    played: list[report.Raced] = []
    with (
        running_registry(folder / "server") as server,
        multiprocessing.get_context("fork").Pool(asked.at_once, begin) as pool,
    ):
        for it in pool.imap_unordered(play, _rounds(names, asked.rounds, folder, server)):
            played.append(it)
            if len(played) % 100 == 0:
                print(f"{len(played):,} rounds after {time.monotonic() - began:.0f} s", flush=True)
            if it.failure:
                print(f"round {it.number} of {it.scene}, {it.medium}:\n{it.failure}\n", flush=True)
    _tell(played)
    broken = [it for it in played if it.failure]
    if broken:
        sys.exit(f"{len(broken)} rounds broke a promise (see {folder}); the page stays as it was")
    shutil.rmtree(folder)
    if not asked.scenes:
        minutes = (time.monotonic() - began) / 60
        report.write("race", report.race(CASES, played, minutes))


if __name__ == "__main__":
    main()
