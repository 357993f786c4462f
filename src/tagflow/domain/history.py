"""History: what one image ran in one environment, as an append-only graph of records, and what follows from it.

A record announces a change before it is made. ``parents`` names every record that was a head when it was written, so
the records form a hash-linked graph whose order comes from parents and sequence numbers, never from clocks. Each
record carries a :class:`State`, a checkpoint of everything that promote, rollback and status need, so that they read
heads only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Literal

from tagflow.domain.reference import Digest
from tagflow.domain.tagging import RecordTag

Action = Literal["push", "promote", "rollback", "adopt", "abort"]
ACTIONS: tuple[Action, ...] = ("push", "promote", "rollback", "adopt", "abort")
Condition = Literal["empty", "recorded", "interrupted", "unrecorded"]

DEEPEST = 100
"""How many entries of the stack a record carries at most."""


@dataclass(frozen=True)
class Release:
    """What one run moves: a unique name, and a number by which releases of an environment are told apart in order."""

    id: str
    number: int


@dataclass(frozen=True)
class Ran:
    """One entry of the stack: a version (its tag; None where it is not known), its digest, the release it came by."""

    version: str | None
    digest: Digest
    release: Release


@dataclass(frozen=True)
class State:
    """The checkpoint in a record: what holds once the change that it announces is made.

    ``stack`` is what ran, the running one last; ``holds`` the versions that a rollback took out; ``void`` those that
    were announced and never arrived; ``since`` when the unbroken stay of the digest began; ``seen`` the
    :func:`fingerprint` of all record tags that existed when the record was written.
    """

    stack: tuple[Ran, ...] = ()
    holds: frozenset[str] = frozenset()
    void: frozenset[str] = frozenset()
    since: datetime | None = None
    seen: str = ""

    def entered(self, ran: Ran, spellings: Collection[str] = ()) -> State:
        """After a promotion: it runs, and is neither held nor void any more, in whichever of its spellings it was."""
        gone = {*spellings, ran.version}
        return replace(
            self,
            stack=(*self.stack, ran)[-DEEPEST:],
            holds=self.holds - gone,
            void=self.void - gone,
        )

    def adopted(self, ran: Ran) -> State:
        """After a move by hand was found: it runs; a hold stays, for no rule was asked."""
        return replace(self, stack=(*self.stack, ran)[-DEEPEST:])

    def popped(self, depth: int) -> State:
        """After a rollback to the entry ``depth`` places below the top: every version popped on the way is held."""
        target = self.stack[-1 - depth]
        held = {ran.version for ran in self.stack[len(self.stack) - depth :] if ran.version}
        back = {target.version} if target.version else set()
        return replace(
            self,
            stack=self.stack[: len(self.stack) - depth],
            holds=(self.holds | held) - back,
            void=self.void - back,
        )

    def aborted(self, version: str | None) -> State:
        """After an announced version did not arrive: it is void, unless it had been admitted before."""
        known = version is None or version in self.holds or any(ran.version == version for ran in self.stack)
        return self if known else replace(self, void=self.void | {str(version)})

    def depth_of(self, matches: Callable[[Ran], bool]) -> int | None:
        """How far below the top the latest matching entry stands; None where none does."""
        return next((depth for depth, ran in enumerate(reversed(self.stack)) if matches(ran)), None)


@dataclass(frozen=True)
class Parent:
    """One record that was a head when another was written."""

    tag: RecordTag
    digest: Digest


@dataclass(frozen=True)
class Record:
    """One entry of an environment's history. ``at`` is the writer's clock, to be read, never to order by.

    ``intent`` says where the release wants each of its members: image and version tag (or digest, where it has none),
    of those whose records were never written, too.
    """

    environment: str
    repository: str
    action: Action
    version: str | None
    digest: Digest | None
    previous_version: str | None
    previous_digest: Digest | None
    release: Release
    members: tuple[str, ...]
    actor: str
    reason: str
    overrides: tuple[str, ...]
    at: datetime
    parents: tuple[Parent, ...]
    state: State
    intent: tuple[tuple[str, str], ...] = ()

    @property
    def sequence(self) -> int:
        """One more than the highest of its parents; 1 for the first."""
        return 1 + max((parent.tag.sequence for parent in self.parents), default=0)


@dataclass(frozen=True)
class Entry:
    """A record as it stands in a repository: under its tag, at its digest."""

    tag: RecordTag
    digest: Digest
    record: Record

    @property
    def place(self) -> tuple[int, str]:
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


@dataclass(frozen=True)
class Standing:
    """Where one image stands in one environment: the environment tag's digest against the heads of the history.

    ``vain``: what the head announced certainly never arrived, and somebody has moved the tag by hand since.
    """

    digest: Digest | None
    heads: tuple[Entry, ...] = ()
    vain: bool = False

    @property
    def head(self) -> Entry | None:
        """The effective head: the one whose digest the tag has, else the highest sequence, then the highest tag."""
        matching = [entry for entry in self.heads if entry.record.digest == self.digest]
        return max(matching or self.heads, key=lambda entry: entry.place, default=None)

    @property
    def condition(self) -> Condition:
        """Empty, recorded, interrupted or unrecorded."""
        head = self.head
        if head is None or (head.record.digest is None and self.digest is None):
            return "empty" if self.digest is None else "unrecorded"
        if self.digest == head.record.digest:
            return "recorded"
        # An adoption announces nothing: it writes down what is there already.
        announced = head.record.action != "adopt"
        return "interrupted" if announced and self.digest == head.record.previous_digest else "unrecorded"

    @property
    def version(self) -> str | None:
        """The version that runs, as far as the history tells."""
        head = self.head
        if head is None:
            return None
        return {"recorded": head.record.version, "interrupted": head.record.previous_version}.get(self.condition)

    @property
    def state(self) -> State:
        """The effective head's checkpoint, with the holds of all heads, and what other heads announced in vain."""
        head = self.head
        if head is None:
            return State()
        state = head.record.state
        if self.vain:
            state = replace(state, stack=state.stack[:-1]).aborted(head.record.version)
        ran = {entry.version for entry in state.stack}
        others = [entry.record for entry in self.heads if entry is not head]
        for other in others:
            state = replace(state, holds=state.holds | other.state.holds, void=state.void | (other.state.void - ran))
        for other in others:
            if other.action in ("push", "promote"):
                state = state.aborted(other.version)
        return state

    @property
    def number(self) -> int:
        """The highest release number that any head knows."""
        return max((entry.record.release.number for entry in self.heads), default=0)

    def lists_out(self, version: str) -> str:
        """Why a version with a combined tag is not admitted here: ``held``, ``void`` or ``announced``; else empty."""
        state, head = self.state, self.head
        if version in state.holds:
            return "held"
        if version in state.void:
            return "void"
        announced = self.condition == "interrupted" and head is not None and head.record.version == version
        if announced and not any(ran.version == version for ran in state.stack[:-1]):
            return "announced"
        return ""


