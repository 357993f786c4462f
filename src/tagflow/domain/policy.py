"""The promotion policy as frozen data: what promotion.yaml means, after loading and checking."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from tagflow.domain.keys import Signer
from tagflow.domain.reference import Digest, Registry, Repository, digest_of
from tagflow.errors import NotFound, UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

Line = Literal["latest", "major", "minor", "alpha", "beta", "rc", "pre", "preview", "snapshot"]
Lines = Literal["none", "major", "minor"]
Rule = Literal["hold", "soak", "freeze", "downgrades", "approvals"]
CHANNELS: tuple[Line, ...] = ("alpha", "beta", "rc", "pre", "preview", "snapshot")
LINES: tuple[Line, ...] = ("latest", "major", "minor", *CHANNELS)
OVERRIDABLE: tuple[Rule, ...] = ("hold", "soak", "freeze", "downgrades")
"""What may be set aside where a policy says nothing of it; ``approvals`` only where it says so."""
PRERELEASE_WORDS: frozenset[str] = frozenset(CHANNELS)


class Templates(Struct, frozen=True):
    """How tags are written: ``version`` from ``{version}``; ``combined`` from that whole tag and ``{environment}``;
    ``floating`` from ``{floating}``: latest, a pre-release word, or a line with what stands before ``{version}``.

    ``versions`` names the scheme of versions.
    """

    version: str = "v{version}"
    combined: str = "{version}-{environment}"
    floating: str = "{floating}"
    versions: Literal["semver", "natural"] = "semver"


class Freeze(Struct, frozen=True):
    """A window in which nothing is promoted: on weekdays (Monday is 0), or from a first to a last day, inclusive."""

    zone: ZoneInfo
    days: frozenset[int] = frozenset()
    first: date | None = None
    last: date | None = None


GATE_TIMEOUT = timedelta(minutes=5)
"""How long a gate may take where the policy does not say."""


PLACEHOLDER = re.compile(r"\$\{\w+\}|\{\{\w+\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""What is filled in in a gate's command, as the group. ``${name}`` and ``{{name}}``, without one, are left to whoever
they are for."""


class Gate(Struct, frozen=True):
    """A command that must succeed: ``argv`` with placeholders, never run by a shell."""

    name: str
    argv: tuple[str, ...]
    timeout: timedelta = GATE_TIMEOUT


class Notice(Struct, frozen=True):
    """Who is told after a promotion or rollback: a webhook's address or a command."""

    webhook: str = ""
    argv: tuple[str, ...] = ()


class ApprovalRule(Struct, frozen=True):
    """So many different keys of these signers must have approved a plan."""

    need: int
    of: tuple[str, ...]


class Environment(Struct, frozen=True):
    """One environment. ``sources`` are the environments that it is promoted from; the first has none.

    ``lines``: a lower version than the one that runs is admitted beside it where it is the highest of its own line.
    ``signed_by`` names who may sign its records (empty: nobody has to), ``approvals_expire`` is how long an approval is
    good (None: for ever).
    """

    name: str
    registry: Registry
    sources: tuple[str, ...] = ()
    prereleases: bool = True
    downgrades: bool = False
    soak: timedelta | None = None
    freeze: tuple[Freeze, ...] = ()
    platforms: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    floating: tuple[Line, ...] = ()
    overrides: tuple[Rule, ...] = OVERRIDABLE
    lines: Lines = "none"
    signed_by: tuple[str, ...] = ()
    approvals: tuple[ApprovalRule, ...] = ()
    approvals_expire: timedelta | None = None


class Image(Struct, frozen=True):
    """One image: ``name`` as users type it, ``path`` the repository below the registry of each environment."""

    name: str
    path: str


class Policy(Struct, frozen=True, dict=True):
    """Everything that promotion.yaml says."""

    registry: Registry
    images: tuple[Image, ...]
    environments: tuple[Environment, ...]
    templates: Templates = field(default_factory=Templates)
    engine: Literal["auto", "registry", "docker"] = "auto"
    history: str = "{repository}"
    referrers: Literal["copy", "ignore", "require"] = "copy"
    insecure_registries: tuple[str, ...] = ()
    create_repositories: bool = False
    notify: tuple[Notice, ...] = ()
    signers: tuple[Signer, ...] = ()

    @cached_property
    def images_by_name(self) -> Mapping[str, Image]:
        """The images by their names, in the order of the policy."""
        return {image.name: image for image in self.images}

    def repository(self, image: Image, environment: Environment) -> Repository:
        """Where the tags of ``image`` in ``environment`` live."""
        return environment.registry.repository(image.path)

    def history_repository(self, image: Image, environment: Environment) -> Repository:
        """Where the records of ``image`` in ``environment`` live."""
        return environment.registry.repository(self.history.replace("{repository}", image.path))


def find_environment(policy: Policy, name: str) -> Environment:
    """The environment of that name.

    :raises NotFound: ``environment.not_found``.
    """
    if not name.strip():
        raise UsageError("target.missing", "the ENV is empty", hint="An unset variable? Name an environment.")
    known = {environment.name: environment for environment in policy.environments}
    if name not in known:
        hint = suggestion(name, known) or f"Environments of this policy: {', '.join(known)}."
        raise NotFound("environment.not_found", f"there is no environment {name!r}", hint=hint)
    return known[name]


def find_image(policy: Policy, name: str) -> Image:
    """The image of that name.

    :raises NotFound: ``image.not_found``.
    """
    known = policy.images_by_name
    if name not in known:
        hint = suggestion(name, known) or f"Images of this policy: {', '.join(known)}."
        raise NotFound("image.not_found", f"there is no image {name!r}", hint=hint)
    return known[name]


def policy_digest(policy: Policy) -> Digest:
    """The SHA-256 of what a policy means: files that say the same, however they are written, have the same digest.

    Only the order of environments and of gates counts.
    """
    canonical = json.dumps(_canonical(policy), sort_keys=True, separators=(",", ":"))
    return digest_of(canonical.encode())


_ORDERED = ("environments", "gates", "argv")


def _canonical(value: object, key: str = "") -> object:
    if isinstance(value, Struct):
        return {name: _canonical(getattr(value, name), name) for name in value.__struct_fields__}
    if isinstance(value, tuple | frozenset):
        parts = [_canonical(part) for part in value]
        return parts if key in _ORDERED else sorted(parts, key=lambda part: json.dumps(part, sort_keys=True))
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if value is None or isinstance(value, str | int) else str(value)
