"""What only looks, or puts right what needs no judgement: status, history, verify."""

# What a command runs is imported where it runs: none waits for the imports of the others.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tagflow.cli.app import EnvironmentName, Names, command
from tagflow.cli.completion import words
from tagflow.cli.session import Session
from tagflow.errors import UsageError

if TYPE_CHECKING:
    from tagflow.context import Context
    from tagflow.decide.finding import Finding
    from tagflow.domain.running import Seen
    from tagflow.verbs.history import History
    from tagflow.verbs.repair import Repaired
    from tagflow.verbs.status import Row


@command("status")
def status(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENV|NAME|VERSION|DIGEST]…", help="Only these; default all.", autocompletion=words.shown
        ),
    ] = None,
    at: Annotated[
        str, typer.Option("--at", metavar="TIME", help="As it was then, by the history: RFC 3339, or a date (UTC).")
    ] = "",
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
    if at:
        _status_at(session, at, names or [], html)
        return
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.status import status as text

    if html is None:
        from tagflow.verbs.status import status as find

        context = wiring.context(session)
        rows = session.seen(
            lambda: find(context, names or []),
            documents.status,
            # No command is told: it might leave out those that could not be seen.
            lambda rest: text(rest, context.policy, context.now(), advise=False),
        )
    else:
        from tagflow.cli.report.page import write_report

        context = wiring.context(session)
        rows = write_report(session, context, names or [], html)
        if str(html) == "-":
            return
    _note_where_none(session, context, names or [], rows, "runs")
    if session.is_json:
        from tagflow.verbs.status import doubted, tell_doubts

        tell_doubts(context, doubted(rows))
    session.emit(
        documents.status(rows), lambda: text(rows, context.policy, context.now(), policy_file=session.policy_file)
    )


def _status_at(session: Session, at: str, names: list[str], html: Path | None) -> None:
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.status import status as text
    from tagflow.domain.times import parse_moment
    from tagflow.verbs.past import status_at

    if html is not None:
        raise UsageError(
            "usage.invalid", "--at and --html exclude each other", hint="The page has a timeline of its own."
        )
    context = wiring.context(session)
    past = status_at(context, parse_moment(at, context.now(), ahead=False), names)
    session.note(
        f"note: as of {documents.moment(past.at)}, by the history and the clocks of those who wrote it;"
        " what was moved by hand is not in it before it was recorded"
    )
    for line in past.unread:
        session.note(f"note: {line}")
    _note_where_none(session, context, names, past.rows, "ran")
    session.emit(documents.status(past.rows, past.at), lambda: text(past.rows, context.policy, past.at, advise=False))


def _note_where_none(
    session: Session, context: Context, names: Sequence[str], rows: Sequence[Row], runs: Literal["runs", "ran"]
) -> None:
    """Say so where nothing runs what was asked for: there is nothing to show then."""
    if rows:
        return
    images = [name for name in names if name in context.image_names]
    environments = [it.name for it in context.policy.environments if it.name in names]
    asked = [name for name in names if name not in (*images, *environments)]
    of = f" of {' or '.join(images)}" if images else ""
    there = f" in {' or '.join(environments)}" if environments else ""
    session.note(f"note: nothing{of}{there} {runs} {' or '.join(asked)}")


