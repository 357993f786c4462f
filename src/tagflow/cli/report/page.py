"""status --html: look, render, write; the same report always gives the same bytes."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template

from tagflow import __version__
from tagflow.cli.report.markup import Html, element, joined, text
from tagflow.cli.report.matrix import flow, matrix
from tagflow.cli.report.timeline import SIGNS, meanings, moment, timeline
from tagflow.cli.session import Session
from tagflow.context import Context
from tagflow.errors import StoreError, UsageError
from tagflow.stores.files import put, why_unwritable
from tagflow.verbs.report import Report, report
from tagflow.verbs.status import Row


def check_writable(path: Path) -> None:
    """Refuse a place where a file cannot be written, before anything else is done; the file is not touched.

    :raises StoreError: ``file.unwritable``.
    """
    why = why_unwritable(path)
    if why:
        raise _unwritable(path, why)


def write(path: Path, content: str) -> None:
    """Write a file that readers see as it was or whole; what UTF-8 does not know is written with backslashes.

    :raises StoreError: ``file.unwritable``.
    """
    try:
        put(path, content.encode(errors="backslashreplace"))
    except OSError as exc:
        raise _unwritable(path, exc.strerror or "the system refuses") from exc


def _unwritable(path: Path, why: str) -> StoreError:
    return StoreError("file.unwritable", f"cannot write {path}: {why}", hint="Choose another file.")


def render(report: Report, *, registry: str, made: datetime, version: str) -> str:
    """One page that needs nothing beside itself: no network, no other file, no permission to run more than its script.

    ``registry`` is the policy's, ``made`` when the registries were asked, ``version`` of tagflow.
    """
    style, script = _file("style.css"), _file("script.js")
    told = element("strong", registry)
    return Template(_file("page.html")).substitute(
        title=text(f"What runs where: {registry}"),
        about=joined([told, " as seen at ", moment(made)]),
        style=style,
        style_hash=_source(style),
        script=script,
        script_hash=_source(script),
        counts=_counts(report),
        actions=joined(element("option", action, value=action) for action in SIGNS),
        chips=joined(_chip(it.environment) for it in report.timelines),
        flow=flow(report, made),
        matrix=matrix(report, made),
        legend=text(
            "In a row, equal letters stand for equal digests: the same image, byte for byte. Beside each version stands"
            " how long it has been running; open it for its digest, who brought it, and what is held."
        ),
        # Where it ends is what people ask about first.
        timelines=joined(timeline(it) for it in reversed(report.timelines)) or element("p", "Nothing is shown."),
        meanings=meanings() if any(it.stats and it.stats.deployments for it in report.timelines) else Html(),
        footer=text(f"Made by tagflow {version} at {made.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z. Times are UTC."),
    )


def _file(name: str) -> str:
    return files("tagflow.cli.report").joinpath(name).read_text(encoding="utf-8")


def _source(content: str) -> str:
    """What a Content-Security-Policy calls this content, and only this (CSP 3, "hash-source")."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _counts(report: Report) -> Html:
    cells = [cell for row in report.rows for cell in row.environments]
    states = Counter(cell.state for cell in cells)
    # A version that all images have is one: how many hold it, its environment says.
    held = len({(cell.environment, label) for cell in cells for label in cell.holds})
    counted = [
        ("images", len(report.rows), ""),
        ("environments", len(report.timelines), ""),
        ("interrupted", states["interrupted"], "alarm"),
        ("late", states["late"], "alarm"),
        ("unreadable", states["broken"], "alarm"),
        ("moved by hand", states["unrecorded"], "warn"),
        ("held version" if held == 1 else "held versions", held, "warn"),
        ("frozen", len({cell.environment for cell in cells if cell.frozen}), "cold"),
    ]
    shown = [_count(name, number, tone) for name, number, tone in counted if number or not tone]
    calm = not any(number for _, number, tone in counted if tone)
    return joined([*shown, element("li", "all as recorded", class_="good") if calm and cells else Html()])


def _count(name: str, number: int, tone: str) -> Html:
    return element("li", element("b", str(number)), f" {name}", class_=tone or None)


def _chip(environment: str) -> Html:
    return element("button", environment, type="button", class_="chip", data_chip=environment, aria_pressed="true")


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
