"""The page as one string: the same report always gives the same bytes."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from datetime import UTC, datetime
from importlib.resources import files
from string import Template

from tagflow.cli.report.flow import flow
from tagflow.cli.report.markup import Html, element, joined, text
from tagflow.cli.report.matrix import matrix
from tagflow.cli.report.numbers import meanings
from tagflow.cli.report.timeline import SIGNS, moment, timeline
from tagflow.verbs.report import Report


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
    cells = [cell for row in report.rows for cell in row.cells]
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
