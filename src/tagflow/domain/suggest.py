"""Did you mean …?"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(text: str, known: Iterable[str]) -> str:
    """``Did you mean 'staging'?`` where a known word is near, else an empty string."""
    near = get_close_matches(text, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else ""
