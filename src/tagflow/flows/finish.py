"""Finish: what an interrupted release announced, out of its records alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tagflow.domain.plan import Move, Plan, Request, Step
from tagflow.domain.version import Version
from tagflow.errors import TagflowError
from tagflow.flows.context import Context
from tagflow.flows.decision import Decision, Prospect
from tagflow.flows.interruption import announces_again, resumed, under_way
from tagflow.flows.moves import Mover
from tagflow.flows.observe import Observer, Sight


@dataclass(frozen=True)
class Finishing:
    """One image whose record is written and whose tags are not all moved."""

    sight: Sight
    step: Step
    prospect: Prospect
    touched: tuple[Version, ...]


def finishing(context: Context, sight: Sight) -> Finishing:
    """What remains to be done for one member of an interrupted release."""
    head = sight.standing.head
    assert head is not None
    record = head.record
    step = Step(
        image=sight.place.image.name,
        repository=str(sight.place.repository),
        action=record.action,
        version=record.version,
        digest=record.digest,
        previous_version=record.previous_version,
        previous_digest=record.previous_digest,
        heads=tuple(str(entry.tag) for entry in sight.standing.heads),
        recorded=not announces_again(context.policy, sight),
    )
    labels = [record.version, record.previous_version, *record.state.holds]
    return Finishing(sight, step, Prospect(sight, record.state), versions(sight, labels))


def decide_finish(context: Context, environment: str) -> Decision | None:
    """What finishes the latest interrupted release of an environment; None where a person has to.

    Without the command that began it, only a release whose records were all written can be finished.
    """
    observer = Observer(context)
    places = [observer.place(image, context.environment(environment)) for image in context.policy.images]
    sights = observer.sights(places)
    members = under_way(sights)
    head = members[0].standing.head if members else None
    if head is None or {sight.place.image.name for sight in members} != {image for image, _ in head.record.intent}:
        return None
    todo = [finishing(context, sight) for sight in members]
    observer.look_up(
        question
        for it in todo
        for question in Mover(observer, context.scheme, it.sight).wanted(it.touched, it.sight.admitted)
    )
    try:
        moves = [move for it in todo for move in finishing_moves(context, observer, it)]
    except TagflowError:
        return None
    request = Request("rollback" if head.record.action in ("rollback", "abort") else "promote", environment)
    plan = Plan(request, context.policy_digest, tuple(it.step for it in todo), tuple(moves), *resumed(head.record))
    return Decision(plan, observer, sights, {it.step.image: it.prospect for it in todo})


def finishing_moves(context: Context, observer: Observer, it: Finishing) -> list[Move]:
    """The tags that one member still has to move.

    :raises Refused: ``tag.immutable`` where an anchor stands elsewhere.
    """
    mover = Mover(observer, context.scheme, it.sight)
    version, digest = context.scheme.parse_label(it.step.version), it.step.digest
    entering = it.step.action in ("push", "promote") and version is not None and digest is not None
    out = {context.scheme.parse_label(label) for label in it.prospect.state.holds | it.prospect.state.void}
    admitted = {known for known in it.sight.combined if known not in out}
    anchors: Sequence[Move] = ()
    if entering and version is not None and digest is not None:
        anchors = mover.anchors(version, digest)
        admitted.add(version)
    return [
        *anchors,
        *mover.pins(digest),
        mover.environment(digest),
        *mover.floating(it.touched, admitted, {version: digest} if entering and version and digest else {}),
    ]


def versions(sight: Sight, labels: Iterable[str | None]) -> tuple[Version, ...]:
    """The versions that version tags name."""
    found = (sight.scheme.parse_label(label) for label in labels)
    return tuple(dict.fromkeys(version for version in found if version is not None))
