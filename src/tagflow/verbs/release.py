"""What push, promote, rollback and apply share: propose, refuse with every reason, run gates, ask, carry out, tell.

A decision may be minutes old when it is carried out: gates run, a question stays open at a terminal. So it is made
again after these. A promotion, which relies on what other environments say, and a push, whose layers may travel for
long, are decided once more by the run itself, right before anything moves; what all others rely on is looked at by the
election.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from msgspec import Struct

from tagflow.context import Context
from tagflow.domain.plan import GateResult, Move, Outcome, Plan, Step
from tagflow.errors import Interrupted, Overtaken, Refused, ReleaseInterrupted, TagflowError, combine, on_one_line
from tagflow.execute.daemon import changed_by_daemon
from tagflow.execute.gates import refused_by, run_gates
from tagflow.execute.run import Result, execute
from tagflow.execute.sign import need_key
from tagflow.execute.underway import Execution
from tagflow.stores.transfer.copy import Copier
from tagflow.verbs.complete import unfinished, unreceipted
from tagflow.verbs.plans import Proposal, check_writable, save_plan, write_receipt
from tagflow.workers import attempt

if TYPE_CHECKING:
    from tagflow.verbs.approvals import Document


class Options(Struct, frozen=True):
    """How a request is carried out. ``confirm`` shows what was planned and asks; it raises where the answer is no.
    ``wait``: for a release under way, or one that overtook this one; everything is decided anew then. ``approvals``
    are files that the registry does not have; ``receipt`` is where the heads that the run leaves are written."""

    dry_run: bool = False
    save_plan: Path | None = None
    confirm: Callable[[Outcome], None] | None = None
    wait: timedelta = timedelta()
    approvals: tuple[Document, ...] = ()
    receipt: Path | None = None


def conclude(context: Context, propose: Callable[[], Proposal], options: Options) -> Outcome:
    """Carry a request out, waiting for other releases as long as ``options`` say.

    :raises TagflowError: every reason at once why it must not be, or what failed; its ``result`` is an
        :class:`Outcome` where something was planned.
    """
    until, why = context.elapsed() + options.wait.total_seconds(), ""
    while True:
        try:
            return _conclude(context, propose, options)
        except (Overtaken, ReleaseInterrupted) as error:
            left = until - context.elapsed()
            if left <= 0:
                raise
            why = why or error.message.partition("\n")[0]  # how long ago it was announced is another every time
            context.wait(why, min(left, context.timing.poll))


def _conclude(context: Context, propose: Callable[[], Proposal], options: Options) -> Outcome:
    if options.receipt is not None:
        check_writable(options.receipt)
    proposal = propose()
    if options.save_plan is None:
        need_key(context, context.environment(proposal.decision.plan.request.environment))
    planned = settle(context, proposal, options)
    for note in planned.notes:
        context.warn(f"note: {note}")
    if options.save_plan is not None:
        save_plan(planned.plan, options.save_plan)
    if options.dry_run or options.save_plan is not None:
        return planned
    asked = options.confirm is not None and planned.plan.changes
    if options.confirm is not None and asked:
        options.confirm(planned)
    if asked or planned.gates:
        proposal = _propose_again(context, propose, proposal, planned)
        planned, unapproved = _approved(context, proposal, planned, options)  # one may have expired meanwhile
        if unapproved:
            raise _refused(unapproved, planned)
    return carry_out(context, proposal, planned, options.receipt)


def settle(context: Context, proposal: Proposal, options: Options | None = None) -> Outcome:
    """What a proposal would come to: every reason against it, then its gates.

    :raises TagflowError: every reason at once why it must not be; its ``result`` holds what was planned.
    """
    decision = proposal.decision
    planned = Outcome(decision.plan.request.environment, decision.plan, notes=decision.notes)
    planned, unapproved = _approved(context, proposal, planned, options or Options())
    refusals = [
        *decision.refusals,
        *changed_by_daemon(context, decision.entering, decision.origins, proposal.opened),
        *_unreferred(context, proposal),
        *_unremovable(context, decision.plan),
        *unapproved,
    ]
    if refusals:
        raise _refused(refusals, planned)
    planned = replace(planned, gates=_gates(context, proposal, planned))
    failed = refused_by(planned.gates)
    if failed:
        raise _refused(failed, planned)
    return planned


def _gates(context: Context, proposal: Proposal, planned: Outcome) -> tuple[GateResult, ...]:
    """Whatever ends the gates before they have said anything, what was planned is told."""
    choices = [choice for choice in proposal.decision.entering if choice.digest]
    try:
        return run_gates(context, proposal.decision.plan.request, choices)
    except TagflowError as error:
        error.result = planned
        raise
    except KeyboardInterrupt:
        interrupted = Interrupted(
            "run.interrupted",
            "interrupted: no environment or floating tag differs from before",
            hint="Run the same command again.",
        )
        interrupted.result = planned
        raise interrupted from None


def _approved(
    context: Context, proposal: Proposal, planned: Outcome, options: Options
) -> tuple[Outcome, list[TagflowError]]:
    """The approvals that count for a plan, or the refusal. One that is only saved is told what it still needs."""
    plan = proposal.decision.plan
    environment = context.environment(plan.request.environment)
    if not environment.approvals:
        return planned, []
    from tagflow.verbs import approvals  # only where somebody has to approve

    if not approvals.needed(environment, plan):
        return planned, []
    if not proposal.plan_id:
        evaluation = approvals.nothing(environment)
        if options.save_plan is not None:
            file = quote(str(options.save_plan))
            told = tuple(f"{tally}: `tagflow approve {file}`" for tally in evaluation.missing)
            return replace(planned, notes=(*planned.notes, *told)), []
        return planned, [
            approvals.refuse_missing(environment, evaluation, approvals.way_to_save(plan.request, environment))
        ]
    finishes = plan.resumes is not None
    evaluation = approvals.weigh(context, proposal.observer, plan, proposal.plan_id, options.approvals, ever=finishes)
    counted = approvals.names_of(evaluation.counted)
    if evaluation.missing and finishes and environment.signed_by:
        # They counted when the release began: a record says so that somebody who may has signed.
        begun = (entry.record for entry in proposal.decision.begun)
        counted = next((it.approvals for it in begun if it.plan == proposal.plan_id), ())
        evaluation = approvals.nothing(environment) if not counted else approvals.ENOUGH
    if evaluation.missing:
        hint = "Have it approved: `tagflow approve FILE`; give along a document that is not in the registry."
        return planned, [approvals.refuse_missing(environment, evaluation, hint)]
    return replace(planned, approvals=counted), []


def _unreferred(context: Context, proposal: Proposal) -> list[TagflowError]:
    """Where signatures and the like are required, the refusals of images that have none: before anything is copied."""
    origins = proposal.decision.origins
    if context.policy.referrers != "require" or not origins:
        return []
    environment = context.environment(proposal.decision.plan.request.environment)
    with Copier(context.progress, threads=context.threads) as copier:

        def look(image: str) -> None:
            origin = origins[image]
            source = proposal.opened.get(origin.repository) or context.stores(origin.repository)
            target = context.stores(context.policy.repository(context.image(image), environment))
            copier.prepare(source, target, origin.reference, "require")

        results = attempt(look, origins, threads=context.threads)
    return [result for result in results if isinstance(result, TagflowError)]


def _unremovable(context: Context, plan: Plan) -> list[TagflowError]:
    """The environment tags that are to be removed where the medium refuses to, as far as nothing has to be written to
    know that."""
    environment = context.environment(plan.request.environment)

    def ask(move: Move) -> None:
        store = context.stores(context.policy.repository(context.image(move.image), environment))
        store.refuse_untag(move.tag, trial=False)

    removed = [it for it in plan.moves if it.kind == "environment" and it.after is None and it.before is not None]
    results = attempt(ask, removed, threads=context.threads)
    return [result for result in results if isinstance(result, TagflowError)]


def carry_out(context: Context, proposal: Proposal, planned: Outcome, receipt: Path | None = None) -> Outcome:
    """Execute a proposal that was settled, and tell whom the policy names.

    :raises TagflowError: as :func:`tagflow.execute.run.execute`; its ``result`` is an :class:`Outcome`.
    """
    execution = Execution(
        proposal.decision,
        proposal.observer,
        proposal.opened,
        proposal.recheck,
        proposal.plan_id,
        planned.approvals,
    )
    planned = replace(planned, plan=proposal.decision.plan)
    try:
        result = execute(context, execution)
    except TagflowError as error:
        if isinstance(error.result, Result):
            error.result = _outcome(planned, error.result)
        raise
    outcome = _outcome(planned, result)
    failure = None if receipt is None else _write_receipt(context, proposal, result, outcome, receipt)
    if context.policy.notify:
        from tagflow.execute.notify import notify  # brings an HTTP client along

        notify(context, outcome)
    if failure is not None:
        raise failure
    return outcome


def _write_receipt(
    context: Context, proposal: Proposal, result: Result, outcome: Outcome, path: Path
) -> TagflowError | None:
    """Write a receipt; what is to be raised where that fails, once whoever waits for the release was told of it."""
    try:
        write_receipt(context, proposal, result, path)
    except TagflowError as error:
        return unreceipted(outcome, error)
    except KeyboardInterrupt:
        return unfinished(outcome)
    return None


def _outcome(planned: Outcome, result: Result) -> Outcome:
    return replace(
        planned,
        release=result.release,
        number=result.number,
        applied=result.applied,
        compensated=result.compensated,
    )


def _refused(errors: Sequence[TagflowError], planned: Outcome) -> TagflowError:
    error = combine(list(errors))
    error.result = planned if planned.plan.moves or planned.plan.steps else None
    return error


def _propose_again(context: Context, propose: Callable[[], Proposal], before: Proposal, planned: Outcome) -> Proposal:
    """The same proposal by what stands now, after gates ran or a question was answered.

    :raises TagflowError: every reason against it now, a hold or freeze among them that came meanwhile, whatever was set
        aside before; ``release.overtaken`` where it comes out otherwise.
    """
    proposal = propose()
    known = {about for error in proposal.decision.refusals for about in _about(error)}
    came = [it for it in _ordered_meanwhile(before, proposal, context.now()) if known.isdisjoint(_about(it))]
    if proposal.decision.refusals or came:
        raise _refused([*proposal.decision.refusals, *came], planned)
    if _intended(proposal.decision.plan) != _intended(planned.plan):
        error = Overtaken(
            f"{planned.environment} is not as it was when this was decided: another release came meanwhile",
            hint="Look at `tagflow status`, then run the command again.",
        )
        error.result = planned
        raise error
    return proposal


def _about(error: TagflowError) -> set[tuple[object, object]]:
    return {(it.get("code"), it.get("image")) for it in error.details}


def _ordered_meanwhile(before: Proposal, proposal: Proposal, at: datetime) -> list[TagflowError]:
    """The holds and freezes that hit this plan and that somebody ordered since it was proposed: an override sets aside
    what stood there when it was given, and a rollback would lift a hold. What was begun is finished in a freeze."""
    errors: list[TagflowError] = []
    prospects, old = proposal.decision.prospects, before.decision.prospects
    environment, resumes = proposal.decision.plan.request.environment, proposal.decision.plan.resumes
    hint = f"Look at `tagflow status {environment}`."
    for step in proposal.decision.plan.steps:
        if step.image not in old or step.action in ("abort", "adopt"):
            continue
        now, then = prospects[step.image].seen.standing.state, old[step.image].seen.standing.state
        for hold in sorted(now.holds - then.holds, key=lambda it: it.version):
            if hold.version == step.version or (hold.digest is not None and hold.digest == step.digest):
                message = f"{step.image} {hold.version} was put on hold in {environment} meanwhile by"
                message += f" {on_one_line(hold.by)}: {on_one_line(hold.reason)}"
                errors.append(
                    Refused("promotion.held", message, hint=hint, details=[_detail("promotion.held", step, message)])
                )
        freeze = None if step.action == "rollback" or resumes is not None else now.freeze
        if freeze is not None and freeze != then.freeze and (freeze.until is None or at < freeze.until):
            message = f"{environment} was frozen meanwhile by {on_one_line(freeze.by)}: {on_one_line(freeze.reason)}"
            errors.append(
                Refused("promotion.frozen", message, hint=hint, details=[_detail("promotion.frozen", step, message)])
            )
    return errors


def _detail(code: str, step: Step, message: str) -> dict[str, object]:
    return {"code": code, "image": step.image, "message": message}


def _intended(plan: Plan) -> object:
    """What a person saw, and gates passed: where each image goes from and to."""
    steps = sorted(
        (step.image, step.action, step.version or "", step.subject or step.digest or "") for step in plan.steps
    )
    moves = sorted(
        (move.image, move.tag, move.before or "", move.after or "") for move in plan.moves if move.kind == "environment"
    )
    return steps, moves
