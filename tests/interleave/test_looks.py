"""Each look of the protocol is needed: without it a schedule breaks a promise (docs/protocol.md has the table)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.ballot import Ballot
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import Observation
from tagflow.execute import abandon, anchors, arrival, back, commit, floating, rivals
from tagflow.execute.commit import Commit
from tagflow.execute.underway import Underway
from tagflow.observe.observer import Observer
from tagflow.stores.port import Manifest
from tagflow.verbs import notes
from tests.interleave import registry
from tests.interleave.cases import ANN, BACK, CASES, Make, _builds, _one, _push, _two
from tests.interleave.explore import Explorer
from tests.interleave.schedule import Budget
from tests.interleave.script import END, play
from tests.interleave.test_found import GIVE_WAY_AT_ONCE
from tests.interleave.world import Told, World, freeze, promote, rollback, seeds

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
    look = rivals.look
    patch.setattr(rivals, "look", lambda run: _seeing_nothing(look(run)))


def _no_tag_at_the_election(patch: pytest.MonkeyPatch) -> None:
    look = rivals.look
    patch.setattr(rivals, "look", lambda run: {image: replace(it, digest=it.before) for image, it in look(run).items()})


def _no_look_before_a_version_tag(patch: pytest.MonkeyPatch) -> None:
    """Nor does the history tell of the tag: it would of what another tagflow has put there, and of nobody else's."""
    patch.setattr(Observation, "recalled", lambda self, version: ())
    patch.setattr(registry.OneStore, "create", lambda self, tag, manifest: self.put(manifest, tag))


def _no_look_after_a_pause(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Underway, "refuse_late", lambda self, looked_at: None)


def _no_look_before_a_further_try(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Commit, "look_once_more", lambda self, move: None)


def _no_look_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    look = arrival.look

    def blind(run: Underway) -> dict[str, Ballot]:
        return {image: replace(it, unseen={}, digest=run.after()[image]) for image, it in look(run).items()}

    patch.setattr(arrival, "look", blind)


def _no_look_after_floating(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(floating, "look_while_floating", lambda observer, targets: observer)


def _no_look_for_who_finishes(patch: pytest.MonkeyPatch) -> None:
    for module in (abandon, commit):
        patch.setattr(module, "not_abandoned", lambda ballots: [])


def _no_wait_after_abandoning(patch: pytest.MonkeyPatch) -> None:
    wait = abandon.wait

    def hasten(run: Underway) -> None:
        run.is_exact = lambda image: True  # type: ignore[method-assign]
        wait(run)

    patch.setattr(abandon, "wait", hasten)


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


# --- looks that only one rare order of events needs -----------------------------------------------------------------


@dataclass(frozen=True)
class Scripted:
    """A look that is left out, and the schedule that needs it: with it ``statuses`` are the exits, without it a promise
    is ``broken`` (or, where that is empty, the exits are others)."""

    look: str
    patch: Callable[[pytest.MonkeyPatch], None]
    case: Make
    stages: Sequence[tuple[str, str]]
    statuses: Mapping[str, int]
    broken: str


def _no_second_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Observer, "_look_again", lambda self, targets: None)


def _no_look_after_a_put(patch: pytest.MonkeyPatch) -> None:
    def put(self: registry.OneStore, tag: str, manifest: Manifest, expected: Digest | None, **_: Any) -> None:
        if self.resolve(tag) == expected:
            self.put(manifest, tag)

    patch.setattr(registry.OneStore, "move", put)


