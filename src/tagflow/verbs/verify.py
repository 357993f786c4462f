"""verify: every name against the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msgspec import Struct

from tagflow.context import Context
from tagflow.decide.audit import audit, audit_lookups, older_images, unseen_contents
from tagflow.decide.finding import Finding
from tagflow.decide.interrupted import unfinished, way_on
from tagflow.domain.snapshot import Snapshot, Target, target_of
from tagflow.errors import Conflict, combine, whole
from tagflow.observe.observer import Observer
from tagflow.verbs.plans import read_receipt, what_is_lost


class Verified(Struct, frozen=True):
    """What is not as the history says. ``older``: so many images that a rollback may go back to were looked at by their
    names only."""

    findings: Sequence[Finding]
    older: int = 0


def verify(context: Context, names: Sequence[str], expect: Path | None = None, *, deep: bool = False) -> list[Finding]:
    """The findings of :func:`check`."""
    return list(check(context, names, expect, deep=deep).findings)


def check(context: Context, names: Sequence[str], expect: Path | None = None, *, deep: bool = False) -> Verified:
    """Everything that is not as the history says, in all environments or those named; with a receipt to ``expect``, the
    heads that were lost since it was written, too. ``deep``: whether every image that a rollback may go back to is
    whole, not only what runs and what is next.

    :raises TagflowError: where something could not be looked at: its ``result`` holds what was found of the
        images that could be read; ``receipt.invalid``.
    """
    receipt = read_receipt(expect) if expect is not None else None
    if receipt is not None and names and receipt.environment not in names:
        names = [*names, receipt.environment]
    environments = [context.environment(name) for name in names] or list(context.policy.environments)
    observer = Observer(context)

    def look(targets: Sequence[Target]) -> Snapshot:
        return observer.observe(targets, lambda known: audit_lookups(known, targets, deep=deep))

    everything = [
        target_of(context.policy, image, environment) for environment in environments for image in context.policy.images
    ]
    snapshot, errors = observer.readable(everything, look)
    if errors and receipt is not None:  # what is lost cannot be told from what is not seen
        raise combine(errors)
    targets = list(snapshot.observations)
    unread = {target: _unread(observer, snapshot, target) for target in targets}
    findings = [_with_way_on(context, snapshot, it) for it in audit(snapshot, targets, unread, deep=deep)]
    lost = [] if receipt is None else what_is_lost(receipt, snapshot, str(expect))
    errors += unseen_contents(snapshot, targets, deep=deep)
    return Verified(whole([*lost, *findings], errors), 0 if deep else older_images(snapshot, targets))


def _with_way_on(context: Context, snapshot: Snapshot, finding: Finding) -> Finding:
    """An unfinished release that ``--repair`` does not finish is named with the command that leads on; and so is what
    else is wrong with its members, of which nothing else goes on before."""
    interrupted = finding.problem == "interrupted"
    if not interrupted and not finding.repair.startswith(("tagflow promote ", "tagflow rollback ")):
        return finding
    releases = unfinished(snapshot, context.environment(finding.environment))
    here = next((it for it in releases if finding.image in (it.open if interrupted else it.wanted)), None)
    if here is None or (interrupted and here.is_whole and not (here.is_held or here.is_doubted)):
        return finding
    return replace(finding, repair=way_on(here))


def refuse(findings: Sequence[Finding], result: object, *, repaired: bool = False) -> Conflict:
    """The error that says that there are findings; ``result`` goes into its JSON document. ``repaired``: what needs no
    judgement was mended already."""
    count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    says = "as the history says"
    hint = "`tagflow verify --repair` mends what needs no judgement; the rest is told with each finding."
    if repaired or not any(it.repair.startswith("tagflow verify ") for it in findings):
        hint = "What to do stands with each finding: it needs somebody's judgement."
    if all(it.problem == "running.differs" for it in findings):
        says, hint = "what it should be", "The names are as the history says: what runs has to be deployed again."
    error = Conflict("verify.findings", f"{count}: not everything is {says}", hint=hint)
    error.result = result
    return error


def _unread(observer: Observer, snapshot: Snapshot, target: Target) -> tuple[str, ...]:
    """Why records of a target could not be read, those set aside left out."""
    seen = snapshot.observations[target]
    ignored = {tag for head in seen.standing.heads for tag in head.record.state.ignored}
    errors = [observer.why_unread(target.history, tag) for tag in sorted(seen.records - ignored, key=str)]
    return tuple(error.message for error in errors if error is not None)
