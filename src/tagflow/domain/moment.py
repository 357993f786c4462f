"""Moments as people write them: RFC 3339, a date (UTC), or so long from now."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from tagflow.domain.duration import parse_duration
from tagflow.errors import UsageError


def parse_moment(text: str, now: datetime, *, ahead: bool) -> datetime:
    """Read a TIME, or a DURATION: from ``now`` on (``ahead``), or that long ago.

    :returns: an aware datetime in UTC; a date is its first moment.
    :raises UsageError: ``time.invalid``.
    """
    try:
        span = parse_duration(text)
    except UsageError:
        pass
    else:
        return (now + span if ahead else now - span).astimezone(UTC)
    try:
        if len(text) == len("2026-12-20"):
            return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        "time.invalid",
        f"{text[:40]!r} is not a time",
        hint="Write 2026-12-20T18:00:00Z, 2026-12-20 (UTC), or a duration: 90m, 3d.",
    )
