"""What joins releases and deployments: pin, diff, stats."""

# What a command runs is imported where it runs: none waits for the imports of the others.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagflow.cli.app import EnvironmentName, Names, command
from tagflow.cli.completion import words
from tagflow.cli.session import Session
from tagflow.errors import TagflowError, UsageError

if TYPE_CHECKING:
    from tagflow.verbs.pin import Pinning


@command("pin")
def pin(
    session: Session,
    environment: EnvironmentName,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="Compose, Kubernetes, kustomize and Helm values files, as YAML or JSON."),
    ],
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 5 where a file differs.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Change nothing; print a unified diff.")] = False,
    form: Annotated[
        str,
        typer.Option(
            "--form", metavar="tag@digest|digest|tag", help="How a reference is written.", autocompletion=words.forms
        ),
    ] = "tag@digest",
) -> None:
    """Write what an environment runs into deployment files."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.deployments import nothing_to_pin, pinned
    from tagflow.pin.edit import FORMS
    from tagflow.verbs.pin import Mode, Pinning, pin_files

    chosen = next((known for known in FORMS if known == form), None)
    if chosen is None:
        raise UsageError("usage.invalid", f"{form!r} is no form", hint=f"Use {', '.join(FORMS)}.")
    mode: Mode = "check" if check else "show" if diff else "write"
    try:
        found = pin_files(wiring.context(session), environment, files, chosen, mode)
    except TagflowError as error:
        if isinstance(error.result, Pinning):
            found = error.result
            error.result = documents.pin(found, diff=diff)
            _tell_left_alone(session, found)
            if not session.is_json:
                session.emit(None, lambda: pinned(found, diff=diff), exact=diff)
        raise
    _tell_left_alone(session, found)
    if (diff or session.is_json) and (nothing := nothing_to_pin(found)):
        session.note(nothing)
    session.emit(documents.pin(found, diff=diff), lambda: pinned(found, diff=diff), exact=diff)


def _tell_left_alone(session: Session, found: Pinning) -> None:
    from tagflow.cli.text import listed

    count = sum(file.templates for file in found.files)
    if count:
        told = "1 reference is a placeholder" if count == 1 else f"{count} references are placeholders"
        session.note(f"note: {told} as a whole, and left alone")
    named = [f"{file.file}:{it.line} ({it.text})" for file in found.files for it in file.elsewhere]
    if named:
        session.note(f"note: named where pin does not look, and left alone: {listed(named)}")


@command("diff")
def diff(
    session: Session,
    before: Annotated[
        str, typer.Argument(metavar="A", help="An environment, or a version.", autocompletion=words.pulled)
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="The one to compare it with.", autocompletion=words.pulled)],
    names: Names = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 5 where they differ.")] = False,
) -> None:
    """Compare two environments, or two versions."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.deployments import differences
    from tagflow.verbs.diff import diff as compare
    from tagflow.verbs.diff import refuse

    found = compare(wiring.context(session), before, after, names or [])
    document = documents.diff(found)
    fails = exit_code and found.differs
    if not (fails and session.is_json):
        session.emit(document, lambda: differences(found))
    if fails:
        raise refuse(found, document)


@command("stats")
def stats(
    session: Session,
    environment: EnvironmentName,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="How far back: 30d; or since a TIME.")
    ] = "30d",
) -> None:
    """Measure how often, and how well, releases go."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.deployments import statistics
    from tagflow.domain.times import parse_moment
    from tagflow.verbs.stats import stats as measure

    context = wiring.context(session)
    found = measure(context, environment, parse_moment(since, context.now(), ahead=False))
    session.emit(documents.stats(found), lambda: statistics(found, context.now()))
