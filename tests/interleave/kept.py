"""What was explored already, so that a long exploration may be done in several runs, as long as the code is the same.

A line of JSON for each piece of work that is done, in ``build/interleave/``, in a file that is named after the code:
what explores and what is explored.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.interleave.explore import Tally

ROOT = Path(__file__).parents[2]
_COUNTS = ("schedules", "states", "calls", "kills", "lost", "late", "gaps", "truncated")


@dataclass(frozen=True)
class Piece:
    """A piece of work that is done: every schedule of a case within a stage, for one order of the first records, or
    samples (``stage`` is empty then). ``seconds``: what it took, of one processor."""

    case: str
    stage: str
    order: int
    seconds: float
    tally: Tally = field(compare=False)


def kept_file(folder: Path = ROOT / "build" / "interleave") -> Path:
    """Where the pieces of this code are kept."""
    return folder / f"{_code()}.jsonl"


def read(path: Path) -> Iterator[Piece]:
    """What was kept. A last line that was cut off is none."""
    lines = path.read_text("utf-8").split("\n")[:-1] if path.exists() else []
    for line in lines:
        values = json.loads(line)
        counts = values.pop("tally")
        tally = Tally(**{name: counts[name] for name in _COUNTS}, exits=Counter(counts["exits"]))
        yield Piece(**values, tally=tally)


def add(path: Path, piece: Piece) -> None:
    """Keep one more."""
    counts = {name: getattr(piece.tally, name) for name in _COUNTS} | {"exits": piece.tally.exits}
    values = {name: getattr(piece, name) for name in ("case", "stage", "order", "seconds")} | {"tally": counts}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def _code() -> str:
    """A hash of what explores and of what is explored: tagflow without its command line, and all here but tests."""
    tagflow = [it for it in (ROOT / "src" / "tagflow").rglob("*.py") if "cli" not in it.parts]
    here = [it for it in Path(__file__).parent.glob("*.py") if not it.name.startswith(("test_", "__main__", "kept"))]
    summed = hashlib.sha256()
    for path in sorted(tagflow + here):
        summed.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return summed.hexdigest()[:16]
