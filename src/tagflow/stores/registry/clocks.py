"""The clock of a registry, as the ``Date`` of its answers tells it (RFC 9110, 6.6.1), beside our own."""

from __future__ import annotations

from datetime import UTC, datetime

SKEW_SECONDS = 60
"""More than this between the two clocks, and tokens may be refused, and stays are measured wrong."""


def skew(theirs: datetime, ours: datetime) -> str:
    """How far apart two clocks (aware) are, where that is more than a minute; empty where not.

    >>> skew(datetime(2026, 1, 2, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    'the clock of the registry is 25 h ahead of that of this machine'
    """
    seconds = (theirs - ours.astimezone(UTC)).total_seconds()
    if abs(seconds) <= SKEW_SECONDS:
        return ""
    way = "ahead of" if seconds > 0 else "behind"
    return f"the clock of the registry is {_span(abs(seconds))} {way} that of this machine"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
