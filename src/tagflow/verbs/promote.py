"""promote: the digest that was admitted to one environment enters the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.decision import Decision
from tagflow.decide.promote import Promotion, decide_promote, promotion_lookups, read_promotion
from tagflow.decide.targets import Wanted
from tagflow.domain.plan import Outcome, Request
from tagflow.domain.snapshot import Lookup, Snapshot, TagLookup, Target
from tagflow.errors import Conflict, TagflowError
from tagflow.execute.underway import Recheck
from tagflow.observe.observer import Observer
from tagflow.verbs.plans import Proposal, with_doubts
from tagflow.verbs.release import Options, conclude


def promote(context: Context, request: Request, options: Options | None = None) -> Outcome:
    """Promote images to an environment.

    :raises TagflowError: every reason at once why not, or what failed.
    """
    return conclude(context, lambda: propose_promote(context, request), options or Options())


def propose_promote(context: Context, request: Request) -> Proposal:
    """Observe and decide."""
    promotion = read_promotion(context.scheme, request)
    observer = Observer(context)
    now = context.now()
    snapshot = observer.observe(
        promotion.targets(context.scheme), lambda known: promotion_lookups(known, promotion, now)
    )
    decision = decide_promote(snapshot, promotion, context.policy_digest, now)
    decision = with_doubts(decision, snapshot)
    return Proposal(decision, observer, recheck=_recheck(context, promotion, snapshot, decision))


def _recheck(context: Context, promotion: Promotion, before: Snapshot, decision: Decision) -> Recheck:
    """Decide again by what stands in the environments that images come from, and by the clock, right before anything
    moves. What stands in the target was judged by the election: it is as it was, but for this run's own records."""
    chosen = tuple(Wanted(choice.seen.target.image, choice.version) for choice in decision.choices)
    again = replace(promotion, wanted=chosen)

    def recheck(observer: Observer) -> Sequence[TagflowError]:
        targets = again.targets(context.scheme)
        origins = [target for target in targets if target.environment != promotion.target]
        observer.list_all(name for target in origins for name in (target.repository, target.history))
        for target in origins:
            observer.keep(target.repository, _of_versions(context, before, again, target))
        changed = [target for target in origins if _is_other(observer, before, target)]

        def wanted(known: Snapshot) -> Iterator[Lookup]:
            for lookup in promotion_lookups(_together(before, known), again, context.now()):
                if not isinstance(lookup, TagLookup) or _decides(context, lookup):
                    yield lookup

        # Where no record and no tag has come or gone, what was read of it still stands: only the clock has moved on.
        fresh = _together(before, observer.observe(changed, wanted)) if changed else before
        try:
            anew = decide_promote(fresh, again, context.policy_digest, context.now())
        except TagflowError as error:
            return [error]
        if anew.refusals:
            return anew.refusals
        digests = {choice.image: choice.digest for choice in anew.entering}
        return [
            Conflict("tag.moved", f"{it.image} {it.label} is another image now than when this was decided")
            for it in decision.entering
            if digests.get(it.image) != it.digest
        ]

    return recheck


def _of_versions(context: Context, before: Snapshot, promotion: Promotion, target: Target) -> set[str]:
    """The tags by which a source had what is promoted: which versions those are is decided by now."""
    seen, scheme = before.observations[target], context.scheme
    versions = [it.version for it in promotion.wanted if it.image == target.image and it.version is not None]
    tags = {tag for it in versions for tag in (scheme.version_tag(it), seen.combined.get(it)) if tag is not None}
    return tags & seen.tags


def _is_other(observer: Observer, before: Snapshot, target: Target) -> bool:
    """Whether a source's history, or its tags of versions, are not what they were when it was observed."""
    seen = before.observations[target]
    gone = set(seen.combined.values()) - observer.tags(target.repository)
    return bool(gone) or observer.records(target) != seen.records


def _decides(context: Context, lookup: TagLookup) -> bool:
    """Whether a tag's digest decides what is promoted: floating tags and pins are looked at when they are moved."""
    meaning = context.scheme.read(lookup.tag)
    return meaning is not None and meaning.kind in ("version", "combined", "environment")


def _together(before: Snapshot, fresh: Snapshot) -> Snapshot:
    """A snapshot in which the target environment stands as it was decided on, and all else as it is now."""
    return replace(
        fresh,
        observations={**before.observations, **fresh.observations},
        tags={**before.tags, **fresh.tags},
        digests={**before.digests, **fresh.digests},
        entries={**before.entries, **fresh.entries},
        gone={**before.gone, **fresh.gone},
        platforms={**before.platforms, **fresh.platforms},
        labels={**before.labels, **fresh.labels},
        expiries={**before.expiries, **fresh.expiries},
        unreadable={**before.unreadable, **fresh.unreadable},
    )
