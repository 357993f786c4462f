"""History: what one image ran in one environment, as an append-only graph of records, and what follows from it.

A record announces a change before it is made. ``parents`` names every record that was a head when it was written, so
the records form a hash-linked graph whose order comes from parents and sequence numbers, never from clocks. Each
record carries a :class:`State`, a checkpoint of everything that promote, rollback and status need, so that they read
heads only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from tagflow.domain.intent import Intent
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest

Fault = Literal["unsigned", "forged", "unknown_signer"]


class Proof(Struct, frozen=True):
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

DEEPEST = 100
"""How many entries of the stack a record carries at most."""


@dataclass(frozen=True)
class Release:
    """What one run moves: a unique name, and a number by which releases of an environment are told apart in order."""

    id: str
    number: int


class StackEntry(Struct, frozen=True):
    """One entry of the stack: a version (its tag; None where it is not known), its digest, the release it came by."""

    version: str | None
    digest: Digest
    release: Release


class Hold(Struct, frozen=True):
    """A version that is taken out of promotion: by a rollback that popped it, or by `hold`.

    A hold is of the version and of its ``digest`` (None where that is not known). ``by``, ``at`` and ``reason`` say
    who held it, when and why; records of earlier versions of tagflow do not tell.
    """

    version: str
    digest: Digest | None = None
    by: str = ""
    at: datetime | None = None
    reason: str = ""


class Void(Struct, frozen=True):
    """A version that was announced and never arrived, and its digest (None in records of earlier versions)."""

    version: str
    digest: Digest | None = None


class Freeze(Struct, frozen=True):
    """Nothing is promoted from ``at`` on, until ``until`` (None: until it is lifted); who said so, and why."""

    by: str
    at: datetime
    reason: str
    until: datetime | None = None


class Lifts(Struct, frozen=True):
    """The holds and freezes that a record's parents had, and it has not: it lifted them, and knew what it did."""

    holds: frozenset[Hold] = frozenset()
    freezes: frozenset[Freeze] = frozenset()

    def __or__(self, other: Lifts) -> Lifts:
        return Lifts(self.holds | other.holds, self.freezes | other.freezes)


NO_LIFTS = Lifts()


