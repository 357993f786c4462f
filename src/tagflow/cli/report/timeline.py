"""The timeline of one environment: what happened to it, newest first, and where it differs from that now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from tagflow.cli.report.markup import Html, element, joined
from tagflow.domain.reference import Digest
from tagflow.verbs.history import Present
from tagflow.verbs.report import Event, Step, Timeline

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
_AT_ONCE = 8
"""Images of an event, and…"""
_FIRST = 25
"""…events of a timeline that are shown before anything is unfolded."""


def timeline(it: Timeline) -> Html:
    """One environment."""
    title = f"title-{it.environment}"
    events = [*(_drift(now) for now in it.present if now.condition == "unrecorded"), *map(_event, it.events)]
    forks = [_fork(now) for now in it.present if now.heads > 1]
    return element(
        "section",
        element("h3", it.environment, id=title),
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
    head = [
        element("span", it.action, class_="action"),
        element("span", f"release {it.release.number}", class_="release", title=it.release.id),
        element("span", moment(it.at), f" by {it.actor}", class_="when"),
    ]
    head += [element("span", "interrupted", class_="badge open")] if unfinished else []
    told = [element("p", it.reason, class_="reason")] if it.reason else []
    told += [element("p", f"overrides {', '.join(it.overrides)}", class_="overrides")] if it.overrides else []
    return _item(it.action, [element("div", *head, class_="head"), *told], [_step(step) for step in it.steps])


def _drift(it: Present) -> Html:
    head = [element("span", "drift", class_="action"), element("span", "now", class_="when")]
    told = "moved by hand to " if it.digest else "removed by hand"
    step = element("li", element("b", it.image), " ", told, digest(it.digest))
    return _item("drift", [element("div", *head, class_="head")], [step])


def _item(action: str, head: Iterable[Html], steps: Sequence[Html]) -> Html:
    sign = element("span", SIGNS[action], class_="sign", aria_hidden="true")
    many = len(steps) > _AT_ONCE
    body = _folded(f"{len(steps)} images", "ul", steps) if many else element("ul", *steps, class_="steps")
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
    return element("p", f"{it.older} older records are not shown: ", command, " tells them.", class_="none")


def moment(it: datetime) -> Html:
    """A time, for people and for the script."""
    utc = it.astimezone(UTC)
    return element("time", f"{utc:%Y-%m-%d %H:%M}Z", datetime=f"{utc:%Y-%m-%dT%H:%M:%SZ}")


def digest(it: Digest | None) -> Html:
    """A digest as far as people compare it; the whole one is there to be copied."""
    return element("code", it.removeprefix("sha256:")[:12], title=it) if it else Html()


def holds(versions: Iterable[str]) -> Html:
    """Versions that a rollback took out."""
    return joined(element("span", f"holds {version}", class_="badge held") for version in versions)
