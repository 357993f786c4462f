"""The commands: thin. Each reads its arguments, runs one flow, and shows the result."""

# Flows are imported where they run: a command must not wait for the imports of the others.

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tagflow import __version__
from tagflow.cli.completion import words
from tagflow.cli.options import Output, PolicyFile, Timeout, Verbose, command
from tagflow.cli.session import Session
from tagflow.errors import UsageError

app = typer.Typer(
    name="tagflow",
    help="Promote container images from environment to environment, bit for bit, and go back in seconds.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET…", help="VERSION (all images), NAME, or NAME=VERSION.", autocompletion=words.targets
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and exit as it would.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Save = Annotated[
    Path | None, typer.Option("--save-plan", metavar="FILE", help="Save the plan for `apply`; change nothing.")
]


def _version(context: typer.Context, asked: bool) -> None:
    if asked:
        context.obj.emit({"version": __version__}, lambda: f"tagflow {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=False)
def root(
    context: typer.Context,
    policy_file: PolicyFile = None,
    output: Output = None,
    verbose: Verbose = False,
    timeout: Timeout = None,
    version: Annotated[  # noqa: ARG001 - it acts by its callback
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Say which tagflow this is."),
    ] = False,
) -> None:
    """Global options, before the command."""
    context.obj = Session(policy_file=policy_file, output=output, verbose=verbose, timeout=timeout)


@command(app, "init")
def init(
    session: Session,
    registry: Annotated[str, typer.Option("--registry", metavar="R", help="HOST[:PORT][/NAMESPACE], or oci:DIR.")] = "",
    image: Annotated[list[str] | None, typer.Option("--image", metavar="NAME", help="An image; repeatable.")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", metavar="NAME", help="An environment, in order.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that is there.")] = False,
) -> None:
    """Write a commented promotion.yaml."""
    from tagflow.cli.initialise import write_policy

    path = write_policy(session, registry, image or [], env or [], force=force)
    session.emit({"path": str(path)}, lambda: f"Wrote {path}. Next: `tagflow push VERSION NAME=SOURCE`.")


@command(app, "tags")
def tags(
    session: Session,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="As v1.0, 1.2.3 or 1.2.0-rc.1.", autocompletion=words.versions)
    ],
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env", metavar="ENV", help="Only for this environment; repeatable.", autocompletion=words.environments
        ),
    ] = None,
) -> None:
    """Print the tags that a version gets, one a line; no network."""
    from tagflow.cli import documents, wiring
    from tagflow.flows.versions import computed_tags

    label, computed = computed_tags(wiring.context(session), version, env or [])
    session.emit(documents.tags(label, computed), lambda: "\n".join(it.tag for it in computed))


@command(app, "next")
def next_(
    session: Session,
    part: Annotated[
        str, typer.Argument(metavar="[major|minor|patch|prerelease]", help="What goes up.", autocompletion=words.parts)
    ] = "patch",
) -> None:
    """Print the version after the highest of all images."""
    from tagflow.cli import documents, wiring
    from tagflow.domain.version import PARTS
    from tagflow.flows.versions import next_version

    chosen = next((known for known in PARTS if known == part), None)
    if chosen is None:
        raise UsageError("usage.invalid", f"{part!r} is no part of a version", hint=f"Use {', '.join(PARTS)}.")
    found = next_version(wiring.context(session), chosen)
    session.emit(documents.next_version(found), lambda: found.next)


@command(app, "push")
def push(
    session: Session,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="As v1.0, 1.2.3 or 1.2.0-rc.1.", autocompletion=words.versions)
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=SOURCE…",
            help="docker-daemon:NAME[:TAG], docker://HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], docker-archive:FILE.tar.",
            autocompletion=words.deliveries,
        ),
    ] = None,
    dry_run: DryRun = False,
    reason: Reason = "",
) -> None:
    """Bring builds in as a version, into the first environment."""
    import tempfile

    from tagflow.cli import wiring
    from tagflow.cli.progress import bar
    from tagflow.cli.release import carry_out
    from tagflow.domain.plan import Request
    from tagflow.flows.push import Workspace, decide_push, parse_deliveries

    with bar() as progress, tempfile.TemporaryDirectory(prefix="tagflow-") as scratch:
        context = wiring.context(session, writes=not dry_run, progress=progress)
        deliveries = parse_deliveries(sources or [])
        work = Workspace(Path.cwd(), Path(scratch), dry_run)
        environment = context.policy.environments[0].name
        request = Request("push", environment, (version, *(sources or ())), reason=reason)
        carry_out(session, context, lambda: decide_push(context, version, deliveries, request, work), dry_run=dry_run)


@command(app, "promote")
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
            help="Set a rule aside: hold, soak, freeze or downgrades; repeatable, needs --reason.",
            autocompletion=words.rules,
        ),
    ] = None,
    dry_run: DryRun = False,
    reason: Reason = "",
    yes: Yes = False,
    save_plan: Save = None,
) -> None:
    """Move images on to an environment, by the digest they have."""
    from tagflow.cli import wiring
    from tagflow.cli.progress import bar
    from tagflow.cli.release import carry_out
    from tagflow.domain.plan import Request
    from tagflow.flows.promote import decide_promote

    if not to:
        raise UsageError("usage.invalid", "--to is missing", hint="Name the environment: --to ENV.")
    request = Request(
        "promote", to, tuple(targets or ()), everything, from_, tuple(dict.fromkeys(override or ())), reason
    )
    with bar() as progress:
        context = wiring.context(session, writes=not dry_run and save_plan is None, progress=progress)
        carry_out(
            session, context, lambda: decide_promote(context, request), dry_run=dry_run, ask=not yes, save=save_plan
        )


