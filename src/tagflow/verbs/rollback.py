"""rollback: back to what ran before, or to a named version; and out of a release that was not finished."""

from __future__ import annotations

from tagflow.context import Context
from tagflow.decide.rollback import decide_rollback, read_rollback, rollback_lookups
from tagflow.domain.plan import Outcome, Request
from tagflow.observe.observer import Observer
from tagflow.verbs.plans import Proposal, with_doubts
from tagflow.verbs.release import Options, conclude


def rollback(context: Context, request: Request, options: Options | None = None) -> Outcome:
    """Roll an environment back.

    :raises TagflowError: every reason at once why not, or what failed.
    """
    return conclude(context, lambda: propose_rollback(context, request), options or Options())


def propose_rollback(context: Context, request: Request) -> Proposal:
    """Observe and decide."""
    reversal = read_rollback(context.scheme, request, context.actor)
    observer = Observer(context)
    now = context.now()
    snapshot = observer.observe(reversal.targets(context.scheme), lambda known: rollback_lookups(known, reversal, now))
    decision = decide_rollback(snapshot, reversal, context.policy_digest, now)
    return Proposal(with_doubts(decision, snapshot), observer)
