"""`make interleave`: explore every case far, and write what was explored into docs/reliability.md.

    python -m tests.interleave [--minutes N] [--again] [CASE…]

All cases of two runs with one switch, then all with one fault, and so on; what there is no time for is cut off, and the
page says how far each case came. The deepest stages begin with the cases of one image. A fifth of the time is for
samples beyond that. What a run has explored whole counts for the next one, while the code is the same (``--again``:
begin anew).
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from multiprocessing.queues import SimpleQueue

from tests.interleave.cases import CASES, PAIRS
from tests.interleave.cores import available, settle
from tests.interleave.effort import BEYOND, DEEP, STAGES, Stage
from tests.interleave.explore import Explorer, Failure, Tally
from tests.interleave.kept import Piece, add, kept_file, read
from tests.interleave.told import tell
from tests.interleave.world import seeds
from tests.reliability import report

_SLICE = 25
"""Random schedules between two looks at the clock."""
_MANY = 1_000_000
"""More such slices than a run takes."""
_FOR_SAMPLES = 0.2
"""The share of the time that is kept for what no budget reaches."""
ORDERS = 2
"""In how many orders the runs' first records may sort."""
_TOLD = 3
"""So many schedules that break a promise are told of each piece of work."""


@dataclass(frozen=True)
class Job:
    """A piece of work: a case, a stage, and which order of the first records; or samples of a case, and how often
    some were taken before. ``until`` when, by the clock that only goes on. ``seconds``: so long a job for samples
    takes."""

    case: str
    stage: Stage | None
    order: int = 0
    until: float = 0.0
    seconds: float = 0.0

    @property
    def name(self) -> tuple[str, str, int]:
        """What tells it from others."""
        return self.case, str(self.stage or ""), self.order


@dataclass(frozen=True)
class Done:
    """What was explored, and the first schedules that broke a promise."""

    job: Job
    piece: Piece
    told: Sequence[str]


def explore(job: Job) -> Done:
    """Do a piece of work."""
    tally, began = Tally(), time.monotonic()
    failures = _samples(job, tally) if job.stage is None else _all(job, job.stage, tally)
    told = [tell(failure) for failure in islice(failures, _TOLD)]
    return Done(job, Piece(*job.name, time.monotonic() - began, tally), told)


def _all(job: Job, stage: Stage, tally: Tally) -> Iterator[Failure]:
    if time.monotonic() >= job.until:
        tally.truncated += 1
        return
    for seed in _seeds(job.case)[job.order : job.order + 1]:  # in some cases there is but one order
        explorer = Explorer(CASES[job.case](), seed, stage.limits, tally=tally, until=job.until)
        yield from explorer.all(stage.budget)


def _samples(job: Job, tally: Tally) -> Iterator[Failure]:
    case = CASES[job.case]()
    until = time.monotonic() + job.seconds
    explorers = [Explorer(case, seed, tally=tally, until=until) for seed in _seeds(job.case)]
    for number in count(job.order * _MANY):
        if time.monotonic() >= until:
            return
        for explorer in explorers:
            yield from explorer.sample(BEYOND, _SLICE, seed=number)


@cache
def _seeds(name: str) -> list[str]:
    return seeds(CASES[name](), ORDERS)


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
    parser.add_argument("--again", action="store_true")
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE")
    asked = parser.parse_args()
    names = asked.cases or list(CASES)
    cores: SimpleQueue[int] = multiprocessing.SimpleQueue()
    for core in available():
        cores.put(core)
    workers = len(available())
    kept = kept_file()
    if asked.again:
        kept.unlink(missing_ok=True)
    pieces = list(read(kept))
    known = {(it.case, it.stage, it.order) for it in pieces if it.stage}
    seconds = asked.minutes * 60
    until = time.monotonic() + seconds * (1 - _FOR_SAMPLES)
    in_order = _in_order(name for name in names if name in PAIRS)
    jobs = [Job(name, stage, order, until) for stage, name in in_order for order in range(ORDERS)]
    jobs = [job for job in jobs if job.name not in known]
    earlier = Counter(it.case for it in pieces if not it.stage)
    each = seconds * _FOR_SAMPLES * workers / len(names)
    jobs += [Job(name, None, earlier[name], seconds=each) for name in names]
    broken = 0
    # Each worker lives to the end: one more would find no core in the queue.
    with multiprocessing.Pool(workers, _settle, (cores,)) as pool:
        for done in pool.imap_unordered(explore, jobs, chunksize=1):
            piece, cut = done.piece, bool(done.piece.tally.truncated)
            what = f"{piece.stage or 'samples'}{', cut off' if cut and piece.stage else ''}"
            tally = piece.tally
            print(f"{piece.case}: {what}: {tally.schedules:,} schedules, {tally.calls:,} calls", flush=True)
            for text in done.told:
                print(text, flush=True)
            broken += len(done.told)
            pieces.append(piece)
            if not done.told and not (cut and piece.stage):
                add(kept, piece)
    if broken:
        sys.exit(f"{broken} schedules broke a promise; the page stays as it was")
    if not asked.cases:
        report.write("interleave", report.interleave(_tallies(names, pieces), _minutes(pieces, workers)))


def _tallies(names: Iterable[str], pieces: Iterable[Piece]) -> dict[str, Tally]:
    """What was explored of each case; a stage is whole where each order is."""
    tallies = {name: Tally() for name in names}
    ended: Counter[tuple[str, str]] = Counter()
    for piece in pieces:
        tallies[piece.case] += piece.tally
        ended[piece.case, piece.stage] += not piece.tally.truncated
    for name, tally in tallies.items():
        tally.whole += [stage for stage in STAGES if ended[name, str(stage)] == ORDERS]
    return tallies


def _minutes(pieces: Iterable[Piece], workers: int) -> float:
    return sum(piece.seconds for piece in pieces) / workers / 60


if __name__ == "__main__":
    main()
