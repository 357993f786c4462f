"""The timeline of one environment: what happened to it, newest first, in a list and in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from tagflow.cli.report.markup import Html, element, joined
from tagflow.cli.text import FEW, counted
from tagflow.domain.reference import Digest
from tagflow.domain.stats import DEFINITIONS, Stats
from tagflow.domain.times import format_duration
from tagflow.verbs.history import Present
from tagflow.verbs.report import WEEKS, Event, Step, Timeline

_WIDE, _GAP, _HIGH = 8, 2, 24
"""A bar, the gap behind it and the height of the chart, in units of the drawing."""


def numbers(it: Stats | None) -> Html:
    """Deployments a week as bars, those that failed in another colour, and the numbers beside them; nothing where there
    was none, or no time for any."""
    if it is None or not (it.deployments and it.weeks):
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
    whole = len(it.weeks) == WEEKS
    parts = [f"{it.deployments} deployed " + (f"in {WEEKS} weeks" if whole else f"since {it.since:%Y-%m-%d}")]
    if it.change_failure_rate is not None:
        parts.append(f"{it.failures} failed ({it.change_failure_rate:.0%})")
    if it.lead_time_seconds.median is not None:
        parts.append(f"lead time {_span(it.lead_time_seconds.median)}")
    if it.time_to_restore_seconds.median is not None:
        parts.append(f"restored in {_span(it.time_to_restore_seconds.median)}")
    return joined([" · ".join(parts)])


def _span(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(seconds)))


SIGNS = {
    "push": "+",
    "promote": "↑",
    "rollback": "↩",
    "adopt": "✋",
    "abort": "×",
    "admit": "↥",
    "hold": "⏸",
    "unhold": "▶",
    "freeze": "❄",
    "thaw": "☀",
    "drift": "!",
}
"""What an event may be; ``drift`` is what no record tells."""
_NAMES = {"adopt": "found, moved by hand", "abort": "put back", "unhold": "let in again", "thaw": "opened again"}
_AT_ONCE = FEW
"""Images of an event, and…"""
_FIRST = 8
"""…events of a timeline that are shown before anything is unfolded."""


def timeline(it: Timeline) -> Html:
    """One environment."""
    title = f"title-{it.environment}"
    drifted = [now for now in it.present if now.condition == "unrecorded"]
    events = [*([_drift(drifted)] if drifted else []), *map(_event, it.events)]
    forks = [_fork(now) for now in it.present if now.heads > 1]
    return element(
        "section",
        element("h3", it.environment, id=title),
        numbers(it.stats),
        *forks,
        element("ol", *events[:_FIRST]) if events else element("p", "Nothing ran here yet.", class_="none"),
        _folded(f"{len(events) - _FIRST} older events", "ol", events[_FIRST:]),
        _older(it),
        element("p", "No event matches.", class_="none", data_none=True, hidden=True),
        class_="timeline",
        id=f"env-{it.environment}",
        data_env=it.environment,
        aria_labelledby=title,
        tabindex="-1",
    )


def _event(it: Event) -> Html:
    unfinished = any(step.open for step in it.steps)
    images = [step.image for step in it.steps]
    head = [
        element("span", _NAMES.get(it.action, it.action), class_="action"),
        element("span", _way(it), class_="way"),
        element("span", counted(images), class_="many") if len(images) > _AT_ONCE else Html(),
    ]
    head += [element("span", "interrupted", class_="badge open")] if unfinished else []
    held = list(dict.fromkeys(label for step in it.steps for label in step.held))
    head += [holds(held)] if held and len(it.steps) > _AT_ONCE else []
    # Whoever found a move by hand and wrote it down has not made it.
    by = f"recorded by {it.actor}" if it.action == "adopt" else f"by {it.actor}"
    when = [
        element("span", moment(it.at), f" {by}{f', {it.signed}' if it.signed else ''}", class_="when"),
        element("span", f"release {it.release.number}", class_="release", title=it.release.id),
    ]
    told = [element("p", it.reason, class_="reason")] if it.reason else []
    told += [element("p", f"overrides {', '.join(it.overrides)}", class_="overrides")] if it.overrides else []
    first = [element("div", *head, class_="head"), element("div", *when, class_="head"), *told]
    return _item(it.action, first, [_step(step) for step in it.steps], images)


def _way(it: Event) -> str:
    """From which version to which, or how many ways there were."""
    if it.action in ("hold", "unhold", "admit"):
        found = Counter(step.version or "?" for step in it.steps)
    elif it.action in ("freeze", "thaw"):
        return ""
    else:
        found = Counter(f"{step.previous_version or 'nothing'} → {step.version or 'nothing'}" for step in it.steps)
    return next(iter(found)) if len(found) == 1 else f"{len(found)} ways"


def _drift(found: Sequence[Present]) -> Html:
    images = [now.image for now in found]
    head = [
        element("span", "drift", class_="action"),
        element("span", "moved by hand", class_="way"),
        element("span", counted(images), class_="many") if len(images) > _AT_ONCE else Html(),
        element("span", "now", class_="when"),
    ]
    steps = [
        element("li", element("b", now.image), " is at " if now.digest else " was removed", digest(now.digest))
        for now in found
    ]
    return _item("drift", [element("div", *head, class_="head")], steps, images)


def _item(action: str, head: Iterable[Html], steps: Sequence[Html], images: Sequence[str]) -> Html:
    sign = element("span", SIGNS[action], class_="sign", aria_hidden="true")
    many = len(steps) > _AT_ONCE
    body = _folded(", ".join(images), "ul", steps) if many else element("ul", *steps, class_="steps")
    return element("li", sign, *head, body, class_=f"event {action}", data_action=action)


def _step(it: Step) -> Html:
    way = [
        element("b", it.image),
        f" {it.previous_version or 'nothing'} → {it.version or 'nothing'} ",
        digest(it.digest),
    ]
    return element("li", *way, " ", holds(it.held))


def _folded(summary: str, name: str, items: Sequence[Html]) -> Html:
    """Items behind a summary; nothing where there is none."""
    if not items:
        return Html()
    listed = element(name, *items, class_="steps" if name == "ul" else None)
    return element("details", element("summary", summary), listed)


def _fork(it: Present) -> Html:
    return element("p", element("b", it.image), f": the history is forked, {it.heads} heads", class_="badge drift")


def _older(it: Timeline) -> Html:
    if not it.older:
        return Html()
    command = element("code", f"tagflow history {it.environment}")
    told = "1 older record is" if it.older == 1 else f"{it.older} older records are"
    return element("p", f"{told} not shown: ", command, " tells more.", class_="none")


def moment(it: datetime, shown: str = "", *, class_: str | None = None) -> Html:
    """A time, for people and for the script; ``shown`` instead of day and minute."""
    utc = it.astimezone(UTC)
    written = f"{utc:%Y-%m-%d %H:%M}Z"
    title = written if shown else None
    return element("time", shown or written, class_=class_, title=title, datetime=f"{utc:%Y-%m-%dT%H:%M:%SZ}")


def digest(it: Digest | None) -> Html:
    """A digest as far as people compare it; the whole one is there to be copied."""
    return element("code", it.removeprefix("sha256:")[:12], title=it) if it else Html()


def holds(versions: Iterable[str]) -> Html:
    """Versions that are taken out of promotion."""
    return joined(element("span", f"holds {version}", class_="badge held") for version in versions)
