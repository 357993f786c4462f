"""What a run says of the names that it has changed, and of the ways out."""

from __future__ import annotations

from tagflow.context import Context
from tagflow.decide.interrupted import finish_command
from tagflow.domain.plan import Plan
from tagflow.errors import TagflowError
from tagflow.execute.ledger import Ledger

_UNDELETABLE = "tag.undeletable"


def told(ledger: Ledger) -> str:
    """Each name that differs from before, or may, a line each."""
    lines = [
        f"{move.repository}:{move.tag} was at {move.before or 'no digest'}, is at {move.after or 'no digest'}"
        for move in ledger.changed
    ]
    lines += [
        f"{move.repository}:{move.tag} was at {move.before or 'no digest'}, may be at {move.after}"
        for move in ledger.doubtful
    ]
    return "\n".join(lines) or "no environment or floating tag differs from before"


def differing(ledger: Ledger) -> list[dict[str, object]]:
    """The same as data."""
    return [
        {"repository": move.repository, "tag": move.tag, "before": move.before, "now": move.after, "sure": sure}
        for moves, sure in ((ledger.changed, True), (ledger.doubtful, False))
        for move in moves
    ]


def ways_out(context: Context, plan: Plan, ledger: Ledger, cause: TagflowError | None, *, begun: bool) -> str:
    """What to do about a run that did not come to its end. ``begun``: records or names were written."""
    environment, steps = plan.request.environment, plan.steps
    moved = {move.image for move in ledger.changed if move.kind == "environment"}
    due = {move.image for move in plan.moves if move.kind == "environment" and move.action != "keep"}
    if steps and moved and moved >= due:
        return f"It is complete but for floating tags: `tagflow verify {environment} --repair` puts them right."
    if steps and steps[0].action in ("rollback", "abort"):
        return f"`tagflow rollback {environment}` finishes it."
    if not begun or (steps and all(step.action == "admit" for step in steps)):
        return "Run the same command again."
    request = plan.request
    wanted = plan.intent.of(context.image_names)
    finish = finish_command(environment, wanted, request.overrides, request.reason)
    hint = f"Run the same command again (`{finish}`) to finish"
    if cause is not None and _undeletable(cause):
        # Going back would mean to remove a tag, which this registry does not do.
        return f"{hint}: the registry removes no tags, so there is no way back to nothing."
    return f"{hint}, or `tagflow rollback {environment}` to go back."


def _undeletable(cause: TagflowError) -> bool:
    return cause.code == _UNDELETABLE or any(detail.get("code") == _UNDELETABLE for detail in cause.details)
