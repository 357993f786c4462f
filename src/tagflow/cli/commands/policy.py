"""What surrounds releases, the policy, this machine, the registries: init, tags, next, schema, pull, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from tagflow.cli.app import Names, VersionText, command
from tagflow.cli.completion import words
from tagflow.cli.line import under
from tagflow.cli.plain import print_tags
from tagflow.cli.session import Session
from tagflow.errors import UsageError


@command("init")
def init(
    session: Session,
    registry: Annotated[str, typer.Option("--registry", metavar="R", help="HOST[:PORT][/NAMESPACE], or oci:DIR.")] = "",
    image: Annotated[list[str] | None, typer.Option("--image", metavar="NAME", help="An image; repeatable.")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", metavar="NAME", help="An environment, in order.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that is there.")] = False,
) -> None:
    """Write a commented promotion.yaml."""
    from tagflow.cli.initialise import write_policy

    path, images = write_policy(session, registry, image or [], env or [], force=force)
    sources = " ".join(f"{name}=SOURCE" for name in images[:3]) + (" …" if len(images) > 3 else "")
    following = under(session.policy_file, f"`tagflow push VERSION {sources}`")
    session.emit({"path": str(path)}, lambda: f"Wrote {path}. Next: {following}.")


@command("tags")
def tags(
    session: Session,
    version: VersionText,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env", metavar="ENV", help="Only for this environment; repeatable.", autocompletion=words.environments
        ),
    ] = None,
) -> None:
    """Print the tags that a version gets, one a line; no network."""
    print_tags(session, version, env or [])


@command("next")
def next_(
    session: Session,
    part: Annotated[
        str | None,
        typer.Argument(
            metavar="[major|minor|patch|prerelease]",
            help="What goes up. Default: patch; with natural versions the last number.",
            autocompletion=words.parts,
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="NAME", help="Only of this image; repeatable.", autocompletion=words.images),
    ] = None,
) -> None:
    """Print the version after the highest of all images, or of one."""
    from tagflow.cli import documents, wiring
    from tagflow.domain.versions import PARTS
    from tagflow.verbs.versions import next_version

    chosen = next((known for known in PARTS if known == part), None)
    if part is not None and chosen is None:
        raise UsageError("usage.invalid", f"{part!r} is no part of a version", hint=f"Use {', '.join(PARTS)}.")
    found = next_version(wiring.context(session), chosen, image or [])
    for note in found.notes:
        session.note(note)
    session.emit(documents.next_version(found), lambda: found.next)


@command("schema")
def schema(session: Session) -> None:
    """Print the JSON Schema of promotion.yaml."""
    from tagflow.config.document import schema as describe
    from tagflow.config.document import schema_json

    session.emit(describe(), lambda: schema_json().rstrip("\n"))


@command("pull")
def pull(
    session: Session,
    what: Annotated[
        str, typer.Argument(metavar="ENV|VERSION", help="An environment, or a version.", autocompletion=words.pulled)
    ],
    names: Names = None,
) -> None:
    """Pull what an environment runs, or a version, into Docker.

    $DOCKER_DEFAULT_PLATFORM names another platform than that of the machine.
    """
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
    ready = all(it.ready for it in found)
    if ready or not session.is_json:
        session.emit(document, lambda: diagnoses(found))
    if not ready:
        raise refuse(found, document)
