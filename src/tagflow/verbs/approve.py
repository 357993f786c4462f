"""approve: who may signs a saved plan, after looking at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import join

from tagflow.context import Context
from tagflow.domain.plan import Outcome
from tagflow.domain.policy import Environment
from tagflow.errors import Refused, StoreError, TagflowError, UsageError
from tagflow.stores.files import put
from tagflow.trust.approvals import Tally, approve, document_digest, evaluate
from tagflow.trust.crypto import VARIABLE, missing_key
from tagflow.trust.signing import SigningKey
from tagflow.verbs.apply import propose_apply
from tagflow.verbs.approvals import kept_in, read_kept, write_kept


@dataclass(frozen=True)
class Approved:
    """An approval that was written: of which plan, by whom, where it is, and the rules that it leaves unmet.

    ``apply`` is the command that carries the plan out once none is left: nobody finds an approval in a file by itself.
    """

    plan: str
    environment: str
    signer: str
    reference: str
    missing: tuple[Tally, ...]
    apply: str = ""


def approve_plan(
    context: Context, path: Path, out: Path | None = None, confirm: Callable[[Outcome], None] | None = None
) -> Approved:
    """Approve a saved plan. ``out``: into a file instead of the registry; ``confirm`` shows the plan, and asks.

    :raises UsageError: ``plan.invalid``, ``plan.not_found``, ``signing.no_key``, ``approval.invalid`` for a rollback.
    :raises Conflict: ``plan.stale``: nothing can be approved into life again.
    :raises Refused: ``approval.not_a_signer`` where nobody asks the holder of this key.
    """
    if out is not None and _is_same(out, path):
        raise UsageError("approval.invalid", f"{out} is the plan itself", hint="Name another file.")
    proposal = propose_apply(context, path)
    plan, plan_id = proposal.decision.plan, proposal.plan_id
    environment = context.environment(plan.request.environment)
    if plan.request.command == "rollback":
        raise UsageError(
            "approval.invalid",
            "a rollback needs no approval",
            hint=f"Carry it out: `{_apply(path, None)}`.",
        )
    key, signer = _key(context, environment, path)
    if confirm is not None:
        notes = (*proposal.decision.notes, *_told(proposal.decision.refusals))
        confirm(Outcome(environment.name, plan, notes=notes))
    now = context.now()
    document = approve(plan_id, now, key.public, key.sign).text
    repository = kept_in(context, environment, plan)
    known = read_kept(context, proposal.observer, environment, plan, plan_id, lambda _: False)
    evaluation = evaluate(
        plan_id,
        environment.approvals,
        context.policy.signers,
        [*known, document],
        now=now,
        expire=environment.approvals_expire,
    )
    counted = {approval.digest for approval in evaluation.counted}
    kept = [text for text in [*known, document] if document_digest(text) in counted]
    if out is not None:
        _write(out, document)
        reference = str(out)
    else:
        reference = write_kept(context, proposal.observer, repository, plan_id, kept)
    return Approved(plan_id, environment.name, signer, reference, evaluation.missing, _apply(path, out))


def _is_same(out: Path, path: Path) -> bool:
    try:
        return out.samefile(path)
    except OSError:  # one of them is not there
        return False


def _apply(path: Path, out: Path | None) -> str:
    """The command that carries a plan out. What went into a pipe is in a file only where its reader puts it."""
    words = ["tagflow", "apply", str(path)]
    if out is not None:
        words += ["--approval", str(out) if out.is_file() else "FILE"]
    return join(words)


def _key(context: Context, environment: Environment, path: Path) -> tuple[SigningKey, str]:
    """The key of this run, and the name under which it is asked."""
    asked = list(dict.fromkeys(name for rule in environment.approvals for name in rule.of))
    if not asked:
        raise Refused(
            "approval.not_a_signer",
            f"the policy asks for no approvals of plans for {environment.name}",
            hint=f"Carry it out: `{_apply(path, None)}`.",
        )
    key = context.signing_key()
    if key is None:
        raise missing_key(environment.name, "plans for {} are approved by keys (`approvals`)")
    names = [it.name for it in context.policy.signers if it.name in asked and it.key.key_id == key.public.key_id]
    if not names:
        raise Refused(
            "approval.not_a_signer",
            f"the key of ${VARIABLE} is none of those who approve plans for {environment.name}: {', '.join(asked)}",
            hint="Use the key that `signers` of the policy names; a key of ssh is listed as `ssh`, others as `key`.",
        )
    return key, names[0]


def _told(refusals: tuple[TagflowError, ...]) -> tuple[str, ...]:
    """What would stop the plan if it were applied now: a freeze that will be over by then does not stop an approval."""
    return tuple(f"it would be refused now: {error.message}" for error in refusals)


def _write(path: Path, document: str) -> None:
    try:
        put(path, f"{document}\n".encode())
    except OSError as exc:
        raise StoreError(
            "file.unwritable", f"cannot write {path}: {exc.strerror}", hint="Choose another file."
        ) from exc
