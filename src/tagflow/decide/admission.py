"""From choices to a decision: what push and promote have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import Struct

from tagflow.decide.decision import UNNUMBERED, Decision, Origin, Prospect, adopting, highest_number
from tagflow.decide.expiry import expiry_lookups, expiry_notes
from tagflow.decide.former import former_notes
from tagflow.decide.interrupted import Unfinished, concerning, refuse_unfinished, unfinished
from tagflow.decide.judge import is_behind, is_beside, judge_all, rule_lookups, told
from tagflow.decide.moves import TagMoves, move_lookups
from tagflow.decide.selection import Choice, identify
from tagflow.domain.history import Action
from tagflow.domain.intent import Intent, compact
from tagflow.domain.lines import lines_of
from tagflow.domain.plan import Move, Plan, Request, Step
from tagflow.domain.policy import CHANNELS, PRERELEASE_WORDS, Environment
from tagflow.domain.snapshot import Lookup, Snapshot, refuse_broken
from tagflow.domain.standing import Interrupted, Late, Recorded, Unrecorded
from tagflow.domain.state import StackEntry
from tagflow.domain.versions import Version
from tagflow.errors import TagflowError, UsageError


class Admission(Struct, frozen=True):
    """What deciding about an environment's next release needs to know."""

    snapshot: Snapshot
    request: Request
    environment: Environment
    policy_digest: str
    action: Action
    now: datetime

    def decide(
        self,
        choices: Sequence[Choice],
        origins: Mapping[str, Origin],
        notes: Sequence[str] = (),
        errors: Sequence[TagflowError] = (),
        others: Collection[str] = (),
    ) -> Decision:
        """The plan that brings every choice in, with every reason against it beside the ``errors`` known already.

        ``others`` are images that were asked for, too, and for which there is no choice.
        """
        refusals: list[TagflowError] = list(errors)
        resumes: Unfinished | None = None
        try:
            refuse_broken([choice.seen for choice in choices])
            resumes = self._resumed(choices, others)
        except TagflowError as error:
            refusals.append(error)
            choices = [choice for choice in choices if choice.seen.standing.error is None]
        steps: list[Step] = []
        moves: list[Move] = []
        prospects: dict[str, Prospect] = {}
        entering: list[Choice] = []
        besides: set[str] = set()
        notices = list(notes)
        for choice in choices:
            try:
                again = choice.image in origins and resumes is None and self._is_sent_again(choice)
                beside = again or self._is_beside(choice, besides)
                step, prospect = self._beside(choice) if beside else self._step(choice, resumes)
                moves += self._moves(choice, beside=beside)
            except TagflowError as error:
                refusals.append(error)
                entering += [] if self._is_there(choice) else [choice]  # of what runs already no rule asks
                continue
            notices += sent_again(self.environment, choice) if again else ()
            notices += entry_notes(self.environment, choice, beside=beside and not again)
            if step is not None:
                steps.append(step)
                prospects[choice.image] = prospect
                entering.append(choice)
        plan = Plan(
            self.request,
            self.policy_digest,
            tuple(steps),
            tuple(moves),
            resumes.entry.record.release if resumes else None,
            self._intent(steps, resumes),
        )
        refused, waived = judge_all(
            self.snapshot,
            self.environment,
            self.request,
            entering,
            self.now,
            resuming=resumes is not None,
            sending=origins.keys(),
            besides=besides,
        )
        refusals += refused
        notices += told(waived)
        notices += expiry_notes(self.snapshot, entering)
        notices += former_notes(self.snapshot, self.environment, entering)
        return Decision(
            plan,
            highest_number(self.snapshot.all_in(self.environment)),
            prospects,
            origins,
            tuple(entering),
            tuple(choices),
            tuple(refusals),
            tuple(notices),
            tuple(resumes.entries.values()) if resumes else (),
        )

    def _intent(self, steps: Sequence[Step], resumes: Unfinished | None) -> Intent:
        names = [image.name for image in self.snapshot.policy.images]
        wanted = dict(resumes.wanted) if resumes else {it.image: it.version or it.digest or "" for it in steps}
        return compact(wanted, names)

    def _resumed(self, choices: Sequence[Choice], others: Collection[str]) -> Unfinished | None:
        """The interrupted release that these choices finish, if there is one. Releases of other images go their way.

        :raises ReleaseInterrupted: where they are another change.
        """
        chosen = {choice.image: choice for choice in choices}
        releases = concerning(unfinished(self.snapshot, self.environment), {*chosen, *others})
        if not releases:
            return None
        release = releases[0]
        record = release.entry.record
        wanted = release.wanted
        same = record.action in ("push", "promote", "adopt") and all(
            image in chosen and wish in ("", chosen[image].label, chosen[image].digest)
            for image, wish in wanted.items()
        )
        announced = all(
            image in chosen and entry.record.digest == chosen[image].digest for image, entry in release.entries.items()
        )
        alone = all(choice.image in wanted or self._is_there(choice) for choice in choices)
        if not (same and announced and alone) or len(releases) > 1:
            raise refuse_unfinished(release, self.now)
        return release

    @staticmethod
    def _is_there(choice: Choice) -> bool:
        standing = choice.seen.standing
        return (
            isinstance(standing.position, Recorded)
            and standing.digest == choice.digest
            and standing.version == choice.label
        )

    def _is_sent_again(self, choice: Choice) -> bool:
        """Whether a version is pushed that was here already: what is missing of it is sent again, and nothing moves
        back to it. Whoever promotes it wants it to run, wherever its content comes from."""
        if (
            self.request.command != "push"
            or choice.bringing
            or not _is_admitted(self.snapshot, choice)
            or self._is_there(choice)
        ):
            return False
        return is_behind(self.snapshot, choice.seen, choice.version)

    def _is_beside(self, choice: Choice, besides: set[str]) -> bool:
        """Whether a choice enters beside what runs; then, and where nobody can tell, it is noted in ``besides``.

        :raises UsageError: ``version.order``.
        """
        try:
            beside = is_beside(self.snapshot, self.environment, self.request, choice.seen, choice.version)
        except UsageError:
            besides.add(choice.image)  # told once: the rule of downgrades would say it again
            raise
        besides |= {choice.image} if beside else set()
        return beside

    def _beside(self, choice: Choice) -> tuple[Step | None, Prospect]:
        """A note in the history: the environment tag stays, and so does what the head announced."""
        seen, standing = choice.seen, choice.seen.standing
        state = standing.state
        if _is_admitted(self.snapshot, choice):
            return None, Prospect(seen, state)
        step = Step(
            image=choice.image,
            repository=str(seen.target.repository),
            action="admit",
            version=choice.label,
            digest=standing.digest,
            previous_version=standing.version,
            previous_digest=standing.digest,
            heads=tuple(str(entry.tag) for entry in standing.heads),
            source="" if choice.source == seen.target.repository and not choice.bringing else str(choice.source),
            subject=choice.digest,
        )
        entry = StackEntry(choice.label, choice.digest, UNNUMBERED)
        return step, Prospect(seen, state.let_in(entry, seen.listed_as(choice.version)))

    def _step(self, choice: Choice, resumes: Unfinished | None) -> tuple[Step | None, Prospect]:
        seen, standing = choice.seen, choice.seen.standing
        state = standing.state
        if self._is_there(choice):
            return None, Prospect(seen, state)
        step = Step(
            image=choice.image,
            repository=str(seen.target.repository),
            action=self.action,
            version=choice.label,
            digest=choice.digest,
            previous_version=standing.version,
            previous_digest=standing.digest,
            heads=tuple(str(entry.tag) for entry in standing.heads),
            source="" if choice.source == seen.target.repository and not choice.bringing else str(choice.source),
        )
        entry, spellings = StackEntry(choice.label, choice.digest, UNNUMBERED), seen.listed_as(choice.version)
        match standing.position:
            case Interrupted(head) if resumes is not None:
                return replace(step, action=resumes.entry.record.action), Prospect(seen, head.record.state)
            case Late(head):
                back = replace(step, previous_version=standing.wanted, previous_digest=head.record.digest)
                return back, Prospect(seen, state.entered(entry, spellings))
            case Unrecorded() if standing.digest == choice.digest:
                return replace(step, action="adopt"), Prospect(seen, state.entered(entry, spellings))
            case Unrecorded() if standing.digest is not None:
                found = identify(self.snapshot, seen)
                after = adopting(seen, found, UNNUMBERED).entered(entry, spellings)
                return replace(step, adopts=True, previous_version=found), Prospect(seen, after, adopted=found)
        stays = standing.digest == choice.digest and standing.digest is not None
        return step, Prospect(
            seen,
            state.entered(entry, spellings),
            since=state.since if stays else None,
            by=state.by if stays else "",
        )

    def _moves(self, choice: Choice, *, beside: bool) -> list[Move]:
        moves = TagMoves(self.snapshot, choice.seen)
        target = choice.seen.standing.digest if beside else choice.digest
        return [
            *moves.anchors(choice.version, choice.digest),
            *moves.pins(target),
            moves.environment(target),
            *moves.floating([choice.version], _admitted(choice), {choice.version: choice.digest}),
        ]