@dataclass(frozen=True)
class Stay:
    """A digest ran from ``begin`` to ``end``, without a break."""

    digest: Digest
    begin: datetime
    end: datetime


def stays(entries: Iterable[Entry], standing: Standing, now: datetime) -> list[Stay]:
    """The unbroken stays that a history tells of, oldest first; one that still lasts ends ``now``.

    A stay ends when the next record of another digest was written. What was announced and never arrived did not stay;
    what was announced twice by one release arrived at the second time at the earliest. What is announced and has not
    arrived yet ends no stay either.
    """
    arrived = standing.head if standing.condition != "interrupted" else None
    pending = {head.tag for head in standing.heads if head is not arrived}
    ordered = sorted((entry for entry in entries if entry.tag not in pending), key=lambda entry: entry.place)
    found: list[Stay] = []
    for index, entry in enumerate(ordered):
        record = entry.record
        following = [later.record for later in ordered[index + 1 :] if later.record.digest != record.digest]
        aborted = bool(following) and following[0].action == "abort"
        again = [later.record.release for later in ordered[index + 1 :] if later.record.digest == record.digest][:1]
        began = record.state.since or record.at
        if record.digest is None or aborted or record.release in again:
            continue
        if following:
            found.append(Stay(record.digest, began, max(began, following[0].at)))
        elif standing.digest == record.digest:
            found.append(Stay(record.digest, began, max(began, now)))
    return found
