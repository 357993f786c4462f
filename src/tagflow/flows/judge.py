"""Gathers what the rules ask about, and asks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import get_args

from tagflow.domain.history import Entry, Stay, stays
from tagflow.domain.plan import Request
from tagflow.domain.policy import Environment, Rule
from tagflow.domain.reference import Digest
from tagflow.domain.rules import Candidate, judge
from tagflow.domain.version import Version
from tagflow.errors import Refused, TagflowError, UsageError
from tagflow.flows.choose import Choice
from tagflow.flows.context import Context
from tagflow.flows.decision import Origin
from tagflow.flows.identify import identify
from tagflow.flows.observe import Observer, Sight
from tagflow.flows.parallel import attempt
from tagflow.stores.port import Manifest, Store
from tagflow.stores.transfer.copy import labels, normal_platform, platforms


def read_overrides(request: Request) -> frozenset[Rule]:
    """The rules that the user wants set aside.

    :raises UsageError: ``override.unknown``, ``override.reason`` where the reason is missing.
    """
    chosen: set[Rule] = set()
    for name in request.overrides:
        rule = next((rule for rule in get_args(Rule) if rule == name), None)
        if rule is None:
            raise UsageError(
                "override.unknown",
                f"{name!r} cannot be overridden",
                hint=f"Rules that can, where the policy allows it: {', '.join(get_args(Rule))}.",
            )
        chosen.add(rule)
    if chosen and not request.reason.strip():
        raise UsageError("override.reason", "an override needs a reason", hint="Add --reason TEXT; it is recorded.")
    return frozenset(chosen)


def denied_overrides(environment: Environment, request: Request) -> list[TagflowError]:
    """The refusal of those that the environment does not let be set aside, if there are any."""
    denied = sorted(read_overrides(request) - set(environment.overrides))
    if not denied:
        return []
    allowed = ", ".join(environment.overrides) or "none"
    return [
        Refused(
            "override.denied",
            f"{environment.name} does not let {', '.join(denied)} be overridden",
            hint=f"The policy allows there: {allowed}.",
        )
    ]


def judge_unseen(
    context: Context, observer: Observer, request: Request, sight: Sight, version: Version
) -> list[Refused]:
    """The reasons against a version that cannot come yet, beside its order: those that need no content and no stay."""
    environment = context.environment(request.environment)
    waived = read_overrides(request) & set(environment.overrides)
    candidate = Candidate(
        image=sight.place.image.name,
        label=context.scheme.version_tag(version),
        version=version,
        digest=Digest(""),
        running=context.scheme.parse_label(_running(observer, environment, sight)),
        held=_is_held(context, sight, version),
    )
    bare = replace(environment, soak=None, platforms=(), labels=())
    return [verdict.refusal() for verdict in judge(bare, candidate, context.now(), waived)]


def judge_all(
    context: Context,
    observer: Observer,
    request: Request,
    choices: Sequence[Choice],
    origins: Mapping[str, Origin],
    *,
    resuming: bool,
) -> list[TagflowError]:
    """Every reason against every choice. A release that is being finished is not asked for soak and freeze again."""
    environment = context.environment(request.environment)
    waived = read_overrides(request) & set(environment.overrides)
    if resuming:
        waived |= {"soak", "freeze"}
    now = context.now()

    def reasons(choice: Choice) -> list[TagflowError]:
        candidate = _candidate(context, observer, environment, choice, origins.get(choice.image))
        return [verdict.refusal() for verdict in judge(environment, candidate, now, waived)]

    found: list[TagflowError] = []
    for result in attempt(reasons, choices, threads=context.threads):
        found += [result] if isinstance(result, TagflowError) else result
    return found


def _candidate(
    context: Context, observer: Observer, environment: Environment, choice: Choice, origin: Origin | None
) -> Candidate:
    needs_content = bool(environment.platforms or environment.labels) and not choice.bringing
    store = origin.store if origin else context.stores(choice.source)
    manifest = store.get(origin.reference if origin else choice.digest) if needs_content else None
    return Candidate(
        image=choice.image,
        label=choice.label,
        version=choice.version,
        digest=choice.digest,
        running=context.scheme.parse_label(_running(observer, environment, choice.sight)),
        held=_is_held(context, choice.sight, choice.version),
        stays=_stays(context, observer, environment, choice) if environment.soak else (),
        platforms=_platforms(store, manifest, environment.platforms) if manifest and environment.platforms else None,
        unset_labels=_unset(store, manifest, environment.labels) if manifest else (),
    )


def _is_held(context: Context, sight: Sight, version: Version) -> bool:
    return any(context.scheme.parse_label(label) == version for label in sight.standing.state.holds)


def _running(observer: Observer, environment: Environment, sight: Sight) -> str | None:
    standing = sight.standing
    if standing.condition != "unrecorded" or environment.downgrades:
        return standing.version
    return identify(observer, sight)


def _stays(context: Context, observer: Observer, environment: Environment, choice: Choice) -> tuple[Stay, ...]:
    """The stays of a digest in the environments that it may come from. Where the head alone tells of one that is long
    enough, the records below it are not read."""
    places = [observer.place(choice.sight.place.image, context.environment(name)) for name in environment.sources]
    sights, now = observer.sights(places).values(), context.now()

    def told(sight: Sight, entries: Iterable[Entry]) -> list[Stay]:
        return [stay for stay in stays(entries, sight.standing, now) if stay.digest == choice.digest]

    lasting = [stay for it in sights if len(it.standing.heads) == 1 for stay in told(it, it.standing.heads)]
    if any(stay.end - stay.begin >= (environment.soak or timedelta()) for stay in lasting):
        return tuple(lasting)
    observer.read_all((it.place.history, tag) for it in sights for tag in it.records)
    read = [(it, observer.entries(it.place.history, sorted(it.records, key=str))) for it in sights]
    return tuple(stay for it, entries in read for stay in told(it, entries.values()))


def _platforms(store: Store, manifest: Manifest, wanted: Sequence[str]) -> frozenset[str]:
    found = platforms(store, manifest)
    return found | {name for name in wanted if normal_platform(name) in found}


def _unset(store: Store, manifest: Manifest, wanted: Sequence[str]) -> tuple[str, ...]:
    found = [given for _, given in labels(store, manifest)]
    return tuple(label for label in wanted if not found or any(not given.get(label) for given in found))
