"""What a verb is given: the policy, the stores, and everything of the outside world that it may know."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from tagflow.domain.policy import Environment, Image, Policy, find_environment, find_image
from tagflow.domain.tagging import TagScheme
from tagflow.stores.port import Engine, Progress, Silence, Stores

if TYPE_CHECKING:
    from tagflow.trust.signing import SigningKey


def _no_engine() -> Engine:
    raise NotImplementedError("this context has no Docker Engine")


def _no_key() -> SigningKey | None:
    return None


def elapsed() -> float:
    """Seconds since some moment, counting those in which the machine was suspended, where the system tells."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Timing(Struct, frozen=True):
    """How long runs wait for one another, in seconds (docs/protocol.md).

    ``fence``: a run moves a name within so long of its last look, and abandoning waits so long for what may still
    arrive. ``skew``: by so much the clocks of two machines may differ, for how long ago a record was written is known
    from them. ``wait``: how long the first of several contenders waits for the others to give way. ``poll``: the pause
    between two looks meanwhile.
    """

    fence: float = 20.0
    skew: float = 5.0
    wait: float = 30.0
    poll: float = 0.5


class Context(Struct, frozen=True, dict=True):
    """Handed to every verb. Clocks, the actor and the names of releases come in from outside, for tests' sake.

    ``now`` is the wall clock, to be written down; ``elapsed`` a clock that only goes forward, in seconds, to measure
    by; ``sleep`` waits, and ``waits`` hears before that why, and for how many seconds. ``progress`` hears of bytes that
    are copied, ``questions`` of what the stores are asked.
    ``directory`` is where the commands of the policy run; ``deadline`` the :func:`time.monotonic` time of `--timeout`.
    ``signing_key`` opens the key of this run, where it has one; it may be asked again and again.
    ``close`` drops the connections, where what follows takes long.
    """

    policy: Policy
    policy_digest: str
    stores: Stores
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    actor: str
    environ: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = field(default_factory=Silence)
    questions: Progress = field(default_factory=Silence)
    warn: Callable[[str], None] = lambda _message: None
    engine: Callable[[], Engine] = _no_engine
    threads: int = 16
    directory: Path | None = None
    deadline: float | None = None
    elapsed: Callable[[], float] = elapsed
    sleep: Callable[[float], None] = time.sleep
    waits: Callable[[str, float], None] = lambda _why, _seconds: None
    timing: Timing = field(default_factory=Timing)
    signing_key: Callable[[], SigningKey | None] = _no_key
    close: Callable[[], None] = lambda: None

    @cached_property
    def scheme(self) -> TagScheme:
        """The tag engine of the policy: one for the run, for it remembers the tags that it has read."""
        return TagScheme(self.policy)

    @cached_property
    def image_names(self) -> tuple[str, ...]:
        """The names of the policy's images, in its order."""
        return tuple(image.name for image in self.policy.images)

    def wait(self, why: str, seconds: float) -> None:
        """Sleep, and say why."""
        self.waits(why, seconds)
        self.sleep(seconds)

    def environment(self, name: str) -> Environment:
        """The environment of that name.

        :raises NotFound: ``environment.not_found``.
        """
        return find_environment(self.policy, name)

    def image(self, name: str) -> Image:
        """The image of that name.

        :raises NotFound: ``image.not_found``.
        """
        return find_image(self.policy, name)
