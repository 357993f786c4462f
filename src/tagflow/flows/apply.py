"""Saved plans: what was approved is what is carried out, or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from tagflow.domain.plan import Plan, Request, identity
from tagflow.errors import Conflict, StoreError, TagflowError, UsageError
from tagflow.flows.context import Context
from tagflow.flows.decision import Decision
from tagflow.flows.interruption import interrupted, refuse_interrupted
from tagflow.flows.promote import decide_promote
from tagflow.flows.rollback import decide_rollback

FORMAT = 1
_LIMIT = 64 * 1024 * 1024


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON, a move a line, so that a diff shows what differs.

    :raises StoreError: ``plan.unwritable``.
    """
    document = {"tagflow-plan": FORMAT, "id": plan.id, "plan": plan.document()}
    try:
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as exc:
        raise StoreError(
            "plan.unwritable", f"cannot write {path}: {exc.strerror}", hint="Choose another file."
        ) from exc


def decide_apply(context: Context, path: Path) -> Decision:
    """Decide again what a saved plan decided; it must come out the same.

    :raises UsageError: ``plan.not_found``, ``plan.invalid`` where the file was changed or is no plan.
    :raises Conflict: ``plan.stale`` where the policy or what the plan expects is not as it was.
    """
    saved_id, request, policy = _read(path)
    if policy != context.policy_digest:
        raise _stale("the policy is not the one that the plan was made for")
    try:
        decision = (decide_promote if request.command == "promote" else decide_rollback)(context, request)
    except TagflowError as error:
        if isinstance(error, StoreError | UsageError):
            raise
        raise _stale(error.message, error) from error
    if decision.plan.id != saved_id:
        begun = refuse_interrupted(decision.sights) if interrupted(decision.sights) else None
        raise _stale(begun.message if begun else "tags or history are not where it expects them", begun)
    return decision


def _stale(why: str, cause: TagflowError | None = None) -> Conflict:
    """The refusal; where a release was begun and not finished, with the ways out of that first."""
    anew = "Make a new plan, and have it approved again."
    out = cause is not None and cause.code == "release.interrupted"
    return Conflict("plan.stale", f"the plan is stale: {why}", hint=f"{cause.hint}\n{anew}" if cause and out else anew)


def _read(path: Path) -> tuple[str, Request, str]:
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT)
    except OSError as exc:
        raise UsageError("plan.not_found", f"cannot read {path}: {exc.strerror}", hint="Name a saved plan.") from exc
    try:
        document: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
        plan, claimed = document["plan"], document["id"]
        whole = document.get("tagflow-plan") == FORMAT and identity(plan) == claimed
        request = msgspec.convert(plan["request"], Request)
        policy = msgspec.convert(plan["policy"], str)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError) as exc:
        raise _invalid(path) from exc
    if not whole or request.command not in ("promote", "rollback"):
        raise _invalid(path)
    return claimed, request, policy


def _invalid(path: Path) -> UsageError:
    return UsageError(
        "plan.invalid",
        f"{path} is no plan as tagflow saved it: its content does not match its id",
        hint="Make it again with --save-plan.",
    )
