"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def minute(moment: datetime | None) -> str:
    """``2026-11-25 21:31Z``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z" if moment else "-"


def age(since: datetime | None, now: datetime) -> str:
    """How long ago, roughly: ``2d``."""
    if since is None:
        return "-"
    seconds = max(int((now - since).total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
