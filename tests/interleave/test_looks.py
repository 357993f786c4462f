"""Each look of the protocol is needed: without it a schedule breaks a promise (docs/protocol.md has the table)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tagflow.decide.election import Ballot
from tagflow.execute import floating, run
from tagflow.execute.run import ReleaseRun
from tagflow.verbs import notes
from tests.interleave import registry
from tests.interleave.cases import ANN, BACK, CASES, Make, _one
from tests.interleave.explore import Explorer
from tests.interleave.schedule import Budget
from tests.interleave.world import Told, World, freeze, seeds

BARE = "{dev: {}, prod: {downgrades: allow}}"
"""Without floating tags fewer looks do."""


def _bare(name: str, *runs: Told) -> Make:
    return lambda: World(name, ("web",), _one, runs, None, BARE)


KNOWN: Mapping[str, Make] = {
    **CASES,
    "bare: promote, abandon": _bare("bare: promote, abandon", ANN, BACK),
    "bare: promote, freeze": _bare("bare: promote, freeze", ANN, Told("bob", "freeze prod", freeze())),
}


@dataclass(frozen=True)
class Without:
    """A look that is left out, and where that is seen: all schedules of a budget, and a promise that one breaks."""

    look: str
    patch: Callable[[pytest.MonkeyPatch], None]
    case: str
    budget: Budget
    broken: str


def _seeing_nothing(ballots: Mapping[str, Ballot]) -> dict[str, Ballot]:
    return {image: replace(it, unseen={}, digest=it.before) for image, it in ballots.items()}


def _no_election(patch: pytest.MonkeyPatch) -> None:
    look = ReleaseRun._look_for_rivals
    patch.setattr(ReleaseRun, "_look_for_rivals", lambda self: _seeing_nothing(look(self)))


def _no_tag_at_the_election(patch: pytest.MonkeyPatch) -> None:
    look = ReleaseRun._look_for_rivals
    patch.setattr(
        ReleaseRun,
        "_look_for_rivals",
        lambda self: {image: replace(it, digest=it.before) for image, it in look(self).items()},
    )


def _no_look_before_a_version_tag(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry.OneStore, "create", lambda self, tag, manifest: self.put(manifest, tag))


def _no_look_after_a_pause(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReleaseRun, "_refuse_late", lambda self, looked_at: None)


def _no_look_before_a_further_try(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReleaseRun, "_look_once_more", lambda self, move: None)


def _no_look_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    look = ReleaseRun._look_after_commit

    def blind(self: ReleaseRun) -> dict[str, Ballot]:
        return {image: replace(it, unseen={}, digest=self._after(image)) for image, it in look(self).items()}

    patch.setattr(ReleaseRun, "_look_after_commit", blind)


def _no_look_after_floating(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(floating, "look_while_floating", lambda observer, targets: observer)


def _no_look_for_who_finishes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run, "_not_abandoned", lambda ballots: [])


def _no_wait_after_abandoning(patch: pytest.MonkeyPatch) -> None:
    wait = ReleaseRun._wait_for_the_abandoned

    def hasten(self: ReleaseRun) -> None:
        self._is_exact = lambda image: True  # type: ignore[method-assign]
        wait(self)

    patch.setattr(ReleaseRun, "_wait_for_the_abandoned", hasten)


def _no_wait_of_a_note(patch: pytest.MonkeyPatch) -> None:
    def go_on(*_: Any) -> None:
        """Nothing is waited for."""

    patch.setattr(notes, "_wait_for_releases", go_on)


LEFT_OUT = [
    Without("3, the list", _no_election, "promote, promote", Budget(1), "both"),
    Without("3, the tag", _no_tag_at_the_election, "finish, abandon", Budget(1), "void.runs"),
    Without("4, the version tag before", _no_look_before_a_version_tag, "push, push", Budget(2), "moved.fixed"),
    Without("5, again after T", _no_look_after_a_pause, "promote, promote", Budget(0, 1), "stale.look"),
    Without("5, before a further try", _no_look_before_a_further_try, "promote, rollback", Budget(0, 1), "overwritten"),
    Without("6, the list", _no_look_after_the_commit, "bare: promote, abandon", Budget(3), "abandoned"),
    Without("7, tag and list", _no_look_after_floating, "promote, rollback", Budget(1), "floating"),
    Without("9, the wait", _no_wait_after_abandoning, "bare: promote, abandon", Budget(1), "comeback"),
    Without("9, the list", _no_look_for_who_finishes, "finish, abandon", Budget(1), "overwritten"),
    Without("10, the list and the tag", _no_wait_of_a_note, "bare: promote, freeze", Budget(1), "crossed"),
]


@pytest.mark.long
@pytest.mark.parametrize("left_out", LEFT_OUT, ids=lambda it: it.look)
def test_without_it_a_schedule_breaks_a_promise(left_out: Without, monkeypatch: pytest.MonkeyPatch) -> None:
    case = KNOWN[left_out.case]()
    seed = seeds(case, 1)[0]
    left_out.patch(monkeypatch)
    failures = Explorer(case, seed, kinds=frozenset({left_out.broken})).all(left_out.budget)
    assert next(failures, None) is not None, "no schedule tells that the look is left out"
