"""This machine and the registries: pull, doctor."""

# What a command runs is imported where it runs: none waits for the imports of the others.

from __future__ import annotations

from typing import Annotated

import typer

from tagflow.cli.completion import words
from tagflow.cli.options import Names, command
from tagflow.cli.session import Session


@command("pull")
def pull(
    session: Session,
    what: Annotated[
        str, typer.Argument(metavar="ENV|VERSION", help="An environment, or a version.", autocompletion=words.pulled)
    ],
    names: Names = None,
) -> None:
    """Pull what an environment runs, or a version, into Docker."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.progress import bar
    from tagflow.cli.render.findings import pulled
    from tagflow.verbs.pull import pull as fetch

    with bar() as progress:
        images = fetch(wiring.context(session, progress=progress), what, names or [])
    session.emit(documents.pulled(images), lambda: pulled(images))


@command("doctor")
def doctor(session: Session) -> None:
    """Look at each registry: reachable, credential, features, hazards."""
    from tagflow.cli import documents, wiring
    from tagflow.cli.render.findings import diagnoses
    from tagflow.verbs.doctor import doctor as examine
    from tagflow.verbs.doctor import refuse

    found = examine(*wiring.examiner(session))
    document = documents.doctor(found)
    usable = all(it.usable for it in found)
    if usable or not session.is_json:
        session.emit(document, lambda: diagnoses(found))
    if not usable:
        raise refuse(found, document)
