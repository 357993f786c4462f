"""The independent reader: what tags and records say, read without a line of tagflow.

It knows the names of tags and the annotations of records (docs/history.md), and what is promised (docs/protocol.md).
It never asks `verify` or `status`: those are under test themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

PREFIX = "io.tagflow.record."
RECORD = re.compile(r"_tagflow\.([a-z0-9-]+)\.(\d{6,})\.[0-9a-f]{12}")
PIN = re.compile(r"_tagflow\.pin\.[0-9a-f]{12}")
VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
MOVES = frozenset({"push", "promote", "rollback"})
"""The actions that announce a move of the environment tag."""


@dataclass(frozen=True)
class Record:
    """One record, as its annotations have it."""

    tag: str
    environment: str
    sequence: int
    action: str
    version: str
    digest: str
    previous_version: str
    previous_digest: str
    release: str
    parents: tuple[str, ...]
    aborts: frozenset[str]
    overrides: tuple[str, ...]
    holds: frozenset[str]
    void: frozenset[str]
    stack: tuple[str, ...]
    subject: str
    actor: str = ""

    @property
    def rank(self) -> tuple[int, str]:
        return self.sequence, self.tag


@lru_cache(maxsize=100_000)
def read_record(tag: str, content: bytes) -> Record:
    """Read the record under a tag.

    :raises ValueError: it is none.
    """
    name = RECORD.fullmatch(tag)
    if name is None:
        raise ValueError(f"{tag} is no record tag")
    noted = {
        key.removeprefix(PREFIX): value
        for key, value in json.loads(content)["annotations"].items()
        if key.startswith(PREFIX)
    }
    state = json.loads(noted.get("state") or "{}")

    def words(key: str) -> list[str]:
        return str(noted.get(key, "")).split()

    def listed(key: str) -> frozenset[str]:
        return frozenset(it if isinstance(it, str) else it["version"] for it in state.get(key, []))

    return Record(
        tag=tag,
        environment=name[1],
        sequence=int(name[2]),
        action=noted["action"],
        version=noted.get("version", ""),
        digest=noted.get("digest", ""),
        previous_version=noted.get("previous-version", ""),
        previous_digest=noted.get("previous-digest", ""),
        release=noted["release"],
        parents=tuple(word.partition("@")[0] for word in words("parents")),
        aborts=frozenset(words("aborts")),
        overrides=tuple(noted.get("overrides", "").split(",")),
        holds=listed("holds"),
        void=listed("void"),
        stack=tuple(it.get("version") or "" for it in state.get("stack", [])),
        subject=noted.get("subject", ""),
        actor=noted.get("actor", ""),
    )


@dataclass(frozen=True)
class History:
    """All records of one image in one environment."""

    records: Mapping[str, Record]

    def ancestors(self, tag: str) -> frozenset[str]:
        """A record and all that it was written after."""
        found: set[str] = set()
        todo = [tag]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += self.records[name].parents if name in self.records else ()
        return frozenset(found)

    def basis(self, tag: str) -> frozenset[str]:
        """What a move under a record may undo: all that it was written after; of what is put back, only that, and what
        that was built on."""
        record = self.records.get(tag)
        if record is None:
            return frozenset()
        if record.action != "abort":
            return self.ancestors(tag)
        taken = record.aborts or self._of_release(record)
        if not taken:  # it puts back what an earlier one took back
            return frozenset().union({tag}, *(self.basis(it) for it in record.parents))
        return frozenset().union({tag}, *(self.ancestors(it) for it in taken))

    @property
    def heads(self) -> list[Record]:
        """The records that no record names, highest last."""
        named = {parent for record in self.records.values() for parent in record.parents}
        return sorted((it for it in self.records.values() if it.tag not in named), key=lambda it: it.rank)

    def aborted(self) -> Mapping[str, list[Record]]:
        """Each record that was taken back, and the aborts that did it."""
        found: dict[str, list[Record]] = {}
        for record in self.records.values():
            if record.action == "abort":
                for tag in record.aborts or self._of_release(record):
                    found.setdefault(tag, []).append(record)
        return found

    def live(self) -> list[Record]:
        """The announcements that nobody took back."""
        gone = self.aborted()
        return [it for it in self.records.values() if it.action in MOVES and it.tag not in gone]

    def tips(self) -> list[Record]:
        """Of those, the ones that no other was built on, highest last."""
        live = self.live()
        below = {tag for record in live for tag in self.ancestors(record.tag) - {record.tag}}
        return sorted((it for it in live if it.tag not in below), key=lambda it: it.rank)

    def noted(self, action: str) -> set[str]:
        """The versions that notes of a kind are about."""
        return {record.version for record in self.records.values() if record.action == action}

    def _of_release(self, abort: Record) -> set[str]:
        """What an abort of an older kind takes back: its parents of the same release, or all of them."""
        own = {it for it in abort.parents if it in self.records and self.records[it].release == abort.release}
        return own or {it for it in abort.parents if it in self.records and self.records[it].action in MOVES}


@dataclass(frozen=True)
class Place:
    """One image in one environment."""

    image: str
    environment: str
    repository: str
    floating: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """All tags of all repositories at one moment, and all manifests."""

    tags: Mapping[str, Mapping[str, str]]
    manifests: Mapping[str, bytes]

    def history(self, place: Place) -> History:
        """The records of a place."""
        tags = self.tags.get(place.repository, {})
        found = {}
        for tag, digest in tags.items():
            name = RECORD.fullmatch(tag)
            if name and name[1] == place.environment:
                found[tag] = read_record(tag, self.manifests[digest])
        return History(found)

    def at(self, place: Place, tag: str = "") -> str:
        """Where a tag (or the environment tag) stands; empty for nowhere."""
        return self.tags.get(place.repository, {}).get(tag or place.environment, "")


@dataclass(frozen=True)
class Change:
    """A tag was moved (``after`` is empty where it was removed) by a run."""

    step: int
    run: str
    repository: str
    tag: str
    before: str
    after: str
    under: str = ""
    """The last record that the run had written to this repository when it sent this."""
    late: bool = False
    age: float = 0.0
    """Seconds since the run last listed this repository."""


@dataclass(frozen=True)
class End:
    """A run ended: with an exit status, or -1 where it died."""

    step: int
    run: str
    status: int
    records: Mapping[str, str] = field(default_factory=dict)
    """Repository and environment → the record by which the run announced something there."""
    claims: bool = True
    """Whether its exit status speaks of what it announced."""


@dataclass(frozen=True)
class Wrong:
    """A promise that was broken. ``kind`` is a short name, the same for all cases of it."""

    kind: str
    told: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.told}"


FENCE = 20.0
"""Seconds after its look within which a run sends the PUT of an environment tag."""


@dataclass(frozen=True)
class Story:
    """All that happened."""

    places: tuple[Place, ...]
    before: Snapshot
    after: Snapshot
    changes: tuple[Change, ...]
    ends: tuple[End, ...]
    faults: int = 0
    """How often something died, stood still, or got no answer."""
    outlived: bool = False
    """A PUT arrived after the fence: less is promised then."""
    current: bool = True
    """Lists show what is there."""
    slow: bool = False
    """A run stood still for longer than the others wait."""


def judge(story: Story, *, winners: int | None = None) -> list[Wrong]:
    """Every promise that was broken. ``winners``: so many runs end with 0 where none dies or stands still."""
    found: list[Wrong] = []
    found += _bugs(story)
    found += _fixed(story)
    for place in story.places:
        found += _place(story, place)
    if winners is not None and not story.faults and not story.slow and story.current:
        won = [end.run for end in story.ends if end.status == 0]
        if len(won) < winners:
            found.append(Wrong("nobody", f"{len(won)} of {winners} ended with 0: {', '.join(won) or 'none'}"))
    return list(dict.fromkeys(found))


def _bugs(story: Story) -> list[Wrong]:
    return [Wrong("bug", f"{end.run} ended with exit 1") for end in story.ends if end.status == 1]


def _fixed(story: Story) -> list[Wrong]:
    """Names that never move."""
    environments = {place.environment for place in story.places}
    found = []
    for change in story.changes:
        if not change.before or not _is_fixed(change.tag, environments):
            continue
        if story.outlived and not any(end.status == 0 and end.step < change.step for end in story.ends):
            continue
        told = f"{change.tag} was moved from {change.before[:19]} to {change.after[:19]} by {change.run}"
        found.append(Wrong("moved.fixed", told))
    return found


def _is_fixed(tag: str, environments: Iterable[str]) -> bool:
    if RECORD.fullmatch(tag) or PIN.fullmatch(tag) or VERSION.fullmatch(tag):
        return True
    return any(tag.endswith(f"-{name}") and VERSION.fullmatch(tag.removesuffix(f"-{name}")) for name in environments)


def _place(story: Story, place: Place) -> list[Wrong]:
    history = story.after.history(place)
    found = _acknowledged(story, place, history)
    found += _together(story, place, history)
    found += _moves(story, place, history)
    old = story.before.tags.get(place.repository, {})
    given_up = _given_up(story, place)
    late = story.outlived
    cut = _given_up(story, place, but=(3, 4, 5))
    rest = at_rest(
        story.after, place, history, finished=not story.faults, late=late, old=old, given_up=given_up, cut=cut
    )
    moves = [it for it in story.changes if it.repository == place.repository and it.tag == place.environment]
    known = bool(moves) and moves[-1].late and _was_sent_again(story, moves[-1])
    # After several faults what runs may be hidden below what somebody else left (docs/protocol.md, what is left).
    found += [it for it in rest if it.kind != "by.hand" or (story.faults <= 1 and not known)]
    if not story.faults and not story.outlived:
        found += floats(story.after, place, history)
    found += _left(story, place, history)
    return found


def _given_up(story: Story, place: Place, but: Collection[int] = ()) -> set[str]:
    """The records of runs that died or failed: what such a one takes back is still to be put back."""
    failed = {end.run for end in story.ends if end.status not in (0, *but)}
    return {it.tag for it in story.changes if it.repository == place.repository and it.run in failed}


def _acks(story: Story, place: Place, history: History) -> list[tuple[End, Record]]:
    """The runs that ended with 0, and what they had announced here."""
    pairs = [(end, end.records.get(f"{place.repository} {place.environment}", "")) for end in story.ends]
    return [(end, history.records[tag]) for end, tag in pairs if end.status == 0 and tag in history.records]


def _acknowledged(story: Story, place: Place, history: History) -> list[Wrong]:
    """An exit 0 is true, and stays so until a later release, which has seen it, changes it."""
    found: list[Wrong] = []
    for end, record in _acks(story, place, history):
        stood = _stood(story, place, end.step)
        live = {it.tag for it in history.live()}
        after = [
            it
            for it in history.records.values()
            if it.action in MOVES
            and it.tag != record.tag
            and record.tag in history.ancestors(it.tag)
            # One that was taken back since had moved on all the same, where the tag shows it.
            and (it.tag in live or it.digest == stood)
        ]
        moves = [it for it in story.changes if it.repository == place.repository and it.tag == place.environment]
        last = next((it for it in reversed(moves) if it.step < end.step), None)
        known = last is not None and last.late and _was_sent_again(story, last)
        if record.action in MOVES | {"abort"} and stood != record.digest and not after and not known:
            told = f"{end.run} ended with 0, and {place.environment} stood at {_named(story, place, stood)}"
            found.append(Wrong("untrue", told))
        for change in story.changes:
            if change.repository != place.repository or change.tag != place.environment or change.step < end.step:
                continue
            if change.run == end.run and not change.late:
                continue
            if change.late and (story.outlived or _was_sent_again(story, change)):
                continue
            if change.after == record.digest and record.action in MOVES | {"abort"}:
                continue
            if record.tag not in history.basis(change.under):
                told = (
                    f"{end.run} ended with 0 ({record.action} {record.version}); then {change.run}, which had not seen"
                    f" it, moved {place.environment} to {_named(story, place, change.after)}"
                )
                kind = (
                    "overwritten" if record.action in MOVES else "comeback" if record.action == "abort" else "crossed"
                )
                concerns = record.action in MOVES | {"abort"} or (
                    record.action in ("hold", "freeze") and _hits(record, history.records.get(change.under), change)
                )
                if concerns:
                    found.append(Wrong(kind, told))
    return found


def _was_sent_again(story: Story, late: Change) -> bool:
    """Whether a PUT that arrives late had been sent once more, and that one had arrived, or puts a tag back: then
    nothing tells that it is still on its way (docs/protocol.md, what is left)."""
    if _puts_back(story, late):
        return True
    return any(
        it.run == late.run and it.repository == late.repository and it.tag == late.tag and it.after == late.after
        for it in story.changes
        if it.step < late.step
    )


def _puts_back(story: Story, change: Change) -> bool:
    digest = story.after.tags[change.repository].get(change.under)
    return digest is not None and read_record(change.under, story.after.manifests[digest]).action == "abort"


def _hits(note: Record, release: Record | None, change: Change) -> bool:
    """Whether a hold or freeze forbids a move."""
    if release is None or release.action != "promote" or change.after != release.digest:
        return False
    return note.action == "freeze" or note.version == release.version


def _together(story: Story, place: Place, history: History) -> list[Wrong]:
    """Of two releases that both ended with 0, one was built on the other; none that was abandoned before did."""
    found: list[Wrong] = []
    acks = _acks(story, place, history)
    aborted = history.aborted()
    for index, (end, record) in enumerate(acks):
        if record.action not in MOVES:
            continue
        for other, theirs in acks[:index]:
            if theirs.action not in MOVES or theirs.release == record.release:
                continue
            if record.tag not in history.ancestors(theirs.tag) and theirs.tag not in history.ancestors(record.tag):
                told = f"{other.run} and {end.run} both ended with 0 for {place.image}; neither had seen the other"
                found.append(Wrong("both", told))
        for abort in aborted.get(record.tag, []):
            before = [it for it, said in acks if said.tag == abort.tag and it.step < end.step]
            if before:
                found.append(
                    Wrong("abandoned", f"{end.run} ended with 0 after {before[0].run} had abandoned its release")
                )
    return found


def _moves(story: Story, place: Place, history: History) -> list[Wrong]:
    """Each move of the environment tag, at its moment: the anchors stand, and the look is not too old."""
    found: list[Wrong] = []
    for change in story.changes:
        if change.repository != place.repository or change.tag != place.environment:
            continue
        record = history.records.get(change.under)
        if change.age > FENCE and not story.outlived:
            told = f"{change.run} moved {change.tag} {change.age:.0f} s after its last look"
            found.append(Wrong("stale.look", told))
        if record is None:
            found.append(Wrong("unannounced", f"{change.run} moved {change.tag} without a record"))
        elif record.action in ("push", "promote") and record.digest == change.after:
            combined = f"{record.version}-{place.environment}"
            if _stood(story, place, change.step, combined) != record.digest:
                found.append(Wrong("unanchored", f"{change.run} moved {change.tag} before {combined} stood"))
    return found


def at_rest(
    snapshot: Snapshot,
    place: Place,
    history: History,
    *,
    finished: bool = True,
    late: bool = False,
    old: Iterable[str] = (),
    given_up: Collection[str] = (),
    cut: Collection[str] = (),
) -> list[Wrong]:
    """What must be so when nothing runs any more. ``finished``: no run died on its way; ``old``: the records of before,
    of which one may have been interrupted, and still be so; ``given_up``: those of runs that died or failed; ``cut``:
    of runs that came to no end of their own, whose release may be one of several that were under way."""
    found: list[Wrong] = []
    here, heads = snapshot.at(place), history.heads
    if not heads:
        return found
    where = f"{place.image} in {place.environment}"
    tips = [it for it in history.tips() if it.digest == here]
    on_top = [it for it in heads if it.digest == here]
    matching = on_top or tips
    head = max(matching or heads, key=lambda it: it.rank)
    gone = history.aborted()
    ended_void = any(it.digest == here and it.tag in gone for it in history.records.values() if it.action in MOVES)
    under_way = any(it.previous_digest == here for it in heads if it.action != "adopt")
    if not on_top and under_way:
        if finished and not {it.tag for it in history.tips() if it.previous_digest == here} & set(old):
            found.append(Wrong("at.rest", f"{where}: a release was left interrupted, and nobody died"))
    elif not matching and ended_void:
        by = {it.tag for tag in gone if history.records[tag].digest == here for it in gone[tag]}
        if not late and not by <= set(given_up):
            found.append(Wrong("void.runs", f"{where}: what runs was aborted"))
    elif not matching and finished:
        found.append(Wrong("at.rest", f"{where}: no record explains what runs"))
    elif not on_top and not under_way and not {it.tag for it in heads} & set(cut):
        found.append(Wrong("by.hand", f"{where}: what runs looks as if another tool had moved it"))
    runs = head.stack[-1] if head.stack else head.version if head.action in MOVES else ""
    if matching and VERSION.fullmatch(runs) and here:
        for tag, kind in ((f"{runs}-{place.environment}", "not.its.anchor"), (runs, "not.its.version")):
            at = snapshot.at(place, tag)
            if at != here and (at or kind == "not.its.anchor"):
                found.append(Wrong(kind, f"{where} runs {here[:19]} as {runs}; {tag} is at {at[:19] or 'nothing'}"))
        # Somebody may hold what runs; a rollback holds what it leaves.
        held = {version for it in heads for version in it.holds} - history.noted("hold")
        if finished and runs in held:
            found.append(Wrong("held.runs", f"{where}: {runs} runs and is held"))
    if matching and head.action in MOVES and head.stack and head.stack[-1] != head.version:
        found.append(Wrong("state", f"{where}: {head.tag} is of {head.version}, and its state of {head.stack[-1]}"))
    return found


def admitted(snapshot: Snapshot, place: Place, history: History) -> dict[tuple[int, int, int], str]:
    """Version numbers → combined tag, of what is neither held nor void."""
    heads = history.heads
    here = snapshot.at(place)
    ran = {version for it in heads if it.digest == here for version in it.stack}
    out = {version for it in heads for version in it.holds} | {version for it in heads for version in it.void - ran}
    suffix = f"-{place.environment}"
    found = {}
    for tag in snapshot.tags.get(place.repository, {}):
        name = VERSION.fullmatch(tag.removesuffix(suffix)) if tag.endswith(suffix) else None
        if name and name[0] not in out:
            found[int(name[1]), int(name[2]), int(name[3])] = tag
    return found


def floats(snapshot: Snapshot, place: Place, history: History) -> list[Wrong]:
    """Floating tags that are not where the highest admitted version of their line is. A hold moves no tag."""
    found: list[Wrong] = []
    if history.noted("hold"):
        return found
    versions = admitted(snapshot, place, history)
    lines: dict[str, list[tuple[int, int, int]]] = {}
    for version in versions:
        for line in place.floating:
            name = {"latest": "latest", "major": f"v{version[0]}", "minor": f"v{version[0]}.{version[1]}"}[line]
            lines.setdefault(name, []).append(version)
    for name, known in lines.items():
        wanted = snapshot.at(place, versions[max(known)])
        if snapshot.at(place, name) != wanted:
            told = f"{place.image}: {name} is not at {versions[max(known)]}, where it belongs"
            found.append(Wrong("floating", told))
    return found


def _left(story: Story, place: Place, history: History) -> list[Wrong]:
    """What failed has left nothing: an environment tag that a run with exit 3, 4, 5 or 6 moved stands elsewhere now."""
    moved = [it for it in story.changes if it.repository == place.repository and it.tag == place.environment]
    if not moved or moved[-1].late:
        return []
    last = moved[-1]
    end = next((it for it in story.ends if it.run == last.run), None)
    record = history.records.get(last.under)
    if end is None or not end.claims or end.status not in (3, 4, 5, 6) or record is None or last.after != record.digest:
        return []
    if record.action == "abort":  # put back
        return []
    if story.before.at(place) == last.after or any(it.digest == last.after for _, it in _acks(story, place, history)):
        return []
    built = [it for it in history.live() if it.tag != record.tag and record.tag in history.ancestors(it.tag)]
    if built:
        return []
    return [Wrong("left", f"{end.run} ended with {end.status}, and {place.environment} is where it put it")]


def _stood(story: Story, place: Place, step: int, tag: str = "") -> str:
    """Where a tag stood right before a step."""
    name = tag or place.environment
    at = story.before.at(place, name)
    for change in story.changes:
        if change.step < step and change.repository == place.repository and change.tag == name:
            at = change.after
    return at


def _named(story: Story, place: Place, digest: str) -> str:
    """A digest by its version tag."""
    for tag, at in story.after.tags.get(place.repository, {}).items():
        if at == digest and VERSION.fullmatch(tag):
            return tag
    return digest[:19] or "nothing"
