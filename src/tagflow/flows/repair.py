"""verify --repair: what can be mended without judgement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tagflow.domain.history import Release
from tagflow.domain.plan import Plan, Request, Step
from tagflow.domain.reference import Digest
from tagflow.errors import TagflowError
from tagflow.flows.announce import Herald
from tagflow.flows.context import Context
from tagflow.flows.decision import Prospect
from tagflow.flows.execute import execute
from tagflow.flows.finish import decide_finish
from tagflow.flows.interruption import interrupted, under_way, way_on
from tagflow.flows.observe import Observer, Sight
from tagflow.flows.verify import Finding, verify

_MENDED = ("anchor.missing", "floating.wrong")
_ROUNDS = 8


@dataclass(frozen=True)
class Repaired:
    """What was mended, in words, and what is left to a person."""

    done: tuple[str, ...]
    left: tuple[Finding, ...]


def repair(context: Context, names: Sequence[str]) -> Repaired:
    """Finish interrupted releases, join forks, recreate anchors, put floating tags right, until nothing more can be
    done without judgement: two releases may be under way at once, and what one leaves is seen when it is finished."""
    done: list[str] = []
    findings = verify(context, names)
    for _ in range(_ROUNDS):
        mended = _mend(context, findings)
        if not mended:
            break
        done += mended
        findings = verify(context, names)
    # Environments of one registry share their version tags.
    return Repaired(tuple(dict.fromkeys(done)), tuple(_left_to_a_person(context, finding) for finding in findings))


def _left_to_a_person(context: Context, finding: Finding) -> Finding:
    """A finding with the command that helps where this one did not."""
    if finding.problem != "interrupted":
        return finding
    observer = Observer(context)
    environment = context.environment(finding.environment)
    sights = observer.sights([observer.place(image, environment) for image in context.policy.images])
    members = under_way(sights)
    head = members[0].standing.head if members else None
    return replace(finding, repair=way_on(head.record)) if head else finding


def _mend(context: Context, findings: Sequence[Finding]) -> list[str]:
    """What is interrupted comes first, then forks: names are put right when it is clear where they belong."""
    for problem, mend in (("interrupted", _finish), ("history.fork", _join)):
        environments = dict.fromkeys(finding.environment for finding in findings if finding.problem == problem)
        done = [line for environment in environments for line in mend(context, environment)]
        if done:
            return done
    return [line for finding in findings if finding.problem in _MENDED for line in _put_right(context, finding)]


def _finish(context: Context, environment: str) -> list[str]:
    decision = decide_finish(context, environment)
    if decision is None:
        return []
    try:
        outcome = execute(context, decision)
    except TagflowError as error:
        context.warn(f"{environment}: {error.message}")
        return []
    return [f"{environment}: finished release {outcome.release} of {', '.join(outcome.plan.members)}"]


def _put_right(context: Context, finding: Finding) -> list[str]:
    image, environment = context.image(finding.image), context.environment(finding.environment)
    store = context.stores(context.policy.repository(image, environment))
    actual = Digest(finding.actual) if finding.actual else None
    try:
        store.move(finding.tag, store.get(str(finding.expected)), actual)
    except TagflowError as error:
        context.warn(f"{store.repository}:{finding.tag}: {error.message}")
        return []
    return [f"{store.repository}:{finding.tag} put at {finding.expected}"]


def _join(context: Context, environment: str) -> list[str]:
    """Write a record that names all heads of a forked history, where the environment tag tells which one won."""
    observer = Observer(context)
    places = [observer.place(image, context.environment(environment)) for image in context.policy.images]
    sights = observer.sights(places)
    if interrupted(sights):
        return []
    number = 1 + max(sight.standing.number for sight in sights.values())
    release = Release(context.new_id(), number)
    forked = [it for it in sights.values() if len(it.standing.heads) > 1 and it.standing.condition == "recorded"]
    request = Request("promote", environment, reason="joins a forked history")
    plan = Plan(request, context.policy_digest, tuple(map(_joining, forked)))
    herald = Herald(context, plan, release, release)
    for sight, step in zip(forked, plan.steps, strict=True):
        state = sight.standing.state
        herald.announce(step, Prospect(sight, replace(state), since=state.since))
    return [f"{environment}: joined the forked history of {step.image}" for step in plan.steps]


def _joining(sight: Sight) -> Step:
    standing = sight.standing
    return Step(
        image=sight.place.image.name,
        repository=str(sight.place.repository),
        action="adopt",
        version=standing.version,
        digest=standing.digest,
        previous_version=standing.version,
        previous_digest=standing.digest,
        heads=tuple(str(entry.tag) for entry in standing.heads),
    )
