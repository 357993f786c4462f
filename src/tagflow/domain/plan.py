"""A plan: every move of a release with the digest before and after, immutable and with an id; and what it came to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

from tagflow.domain.history import NOTES, Action
from tagflow.domain.intent import Intent
from tagflow.domain.reference import Digest
from tagflow.domain.state import Release
from tagflow.domain.tagging import Kind

MoveAction = Literal["create", "move", "keep"]
Command = Literal["push", "promote", "rollback", "hold", "freeze"]


@dataclass(frozen=True)
class Move:
    """One tag: where it is expected (None: nowhere) and where it is wanted (None: nowhere, as it was before).

    ``after`` is empty where only pushing tells the digest: in the dry run of a push out of a daemon.
    """

    image: str
    repository: str
    tag: str
    kind: Kind
    before: Digest | None
    after: Digest | None

    @property
    def action(self) -> MoveAction:
        """``create``, ``move`` or ``keep``."""
        if self.before == self.after:
            return "keep"
        return "create" if self.before is None else "move"


@dataclass(frozen=True)
class Step:
    """What becomes of one image: the record that is written ahead, and what must be there first.

    ``depth`` is how many entries a rollback pops (None: the version is pushed on the stack instead). ``adopts`` says
    that a record of what was found comes first. ``source`` is the repository from which the content is copied.
    ``subject`` is the digest of a version that is held, or admitted beside what runs; ``aborts`` are the records whose
    change is taken back.
    """

    image: str
    repository: str
    action: Action
    version: str | None
    digest: Digest | None
    previous_version: str | None
    previous_digest: Digest | None
    heads: tuple[str, ...] = ()
    source: str = ""
    depth: int | None = None
    adopts: bool = False
    subject: Digest | None = None
    aborts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What the user asked for; a saved plan is decided again from it and must come out the same."""

    command: Command
    environment: str
    targets: tuple[str, ...] = ()
    everything: bool = False
    source: str = ""
    overrides: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything that one run will do. ``intent`` says where the release wants each of its members, ``resumes`` is the
    interrupted release that it finishes."""

    request: Request
    policy: str
    steps: tuple[Step, ...] = ()
    moves: tuple[Move, ...] = ()
    resumes: Release | None = None
    intent: Intent = field(default_factory=Intent)

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.steps) or any(move.action != "keep" for move in self.moves)

    @property
    def members(self) -> tuple[str, ...]:
        """The images that something becomes of."""
        return tuple(step.image for step in self.steps)

    def document(self) -> dict[str, object]:
        """The plan as plain data, without its id."""
        return asdict(self)

    @cached_property
    def id(self) -> str:
        """The SHA-256 of the canonical form: JSON with sorted keys and no spaces, in UTF-8."""
        return identity(self.document())


def identity(document: Mapping[str, object]) -> str:
    """The SHA-256, in hex, of a plan's plain data in canonical form."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="replace")).hexdigest()


@dataclass(frozen=True)
class GateResult:
    """What one gate said of one image."""

    image: str
    gate: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class VersionChange:
    """What becomes of one image: the version label before and after, None for nothing."""

    image: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Outcome:
    """``release`` is the name under which it stands in the history, ``number`` which one of the environment it is;
    ``applied`` whether all of it was carried out, ``compensated`` whether something was put back; ``notes`` what the
    user should know beside the plan, ``approvals`` those that counted."""

    environment: str
    plan: Plan
    release: str | None = None
    applied: bool = False
    compensated: bool = False
    gates: tuple[GateResult, ...] = ()
    notes: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    number: int | None = None

    @property
    def changes(self) -> tuple[VersionChange, ...]:
        """Which version comes after which, image by image."""
        moving = (step for step in self.plan.steps if step.action not in NOTES)
        return tuple(VersionChange(step.image, step.previous_version, step.version) for step in moving)
