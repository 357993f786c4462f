"""What a user decides about connections."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tagflow.stores.registry.http.retries import RetryBudget, RetryPolicy
from tagflow.stores.registry.http.width import MOST


def _nobody(_: str) -> None:
    """Tell nobody."""


def _utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


READ_SECONDS = 60.0
"""The longest silence of a server in the middle of an answer."""


@dataclass(frozen=True)
class Settings:
    """What a user decides about connections.

    ``insecure`` are hosts that may speak plain HTTP beside loopback; ``threads`` the connections kept per host;
    ``deadline`` a :func:`time.monotonic` time; ``trace`` hears one line per request, without secrets, ``warn`` what
    people should know; ``writes`` says that tags will be moved, so that push rights are asked for at once;
    ``create_repositories`` that missing ones are created where the registry wants that (ECR). ``silence`` is the
    longest time in seconds without a byte of an answer; ``now`` the clock that registries' own are compared with.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    insecure: frozenset[str] = frozenset()
    threads: int = MOST
    deadline: float | None = None
    trace: Callable[[str], None] = _nobody
    warn: Callable[[str], None] = _nobody
    writes: bool = False
    create_repositories: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    silence: float = READ_SECONDS
    now: Callable[[], datetime] = _utc_now

    def retry_budget(self) -> RetryBudget:
        """What is left of the retries for one operation."""
        return RetryBudget(self.retry, self.deadline)

    def seconds(self, limit: float) -> float:
        """``limit``, or what is left until the deadline where that is less; zero or less where it has passed."""
        return limit if self.deadline is None else min(limit, self.deadline - time.monotonic())

    def is_insecure(self, host: str) -> bool:
        """Whether ``HOST[:PORT]`` may speak plain HTTP although it is not loopback."""
        return host.lower() in map(str.lower, self.insecure)
