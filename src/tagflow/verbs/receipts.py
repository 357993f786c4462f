"""Receipts as files: the heads that a run left, and what a history has lost of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tagflow.context import Context
from tagflow.decide.audit import Finding
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import Snapshot, target_of
from tagflow.domain.tagging import RecordTag
from tagflow.errors import StoreError, UsageError
from tagflow.execute.run import Result
from tagflow.stores.files import publish
from tagflow.verbs.plans import Proposal

if TYPE_CHECKING:
    from tagflow.trust.receipts import Receipt


def check_writable(path: Path) -> None:
    """See that a receipt can be written, before anything moves.

    :raises StoreError: ``file.unwritable``.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise StoreError("file.unwritable", f"cannot write {path}", hint="Choose another file.")


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
        publish(path, [encode_receipt(receipt).encode(errors="replace")])
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
            "receipt.invalid", f"cannot read {path}: {exc.strerror}", hint="Name a file that `--receipt` has written."
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
