"""Whatever request of a promote or rollback is the last one, the outcome is what the message says.

Three images on a real registry behind a proxy. For every k the connection is cut at the k-th request, before the
registry hears of it or when it has done it and not answered; the registry comes back at once (tagflow tries again), or
only for the next command; or tagflow is killed there (SIGKILL). Each time: all-new, all-old or exactly what was said;
the same command again ends all-new; `verify` is clean; no record is lost.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.runner import Done
from tests.marks import LONG, mostly_long
from tests.releases.outcome import Verb, finish, outcome_is_what_was_said
from tests.releases.stage import IMAGES, NEW, OLD, STRIDE, Cutter, Stage, Tags, Way, When, forker
from tests.servers import RegistryServer

pytestmark = pytest.mark.registry


VERBS = {
    "promote": Verb("ahead", ("promote", NEW, "--to", "prod"), NEW),
    "rollback": Verb("arrived", ("rollback", "prod"), OLD),
}


@pytest.fixture(scope="module")
def stage(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage of its own for this process."""
    cutter = Cutter(registry.host)
    try:
        with forker() as process:
            name = f"cut-{uuid.uuid4().hex[:8]}"
            stage = Stage(tmp_path_factory.mktemp("cut") / "home", registry, cutter, process, name)
            stage.build()
            yield stage
    finally:
        cutter.stop()


def each_cut(
    stage: Stage,
    verb: Verb,
    way: Way,
    when: When,
    check: Callable[[Tags, Done], None],
    *,
    most: int = 500,
    every: int = 1,
) -> int:
    """Run the verb with trouble at its first request, its second, … until one is out of reach; how many there were.

    ``every``: where time is short, only each so-manieth; then as many may be missing.
    """
    for number in range(1, most + 1, every):
        stage.reset(verb.state)
        before = stage.tags()
        stage.cutter.arm(way, when, number)
        done = stage.tagflow(*verb.command)
        stage.cutter.heal()
        where = f"{way} {when} request {number}: {stage.cutter.struck}"
        if not stage.cutter.struck:
            assert done.status == 0, done.err
            return number + every - 2
        try:
            check(before, done)
            finish(stage, verb, before, stage.tags())
        except AssertionError as error:
            raise AssertionError(f"{where}\n{done.err}\n{error}") from error
    assert most == STRIDE, "it never ends"
    return most


EACH = [(verb, when, 1) for verb in VERBS for when in ("before", "after")]
SOME = 4


def some(verb: str, when: When) -> list[Any]:
    """Every request of all of them, which takes long; and some requests of one."""
    return mostly_long([*EACH, (verb, when, SOME)], (verb, when, SOME))


class TestEveryRequest:
    @pytest.mark.parametrize(("verb", "when", "every"), mostly_long(EACH))
    def test_the_registry_is_gone_from_there_on(self, stage: Stage, verb: str, when: When, every: int) -> None:
        statuses: list[int] = []

        def check(before: Tags, done: Done) -> None:
            statuses.append(done.status)
            outcome_is_what_was_said(stage, VERBS[verb], before, done)

        assert each_cut(stage, VERBS[verb], "gone", when, check) >= least(verb, when)
        assert {6, 7} <= set(statuses) <= {0, 6, 7}

    @pytest.mark.parametrize(("verb", "when", "every"), some("rollback", "after"))
    def test_that_one_is_lost_and_tried_again(self, stage: Stage, verb: str, when: When, every: int) -> None:
        def check(before: Tags, done: Done) -> None:
            assert done.status == 0, done.err
            outcome_is_what_was_said(stage, VERBS[verb], before, done)

        if when == "before":
            each_cut(stage, VERBS[verb], "often", when, check, most=STRIDE)
        else:
            assert each_cut(stage, VERBS[verb], "once", when, check, every=every) >= least(verb, when)

    @pytest.mark.parametrize(("verb", "when", "every"), some("promote", "after"))
    @LONG
    def test_tagflow_is_killed_there(self, stage: Stage, verb: str, when: When, every: int) -> None:
        def check(before: Tags, done: Done) -> None:
            assert done.status == -9
            after = stage.tags()
            for image in IMAGES:
                assert after[image, "prod"] in (before[image, OLD], before[image, NEW])

        assert each_cut(stage, VERBS[verb], "killed", when, check, every=every) >= least(verb, when)


def least(verb: str, when: When) -> int:
    """Fewer requests than these would mean that the test cuts something else: what each image has to have written."""
    kinds = {"promote": ("record", "combined", "prod", "latest", "v1"), "rollback": ("record", "prod", "latest", "v1")}
    return len(IMAGES) * len(kinds[verb]) if when == "after" else 40
