"""One core for a schedule: its threads take turns, and where the turns go from core to core it takes a third longer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def available() -> list[int]:
    """The cores that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    return sorted(os.sched_getaffinity(0))


def settle(core: int) -> None:
    """Stay on one core, where the system lets a process choose; threads that begin later inherit it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


@contextmanager
def one_core(worker: int) -> Iterator[None]:
    """Stay on one core meanwhile: the ``worker``-th of those that there are, and of the same again."""
    cores = available()
    settle(cores[worker % len(cores)])
    try:
        yield
    finally:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
