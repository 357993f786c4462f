"""May this version enter that environment, at this moment? Each rule that says no says why, and until when."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, time, timedelta

from msgspec import Struct
from msgspec.structs import replace

from tagflow.domain.policy import Environment, Freeze, Rule
from tagflow.domain.reference import Digest
from tagflow.domain.standing import Stay
from tagflow.domain.state import Freeze as Stop
from tagflow.domain.state import Hold
from tagflow.domain.times import format_duration
from tagflow.domain.versions import Version, refuse_unclear_order
from tagflow.errors import Refused, TagflowError, UsageError, on_one_line

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HORIZON = 800
"""Days looked ahead for the end of a freeze: two years and a bit."""


class Candidate(Struct, frozen=True):
    """One image on its way: everything that the rules ask about.

    ``hold`` is the hold that the version or its digest is under, ``stop`` the freeze that somebody ordered there.
    ``running_label`` is the tag of what runs. ``was_in``: it was admitted there before. ``beside``: it enters beside
    what runs, as the highest of its own line. ``leads_back``: a rollback there leads to what ran before.
    """

    image: str
    label: str
    version: Version
    digest: Digest
    running: Version | None = None
    running_label: str = ""
    hold: Hold | None = None
    was_in: bool = True
    stop: Stop | None = None
    beside: bool = False
    leads_back: bool = True
    stays: tuple[Stay, ...] = ()
    platforms: frozenset[str] | None = None
    unset_labels: tuple[str, ...] = ()


class Verdict(Struct, frozen=True):
    """One rule's no. ``rule`` is the name by which it may be overridden, or empty; ``until`` when it would say yes."""

    code: str
    image: str
    message: str
    rule: Rule | None = None
    until: datetime | None = None
    hint: str = ""

    def refusal(self) -> TagflowError:
        """The verdict as an error."""
        if self.code == "version.order":
            return UsageError(self.code, self.message, hint=self.hint)
        detail: dict[str, object] = {"code": self.code, "image": self.image, "message": self.message}
        if self.until is not None:
            detail["until"] = self.until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Refused(self.code, self.message, hint=self.hint, details=[detail])


def judge(
    environment: Environment, candidate: Candidate, now: datetime, waived: Collection[Rule] = ()
) -> list[Verdict]:
    """Every reason why a candidate may not enter an environment now; none means that it may.

    ``now`` is an aware datetime; ``waived`` are the rules that an override sets aside.
    """
    prerelease = [*_prerelease(environment, candidate)]
    content = [*_platforms(environment, candidate), *_labels(environment, candidate)]
    if prerelease or content:  # no override helps against that, so none is offered for the rest
        environment = replace(environment, overrides=())
    verdicts = [
        *_hold(environment, candidate),
        *prerelease,
        *_downgrade(environment, candidate),
        *_soak(environment, candidate, now),
        *_frozen(environment, candidate, now),
        *content,
    ]
    return [verdict for verdict in verdicts if verdict.rule is None or verdict.rule not in waived]


def _hold(environment: Environment, candidate: Candidate) -> Iterable[Verdict]:
    hold = candidate.hold
    if hold is None:
        return
    name, label = candidate.image, candidate.label
    message = f"{name} {label} is held in {environment.name}"
    if hold.version != label:
        message += f", as the same bytes as {hold.version}"
    message += _who(hold.by, hold.at, hold.reason) or ": it was rolled back there"
    override = f"`{_overriding(environment, candidate, 'hold')}`" if "hold" in environment.overrides else ""
    if candidate.was_in:
        back = f"`tagflow rollback {environment.name} {name}={label}`"
        hint = f"{override} brings it in again, so does {back}." if override else f"{back} brings it in again."
    else:  # nothing that a rollback could lead to
        lift = f"`tagflow hold {environment.name} {name}={hold.version} --lift --reason WHY` lifts the hold."
        hint = f"{override} brings it in, {lift}" if override else lift
    yield Verdict(
        "promotion.held",
        name,
        message,
        rule="hold",
        hint=hint,
    )


