"""How releases to an environment went, in numbers: a small chart that is a picture without any script."""

from __future__ import annotations

from datetime import timedelta

from tagflow.cli.report.markup import Html, element, joined
from tagflow.domain.stats import DEFINITIONS, Stats
from tagflow.domain.times import format_duration

_WIDE, _GAP, _HIGH = 8, 2, 24
"""A bar, the gap behind it and the height of the chart, in units of the drawing."""


def numbers(it: Stats | None) -> Html:
    """Deployments a week as bars, those that failed in another colour, and the numbers beside them; nothing where there
    was none."""
    if it is None or not it.deployments:
        return Html()
    return element("figure", _bars(it), element("figcaption", _told(it)), class_="numbers")


def meanings() -> Html:
    """What the words mean."""
    pairs = [part for name, meaning in DEFINITIONS.items() for part in (element("dt", name), element("dd", meaning))]
    return element("details", element("summary", "What the numbers mean"), element("dl", *pairs), class_="meanings")


def _bars(it: Stats) -> Html:
    most = max(week.deployments for week in it.weeks)
    bars: list[Html] = []
    for number, week in enumerate(it.weeks):
        left = number * (_WIDE + _GAP)
        told = f"week of {week.begin:%Y-%m-%d}: {week.deployments} deployed, {week.failures} of them failed"
        bars.append(
            element(
                "g",
                element("title", told),
                _bar(left, 0, _HIGH, "room"),
                _bar(left, 0, _HIGH * week.deployments / most, "all"),
                _bar(left, 0, _HIGH * week.failures / most, "failed"),
            )
        )
    wide = len(it.weeks) * (_WIDE + _GAP) - _GAP
    label = f"Deployments in each of {len(it.weeks)} weeks"
    return element("svg", *bars, viewBox=f"0 0 {wide} {_HIGH}", role="img", aria_label=label)


def _bar(left: float, bottom: float, high: float, kind: str) -> Html:
    top = _HIGH - bottom - high
    return element("rect", x=f"{left:g}", y=f"{top:.4g}", width=f"{_WIDE}", height=f"{high:.4g}", class_=kind)


def _told(it: Stats) -> Html:
    parts = [f"{it.deployments} deployed in {len(it.weeks)} weeks"]
    if it.change_failure_rate is not None:
        parts.append(f"{it.failures} failed ({it.change_failure_rate:.0%})")
    if it.lead_time.median is not None:
        parts.append(f"lead time {_span(it.lead_time.median)}")
    if it.time_to_restore.median is not None:
        parts.append(f"restored in {_span(it.time_to_restore.median)}")
    return joined([" · ".join(parts)])


def _span(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(seconds)))
