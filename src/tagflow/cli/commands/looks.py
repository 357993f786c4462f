"""What only looks, or puts right what needs no judgement: status, history, verify."""

# What a command runs is imported where it runs: none waits for the imports of the others.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tagflow.cli.arguments import EnvironmentName, Names
from tagflow.cli.completion import words
from tagflow.cli.options import command
from tagflow.cli.session import Session
from tagflow.errors import UsageError


@command("status")
def status(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENV|NAME|VERSION|DIGEST]…", help="Only these; default all.", autocompletion=words.shown
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page too, with a timeline for each environment; - is standard output.",
        ),
    ] = None,
) -> None:
    """Show which version runs where."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.status import status as text

    if html is None:
        from tagflow.verbs.status import status as find

        context = wiring.context(session)
        rows = find(context, names or [])
    else:
        from tagflow.cli.report.write import write_report

        context = wiring.context(session)
        rows = write_report(session, context, names or [], html)
        if str(html) == "-":
            return
    session.emit(documents.status(rows), lambda: text(rows, context.policy, context.now()))


@command("history")
def history(
    session: Session,
    environment: EnvironmentName,
    names: Names = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="The newest N releases only.")] = None,
) -> None:
    """Show who moved what, when, why, from what to what; newest first."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.chronicle import history as text
    from tagflow.verbs.history import history as read

    chronicle = read(wiring.context(session), environment, names or [], limit)
    session.emit(documents.history(chronicle), lambda: text(chronicle))


@command("verify")
def verify(
    session: Session,
    environments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENV]…", help="Only these environments.", autocompletion=words.environments),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what needs no judgement.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --repair: say what it would mend.")] = False,
) -> None:
    """Check every name against the history; exit 5 on any finding."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.findings import findings as text
    from tagflow.verbs.repair import repair as mend
    from tagflow.verbs.verify import refuse
    from tagflow.verbs.verify import verify as check

    if dry_run and not repair:
        raise UsageError("usage.invalid", "--dry-run goes with --repair", hint="Without --repair nothing is changed.")
    context = wiring.context(session, writes=repair and not dry_run)
    if repair:
        repaired = mend(context, environments or [], dry_run=dry_run)
        findings = repaired.left
        for line in repaired.done:
            session.note(line if dry_run else f"repaired: {line}")
    else:
        findings = tuple(check(context, environments or []))
    document = documents.verify(findings)
    if not findings:
        session.emit(document, lambda: "Everything is as the history says.")
        return
    if not session.is_json:
        session.emit(document, lambda: text(findings))
    raise refuse(findings, document)