def _prerelease(environment: Environment, candidate: Candidate) -> Iterable[Verdict]:
    if not environment.prereleases and candidate.version.is_prerelease:
        yield Verdict(
            "promotion.prerelease",
            candidate.image,
            f"{candidate.image} {candidate.label} is a pre-release, and {environment.name} takes none",
            hint="Promote a release.",
        )


def _downgrade(environment: Environment, candidate: Candidate) -> Iterable[Verdict]:
    if environment.downgrades or candidate.beside or not (candidate.running or candidate.running_label):
        return
    runs = candidate.running_label or candidate.running
    try:
        running = _comparable(environment, candidate)
    except UsageError as error:
        told = f"{candidate.label} cannot be compared with {runs}, which runs in {environment.name}"
        message = f"{candidate.image} {told}: {error.message}"
        yield Verdict(error.code, candidate.image, message, rule="downgrades", hint=error.hint)
        return
    if candidate.version < running:
        yield Verdict(
            "promotion.downgrade",
            candidate.image,
            f"{candidate.image} {candidate.label} is lower than {runs}, which runs in {environment.name}",
            rule="downgrades",
            hint=_downgrade_hint(environment, candidate),
        )


def _comparable(environment: Environment, candidate: Candidate) -> Version:
    """What runs, where anybody can say whether a candidate is lower.

    :raises UsageError: ``version.order``.
    """
    if candidate.running is None:
        way = f"Let `tags` read it, or set `downgrades: allow` for {environment.name}, in the policy."
        if "downgrades" in environment.overrides:
            way = f"If it is no downgrade: `{_overriding(environment, candidate, 'downgrades')}`."
        raise UsageError(
            "version.order",
            "this policy does not read that as a version",
            hint=way,
        )
    refuse_unclear_order(candidate.version, candidate.running)
    return candidate.running


def _downgrade_hint(environment: Environment, candidate: Candidate) -> str:
    """The way that is open: the override where the policy allows it, a rollback where it ran, a line of its own."""
    ways = []
    if "downgrades" in environment.overrides:
        ways.append(f"To go back all the same: `{_overriding(environment, candidate, 'downgrades')}`.")
    if environment.lines == "none":
        ways.append(f"To keep an older line alive beside what runs, set `lines: minor` for {environment.name}.")
    name = environment.name
    return " ".join(ways) or f"What ran in {name} before comes back by `tagflow rollback {name}`."


def _overriding(environment: Environment, candidate: Candidate, rule: Rule) -> str:
    """The command that sets a rule aside for one image."""
    target = f"{candidate.image}={candidate.label}"
    return f"tagflow promote {target} --to {environment.name} --override {rule} --reason TEXT"


def _or_override(environment: Environment, rule: Rule) -> str:
    """What else may be done, where the policy allows it."""
    return f", or override with a reason (`--override {rule}`)" if rule in environment.overrides else ""


def _soak(environment: Environment, candidate: Candidate, now: datetime) -> Iterable[Verdict]:
    needed = environment.soak
    if not needed:
        return
    longest = max((stay.end - stay.begin for stay in candidate.stays), default=timedelta())
    if longest >= needed:
        return
    lasting = [stay.begin + needed for stay in candidate.stays if stay.end >= now]
    where = " or ".join(environment.sources)
    until = min(lasting, default=None)
    message = f"{candidate.image} {candidate.label} was in {where} for {format_duration(longest)}"
    message += f", {format_duration(needed)} is asked"
    if until is not None:
        message += f": soak {format_duration(until - now)} left, until {_moment(until)}"
    hint = f"Wait{_or_override(environment, 'soak')}."
    yield Verdict("promotion.soak", candidate.image, message, rule="soak", until=until, hint=hint)


