"""History: what one image ran in one environment, as an append-only graph of records, and what follows from it.

A record announces a change before it is made. ``parents`` names every record that was a head when it was written, so
the records form a hash-linked graph whose order comes from parents and sequence numbers, never from clocks. Each
record carries a :class:`State`, a checkpoint, so that most commands read heads only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from msgspec import Struct, field

from tagflow.domain.intent import Intent
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest
from tagflow.domain.state import Release, State

Fault = Literal["unsigned", "forged", "unknown_signer"]


@dataclass(frozen=True)
class Proof:
    """What a record's signature proves. ``fault`` is empty where it is signed by one of those who may; ``signer`` the
    name whose key made it, where the policy has one; ``why`` says what is wrong, as the end of a sentence that begins
    with the record."""

    fault: Fault | Literal[""] = ""
    signer: str = ""
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether it is signed by one of those who may."""
        return not self.fault

    @property
    def told(self) -> str:
        """By whom a record that counts is signed, in words. One of a key that may not sign any more counts where a
        record above it does."""
        if self.good:
            return f"signed by {self.signer}"
        if self.fault == "unsigned":
            return "not signed"
        return f"signed by {self.signer}, who may not sign now" if self.signer else "signed by a key of nobody here"


Action = Literal["push", "promote", "rollback", "adopt", "abort", "admit", "hold", "unhold", "freeze", "thaw"]
ACTIONS: tuple[Action, ...] = (
    "push",
    "promote",
    "rollback",
    "adopt",
    "abort",
    "admit",
    "hold",
    "unhold",
    "freeze",
    "thaw",
)
RELEASES: frozenset[Action] = frozenset({"push", "promote", "rollback"})
"""The actions that announce a move of the environment tag; an ``abort`` announces that it is put back."""
NOTES: frozenset[Action] = frozenset({"admit", "hold", "unhold", "freeze", "thaw"})
"""The actions that carry on the digests of what they follow: they move no environment tag."""


class Parent(Struct, frozen=True):
    """A record as another one names it."""

    tag: RecordTag
    digest: Digest


class Record(Struct, frozen=True):
    """One entry of an environment's history. ``at`` is the writer's clock, to be read, never to order by.

    ``digest`` is where the environment tag stands once the change is made, ``previous_digest`` where it stood when it
    was announced. ``version`` is what the record is about: what is promoted or returned to; in a ``hold``, ``unhold``
    or ``admit`` the version held or admitted, whose digest is ``subject``. ``intent`` says where the release wants
    each of its members, of those whose records were never written, too. ``aborts`` names the records whose change an
    ``abort`` takes back (``abandons``: they are another run's), ``follows`` the release that a note or a loser's abort
    carries on, ``finishes`` whether a run before had announced its release, ``plan`` the id of the plan that was
    carried out, ``approvals`` those that counted (``NAME@sha256:…``, the digest of the document).
    """

    environment: str
    repository: str
    action: Action
    version: str | None
    digest: Digest | None
    previous_version: str | None
    previous_digest: Digest | None
    release: Release
    actor: str
    reason: str
    overrides: tuple[str, ...]
    at: datetime
    parents: tuple[Parent, ...]
    state: State
    intent: Intent = field(default_factory=Intent)
    subject: Digest | None = None
    aborts: tuple[RecordTag, ...] = ()
    abandons: bool = False
    follows: RecordTag | None = None
    finishes: bool = False
    plan: str = ""
    approvals: tuple[str, ...] = ()

    @property
    def sequence(self) -> int:
        """One more than the highest of its parents; 1 for the first."""
        return 1 + max((parent.tag.sequence for parent in self.parents), default=0)

    @property
    def carries_on(self) -> bool:
        """Whether it announces no move of its own, but keeps what it follows as it is."""
        return self.action in NOTES or self.follows is not None

    @property
    def tells(self) -> bool:
        """Whether it tells what ran, itself or by what it carries on. A note on an environment of other tools does not,
        nor does what takes such a note back: what stands there is as it was before the note."""
        if self.digest is not None or self.state.stack:
            return True
        return self.action not in NOTES and self.action != "abort"


class Entry(Struct, frozen=True):
    """A record as it stands in a repository: under its tag, at its digest. ``proof`` is what its signature proves; None
    where nobody has to sign. ``as_image``: the registry keeps no type that it does not know, and it calls itself an
    image."""

    tag: RecordTag
    digest: Digest
    record: Record
    proof: Proof | None = None
    as_image: bool = False

    @property
    def rank(self) -> tuple[int, str]:
        """What records are ordered by: sequence, then tag."""
        return self.tag.sequence, str(self.tag)


def fingerprint(tags: Iterable[RecordTag]) -> str:
    """A short hash of a set of record tags: equal sets have equal fingerprints."""
    return hashlib.sha256("\n".join(sorted(map(str, tags))).encode()).hexdigest()[:16]


Reader = Callable[[Sequence[RecordTag]], Mapping[RecordTag, Entry]]
"""Reads some records; one that cannot be found any more is left out."""


def find_heads(listed: Collection[RecordTag], read: Reader) -> tuple[Entry, ...]:
    """The records that no record names, highest first, reading as few as that takes: one, where there is no fork.

    A child's sequence is higher than its parents', so going down from the top tells the heads. A record that saw
    exactly the records which are listed below it is a descendant of all of them: there the way ends.
    """
    heads: list[Entry] = []
    named: set[RecordTag] = set()
    below = set(listed)
    width = 1
    levels = [list(tags) for _, tags in groupby(sorted(listed, key=_by_sequence), key=lambda tag: tag.sequence)]
    while levels:
        batch, levels = levels[:width], levels[width:]
        entries = read([tag for level in batch for tag in level])
        for level in batch:
            below.difference_update(level)
            found = [entries[tag] for tag in sorted(level, key=str, reverse=True) if tag in entries]
            heads += [entry for entry in found if entry.tag not in named]
            named.update(parent.tag for entry in found for parent in entry.record.parents)
            if found and _covered(found, below):
                return tuple(heads)
        width *= 2
    return tuple(heads)


def _covered(entries: Sequence[Entry], below: set[RecordTag]) -> bool:
    expected = fingerprint(below)
    return any(entry.record.state.seen == expected for entry in entries)


def _by_sequence(tag: RecordTag) -> int:
    return -tag.sequence