class State(Struct, frozen=True):
    """The checkpoint in a record: what holds once the change that it announces is made.

    ``stack`` is what ran, the running one last; ``holds`` the versions taken out of promotion; ``void`` those that
    were announced and never arrived; ``admitted`` maintenance versions that entered beside what runs; ``since`` when
    the unbroken stay of the digest began and ``by`` who began it; ``seen`` the :func:`fingerprint` of all record tags
    that existed when the record was written; ``ignored`` tags that only look like records.
    """

    stack: tuple[StackEntry, ...] = ()
    holds: frozenset[Hold] = frozenset()
    void: frozenset[Void] = frozenset()
    admitted: tuple[StackEntry, ...] = ()
    freeze: Freeze | None = None
    since: datetime | None = None
    by: str = ""
    seen: str = ""
    ignored: frozenset[RecordTag] = frozenset()

    @property
    def top(self) -> StackEntry | None:
        """The entry that runs once the announced change is made."""
        return self.stack[-1] if self.stack else None

    def held(self, version: str | None, digest: Digest | None = None) -> Hold | None:
        """The hold of a version, in this spelling, or of its digest."""
        by_name = next((hold for hold in self.holds if hold.version == version), None)
        return by_name or next((hold for hold in self.holds if digest and hold.digest == digest), None)

    def voided(self, version: str | None) -> bool:
        """Whether a version, in this spelling, was announced and never arrived."""
        return any(void.version == version for void in self.void)

    @property
    def void_digests(self) -> frozenset[Digest]:
        """The digests of what was announced and never arrived, unless they have run, or were admitted, since."""
        ran = {entry.digest for entry in (*self.stack, *self.admitted)}
        return frozenset(void.digest for void in self.void if void.digest is not None) - ran

    def entered(self, entry: StackEntry, spellings: Collection[str] = ()) -> State:
        """After a promotion: it runs, and is neither held nor void any more, in whichever spelling or name it was."""
        state = self._cleared(entry, spellings)
        return replace(state, stack=(*self.stack, entry)[-DEEPEST:])

    def let_in(self, entry: StackEntry, spellings: Collection[str] = ()) -> State:
        """After a maintenance version was admitted beside what runs."""
        state = self._cleared(entry, spellings)
        others = tuple(known for known in self.admitted if known.version != entry.version)
        return replace(state, admitted=(*others, entry)[-DEEPEST:])

    def adopted(self, entry: StackEntry) -> State:
        """After a move by hand was found: it runs; a hold stays, for no rule was asked."""
        return replace(self, stack=(*self.stack, entry)[-DEEPEST:])

    def popped(self, depth: int, hold: Callable[[StackEntry], Hold]) -> State:
        """After a rollback to the entry ``depth`` places below the top: every version popped on the way is held."""
        target = self.stack[-1 - depth]
        gone = {entry.version: entry for entry in self.stack[len(self.stack) - depth :] if entry.version}
        cleared = self._cleared(target, ())
        held = frozenset(
            hold(entry) for name, entry in gone.items() if name != target.version and entry.digest != target.digest
        )
        kept = frozenset(known for known in cleared.holds if known.version not in gone)
        return replace(cleared, stack=self.stack[: len(self.stack) - depth], holds=kept | held)

    def aborted(self, version: str | None, digest: Digest | None = None) -> State:
        """After an announced version did not arrive: it is void, unless it had been admitted before."""
        if version is None or self.held(version):
            return self
        if any(entry.version == version for entry in (*self.stack, *self.admitted)):
            return self
        return replace(self, void=frozenset(v for v in self.void if v.version != version) | {Void(version, digest)})

    def holding(self, hold: Hold) -> State:
        """After `hold`."""
        return replace(self, holds=frozenset(known for known in self.holds if known.version != hold.version) | {hold})

    def lifted(self, spellings: Collection[str]) -> State:
        """After `hold --lift`."""
        return replace(self, holds=frozenset(hold for hold in self.holds if hold.version not in spellings))

    def joined(self, other: State, lifts: Lifts = NO_LIFTS) -> State:
        """With what another branch of the history noted: its holds, what was void or admitted there, and its freeze.

        What is on the stack, or was admitted, is not void for what another branch says; and what one branch lifted
        does not come back because the other one had not seen that.
        """
        held = {hold.version for hold in self.holds}
        ran = {entry.version for entry in (*self.stack, *self.admitted)}
        gone = {void.version for void in self.void} | ran
        names = {entry.version for entry in self.admitted}
        freezes = (it for it in (self.freeze, other.freeze) if it not in lifts.freezes)
        return replace(
            self,
            holds=(self.holds | {hold for hold in other.holds if hold.version not in held}) - lifts.holds,
            void=self.void | {void for void in other.void if void.version not in gone},
            admitted=(*self.admitted, *(entry for entry in other.admitted if entry.version not in names)),
            freeze=next(filter(None, freezes), None),
            ignored=self.ignored | other.ignored,
        )

    def lifts(self, before: Iterable[State]) -> Lifts:
        """What the states before had and this one has not."""
        known = list(before)
        holds = frozenset[Hold]().union(*(state.holds for state in known))
        freezes = frozenset(state.freeze for state in known if state.freeze is not None)
        return Lifts(holds - self.holds, freezes - {self.freeze})

    def depth_of(self, matches: Callable[[StackEntry], bool]) -> int | None:
        """How far below the top the latest matching entry stands; None where none does."""
        return next((depth for depth, entry in enumerate(reversed(self.stack)) if matches(entry)), None)

    def _cleared(self, entry: StackEntry, spellings: Collection[str]) -> State:
        names = {*spellings, entry.version}
        return replace(
            self,
            holds=frozenset(hold for hold in self.holds if hold.version not in names and hold.digest != entry.digest),
            void=frozenset(void for void in self.void if void.version not in names and void.digest != entry.digest),
        )


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
    where nobody has to sign."""

    tag: RecordTag
    digest: Digest
    record: Record
    proof: Proof | None = None

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
