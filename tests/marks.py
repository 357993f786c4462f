"""Which tests `make test` leaves to `make test-all`: what says with more servers, or longer, what others say."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

LONG = pytest.mark.long
ALL_EXAMPLES = bool(os.environ.get("TAGFLOW_ALL_EXAMPLES"))


def examples(count: int) -> int:
    """How many examples a property is tried with: ``count`` by `make test-all`, a third of them by `make test`."""
    return count if ALL_EXAMPLES else max(count // 3, 10)


def mostly_long(values: Iterable[Any], *short: Any) -> list[Any]:
    """Parameters of a test, of which only some are run by `make test`. A tuple is several parameters."""
    return [value if value in short else pytest.param(*_several(value), marks=LONG) for value in values]


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
