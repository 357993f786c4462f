"""rollback: back to what ran before, or to a named version; and out of a release that was not finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tagflow.domain.history import Entry, Ran, Record, Release, State
from tagflow.domain.plan import Move, Plan, Request, Step
from tagflow.domain.reference import Digest
from tagflow.domain.version import Version
from tagflow.errors import Conflict, NotFound, TagflowError, combine
from tagflow.flows.announce import standing_before
from tagflow.flows.context import Context
from tagflow.flows.decision import UNNUMBERED, Decision, Prospect
from tagflow.flows.finish import finishing, versions
from tagflow.flows.identify import identify
from tagflow.flows.interruption import interrupted, refuse_interrupted, resumed, under_way
from tagflow.flows.moves import Mover
from tagflow.flows.observe import Observer, Place, Sight
from tagflow.flows.parallel import each, run_all
from tagflow.flows.targets import parse_targets
from tagflow.stores.transfer.copy import missing_parts


@dataclass(frozen=True)
class Back:
    """One image's way back: the state after, the digest it comes to, and what is adopted before."""

    sight: Sight
    step: Step | None
    prospect: Prospect
    touched: tuple[Version, ...] = ()

    @property
    def digest(self) -> Digest | None:
        """Where the environment tag goes; None: to nowhere, as before."""
        return self.step.digest if self.step else self.sight.standing.digest

    @property
    def admitted(self) -> frozenset[Version]:
        """What is admitted afterwards."""
        state, scheme = self.prospect.state, self.sight.scheme
        out = {scheme.parse_label(label) for label in state.holds | state.void}
        return frozenset(version for version in self.sight.combined if version not in out)


def decide_rollback(context: Context, request: Request) -> Decision:
    """What ``rollback ENV [TARGET…]`` would do.

    :raises NotFound: ``rollback.nothing``, ``version.not_found``, ``content.missing``.
    :raises Conflict: ``rollback.ambiguous``, ``release.interrupted``.
    """
    wishes = parse_targets(context, request.targets) if request.targets else []
    environment = context.environment(request.environment)
    observer = Observer(context)
    sights = observer.sights([observer.place(image, environment) for image in context.policy.images])
    resumes: Record | None = None
    if interrupted(sights):
        if wishes:
            raise refuse_interrupted(sights)
        backs, resumes = _out_of(context, observer, sights)
    elif wishes:
        backs = _collect(
            partial(_Way(context, observer, sights[observer.place(wish.image, environment)]).to, wish.version)
            for wish in wishes
        )
    else:
        backs = _last_release(context, observer, sights)
    movers = [(back, Mover(observer, context.scheme, back.sight)) for back in backs]
    asking = [question for back, mover in movers for question in mover.wanted(back.touched, back.admitted)]
    proofs: list[Callable[[], None]] = [partial(_prove, context, back) for back in backs]
    run_all([*proofs, partial(observer.look_up, asking)], threads=context.threads)
    moves = [move for back, mover in movers for move in _moves(back, mover)]
    steps = {back.step: back.prospect for back in backs if back.step is not None}
    plan = Plan(request, context.policy_digest, tuple(steps), tuple(moves), *resumed(resumes))
    return Decision(plan, observer, sights, {step.image: prospect for step, prospect in steps.items()})


