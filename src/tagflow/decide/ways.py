"""The ways back: for one image to what its stack holds, and for all members of the release that came last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from tagflow.decide.decision import UNNUMBERED, Prospect, adopting
from tagflow.decide.finish import (
    Change,
    names,
    versions,
)
from tagflow.decide.selection import identify
from tagflow.decide.targets import source_of
from tagflow.domain.history import Record
from tagflow.domain.plan import Step
from tagflow.domain.policy import Environment
from tagflow.domain.snapshot import (
    Observation,
    Snapshot,
)
from tagflow.domain.standing import Late, Recorded, Unrecorded
from tagflow.domain.state import Hold, Release, StackEntry, State
from tagflow.domain.versions import Version
from tagflow.errors import Conflict, NotFound, few


class Way(Struct, frozen=True):
    """The ways back for one image: the stack as it is once what was moved by hand has been adopted."""

    snapshot: Snapshot
    seen: Observation
    actor: str
    reason: str
    now: datetime

    @property
    def adopts(self) -> bool:
        standing = self.seen.standing
        return isinstance(standing.position, Unrecorded) and standing.digest is not None

    def state(self) -> State:
        """The checkpoint, with what is adopted on top."""
        standing = self.seen.standing
        if standing.digest is None:
            return standing.state
        if self.adopts:
            return standing.state.adopted(StackEntry(identify(self.snapshot, self.seen), standing.digest, UNNUMBERED))
        top, head = standing.state.top, standing.head
        if isinstance(standing.position, Recorded) and top is not None and top.digest != standing.digest:
            # Adopted beside the stack: a rollback takes it off, and leads to what is on top.
            assert head is not None
            return standing.state.adopted(StackEntry(standing.version, standing.digest, head.record.release))
        return standing.state

    def one(self) -> Change:
        """Back by one entry, and past those that are the same bytes.

        :raises NotFound: ``rollback.nothing``.
        """
        state = self.state()
        depth = next(
            (depth for depth in range(1, len(state.stack)) if state.stack[-1 - depth].digest != state.stack[-1].digest),
            None,
        )
        if depth is None:
            raise self._nothing()
        return self.pop(state, depth)

    def to(self, version: Version | None) -> Change:
        """Back to a version's latest entry in the stack; one already popped is pushed.

        Where its bytes run already, only floating tags that were left behind are put right.
        """
        if version is None:
            return self.one()
        scheme, state = self.seen.scheme, self.state()
        depth = state.depth_of(lambda entry: scheme.recall(entry.version) == version)
        if depth == 0 and self.adopts and not self.seen.vouches(version, state.stack[-1].digest):
            # What somebody moved there is no target where nobody who may has signed for it, whatever it is called.
            below = replace(state, stack=state.stack[:-1])
            deeper = below.depth_of(lambda entry: scheme.recall(entry.version) == version)
            depth = None if deeper is None else deeper + 1
        if depth is not None and not self.adopts and self.seen.standing.digest == state.stack[-1 - depth].digest:
            labels = [state.stack[-1].version, *(hold.version for hold in state.holds)]
            return Change(self.seen, None, Prospect(self.seen, state), versions(self.seen, labels))
        return self._push(state, version) if depth is None else self.pop(state, depth)

    def as_intended(self, wanted: str) -> Change:
        """Back to what an interrupted rollback wanted here: a version tag, or a digest."""
        state = self.state()
        depth = state.depth_of(lambda entry: wanted in (entry.version, entry.digest))
        if depth:
            return self.pop(state, depth)
        scheme = self.seen.scheme
        return self.to(scheme.parse_label(wanted) or scheme.parse_version(wanted))

    def pop(self, state: State, depth: int) -> Change:
        """Back by some entries."""
        target = state.stack[-1 - depth]
        popped = [entry.version for entry in state.stack[len(state.stack) - depth :]]
        return self._back(state, state.popped(depth, self._hold), target, depth, [*popped, target.version])

    def _push(self, state: State, version: Version) -> Change:
        scheme, target = self.seen.scheme, self.seen.target
        tag = self.seen.combined.get(version)
        excluded = self.seen.excludes(version)
        out = tag is None or excluded in ("void", "announced", "contradicted")
        digest = None if out or tag is None else self.snapshot.digest(target.repository, tag)
        if digest is None or not self.seen.vouches(version, digest):
            raise self._never(version)
        found = next(spelling for spelling in self.seen.combined if spelling == version)
        entry = StackEntry(scheme.version_tag(found), digest, UNNUMBERED)
        after = state.entered(entry, self.seen.listed_as(version))
        return self._back(state, after, entry, None, [entry.version])

    def _back(
        self, before: State, after: State, target: StackEntry, depth: int | None, touched: Iterable[str | None]
    ) -> Change:
        seen, standing = self.seen, self.seen.standing
        adopted = before.stack[-1].version if self.adopts else None
        previous, left = standing.version, standing.digest
        if isinstance(standing.position, Late):
            previous, left = standing.wanted, standing.position.head.record.digest
        step = Step(
            image=seen.image,
            repository=str(seen.target.repository),
            action="rollback",
            version=target.version,
            digest=target.digest,
            previous_version=adopted if self.adopts else previous,
            previous_digest=left,
            heads=names(standing.heads),
            depth=depth,
            adopts=self.adopts,
        )
        if self.adopts and target.digest != left and left is not None:
            # What is not put on the stack where records are signed is held here as it is by its adoption.
            found = adopting(seen, adopted, UNNUMBERED).holds
            after = replace(
                after, holds=after.holds | (found - before.holds if seen.named is not None else frozenset())
            )
        same = standing.digest == target.digest
        since, by = (before.since, before.by) if same else (None, "")
        return Change(seen, step, Prospect(seen, after, adopted, since, by), versions(seen, touched))

    def _hold(self, entry: StackEntry) -> Hold:
        assert entry.version is not None
        return Hold(entry.version, entry.digest, self.actor, self.now, self.reason or "rolled back")

    def _never(self, version: Version) -> NotFound:
        target, tag = self.seen.target, self.seen.scheme.version_tag(version)
        # Held under a tag that another template wrote: it may well have run.
        former = next((it for it in self.seen.listed_as(version) if it != tag and it in self.seen.tags), None)
        if former is not None and self.seen.scheme.read(former) is None:
            source = source_of(target.repository, former)
            return NotFound(
                "version.not_found",
                f"{target.name}: {former} was held there, and this policy does not read its tags",
                hint=f"`tagflow push {tag} {target.image.name}={source}` takes it over.",
            )
        return NotFound(
            "version.not_found",
            f"{target.name}: {tag} never ran there",
            hint=f"`tagflow history {target.environment.name} {target.image.name}` shows what did.",
        )

    def _nothing(self) -> NotFound:
        target = self.seen.target
        return NotFound(
            "rollback.nothing",
            f"{target.name}: nothing ran before",
            hint=f"`tagflow history {target.environment.name} {target.image.name}` shows what ran.",
        )


def last_release(environment: Environment, ways: Sequence[Way]) -> tuple[list[Change], list[str]]:
    """Undo the release with the highest number among the stack tops, for all its members.

    A release under which no digest changes is passed over, and said so.
    """
    name = environment.name
    states = {way.seen.image: way.state() for way in ways}
    depths = {way.seen.image: 0 for way in ways}
    notes: list[str] = []
    by_hand = _ByHand.among(ways)
    while True:
        tops = [
            (way, by_hand.release_of(way, states[way.seen.image].stack[-1 - depth]))
            for way in ways
            if (depth := depths[way.seen.image]) < len(states[way.seen.image].stack)
        ]
        if not tops:
            raise NotFound(
                "rollback.nothing", f"nothing ran in {name}", hint=f"`tagflow history {name}` shows what ran."
            )
        number = max(release.number for _, release in tops)
        last = [(way, release) for way, release in tops if release.number == number]
        _refuse_ambiguous(name, number, last)
        members = [way for way, _ in last]
        without = [way for way in members if len(states[way.seen.image].stack) < depths[way.seen.image] + 2]
        if without:
            raise _no_predecessor(name, without, [way for way in members if way not in without])
        for way in members:
            depths[way.seen.image] += 1
        if any(_entry(states, depths, way).digest != way.seen.standing.digest for way in members):
            return [way.pop(states[way.seen.image], depths[way.seen.image]) for way in members], notes
        told = ", ".join(sorted({_entry(states, depths, way).version or "?" for way in members}))
        notes.append(f"release {number} is passed over: it changed no bytes ({told} is the same image)")


def _entry(states: Mapping[str, State], depths: Mapping[str, int], way: Way) -> StackEntry:
    return states[way.seen.image].stack[-1 - depths[way.seen.image]]


def _refuse_ambiguous(environment: str, number: int, last: Sequence[tuple[Way, Release]]) -> None:
    found: dict[str, list[str]] = {}
    for way, release in last:
        found.setdefault(release.id, []).append(way.seen.image)
    if len(found) > 1:
        told = "; ".join(f"release {number} ({release}): {few(images)}" for release, images in found.items())
        raise Conflict(
            "rollback.ambiguous",
            f"{len(found)} releases of {environment} came last: {told}",
            hint="Name the images: "
            + " or ".join(f"`tagflow rollback {environment} {' '.join(images)}`" for images in found.values()),
            details=[
                {"code": "rollback.ambiguous", "release": release, "release_number": number, "images": images}
                for release, images in found.items()
            ],
        )


class _ByHand(Struct, frozen=True):
    """By which release what was moved by hand counts as having come: the highest ``number`` that is known, and the
    adoptions of that number."""

    number: int
    begun: tuple[Record, ...]

    @classmethod
    def among(cls, ways: Sequence[Way]) -> _ByHand:
        """Of all images of one request."""
        number = max((way.seen.standing.number for way in ways), default=0)
        heads = (way.seen.standing.head.record for way in ways if way.seen.standing.head)
        latest = (record for record in heads if record.action == "adopt" and record.release.number == number)
        return cls(number, tuple({record.release: record for record in latest}.values()))

    def release_of(self, way: Way, entry: StackEntry) -> Release:
        """The release by which an entry came. What was moved by hand is adopted by the release that died while it
        adopted the other images, where there is one."""
        if entry.release != UNNUMBERED:
            return entry.release
        begun = (record.release for record in self.begun if record.intent.has(way.seen.image))
        return next(begun, Release("", self.number + 1))


def others_alone(environment: str, targets: Sequence[str]) -> str:
    """The hint where some of several images have nothing to go back to."""
    return f"Roll back the others alone: `tagflow rollback {environment} {' '.join(targets)}`."


def _no_predecessor(environment: str, without: Sequence[Way], others: Sequence[Way]) -> NotFound:
    hint = others_alone(environment, [way.seen.image for way in others]) if others else ""
    return NotFound(
        "rollback.nothing",
        "\n".join(f"{way.seen.image} in {environment}: nothing ran before" for way in without),
        hint=hint or f"`tagflow history {environment}` shows what ran.",
    )
