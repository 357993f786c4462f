"""What the history of one target says of its names, as the audit compares it with where they stand. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from tagflow.decide.finding import Finding, Problem
from tagflow.domain.history import RELEASES, Entry
from tagflow.domain.lines import lines_of, winner
from tagflow.domain.own_tags import RecordTag, pin_tag
from tagflow.domain.policy import Line
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import Lookup, Observation, Snapshot, TagLookup, Target
from tagflow.domain.standing import Interrupted
from tagflow.domain.versions import Version

_NEXT = 2
"""So many images below what runs are looked at whole each time: `rollback` leads to them, one after the other."""


class Audited(Struct, frozen=True, dict=True):
    """One target, all of its records, and what they say of it."""

    snapshot: Snapshot
    seen: Observation
    unread: tuple[str, ...] = ()
    deep: bool = False

    @property
    def target(self) -> Target:
        """Where it looks."""
        return self.seen.target

    @cached_property
    def entries(self) -> list[Entry]:
        """Every record that could be read, in its order."""
        return sorted(self.snapshot.read(self.target, self.seen.records), key=lambda entry: entry.rank)

    @cached_property
    def arrived(self) -> list[Entry]:
        """The records whose version entered: releases that nobody took back and that are not under way, and what was
        admitted beside what runs."""
        gone = _taken_back(self.entries)
        standing = replace(self.seen.standing, error=None)  # a record that cannot be read makes nothing arrive
        waits = isinstance(standing.position, Interrupted) or standing.vain
        pending = {head.tag for head in standing.heads if waits or head is not standing.head}
        follows = standing.head.record.follows if standing.head and isinstance(standing.position, Interrupted) else None
        return [
            entry
            for entry in self.entries
            if entry.record.action in ("push", "promote", "admit")
            and entry.tag not in gone
            and entry.tag != follows
            and (entry.record.action == "admit" or entry.tag not in pending)
        ]

    @cached_property
    def has_told(self) -> bool:
        """Whether the history tells what ran here."""
        return any(entry.record.tells for entry in self.entries)

    def lookups(self) -> Iterator[Lookup]:
        """Where which tags stand, as far as the audit asks."""
        repository, combined, scheme = self.target.repository, self.seen.combined, self.seen.scheme
        tags = {tag for tag, _ in self._entered()} | set(combined.values())
        for tag, line in self.lines(self.seen).items():
            tags.add(tag)
            best = winner(scheme, tag, line, self.seen.admitted.difference(self.untold), self.seen.tags)
            if best is not None:
                tags.add(combined[best])
        for entry in self.entries:
            if entry.record.action == "adopt" and entry.record.digest is not None:
                tags.add(pin_tag(entry.record.digest))
        yield from (TagLookup(repository, tag) for tag in sorted(tags) if tag in self.seen.tags)

    def wanted(self) -> dict[Digest, str | None]:
        """What is looked at whole, and its version: what runs, where a rollback leads, what was admitted beside it; of
        what a rollback may go back to all, or what it leads to next."""
        standing = self.seen.standing
        runs = {} if standing.digest is None else {standing.digest: standing.version}
        back = {entry.digest: entry.version for entry in reversed(standing.state.stack)}
        beside = {entry.digest: entry.version for entry in standing.state.admitted}
        if not self.deep:
            back = dict(islice((it for it in back.items() if it[0] not in runs), _NEXT))
        return {**runs, **back, **beside}

    def finding(
        self,
        problem: Problem,
        expected: str | None,
        actual: str | None,
        repair: str,
        *,
        tag: str = "",
        detail: str = "",
    ) -> Finding:
        """A finding here."""
        return Finding(self.seen.image, self.target.environment.name, problem, expected, actual, repair, tag, detail)

    @property
    def mend(self) -> str:
        """The command that mends what needs no judgement."""
        return f"tagflow verify {self.target.environment.name} --repair"

    def digest(self, tag: str) -> Digest | None:
        """Where a tag stands."""
        return self.snapshot.digest(self.target.repository, tag) if tag in self.seen.tags else None

    @cached_property
    def untold(self) -> list[Version]:
        """The versions with a combined tag that no record speaks of, in an environment whose records tell what ran.
        Where there are none yet, or nothing but notes, the combined tag alone counts: other tools made it."""
        if not self.has_told or self.unread:
            return []
        scheme = self.seen.scheme
        labels = {
            it.version for entry in self.entries for it in (*entry.record.state.stack, *entry.record.state.admitted)
        }
        # A hold names whatever somebody wrote: it lets nothing in, and neither does its end.
        told = (entry.record for entry in self.entries if entry.record.action not in ("hold", "unhold"))
        labels |= {label for record in told for label in (record.version, record.previous_version)}
        known = {scheme.parse_label(label) for label in labels}
        return sorted(version for version in self.seen.combined if version not in known)

    def expected_anchors(self) -> Iterator[tuple[str, Digest]]:
        """Version and combined tag of everything that entered, and the pin of everything that left without one."""
        standing = self.seen.standing
        entered = dict(self._entered())
        yield from entered.items()
        held = set(entered.values())
        for entry in self.entries:
            digest = entry.record.digest
            if (
                entry.record.action == "adopt"
                and digest is not None
                and digest not in held
                and digest != standing.digest
            ):
                version = self.seen.scheme.parse_label(entry.record.version)
                combined = self.seen.combined.get(version) if version else None
                if combined is None or self.digest(combined) != digest:
                    yield pin_tag(digest), digest

    def _entered(self) -> Iterator[tuple[str, Digest]]:
        scheme, environment = self.seen.scheme, self.target.environment.name
        for entry in self.arrived:
            record, version = entry.record, scheme.parse_label(entry.record.version)
            digest = record.subject if record.action == "admit" else record.digest
            if digest is None or version is None or self.seen.standing.state.voided(record.version):
                continue
            yield scheme.version_tag(version), digest
            yield scheme.combined_tag(version, environment), digest

    def lines(self, seen: Observation) -> dict[str, Line]:
        """The floating tags that there are, or should be."""
        environment = self.target.environment
        lines: dict[str, Line] = lines_of(seen.scheme, environment, seen.combined)
        for tag in seen.tags:
            meaning = seen.scheme.read(tag)
            if meaning and meaning.kind == "floating" and meaning.line in environment.floating:
                lines.setdefault(tag, meaning.line)
        return {tag: line for tag, line in lines.items() if not seen.scheme.is_release_too(tag, seen.tags)}


def _taken_back(entries: Iterable[Entry]) -> frozenset[RecordTag]:
    """The records whose change was taken back. Aborts of earlier versions name their target among their parents."""
    known = {entry.tag: entry.record for entry in entries}
    found: set[RecordTag] = set()
    for record in known.values():
        if record.action != "abort":
            continue
        found.update(record.aborts)
        if not record.aborts:
            parents = (parent.tag for parent in record.parents if parent.tag in known)
            found.update(
                tag for tag in parents if known[tag].action in RELEASES and known[tag].digest == record.previous_digest
            )
    return frozenset(found)
