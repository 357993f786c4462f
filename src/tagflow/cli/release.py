"""What push, promote, rollback and apply share: show the plan, ask, carry out, tell."""

from __future__ import annotations

import select
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tagflow.cli import ci, documents
from tagflow.cli.render import releases
from tagflow.cli.session import Session, tell
from tagflow.context import Context
from tagflow.domain.plan import Outcome
from tagflow.domain.times import parse_duration
from tagflow.errors import Interrupted, StoreError, TagflowError, UsageError
from tagflow.verbs.complete import moved, unfinished, unwritten
from tagflow.verbs.release import Options

if TYPE_CHECKING:
    from tagflow.verbs.approvals import Document

_TURN = 0.5
"""Seconds."""


def carry_out(
    session: Session,
    verb: Callable[[Options], Outcome],
    *,
    dry_run: bool = False,
    ask: bool = False,
    save: Path | None = None,
    wait: str | None = None,
    context: Context | None = None,
    approvals: Sequence[Path] = (),
    receipt: Path | None = None,
) -> None:
    """Run a verb; refuse with every reason at once, or show, ask, execute and tell.

    :raises TagflowError: what refuses or fails; its ``result`` holds what was planned.
    """
    options = Options(
        dry_run=dry_run,
        save_plan=save,
        confirm=partial(_confirm, context) if ask and _is_interactive() else None,
        wait=timedelta() if wait in (None, "", "0") else parse_duration(wait),
        approvals=_documents(approvals),
        receipt=receipt,
    )
    outcome = verb(options)
    with _reporting(outcome):
        if save is not None:
            session.note(f"Plan saved to {save}. Carry it out with `tagflow apply {shlex.quote(str(save))}`.")
        ci.tell(outcome, session.environ, session.note)
        session.emit(documents.outcome(outcome), lambda: _told(context, outcome))


@contextmanager
def _reporting(outcome: Outcome) -> Iterator[None]:
    """Report on what was carried out. What fails here undoes nothing, and is not to be told as if it had.

    :raises PartlyApplied: ``output.unwritable`` where an environment or floating tag differs from before.
    :raises Interrupted: with the same message.
    """
    try:
        yield
    except StoreError as error:
        raise unwritten(outcome, error) from error
    except KeyboardInterrupt:
        if not moved(outcome).changed:
            raise
        raise unfinished(outcome) from None


def _told(context: Context | None, outcome: Outcome) -> str:
    return "\n\n".join(
        filter(None, [_goes_in(context, outcome) if not outcome.applied else "", releases.outcome(outcome)])
    )


def _goes_in(context: Context | None, planned: Outcome) -> str:
    """What the release brings, down to the commits. Only a plan that somebody looks at is worth the requests."""
    command = planned.plan.request.command
    if context is None or command not in ("promote", "rollback"):
        return ""
    from tagflow.cli.render.deployments import goes_in
    from tagflow.verbs.diff import goes_in as find

    return goes_in(find(context, planned.plan), command)


def confirmation(context: Context, question: str, *, yes: bool) -> Callable[[Outcome], None]:
    """Shows a plan, always, and asks at a terminal, unless ``yes`` is the answer.

    :raises UsageError: ``usage.invalid`` where there is somebody to be asked, who would not see the question.
    """

    def ask(planned: Outcome) -> None:
        for note in planned.notes:
            context.warn(f"note: {note}")
        if yes or not _is_typed_into():
            _show(context, planned)
        elif not sys.stderr.isatty():
            message = "the plan and the question cannot be shown: standard error is no terminal"
            raise UsageError("usage.invalid", message, hint="--yes answers the question.")
        else:
            _confirm(context, planned, question)

    return ask


def _documents(paths: Sequence[Path]) -> tuple[Document, ...]:
    if not paths:
        return ()
    from tagflow.verbs.approvals import read_documents

    return tuple(read_documents(paths))


def _is_interactive() -> bool:
    return _is_typed_into() and sys.stderr.isatty()


def _is_typed_into() -> bool:
    return sys.stdin.isatty()


def _confirm(context: Context | None, planned: Outcome, question: str = "") -> None:
    _show(context, planned)
    if _answer(question or releases.question(planned.plan)) in ("y", "yes"):
        return
    error: TagflowError = Interrupted(
        "run.interrupted", "not confirmed: nothing was changed", hint="--yes answers the question."
    )
    error.result = planned
    raise error


def _show(context: Context | None, planned: Outcome) -> None:
    told = _goes_in(context, planned)
    tell("\n".join(filter(None, [told and f"{told}\n", releases.plan(planned.plan)])))


def _answer(question: str) -> str:
    """What the user types; nothing for Ctrl-C and Ctrl-D, which leave the cursor behind the question."""
    try:
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        _wait_for_input()
        line = sys.stdin.readline()
    except (KeyboardInterrupt, OSError):  # a question that cannot be shown has no answer
        line = ""
    if not line:
        tell("")
    return line.strip().lower()


def _wait_for_input() -> None:
    """Wait in turns: a signal that comes right before a read that blocks would be noticed only after that read."""
    with suppress(OSError, ValueError, TypeError):  # nothing that can be waited for: the read waits
        while not select.select([sys.stdin], [], [], _TURN)[0]:
            pass
