"""`make interleave`: explore every case far, and write what was explored into docs/reliability.md.

    python -m tests.interleave [--minutes N] [CASE…]

Each case has its share of the time; one that needs more is cut off there, and the page says how far each came.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator

from tests.interleave.cases import CASES
from tests.interleave.effort import BEYOND, STAGES
from tests.interleave.explore import Explorer, Failure, Tally
from tests.interleave.told import tell
from tests.interleave.world import seeds
from tests.reliability import report

_SLICE = 25
"""Random schedules between two looks at the clock."""
_FOR_SAMPLES = 0.2
"""The share of a case's time that is kept for what no budget reaches."""


def explore(job: tuple[str, float]) -> tuple[str, Tally, list[str]]:
    """One case, for so many seconds: all schedules of each stage, then samples."""
    name, seconds = job
    tally, told = Tally(), []
    for failure in _failures(name, seconds, tally):
        told.append(tell(failure))
        if len(told) == 3:
            break
    return name, tally, told


def _failures(name: str, seconds: float, tally: Tally) -> Iterator[Failure]:
    case = CASES[name]()
    end = time.monotonic() + seconds
    until = end - seconds * _FOR_SAMPLES
    explorers = [Explorer(case, seed, tally=tally, until=until) for seed in seeds(case)]
    if len(case.commands) == 2:
        for stage in STAGES:
            for explorer in explorers:
                yield from explorer.all(stage)
            if not tally.truncated:
                tally.whole.append(stage)
    for explorer in explorers:
        explorer.until = end
    round_ = 0
    while time.monotonic() < end:
        for explorer in explorers:
            yield from explorer.sample(BEYOND, _SLICE, seed=round_)
        round_ += 1


def main() -> None:
    """All cases, several at once; the page is written where no promise was broken."""
    parser = argparse.ArgumentParser(prog="tests.interleave")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE")
    asked = parser.parse_args()
    names = asked.cases or list(CASES)
    workers = multiprocessing.cpu_count()
    seconds = asked.minutes * 60 * workers / len(names)
    began, broken = time.monotonic(), 0
    tallies: dict[str, Tally] = {}
    with multiprocessing.Pool(workers, maxtasksperchild=1) as pool:
        for name, tally, told in pool.imap_unordered(explore, [(name, seconds) for name in names], chunksize=1):
            tallies[name] = tally
            print(f"{name}: {tally.schedules:,} schedules, {tally.calls:,} calls, {len(told)} failures", flush=True)
            for text in told:
                print(text, flush=True)
            broken += len(told)
    if broken:
        sys.exit(f"{broken} schedules broke a promise; the page stays as it was")
    if not asked.cases:
        minutes = (time.monotonic() - began) / 60
        report.write("interleave", report.interleave({name: tallies[name] for name in names}, minutes))


if __name__ == "__main__":
    main()
