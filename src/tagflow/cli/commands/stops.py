"""What takes out of promotion, and moves nothing: hold, freeze."""

# What a command runs is imported where it runs: none waits for the imports of the others.

from __future__ import annotations

from typing import Annotated

import typer

from tagflow.cli.arguments import EnvironmentName, Lift, NeededReason, Targets
from tagflow.cli.options import command
from tagflow.cli.session import Session


@command("hold")
def hold(
    session: Session,
    environment: EnvironmentName,
    versions: Targets = None,
    reason: NeededReason = "",
    lift: Lift = False,
) -> None:
    """Take a version out of promotion, or let it in again."""
    from tagflow.cli import wiring
    from tagflow.cli.release import carry_out
    from tagflow.domain.plan import Request
    from tagflow.verbs.notes import hold as run

    request = Request("hold", environment, tuple(versions or ()), reason=reason)
    context = wiring.context(session, writes=True)
    carry_out(session, lambda _: run(context, request, lift=lift))


@command("freeze")
def freeze(
    session: Session,
    environment: EnvironmentName,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="When it ends by itself: RFC 3339, a date (UTC), or a duration."),
    ] = None,
    reason: NeededReason = "",
    lift: Lift = False,
) -> None:
    """Stop the line: nothing is promoted to an environment."""
    from tagflow.cli import wiring
    from tagflow.cli.release import carry_out
    from tagflow.domain.plan import Request
    from tagflow.domain.times import parse_moment
    from tagflow.verbs.notes import freeze as run

    request = Request("freeze", environment, reason=reason)
    context = wiring.context(session, writes=True)
    end = None if until is None else parse_moment(until, context.now(), ahead=True)
    carry_out(session, lambda _: run(context, request, lift=lift, until=end))
