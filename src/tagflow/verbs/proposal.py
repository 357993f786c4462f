"""What a verb proposes: a decision, and what carrying it out needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tagflow.decide.decision import Decision
from tagflow.domain.reference import Repository
from tagflow.domain.snapshot import Observation, Snapshot
from tagflow.execute.run import Recheck
from tagflow.observe.observer import Observer
from tagflow.stores.port import Store

_FEW = 3
"""So many images are named in a note."""


@dataclass(frozen=True)
class Proposal:
    """A decision, and what carrying it out needs. ``plan_id`` is the saved plan that it carries out, or empty."""

    decision: Decision
    observer: Observer
    opened: Mapping[Repository, Store] = field(default_factory=dict)
    recheck: Recheck | None = None
    plan_id: str = ""


def with_doubts(decision: Decision, snapshot: Snapshot) -> Decision:
    """A decision that tells of records which do not count."""
    return replace(decision, notes=(*decision.notes, *doubts(snapshot.observations.values())))


def doubts(observations: Iterable[Observation]) -> list[str]:
    """A line for each image with records that do not count, and one for each environment with images that nobody has
    signed anything of."""
    lines = []
    unsigned: dict[str, list[str]] = {}
    for seen in observations:
        if seen.doubtful:
            kinds = sorted({str(it.proof.fault).replace("_", " ") for it in seen.doubtful})
            one = len(seen.doubtful) == 1
            count = "1 record does not count" if one else f"{len(seen.doubtful)} records do not count"
            where = seen.target.environment.name
            lines.append(f"{seen.target.name}: {count} ({', '.join(kinds)}); `tagflow verify {where}` tells more")
        if seen.unsigned:
            unsigned.setdefault(seen.target.environment.name, []).append(seen.image)
    for where, images in unsigned.items():
        told = ", ".join(images) if len(images) <= _FEW else f"{len(images)} images"
        lines.append(
            f"{told} in {where}: no record is signed yet, so all count; the first that is signed vouches for them"
        )
    return lines
