"""No decision is made on an order that the scheme and a reader see differently.

SemVer compares a word as text: ``rc10`` comes before ``rc9``. Whatever would depend on the order of two such versions
(a downgrade, the winner of a floating tag, what comes next) is refused, in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tagflow.domain.versions.version import Version
from tagflow.errors import UsageError

_INSIDE = re.compile(r"(?<=[A-Za-z])-?(?=[0-9]+(?:[.+-]|$))")
"""Between a word and the number at its end."""


def refuse_unclear_order(one: Version, other: Version) -> None:
    """Say no where something depends on the order of two versions that are ordered otherwise than they read.

    :raises UsageError: ``version.order``.
    """
    if not one.scheme.is_unclear(one, other):
        return
    lower, higher = sorted((one, other))
    helps = [spelling for spelling in map(_separated, (lower, higher)) if spelling]
    write = f"Write {' and '.join(dict.fromkeys(helps))}, or set" if helps else "Set"
    raise UsageError(
        "version.order",
        f"SemVer orders {lower} before {higher}, because it compares a number inside a word as text; "
        "nothing is decided on that",
        hint=f"{write} `versions: natural` under `tags`, which orders such numbers by value.",
    )


def highest(versions: Iterable[Version]) -> Version | None:
    """The highest version; None where there is none.

    :raises UsageError: ``version.order`` where a reader would take another one for it.
    """
    known = list(versions)
    best = max(known, default=None)
    if best is not None:
        for version in known:
            refuse_unclear_order(version, best)
    return best


def _separated(version: Version) -> str:
    """The spelling in which the number at the end of a word stands by itself: ``rc.10``; empty where there is none."""
    core, dash, rest = version.text.partition("-")
    spelling = core + dash + _INSIDE.sub(".", rest)
    found = version.scheme.find(spelling)
    return spelling if found is not None and spelling != version.text else ""
