"""Times as people write them: durations (``24h``, ``1h30m``) and moments (RFC 3339, a date, so long from now)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from tagflow.errors import UsageError

PATTERN = r"^(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$"
"""Days, hours, minutes and seconds, in that order, at least one of them (also valid in JSON Schema)."""

LONGEST = timedelta(days=3650)
"""Longer than any rule needs, and short enough to be subtracted from any date."""

YEARS = range(1970, 9000)
"""Years, in UTC, of the moments that are written and read back: they leave room for adding a soak or a time zone."""

_SHAPE = re.compile(PATTERN)


def parse_duration(text: str) -> timedelta:
    """Read ``45s``, ``90m``, ``1h30m``, ``7d``.

    :raises UsageError: ``duration.invalid`` for anything else, and for more than ten years.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise UsageError(
            "duration.invalid",
            f"{text[:40]!r} is not a duration",
            hint="Write a number and its unit, d, h, m or s: 45s, 90m, 1h30m, 7d.",
        )
    days, hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total > LONGEST.total_seconds():
        raise UsageError("duration.invalid", f"{text!r} is too long", hint=f"At most {format_duration(LONGEST)}.")
    return timedelta(seconds=total)


def format_duration(duration: timedelta) -> str:
    """Write a duration so that :func:`parse_duration` reads it, rounded down to whole seconds.

    >>> format_duration(timedelta(minutes=90))
    '1h30m'
    """
    total = max(0, int(duration.total_seconds()))
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = (f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")) if count)
    return "".join(parts) or "0s"


def parse_moment(text: str, now: datetime, *, ahead: bool) -> datetime:
    """Read a TIME, or a DURATION: from ``now`` on (``ahead``), or that long ago.

    :returns: an aware datetime in UTC; a date is its first moment.
    :raises UsageError: ``time.invalid``; ``duration.invalid`` for a duration of more than ten years.
    """
    if _SHAPE.fullmatch(text):
        span = parse_duration(text)
        return (now + span if ahead else now - span).astimezone(UTC)
    moment = _read_moment(text)
    if moment is None:
        raise UsageError(
            "time.invalid",
            f"{text[:40]!r} is not a time",
            hint="Write 2026-12-20T18:00:00Z, 2026-12-20 (UTC), or a duration: 90m, 3d.",
        )
    return kept_moment(moment, text)


def _read_moment(text: str) -> datetime | None:
    """An aware datetime, or a date's first moment in UTC; None where the text is neither."""
    try:
        if len(text) == len("2026-12-20"):
            return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def kept_moment(moment: datetime, text: str = "") -> datetime:
    """A moment in UTC, if a record may name it: what is written must be readable ever after. ``text`` is how it was
    written.

    :raises UsageError: ``time.invalid`` for a year outside :data:`YEARS`, and where the time zone is missing.
    """
    told = repr(text[:40] or moment.isoformat())
    if moment.tzinfo is None:
        raise UsageError("time.invalid", f"{told} has no time zone", hint="Give an aware datetime.")
    try:
        found = moment.astimezone(UTC)
    except OverflowError:
        found = None
    if found is None or found.year not in YEARS:
        span = f"from {YEARS.start} to {YEARS.stop - 1}"
        raise UsageError("time.invalid", f"{told} is too far away", hint=f"Write a year {span}.")
    return found