def sent_again(environment: Environment, choice: Choice) -> list[str]:
    """What is said where only what was missing of a version is sent."""
    running = choice.seen.standing.version or "what runs"
    return [
        f"{choice.image}: what is missing of {choice.label} is sent again; {environment.name} stays at {running}"
        f" (`tagflow promote {choice.image}={choice.label} --to {environment.name}` moves it)"
    ]


def entry_notes(environment: Environment, choice: Choice, *, beside: bool) -> list[str]:
    """What a reader of the plan would not expect: a tag that stays, and why."""
    image, label, name = choice.image, choice.label, environment.name
    notes = []
    if beside:
        running = choice.seen.standing.version or "what runs"
        notes.append(f"{image}: {label} enters {name} beside {running}, as the highest of its line; {name} stays")
    staying = [line for line in environment.floating if line not in CHANNELS]
    if choice.version.is_prerelease and staying:
        tags = ", ".join(choice.seen.scheme.floating_tag(choice.version, line) for line in staying)
        kind = "a pre-release" if choice.version.word in PRERELEASE_WORDS else _by_its_suffix(choice.version)
        stay = "stays" if len(staying) == 1 else "stay"
        notes.append(f"{image}: {label} is {kind}, so {tags} {stay}")
    scheme = choice.seen.scheme
    for tag, line in lines_of(scheme, environment, [choice.version]).items():
        if scheme.is_release_too(tag, choice.seen.tags):
            notes.append(f"{image}: {tag} is a release from before {line} floated, so it stays")
    return notes


