"""hold and freeze: notes in each image's history that take a version, or a whole environment, out of promotion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from tagflow.decide.decision import Decision, Prospect, highest_number
from tagflow.decide.finish import names
from tagflow.decide.interrupted import Unfinished, announcement_lookups, unfinished
from tagflow.decide.targets import Wanted, parse_targets
from tagflow.domain.history import Action
from tagflow.domain.intent import compact
from tagflow.domain.lines import lines_of, winner
from tagflow.domain.plan import Plan, Request, Step
from tagflow.domain.policy import Environment, find_environment
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import (
    Lookup,
    Observation,
    Snapshot,
    TagLookup,
    Target,
    left_out,
    refuse_broken,
    target_of,
)
from tagflow.domain.standing import Broken
from tagflow.domain.state import Freeze, Hold, State
from tagflow.domain.tagging import TagScheme
from tagflow.domain.times import kept_moment
from tagflow.domain.versions import Version
from tagflow.errors import NotFound, UsageError


class Note(Struct, frozen=True):
    """What is to be written down: a hold or its lifting, a freeze or its end. ``wanted`` is empty for a freeze."""

    request: Request
    environment: Environment
    actor: str
    lift: bool = False
    until: datetime | None = None
    wanted: tuple[Wanted, ...] = ()

    def targets(self, scheme: TagScheme) -> list[Target]:
        """What is to be observed: every image in the environment."""
        return [target_of(scheme.policy, image, self.environment) for image in scheme.policy.images]

    def repositories(self, scheme: TagScheme) -> list[Repository]:
        """Where a version that is to be held may be known."""
        policy = scheme.policy
        return [policy.repository(it.image, environment) for it in self.wanted for environment in policy.environments]


def read_hold(scheme: TagScheme, request: Request, actor: str, *, lift: bool) -> Note:
    """Read a request to hold versions, or to let them in again.

    :raises UsageError: ``reason.missing``, ``target.missing``, ``target.invalid`` where an image has no version.
    """
    environment = find_environment(scheme.policy, request.environment)
    if not request.targets:
        raise UsageError(
            "target.missing",
            "no VERSION: nothing says what to hold",
            hint=f"Name a VERSION, or NAME=VERSION for one image: `tagflow hold {request.environment} VERSION`.",
        )
    wanted = parse_targets(scheme, request.targets)
    without = [it.image.name for it in wanted if it.version is None]
    if without:
        raise UsageError(
            "target.invalid",
            f"{', '.join(without)}: which version?",
            hint=f"A hold is of a version: {without[0]}=VERSION, or VERSION for every image.",
        )
    _need_reason(request)
    return Note(request, environment, actor, lift, wanted=tuple(wanted))


def read_freeze(
    scheme: TagScheme, request: Request, actor: str, now: datetime, *, lift: bool, until: datetime | None
) -> Note:
    """Read a request to freeze an environment, or to end that.

    :raises UsageError: ``reason.missing``; ``time.invalid`` for an end that is not to come, or that no record may name.
    """
    environment = find_environment(scheme.policy, request.environment)
    _need_reason(request)
    return Note(request, environment, actor, lift, None if until is None else _to_come(until, now))


def _to_come(until: datetime, now: datetime) -> datetime:
    """The end of a freeze: one that has passed would freeze nothing, and say that it did."""
    end = kept_moment(until)
    if end <= now:
        raise UsageError(
            "time.invalid",
            f"a freeze cannot end at {end:%Y-%m-%d %H:%M:%S}Z: that is not to come",
            hint="Write a later time (a date is its first moment, in UTC), or how long: 90m, 3d.",
        )
    return end


def note_lookups(snapshot: Snapshot, note: Note) -> Iterator[Lookup]:
    """What :func:`decide_note` asks about."""
    scheme = snapshot.scheme
    for wanted in note.wanted:
        assert wanted.version is not None
        for environment in snapshot.policy.environments:
            target = target_of(snapshot.policy, wanted.image, environment)
            for spelling in scheme.spellings(wanted.version, snapshot.tags.get(target.repository, frozenset())):
                for tag in (scheme.combined_tag(spelling, note.environment.name), scheme.version_tag(spelling)):
                    yield TagLookup(target.repository, tag)
        if snapshot.observations:
            seen = snapshot.of(wanted.image, note.environment)
            for tag, best in _winners(seen, wanted.version, lift=note.lift).items():
                yield TagLookup(seen.target.repository, tag)
                yield TagLookup(seen.target.repository, seen.combined[best])
    if snapshot.observations:
        yield from announcement_lookups(snapshot, note.environment)


def decide_note(snapshot: Snapshot, note: Note, policy_digest: str, now: datetime) -> Decision:
    """What hold or freeze would write. They are never refused for a release that is not finished.

    :raises NotFound: ``version.not_found`` where a version exists nowhere.
    :raises HistoryBroken: where the history of an image that is named cannot be read.
    """
    pairs = _holds(snapshot, note, now) if note.wanted else _freezes(snapshot, note, now)
    steps = tuple(step for step, _ in pairs)
    wanted = {step.image: step.version or "" for step in steps}
    intent = compact(wanted, [image.name for image in snapshot.policy.images])
    plan = Plan(note.request, policy_digest, steps, intent=intent)
    number = highest_number(snapshot.all_in(note.environment))
    notes = _still_held(snapshot, note) if note.wanted else left_out(snapshot.all_in(note.environment))
    if note.wanted:
        notes += [] if note.lift else _runs_still(snapshot, note, pairs)
        notes += _belongs_elsewhere(snapshot, note, pairs)
    return Decision(plan, number, {step.image: prospect for step, prospect in pairs}, notes=tuple(notes))


def under_way(snapshot: Snapshot, note: Note, steps: Sequence[Step]) -> list[Unfinished]:
    """The unfinished releases that a note concerns: of the version or the bytes that are held; any promotion, for a
    freeze."""
    if note.lift:
        return []
    held = {step.image: step for step in steps}
    found = []
    for release in (*unfinished(snapshot, note.environment), *_beside(snapshot, note.environment)):
        if release.goes_back or release.entry.record.action == "adopt":
            continue
        if not note.wanted:
            found.append(release)
            continue
        for image in release.open:
            record, step = release.entries[image].record, held.get(image)
            if step and (record.version == step.version or (step.subject and record.digest == step.subject)):
                found.append(release)
                break
    return found


def _beside(snapshot: Snapshot, environment: Environment) -> Iterator[Unfinished]:
    """The releases under way of which none is the effective head: several were announced at the same time."""
    for seen in snapshot.all_in(environment):
        for head in seen.standing.heads:
            if head is not seen.standing.head and seen.standing.is_pending(head):
                wanted = {seen.image: head.record.version or head.record.digest or ""}
                yield Unfinished(environment, {seen.image: head}, frozenset({seen.image}), wanted)


def _holds(snapshot: Snapshot, note: Note, now: datetime) -> list[tuple[Step, Prospect]]:
    scheme = snapshot.scheme
    named = {target.partition("=")[0] for target in note.request.targets if "=" in target}
    known = {it.image.name: _spelling(snapshot, note, it) for it in note.wanted}
    absent = [it for it in note.wanted if known[it.image.name] is None]
    refused = [it for it in absent if it.image.name in named]
    if refused or len(absent) == len(note.wanted):
        told = "\n".join(
            f"{it.image.name} has no {it.version and scheme.version_tag(it.version)}" for it in refused or absent
        )
        raise NotFound("version.not_found", told, hint="`tagflow status` shows what there is.")
    pairs = []
    for wanted in note.wanted:
        version = known[wanted.image.name]
        if version is None:
            continue
        seen = snapshot.of(wanted.image, note.environment)
        refuse_broken([seen])
        label, state = scheme.version_tag(version), seen.standing.state
        holds = [hold for hold in state.holds if scheme.recall(hold.version) == version]
        # Somebody else's hold, or one for another reason, is told beside the first: plans that knew of that are stale.
        known_reasons = {(hold.by, hold.reason) for hold in holds}
        if not holds if note.lift else (note.actor, note.request.reason) in known_reasons:
            continue
        digest = _digest(snapshot, note, wanted, version)
        if note.lift:
            pairs.append(_pair(seen, "unhold", label, state.lifted([hold.version for hold in holds]), digest))
        else:
            hold = Hold(label, digest, note.actor, now, note.request.reason)
            pairs.append(_pair(seen, "hold", label, state.holding(hold), digest))
    return pairs


def _still_held(snapshot: Snapshot, note: Note) -> list[str]:
    """What a lift does not let in: the same bytes are held as another version."""
    if not note.lift:
        return []
    scheme, name = snapshot.scheme, note.environment.name
    images: dict[tuple[str, str], list[str]] = {}
    for wanted in note.wanted:
        version = _spelling(snapshot, note, wanted)
        if version is None:
            continue
        digest = _digest(snapshot, note, wanted, version)
        state = snapshot.of(wanted.image, note.environment).standing.state
        others = {it.version for it in state.holds if scheme.recall(it.version) != version and it.digest == digest}
        for other in sorted(others) if digest else ():
            images.setdefault((scheme.version_tag(version), other), []).append(wanted.image.name)
    return [
        f"{version} of {', '.join(named)} is held still, as the same bytes as {other}:"
        f" `tagflow hold {name} {' '.join(f'{image}={other}' for image in named)} --lift --reason WHY`"
        for (version, other), named in images.items()
    ]


def _runs_still(snapshot: Snapshot, note: Note, pairs: Sequence[tuple[Step, Prospect]]) -> Iterator[str]:
    """What is held and runs: a hold moves no tag."""
    name = note.environment.name
    under_way = {image for release in unfinished(snapshot, note.environment) for image in release.wanted}
    running: dict[tuple[str, bool], list[str]] = {}
    came_by = {prospect.seen.standing.came_by for _, prospect in pairs}
    for step, prospect in pairs:
        standing = prospect.seen.standing
        if standing.digest and (standing.digest == step.subject or standing.version == step.version):
            leads_back = standing.leads_back and step.image not in under_way
            running.setdefault((str(step.version), leads_back), []).append(step.image)
    for (label, leads_back), images in running.items():
        at_once = len(images) == len(snapshot.policy.images) and len(came_by) == 1
        back = "" if at_once else f" {' '.join(images)}"
        way = f"`tagflow rollback {name}{back}` goes back" if leads_back else f"`tagflow verify {name}` has the way on"
        yield f"{label}{_of(snapshot, images)} still runs in {name}: {way}"


def _belongs_elsewhere(snapshot: Snapshot, note: Note, pairs: Sequence[tuple[Step, Prospect]]) -> Iterator[str]:
    """The floating tags that belong elsewhere now: neither a hold nor its end moves them."""
    behind: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for step, prospect in pairs:
        seen, version = prospect.seen, snapshot.scheme.parse_label(step.version)
        if version is None or (note.lift and any(hold.digest == step.subject for hold in prospect.state.holds)):
            continue
        tags: dict[str, list[str]] = {}
        for tag, best in _winners(seen, version, lift=note.lift).items():
            stands, belongs = (snapshot.digest(seen.target.repository, it) for it in (tag, seen.combined[best]))
            if stands and stands != belongs and (note.lift or stands == step.subject):
                tags.setdefault(snapshot.scheme.version_tag(best), []).append(tag)
        for label, several in tags.items():
            behind.setdefault((label, tuple(several)), []).append(step.image)
    for (label, moved), images in behind.items():
        belong, them = ("belongs", "it") if len(moved) == 1 else ("belong", "them")
        told = f"{', '.join(moved)}{_of(snapshot, images)} {belong} to {label} now"
        yield f"{told}: `tagflow verify {note.environment.name} --repair` moves {them}"


def _of(snapshot: Snapshot, images: Sequence[str]) -> str:
    """`` of frontend, backend``; nothing where it is all images."""
    return "" if len(images) == len(snapshot.policy.images) else f" of {', '.join(images)}"


def _winners(seen: Observation, version: Version, *, lift: bool) -> dict[str, Version]:
    """Where the floating tags belong that a version may have, once it is held or let in again; those left out of which
    that cannot be said."""
    scheme = seen.scheme
    admitted = seen.admitted - {version}
    if lift and seen.was_admitted(version):
        admitted |= {version}
    found = {}
    for tag, line in lines_of(scheme, seen.target.environment, [version]).items():
        with suppress(UsageError):  # two whose order a reader sees otherwise
            best = winner(scheme, tag, line, admitted, seen.tags)
            if best is not None:
                found[tag] = best
    return found


def _freezes(snapshot: Snapshot, note: Note, now: datetime) -> list[tuple[Step, Prospect]]:
    freeze = None if note.lift else Freeze(note.actor, now, note.request.reason, note.until)
    pairs = []
    observations = snapshot.all_in(note.environment)
    readable = [seen for seen in observations if not isinstance(seen.standing.position, Broken)]
    if not readable:
        refuse_broken(observations)  # "done" would be said of a freeze that is nowhere
    for seen in readable:
        state = seen.standing.state
        if note.lift and state.freeze is None:
            continue
        pairs.append(_pair(seen, "thaw" if note.lift else "freeze", None, replace(state, freeze=freeze), None))
    return pairs


def _pair(
    seen: Observation, action: Action, version: str | None, state: State, subject: Digest | None
) -> tuple[Step, Prospect]:
    return note_step(seen, action, version, subject), Prospect(seen, state)


def note_step(seen: Observation, action: Action, version: str | None = None, subject: Digest | None = None) -> Step:
    """A record that moves nothing: what runs, or is under way, stays as the head tells."""
    head = seen.standing.head
    return Step(
        image=seen.image,
        repository=str(seen.target.repository),
        action=action,
        version=version,
        digest=head.record.digest if head else None,
        previous_version=head.record.previous_version if head else None,
        previous_digest=head.record.previous_digest if head else None,
        heads=names(seen.standing.heads),
        subject=subject,
    )


def _spelling(snapshot: Snapshot, note: Note, wanted: Wanted) -> Version | None:
    """How a version is written where it is known; None where it is known nowhere."""
    assert wanted.version is not None
    scheme, policy = snapshot.scheme, snapshot.policy
    tags = {
        tag
        for environment in policy.environments
        for tag in snapshot.tags.get(policy.repository(wanted.image, environment), ())
    }
    spellings = scheme.spellings(wanted.version, tags)
    if spellings:
        return spellings[0]
    state = snapshot.of(wanted.image, note.environment).standing.state
    labels = [entry.version for entry in state.stack] + [hold.version for hold in state.holds]
    return next((version for label in labels if (version := scheme.recall(label)) == wanted.version), None)


def _digest(snapshot: Snapshot, note: Note, wanted: Wanted, version: Version) -> Digest | None:
    """The bytes of a version: as it has them here, else where it is known."""
    scheme, policy = snapshot.scheme, snapshot.policy
    here = policy.repository(wanted.image, note.environment)
    repositories = [here, *(policy.repository(wanted.image, environment) for environment in policy.environments)]
    for repository in dict.fromkeys(repositories):
        tags = snapshot.tags.get(repository, frozenset())
        if version not in scheme.spellings(version, tags):
            continue
        for tag in (scheme.combined_tag(version, note.environment.name), scheme.version_tag(version)):
            if tag in tags and (digest := snapshot.digest(repository, tag)):
                return digest
    # Its tags are gone, or none of this policy's any more.
    known = snapshot.of(wanted.image, note.environment).standing.state.stack
    return next((entry.digest for entry in reversed(known) if scheme.recall(entry.version) == version), None)


def _need_reason(request: Request) -> None:
    if not request.reason.strip():
        raise UsageError("reason.missing", f"{request.command} needs a reason", hint="Give a reason; it is recorded.")
