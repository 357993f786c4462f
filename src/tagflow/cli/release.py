"""What push, promote, rollback and apply share: show the plan, ask, carry out, tell."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tagflow.cli import ci, documents, show
from tagflow.cli.session import Session
from tagflow.errors import Interrupted, TagflowError
from tagflow.flows.context import Context
from tagflow.flows.decision import Decision, Outcome


def carry_out(
    session: Session,
    context: Context,
    decide: Callable[[], Decision],
    *,
    dry_run: bool = False,
    ask: bool = False,
    save: Path | None = None,
) -> None:
    """Decide; refuse with every reason at once, or show, ask, execute and tell.

    :raises TagflowError: what refuses or fails; its ``result`` holds what was planned.
    """
    try:
        outcome = _outcome(session, context, decide, dry_run=dry_run, ask=ask, save=save)
    except TagflowError as error:
        ci.tell_failure(error, session.environ, session.note)
        raise
    ci.tell(outcome, session.environ, session.note)
    session.emit(documents.outcome(outcome), lambda: show.outcome(outcome))


def _outcome(
    session: Session,
    context: Context,
    decide: Callable[[], Decision],
    *,
    dry_run: bool,
    ask: bool,
    save: Path | None,
) -> Outcome:
    from tagflow.flows import release

    decision = decide()
    planned = release.settle(context, decision)
    if save is not None:
        from tagflow.flows.apply import save_plan

        save_plan(decision.plan, save)
        session.note(f"Plan saved to {save}. Carry it out with `tagflow apply {save}`.")
    if dry_run or save is not None:
        return planned
    if ask and decision.plan.changes:
        _confirm(planned)
    return release.carry_out(context, decision)


def _confirm(planned: Outcome) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    print(show.plan(planned.plan), file=sys.stderr)
    if _answer() in ("y", "yes"):
        return
    error: TagflowError = Interrupted(
        "run.interrupted", "not confirmed: nothing was changed", hint="--yes answers the question."
    )
    error.result = planned
    raise error


def _answer() -> str:
    """What the user types; nothing for Ctrl-C and Ctrl-D, which leave the cursor behind the question."""
    try:
        print("Carry it out? [y/N] ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not line:
        print(file=sys.stderr)
    return line.strip().lower()