def _no_look_after_an_abort(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(back, "untangle", lambda run, images, moved: None)


def _no_tag_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    look = arrival.look
    patch.setattr(
        arrival, "look", lambda run: {image: replace(it, digest=run.after()[image]) for image, it in look(run).items()}
    )


def _no_look_at_a_combined_tag(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Observer, "stands", lambda self, repository, tag: None)


def _no_look_after_a_combined_tag(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(anchors, "read_back", lambda run: None)


def _no_look_before_putting_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(back, "put_back_if_mine", lambda run, image: back.put_back(run, image, run.context.elapsed()))


def _by_another_tool(tag: str, build: str) -> Told:
    """Another tool puts a build there, and reads nothing."""

    def act(context: Context) -> None:
        store = context.stores(Repository("registry.test", "acme/web"))
        source = context.stores(Repository("registry.test", build.partition(":")[0]))
        store.put(source.get(build.partition(":")[2]), tag)

    return Told("bob", f"(skopeo copy {build} web:{tag})", act, claims=False)


def _pushing() -> World:
    return World(
        "push, another tool", ("web",), _builds, (_push("ann", "a"), _by_another_tool("v1.1.0", "acme/web:v1.0.0"))
    )


def _moving() -> World:
    return World("promote, another tool", ("web",), _one, (ANN, _by_another_tool("prod", "acme/web:v1.2.0")))


def _anchoring() -> World:
    overwritten = _by_another_tool("v1.1.0-prod", "acme/web:v1.2.0")
    return World("promote, another tool at its combined tag", ("web",), _one, (ANN, overwritten))


def _putting_back() -> World:
    newer = Told("ann", "promote v1.2.0 --to prod", promote("v1.2.0"))
    back = Told("bob", "rollback prod v1.0.0", rollback("prod", "v1.0.0"))
    return World("promote, rollback, freeze", ("web",), _two, (newer, back, Told("cid", "freeze prod", freeze())))


SCRIPTED = [
    Scripted(
        "1, again where it is not recorded",
        _no_second_look,
        CASES["promote, promote"],
        [("ann", "head prod"), ("bob", END), ("ann", END)],
        {"ann": 0, "bob": 0},
        "",
    ),
    Scripted(
        "3, the list after an abort",
        _no_look_after_an_abort,
        CASES["two images, three: promote, rollback, promote one"],
        GIVE_WAY_AT_ONCE,
        {"ann": 5, "bob": 5, "cid": 0},
        "held.runs",
    ),
    Scripted(
        "4, the version tag after",
        _no_look_after_a_put,
        _pushing,
        [("ann", r"put v1\.1\.0"), ("ann", r"head v1\.1\.0|put v1\.1\.0-dev"), ("bob", END), ("ann", END)],
        {"ann": 5, "bob": 0},
        "not.its.version",
    ),
    Scripted(
        "4, the combined tag before",
        _no_look_at_a_combined_tag,
        _anchoring,
        [("ann", r"put _tagflow.*"), ("bob", END), ("ann", END)],
        {"ann": 5, "bob": 0},
        "moved.fixed",
    ),
    Scripted(
        "4, the combined tag after",
        _no_look_after_a_combined_tag,
        _anchoring,
        [("ann", r"put v1\.1\.0-prod"), ("ann", r"put prod"), ("bob", END), ("ann", END)],
        {"ann": 5, "bob": 0},
        "not.its.anchor",
    ),
    Scripted(
        "5, the tag after",
        _no_tag_after_the_commit,
        _moving,
        [("ann", "put prod"), ("ann", "head prod|list"), ("bob", END), ("ann", END)],
        {"ann": 5, "bob": 0},
        "untrue",
    ),
    Scripted(
        "8, the list and the tag",
        _no_look_before_putting_back,
        _putting_back,
        [
            ("ann", "put prod"),
            ("ann", "list"),
            ("cid", END),
            ("ann", r"put _tagflow.*"),
            ("bob", "put prod"),
            ("ann", "put prod"),
            ("bob", END),
            ("ann", END),
        ],
        {"ann": 3, "bob": 0, "cid": 0},
        "overwritten",
    ),
]


@pytest.mark.parametrize("scripted", SCRIPTED, ids=lambda it: it.look)
def test_rare_order_of_events_needs_a_look(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = play(scripted.case(), *scripted.stages)
    assert with_it.statuses == scripted.statuses, with_it.told
    assert scripted.broken not in {wrong.kind for wrong in with_it.wrongs}, with_it.told
    scripted.patch(monkeypatch)
    without = play(scripted.case(), *scripted.stages)
    if scripted.broken:
        assert scripted.broken in {wrong.kind for wrong in without.wrongs}, without.told
    else:
        assert without.statuses != scripted.statuses, without.told