@dataclass(frozen=True)
class _Way:
    """The ways back at one place: the stack as it is once what was moved by hand has been adopted."""

    context: Context
    observer: Observer
    sight: Sight

    @property
    def adopts(self) -> bool:
        standing = self.sight.standing
        return standing.condition == "unrecorded" and standing.digest is not None

    def state(self) -> State:
        """The checkpoint, with what is adopted on top."""
        standing = self.sight.standing
        if not self.adopts or standing.digest is None:
            return standing.state
        return standing.state.adopted(Ran(identify(self.observer, self.sight), standing.digest, UNNUMBERED))

    def one(self) -> Back:
        """Back by one entry.

        :raises NotFound: ``rollback.nothing``.
        """
        state = self.state()
        if len(state.stack) < 2:
            raise self._nothing()
        return self._pop(state, 1)

    def to(self, version: Version | None) -> Back:
        """Back to a version's latest place in the stack; one already popped is pushed.

        Where it runs already, only floating tags that were left behind are put right.
        """
        if version is None:
            return self.one()
        scheme, state = self.sight.scheme, self.state()
        depth = state.depth_of(lambda ran: scheme.parse_label(ran.version) == version)
        if depth == 0 and not self.adopts and self.sight.standing.digest == state.stack[-1].digest:
            touched = versions(self.sight, [state.stack[-1].version, *state.holds])
            return Back(self.sight, None, Prospect(self.sight, state), touched)
        return self._push(state, version) if depth is None else self._pop(state, depth)

    def as_intended(self, wanted: str) -> Back:
        """Back to what an interrupted rollback wanted here: a version tag, or a digest."""
        state = self.state()
        depth = state.depth_of(lambda ran: wanted in (ran.version, ran.digest))
        if depth:
            return self._pop(state, depth)
        return self.to(self.sight.scheme.parse_version(wanted))

    def _pop(self, state: State, depth: int) -> Back:
        target = state.stack[-1 - depth]
        popped = [ran.version for ran in state.stack[len(state.stack) - depth :]]
        return self._back(state, state.popped(depth), target, depth, [*popped, target.version])

    def _push(self, state: State, version: Version) -> Back:
        scheme, place = self.sight.scheme, self.sight.place
        tag = self.sight.combined.get(version)
        listed = self.sight.lists_out(version)
        digest = None if tag is None or listed in ("void", "announced") else self.observer.digest(place.repository, tag)
        if digest is None:
            raise NotFound(
                "version.not_found",
                f"{place.told}: {scheme.version_tag(version)} never ran there",
                hint=f"`tagflow history {place.environment.name} {place.image.name}` shows what did.",
            )
        found = next(spelling for spelling in self.sight.combined if spelling == version)
        ran = Ran(scheme.version_tag(found), digest, UNNUMBERED)
        return self._back(state, state.entered(ran, self.sight.listed_as(version)), ran, None, [ran.version])

    def _back(self, before: State, after: State, target: Ran, depth: int | None, touched: Iterable[str | None]) -> Back:
        sight, standing = self.sight, self.sight.standing
        adopted = before.stack[-1].version if self.adopts else None
        step = Step(
            image=sight.place.image.name,
            repository=str(sight.place.repository),
            action="rollback",
            version=target.version,
            digest=target.digest,
            previous_version=adopted if self.adopts else standing.version,
            previous_digest=standing.digest,
            heads=_tags(standing.heads),
            depth=depth,
            adopts=self.adopts,
        )
        since = before.since if standing.digest == target.digest else None
        return Back(sight, step, Prospect(sight, after, adopted, since), versions(sight, touched))

    def _nothing(self) -> NotFound:
        place = self.sight.place
        return NotFound(
            "rollback.nothing",
            f"{place.told}: nothing ran before",
            hint=f"`tagflow history {place.environment.name} {place.image.name}` shows what ran.",
        )


def _last_release(context: Context, observer: Observer, sights: Mapping[Place, Sight]) -> list[Back]:
    """Undo the release with the highest number among the stack tops, for all its members."""
    ways = [_Way(context, observer, sight) for sight in sights.values()]
    states = each(_Way.state, ways, threads=context.threads)
    tops = [
        (way, _adoption(way, sights) if state.stack[-1].release == UNNUMBERED else state.stack[-1].release)
        for way, state in zip(ways, states, strict=True)
        if state.stack
    ]
    environment = next(iter(sights)).environment.name
    if not tops:
        raise NotFound(
            "rollback.nothing", f"nothing ran in {environment}", hint=f"`tagflow history {environment}` shows what ran."
        )
    number = max(release.number for _, release in tops)
    last = [(way, release) for way, release in tops if release.number == number]
    names: dict[str, list[str]] = {}
    for way, release in last:
        names.setdefault(release.id, []).append(way.sight.place.image.name)
    if len(names) > 1:
        told = "; ".join(f"release {number} ({release}): {', '.join(images)}" for release, images in names.items())
        raise Conflict(
            "rollback.ambiguous",
            f"two releases of {environment} came last: {told}",
            hint="Name the images: "
            + " or ".join(f"`tagflow rollback {environment} {' '.join(i)}`" for i in names.values()),
        )
    without = [way for way, _ in last if len(way.state().stack) < 2]
    if without:
        raise _no_predecessor(environment, without, [way for way, _ in last if way not in without])
    return [way.one() for way, _ in last]


def _adoption(way: _Way, sights: Mapping[Place, Sight]) -> Release:
    """The release by which what was moved by hand is adopted: the one that died while it adopted the other members."""
    heads = [sight.standing.head.record for sight in sights.values() if sight.standing.head]
    begun = [it for it in heads if it.action == "adopt" and way.sight.place.image.name in it.members]
    number = max((sight.standing.number for sight in sights.values()), default=0)
    latest = next((it.release for it in begun if it.release.number == number), None)
    return latest or Release("", number + 1)


