"""`make soak`: the whole soak; what it came to is written into docs/reliability.md.

Usage: python -m tests.reliability.long [RUNS [DUELS [SEED]]]
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.reliability import report
from tests.reliability.duel import duel
from tests.reliability.soak import Tally, soak
from tests.servers import running_registry

PORTION = 100
"""Runs of one seed."""


def main(runs: int = 10_000, duels: int = 200, seed: int = 0) -> None:
    """Both parts; the page tells what was done so far."""
    seed = seed or random.SystemRandom().getrandbits(31)
    began = time.monotonic()
    print(f"seeds {seed} to {seed + runs // PORTION - 1}", flush=True)
    real, memory = _duels(duels, seed), Tally()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for tally in pool.imap_unordered(_portion, range(seed, seed + runs // PORTION)):
            memory += tally
            seconds = time.monotonic() - began
            print(f"{memory.runs} runs after {seconds:.0f} s", flush=True)
            report.write("soak", report.soak(memory, real, seed, seconds / 60))


def _portion(seed: int) -> Tally:
    return soak(seed, PORTION)


def _duels(count: int, seed: int) -> Tally:
    with tempfile.TemporaryDirectory() as directory, running_registry(Path(directory, "registry")) as server:
        tally = Tally()
        for part in range(0, count, 10):  # a fresh ground now and then: histories stay short
            with duel(server, Path(directory, f"duel-{part}"), seed + part) as both:
                for _ in range(min(10, count - part)):
                    both.run()
                tally += both.tally
            print(f"{tally.runs} duels", flush=True)
        return tally


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
