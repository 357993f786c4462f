"""status --html: look, render, write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tagflow import __version__
from tagflow.cli.files import check_writable, write
from tagflow.cli.report.page import render
from tagflow.cli.session import Session
from tagflow.flows.context import Context
from tagflow.flows.report import report
from tagflow.flows.status import Row


def write_report(session: Session, context: Context, names: Sequence[str], path: Path) -> list[Row]:
    """Write the page of what ``names`` narrow it to; the rows are for standard output.

    :raises StoreError: ``file.unwritable``, before any registry is asked.
    """
    check_writable(path)
    found = report(context, names)
    write(path, render(found, registry=str(context.policy.registry), made=context.now(), version=__version__))
    session.note(f"Wrote {path}.")
    return list(found.rows)