def _no_predecessor(environment: str, without: Sequence[_Way], others: Sequence[_Way]) -> NotFound:
    names = ", ".join(way.sight.place.image.name for way in without)
    rest = " ".join(way.sight.place.image.name for way in others)
    hint = f"Roll back the others alone: `tagflow rollback {environment} {rest}`." if others else ""
    return NotFound(
        "rollback.nothing",
        f"{names} in {environment}: nothing ran before",
        hint=hint or f"`tagflow history {environment}` shows what ran.",
    )


def _out_of(context: Context, observer: Observer, sights: Mapping[Place, Sight]) -> tuple[list[Back], Record | None]:
    """Out of an interrupted release: one that went back is finished, any other is abandoned."""
    members = under_way(sights)
    head = members[0].standing.head
    assert head is not None
    if head.record.action not in ("rollback", "abort"):
        return [_abandon(observer, sight) for sight in members], None
    backs = [_finish(context, sight) for sight in members]
    return backs + _left_behind(context, observer, sights, members), head.record


def _finish(context: Context, sight: Sight) -> Back:
    it = finishing(context, sight)
    return Back(it.sight, it.step, it.prospect, it.touched)


def _left_behind(
    context: Context, observer: Observer, sights: Mapping[Place, Sight], members: Sequence[Sight]
) -> list[Back]:
    """The members whose records were not written yet when a rollback or an abandonment died: they go the same way."""
    head = members[0].standing.head
    assert head is not None
    announced = {sight.place.image.name for sight in members}
    intent = {image: wanted for image, wanted in head.record.intent if image not in announced}
    rest = [sight for sight in sights.values() if sight.place.image.name in intent]
    if head.record.action == "abort":
        parents = observer.entries(members[0].place.history, [parent.tag for parent in head.record.parents])
        given_up = {entry.record.release.id for entry in parents.values()}
        return [_abandon(observer, it) for it in rest if it.standing.head and _release(it) in given_up]
    return [_Way(context, observer, it).as_intended(intent[it.place.image.name]) for it in rest]


def _release(sight: Sight) -> str:
    return sight.standing.head.record.release.id if sight.standing.head else ""


def _abandon(observer: Observer, sight: Sight) -> Back:
    """Put one member of an interrupted release back where it was."""
    head = sight.standing.head
    assert head is not None
    record = head.record
    before = standing_before(observer, sight, head)
    prior = before.state
    state = prior.aborted(record.version)
    step = Step(
        image=sight.place.image.name,
        repository=str(sight.place.repository),
        action="abort",
        version=record.previous_version,
        digest=record.previous_digest,
        previous_version=record.version,
        previous_digest=record.digest,
        heads=_tags(sight.standing.heads),
    )
    since = prior.since if sight.standing.digest == record.previous_digest else None
    return Back(sight, step, Prospect(sight, state, since=since), versions(sight, [record.version]))


def _moves(back: Back, mover: Mover) -> list[Move]:
    return [
        *mover.pins(back.digest),
        mover.environment(back.digest),
        *mover.floating(back.touched, back.admitted, {}),
    ]


def _prove(context: Context, back: Back) -> None:
    """See that what an image goes back to exists, down to the last blob.

    :raises NotFound: ``content.missing``, naming exactly what is not there.
    """
    if back.digest is None or back.digest == back.sight.standing.digest:
        return
    store = context.stores(back.sight.place.repository)
    gone = [str(part) for part in missing_parts(store, back.digest, threads=min(8, context.threads))]
    if gone:
        place = back.sight.place
        told = (back.step and back.step.version) or "what ran before"
        raise NotFound(
            "content.missing",
            f"{place.told}: {told} ({back.digest}) is not whole any more:\n  " + "\n  ".join(gone),
            hint=f"Go further back: `tagflow rollback {place.environment.name} {place.image.name}=VERSION`, "
            "or push the image again.",
        )


def _collect(ways: Iterable[Callable[[], Back]]) -> list[Back]:
    found: list[Back] = []
    errors: list[TagflowError] = []
    for way in ways:
        try:
            found.append(way())
        except TagflowError as error:
            errors.append(error)
    if errors:
        raise combine(errors)
    return found


def _tags(heads: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(str(entry.tag) for entry in heads)
