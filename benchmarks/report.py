"""What was measured, as docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import peers

HEAD = """# Benchmarks

Written by `make bench`, never by hand. Everything ran on one machine against `docker-registry` (distribution) on
loopback, what is compared in turns; times are medians. Times depend on the machine; requests, rounds and, mostly,
ratios do not. A round is what one answer takes to come: requests of one round don't wait for one another.
"""


@dataclass
class Report:
    """Grows section by section."""

    sections: list[str] = field(default_factory=list)

    def add(self, title: str, head: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> None:
        """A table; the first column is text, the others are figures."""
        lines = [f"## {title}", "", _row(head), _row(["---"] + ["--:"] * (len(head) - 1)), *map(_row, rows)]
        self.sections.append("\n".join([*lines, *(["", note] if note else [])]))
        print(self.sections[-1], end="\n\n", flush=True)

    def write(self, path: Path) -> None:
        """The whole page."""
        path.write_text("\n\n".join([HEAD.strip(), _machine(), *self.sections]) + "\n")


def ms(seconds: float) -> str:
    """A time for people."""
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def times(ratio: float) -> str:
    """A ratio for people."""
    return f"{ratio:.1f} ×"


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[1]
    facts = [
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} processors ({platform.machine()}), {memory:.0f} GiB,"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()}; load {load:.1f} at the end.",
        *(f"{tool}: {version}." for tool, version in peers.versions().items()),
    ]
    return "\n".join(f"- {fact}" for fact in facts)
