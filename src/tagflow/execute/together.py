"""Tags of one image that go to one digest, placed in one request where the registry can."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from tagflow.domain.plan import Move
from tagflow.errors import StoreError
from tagflow.workers import each

Place = Callable[[Sequence[Move]], None]


def place_together(moves: Iterable[Move], place: Place, *, threads: int) -> None:
    """Place what can be placed together. It fails silently: each tag is moved by itself afterwards, which finds it in
    place, or moves it and tells what is wrong."""

    def attempt(group: Sequence[Move]) -> None:
        with suppress(StoreError):
            place(group)

    groups: defaultdict[tuple[str, str], list[Move]] = defaultdict(list)
    for move in moves:
        if move.after is not None:
            groups[move.image, move.after].append(move)
    each(attempt, [group for group in groups.values() if len(group) > 1], threads=threads)
