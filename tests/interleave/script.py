"""One schedule, told by who goes on until which request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.interleave.explore import story_of
from tests.interleave.reader import Wrong, judge
from tests.interleave.schedule import Budget, Choice, Execution
from tests.interleave.told import steps
from tests.interleave.world import World

END = "(ends)"
DIES = "(dies)"
"""Goes on until its next PUT, and dies before that is sent."""
DIES_LATE = "(dies, and its PUT is on its way)"
"""The same, but what it sent arrives later."""
LANDS = "(arrives)"
"""Goes on until the first request to which what is on its way makes a difference; there it arrives."""
NO_ANSWER = "(gets no answer)"
"""Its next PUT, which arrives later."""
_FATES = {DIES: Choice("kill"), DIES_LATE: Choice("kill", how="late"), NO_ANSWER: Choice("lost", how="late")}
_PLENTY = Budget(1000, 1000)


@dataclass(frozen=True)
class Played:
    """What a schedule came to."""

    execution: Execution
    wrongs: tuple[Wrong, ...]

    @property
    def statuses(self) -> dict[str, int]:
        """Run → its exit status."""
        return {run.command.name: run.status for run in self.execution.runs}

    @property
    def told(self) -> str:
        """Every step, and what was broken."""
        return "\n".join(["; ".join(map(str, self.wrongs)), *steps(self.execution)])


def play(case: World, *stages: tuple[str, str], seed: str = "-0") -> Played:
    """Carry one schedule out. Each stage is a run and the request before which it stops, a pattern of method and tag:
    ``("ann", "put prod")``, or ``("ann", "put web:prod")`` where there are several images. Who ends or waits is passed
    over; the last stage goes on until all have ended."""
    script = _Script(list(stages))
    script.execution = Execution(
        case.registry(), case.commands, {}, _PLENTY, seed=seed, everywhere=True, every_order=True, choose=script
    )
    execution = script.execution.run()
    played = Played(execution, tuple(judge(story_of(case, execution), winners=case.winners)))
    assert len(script.stages) == 1, f"it never came to {script.stages[0]}\n{played.told}"
    return played


@dataclass
class _Script:
    stages: list[tuple[str, str]]
    execution: Execution = field(init=False)

    def __call__(self, choices: Sequence[Choice]) -> Choice | None:
        while len(self.stages) > 1 and self._is_over(*self.stages[0]):
            del self.stages[0]
        name, until = self.stages[0]
        if until == LANDS:
            return next((it for it in choices if it.kind == "land"), None)
        chosen = self._run(name)
        turn = next((it for it in choices if it.kind in ("run", "next") and it.index == chosen), None)
        if turn is None and until in _FATES:  # it is at it already
            turn = next((it for it in choices if it == _FATES[until]), None)
            if turn is not None:
                del self.stages[0]
        return turn

    def _run(self, name: str) -> int:
        return next(it.index for it in self.execution.runs if it.command.name == name)

    def _is_over(self, name: str, until: str) -> bool:
        if until == LANDS:
            return not self.execution.flying
        run = self.execution.runs[self._run(name)]
        call = run.pending
        if run.ended or run.asleep_until is not None:
            return True
        if call is None:
            return False
        image = call.repository.path.rpartition("/")[2]
        said = (f"{call.kind} {call.tag}".strip(), f"{call.kind} {image}:{call.tag}")
        return any(re.fullmatch(until, it) for it in said)
