"""The errors in which a release ends that is complete, and of which only the report or the receipt is missing."""

from __future__ import annotations

from tagflow.domain.plan import Outcome
from tagflow.errors import Interrupted, PartlyApplied, TagflowError
from tagflow.execute.ledger import Ledger, differing, told


def moved(outcome: Outcome) -> Ledger:
    """The environment and floating tags that a release which is complete has moved."""
    ledger = Ledger()
    for move in outcome.plan.moves:
        if outcome.applied and move.kind in ("environment", "floating") and move.action != "keep":
            ledger.done(move)
    return ledger


def unwritten(outcome: Outcome, cause: TagflowError) -> TagflowError:
    """Nobody could be told what the release came to."""
    message = f"the release is complete, but its report could not be written: {cause.message}"
    hint = f"Nothing is left to do: `tagflow status {outcome.environment}` shows what runs there."
    return _after(outcome, cause, PartlyApplied("output.unwritable", message, hint=hint))


def unreceipted(outcome: Outcome, cause: TagflowError) -> TagflowError:
    """The receipt could not be written after the release."""
    return _after(outcome, cause, PartlyApplied("file.unwritable", cause.message, hint=cause.hint))


def _after(outcome: Outcome, cause: TagflowError, partly: PartlyApplied) -> TagflowError:
    """With each name that differs from before; where none does, the cause says enough."""
    ledger = moved(outcome)
    error = cause
    if ledger.changed:
        partly.message += f"\n{told(ledger)}"
        partly.details = (*cause.details, *differing(ledger))
        error = partly
    error.result = outcome
    return error


def unfinished(outcome: Outcome) -> Interrupted:
    """Ctrl-C after the release, while it was being told of."""
    ledger = moved(outcome)
    error = Interrupted(
        "run.interrupted",
        f"interrupted: the release is complete; only what tells of it is missing\n{told(ledger)}",
        hint=f"`tagflow status {outcome.environment}` shows what runs there.",
        details=differing(ledger),
    )
    error.result = outcome
    return error
