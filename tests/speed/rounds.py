"""How many requests a command makes, and how many of them one after the other: neither depends on the machine."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from urllib3.connectionpool import HTTPConnectionPool

from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Desk
from tests.servers import RegistryServer


@dataclass(frozen=True)
class Asked:
    """One request, and the round in which it was made."""

    method: str
    path: str
    round: int

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Cost:
    """What one command asked of a registry, in the order in which it began."""

    requests: tuple[Asked, ...]

    @property
    def rounds(self) -> int:
        """How many requests waited one for another, at most."""
        return max((it.round for it in self.requests), default=0)

    @property
    def twice(self) -> list[str]:
        """What was read more than once before the first write: what is known need not be asked again."""
        first = next((n for n, it in enumerate(self.requests) if it.method not in ("GET", "HEAD")), None)
        counts = Counter(map(str, self.requests[:first]))
        return [request for request, count in counts.items() if count > 1]

    def count(self, part: str) -> int:
        """How many requests have ``part`` in their line."""
        return sum(part in str(it) for it in self.requests)

    def __str__(self) -> str:
        lines = [f"{len(self.requests)} requests in {self.rounds} rounds"]
        return "\n".join([*lines, *(f"  {it.round:3} {it}" for it in self.requests)])


class _Depth(threading.local):
    """In the round of which answer this thread is: 0 before any."""

    value = 0


class Recorder:
    """Hears every request of this process, and in which round it is made.

    A request is one round later than the latest answer that it can have waited for: one to the same thread, or one to a
    thread whose result that thread has taken, or by which it was set to work. That is what follows from what, whatever
    a processor, a registry or a number of threads makes of it; no clock is read.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._depth = _Depth()

    def request(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """In the place of urllib3's."""

        def urlopen(pool: Any, method: str, url: str, *arguments: Any, **more: Any) -> Any:
            number = self._depth.value + 1
            this = Asked(method, _target(url), number)
            self.asked.append(this)
            try:
                answer = original(pool, method, url, *arguments, **more)
            except Exception:  # a connection that broke off under load: it is asked again, and that counts
                self.asked.remove(this)
                raise
            self._depth.value = number
            return answer

        return urlopen

    def submit(self, original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
        """In the place of an executor's: who works begins where the one was who gave the work."""

        def submit(pool: Any, function: Callable[..., Any], *arguments: Any, **more: Any) -> Future[Any]:
            reached = [self._depth.value]

            def work() -> Any:
                self._depth.value = reached[0]
                try:
                    return function(*arguments, **more)
                finally:
                    reached[0] = self._depth.value

            future = original(pool, work)
            future.reached = reached  # type: ignore[attr-defined]
            return future

        return submit

    def result(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """In the place of a future's: who takes a result goes on from where it came about."""

        def result(future: Future[Any], *arguments: Any, **more: Any) -> Any:
            try:
                return original(future, *arguments, **more)
            finally:
                self._depth.value = max(self._depth.value, *getattr(future, "reached", [0]))

        return result

    @contextmanager
    def listening(self) -> Iterator[list[Asked]]:
        """What is asked until the block ends; the list fills."""
        with (
            patch.object(HTTPConnectionPool, "urlopen", self.request(HTTPConnectionPool.urlopen)),
            patch.object(ThreadPoolExecutor, "submit", self.submit(ThreadPoolExecutor.submit)),
            patch.object(Future, "result", self.result(Future.result)),
        ):
            yield self.asked


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


@dataclass
class Bench:
    """A policy of some images on a registry; each command starts without anything in its cache."""

    path: Path
    server: RegistryServer
    names: Sequence[str]
    policy: str
    runs: int = 0
    namespace: str = field(init=False)

    def __post_init__(self) -> None:
        self.namespace = self.server.fresh("speed").path
        listed = "".join(f"  {name}: {name}\n" for name in self.names)
        text = f"version: 1\nregistry: {self.server.host}/{self.namespace}\nimages:\n{listed}{self.policy}"
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "promotion.yaml").write_text(text)

    def build(self, *versions: str) -> None:
        """Other tools push builds of every image."""
        host = RegistryHost(self.server.host, Settings(writes=True))
        for name in self.names:
            for version in versions:
                images.index(host.store(f"{self.namespace}/{name}"), seed=f"{name} {version}", tag=version)
        host.close()

    def run(self, *arguments: str, cold: bool = True) -> Cost:
        """One command, which must succeed; what it asked."""
        with Recorder().listening() as asked:
            self.done(*arguments, cold=cold)
        return Cost(tuple(asked))

    def done(self, *arguments: str, cold: bool = True) -> None:
        """One command that is not measured."""
        self.runs += cold
        done = Desk(self.path).quickly(*arguments, XDG_CACHE_HOME=str(self.path / f"cache-{self.runs}"))
        assert done.status == 0, (arguments, done.err)
