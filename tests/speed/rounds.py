"""How many requests a command makes, and how many of them one after the other: neither depends on the machine."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tagflow.stores.registry.http.settings import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Desk
from tests.proxy import Fault, FaultProxy
from tests.servers import RegistryServer

IDLE_SAMPLES, SAMPLE_SECONDS = 6, 0.004
"""How often in a row, and how far apart, nobody may be seen at work before a round is over."""


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


class RoundProxy(FaultProxy):
    """A proxy that answers in rounds: it holds requests until no thread of this process does anything but wait, then
    lets all of them go at once. So a round is what the client asks without knowing an answer, however slow it is.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self._turn = threading.Condition()
        self._asked: list[Asked] = []
        self._round = self._held = 0
        self._measuring = False

    @contextmanager
    def measuring(self) -> Iterator[list[Asked]]:
        """Hold what is asked until the block ends; the list fills."""
        with self._turn:
            self.requests.clear()
            self._asked, self._round, self._held, self._measuring = [], 0, 0, True
        watch = threading.Thread(target=self._release, daemon=True)
        watch.start()
        try:
            yield self._asked
        finally:
            with self._turn:
                self._measuring = False
                self._turn.notify_all()
            watch.join()

    def fault(self, method: str, path: str) -> Fault | None:
        with self._turn:
            if self._measuring:
                asked = Asked(method, path, self._round + 1)
                self._asked.append(asked)
                self._held += 1
                self._turn.wait_for(lambda: self._round >= asked.round or not self._measuring)
        return None

    def _release(self) -> None:
        """End a round whenever all that were let go are answered and everyone waits."""
        idle = 0
        while self._measuring:
            time.sleep(SAMPLE_SECONDS)
            answered = len(self.requests) == len(self._asked) - self._held
            idle = idle + 1 if self._held and answered and not _others_at_work() else 0
            if idle >= IDLE_SAMPLES:
                idle = 0
                with self._turn:
                    self._round, self._held = self._round + 1, 0
                    self._turn.notify_all()


def _others_at_work() -> bool:
    """Whether a thread of this process runs, or could run if it had a processor (proc(5), ``/proc/pid/task``)."""
    own = str(threading.get_native_id())
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
            if task.name != own and state != "S":
                return True
    return False


@dataclass
class Bench:
    """A policy of some images on a registry behind the proxy; each command starts without anything in its cache."""

    path: Path
    proxy: RoundProxy
    server: RegistryServer
    names: Sequence[str]
    policy: str
    runs: int = 0
    namespace: str = field(init=False)

    def __post_init__(self) -> None:
        self.namespace = self.server.fresh("speed").path
        listed = "".join(f"  {name}: {name}\n" for name in self.names)
        text = f"version: 1\nregistry: {self.proxy.host}/{self.namespace}\nimages:\n{listed}{self.policy}"
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
        with self.proxy.measuring() as asked:
            self.done(*arguments, cold=cold)
        return Cost(tuple(asked))

    def done(self, *arguments: str, cold: bool = True) -> None:
        """One command that is not measured."""
        self.runs += cold
        done = Desk(self.path).quickly(*arguments, XDG_CACHE_HOME=str(self.path / f"cache-{self.runs}"))
        assert done.status == 0, (arguments, done.err)


@contextmanager
def round_proxy(upstream: str) -> Iterator[RoundProxy]:
    """A proxy in front of ``upstream`` (``HOST:PORT``)."""
    proxy = RoundProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.stop()