def _by_its_suffix(version: Version) -> str:
    """A pre-release that does not look like one: to SemVer, everything after the first hyphen makes one."""
    suffix = version.text.partition("+")[0].partition("-")[2]
    return f"a pre-release to {version.scheme.title}, by its -{suffix}" if suffix else "a pre-release"


def _admitted(choice: Choice) -> set[Version]:
    """What is admitted afterwards. What runs already enters no more: where it is held, floating tags leave it, and the
    plan says so."""
    return {*choice.seen.admitted, *(() if Admission._is_there(choice) else (choice.version,))}


def _is_admitted(snapshot: Snapshot, choice: Choice) -> bool:
    """Whether a version is admitted already, at the digest that was chosen."""
    seen = choice.seen
    tag = seen.combined.get(choice.version)
    if tag is None or choice.version not in seen.admitted:
        return False
    return snapshot.digest(seen.target.repository, tag) == choice.digest


def admission_lookups(
    snapshot: Snapshot, environment: Environment, choices: Sequence[Choice], now: datetime
) -> Iterator[Lookup]:
    """What :meth:`Admission.decide` asks about some choices."""
    for choice in choices:
        yield from move_lookups(snapshot, choice.seen, [choice.version], _admitted(choice), choice.version)
    going = [choice for choice in choices if not Admission._is_there(choice)]
    yield from rule_lookups(snapshot, environment, going, now)
    yield from expiry_lookups(going)
