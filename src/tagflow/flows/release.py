"""From a decision to its outcome: refuse with every reason, or carry out and tell."""

from __future__ import annotations

from tagflow.errors import combine
from tagflow.flows.context import Context
from tagflow.flows.decision import Decision, Outcome
from tagflow.flows.execute import execute


def settle(context: Context, decision: Decision) -> Outcome:
    """What a decision would come to.

    :raises TagflowError: every reason at once why it must not be; its ``result`` holds what was planned.
    """
    for note in decision.notes:
        context.warn(f"note: {note}")
    planned = Outcome(decision.plan.request.environment, decision.plan, gates=decision.gates)
    if decision.refusals:
        error = combine(decision.refusals)
        error.result = planned if decision.plan.moves else None
        raise error
    return planned


def carry_out(context: Context, decision: Decision) -> Outcome:
    """Execute a decision that was settled, and tell whom the policy names.

    :raises TagflowError: as :func:`tagflow.flows.execute.execute`.
    """
    outcome = execute(context, decision)
    if context.policy.notify:
        from tagflow.flows.notify import notify  # brings an HTTP client along

        notify(context, outcome)
    return outcome
