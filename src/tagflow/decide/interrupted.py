"""Releases that were announced and are not finished: who belongs to one, and the ways out.

An image is interrupted where its newest record announces a digest and the environment tag still stands where it stood
before (:mod:`tagflow.domain.standing`). Once the tag stands at that digest, the release is complete there.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from tagflow.domain.history import Entry
from tagflow.domain.policy import Environment
from tagflow.domain.snapshot import Lookup, Observation, RecordLookup, Snapshot
from tagflow.domain.standing import Interrupted
from tagflow.domain.times import format_duration
from tagflow.errors import ReleaseInterrupted, on_one_line

YOUNG = timedelta(minutes=10)
"""While a release is younger, it is most likely under way: the advice is to wait."""
_NAMED = 3
"""So many images are named in a message; of more, only how many there are."""


class Unfinished(Struct, frozen=True):
    """One release. ``entries`` are its records, by image; ``open`` the images that have not arrived; ``wanted`` where
    it wants each member (version tag, digest, or empty), of those whose records were never written, too. ``beside``
    are its records of versions that enter beside what runs: no tag shows whether these have arrived. ``is_tangled``:
    another release is not finished either that has members in common with it, so that neither can be finished before
    the other is out of the way. ``is_nameless``: no command can name its version; it was pushed, and died before its
    version tag was there, or the policy does not read that any more. ``is_held``: what it brings in was put on hold
    since. ``is_doubted``: it brings something in, and with a record of it stands what cannot be read or does not
    count, and may hide that it was taken back.
    """

    environment: Environment
    entries: Mapping[str, Entry]
    open: frozenset[str]
    wanted: Mapping[str, str]
    beside: Mapping[str, Entry] = field(default_factory=dict)
    is_tangled: bool = False
    is_nameless: bool = False
    is_held: bool = False
    is_doubted: bool = False

    @property
    def entry(self) -> Entry:
        """A record of it that says all that is common to them."""
        return next(iter(self.entries.values()))

    @property
    def is_whole(self) -> bool:
        """Whether every member has a record: then it can be finished out of these alone."""
        return self.wanted.keys() <= {*self.entries, *self.beside}

    @property
    def is_for_its_source(self) -> bool:
        """Whether only the same push finishes it: what becomes of members without a record is known to nobody else."""
        return self.is_nameless and not self.is_whole

    @property
    def goes_back(self) -> bool:
        """Whether it is a rollback, or an abandonment: these are finished by `rollback` without a TARGET."""
        return self.entry.record.action in ("rollback", "abort")


def unfinished(snapshot: Snapshot, environment: Environment) -> list[Unfinished]:
    """The unfinished releases of an environment, the one with the highest number first; of one that was abandoned in
    part, what is being taken back comes first."""
    observations = snapshot.all_in(environment)
    found: dict[tuple[str, str], None] = {}
    for seen in sorted(observations, key=_latest_first):
        if isinstance(seen.standing.position, Interrupted) and (entry := announcement(snapshot, seen)):
            found[entry.record.release.id, entry.record.action] = None
    names = [image.name for image in snapshot.policy.images]
    releases = []
    for key in found:
        members = {
            seen.image: entry
            for seen in observations
            if (entry := announcement(snapshot, seen)) and (entry.record.release.id, entry.record.action) == key
        }
        waiting = frozenset(
            seen.image
            for seen in observations
            if seen.image in members and isinstance(seen.standing.position, Interrupted)
        )
        intent = next(iter(members.values())).record.intent.of(names)
        # What the policy has no more, or calls otherwise, no command can name.
        wanted = {name: wish for name, wish in intent.items() if name in names}
        wanted |= {name: entry.record.version or entry.record.digest or "" for name, entry in members.items()}
        beside = {
            seen.image: head
            for seen in observations
            for head in seen.standing.heads
            if head.record.action == "admit" and head.record.release.id == key[0]
        }
        nameless = any(
            members[seen.image].record.action == "push" and members[seen.image].record.version not in seen.tags
            for seen in observations
            if seen.image in members
        )
        held = any(seen.image in waiting and _is_held(seen, members[seen.image]) for seen in observations)
        doubted = key[1] in ("push", "promote") and any(
            seen.image in members and (seen.doubted or _is_set_aside_above(seen, members[seen.image]))
            for seen in observations
        )
        one = Unfinished(environment, members, waiting, wanted, beside, is_nameless=nameless, is_held=held)
        labels = {entry.record.version for entry in members.values() if entry.record.version}
        unread = any(snapshot.scheme.parse_label(label) is None for label in labels)
        nameless = nameless or (unread and one.is_whole)
        releases.append(replace(one, is_nameless=nameless, is_doubted=doubted))
    return [replace(it, is_tangled=len(concerning(releases, it.wanted)) > 1) for it in releases]


def _is_set_aside_above(seen: Observation, entry: Entry) -> bool:
    """Whether something was set aside since a release was announced that may have come after it."""
    since = seen.standing.state.ignored - entry.record.state.ignored
    return any(tag.sequence > entry.tag.sequence for tag in since)


def _is_held(seen: Observation, entry: Entry) -> bool:
    record = entry.record
    enters = record.action in ("push", "promote") and "hold" not in record.overrides
    return enters and seen.standing.state.held(record.version, record.digest) is not None


def announcement(snapshot: Snapshot, seen: Observation) -> Entry | None:
    """The record that announced what an image's effective head stands for: the head, or what it carries on."""
    head = seen.standing.head
    if head is None or head.record.follows is None:
        return head
    return snapshot.entries.get((seen.target.history, head.record.follows)) or head


