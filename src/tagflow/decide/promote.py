"""promote: the digest that was admitted to one environment enters the next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from tagflow.decide.admission import Admission, admission_lookups
from tagflow.decide.decision import Decision, Origin
from tagflow.decide.interrupted import announcement_lookups
from tagflow.decide.judge import denied_overrides, judge_unseen, read_overrides
from tagflow.decide.moves import early_lookups
from tagflow.decide.selection import Choice, Route, identify_lookups, sources_of, version_lookups, wrong_source
from tagflow.decide.targets import Wanted, parse_targets
from tagflow.domain.plan import Request
from tagflow.domain.policy import Environment, find_environment
from tagflow.domain.snapshot import Lookup, Snapshot, Target, target_of
from tagflow.domain.tagging import TagScheme
from tagflow.errors import NotFound, Refused, TagflowError, UsageError, combine


class Promotion(Struct, frozen=True):
    """A request to promote, read against the policy: what is wanted, and where it may come from.

    ``wrong`` is the refusal where the user names a source that the policy does not promote from.
    """

    request: Request
    wanted: tuple[Wanted, ...]
    target: Environment
    sources: tuple[Environment, ...]
    wrong: Refused | None = None

    def targets(self, scheme: TagScheme) -> list[Target]:
        """What is to be observed: every image in the target environment, and those wanted in each source.

        A soak is measured in every environment that the policy promotes from, whichever the user names.
        """
        policy = scheme.policy
        origins = self.sources
        if self.target.soak:
            origins = tuple(it for it in policy.environments if it.name in self.target.sources)
        found = [target_of(policy, image, self.target) for image in policy.images]
        return found + [target_of(policy, it.image, origin) for it in self.wanted for origin in origins]


def read_promotion(scheme: TagScheme, request: Request) -> Promotion:
    """Read a request to promote.

    :raises UsageError: ``target.missing``, ``target.invalid``, ``override.unknown``, ``override.reason``.
    :raises NotFound: ``image.not_found``, ``environment.not_found``.
    """
    read_overrides(request)
    wanted = parse_targets(scheme, request.targets, everything=request.everything)
    target = find_environment(scheme.policy, request.environment)
    if request.source:
        find_environment(scheme.policy, request.source)
    wrong = wrong_source(target, request.source)
    sources = sources_of(scheme.policy.environments, target, "" if wrong else request.source)
    if not (sources or wrong) and any(it.version is None for it in wanted):
        raise UsageError(
            "target.invalid",
            f"{target.name} is the first environment: there is none to take a version from",
            hint=f"Name a VERSION: `tagflow promote VERSION --to {target.name}`.",
        )
    return Promotion(request, tuple(wanted), target, tuple(sources), wrong)


def promotion_lookups(snapshot: Snapshot, promotion: Promotion, now: datetime) -> Iterator[Lookup]:
    """What :func:`decide_promote` asks about."""
    policy, target = snapshot.policy, promotion.target
    for wanted in promotion.wanted:
        here = target_of(policy, wanted.image, target)
        origins = [target_of(policy, wanted.image, source) for source in promotion.sources]
        yield from early_lookups(snapshot, here, wanted.version)
        if wanted.version is not None:
            yield from version_lookups(snapshot, wanted.version, here, origins)
    if not snapshot.observations:
        return
    yield from announcement_lookups(snapshot, target)
    choices: list[Choice] = []
    for wanted in promotion.wanted:
        route = _route(snapshot, promotion, wanted)
        for seen in (route.target, *route.sources):
            yield from identify_lookups(seen)
        try:
            versions = [wanted.version] if wanted.version else route.running()
            here, origins = route.target.target, [seen.target for seen in route.sources]
            for version in versions:
                yield from version_lookups(snapshot, version, here, origins)
            choice = route.choose(wanted)
        except (TagflowError, KeyError):
            continue  # what is refused asks for nothing more; what was not looked up is asked for in this round
        if choice is not None:
            choices.append(choice)
    yield from admission_lookups(snapshot, target, choices, now)


def decide_promote(snapshot: Snapshot, promotion: Promotion, policy_digest: str, now: datetime) -> Decision:
    """What ``promote TARGET… --to ENV`` would do.

    :raises TagflowError: where nothing can be planned at all: usage, not found, order.
    """
    routes = {wanted.image.name: _route(snapshot, promotion, wanted) for wanted in promotion.wanted}
    if promotion.wrong:
        raise combine([*_absent(promotion, routes), promotion.wrong])
    choices, notes, errors = _choose(snapshot, promotion, routes, now)
    origins = {
        choice.image: Origin(choice.source, choice.digest)
        for choice in choices
        if choice.source != choice.seen.target.repository
    }
    errors += denied_overrides(promotion.target, promotion.request)
    admission = Admission(snapshot, promotion.request, promotion.target, policy_digest, "promote", now)
    chosen = {choice.image for choice in choices}
    return admission.decide(choices, origins, notes, errors, routes.keys() - chosen)


def _route(snapshot: Snapshot, promotion: Promotion, wanted: Wanted) -> Route:
    return Route(
        snapshot,
        snapshot.of(wanted.image, promotion.target),
        tuple(snapshot.of(wanted.image, source) for source in promotion.sources),
    )


def _absent(promotion: Promotion, routes: dict[str, Route]) -> list[TagflowError]:
    """The versions that are nowhere: the graver error beside a wrong ``--from``."""
    absent: list[TagflowError] = []
    for wanted in promotion.wanted:
        if wanted.version is not None:
            try:
                routes[wanted.image.name].choose(wanted)
            except NotFound as error:
                absent.append(error)
            except TagflowError:
                continue
    return absent


def _choose(
    snapshot: Snapshot, promotion: Promotion, routes: dict[str, Route], now: datetime
) -> tuple[list[Choice], list[str], list[TagflowError]]:
    """The choice for each image. Where ``from`` runs nothing, a named one is an error, one of ``--all`` is skipped."""
    request = promotion.request
    choices: list[Choice] = []
    notes: list[str] = []
    errors: list[TagflowError] = []
    for wanted in promotion.wanted:
        route = routes[wanted.image.name]
        try:
            choice = route.choose(wanted)
        except TagflowError as error:
            errors.append(error)
            if wanted.version is not None and error.code == "promotion.order":
                errors += judge_unseen(snapshot, promotion.target, request, route.target, wanted.version, now)
            continue
        if choice is not None:
            choices.append(choice)
            continue
        names = " and ".join(seen.target.environment.name for seen in route.sources)
        notes.append(f"{wanted.image.name}: nothing runs in {names}")
    if notes and (not choices or not request.everything):
        errors.append(NotFound("environment.empty", "\n".join(notes), hint="Look at `tagflow status`."))
    usage = [error for error in errors if isinstance(error, UsageError)]
    if usage:
        raise combine(usage)
    return choices, [f"{note}, skipped" for note in notes], errors
