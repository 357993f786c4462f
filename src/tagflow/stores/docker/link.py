"""The line to one Docker Engine: opened when first needed, with a time limit, errors translated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from math import inf
from typing import Any

from tagflow.errors import StoreError, TagflowError
from tagflow.stores.docker.endpoint import Endpoint, RetryBudget, find_endpoint
from tagflow.stores.docker.events import Failure

ANSWER_SECONDS = 60.0
STREAM_SECONDS = 300.0
"""The longest silence in a stream. The daemon gathers a whole image before it begins to save it."""
GRACE_SECONDS = 10.0
"""What clearing away may take, past the deadline too: nobody else removes what a run leaves in a daemon."""

Connect = Callable[[Endpoint, RetryBudget], Any]
"""Makes a client of the Docker SDK."""


class Link:
    """One client of the SDK for all threads: its pool of connections is safe to share.

    ``deadline`` is a time of :func:`time.monotonic` after which nothing is waited for.
    """

    def __init__(self, environ: Mapping[str, str], deadline: float | None, connect: Connect | None) -> None:
        self._environ, self._deadline = environ, deadline
        self._connect = connect or _connect
        self._lock = threading.Lock()
        self._client: Any = None
        self._grace = threading.local()

    @contextmanager
    def calling(self, failure: Failure) -> Iterator[Any]:
        """The client; what the SDK raises within becomes an error of tagflow.

        :raises StoreError: ``engine.unavailable``, ``engine.timeout``, or what ``failure`` gives.
        """
        from tagflow.stores.docker.sdk import translated

        try:
            with translated(failure):
                yield self._open()
        except StoreError as exc:
            if exc.code == "engine.timeout" and self._left() <= 0:
                raise _over() from exc
            raise

    @contextmanager
    def clearing(self) -> Iterator[None]:
        """Let this thread clear away what it made in the daemon, even where the deadline is over. That it fails is not
        told: something too much harms nobody, and what was done before counts."""
        self._grace.end = time.monotonic() + GRACE_SECONDS
        try:
            with suppress(TagflowError):
                yield
        finally:
            del self._grace.end

    def in_time(self, events: Any) -> Iterator[Mapping[str, Any]]:
        """A stream of events, as long as there is time. Then it is closed at once, for the daemon goes on while it is
        open, and what it works on cannot be cleared away.

        :raises StoreError: ``engine.timeout``.
        """
        with closing(events):
            for event in events:
                self.patience(True)
                yield event

    def patience(self, streaming: bool) -> float:
        """Seconds to wait for the next word.

        :raises StoreError: ``engine.timeout`` where none are left.
        """
        left = self._left()
        if left <= 0:
            raise _over()
        return min(STREAM_SECONDS if streaming else ANSWER_SECONDS, left)

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _left(self) -> float:
        if self._deadline is None:
            return inf
        return max(self._deadline, getattr(self._grace, "end", self._deadline)) - time.monotonic()

    def _open(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._connect(find_endpoint(self._environ), self.patience)
            return self._client


def _over() -> StoreError:
    return StoreError("engine.timeout", "the time for the Docker Engine is over", hint="Allow more time.")


def _connect(endpoint: Endpoint, patience: RetryBudget) -> Any:
    from tagflow.stores.docker.sdk import connect

    return connect(endpoint, patience)