@command(app, "rollback")
def rollback(
    session: Session,
    environment: Annotated[
        str, typer.Argument(metavar="ENV", help="The environment.", autocompletion=words.environments)
    ],
    targets: Targets = None,
    dry_run: DryRun = False,
    reason: Reason = "",
    yes: Yes = False,
    save_plan: Save = None,
) -> None:
    """Go back to what ran before, or to a named version."""
    from tagflow.cli import wiring
    from tagflow.cli.release import carry_out
    from tagflow.domain.plan import Request
    from tagflow.flows.rollback import decide_rollback

    request = Request("rollback", environment, tuple(targets or ()), reason=reason)
    context = wiring.context(session, writes=not dry_run and save_plan is None)
    carry_out(session, context, lambda: decide_rollback(context, request), dry_run=dry_run, ask=not yes, save=save_plan)


@command(app, "apply")
def apply(
    session: Session, file: Annotated[Path, typer.Argument(metavar="FILE", help="The plan that --save-plan wrote.")]
) -> None:
    """Carry out a saved plan, if everything is still as it was."""
    from tagflow.cli import wiring
    from tagflow.cli.progress import bar
    from tagflow.cli.release import carry_out
    from tagflow.flows.apply import decide_apply

    with bar() as progress:
        context = wiring.context(session, writes=True, progress=progress)
        carry_out(session, context, lambda: decide_apply(context, file))


@command(app, "status")
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
        typer.Option("--html", metavar="FILE", help="Write a page too, with a timeline for each environment."),
    ] = None,
) -> None:
    """Show which version runs where."""
    from tagflow.cli import documents, show, wiring

    if html is None:
        from tagflow.flows.status import status as find

        context = wiring.context(session)
        rows = find(context, names or [])
    else:
        from tagflow.cli.report.write import write_report

        context = wiring.context(session)
        rows = write_report(session, context, names or [], html)
    session.emit(documents.status(rows), lambda: show.status(rows, context.now()))


@command(app, "history")
def history(
    session: Session,
    environment: Annotated[
        str, typer.Argument(metavar="ENV", help="The environment.", autocompletion=words.environments)
    ],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Only these images.", autocompletion=words.images)
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", help="The newest N only.")] = None,
) -> None:
    """Show who moved what, when, why, from what to what; newest first."""
    from tagflow.cli import documents, show, wiring
    from tagflow.flows.history import history as read

    chronicle = read(wiring.context(session), environment, names or [], limit)
    session.emit(documents.history(chronicle), lambda: show.history(chronicle))


@command(app, "verify")
def verify(
    session: Session,
    environments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENV]…", help="Only these environments.", autocompletion=words.environments),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what needs no judgement.")] = False,
) -> None:
    """Check every name against the history; exit 5 on any finding."""
    from tagflow.cli import documents, show, wiring
    from tagflow.flows.repair import repair as mend
    from tagflow.flows.verify import refuse
    from tagflow.flows.verify import verify as check

    context = wiring.context(session, writes=repair)
    if repair:
        repaired = mend(context, environments or [])
        findings = repaired.left
        for line in repaired.done:
            session.note(f"repaired: {line}")
    else:
        findings = tuple(check(context, environments or []))
    document = documents.verify(findings)
    if not findings:
        session.emit(document, lambda: "Everything is as the history says.")
        return
    if not session.is_json:
        session.emit(document, lambda: show.findings(findings))
    raise refuse(findings, document)


@command(app, "pull")
def pull(
    session: Session,
    what: Annotated[
        str, typer.Argument(metavar="ENV|VERSION", help="An environment, or a version.", autocompletion=words.pulled)
    ],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Only these images.", autocompletion=words.images)
    ] = None,
) -> None:
    """Pull what an environment runs, or a version, into Docker."""
    from tagflow.cli import documents, show, wiring
    from tagflow.cli.progress import bar
    from tagflow.flows.pull import pull as fetch

    with bar() as progress:
        images = fetch(wiring.context(session, progress=progress), what, names or [])
    session.emit(documents.pulled(images), lambda: show.pulled(images))


@command(app, "doctor")
def doctor(session: Session) -> None:
    """Look at each registry: reachable, credential, features, hazards."""
    from tagflow.cli import documents, show, wiring
    from tagflow.flows.doctor import doctor as examine
    from tagflow.flows.doctor import refuse

    found = examine(*wiring.examiner(session))
    document = documents.doctor(found)
    usable = all(it.usable for it in found)
    if usable or not session.is_json:
        session.emit(document, lambda: show.diagnoses(found))
    if not usable:
        raise refuse(found, document)


@command(app, "schema")
def schema(session: Session) -> None:
    """Print the JSON Schema of promotion.yaml."""
    from tagflow.config.schema import schema as describe
    from tagflow.config.schema import schema_json

    session.emit(describe(), lambda: schema_json().rstrip("\n"))
