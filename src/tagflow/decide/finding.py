"""What verify finds: one name that is not as the history says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Problem = Literal[
    "drift",
    "interrupted",
    "anchor.missing",
    "anchor.moved",
    "content.missing",
    "floating.wrong",
    "floating.stale",
    "history.fork",
    "history.broken",
    "history.truncated",
    "running.held",
    "running.unanchored",
    "running.differs",
    "record.unsigned",
    "record.forged",
    "record.unknown_signer",
]


@dataclass(frozen=True)
class Finding:
    """One name that is not as the history says. ``repair`` is the command that mends it, or what a person decides.

    ``tag`` and ``expected`` say what ``verify --repair`` writes by itself; ``detail`` tells more.
    """

    image: str
    environment: str
    problem: Problem
    expected: str | None
    actual: str | None
    repair: str
    tag: str = ""
    detail: str = ""
