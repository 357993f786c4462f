"""How many requests a registry still allows, as Docker Hub tells (Docker, "Docker Hub pull usage and limits")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_VALUE = re.compile(r"\s*([0-9]{1,12})\s*(?:;\s*w\s*=\s*([0-9]{1,12}))?")
_LOW = 0.1


@dataclass(frozen=True)
class RateLimit:
    """``remaining`` of ``limit`` requests are left; ``seconds`` is the window, 0 where it is not told."""

    limit: int
    remaining: int
    seconds: int = 0

    @property
    def is_low(self) -> bool:
        """Whether less than a tenth is left."""
        return self.remaining < self.limit * _LOW

    def __str__(self) -> str:
        window = f" in {self.seconds // 3600} h" if self.seconds >= 3600 else ""
        return f"{self.remaining} of {self.limit} pulls{window} left"


def read_rate(headers: Mapping[str, str]) -> RateLimit | None:
    """The limit that an answer tells; None where it tells none that can be read.

    >>> str(read_rate({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}))
    '76 of 100 pulls in 6 h left'
    """
    limit = _VALUE.match(headers.get("ratelimit-limit") or "")
    remaining = _VALUE.match(headers.get("ratelimit-remaining") or "")
    if not limit or not remaining:
        return None
    return RateLimit(int(limit[1]), int(remaining[1]), int(limit[2] or 0))
