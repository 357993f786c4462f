"""From choices to a decision: what push and promote have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tagflow.decide.decision import UNNUMBERED, Decision, Origin, Prospect, highest_number
from tagflow.decide.identify import identify
from tagflow.decide.interrupted import Unfinished, concerning, refuse_unfinished, unfinished
from tagflow.decide.judge import judge_all, rule_lookups
from tagflow.decide.moves import TagMoves, move_lookups
from tagflow.decide.selection import Choice
from tagflow.domain.history import Action, StackEntry
from tagflow.domain.intent import Intent, compact
from tagflow.domain.lookup import Lookup
from tagflow.domain.plan import Move, Plan, Request, Step
from tagflow.domain.policy import Environment
from tagflow.domain.snapshot import Observation, Snapshot, refuse_broken
from tagflow.domain.standing import Interrupted, Late, Recorded, Unrecorded
from tagflow.domain.version import Version
from tagflow.errors import TagflowError


@dataclass(frozen=True)
class Admission:
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
        for choice in choices:
            try:
                step, prospect = self._step(choice, resumes)
                moves += self._moves(choice)
            except TagflowError as error:
                refusals.append(error)
                entering.append(choice)
                continue
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
        refusals += judge_all(
            self.snapshot,
            self.environment,
            self.request,
            entering,
            self.now,
            resuming=resumes is not None,
            sending=origins.keys(),
        )
        return Decision(
            plan,
            highest_number(self.snapshot.all_in(self.environment)),
            prospects,
            origins,
            tuple(entering),
            tuple(choices),
            tuple(refusals),
            tuple(notes),
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
                adopted = state.adopted(StackEntry(found, standing.digest, UNNUMBERED))
                return (
                    replace(step, adopts=True, previous_version=found),
                    Prospect(seen, adopted.entered(entry, spellings), adopted=found),
                )
        stays = standing.digest == choice.digest and standing.digest is not None
        return step, Prospect(
            seen,
            state.entered(entry, spellings),
            since=state.since if stays else None,
            by=state.by if stays else "",
        )

    def _moves(self, choice: Choice) -> list[Move]:
        moves = TagMoves(self.snapshot, choice.seen)
        admitted: set[Version] = set(choice.seen.admitted) | {choice.version}
        return [
            *moves.anchors(choice.version, choice.digest),
            *moves.pins(choice.digest),
            moves.environment(choice.digest),
            *moves.floating([choice.version], admitted, {choice.version: choice.digest}),
        ]


def admission_lookups(
    snapshot: Snapshot, environment: Environment, choices: Sequence[Choice], now: datetime
) -> Iterator[Lookup]:
    """What :meth:`Admission.decide` asks about some choices."""
    for choice in choices:
        yield from move_lookups(snapshot, choice.seen, [choice.version], {*choice.seen.admitted, choice.version})
    going = [choice for choice in choices if not Admission._is_there(choice)]
    yield from rule_lookups(snapshot, environment, going, now)


def seen_in(snapshot: Snapshot, environment: Environment) -> dict[str, Observation]:
    """What was observed of every image in an environment, by name."""
    return {seen.image: seen for seen in snapshot.all_in(environment)}
