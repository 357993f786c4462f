"""A proxy in front of a real registry that makes trouble on demand: delays, refusals, cut connections, wrong bytes."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.servers import Request
from tests.standin import Asked, Relay, Say, Script, StandIn


@dataclass
class Fault:
    """Trouble for requests whose method and path match. Lets ``skip`` of them pass, then troubles ``times`` of them.

    ``delay`` seconds come first. Then ``status`` answers instead of the registry; or ``cut`` ends the connection:
    ``before`` the registry hears of the request, ``after`` it did its work, or in the ``middle`` of its answer;
    or ``edit`` changes a byte of the answer's body; or ``drop_headers`` leaves headers out, ``set_headers`` puts others
    in the place of those that are there; or the answer stops for ``stall`` seconds in the middle of its body.

    ``reset`` cuts by a TCP reset. ``every``: only about each so-many-th request that
    matches is troubled, with uneven gaps, so that no client falls into step with it. ``jitter``: up to
    so many seconds more before each.
    """

    method: str = ".*"
    path: str = ".*"
    delay: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: Literal["", "before", "after", "middle"] = ""
    edit: bool = False
    drop_headers: tuple[str, ...] = ()
    set_headers: Mapping[str, str] = field(default_factory=dict)
    stall: float = 0.0
    reset: bool = False
    jitter: float = 0.0
    skip: int = 0
    times: int = 1
    every: int = 1
    strike: Callable[[], None] = lambda: None
    """Called right before the connection is cut, or answered with ``status``."""
    hold: Callable[[], None] = lambda: None
    """Called before anything is done; it may keep the request as long as it likes."""
    hold_answer: Callable[[], None] = lambda: None
    """The same when the registry has done its work."""

    def strikes(self, method: str, path: str) -> bool:
        """Whether this request meets the fault; counts."""
        if not (re.fullmatch(self.method, method) and re.search(self.path, path)) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.skip = self.every - 1 + (self.times % 3 if self.every > 1 else 0)
        self.times -= 1
        return True

    def answer(self, asked: Asked, upstream: Script) -> Say:
        """What comes of a request that meets the fault. A status of 0: the registry heard nothing, nor anyone else."""
        self.hold()
        if self.status:
            self.strike()
            return Say(self.status, self.body, self.headers)
        if self.cut == "before":
            return Say(0, cut="whole", reset=self.reset, struck=self.strike)
        said = upstream(asked)
        self.hold_answer()
        if self.cut == "after":
            return replace(said, cut="whole", reset=self.reset, struck=self.strike)
        if self.edit and said.body:
            said = replace(said, body=bytes([said.body[0] ^ 1]) + said.body[1:])
        said = said.without(*self.drop_headers)
        said = said.having({name: value for name, value in self.set_headers.items() if said.header(name)})
        return replace(said, cut=self.cut, reset=self.reset, stall=self.stall)


class FaultProxy(StandIn):
    """A running proxy: ``host`` is its ``HOST:PORT``, ``requests`` what it was asked, in order of answers."""

    lazy = True  # what is cut before the registry hears of it may be cut in the middle of its body

    def __init__(self, upstream: str) -> None:
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.strikes = 0
        self._relay = Relay(upstream)
        super().__init__(self._relay, self._trouble)

    def add(self, **fault: Any) -> None:
        """One fault more; the first that matches strikes."""
        with self.lock:
            self.faults.append(Fault(**fault))

    def clear(self) -> None:
        """No faults, nothing asked yet."""
        with self.lock:
            self.faults.clear()
            self.requests.clear()
            self.connections = self.strikes = 0

    def count(self, method: str = ".*", path: str = ".*") -> int:
        """How many requests matched."""
        return sum(1 for r in self.requests if re.fullmatch(method, r.method) and re.search(path, r.path))

    def stop(self) -> None:
        """Close all connections."""
        super().stop()
        self._relay.close()

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault for a request."""
        with self.lock:
            found = next((fault for fault in self.faults if fault.strikes(method, path)), None)
            self.strikes += found is not None
            return found

    def _trouble(self, asked: Asked, upstream: Script) -> Say:
        self.asked.clear()  # `requests` tells it
        fault = self.fault(asked.method, asked.target) or Fault()
        time.sleep(fault.delay + random.uniform(0, fault.jitter))
        said = fault.answer(asked, upstream)
        with self.lock:
            self.requests.append(Request(asked.method, asked.target, said.status))
        return said


@contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy in front of ``upstream`` (``HOST:PORT``, plain HTTP)."""
    proxy = FaultProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.stop()
