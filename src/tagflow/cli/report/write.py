"""status --html: look, render, write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tagflow import __version__
from tagflow.cli.files import check_writable, write
from tagflow.cli.report.page import render
from tagflow.cli.session import Session
from tagflow.context import Context
from tagflow.errors import UsageError
from tagflow.verbs.report import report
from tagflow.verbs.status import Row


def write_report(session: Session, context: Context, names: Sequence[str], path: Path) -> list[Row]:
    """Write the page of what ``names`` narrow it to, to a file or, ``-``, to standard output; its rows.

    :raises StoreError: ``file.unwritable``, before any registry is asked.
    :raises UsageError: ``usage.invalid`` where standard output is to carry a JSON document, too.
    """
    to_output = str(path) == "-"
    if to_output and session.is_json:
        hint = "Name a file, or leave out -o json."
        raise UsageError("usage.invalid", "standard output cannot carry a page and a JSON document", hint=hint)
    if not to_output:
        check_writable(path)
    found = report(context, names)
    page = render(found, registry=str(context.policy.registry), made=context.now(), version=__version__)
    if to_output:
        session.emit(None, lambda: page.rstrip("\n"))
    else:
        write(path, page)
        session.note(f"Wrote {path}.")
    return list(found.rows)
