"""HTML put together from values: whatever is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tagflow.cli.text import clean

_VOID = ("br", "input", "meta")


class Html(str):
    """Markup, as distinct from text that is to be escaped."""

    __slots__ = ()


def text(it: str) -> Html:
    """Text from anywhere: control and direction characters made visible, everything else taken literally."""
    return it if isinstance(it, Html) else Html(escape(clean(it), quote=True))


def joined(parts: Iterable[str]) -> Html:
    """Parts one after the other; those that are no markup are escaped."""
    return Html("".join(map(text, parts)))


def element(name: str, *children: str, **attributes: str | bool | None) -> Html:
    """An element. Of attributes a trailing ``_`` falls away and ``_`` reads ``-``; None and False leave one out.

    >>> element("a", "x < y", class_="far", data_env="prod", hidden=True, title=None)
    '<a class="far" data-env="prod" hidden>x &lt; y</a>'
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{written}>{joined(children)}{end}")
