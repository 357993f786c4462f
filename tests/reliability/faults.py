"""The storms of the matrix: what a registry or the way to it may do, now and then or for good."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import partial
from typing import Any, Literal

from tests.images import absent
from tests.proxy import FaultProxy

Season = Literal["passing", "lasting"]
ALWAYS = 1_000_000
"""So many requests no run makes."""
STALL = 8.0
"""Seconds that a stalled answer keeps still: longer than tagflow waits here."""
_READS, _WRITES = "GET|HEAD", "PUT|POST|PATCH|DELETE"


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Storm:
    """One kind of trouble. ``told`` is what the table calls it; ``fault`` are fields of :class:`tests.proxy.Fault`.

    ``harmless``: it never makes a command fail. ``misleads``: it makes the registry tell untruths that no client can
    see through, so that a refusal other than "the registry failed" is right, too. ``now`` computes more fields when
    it begins. A passing one strikes about each ``every``-th request after ``skip``, at most ``most`` times.
    """

    name: str
    told: str
    fault: Mapping[str, Any] = field(default_factory=dict)
    now: Any = _nothing
    harmless: bool = False
    misleads: bool = False
    forgives: bool = True
    """Whether a passing one is got over by trying again."""
    skip: int = 1
    every: int = 3
    most: int = ALWAYS
    lasting: Mapping[str, Any] | None = None
    """Other fields where it lasts."""
    login: bool = False
    """It needs a registry with tokens."""
    seasons: tuple[Season, ...] = ("passing", "lasting")

    def over(self, proxy: FaultProxy, season: Season) -> AbstractContextManager[None]:
        """Let it loose; the block ends it where nobody listens."""
        if self.name == "refused":
            return proxy.refusing()
        fields = {**self.fault, **self.now()}
        if season == "passing":
            proxy.add(**fields, every=self.every, skip=self.skip, times=self.most)
        else:
            proxy.add(**{**fields, **(self.lasting or {})}, times=ALWAYS)
        return nullcontext()


def _status(number: int, told: str = "") -> Storm:
    return Storm(f"{number}", told or f"HTTP {number}", {"status": number}, forgives=number != 500)


def _in_a_second() -> dict[str, Any]:
    return {"status": 429, "headers": {"Retry-After": formatdate(time.time() + 1, usegmt=True)}}


_FAR = {"headers": {"Retry-After": "3600"}}
STORMS: Mapping[str, Storm] = {
    storm.name: storm
    for storm in (
        Storm("latency", "each answer 50 ms late", {"delay": 0.05}, harmless=True),
        Storm("jitter", "each answer up to 100 ms late", {"jitter": 0.1}, harmless=True),
        _status(429, "HTTP 429 without Retry-After"),
        Storm(
            "429-seconds",
            "HTTP 429, Retry-After in seconds",
            {"status": 429, "headers": {"Retry-After": "1"}},
            most=2,
            lasting=_FAR,
        ),
        Storm("429-date", "HTTP 429, Retry-After as a date", now=_in_a_second, most=2),
        _status(500),
        _status(502),
        _status(503),
        _status(504),
        Storm("refused", "connection refused", seasons=("lasting",)),
        Storm("reset-before", "reset before the registry hears", {"cut": "before", "reset": True}),
        Storm("reset-during", "reset in the middle of the answer", {"cut": "middle", "reset": True}),
        Storm("reset-after", "reset when it is done, unanswered", {"cut": "after", "reset": True}),
        Storm("truncated", "answers cut short", {"cut": "middle", "method": "GET"}),
        Storm("stalled", "answers that stop in the middle", {"stall": STALL, "method": "GET"}, most=3),
        Storm("wrong-bytes", "answers with a wrong byte", {"edit": True, "method": "GET"}, forgives=False),
        Storm(
            "wrong-digest",
            "a wrong Docker-Content-Digest",
            {"set_headers": {"Docker-Content-Digest": absent("a lie")}},
            forgives=False,
            misleads=True,
        ),
        Storm("token", "a token that expires midway", {"status": 401}, login=True, skip=18, most=1),
        Storm("lost-put", "a PUT that took effect, unanswered", {"cut": "after", "method": "PUT", "reset": True}),
    )
}


def expired(challenge: str) -> dict[str, Any]:
    """A registry that does not take the token any more."""
    return {"status": 401, "headers": {"WWW-Authenticate": challenge}}


def with_challenge(storm: Storm, challenge: str) -> Storm:
    """The same storm with the challenge of a real registry, where it needs one."""
    return replace(storm, now=partial(expired, challenge)) if storm.login else storm
