"""rollback: back to what ran before, or to a named version; and out of a release that was not finished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from msgspec import Struct

from tagflow.decide.decision import Decision, highest_number
from tagflow.decide.finish import (
    Change,
    abandoning,
    before_lookups,
    change_lookups,
    change_moves,
    finishing,
    putting_back,
)
from tagflow.decide.interrupted import (
    YOUNG,
    Unfinished,
    announcement_lookups,
    concerning,
    refuse_unfinished,
    unfinished,
)
from tagflow.decide.selection import identify_lookups
from tagflow.decide.targets import Wanted, parse_targets
from tagflow.decide.ways import Way, last_release, others_alone
from tagflow.domain.intent import compact
from tagflow.domain.plan import Plan, Request
from tagflow.domain.policy import Environment, find_environment
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import (
    ImageLookup,
    Lookup,
    Observation,
    Snapshot,
    TagLookup,
    Target,
    left_out,
    refuse_broken,
    target_of,
)
from tagflow.domain.standing import Broken, Late
from tagflow.domain.state import Hold
from tagflow.domain.tagging import TagScheme
from tagflow.domain.times import format_duration
from tagflow.domain.versions import Version
from tagflow.errors import ContentMissing, NotFound, TagflowError, combine, on_one_line


class Reversal(Struct, frozen=True):
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
    for seen, version in _named(snapshot, reversal):
        tag = seen.combined.get(version) if version else None
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


def _named(snapshot: Snapshot, reversal: Reversal) -> Iterator[tuple[Observation, Version | None]]:
    """The versions that images go back to by name: this request's, and those of a rollback that it finishes."""
    for wanted in reversal.wanted:
        yield snapshot.of(wanted.image, reversal.environment), wanted.version
    for release in unfinished(snapshot, reversal.environment):
        for seen in snapshot.all_in(reversal.environment):
            if release.goes_back:
                yield seen, snapshot.scheme.parse_label(release.wanted.get(seen.image))


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
    begun = tuple(resumes.entries.values()) if resumes else ()
    return Decision(plan, number, prospects, notes=tuple(notes), begun=begun)


def _changes(
    snapshot: Snapshot, reversal: Reversal, now: datetime
) -> tuple[list[Change], Unfinished | None, list[str]]:
    environment = reversal.environment
    observations = snapshot.all_in(environment)
    releases = unfinished(snapshot, environment)
    ways = {
        seen.image: Way(snapshot, seen, reversal.actor, reversal.request.reason, now)
        for seen in observations
        if not isinstance(seen.standing.position, Broken)
    }
    if reversal.wanted:
        refuse_broken([snapshot.of(wanted.image, environment) for wanted in reversal.wanted])
        blocking = concerning(releases, [wanted.image.name for wanted in reversal.wanted])
        if blocking:
            raise refuse_unfinished(blocking[0], now)
        changes = _collect(snapshot.scheme, environment, reversal.wanted, ways)
        return changes, None, _notes(changes, observations, now)
    if releases:
        changes, resumes = _out_of(snapshot, releases[0], ways)
        return changes, resumes, _left_out(observations, changes)
    late = [seen for seen in observations if isinstance(seen.standing.position, Late)]
    if late:
        return [putting_back(seen) for seen in late], None, left_out(observations)
    if not ways:
        refuse_broken(observations)
    changes, passed = last_release(environment, list(ways.values()))
    return changes, None, [*left_out(observations), *passed, *_notes(changes, observations, now)]


def _left_out(observations: Sequence[Observation], changes: Sequence[Change]) -> list[str]:
    """:func:`left_out`, without what is among the changes: an abandonment asks for no more than what was announced."""
    among = {change.seen.image for change in changes}
    return left_out(seen for seen in observations if seen.image not in among)


def _out_of(snapshot: Snapshot, release: Unfinished, ways: Mapping[str, Way]) -> tuple[list[Change], Unfinished | None]:
    """Out of an interrupted release: one that went back is finished, any other is abandoned."""
    if not release.goes_back:
        return abandoning(snapshot, release), None
    changes = finishing(snapshot, release)
    # Members whose records were not written yet when a rollback died go the same way.
    rest = [ways[image] for image in release.wanted if image not in release.entries and image in ways]
    if release.entry.record.action == "abort":
        return [*changes, *_also_abandoned(snapshot, release, rest)], release
    return [*changes, *(way.as_intended(release.wanted[way.seen.image]) for way in rest)], release


def _also_abandoned(snapshot: Snapshot, release: Unfinished, rest: Sequence[Way]) -> list[Change]:
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
    held: dict[str, dict[str, None]] = {}  # images, each once: a name may be held for several digests of one
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
                held.setdefault(hold.version, {})[change.seen.image] = None
    for version, images in held.items():
        notes.append(f"this rollback holds {version} of {_told(list(images))}: a later promote of it is refused")
    for hold, others in let_in.items():
        why = f" by {on_one_line(hold.by)}: {on_one_line(hold.reason)}" if hold.by else ""
        notes.append(f"{hold.version} of {_told(others)} was held{why}; this rollback lets it in again")
    recent = [
        seen.standing.head.record
        for seen in observations
        if seen.standing.head and seen.standing.head.record.action == "rollback"
    ]
    latest = max(recent, key=lambda record: record.at, default=None)
    if latest is not None and timedelta() <= now - latest.at < YOUNG:
        seconds = timedelta(seconds=int((now - latest.at).total_seconds()))
        notes.append(f"the last rollback was {format_duration(seconds)} ago, by {on_one_line(latest.actor)}")
    return notes


def _told(images: Sequence[str]) -> str:
    return images[0] if len(images) == 1 else f"{len(images)} images"


def _collect(
    scheme: TagScheme, environment: Environment, wanted: Iterable[Wanted], ways: Mapping[str, Way]
) -> list[Change]:
    """The ways of all that is named. Where only some have one, nothing moves, and the hint names these."""
    found: list[Change] = []
    others: list[str] = []
    errors: list[TagflowError] = []
    for it in wanted:
        try:
            found.append(ways[it.image.name].to(it.version))
        except TagflowError as error:
            errors.append(error)
        else:
            version = "" if it.version is None else f"={scheme.version_tag(it.version)}"
            others += [f"{it.image.name}{version}"] if found[-1].step is not None else []
    if not errors:
        return found
    if others and all(isinstance(error, NotFound) for error in errors):
        for each in errors:
            each.hint = f"{others_alone(environment.name, others)}\n{each.hint}"
    raise combine(errors)
