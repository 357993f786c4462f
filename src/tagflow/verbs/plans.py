"""Saved plans as files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tagflow.domain.plan import Plan, Request, identity
from tagflow.errors import StoreError, UsageError
from tagflow.stores.files import publish

FORMAT = 1
_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class SavedPlan:
    """What a file holds: the plan's id, what was asked for, the digest of the policy, and the plan's plain data."""

    id: str
    request: Request
    policy: str
    document: dict[str, Any]


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON, a move a line, so that a diff shows what differs. By rename: whole, or not at all.

    :raises StoreError: ``plan.unwritable``.
    """
    document = {"tagflow-plan": FORMAT, "id": plan.id, "plan": plan.document()}
    content = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        if path.exists() and not path.is_file():  # a pipe or a terminal: nothing to be replaced
            path.write_text(content, encoding="utf-8", errors="replace")
        else:
            publish(path, [content.encode(errors="replace")])
    except OSError as exc:
        raise StoreError(
            "plan.unwritable", f"cannot write {path}: {exc.strerror}", hint="Choose another file."
        ) from exc


def read_plan(path: Path) -> SavedPlan:
    """Read a saved plan.

    :raises UsageError: ``plan.not_found``, ``plan.invalid`` where the file was changed or is no plan.
    """
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
    return SavedPlan(claimed, request, policy, plan)


def _invalid(path: Path) -> UsageError:
    return UsageError(
        "plan.invalid",
        f"{path} is no plan as tagflow saved it: its content does not match its id",
        hint="Make it again with --save-plan.",
    )
