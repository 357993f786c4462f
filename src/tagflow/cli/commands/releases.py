"""What changes an environment: push, promote, rollback, apply, approve, hold, freeze."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tagflow.cli.app import (
    DryRun,
    EnvironmentName,
    Lift,
    NeededReason,
    Reason,
    Receipt,
    SavePlan,
    Targets,
    VersionText,
    Wait,
    Yes,
    command,
)
from tagflow.cli.completion import words
from tagflow.cli.session import Session
from tagflow.errors import UsageError

PlanFile = Annotated[Path, typer.Argument(metavar="FILE", help="The plan that --save-plan wrote.")]


@command("push")
def push(
    session: Session,
    version: VersionText,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=SOURCE…",
            help="docker-daemon:NAME[:TAG], docker://HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG|@DIGEST],"
            " docker-archive:FILE[:NAME|@DIGEST].",
            autocompletion=words.deliveries,
        ),
    ] = None,
    dry_run: DryRun = False,
    reason: Reason = "",
    yes: Yes = False,  # noqa: ARG001 - a push asks nothing; scripts may say so all the same
    wait: Wait = None,
    receipt: Receipt = None,
) -> None:
    """Bring builds in as a version, into the first environment."""
    import tempfile

    from tagflow.cli import wiring
    from tagflow.cli.progress import bar
    from tagflow.cli.release import carry_out
    from tagflow.domain.plan import Request
    from tagflow.verbs.push import Workspace, first_environment, parse_deliveries
    from tagflow.verbs.push import push as run

    parse_deliveries(sources or [])
    with bar() as progress, tempfile.TemporaryDirectory(prefix="tagflow-") as scratch:
        context = wiring.context(session, writes=not dry_run, progress=progress)
        work = Workspace(Path.cwd(), Path(scratch), dry_run)
        request = Request("push", first_environment(context), (version, *(sources or ())), reason=reason)
        carry_out(
            session, lambda options: run(context, request, work, options), dry_run=dry_run, wait=wait, receipt=receipt
        )


@command("promote")
def promote(
    session: Session,
    targets: Targets = None,
    to: Annotated[
        str,
        typer.Option("--to", metavar="ENV", help="The environment to promote to.", autocompletion=words.environments),
    ] = "",
    from_: Annotated[
        str,
        typer.Option(
            "--from", metavar="ENV", help="Which one, where several lead there.", autocompletion=words.environments
        ),
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every image, as the environment before runs it.")] = False,
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--override",
            metavar="RULE",
            help="Set a rule aside: hold, soak, freeze, downgrades or approvals; repeatable, needs --reason.",
            autocompletion=words.rules,
        ),
    ] = None,
    dry_run: DryRun = False,
    reason: Reason = "",
    yes: Yes = False,
    save_plan: SavePlan = None,
    wait: Wait = None,
    receipt: Receipt = None,
) -> None:
    """Move images on to an environment, by the digest they have."""
    from tagflow.cli import wiring
    from tagflow.cli.progress import bar
    from tagflow.cli.release import carry_out
    from tagflow.domain.plan import Request
    from tagflow.verbs.promote import promote as run

    if not to:
        raise UsageError("usage.invalid", "--to is missing", hint="Name the environment: --to ENV.")
    request = Request(
        "promote", to, tuple(targets or ()), everything, from_, tuple(dict.fromkeys(override or ())), reason
    )
    with bar() as progress:
        context = wiring.context(session, writes=not dry_run and save_plan is None, progress=progress)
        carry_out(
            session,
            lambda options: run(context, request, options),
            context=context,
            dry_run=dry_run,
            ask=not yes,
            save=save_plan,
            wait=wait,
            receipt=receipt,
        )


@command("rollback")
def rollback(
    session: Session,
    environment: EnvironmentName,
    targets: Targets = None,
    dry_run: DryRun = False,
    reason: Reason = "",
    yes: Yes = False,
    save_plan: SavePlan = None,
    wait: Wait = None,
    receipt: Receipt = None,
) -> None:
    """Go back to what ran before, or to a named version."""
    from tagflow.cli import wiring
    from tagflow.cli.release import carry_out
    from tagflow.domain.plan import Request
    from tagflow.verbs.rollback import rollback as run

    request = Request("rollback", environment, tuple(targets or ()), reason=reason)
    context = wiring.context(session, writes=not dry_run and save_plan is None)
    carry_out(
        session,
        lambda options: run(context, request, options),
        context=context,
        dry_run=dry_run,
        ask=not yes,
        save=save_plan,
        wait=wait,
        receipt=receipt,
    )


@command("apply")
def apply(
    session: Session,
    file: PlanFile,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 - a saved plan was looked at already: nothing is asked
    approval: Annotated[
        list[Path] | None,
        typer.Option("--approval", metavar="FILE", help="An approval that is not in the registry; repeatable."),
    ] = None,
    receipt: Receipt = None,
) -> None:
    """Carry out a saved plan, if everything is still as it was."""
    from tagflow.cli import wiring
    from tagflow.cli.progress import bar
    from tagflow.cli.release import carry_out
    from tagflow.verbs.apply import apply as run

    with bar() as progress:
        context = wiring.context(session, writes=not dry_run, progress=progress)
        carry_out(
            session,
            lambda options: run(context, file, options),
            context=context,
            dry_run=dry_run,
            approvals=approval or (),
            receipt=receipt,
        )


@command("approve")
def approve(
    session: Session,
    file: PlanFile,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the approval here, not to the registry.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Look at a saved plan, and sign it: an approval."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.line import under
    from tagflow.cli.release import confirmation
    from tagflow.cli.render.releases import approved as text
    from tagflow.verbs.approve import approve_plan

    context = wiring.context(session, writes=out is None)
    done = approve_plan(context, file, out, confirmation(context, "Approve it?", yes=yes))
    session.emit(documents.approved(done), lambda: under(session.policy_file, text(done)))


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

    if lift and until is not None:
        raise UsageError("usage.invalid", "--lift and --until exclude each other", hint="--lift ends the freeze now.")
    request = Request("freeze", environment, reason=reason)
    context = wiring.context(session, writes=True)
    end = None if until is None else parse_moment(until, context.now(), ahead=True)
    carry_out(session, lambda _: run(context, request, lift=lift, until=end))
