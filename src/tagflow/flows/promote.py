"""promote: the digest that was admitted to one environment enters the next."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.domain.plan import Request
from tagflow.domain.policy import Environment
from tagflow.errors import NotFound, TagflowError, UsageError, combine
from tagflow.flows.admit import Admission
from tagflow.flows.choose import Choice, Road, named, sources_of, wrong_source
from tagflow.flows.context import Context
from tagflow.flows.decision import Decision, Origin
from tagflow.flows.judge import denied_overrides, judge_unseen, read_overrides
from tagflow.flows.moves import guesses
from tagflow.flows.observe import Observer, Question
from tagflow.flows.targets import Wish, parse_targets


def decide_promote(context: Context, request: Request) -> Decision:
    """What ``promote TARGET… --to ENV`` would do.

    :raises TagflowError: where nothing can be planned at all: usage, not found, order, interrupted release.
    """
    read_overrides(request)
    wishes = parse_targets(context, request.targets, everything=request.everything)
    target = context.environment(request.environment)
    if request.source:
        context.environment(request.source)
    wrong = wrong_source(target, request.source)
    sources = sources_of(context.policy.environments, target, "" if wrong else request.source)
    if not (sources or wrong) and any(wish.version is None for wish in wishes):
        raise UsageError(
            "target.invalid",
            f"{target.name} is the first environment: there is none to take a version from",
            hint=f"Name a VERSION: `tagflow promote VERSION --to {target.name}`.",
        )
    observer = Observer(context)
    places = [observer.place(image, target) for image in context.policy.images]
    wished = [observer.place(wish.image, source) for wish in wishes for source in sources]
    observer.list_all(it.repository for it in places + wished)
    sights = observer.sights(places + wished, _foreseen(context, observer, target, sources, wishes))
    roads = {
        wish.image.name: Road(
            observer,
            context.scheme,
            sights[observer.place(wish.image, target)],
            tuple(sights[observer.place(wish.image, source)] for source in sources),
        )
        for wish in wishes
    }
    environment = {place: sights[place] for place in places}
    observer.look_up(question for wish in wishes for question in roads[wish.image.name].wanted(wish))
    if wrong:
        raise combine([*_absent(wishes, roads), wrong])
    choices, notes, errors = _choose(context, request, wishes, roads)
    origins = {
        choice.image: Origin(context.stores(choice.source), choice.digest)
        for choice in choices
        if choice.source != choice.sight.place.repository
    }
    errors += denied_overrides(target, request)
    return Admission(context, request, observer, environment, "promote").decide(choices, origins, notes, errors)


def _foreseen(
    context: Context, observer: Observer, target: Environment, sources: list[Environment], wishes: list[Wish]
) -> Iterator[Question]:
    """What will be asked about the versions that the user named: it need not wait for the records."""
    scheme = context.scheme
    for wish in wishes:
        place = observer.place(wish.image, target)
        yield from guesses(observer, scheme, place, wish.version)
        if wish.version is not None:
            origins = [observer.place(wish.image, source) for source in sources]
            yield from named(observer, scheme, wish.version, place, origins)


def _absent(wishes: list[Wish], roads: dict[str, Road]) -> list[TagflowError]:
    """The versions that are nowhere: the graver error beside a wrong ``--from``."""
    absent: list[TagflowError] = []
    for wish in wishes:
        if wish.version is not None:
            try:
                roads[wish.image.name].choose(wish)
            except NotFound as error:
                absent.append(error)
            except TagflowError:
                continue
    return absent


def _choose(
    context: Context, request: Request, wishes: list[Wish], roads: dict[str, Road]
) -> tuple[list[Choice], list[str], list[TagflowError]]:
    """The choice for each wish. Where ``from`` runs nothing, a named image is an error, one of ``--all`` is skipped."""
    choices: list[Choice] = []
    notes: list[str] = []
    errors: list[TagflowError] = []
    for wish in wishes:
        road = roads[wish.image.name]
        try:
            choice = road.choose(wish)
        except TagflowError as error:
            errors.append(error)
            if wish.version is not None and error.code == "promotion.order":
                errors += judge_unseen(context, road.observer, request, road.target, wish.version)
            continue
        if choice is not None:
            choices.append(choice)
            continue
        names = " and ".join(sight.place.environment.name for sight in road.sources)
        notes.append(f"{wish.image.name}: nothing runs in {names}")
    if notes and (not choices or not request.everything):
        errors.append(NotFound("environment.empty", "\n".join(notes), hint="Look at `tagflow status`."))
    usage = [error for error in errors if isinstance(error, UsageError)]
    if usage:
        raise combine(usage)
    return choices, [f"{note}, skipped" for note in notes], errors
