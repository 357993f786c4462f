"""What holds for one image in one environment: the checkpoint that each record carries.

It tells all that promote, rollback and status need: what ran, what is held, void, admitted or frozen. So they read the
heads of a history only. What changes it makes another one of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Digest

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


@dataclass(frozen=True)
class Hold:
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


@dataclass(frozen=True)
class Freeze:
    """Nothing is promoted from ``at`` on, until ``until`` (None: until it is lifted); who said so, and why."""

    by: str
    at: datetime
    reason: str
    until: datetime | None = None


class Lifts(Struct, frozen=True):
    """Holds and freezes that a record ended, and knew what it did: its parents had them, and it has not."""

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
        holds = self.holds - lifts.holds
        held = {hold.version for hold in holds}
        ran = {entry.version for entry in (*self.stack, *self.admitted)}
        gone = {void.version for void in self.void} | ran
        names = {entry.version for entry in self.admitted}
        freezes = (it for it in (self.freeze, other.freeze) if it not in lifts.freezes)
        return replace(
            self,
            holds=holds | {hold for hold in other.holds - lifts.holds if hold.version not in held},
            void=self.void | {void for void in other.void if void.version not in gone},
            admitted=(*self.admitted, *(entry for entry in other.admitted if entry.version not in names)),
            freeze=next(filter(None, freezes), None),
            ignored=self.ignored | other.ignored,
        )

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
