"""What a flow is given: the policy, the stores, and everything of the outside world that it may know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from tagflow.domain.policy import Environment, Image, Policy
from tagflow.domain.tagging import TagScheme
from tagflow.errors import NotFound, UsageError
from tagflow.flows.suggest import suggestion
from tagflow.stores.port import Engine, Progress, Silence, Stores


def _no_engine() -> Engine:
    raise NotImplementedError("this context has no Docker Engine")


@dataclass(frozen=True)
class Context:
    """Handed to every flow. The clock, the actor and the names of releases come in from outside, for tests' sake.

    ``directory`` is where the commands of the policy run; ``deadline`` the :func:`time.monotonic` time of `--timeout`.
    """

    policy: Policy
    policy_digest: str
    stores: Stores
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    actor: str
    environ: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = field(default_factory=Silence)
    warn: Callable[[str], None] = lambda _message: None
    engine: Callable[[], Engine] = _no_engine
    threads: int = 16
    directory: Path | None = None
    deadline: float | None = None

    @cached_property
    def scheme(self) -> TagScheme:
        """The tag engine of the policy: one for the run, for it remembers the tags that it has read."""
        return TagScheme(self.policy)

    def environment(self, name: str) -> Environment:
        """The environment of that name.

        :raises NotFound: ``environment.not_found``.
        """
        if not name.strip():
            raise UsageError("target.missing", "the ENV is empty", hint="An unset variable? Name an environment.")
        known = {environment.name: environment for environment in self.policy.environments}
        if name not in known:
            hint = suggestion(name, known) or f"Environments of this policy: {', '.join(known)}."
            raise NotFound("environment.not_found", f"there is no environment {name!r}", hint=hint)
        return known[name]

    def image(self, name: str) -> Image:
        """The image of that name.

        :raises NotFound: ``image.not_found``.
        """
        known = {image.name: image for image in self.policy.images}
        if name not in known:
            hint = suggestion(name, known) or f"Images of this policy: {', '.join(known)}."
            raise NotFound("image.not_found", f"there is no image {name!r}", hint=hint)
        return known[name]
