"""rollback: back to what ran before, or to a named version; and out of a release that was not finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from tagflow.decide.decision import UNNUMBERED, Decision, Prospect, adopting, highest_number
from tagflow.decide.finish import (
    Change,
    abandoning,
    before_lookups,
    change_lookups,
    change_moves,
    finishing,
    names,
    putting_back,
    versions,
)
from tagflow.decide.interrupted import (
    YOUNG,
    Unfinished,
    announcement_lookups,
    concerning,
    refuse_unfinished,
    unfinished,
)
from tagflow.decide.selection import identify, identify_lookups
from tagflow.decide.targets import Wanted, parse_targets
from tagflow.domain.history import Hold, Release, StackEntry, State
from tagflow.domain.intent import compact
from tagflow.domain.plan import Plan, Request, Step
from tagflow.domain.policy import Environment
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import (
    ImageLookup,
    Lookup,
    Observation,
    Snapshot,
    TagLookup,
    Target,
    find_environment,
    left_out,
    refuse_broken,
    target_of,
)
from tagflow.domain.standing import Broken, Late, Recorded, Unrecorded
from tagflow.domain.tagging import TagScheme
from tagflow.domain.times import format_duration
from tagflow.domain.versions import Version
from tagflow.errors import Conflict, ContentMissing, NotFound, TagflowError, combine


@dataclass(frozen=True)
class Reversal:
    """A request to roll back, read against the policy. ``actor`` is who holds from now on what is popped."""

    request: Request
    environment: Environment
    wanted: tuple[Wanted, ...]
    actor: str = ""

    def targets(self, scheme: TagScheme) -> list[Target]:
        """What is to be observed: every image in the environment."""
        return [target_of(scheme.policy, image, self.environment) for image in scheme.policy.images]


def read_rollback(scheme: TagScheme, request: Request, actor: str = "") -> Reversal:
    """Read a request to roll back.

    :raises UsageError: ``target.missing``, ``target.invalid``.
    :raises NotFound: ``image.not_found``, ``environment.not_found``.
    """
    wanted = parse_targets(scheme, request.targets) if request.targets else []
    return Reversal(request, find_environment(scheme.policy, request.environment), tuple(wanted), actor)


def rollback_lookups(snapshot: Snapshot, reversal: Reversal, now: datetime) -> Iterator[Lookup]:
    """What :func:`decide_rollback` asks about."""
    if not snapshot.observations:
        return
    environment = reversal.environment
    yield from announcement_lookups(snapshot, environment)
    for release in unfinished(snapshot, environment):
        yield from before_lookups(snapshot, release)
    for seen in snapshot.all_in(environment):
        yield from identify_lookups(seen)
    for wanted in reversal.wanted:
        seen = snapshot.of(wanted.image, environment)
        tag = seen.combined.get(wanted.version) if wanted.version else None
        if tag is not None:
            yield TagLookup(seen.target.repository, tag)
    try:
        changes, _, _ = _changes(snapshot, reversal, now)
    except (TagflowError, KeyError):
        return  # what is refused asks for nothing more; what was not looked up is asked for in this round
    for change in changes:
        yield from change_lookups(snapshot, change)
        if _goes_elsewhere(change):
            assert change.digest is not None
            yield ImageLookup(change.seen.target.repository, change.digest, "parts")


def decide_rollback(snapshot: Snapshot, reversal: Reversal, policy_digest: str, now: datetime) -> Decision:
    """What ``rollback ENV [TARGET…]`` would do.

    :raises NotFound: ``rollback.nothing``, ``version.not_found``, ``content.missing``.
    :raises Conflict: ``rollback.ambiguous``, ``release.interrupted``, ``history.broken``.
    """
    changes, resumes, notes = _changes(snapshot, reversal, now)
    problems = [error for change in changes for error in _incomplete(snapshot, change)]
    if problems:
        raise combine(problems)
    return decision_of(snapshot, reversal.request, reversal.environment, policy_digest, changes, resumes, notes)


def decision_of(
    snapshot: Snapshot,
    request: Request,
    environment: Environment,
    policy_digest: str,
    changes: Sequence[Change],
    resumes: Unfinished | None,
    notes: Sequence[str] = (),
) -> Decision:
    """The decision that carries out some changes; ``resumes`` is the unfinished release whose records they finish."""
    steps = {change.step: change.prospect for change in changes if change.step is not None}
    moves = [move for change in changes for move in change_moves(snapshot, change)]
    wanted = {step.image: step.version or step.digest or "" for step in steps}
    if resumes is not None:
        wanted = {**resumes.wanted, **wanted}
    intent = compact(wanted, [image.name for image in snapshot.policy.images])
    release = resumes.entry.record.release if resumes else None
    plan = Plan(request, policy_digest, tuple(steps), tuple(moves), release, intent)
    number = highest_number(snapshot.all_in(environment))
    prospects = {step.image: prospect for step, prospect in steps.items()}
    return Decision(plan, number, prospects, notes=tuple(notes))


def _changes(
    snapshot: Snapshot, reversal: Reversal, now: datetime
) -> tuple[list[Change], Unfinished | None, list[str]]:
    environment = reversal.environment
    observations = snapshot.all_in(environment)
    releases = unfinished(snapshot, environment)
    ways = {
        seen.image: _Way(snapshot, seen, reversal.actor, reversal.request.reason, now)
        for seen in observations
        if not isinstance(seen.standing.position, Broken)
    }
    if reversal.wanted:
        refuse_broken([snapshot.of(wanted.image, environment) for wanted in reversal.wanted])
        blocking = concerning(releases, [wanted.image.name for wanted in reversal.wanted])
        if blocking:
            raise refuse_unfinished(blocking[0], now)
        changes = _collect(partial(ways[wanted.image.name].to, wanted.version) for wanted in reversal.wanted)
        return changes, None, _notes(changes, observations, now)
    broken = left_out(observations)
    if releases:
        changes, resumes = _out_of(snapshot, releases[0], ways)
        return changes, resumes, broken
    late = [seen for seen in observations if isinstance(seen.standing.position, Late)]
    if late:
        return [putting_back(seen) for seen in late], None, broken
    if not ways:
        refuse_broken(observations)
    changes, passed = _last_release(environment, list(ways.values()))
    return changes, None, [*broken, *passed, *_notes(changes, observations, now)]


@dataclass(frozen=True)
class _Way:
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
        depth = state.depth_of(lambda entry: scheme.parse_label(entry.version) == version)
        if depth == 0 and self.adopts and not self.seen.vouches(version, state.stack[-1].digest):
            # What somebody moved there is no target where nobody who may has signed for it, whatever it is called.
            below = replace(state, stack=state.stack[:-1])
            deeper = below.depth_of(lambda entry: scheme.parse_label(entry.version) == version)
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
        return self.to(self.seen.scheme.parse_version(wanted))

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
            raise NotFound(
                "version.not_found",
                f"{target.name}: {scheme.version_tag(version)} never ran there",
                hint=f"`tagflow history {target.environment.name} {target.image.name}` shows what did.",
            )
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

    def _nothing(self) -> NotFound:
        target = self.seen.target
        return NotFound(
            "rollback.nothing",
            f"{target.name}: nothing ran before",
            hint=f"`tagflow history {target.environment.name} {target.image.name}` shows what ran.",
        )


def _last_release(environment: Environment, ways: Sequence[_Way]) -> tuple[list[Change], list[str]]:
    """Undo the release with the highest number among the stack tops, for all its members.

    A release under which no digest changes is passed over, and said so.
    """
    name = environment.name
    states = {way.seen.image: way.state() for way in ways}
    depths = {way.seen.image: 0 for way in ways}
    notes: list[str] = []
    while True:
        tops = [
            (way, _release_of(way, states[way.seen.image].stack[-1 - depth], ways))
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


def _entry(states: Mapping[str, State], depths: Mapping[str, int], way: _Way) -> StackEntry:
    return states[way.seen.image].stack[-1 - depths[way.seen.image]]


def _refuse_ambiguous(environment: str, number: int, last: Sequence[tuple[_Way, Release]]) -> None:
    found: dict[str, list[str]] = {}
    for way, release in last:
        found.setdefault(release.id, []).append(way.seen.image)
    if len(found) > 1:
        told = "; ".join(f"release {number} ({release}): {', '.join(images)}" for release, images in found.items())
        raise Conflict(
            "rollback.ambiguous",
            f"{len(found)} releases of {environment} came last: {told}",
            hint="Name the images: "
            + " or ".join(f"`tagflow rollback {environment} {' '.join(images)}`" for images in found.values()),
        )


def _release_of(way: _Way, entry: StackEntry, ways: Sequence[_Way]) -> Release:
    """The release by which an entry came. What was moved by hand is adopted by the release that died while it adopted
    the other images, where there is one."""
    if entry.release != UNNUMBERED:
        return entry.release
    heads = [other.seen.standing.head.record for other in ways if other.seen.standing.head]
    begun = [record for record in heads if record.action == "adopt" and record.intent.has(way.seen.image)]
    number = max((other.seen.standing.number for other in ways), default=0)
    latest = next((record.release for record in begun if record.release.number == number), None)
    return latest or Release("", number + 1)


def _no_predecessor(environment: str, without: Sequence[_Way], others: Sequence[_Way]) -> NotFound:
    told = ", ".join(way.seen.image for way in without)
    rest = " ".join(way.seen.image for way in others)
    hint = f"Roll back the others alone: `tagflow rollback {environment} {rest}`." if others else ""
    return NotFound(
        "rollback.nothing",
        f"{told} in {environment}: nothing ran before",
        hint=hint or f"`tagflow history {environment}` shows what ran.",
    )


def _out_of(
    snapshot: Snapshot, release: Unfinished, ways: Mapping[str, _Way]
) -> tuple[list[Change], Unfinished | None]:
    """Out of an interrupted release: one that went back is finished, any other is abandoned."""
    if not release.goes_back:
        return abandoning(snapshot, release), None
    changes = finishing(snapshot, release)
    # Members whose records were not written yet when a rollback died go the same way.
    rest = [ways[image] for image in release.wanted if image not in release.entries and image in ways]
    if release.entry.record.action == "abort":
        return [*changes, *_also_abandoned(snapshot, release, rest)], release
    return [*changes, *(way.as_intended(release.wanted[way.seen.image]) for way in rest)], release


def _also_abandoned(snapshot: Snapshot, release: Unfinished, rest: Sequence[_Way]) -> list[Change]:
    """The other members of the release that was being abandoned: those that its abort was not written for."""
    given_up: set[str] = set()
    for seen in snapshot.all_in(release.environment):
        entry = release.entries.get(seen.image)
        if entry is not None:
            parents = snapshot.read(seen.target, [parent.tag for parent in entry.record.parents])
            given_up |= {parent.record.release.id for parent in parents}
    images = {way.seen.image for way in rest}
    others = [it for it in unfinished(snapshot, release.environment) if it.entry.record.release.id in given_up]
    return [
        change
        for other in others
        if not other.goes_back
        for change in abandoning(snapshot, other)
        if change.seen.image in images
    ]


def _goes_elsewhere(change: Change) -> bool:
    return change.digest is not None and change.digest != change.seen.standing.digest


def _incomplete(snapshot: Snapshot, change: Change) -> list[TagflowError]:
    """Why an image cannot go back: what it goes back to is not there any more, down to the last blob."""
    digest: Digest | None = change.digest
    if digest is None or not _goes_elsewhere(change):
        return []
    key = (change.seen.target.repository, digest)
    if key in snapshot.unreadable:
        return [snapshot.unreadable[key]]
    gone = snapshot.gone[key]
    if not gone:
        return []
    target = change.seen.target
    told = (change.step and change.step.version) or "what ran before"
    message = f"{target.name}: {told} ({digest}) is not whole any more:\n  " + "\n  ".join(gone)
    return [
        ContentMissing(
            message,
            hint=f"Go further back: `tagflow rollback {target.environment.name} {target.image.name}=VERSION`, "
            "or push the image again.",
            details=[{"code": "content.missing", "image": target.image.name, "message": message, "parts": list(gone)}],
        )
    ]


def _notes(changes: Sequence[Change], observations: Sequence[Observation], now: datetime) -> list[str]:
    """What the user should know beside the plan: what is held from now on, what is not any more, and that a rollback
    was just made."""
    notes: list[str] = []
    held: dict[str, list[str]] = {}
    let_in: dict[Hold, list[str]] = {}
    for change in changes:
        if change.step is None:
            continue
        hold = change.seen.standing.state.held(change.step.version, change.step.digest)
        if hold is not None:
            let_in.setdefault(replace(hold, digest=None, at=None), []).append(change.seen.image)
        before = {hold.version for hold in change.seen.standing.state.holds}
        for hold in sorted(change.prospect.state.holds, key=lambda it: it.version):
            if hold.version not in before:
                held.setdefault(hold.version, []).append(change.seen.image)
    for version, images in held.items():
        notes.append(f"{version} of {_told(images)} is held from now on: a later promote of it is refused")
    for hold, images in let_in.items():
        why = f" by {hold.by}: {hold.reason}" if hold.by else ""
        notes.append(f"{hold.version} of {_told(images)} was held{why}; this rollback lets it in again")
    recent = [
        seen.standing.head.record
        for seen in observations
        if seen.standing.head and seen.standing.head.record.action == "rollback"
    ]
    latest = max(recent, key=lambda record: record.at, default=None)
    if latest is not None and timedelta() <= now - latest.at < YOUNG:
        seconds = timedelta(seconds=int((now - latest.at).total_seconds()))
        notes.append(f"the last rollback was {format_duration(seconds)} ago, by {latest.actor}")
    return notes


def _told(images: Sequence[str]) -> str:
    return images[0] if len(images) == 1 else f"{len(images)} images"


def _collect(ways: Iterable[Callable[[], Change]]) -> list[Change]:
    found: list[Change] = []
    errors: list[TagflowError] = []
    for way in ways:
        try:
            found.append(way())
        except TagflowError as error:
            errors.append(error)
    if errors:
        raise combine(errors)
    return found