@command("history")
def history(
    session: Session,
    environment: EnvironmentName,
    names: Names = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="The newest N releases only.")] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME|DURATION", help="Since then: RFC 3339, a date (UTC), or 7d.")
    ] = "",
) -> None:
    """Show who moved what, when, why, from what to what; newest first."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.chronicle import history as text
    from tagflow.domain.times import parse_moment
    from tagflow.verbs.history import history as read

    context = wiring.context(session)
    moment = parse_moment(since, context.now(), ahead=False) if since else None

    def told(chronicle: History) -> str:
        return text(chronicle, len(context.image_names))

    chronicle = session.seen(lambda: read(context, environment, names or [], limit, moment), documents.history, told)
    for line in (*chronicle.doubts, *chronicle.unread) if session.is_json else ():
        session.note(f"note: {line}")
    session.emit(documents.history(chronicle), lambda: told(chronicle))


@command("verify")
def verify(
    session: Session,
    environments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENV]…", help="Only these environments.", autocompletion=words.environments),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what needs no judgement.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --repair: say what it would mend.")] = False,
    running: Annotated[
        str,
        typer.Option(
            "--running",
            metavar="FILE|-",
            help="What `kubectl get pods -o json`, `docker ps --format json` or `docker compose ps --format json` say:"
            " find what is not what ENV should run.",
        ),
    ] = "",
    expect: Annotated[
        Path | None,
        typer.Option("--expect", metavar="FILE", help="A receipt: find what the history has lost since."),
    ] = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Look whether every image that a rollback may go back to is whole."),
    ] = False,
) -> None:
    """Check every name against the history; exit 5 on any finding."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.progress import counter
    from tagflow.cli.render.findings import findings as text
    from tagflow.cli.render.findings import mended
    from tagflow.verbs.repair import repair as mend
    from tagflow.verbs.verify import Verified, check, refuse

    if dry_run and not repair:
        raise UsageError("usage.invalid", "--dry-run goes with --repair", hint="Without --repair nothing is changed.")
    # Before anything is repaired: what is wrong with the file is no news of the registry.
    seen = _seen(running, environments or []) if running else None
    told = ""

    def look() -> tuple[Context, Repaired | None, Verified]:
        with counter("checking") as questions:
            context = wiring.context(session, writes=repair and not dry_run, questions=questions)
            if not repair:
                return context, None, check(context, environments or [], expect, deep=deep)
            repaired = mend(context, environments or [], dry_run=dry_run, expect=expect, deep=deep)
            return context, repaired, Verified(repaired.left)

    def told_of(found: Iterable[Finding]) -> str:
        return text(found, session.policy_file)

    context, repaired, found = session.seen(look, documents.verify, told_of)
    findings = tuple(found.findings)
    if repaired:
        for line in mended(repaired.done, context.image_names):
            session.note(line if dry_run or line.startswith(" ") else f"repaired: {line}")
    if found.older:
        images, names = ("image", "name") if found.older == 1 else ("images", "names")
        older = f"{found.older:,} older {images} that a rollback may go back to"
        session.note(f"note: {older}: {names} looked at, content only with --deep")
    if seen is not None:
        from tagflow.verbs.running import agreement, check_running

        [environment] = environments or []
        there = check_running(context, environment, seen, _called(running))
        findings += there.findings
        for note in there.notes:
            session.note(f"note: {note}")
        told = agreement(there, environment)
    document = documents.verify(findings)
    if not findings:
        session.emit(document, lambda: " ".join(filter(None, ["Everything is as the history says.", told])))
        return
    if not session.is_json:
        session.emit(document, lambda: told_of(findings))
    raise refuse(findings, document, repaired=repair and not dry_run)


def _called(file: str) -> str:
    return "standard input" if file == "-" else file


def _seen(file: str, environments: list[str]) -> list[Seen]:
    """The containers that kubectl or docker printed.

    :raises UsageError: ``usage.invalid`` where it is not said which environment it is about, ``running.unreadable``.
    """
    import sys

    from tagflow.domain.running import read_running

    if len(environments) != 1:
        hint = "Say which one it is: `tagflow verify ENV --running FILE`."
        raise UsageError("usage.invalid", "--running is about one environment", hint=hint)
    if file == "-" and sys.stdin.isatty():
        hint = "For example `kubectl get pods -o json | tagflow verify ENV --running -`."
        raise UsageError("usage.invalid", "--running - reads standard input, and that is a terminal", hint=hint)
    try:
        printed = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as exc:
        why = exc.strerror or "the system refuses"
        raise UsageError("running.unreadable", f"cannot read {file}: {why}", hint="Name a file, or - .") from exc
    return read_running(printed, _called(file))