def announcement_lookups(snapshot: Snapshot, environment: Environment) -> Iterator[Lookup]:
    """The records that heads carry on, where a release of the environment is not finished."""
    observations = [seen for target, seen in snapshot.observations.items() if target.environment == environment]
    if not any(isinstance(seen.standing.position, Interrupted) for seen in observations):
        return
    for seen in observations:
        head = seen.standing.head
        if head is not None and head.record.follows is not None:
            yield RecordLookup(seen.target.history, head.record.follows)


def concerning(releases: Iterable[Unfinished], images: Collection[str]) -> list[Unfinished]:
    """The unfinished releases that one of these images is a member of."""
    return [release for release in releases if not set(images).isdisjoint(release.wanted)]


def finish_command(environment: str, wanted: Mapping[str, str], overrides: Iterable[str], reason: str) -> str:
    """The promote that finishes a release. What it set aside is asked again for members that no record tells of yet."""
    words = ["tagflow", "promote", *_targets(wanted), "--to", environment]
    set_aside = [word for rule in overrides for word in ("--override", rule)]
    return shlex.join([*words, *set_aside, "--reason", reason] if set_aside else words)


def _targets(wanted: Mapping[str, str]) -> list[str]:
    return [f"{image}={version}" for image, version in wanted.items()]


def way_on(release: Unfinished) -> str:
    """The command that finishes a release, or abandons it where no command can be told that finishes it."""
    record = release.entry.record
    if release.goes_back or release.is_tangled or release.is_for_its_source or release.is_held or release.is_doubted:
        return f"tagflow rollback {release.environment.name}"
    if release.is_nameless:
        return f"tagflow verify {release.environment.name} --repair"
    if record.plan and release.environment.approvals:
        return "tagflow apply FILE"  # a promotion straight there is refused: it is the plan that was approved
    return finish_command(release.environment.name, release.wanted, record.overrides, record.reason)


def refuse_unfinished(release: Unfinished, now: datetime) -> ReleaseInterrupted:
    """Another change while a release is not finished: who, since when, and the ways out.

    While it is young the advice is to wait: whoever announced it is most likely still at work.
    """
    record, environment = release.entry.record, release.environment.name
    age = max(now - record.at, timedelta())
    images = sorted(release.open) or sorted(release.entries)
    names = ", ".join(images) if len(images) <= _NAMED else f"{len(images)} images"
    out = f"`{way_on(release)}` finishes it"
    if release.is_tangled and not release.goes_back:
        out = f"`{way_on(release)}` abandons it: it cannot be finished, for another release of its images is not either"
    elif release.is_held and not release.goes_back:
        out = f"`{way_on(release)}` abandons it: what it brings in was put on hold since"
    elif release.is_doubted:
        out = f"`{way_on(release)}` abandons it: what cannot be read or does not count may hide that it was taken back"
    elif release.is_for_its_source:
        out = f"The same push finishes it, `{way_on(release)}` abandons it"
    elif not release.goes_back:
        out += f", `tagflow rollback {environment}` abandons it"
    if age < YOUNG:
        out = f"Wait for it: the same command with a wait of 5m. If it died: {out}"
    return ReleaseInterrupted(
        f"release {record.release.number} in {environment} was announced by {on_one_line(record.actor)}"
        f" {format_duration(timedelta(seconds=int(age.total_seconds())))} ago and is not finished ({names}):"
        " it is still under way, or died",
        hint=f"{out}.",
        details=[
            {
                "code": "release.interrupted",
                "environment": environment,
                "release": record.release.id,
                "release_number": record.release.number,
                "actor": record.actor,
                "age_seconds": int(age.total_seconds()),
                "images": sorted(release.open),
            }
        ],
    )


def _latest_first(seen: Observation) -> tuple[int, bool]:
    head = seen.standing.head
    if head is None:
        return 0, True
    return -head.record.release.number, head.record.action != "abort"
