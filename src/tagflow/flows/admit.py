"""From choices to a decision: what push and promote have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tagflow.domain.history import Action, Ran, Record
from tagflow.domain.plan import Move, Plan, Request, Step
from tagflow.domain.version import Version
from tagflow.errors import TagflowError
from tagflow.flows.choose import Choice
from tagflow.flows.context import Context
from tagflow.flows.decision import UNNUMBERED, Decision, Origin, Prospect
from tagflow.flows.gates import refused_by, run_gates
from tagflow.flows.identify import identify
from tagflow.flows.interruption import announces_again, interrupted, refuse_interrupted, resumed, under_way
from tagflow.flows.judge import judge_all
from tagflow.flows.moves import Mover
from tagflow.flows.observe import Observer, Place, Sight
from tagflow.flows.travel import changed_by_daemon


@dataclass(frozen=True)
class Admission:
    """Everything that deciding about an environment's next release asks for."""

    context: Context
    request: Request
    observer: Observer
    sights: Mapping[Place, Sight]
    action: Action

    def decide(
        self,
        choices: Sequence[Choice],
        origins: Mapping[str, Origin],
        notes: Sequence[str] = (),
        errors: Sequence[TagflowError] = (),
    ) -> Decision:
        """The plan that brings every choice in, with every reason against it beside the ``errors`` known already."""
        refusals: list[TagflowError] = list(errors)
        resumes: Record | None = None
        try:
            resumes = self._resumed(choices)
        except TagflowError as error:
            refusals.append(error)
        self._prefetch(choices)
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
        plan = Plan(self.request, self.context.policy_digest, tuple(steps), tuple(moves), *resumed(resumes))
        refusals += judge_all(
            self.context, self.observer, self.request, entering, origins, resuming=resumes is not None
        )
        refusals += changed_by_daemon(self.context, entering, origins)
        decision = Decision(
            plan, self.observer, self.sights, prospects, origins, refusals=tuple(refusals), notes=tuple(notes)
        )
        if refusals or not entering:
            return decision
        gates = run_gates(self.context, self.request, [choice for choice in entering if choice.digest])
        return replace(decision, gates=gates, refusals=refused_by(gates))

    def _resumed(self, choices: Sequence[Choice]) -> Record | None:
        """A record of the interrupted release that these choices finish, if there is one.

        :raises Conflict: ``release.interrupted`` where they are another change.
        """
        if not interrupted(self.sights):
            return None
        members = under_way(self.sights)
        head = members[0].standing.head
        assert head is not None
        chosen = {choice.image: choice for choice in choices}
        announced = all(
            sight.standing.head is not None
            and sight.place.image.name in chosen
            and sight.standing.head.record.digest == chosen[sight.place.image.name].digest
            for sight in members
        )
        intent = dict(head.record.intent)
        same = head.record.action in ("push", "promote", "adopt") and all(
            image in chosen and chosen[image].label == wanted for image, wanted in intent.items()
        )
        alone = all(choice.image in intent or self._is_there(choice) for choice in choices)
        others = {_release_of(sight) for sight in interrupted(self.sights)} != {head.record.release.id}
        if not (announced and same and alone) or others:
            raise refuse_interrupted(self.sights)
        return head.record

    def _is_there(self, choice: Choice) -> bool:
        standing = choice.sight.standing
        return (
            standing.condition == "recorded" and standing.digest == choice.digest and standing.version == choice.label
        )

    def _step(self, choice: Choice, resumes: Record | None) -> tuple[Step | None, Prospect]:
        sight, standing = choice.sight, choice.sight.standing
        if self._is_there(choice):
            return None, Prospect(sight, standing.state)
        step = Step(
            image=choice.image,
            repository=str(sight.place.repository),
            action=self.action,
            version=choice.label,
            digest=choice.digest,
            previous_version=standing.version,
            previous_digest=standing.digest,
            heads=tuple(str(entry.tag) for entry in standing.heads),
            source="" if choice.source == sight.place.repository and not choice.bringing else str(choice.source),
        )
        ran, spellings = Ran(choice.label, choice.digest, UNNUMBERED), sight.listed_as(choice.version)
        head = standing.head
        if standing.condition == "interrupted" and resumes is not None and head is not None:
            announced = not announces_again(self.context.policy, sight)
            return replace(step, recorded=announced), Prospect(sight, head.record.state)
        stays = standing.digest == choice.digest
        if standing.condition != "unrecorded" or standing.digest is None:
            return step, Prospect(
                sight, standing.state.entered(ran, spellings), since=standing.state.since if stays else None
            )
        if stays:
            return replace(step, action="adopt"), Prospect(sight, standing.state.entered(ran, spellings))
        found = identify(self.observer, sight)
        adopted = standing.state.adopted(Ran(found, standing.digest, UNNUMBERED))
        return replace(step, adopts=True, previous_version=found), Prospect(
            sight, adopted.entered(ran, spellings), adopted=found
        )

    def _moves(self, choice: Choice) -> list[Move]:
        mover = Mover(self.observer, self.context.scheme, choice.sight)
        admitted: set[Version] = set(choice.sight.admitted) | {choice.version}
        return [
            *mover.anchors(choice.version, choice.digest),
            *mover.pins(choice.digest),
            mover.environment(choice.digest),
            *mover.floating([choice.version], admitted, {choice.version: choice.digest}),
        ]

    def _prefetch(self, choices: Sequence[Choice]) -> None:
        self.observer.look_up(
            question
            for choice in choices
            for question in Mover(self.observer, self.context.scheme, choice.sight).wanted(
                [choice.version], {*choice.sight.admitted, choice.version}
            )
        )


def _release_of(sight: Sight) -> str:
    head = sight.standing.head
    return head.record.release.id if head else ""
