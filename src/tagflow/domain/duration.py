"""Durations as people write them: ``24h``, ``1h30m``, ``7d``."""

from __future__ import annotations

import re
from datetime import timedelta

from tagflow.errors import UsageError

PATTERN = r"^(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$"
"""Days, hours, minutes and seconds, in that order, at least one of them (also valid in JSON Schema)."""

LONGEST = timedelta(days=3650)
"""Longer than any rule needs, and short enough to be subtracted from any date."""

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
