"""What a verb proposes, and what it leaves as files: plans, and receipts of the heads that a run left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.decision import Decision
from tagflow.decide.finding import Finding
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.plan import Plan, Request, identity
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import Observation, Snapshot, target_of
from tagflow.errors import StoreError, UsageError
from tagflow.execute.run import Result
from tagflow.execute.underway import Recheck
from tagflow.observe.observer import Observer
from tagflow.stores.files import put, why_unwritable
from tagflow.stores.port import Store

if TYPE_CHECKING:
    from tagflow.trust.receipts import Receipt

_FEW = 3
"""So many images are named in a note."""


class Proposal(Struct, frozen=True):
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
    """A line for images with records that do not count, and one for those that nobody has signed anything of: for all
    in an environment of which the same is to be said."""
    found: dict[tuple[str, str], list[str]] = {}
    for seen in observations:
        where = seen.target.environment.name
        if seen.doubtful:
            kinds = sorted({str(it.proof.fault).replace("_", " ") for it in seen.doubtful})
            one = len(seen.doubtful) == 1
            count = "1 record does not count" if one else f"{len(seen.doubtful)} records do not count"
            said = f"{count} ({', '.join(kinds)}); `tagflow verify {where}` tells more"
            found.setdefault((where, said), []).append(seen.image)
        if seen.unsigned:
            said = "no record is signed yet, so all count; the first that is signed vouches for them"
            found.setdefault((where, said), []).append(seen.image)
    return [f"{_counted(images)} in {where}: {said}" for (where, said), images in found.items()]


def _counted(images: Sequence[str]) -> str:
    return ", ".join(images) if len(images) <= _FEW else f"{len(images)} images"


FORMAT = 1
_LIMIT = 64 * 1024 * 1024
_CHANGED = "its content does not match its id"


class SavedPlan(Struct, frozen=True):
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
        put(path, content.encode(errors="replace"))
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
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise _invalid(path, "it is not JSON") from exc
    found = document.get("tagflow-plan") if isinstance(document, dict) else None
    if not isinstance(found, int):
        raise _invalid(path, "nothing in it says so")
    if found != FORMAT:
        raise _invalid(path, f"it is of format {found}, and this tagflow reads format {FORMAT}")
    try:
        plan = document["plan"]
        whole = identity(plan) == document["id"]
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise _invalid(path, _CHANGED) from exc
    if not whole:
        raise _invalid(path, _CHANGED)
    try:
        request = msgspec.convert(plan, Plan).request
    except msgspec.MsgspecError as exc:
        raise _invalid(path, "it says what no plan of this tagflow says") from exc
    if request.command not in ("promote", "rollback"):
        raise _invalid(path, "it is of no promotion or rollback")
    return SavedPlan(document["id"], request, plan["policy"], plan)


def _invalid(path: Path, why: str) -> UsageError:
    return UsageError(
        "plan.invalid",
        f"{path} is no plan as tagflow saved it: {why}",
        hint="Save a plan anew.",
    )


def check_writable(path: Path) -> None:
    """See that a receipt can be written, before anything moves.

    :raises StoreError: ``file.unwritable``.
    """
    why = why_unwritable(path)
    if why:
        raise StoreError("file.unwritable", f"cannot write {path}: {why}", hint="Choose another file.")


def write_receipt(context: Context, proposal: Proposal, result: Result, path: Path) -> None:
    """Write the heads that a run left: its own records, and those of images of the plan that were there already.

    :raises StoreError: ``file.unwritable``.
    """
    from tagflow.trust.receipts import Left, Receipt, encode_receipt

    plan = proposal.decision.plan
    environment = context.environment(plan.request.environment)
    images = dict.fromkeys([*(step.image for step in plan.steps), *(move.image for move in plan.moves)])
    targets = [target_of(context.policy, context.image(name), environment) for name in images]
    seen = proposal.observer.snapshot(targets).observations
    heads = []
    for target in targets:
        own = result.heads.get(target.image.name)
        for entry in [own] if own is not None else seen[target].standing.heads:
            heads.append(Left(target.image.name, _name(target.history), str(entry.tag), entry.digest))
    receipt = Receipt(environment.name, result.release or "", tuple(heads))
    try:
        put(path, encode_receipt(receipt).encode(errors="replace"))
    except OSError as exc:
        raise StoreError(
            "file.unwritable",
            f"the release is complete, but {path} cannot be written: {exc.strerror}",
            hint="Run the same command again: it has nothing to do but this.",
        ) from exc


def _name(repository: Repository) -> str:
    """What a receipt calls a repository. A layout can lie anywhere: its path below the registry tells."""
    return repository.path if repository.is_layout else str(repository)


def read_receipt(path: Path) -> Receipt:
    """Read a receipt.

    :raises UsageError: ``receipt.invalid``.
    """
    from tagflow.trust.receipts import LIMIT, decode_receipt

    try:
        with path.open("rb") as file:
            content = file.read(LIMIT)
    except OSError as exc:
        raise UsageError(
            "receipt.invalid", f"cannot read {path}: {exc.strerror}", hint="Name a receipt that a release has written."
        ) from exc
    return decode_receipt(content, str(path))


def what_is_lost(receipt: Receipt, snapshot: Snapshot, name: str) -> list[Finding]:
    """A finding for each head of a receipt that the history does not have any more. ``name`` is the file's."""
    from tagflow.trust.receipts import lost

    there: dict[tuple[str, RecordTag], Digest] = {}
    for (repository, tag), entry in snapshot.entries.items():
        there[_name(repository), tag] = entry.digest
    trusted = set(there.values())
    for target, seen in snapshot.observations.items():
        there |= {(_name(target.history), it.tag): it.digest for it in seen.doubtful if it.digest is not None}
    repair = "a person must find out who removed it, or put something else in its place"
    return [
        Finding(
            it.head.image,
            receipt.environment,
            "history.truncated",
            it.head.digest,
            it.actual,
            repair,
            it.head.record,
            f"{it.head.repository} had it when {name} was written",
        )
        for it in lost(receipt, there, trusted)
    ]
