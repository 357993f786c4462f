"""What a push, promotion, rollback, apply, hold or freeze came to."""

from __future__ import annotations

from dataclasses import dataclass

from tagflow.domain.plan import Plan


@dataclass(frozen=True)
class GateResult:
    """What one gate said of one image."""

    image: str
    gate: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Outcome:
    """``release`` is the name under which it stands in the history, ``number`` which one of the environment it is;
    ``applied`` whether all of it was carried out, ``compensated`` whether something was put back; ``notes`` what the
    user should know beside the plan, ``approvals`` those that counted."""

    environment: str
    plan: Plan
    release: str | None = None
    applied: bool = False
    compensated: bool = False
    gates: tuple[GateResult, ...] = ()
    notes: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    number: int | None = None
