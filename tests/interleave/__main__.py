"""`make interleave`: explore every case far, and write what was explored into docs/reliability.md.

    python -m tests.interleave [--minutes N] [CASE…]

All cases of two runs with one switch, then all with one fault, and so on; what there is no time for is cut off, and the
page says how far each case came. The deepest stages begin with the cases of one image. A fifth of the time is for
samples beyond that.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing.queues import SimpleQueue

from tests.interleave.cases import CASES, PAIRS
from tests.interleave.cores import available, settle
from tests.interleave.effort import BEYOND, DEEP, STAGES, Stage
from tests.interleave.explore import Explorer, Failure, Tally
from tests.interleave.told import tell
from tests.interleave.world import seeds
from tests.reliability import report

_SLICE = 25
"""Random schedules between two looks at the clock."""
_FOR_SAMPLES = 0.2
"""The share of the time that is kept for what no budget reaches."""
_TOLD = 3
"""So many schedules that break a promise are told of each piece of work."""


@dataclass(frozen=True)
class Job:
    """A piece of work: a case and a stage, or samples; ``until`` when, by the clock that only goes on. ``seconds``: so
    long a job for samples takes."""

    case: str
    stage: Stage | None
    until: float = 0.0
    seconds: float = 0.0


def explore(job: Job) -> tuple[Job, Tally, list[str]]:
    """What was explored, and the first schedules that broke a promise."""
    tally = Tally()
    failures = _samples(job, tally) if job.stage is None else _all(job, job.stage, tally)
    return job, tally, [tell(failure) for failure in islice(failures, _TOLD)]


def _all(job: Job, stage: Stage, tally: Tally) -> Iterator[Failure]:
    case = CASES[job.case]()
    if time.monotonic() >= job.until:
        tally.truncated += 1
        return
    for seed in seeds(case):
        yield from Explorer(case, seed, stage.limits, tally=tally, until=job.until).all(stage.budget)
    if not tally.truncated:
        tally.whole.append(stage)


def _samples(job: Job, tally: Tally) -> Iterator[Failure]:
    case = CASES[job.case]()
    until = time.monotonic() + job.seconds
    explorers = [Explorer(case, seed, tally=tally, until=until) for seed in seeds(case)]
    for number in count():
        if time.monotonic() >= until:
            return
        for explorer in explorers:
            yield from explorer.sample(BEYOND, _SLICE, seed=number)


def _in_order(names: Iterable[str]) -> list[tuple[Stage, str]]:
    """Stage by stage. From a fault beside a switch on, cases of several images come last: there one of them has more
    schedules than all of one image together."""
    several = {name: len(CASES[name]().images) > 1 for name in names}
    pairs = [(stage, name) for stage in STAGES for name in several]
    return sorted(pairs, key=lambda pair: several[pair[1]] and pair[0] in DEEP)


def _settle(cores: SimpleQueue[int]) -> None:
    """Give this worker a core of its own."""
    settle(cores.get())


def main() -> None:
    """All cases, several at once; the page is written where no promise was broken."""
    parser = argparse.ArgumentParser(prog="tests.interleave")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE")
    asked = parser.parse_args()
    names = asked.cases or list(CASES)
    cores: SimpleQueue[int] = multiprocessing.SimpleQueue()
    for core in available():
        cores.put(core)
    workers = len(available())
    began, seconds = time.monotonic(), asked.minutes * 60
    until = began + seconds * (1 - _FOR_SAMPLES)
    jobs = [Job(name, stage, until) for stage, name in _in_order(name for name in names if name in PAIRS)]
    jobs += [Job(name, None, seconds=seconds * _FOR_SAMPLES * workers / len(names)) for name in names]
    tallies = {name: Tally() for name in names}
    broken = 0
    # Each worker lives to the end: one more would find no core in the queue.
    with multiprocessing.Pool(workers, _settle, (cores,)) as pool:
        for job, tally, told in pool.imap_unordered(explore, jobs, chunksize=1):
            tallies[job.case] += tally
            what = "samples" if job.stage is None else f"{job.stage}{', cut off' if tally.truncated else ''}"
            print(f"{job.case}: {what}: {tally.schedules:,} schedules, {tally.calls:,} calls", flush=True)
            for text in told:
                print(text, flush=True)
            broken += len(told)
    if broken:
        sys.exit(f"{broken} schedules broke a promise; the page stays as it was")
    if not asked.cases:
        report.write("interleave", report.interleave(tallies, (time.monotonic() - began) / 60))


if __name__ == "__main__":
    main()
