"""The errors in which a release ends, in words."""

from __future__ import annotations

from collections.abc import Sequence

from tagflow.decide.election import Outcome, Verdict
from tagflow.domain.history import Entry
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.plan import Step
from tagflow.errors import (
    Conflict,
    Interrupted,
    Overtaken,
    PartlyApplied,
    Refused,
    StoreError,
    TagflowError,
    Unanswered,
    on_one_line,
)
from tagflow.execute.ledger import differing, told, ways_out
from tagflow.execute.underway import Underway


def overtaken(run: Underway, outcome: Outcome, *, changed: bool = False) -> TagflowError:
    """Another release came first, or took this one back. ``changed``: a tag of this one stays where it was put."""
    environment = run.plan.request.environment
    record = outcome.because.record if outcome.because else None
    if record is None:
        return Conflict(
            "tag.moved",
            f"{outcome.image} in {environment}: its tag was moved meanwhile; nothing was changed",
            hint="Look at `tagflow status`, then run the command again.",
        )
    if outcome.verdict is Verdict.STOP and record.action == "abort":
        what = f"{on_one_line(record.actor)} took this release back meanwhile"
    elif record.action == "abort":
        what = f"{on_one_line(record.actor)} took back what this release was built on"
    else:
        what = f"another release of {outcome.image} came first: {record.action} of {record.version or 'nothing'}"
        what += f" by {on_one_line(record.actor)}"
    return Overtaken(
        f"{environment}: {what}" + ("" if changed else "; nothing of this one was changed"),
        hint="Look at `tagflow status`, then run the command again; a wait does so by itself.",
        details=[
            {
                "code": "release.overtaken",
                "environment": environment,
                "image": outcome.image,
                "release": record.release.id,
                "actor": record.actor,
                "action": record.action,
                "version": record.version,
            }
        ],
    )


def partly(run: Underway, cause: TagflowError) -> PartlyApplied:
    """What failed, and each name that differs from before."""
    return PartlyApplied(
        "release.partly_applied",
        f"{cause.message}\n{told(run.ledger)}",
        hint=_ways_out(run, cause),
        details=[*cause.details, *differing(run.ledger)],
    )


def unchanged(run: Underway, cause: StoreError) -> StoreError:
    """What failed once the release was being announced: that no name differs from before. Whether the announcement has
    arrived only a look tells: a rollback would undo the release before where it has not."""
    environment = run.plan.request.environment
    way = f"Look at `tagflow status {environment}`: where this stays under way, it says what finishes it."
    return StoreError(
        cause.code,
        f"{cause.message}\n{told(run.ledger)}",
        hint=cause.hint if run.aborted else f"{cause.hint}\n{way}".strip(),
        details=cause.details or ({"code": cause.code, "message": cause.message},),
    )


def interrupted(run: Underway) -> Interrupted:
    """Ctrl-C: nothing begins any more, and what has moved is told."""
    run.ledger.stop()
    return Interrupted(
        "run.interrupted",
        f"interrupted: {told(run.ledger)}",
        hint=_ways_out(run, None),
        details=differing(run.ledger),
    )


def _ways_out(run: Underway, cause: TagflowError | None) -> str:
    begun = bool((run.written and run.is_known) or run.ledger.changed or run.plan.resumes)
    return ways_out(run.context, run.plan, run.ledger, cause, begun=begun, aborted=run.aborted, stays=run.stays)


def written_over(run: Underway, image: str, lost: Sequence[RecordTag]) -> TagflowError:
    """Another tool wrote a layout back to what it was before this run announced itself."""
    told = ", ".join(map(str, lost))
    return Conflict(
        "tag.moved",
        f"{run.repository(image)}: another tool wrote the layout meanwhile, without {told}, the record of this release",
        hint="Let nothing else write there meanwhile. Look at `tagflow status`, then run the command again.",
    )


def too_late(run: Underway, image: str) -> Unanswered:
    """No write could be sent soon enough after a look, however often it was looked."""
    return Unanswered(
        "run.timeout",
        f"{run.repository(image)}: no write came through in time after a look",
        hint="Run the same command again.",
    )


def stopped(stop: Entry, step: Step) -> TagflowError:
    """A hold or freeze that came while a release was under way."""
    record = stop.record
    who = f"{on_one_line(record.actor)}: {on_one_line(record.reason)}"
    if record.action == "freeze":
        message = f"{record.environment} was frozen meanwhile by {who}"
        return Refused("promotion.frozen", message, details=[_detail("promotion.frozen", step, message)])
    message = f"{step.image} {record.version} was put on hold in {record.environment} meanwhile by {who}"
    return Refused("promotion.held", message, details=[_detail("promotion.held", step, message)])


def _detail(code: str, step: Step, message: str) -> dict[str, object]:
    return {"code": code, "image": step.image, "message": message}
