"""`tags` without a parser of command lines: scripts run it often, and building the parser takes as long as the tags.

What is not as plain as `tags VERSION --env ENV` is left to Typer, and so is every mistake (``tests/cli/test_plain.py``
compares them).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tagflow.cli.line import read
from tagflow.cli.session import Session

_OPTIONS = {"-f": "policy_file", "--policy": "policy_file", "-o": "output", "--output": "output"}


def tags_as_typed(arguments: Sequence[str], session: Session) -> bool:
    """Whether the line is a plain one, and its tags are printed.

    :raises TagflowError: as :func:`print_tags`.
    """
    line = read(arguments)
    options = (*line.before, *line.options)
    if line.command != "tags" or len(line.words) != 1 or not all(it.value for it in options) or "--" in arguments:
        return False
    environments = [it.value for it in line.options if it.name == "--env" and it.value]
    others = {_OPTIONS.get(it.name, ""): it.value for it in options if it.name != "--env"}
    if len(environments) + len(others) < len(options) or not set(others) <= {"policy_file", "output"}:
        return False
    given = replace(session, **others)
    given.perform(lambda: print_tags(given, line.words[0], environments))
    return True


def print_tags(session: Session, version: str, environments: Sequence[str]) -> None:
    """Print the tags that a version gets.

    :raises TagflowError: ``policy.*``, ``version.*``, ``environment.unknown``.
    """
    from tagflow.cli import documents, wiring
    from tagflow.verbs.versions import computed_tags

    label, computed = computed_tags(wiring.context(session), version, environments)
    session.emit(documents.tags(label, computed), lambda: "\n".join(it.tag for it in computed))