def _frozen(environment: Environment, candidate: Candidate, now: datetime) -> Iterable[Verdict]:
    override = _or_override(environment, "freeze")
    anyway = f" `tagflow rollback {environment.name}` works in a freeze too." if candidate.leads_back else ""
    stop = candidate.stop
    if stop is not None and (stop.until is None or now < stop.until):
        message = f"{environment.name} is frozen"
        message += f" until {_moment(stop.until)}" if stop.until else ""
        yield Verdict(
            "promotion.frozen",
            candidate.image,
            message + _who(stop.by, stop.at, stop.reason),
            rule="freeze",
            until=stop.until,
            hint=f"`tagflow freeze {environment.name} --lift --reason TEXT` ends it{override}.{anyway}",
        )
    if not any(is_frozen(window, now) for window in environment.freeze):
        return
    opening = next_opening(environment.freeze, now)
    message = f"{environment.name} is frozen"
    message += f" until {_moment(opening)}" if opening else " with no end in sight"
    yield Verdict(
        "promotion.frozen",
        candidate.image,
        message,
        rule="freeze",
        until=opening,
        hint=f"{'Wait' if opening else f'Change `freeze` of {environment.name} in the policy'}{override}.{anyway}",
    )


def _platforms(environment: Environment, candidate: Candidate) -> Iterable[Verdict]:
    missing = sorted(set(environment.platforms) - (candidate.platforms or frozenset()))
    if missing:
        has = ", ".join(sorted(candidate.platforms or ())) or "none"
        yield Verdict(
            "promotion.platforms",
            candidate.image,
            f"{candidate.image} {candidate.label} lacks {', '.join(missing)} (it has {has})",
            hint="Build and push the image for all platforms.",
        )


def _labels(environment: Environment, candidate: Candidate) -> Iterable[Verdict]:
    if candidate.unset_labels:
        yield Verdict(
            "promotion.labels",
            candidate.image,
            f"{candidate.image} {candidate.label} does not set the label"
            f" {', '.join(candidate.unset_labels)} on every platform",
            hint=f"{environment.name} asks for it: set it in the build.",
        )


def _who(by: str, at: datetime | None, reason: str) -> str:
    """``, by ann on Tue 2026-03-03 09:00 UTC: the reason``, as far as it is known."""
    told, reason = f", by {on_one_line(by)}" if by else "", on_one_line(reason)
    told += f" since {_moment(at)}" if at else ""
    return f"{told}: {reason}" if told and reason else told


def is_frozen(window: Freeze, moment: datetime) -> bool:
    """Whether a moment (aware) is in a window, by the wall clock of the window's own time zone."""
    day = moment.astimezone(window.zone).date()
    if window.days:
        return day.weekday() in window.days
    after = window.first is None or window.first <= day
    before = window.last is None or day <= window.last
    return after and before


def next_opening(windows: Iterable[Freeze], moment: datetime) -> datetime | None:
    """The first moment at or after ``moment`` that no window covers, in the zone of the window that ends last.

    Windows begin and end at midnight of their zone, so only midnights need to be tried: also on a day whose midnight
    the clocks skip or repeat. None where two years bring no opening.
    """
    chosen = list(windows)
    for _ in range(_HORIZON):
        covering = [window for window in chosen if is_frozen(window, moment)]
        if not covering:
            return moment
        moment = max(_next_midnight(window, moment) for window in covering)
    return None


def _next_midnight(window: Freeze, moment: datetime) -> datetime:
    day = moment.astimezone(window.zone).date() + timedelta(days=1)
    midnight = datetime.combine(day, time(), tzinfo=window.zone)
    # Where the clocks skip or repeat midnight, the day may not have begun yet.
    first = midnight.astimezone(UTC)
    while first.astimezone(window.zone).date() < day:
        first += timedelta(minutes=30)
    return first.astimezone(window.zone)


def _moment(moment: datetime) -> str:
    zone = getattr(moment.tzinfo, "key", None) or moment.tzname() or ""
    return f"{_DAYS[moment.weekday()]} {moment:%Y-%m-%d %H:%M} {zone}".rstrip()
