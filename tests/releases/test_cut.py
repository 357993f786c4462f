"""Whatever request of a promote or rollback is the last one, the outcome is what the message says.

Three images on a real registry behind a proxy. For every k the connection is cut at the k-th request, before the
registry hears of it or when it has done it and not answered; the registry comes back at once (tagflow tries again), or
only for the next command; or tagflow is killed there (SIGKILL). Each time: all-new, all-old or exactly what was said;
the same command again ends all-new; `verify` is clean; no record is lost.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.cli.runner import Done
from tests.releases.stage import (
    IMAGES,
    MOVABLE,
    NEW,
    OLD,
    STRIDE,
    Cutter,
    Stage,
    Tags,
    Way,
    When,
    forker,
    movable,
    records,
    shape_of,
)
from tests.servers import RegistryServer

pytestmark = pytest.mark.registry


@dataclass(frozen=True)
class Verb:
    """One command under test: the state that it begins with, and the version that it brings to prod."""

    state: str
    command: tuple[str, ...]
    wanted: str


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
    stage: Stage, verb: Verb, way: Way, when: When, check: Callable[[Tags, Done], None], most: int = 500
) -> int:
    """Run the verb with trouble at its first request, its second, … until one is out of reach; how many there were."""
    for number in range(1, most + 1):
        stage.reset(verb.state)
        before = stage.tags()
        stage.cutter.arm(way, when, number)
        done = stage.tagflow(*verb.command)
        stage.cutter.heal()
        where = f"{way} {when} request {number}: {stage.cutter.struck}"
        if not stage.cutter.struck:
            assert done.status == 0, done.err
            return number - 1
        try:
            check(before, done)
            finish(stage, verb, before, stage.tags())
        except AssertionError as error:
            raise AssertionError(f"{where}\n{done.err}\n{error}") from error
    assert most == STRIDE, "it never ends"
    return most


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("when", ["before", "after"])
class TestEveryRequest:
    def test_the_registry_is_gone_from_there_on(self, stage: Stage, verb: str, when: When) -> None:
        statuses: list[int] = []

        def check(before: Tags, done: Done) -> None:
            statuses.append(done.status)
            outcome_is_what_was_said(stage, VERBS[verb], before, done)

        assert each_cut(stage, VERBS[verb], "gone", when, check) >= least(verb, when)
        assert {6, 7} <= set(statuses) <= {0, 6, 7}

    def test_that_one_is_lost_and_tried_again(self, stage: Stage, verb: str, when: When) -> None:
        def check(before: Tags, done: Done) -> None:
            assert done.status == 0, done.err
            outcome_is_what_was_said(stage, VERBS[verb], before, done)

        if when == "before":
            each_cut(stage, VERBS[verb], "often", when, check, most=STRIDE)
        else:
            assert each_cut(stage, VERBS[verb], "once", when, check) >= least(verb, when)

    def test_tagflow_is_killed_there(self, stage: Stage, verb: str, when: When) -> None:
        def check(before: Tags, done: Done) -> None:
            assert done.status == -9
            after = stage.tags()
            for image in IMAGES:
                assert after[image, "prod"] in (before[image, OLD], before[image, NEW])

        assert each_cut(stage, VERBS[verb], "killed", when, check) >= least(verb, when)


def least(verb: str, when: When) -> int:
    """Fewer requests than these would mean that the test cuts something else: what each image has to have written."""
    kinds = {"promote": ("record", "combined", "prod", "latest", "v1"), "rollback": ("record", "prod", "latest", "v1")}
    return len(IMAGES) * len(kinds[verb]) if when == "after" else 40


def outcome_is_what_was_said(stage: Stage, verb: Verb, before: Tags, done: Done) -> None:
    """All-new with 0; all-old with 6; with 7 exactly the tags that the message and the document list."""
    after = stage.tags()
    moved = {key: digest for key, digest in movable(after).items() if before.get(key) != digest}
    document = done.document
    assert document["exit_code"] == done.status
    if done.status == 0:
        assert document["result"]["applied"]
        assert_all_new(verb, after)
        return
    assert not (document["result"] or {}).get("applied")
    if done.status == 6:
        assert moved == {}
        return
    told = {(it["repository"], it["tag"]): it for it in document["error"]["details"] if "tag" in it}
    for image in IMAGES:
        for tag in MOVABLE:
            key, name = (image, tag), (stage.repository(image), tag)
            if name not in told:
                assert key not in moved, f"{name} moved and was not told of"
                continue
            it = told[name]
            assert it["before"] == before.get(key)
            assert after.get(key) == it["now"] if it["sure"] else after.get(key) in (it["before"], it["now"])
            assert f"{name[0]}:{tag} was at {it['before'] or 'no digest'}" in document["error"]["message"]
    assert {name for name, it in told.items() if it["sure"]} <= {(stage.repository(i), tag) for i, tag in moved}


def finish(stage: Stage, verb: Verb, before: Tags, between: Tags) -> None:
    """The same command again ends all-new; nothing that was ever recorded is gone, and `verify` has no finding."""
    shape = shape_of(verb.command[0], between)
    if shape in stage.finished:
        return
    complete = all(between[image, "prod"] == between[image, verb.wanted] for image in IMAGES)
    if verb.command[0] == "rollback" and complete:
        # Complete but for its answer: the contract says to name the VERSION, for twice would go one further back.
        stage.done(*verb.command, verb.wanted)
    else:
        stage.done(*verb.command)
    stage.done("verify")
    after = stage.tags()
    assert_all_new(verb, after)
    for seen in (before, between):
        assert {key: after.get(key) for key in seen if key[1] not in MOVABLE} == {
            key: digest for key, digest in seen.items() if key[1] not in MOVABLE
        }
    for image, found in records(after).items():
        assert [it.sequence for it in found] == list(range(1, len(found) + 1)), image
    stage.finished.add(shape)


def assert_all_new(verb: Verb, tags: Tags) -> None:
    """prod and what floats with it are at the wanted version, for all images."""
    for image in IMAGES:
        wanted = tags[image, verb.wanted]
        assert tags[image, "prod"] == wanted
        assert tags[image, "latest"] == wanted
        assert tags[image, "v1"] == wanted
