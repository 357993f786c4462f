"""Schedules that broke a promise once, told by who goes on until which request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.interleave.cases import CASES
from tests.interleave.explore import story_of
from tests.interleave.reader import FENCE, judge
from tests.interleave.schedule import Budget, Choice, Execution
from tests.interleave.told import steps
from tests.interleave.world import Told, World, hold

PLENTY = Budget(1000, 1000)
END = "(ends)"


@dataclass
class Script:
    """Who goes on until it is about to ask what: ``ann`` until ``put prod``. Who ends or waits is passed over."""

    stages: list[tuple[str, str]]
    execution: Execution = field(init=False)

    def __call__(self, choices: Sequence[Choice]) -> Choice | None:
        while len(self.stages) > 1 and self._is_over(*self.stages[0]):
            del self.stages[0]
        chosen = self._run(self.stages[0][0])
        return next((it for it in choices if it.kind in ("run", "next") and it.index == chosen), None)

    def _run(self, name: str) -> int:
        return next(it.index for it in self.execution.runs if it.command.name == name)

    def _is_over(self, name: str, until: str) -> bool:
        run = self.execution.runs[self._run(name)]
        call = run.pending
        if run.ended or run.asleep_until is not None:
            return True
        return call is not None and re.fullmatch(until, f"{call.kind} {call.tag}".strip()) is not None


def play(case: World, *stages: tuple[str, str], seed: str = "-0") -> Execution:
    """Carry one schedule out; the last stage goes on to the end."""
    script = Script(list(stages))
    execution = Execution(case.registry(), case.commands, {}, PLENTY, seed=seed, everywhere=True, choose=script)
    script.execution = execution
    told = "\n".join(steps(execution.run()))
    assert len(script.stages) == 1, f"it never came to {script.stages[0]}\n{told}"
    wrongs = judge(story_of(case, execution), winners=case.winners)
    assert not wrongs, f"{'; '.join(map(str, wrongs))}\n{told}"
    return execution


def test_combined_tag_that_comes_while_floating_tags_are_moved() -> None:
    """bob's record was read before his combined tag was there: with prod at his version and no new record, the list
    that shows the tag has to be worked through once more."""
    played = play(
        CASES["promote, promote"](),
        ("ann", "put prod"),
        ("ann", "list"),
        ("bob", r"put _tagflow\.prod.*"),
        ("bob", "list"),
        ("ann", "put latest"),
        ("ann", "list"),
        ("ann", "head prod"),
        ("bob", END),
        ("ann", END),
    )
    assert [run.status for run in played.runs] == [0, 0]


def test_rollback_of_what_two_have_finished() -> None:
    """cid is about to move prod; ann, who saw cid's record, finishes the same release, and bob rolls it back: not
    before all has arrived that cid may have sent without having seen ann's record."""
    played = play(
        CASES["three: finish, abandon, repair"](),
        ("cid", "put prod"),
        ("ann", END),
        ("bob", END),
        ("cid", END),
        ("bob", END),
    )
    assert [run.status for run in played.runs] == [0, 0, 0]
    assert played.clock > FENCE - 1


def test_hold_on_top_of_what_two_have_finished() -> None:
    """The same where somebody wrote a note in between: it hides nothing."""
    first = CASES["three: finish, abandon, repair"]()
    note = Told("dan", "hold prod v1.2.0", hold("v1.2.0"))
    case = World("finish, hold, rollback, repair", first.images, first.setup, (*first.runs, note))
    played = play(
        case,
        ("cid", "put prod"),
        ("ann", END),
        ("dan", END),
        ("bob", END),
        ("cid", END),
        ("bob", END),
    )
    assert [run.status for run in played.runs] == [0, 0, 0, 0]
    assert played.clock > FENCE - 1
