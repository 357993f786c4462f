"""verify --repair: what can be mended without judgement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from tagflow.context import Context
from tagflow.decide.decision import Prospect
from tagflow.decide.finding import Finding
from tagflow.decide.finish import Change, before_lookups, change_lookups, finishing, names, putting_back
from tagflow.decide.interrupted import announcement_lookups, unfinished, way_on
from tagflow.decide.rollback import decision_of
from tagflow.domain.intent import Intent
from tagflow.domain.plan import Plan, Request, Step
from tagflow.domain.policy import Environment
from tagflow.domain.reference import Digest
from tagflow.domain.snapshot import ImageLookup, Lookup, Observation, RecordLookup, Snapshot, target_of
from tagflow.domain.standing import Broken, Empty, Interrupted, Late, Recorded
from tagflow.domain.state import Release, State
from tagflow.errors import ContentMissing, HistoryBroken, PartlyApplied, TagflowError
from tagflow.errors import Interrupted as Stopped
from tagflow.execute.compose import RecordWriter
from tagflow.execute.run import execute
from tagflow.execute.sign import need_key
from tagflow.execute.underway import Execution
from tagflow.observe.observer import Observer
from tagflow.verbs.verify import verify

_DOUBTFUL = ("record.unsigned", "record.forged", "record.unknown_signer")
_MENDED = ("anchor.missing", "floating.wrong")
_ROUNDS = 8


@dataclass(frozen=True)
class Repaired:
    """What was mended, in words, and what is left to a person."""

    done: tuple[str, ...]
    left: tuple[Finding, ...]


def repair(
    context: Context,
    names: Sequence[str],
    *,
    dry_run: bool = False,
    expect: Path | None = None,
    deep: bool = False,
) -> Repaired:
    """Set aside what only looks like a record, finish interrupted releases, put back what came late, join forks,
    recreate anchors and put floating tags right, until nothing more can be done without judgement: two releases may be
    under way at once, and what one leaves is seen when it is finished.

    ``dry_run``: say what would be done in the first round, and change nothing. ``expect`` and
    ``deep`` as for :func:`tagflow.verbs.verify.check`.
    """
    done: list[str] = []
    if not dry_run:
        for name in names or [environment.name for environment in context.policy.environments]:
            need_key(context, context.environment(name))
    findings = verify(context, names, expect, deep=deep)
    if dry_run:
        would = [_foretold(finding) for finding in findings if _is_mendable(finding)]
        return Repaired(tuple(dict.fromkeys(would)), tuple(findings))
    try:
        for _ in range(_ROUNDS):
            before = len(done)
            for line in _mend(context, findings):
                done.append(line)
            if len(done) == before:
                break
            findings = verify(context, names, expect, deep=deep)
    except (TagflowError, KeyboardInterrupt) as error:
        if done or isinstance(error, Stopped):
            raise _cut_short(error, list(dict.fromkeys(done))) from error
        raise
    # Environments of one registry share their version tags.
    return Repaired(tuple(dict.fromkeys(done)), tuple(_left_to_a_person(context, finding) for finding in findings))


def _is_mendable(finding: Finding) -> bool:
    return finding.repair.startswith("tagflow verify ")


def _foretold(finding: Finding) -> str:
    where = f"{finding.environment}: {finding.image}"
    match finding.problem:
        case "interrupted":
            return f"{where}: would finish the release"
        case "history.fork":
            return f"{where}: would join the forked history"
        case "history.broken" | "record.unsigned" | "record.forged" | "record.unknown_signer":
            return f"{where}: would set aside what is no record"
        case "drift":
            return f"{where}: would put {finding.tag} back at {finding.expected}"
    return f"{where}: would put {finding.tag} at {finding.expected}"


def _left_to_a_person(context: Context, finding: Finding) -> Finding:
    """A finding with the command that helps where this one did not."""
    if finding.problem != "interrupted":
        return finding
    environment = context.environment(finding.environment)
    snapshot, _ = _observe(context, environment)
    releases = [release for release in unfinished(snapshot, environment) if finding.image in release.wanted]
    return replace(finding, repair=way_on(releases[0])) if releases else finding


def _cut_short(error: TagflowError | KeyboardInterrupt, done: Sequence[str]) -> TagflowError:
    """The end of a repair that came to none: why, and what had been mended before."""
    known = error if isinstance(error, TagflowError) else Stopped("run.interrupted", "interrupted")
    told = "\n".join([known.message, *(f"mended before that: {line}" for line in done)])
    hint = known.hint or "Run the same command again."
    details = [*known.details, *({"mended": line} for line in done)]
    if isinstance(known, Stopped):
        return Stopped(known.code, told, hint=hint, details=details)
    partly = PartlyApplied("release.partly_applied", told, hint=hint, details=details)
    partly.result = known.result
    return partly


def _mend(context: Context, findings: Sequence[Finding]) -> Iterator[str]:
    """What is no record is set aside first, what is interrupted comes next, then forks: names are put right when it is
    clear where they belong. Each line is told as soon as it is done."""
    for problems, mend in (
        (("history.broken", *_DOUBTFUL), _set_aside),
        (("interrupted",), _finish),
        (("drift",), _put_late_back),
        (("history.fork",), _join),
    ):
        environments = dict.fromkeys(finding.environment for finding in findings if finding.problem in problems)
        mended = False
        for environment in environments:
            for line in mend(context, context.environment(environment)):
                mended = True
                yield line
        if mended:
            return
    for finding in findings:
        if finding.problem in _MENDED:
            yield from _put_right(context, finding)


def _observe(context: Context, environment: Environment) -> tuple[Snapshot, Observer]:
    observer = Observer(context)
    targets = [target_of(context.policy, image, environment) for image in context.policy.images]

    def wanted(snapshot: Snapshot) -> list[Lookup]:
        if not snapshot.observations:
            return []
        if environment.signed_by:
            return [*all_records(snapshot), *_wanted(snapshot, environment)]
        return _wanted(snapshot, environment)

    return observer.observe(targets, wanted), observer


def all_records(snapshot: Snapshot) -> list[Lookup]:
    """Every record of some histories: what does not count is found only where it was read."""
    return [RecordLookup(seen.target.history, tag) for seen in snapshot.observations.values() for tag in seen.records]


def _wanted(snapshot: Snapshot, environment: Environment) -> list[Lookup]:
    found = list(announcement_lookups(snapshot, environment))
    for release in unfinished(snapshot, environment):
        found += before_lookups(snapshot, release)
        for change in finishing(snapshot, release):
            found += change_lookups(snapshot, change)
            if change.digest is not None and change.digest != change.seen.standing.digest:
                found.append(ImageLookup(change.seen.target.repository, change.digest, "parts"))
    for seen in snapshot.all_in(environment):
        if isinstance(seen.standing.position, Late):
            found += change_lookups(snapshot, putting_back(seen))
    return found


def _finish(context: Context, environment: Environment) -> Iterator[str]:
    """Finish the releases whose records were all written: without the command that began it, no other can be."""
    snapshot, observer = _observe(context, environment)
    for release in unfinished(snapshot, environment):
        if not release.is_whole or release.is_held:
            continue
        changes = finishing(snapshot, release)
        request = Request("rollback" if release.goes_back else "promote", environment.name)
        try:
            _refuse_incomplete(snapshot, changes)
            decision = decision_of(snapshot, request, environment, context.policy_digest, changes, release)
            begun = release.entry.record  # what it carries out, and who approved that, goes on
            finishes = Execution(decision, observer, plan_id=begun.plan, approvals=begun.approvals)
            result = execute(context, finishes)
        except Stopped:
            raise
        except TagflowError as error:
            context.warn(f"{environment.name}: {error.message}")
            continue
        yield f"{environment.name}: finished release {result.release} of {', '.join(release.wanted)}"


def _put_late_back(context: Context, environment: Environment) -> list[str]:
    snapshot, observer = _observe(context, environment)
    late = [seen for seen in snapshot.all_in(environment) if isinstance(seen.standing.position, Late)]
    if not late:
        return []
    request = Request("rollback", environment.name, reason="puts back what came late")
    changes = [putting_back(seen) for seen in late]
    try:
        decision = decision_of(snapshot, request, environment, context.policy_digest, changes, None)
        execute(context, Execution(decision, observer))
    except Stopped:
        raise
    except TagflowError as error:
        context.warn(f"{environment.name}: {error.message}")
        return []
    return [f"{environment.name}: put {seen.image} back at {seen.standing.wanted}" for seen in late]


def _refuse_incomplete(snapshot: Snapshot, changes: Sequence[Change]) -> None:
    """No name is put at an image without its parts."""
    for change in changes:
        gone = snapshot.gone.get((change.seen.target.repository, change.digest or Digest("")))
        if gone:
            raise ContentMissing(f"{change.seen.target.name}: {change.digest} is not whole: {'; '.join(gone)}")


def _put_right(context: Context, finding: Finding) -> list[str]:
    image, environment = context.image(finding.image), context.environment(finding.environment)
    target = target_of(context.policy, image, environment)
    store = context.stores(target.repository)
    actual = Digest(finding.actual) if finding.actual else None
    wanted = Digest(str(finding.expected))
    try:
        observer = Observer(context)
        snapshot = observer.observe([target], lambda _: [ImageLookup(target.repository, wanted, "parts")])
        if (target.repository, wanted) in snapshot.unreadable:
            raise snapshot.unreadable[target.repository, wanted]
        gone = snapshot.gone[target.repository, wanted]
        if gone:
            raise ContentMissing(f"{wanted} is not whole, so no name is put there: {'; '.join(gone)}")
        manifest = store.get(wanted)
        try:
            if actual is None and finding.problem == "anchor.missing":
                store.create(finding.tag, manifest)
            else:
                store.move(finding.tag, manifest, actual)
        except KeyboardInterrupt:
            told = f"interrupted: {store.repository}:{finding.tag} was at {actual or 'no digest'}, may be at {wanted}"
            names = {"repository": str(store.repository), "tag": finding.tag}
            details = [names | {"before": actual, "now": wanted, "sure": False}]
            raise Stopped("run.interrupted", told, details=details) from None
    except Stopped:
        raise
    except TagflowError as error:
        context.warn(f"{store.repository}:{finding.tag}: {error.message}")
        return []
    return [f"{finding.image}: put {finding.tag} at {finding.expected}"]


def _join(context: Context, environment: Environment) -> list[str]:
    """Write a record that names all heads of a forked history, where the environment tag tells which one won."""
    snapshot, _ = _observe(context, environment)
    observations = snapshot.all_in(environment)
    if any(isinstance(seen.standing.position, Interrupted) for seen in observations):
        return []
    # A rollback that was only announced beside what runs came to nothing: what it was to hold is held by nobody.
    forked = [
        structs.replace(seen, standing=structs.replace(seen.standing, settled=True))
        for seen in observations
        if len(seen.standing.heads) > 1 and isinstance(seen.standing.position, Recorded)
    ]
    _adopt(context, environment, observations, forked, "joins a forked history")
    return [f"{environment.name}: joined the forked history of {seen.image}" for seen in forked]


def _set_aside(context: Context, environment: Environment) -> list[str]:
    """Write a record that lists what has a record's tag and is none, where the rest of the history is clear.

    Tags of a registry that removes none would block their image for ever otherwise.
    """
    snapshot, observer = _observe(context, environment)
    observations = snapshot.all_in(environment)
    aside = []
    for seen in observations:
        position = seen.standing.position
        broken = isinstance(position, Broken) and isinstance(position.error, HistoryBroken)
        if not broken and not seen.doubtful:
            continue
        bare = structs.replace(seen.standing, error=None)
        if not isinstance(bare.position, Recorded | Empty):
            continue
        tags = {tag for tag in seen.records if observer.why_unread(seen.target.history, tag) is not None}
        tags |= {it.tag for it in seen.doubtful}
        state = structs.replace(bare.state, ignored=bare.state.ignored | tags)
        head = bare.head
        heads = () if head is None else (structs.replace(head, record=structs.replace(head.record, state=state)),)
        aside.append((structs.replace(seen, standing=structs.replace(bare, heads=heads)), state))
    if not aside:
        return []
    for seen, state in aside:
        _adopt(context, environment, observations, [seen], "sets aside what is no record", state=state)
    return [f"{environment.name}: set aside what is no record of {seen.image}" for seen, _ in aside]


def _adopt(
    context: Context,
    environment: Environment,
    observations: Sequence[Observation],
    chosen: Sequence[Observation],
    reason: str,
    *,
    state: State | None = None,
) -> None:
    """Write records that settle a history and move nothing."""
    number = 1 + max((seen.standing.number for seen in observations), default=0)
    release = Release(context.new_id(), number)
    request = Request("promote", environment.name, reason=reason)
    plan = Plan(request, context.policy_digest, tuple(map(_settling, chosen)), intent=Intent())
    writer = RecordWriter(context, plan, release, release)
    for seen, step in zip(chosen, plan.steps, strict=True):
        settled = state or seen.standing.state
        prospect = Prospect(seen, settled, since=settled.since, by=settled.by)
        writer.write_all(step, prospect, writer.compose(step, prospect))


def _settling(seen: Observation) -> Step:
    standing = seen.standing
    return Step(
        image=seen.image,
        repository=str(seen.target.repository),
        action="adopt",
        version=standing.version,
        digest=standing.digest,
        previous_version=standing.version,
        previous_digest=standing.digest,
        heads=names(standing.heads),
    )
