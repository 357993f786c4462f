"""Gathers what the rules ask about, and asks them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import get_args

from msgspec.structs import replace

from tagflow.decide.selection import Choice, hold_of, identify
from tagflow.domain.lines import enters_beside
from tagflow.domain.plan import Request
from tagflow.domain.policy import Environment, Rule
from tagflow.domain.reference import Digest, normal_platform
from tagflow.domain.rules import Candidate, Verdict, judge
from tagflow.domain.snapshot import ImageLookup, Lookup, Observation, RecordLookup, Snapshot
from tagflow.domain.standing import Interrupted, Late, Stay, Unrecorded, stays
from tagflow.domain.versions import Version
from tagflow.errors import ContentMissing, Refused, TagflowError, UsageError


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
        raise UsageError("override.reason", "an override needs a reason", hint="Give a reason; it is recorded.")
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
    snapshot: Snapshot, environment: Environment, request: Request, seen: Observation, version: Version, now: datetime
) -> list[TagflowError]:
    """The reasons against a version that cannot come yet, beside its order: those that need no content and no stay."""
    waived = read_overrides(request) & set(environment.overrides)
    try:
        beside = is_beside(snapshot, environment, request, seen, version)
    except UsageError:
        beside = False  # the rule of downgrades says so
    running = _running(snapshot, environment, seen)
    candidate = Candidate(
        image=seen.image,
        label=snapshot.scheme.version_tag(version),
        version=version,
        digest=Digest(""),
        running=snapshot.scheme.recall(running),
        running_label=running or "",
        hold=hold_of(seen, version, None),
        was_in=seen.was_admitted(version),
        stop=seen.standing.state.freeze,
        beside=beside,
        leads_back=seen.standing.leads_back,
    )
    bare = replace(environment, soak=None, platforms=(), labels=())
    return [verdict.refusal() for verdict in judge(bare, candidate, now, waived)]


def judge_all(
    snapshot: Snapshot,
    environment: Environment,
    request: Request,
    choices: Sequence[Choice],
    now: datetime,
    *,
    resuming: bool,
    sending: Collection[str] = (),
    besides: Collection[str] = (),
) -> tuple[list[TagflowError], list[Verdict]]:
    """Every reason against every choice, and those that an override sets aside. A release that is being finished is not
    asked for soak and freeze again.

    ``sending`` are the images whose content, or what is missing of it, is brought along; ``besides`` those whose
    version enters beside what runs.
    """
    overridden = read_overrides(request) & set(environment.overrides)
    settled: set[Rule] = {"soak", "freeze"} if resuming else set()
    found: list[TagflowError] = []
    waived: list[Verdict] = []
    for choice in choices:
        try:
            found += [] if choice.image in sending else content_problems(snapshot, choice)
            beside = choice.image in besides
            candidate = replace(_candidate(snapshot, environment, choice, now), beside=beside)
            verdicts = judge(environment, candidate, now, settled)
            found += [verdict.refusal() for verdict in verdicts if verdict.rule not in overridden]
            waived += [verdict for verdict in verdicts if verdict.rule in overridden]
        except TagflowError as error:
            found.append(error)
    return found, waived


def told(waived: Sequence[Verdict]) -> list[str]:
    """What is set aside, in words; the same of several images once."""
    images: dict[tuple[str, str], list[str]] = {}
    for verdict in waived:
        about = verdict.message.removeprefix(f"{verdict.image} ")
        images.setdefault((verdict.rule or "", about), []).append(verdict.image)
    lines = []
    for (rule, about), names in images.items():
        whose = "" if about.startswith(next(iter(names), "")) or rule == "freeze" else f"{_names(names)} "
        lines.append(f"set aside ({rule}): {whose}{about}")
    return lines


def _names(images: Sequence[str]) -> str:
    return images[0] if len(images) == 1 else f"{len(images)} images:"


def rule_lookups(
    snapshot: Snapshot, environment: Environment, choices: Sequence[Choice], now: datetime
) -> Iterator[Lookup]:
    """What the rules ask: labels and platforms, whether images are whole, and the records that tell of stays."""
    for choice in choices:
        if choice.digest and not choice.bringing:
            yield ImageLookup(choice.source, choice.digest, "parts")
        if choice.digest and environment.platforms:
            yield ImageLookup(choice.source, choice.digest, "platforms")
        if choice.digest and environment.labels:
            yield ImageLookup(choice.source, choice.digest, "labels")
        if environment.soak:
            yield from _stay_lookups(snapshot, environment, choice, now)


def content_problems(snapshot: Snapshot, choice: Choice) -> list[TagflowError]:
    """Why the image cannot be promoted as it is: parts of it are not there any more."""
    key = (choice.source, choice.digest)
    if not choice.digest or choice.bringing:
        return []
    if key in snapshot.unreadable:
        return [snapshot.unreadable[key]]
    gone = snapshot.gone[key]
    if not gone:
        return []
    message = f"{choice.image} {choice.label} ({choice.digest}) is not whole any more:\n  " + "\n  ".join(gone)
    return [
        ContentMissing(
            message,
            hint=f"Send what is missing: `tagflow push {choice.label} {choice.image}=SOURCE`,"
            " from wherever it still is whole.",
            details=[{"code": "content.missing", "image": choice.image, "message": message, "parts": list(gone)}],
        )
    ]


def is_beside(
    snapshot: Snapshot, environment: Environment, request: Request, seen: Observation, version: Version
) -> bool:
    """Whether a version enters beside what runs, as the highest of its own line, and the environment tag stays.

    Not where `--override downgrades` says that the environment itself is to go back, and not where the tag is the
    matter of another release: what was announced is finished as it was announced.

    :raises UsageError: ``version.order``.
    """
    waived = read_overrides(request) & set(environment.overrides)
    if environment.lines == "none" or "downgrades" in waived:
        return False
    if isinstance(seen.standing.position, Interrupted | Late):
        return False
    running = snapshot.scheme.recall(_label_of_running(snapshot, seen))
    return enters_beside(version, running, seen.admitted, environment.lines)


def is_behind(snapshot: Snapshot, seen: Observation, version: Version) -> bool:
    """Whether an environment runs a higher version than this, or what nobody can compare with it."""
    if seen.standing.digest is None or isinstance(seen.standing.position, Interrupted | Late):
        return False
    running = snapshot.scheme.recall(_label_of_running(snapshot, seen))
    return running is None or version < running


def _candidate(snapshot: Snapshot, environment: Environment, choice: Choice, now: datetime) -> Candidate:
    key = (choice.source, choice.digest)
    looks_inside = bool(choice.digest) and bool(environment.platforms or environment.labels)
    if looks_inside and key in snapshot.unreadable:
        raise snapshot.unreadable[key]
    platforms: frozenset[str] | None = None
    if looks_inside and environment.platforms:
        found = snapshot.platforms[key]
        platforms = found | {name for name in environment.platforms if normal_platform(name) in found}
    unset: tuple[str, ...] = ()
    if looks_inside and environment.labels:
        given = snapshot.labels[key]
        unset = tuple(name for name in environment.labels if not given or not all(it.get(name) for it in given))
    running = _running(snapshot, environment, choice.seen)
    return Candidate(
        image=choice.image,
        label=choice.label,
        version=choice.version,
        digest=choice.digest,
        running=snapshot.scheme.recall(running),
        running_label=running or "",
        hold=hold_of(choice.seen, choice.version, choice.digest),
        was_in=choice.seen.was_admitted(choice.version),
        stop=choice.seen.standing.state.freeze,
        leads_back=choice.seen.standing.leads_back,
        stays=_stays(snapshot, environment, choice, now) if environment.soak else (),
        platforms=platforms,
        unset_labels=unset,
    )


def _running(snapshot: Snapshot, environment: Environment, seen: Observation) -> str | None:
    return seen.standing.version if environment.downgrades else _label_of_running(snapshot, seen)


def _label_of_running(snapshot: Snapshot, seen: Observation) -> str | None:
    standing = seen.standing
    return identify(snapshot, seen) if isinstance(standing.position, Unrecorded) else standing.version


def _sources(snapshot: Snapshot, environment: Environment, choice: Choice) -> list[Observation]:
    """What was observed of the image in every environment that it may come from."""
    return [snapshot.of(choice.seen.target.image, snapshot.environment(name)) for name in environment.sources]


def _stays(snapshot: Snapshot, environment: Environment, choice: Choice, now: datetime) -> tuple[Stay, ...]:
    """The stays of a digest in the environments that it may come from, by the records that were read."""
    return tuple(
        stay
        for seen in _sources(snapshot, environment, choice)
        for stay in stays(snapshot.read(seen.target, seen.records), seen.standing, now)
        if stay.digest == choice.digest
    )


def _stay_lookups(snapshot: Snapshot, environment: Environment, choice: Choice, now: datetime) -> Iterator[Lookup]:
    """The records that tell of stays. Where the heads and their parents tell of one that is long enough, no others."""
    sources = _sources(snapshot, environment, choice)
    for seen in sources:
        for head in seen.standing.heads:
            yield from (RecordLookup(seen.target.history, parent.tag) for parent in head.record.parents)
    longest = max((it.end - it.begin for it in _stays(snapshot, environment, choice, now)), default=timedelta())
    if longest < (environment.soak or timedelta()):
        for seen in sources:
            yield from (RecordLookup(seen.target.history, tag) for tag in sorted(seen.records, key=str))
