"""Processes, timed: what is compared runs in turns, so that whatever else the machine does meets all alike."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile


@dataclass(frozen=True)
class Sample:
    """One run: seconds by the clock, seconds of processor, MiB at most (of the largest process)."""

    seconds: float
    processor: float
    memory: float


@dataclass(frozen=True)
class Job:
    """A process to run. ``command`` is a shell line, or words."""

    command: str | Sequence[str]
    directory: Path
    environ: Mapping[str, str]

    def run(self) -> Sample:
        """One run, which must succeed."""
        words = ["/bin/sh", "-c", self.command] if isinstance(self.command, str) else list(self.command)
        with TemporaryFile() as output:
            began = time.perf_counter()
            process = subprocess.Popen(
                words, cwd=self.directory, env=self.environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                output.seek(0)
                raise RuntimeError(f"{words} ended with {process.returncode}: {output.read()[-1000:]!r}")
        return Sample(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def processor_of(pid: int) -> float:
    """The seconds of processor that a process has used so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


Contestants = Mapping[str, Callable[[int], Job]]
"""Name → the job of its n-th run."""


def in_turns(contestants: Contestants, runs: int) -> dict[str, list[Sample]]:
    """Everyone's samples: each round begins with another one."""
    found: dict[str, list[Sample]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(runs):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            found[name].append(contestants[name](number).run())
    return found


def seconds(samples: Sequence[Sample]) -> float:
    """The median time."""
    return median(sample.seconds for sample in samples)


def ratio(slower: Sequence[Sample], faster: Sequence[Sample]) -> float:
    """How many times as long one takes as the other: the median over the rounds."""
    return median(one.seconds / other.seconds for one, other in zip(slower, faster, strict=True))
