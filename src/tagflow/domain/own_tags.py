"""The tags that tagflow keeps for itself: records, pins, approvals, and what a daemon pushes before it has a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from tagflow.domain.reference import Digest

PREFIX = "_tagflow."
"""What tagflow's own tags begin with; no version and no environment can."""

_PIN = re.compile(r"_tagflow\.pin\.[0-9a-f]{12}")
_SCRATCH = re.compile(r"_tagflow\.try\.[0-9a-f]{12}")
_APPROVAL = re.compile(r"_tagflow\.approval\.([0-9a-f]{12})\.[0-9a-f]{12}")
_RECORD = re.compile(r"_tagflow\.([a-z0-9]+(?:-[a-z0-9]+)*)\.([0-9]{6,18})\.([0-9a-f]{12})")


class RecordTag(Struct, frozen=True):
    """The tag of one record: environment, sequence number, and the first 12 hex digits of its digest."""

    environment: str
    sequence: int
    fingerprint: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.environment}.{self.sequence:06d}.{self.fingerprint}"


def record_tag(environment: str, sequence: int, digest: Digest) -> RecordTag:
    """The tag under which a record with that digest is kept."""
    return RecordTag(environment, sequence, _fingerprint(digest))


def parse_record_tag(tag: str) -> RecordTag | None:
    """Read a record's tag back; None for any other tag."""
    match = None if _APPROVAL.fullmatch(tag) else _RECORD.fullmatch(tag)
    return RecordTag(match[1], int(match[2]), match[3]) if match else None


def recorded_in(tags: Iterable[str]) -> frozenset[str]:
    """The environments that have records among some tags."""
    own = (parse_record_tag(tag) for tag in tags if tag.startswith(PREFIX))
    return frozenset(it.environment for it in own if it is not None)


def pin_tag(digest: Digest) -> str:
    """The tag that keeps a digest which nothing else holds."""
    return f"{PREFIX}pin.{_fingerprint(digest)}"


def scratch_tag(digest: Digest) -> str:
    """The tag under which a daemon pushes before anything is named."""
    return f"{PREFIX}try.{_fingerprint(digest)}"


def approval_tag(plan_id: str, digest: Digest) -> str:
    """The tag under which one approval of a plan is kept."""
    return f"{PREFIX}approval.{plan_id[:12]}.{_fingerprint(digest)}"


def approves(tag: str, plan_id: str) -> bool:
    """Whether a tag is that of an approval of this plan."""
    match = _APPROVAL.fullmatch(tag)
    return match is not None and match[1] == plan_id[:12]


def _fingerprint(digest: Digest) -> str:
    return digest.partition(":")[2][:12]


def own_kind(tag: str) -> Literal["pin", "scratch", "approval"] | None:
    """Which of them a tag is by its form alone, unless it is a record's."""
    if _PIN.fullmatch(tag):
        return "pin"
    if _SCRATCH.fullmatch(tag):
        return "scratch"
    return "approval" if _APPROVAL.fullmatch(tag) else None
