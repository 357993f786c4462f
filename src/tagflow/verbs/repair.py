"""verify --repair: what can be mended without judgement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import Struct, structs

from tagflow.context import Context
from tagflow.decide.decision import Prospect
from tagflow.decide.finding import Finding
from tagflow.decide.finish import Change, before_lookups, change_lookups, finishing, names, putting_back
from tagflow.decide.interrupted import announcement_lookups, unfinished, way_on
from tagflow.decide.notes import note_step
from tagflow.decide.rollback import decision_of
from tagflow.domain.intent import Intent
from tagflow.domain.plan import Plan, Request, Step
from tagflow.domain.policy import Environment
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import ImageLookup, Lookup, Observation, RecordLookup, Snapshot, target_of
from tagflow.domain.standing import Broken, Empty, Interrupted, Late, Recorded
from tagflow.domain.state import Release, State
from tagflow.errors import ContentMissing, Detail, HistoryBroken, PartlyApplied, TagflowError, Unanswered
from tagflow.errors import Interrupted as Stopped
from tagflow.execute.compose import RecordWriter
from tagflow.execute.ledger import differs, in_words
from tagflow.execute.run import Result, execute
from tagflow.execute.sign import need_key
from tagflow.execute.underway import Execution
from tagflow.observe.observer import Observer
from tagflow.verbs.verify import verify

_DOUBTFUL = ("record.unsigned", "record.forged", "record.unknown_signer")
_MENDED = ("anchor.missing", "floating.wrong")
_ROUNDS = 8


class Mended(Struct, frozen=True):
    """What came of one repair: in words, empty where it failed, and as data each environment or floating tag that it
    moved, or may have."""

    told: str = ""
    differing: Sequence[Detail] = ()


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
    if not dry_run:
        for name in names or [environment.name for environment in context.policy.environments]:
            need_key(context, context.environment(name))
    findings = verify(context, names, expect, deep=deep)
    if dry_run:
        would = [_foretold(finding) for finding in findings if _is_mendable(finding)]
        return Repaired(tuple(dict.fromkeys(would)), tuple(findings))
    came: list[Mended] = []
    try:
        for _ in range(_ROUNDS):
            before = len(_told(came))
            for mended in _mend(context, findings):
                came.append(mended)
            if len(_told(came)) == before:
                break
            findings = verify(context, names, expect, deep=deep)
        return Repaired(tuple(_told(came)), tuple(_left_to_a_person(context, finding) for finding in findings))
    except (TagflowError, KeyboardInterrupt) as error:
        if came or isinstance(error, Stopped):
            raise _cut_short(error, came) from error
        raise


def _told(came: Iterable[Mended]) -> list[str]:
    """What was mended. Environments of one registry share their version tags."""
    return list(dict.fromkeys(it.told for it in came if it.told))


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


def _cut_short(error: TagflowError | KeyboardInterrupt, came: Sequence[Mended]) -> TagflowError:
    """The end of a repair that came to none: why, what had been mended before, and which tags had moved."""
    known = error if isinstance(error, TagflowError) else Stopped("run.interrupted", "interrupted")
    done, moved = _told(came), [detail for it in came for detail in it.differing]
    told = "\n".join([known.message, *(f"mended before that: {line}" for line in done), *in_words(moved)])
    hint = known.hint or "Run the same command again."
    details = [*known.details, *({"mended": line} for line in done), *moved]
    if isinstance(known, Stopped):
        return Stopped(known.code, told, hint=hint, details=details)
    if moved:
        partly = PartlyApplied("release.partly_applied", told, hint=hint, details=details)
        partly.result = known.result
        return partly
    known.message, known.hint, known.details = told, hint, tuple(details)
    return known


def _mend(context: Context, findings: Sequence[Finding]) -> Iterator[Mended]:
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
            for came in mend(context, context.environment(environment)):
                mended = mended or bool(came.told)
                yield came
        if mended:
            return
    for finding in findings:
        if finding.problem in _MENDED:
            yield _put_right(context, finding)


def _observe(context: Context, environment: Environment, *, whole: bool = False) -> tuple[Snapshot, Observer]:
    """What a repair decides by; ``whole``: with all records, be they below one that has seen them."""
    observer = Observer(context)
    targets = [target_of(context.policy, image, environment) for image in context.policy.images]

    def wanted(snapshot: Snapshot) -> list[Lookup]:
        if not snapshot.observations:
            return []
        if whole or environment.signed_by:
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


def _finish(context: Context, environment: Environment) -> Iterator[Mended]:
    """Finish the releases whose records were all written: without the command that began it, no other can be. Whether
    one was taken back by a record that is hidden is for a person to say."""
    snapshot, observer = _observe(context, environment)
    for release in unfinished(snapshot, environment):
        if not release.is_whole or release.is_held or release.is_doubted:
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
            yield _failed(context, environment.name, error)
            continue
        told = f"{environment.name}: finished release {result.release} of {', '.join(release.wanted)}"
        yield Mended(told, result.differing)


def _failed(context: Context, what: str, error: TagflowError) -> Mended:
    """Tell of what could not be mended, and go on."""
    context.warn(f"{what}: {error.message}")
    return Mended(differing=error.result.differing if isinstance(error.result, Result) else ())


def _put_late_back(context: Context, environment: Environment) -> Iterator[Mended]:
    snapshot, observer = _observe(context, environment)
    late = [seen for seen in snapshot.all_in(environment) if isinstance(seen.standing.position, Late)]
    if not late:
        return
    request = Request("rollback", environment.name, reason="puts back what came late")
    changes = [putting_back(seen) for seen in late]
    try:
        decision = decision_of(snapshot, request, environment, context.policy_digest, changes, None)
        result = execute(context, Execution(decision, observer))
    except Stopped:
        raise
    except TagflowError as error:
        yield _failed(context, environment.name, error)
        return
    yield Mended(differing=result.differing)
    yield from (Mended(f"{environment.name}: put {seen.image} back at {seen.standing.wanted}") for seen in late)


def _refuse_incomplete(snapshot: Snapshot, changes: Sequence[Change]) -> None:
    """No name is put at an image without its parts."""
    for change in changes:
        gone = snapshot.gone.get((change.seen.target.repository, change.digest or Digest("")))
        if gone:
            raise ContentMissing(f"{change.seen.target.name}: {change.digest} is not whole: {'; '.join(gone)}")


def _put_right(context: Context, finding: Finding) -> Mended:
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
            unsure = [differs(str(store.repository), finding.tag, actual, wanted, sure=False)]
            told = "\n".join(in_words(unsure))
            raise Stopped("run.interrupted", f"interrupted: {told}", details=unsure) from None
    except Stopped:
        raise
    except TagflowError as error:
        context.warn(f"{store.repository}:{finding.tag}: {error.message}")
        return Mended(differing=_moved(finding, store.repository, sure=False) if isinstance(error, Unanswered) else ())
    return Mended(f"{finding.image}: put {finding.tag} at {finding.expected}", _moved(finding, store.repository))


def _moved(finding: Finding, repository: Repository, *, sure: bool = True) -> Sequence[Detail]:
    """The tag of a finding that was put right, where that is one that moves: version and combined tags are created."""
    if finding.problem != "floating.wrong":
        return ()
    before, now = (Digest(it) if it else None for it in (finding.actual, finding.expected))
    return [differs(str(repository), finding.tag, before, now, sure=sure)]


def _join(context: Context, environment: Environment) -> list[Mended]:
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
    _adopt(context, environment, observations, {_settling(seen): seen for seen in forked}, "joins a forked history")
    return [Mended(f"{environment.name}: joined the forked history of {seen.image}") for seen in forked]


def _set_aside(context: Context, environment: Environment) -> list[Mended]:
    """Write a record that lists what has a record's tag and is none.

    Tags of a registry that removes none would block their image for ever otherwise. What is under way, or was moved by
    hand, stays so: a note lists it there. What stops nobody waits until all is clear.
    """
    snapshot, observer = _observe(context, environment, whole=True)
    observations = snapshot.all_in(environment)
    under_way = {image for release in unfinished(snapshot, environment) for image in release.wanted}
    aside = []
    for seen in observations:
        position = seen.standing.position
        broken = isinstance(position, Broken) and isinstance(position.error, HistoryBroken)
        bare = structs.replace(seen.standing, error=None)
        # On top of a release that has not ended in all of its images, an adoption would take this one out.
        is_clear = isinstance(bare.position, Recorded | Empty) and seen.image not in under_way
        if not broken and not (seen.doubtful and is_clear):
            continue
        tags = {tag for tag in seen.records if observer.why_unread(seen.target.history, tag) is not None}
        tags |= {it.tag for it in seen.doubtful}
        state = structs.replace(bare.state, ignored=bare.state.ignored | tags)
        head = bare.head
        heads = () if head is None else (structs.replace(head, record=structs.replace(head.record, state=state)),)
        aside.append((structs.replace(seen, standing=structs.replace(bare, heads=heads)), state, is_clear))
    if not aside:
        return []
    for seen, state, is_clear in aside:
        note = note_step(seen, "freeze" if state.freeze else "thaw")  # a freeze stays, too
        step = _settling(seen) if is_clear else note
        _adopt(context, environment, observations, {step: seen}, "sets aside what is no record", state=state)
    return [Mended(f"{environment.name}: set aside what is no record of {seen.image}") for seen, *_ in aside]


def _adopt(
    context: Context,
    environment: Environment,
    observations: Sequence[Observation],
    chosen: Mapping[Step, Observation],
    reason: str,
    *,
    state: State | None = None,
) -> None:
    """Write records that move nothing."""
    number = 1 + max((seen.standing.number for seen in observations), default=0)
    release = Release(context.new_id(), number)
    request = Request("promote", environment.name, reason=reason)
    plan = Plan(request, context.policy_digest, tuple(chosen), intent=Intent())
    writer = RecordWriter(context, plan, release, release)
    for step, seen in chosen.items():
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
