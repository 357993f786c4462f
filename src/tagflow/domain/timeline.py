"""The records written until a moment, found with few looks at them.

Records are ordered by their sequence numbers, which their tags carry. Where each was written later than the one before,
by the clocks of those who wrote them, a search that halves the rest each time finds the last one before a moment:
eleven looks for two thousand records. A clock that was wrong shifts the answer by no more than it was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby

from tagflow.domain.tagging import RecordTag

Clock = Callable[[Sequence[RecordTag]], Mapping[RecordTag, datetime]]
"""Says when records were written; one that cannot be read is left out."""


def levels(listed: Collection[RecordTag]) -> list[tuple[RecordTag, ...]]:
    """The records by sequence number, lowest first; several of one number are a fork."""
    ordered = sorted(listed, key=lambda tag: (tag.sequence, str(tag)))
    return [tuple(tags) for _, tags in groupby(ordered, key=lambda tag: tag.sequence)]


def count_until(ordered: Sequence[Sequence[RecordTag]], clock: Clock, moment: datetime) -> int:
    """How many of the :func:`levels` had been written at a moment, its own instant included.

    One record tells of its level, the highest; the others are asked where that one cannot be read, then the levels
    below.
    """
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        probe, written = middle, _written(ordered[middle], clock)
        while written is None and probe > low:
            probe -= 1
            written = _written(ordered[probe], clock)
        if written is not None and written > moment:
            high = probe
        else:
            low = middle + 1
    return low


def _written(level: Sequence[RecordTag], clock: Clock) -> datetime | None:
    """When the first of a level was written; None where none of it can be read."""
    times = clock(level[-1:]) or clock(level[:-1])
    return min(times.values(), default=None)
