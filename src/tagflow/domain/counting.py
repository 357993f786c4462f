"""Which records of a signed history count. Pure.

A record counts where it is signed by one of those who may, or where a record that counts names it by its whole digest:
one good signature vouches for everything below it. Whatever else stands under a record's tag is shown; it moves
nothing and stops nobody. Until a history holds a signature, all of its records count, as in one that is not signed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby

from msgspec import Struct

from tagflow.domain.history import Entry, Parent, Proof, find_heads, fingerprint
from tagflow.domain.own_tags import RecordTag, record_tag
from tagflow.domain.reference import Digest


class Doubtful(Struct, frozen=True):
    """What stands under the tag of a record and does not count, and why."""

    tag: RecordTag
    digest: Digest | None
    proof: Proof

    @property
    def may_hide(self) -> bool:
        """Whether it may stand in the place of a record: the tag of a record bears digits of its digest, and these are
        others. Under a name of its own it hides nothing, and stops nobody."""
        tag = self.tag
        return self.digest is None or record_tag(tag.environment, tag.sequence, self.digest) != tag


Read = Entry | Doubtful
Reader = Callable[[Sequence[RecordTag]], Mapping[RecordTag, Read]]
"""Reads some records; one that cannot be found any more is left out."""


def find_counting_heads(listed: Collection[RecordTag], read: Reader) -> tuple[Entry, ...]:
    """The heads of a signed history, highest first, reading as few records as that takes: one, where nothing is amiss.

    Goes down from the top like :func:`tagflow.domain.history.find_heads`, but only records that count name others, and
    only a good signature ends the way: what somebody else put there must not hide what is below it.
    """
    everything: dict[RecordTag, Read] = {}
    named: set[Parent] = set()
    heads: list[Entry] = []
    below = set(listed)
    width = 1
    ordered = sorted(listed, key=lambda tag: (-tag.sequence, str(tag)))
    levels = [list(tags) for _, tags in groupby(ordered, key=lambda tag: tag.sequence)]
    while levels:
        batch, levels = levels[:width], levels[width:]
        everything |= read([tag for level in batch for tag in level])
        for level in batch:
            below.difference_update(level)
            found = _counting((everything[tag] for tag in reversed(level) if tag in everything), named)
            heads += [entry for entry in found if Parent(entry.tag, entry.digest) not in named]
            named.update(parent for entry in found for parent in entry.record.parents)
            if _ends(found, below):
                return tuple(heads)
        width *= 2
    if not heads and _is_unsigned(everything.values()):
        entries = {tag: it for tag, it in everything.items() if isinstance(it, Entry)}
        return find_heads(listed, lambda tags: {tag: entries[tag] for tag in tags if tag in entries})
    return tuple(heads)


def counting(found: Iterable[Read], *, whole: bool) -> dict[RecordTag, Entry]:
    """The records that count, of those that were read. ``whole``: these are all that the history has."""
    known = sorted(found, key=lambda it: (-it.tag.sequence, str(it.tag)))
    named: set[Parent] = set()
    counted: dict[RecordTag, Entry] = {}
    for one in known:
        for entry in _counting([one], named):
            counted[entry.tag] = entry
            named.update(entry.record.parents)
    if not counted and whole and _is_unsigned(known):
        return {it.tag: it for it in known if isinstance(it, Entry)}
    return counted


def as_doubtful(read: Read) -> Doubtful:
    """A record that was read and does not count."""
    return read if isinstance(read, Doubtful) else Doubtful(read.tag, read.digest, read.proof or Proof("unsigned"))


def _counting(found: Iterable[Read], named: set[Parent]) -> list[Entry]:
    return [it for it in found if isinstance(it, Entry) and (_is_good(it) or Parent(it.tag, it.digest) in named)]


def _is_good(entry: Entry) -> bool:
    return entry.proof is not None and entry.proof.good


def _ends(found: Iterable[Entry], below: Collection[RecordTag]) -> bool:
    """Whether a good record has seen exactly what is listed below it: all that counts there is its ancestor."""
    expected = fingerprint(below)
    return any(_is_good(entry) and entry.record.state.seen == expected for entry in found)


def _is_unsigned(found: Iterable[Read]) -> bool:
    """Whether there is no trace of a signature, nor anything that may be put in the place of one."""
    return all(isinstance(it, Entry) and it.proof is not None and it.proof.fault == "unsigned" for it in found)
