"""From the options of a command to what its flow is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tagflow import wiring
from tagflow.cli.progress import Waits
from tagflow.cli.session import Session, tell
from tagflow.context import Context
from tagflow.domain.policy import Policy
from tagflow.stores.port import Progress, Silence

if TYPE_CHECKING:
    from tagflow.verbs.doctor import Examine, OpenKey


def context(
    session: Session, *, writes: bool = False, progress: Progress | None = None, questions: Progress | None = None
) -> Context:
    """Everything that a flow is given."""
    path = wiring.policy_path(session.policy_file, session.environ)
    around = _surroundings(session, writes, progress or Silence())
    return wiring.context(path, replace(around, questions=questions or Silence()))


def examiner(session: Session) -> tuple[Policy, Examine, OpenKey]:
    """The policy, what looks at its registries for `doctor`, and what opens the key of this run."""
    path = wiring.policy_path(session.policy_file, session.environ)
    return wiring.examiner(path, _surroundings(session, False, Silence()))


def _surroundings(session: Session, writes: bool, progress: Progress) -> wiring.Surroundings:
    return wiring.Surroundings(
        environ=session.environ,
        warn=session.note,
        trace=tell if session.verbose else lambda _line: None,
        waits=Waits(quiet=session.is_json),
        seconds=session.patience,
        writes=writes,
        progress=progress,
        now=session.now or wiring.utc_now,
    )
