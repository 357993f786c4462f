"""The reader finds each kind of broken promise, and nothing where none is broken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from tests.interleave.reader import PREFIX, Change, End, Place, Snapshot, Story, at_rest, floats, judge, read_record

PLACE = Place("web", "prod", "r/web", ("latest", "major"))


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


OLD, NEW, OTHER = (digest_of(name.encode()) for name in ("old", "new", "other"))


@dataclass
class Made:
    """A history that is being made up."""

    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)

    def write(
        self,
        action: str,
        version: str,
        digest: str,
        *,
        after: Sequence[str] = (),
        previous: str = "",
        aborts: Sequence[str] = (),
        state: dict[str, object] | None = None,
        release: str = "",
    ) -> str:
        """One record; its tag."""
        noted = {
            "action": action,
            "version": version,
            "digest": digest,
            "previous-digest": previous,
            "release": release or f"{action} {version}",
            "parents": " ".join(f"{tag}@sha256:0" for tag in after),
            "aborts": " ".join(aborts),
            "state": json.dumps(state or {}),
        }
        content = json.dumps({"annotations": {PREFIX + key: value for key, value in noted.items()}}).encode()
        sequence = 1 + max((int(tag.split(".")[2]) for tag in after), default=0)
        tag = f"_tagflow.prod.{sequence:06}.{digest_of(content)[7:19]}"
        self.tags[tag] = digest_of(content)
        self.manifests[digest_of(content)] = content
        return tag

    def at(self, **tags: str) -> Snapshot:
        """All records, and other tags beside them."""
        named = {name.replace("_", "."): digest for name, digest in tags.items()}
        return Snapshot({"r/web": {**self.tags, **named}}, self.manifests)


ANCHORS = {"v1.0.0": OLD, "v1.0.0-prod": OLD, "v1.1.0": NEW, "v1.1.0-prod": NEW, "v1.2.0": OTHER, "v1.2.0-prod": OTHER}


def story(
    made: Made, prod: str, changes: Sequence[Change] = (), ends: Sequence[End] = (), tags: dict[str, str] | None = None
) -> Story:
    anchors = ANCHORS | {"latest": OTHER, "v1": OTHER}
    before = Snapshot({"r/web": {**anchors, "prod": OLD}}, {})
    after = Snapshot({"r/web": {**anchors, **made.tags, "prod": prod, **(tags or {})}}, made.manifests)
    return Story((PLACE,), before, after, tuple(changes), tuple(ends))


def moved(step: int, run: str, after: str, under: str, before: str = OLD) -> Change:
    return Change(step, run, "r/web", "prod", before, after, under)


def ended(step: int, run: str, status: int, record: str = "") -> End:
    return End(step, run, status, {"r/web prod": record} if record else {})


def kinds(told: Story, **more: int) -> set[str]:
    return {wrong.kind for wrong in judge(told, **more)}


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def first(made: Made) -> str:
    return made.write("promote", "v1.0.0", OLD)


def test_one_release_that_is_complete_breaks_nothing(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    assert judge(story(made, NEW, [moved(1, "ann", NEW, mine)], [ended(2, "ann", 0, mine)]), winners=1) == []


def test_two_releases_one_after_the_other_break_nothing(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    theirs = made.write("promote", "v1.2.0", OTHER, after=[mine], previous=NEW)
    changes = [moved(1, "ann", NEW, mine), moved(3, "bob", OTHER, theirs, NEW)]
    assert judge(story(made, OTHER, changes, [ended(2, "ann", 0, mine), ended(4, "bob", 0, theirs)])) == []


def test_two_winners_that_had_not_seen_each_other(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    theirs = made.write("promote", "v1.2.0", OTHER, after=[first], previous=OLD)
    changes = [moved(1, "ann", NEW, mine), moved(3, "bob", OTHER, theirs, NEW)]
    told = story(made, OTHER, changes, [ended(2, "ann", 0, mine), ended(4, "bob", 0, theirs)])
    assert kinds(told) == {"both", "overwritten"}


def test_exit_0_that_is_not_true(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    assert "untrue" in kinds(story(made, OLD, [], [ended(2, "ann", 0, mine)]))


def test_put_back_over_what_somebody_else_was_told(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    theirs = made.write("promote", "v1.2.0", OTHER, after=[first], previous=OLD)
    back = made.write("abort", "v1.0.0", OLD, after=[mine, theirs], previous=NEW, aborts=[mine])
    changes = [moved(1, "bob", OTHER, theirs), moved(3, "ann", OLD, back, OTHER)]
    told = story(made, OLD, changes, [ended(2, "bob", 0, theirs), ended(4, "ann", 5, mine)])
    assert "overwritten" in kinds(told)


def test_abandoned_release_that_comes_back(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    gone = made.write("abort", "v1.0.0", OLD, after=[mine], previous=NEW, aborts=[mine])
    told = story(made, NEW, [moved(3, "ann", NEW, mine)], [ended(2, "bob", 0, gone), ended(4, "ann", 0, mine)])
    assert {"abandoned", "comeback", "at.rest"} <= kinds(told)


def test_hold_that_is_crossed(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    note = made.write("hold", "v1.1.0", OLD, after=[mine])
    told = story(made, NEW, [moved(3, "ann", NEW, mine)], [ended(2, "bob", 0, note), ended(4, "ann", 0, mine)])
    assert "crossed" in kinds(told)


def test_names_that_never_move(made: Made, first: str) -> None:
    for tag in ("v1.1.0", "v1.1.0-prod", "_tagflow.pin.0123456789ab", first):
        told = story(made, OLD, [Change(1, "ann", "r/web", tag, OLD, NEW)])
        assert kinds(told) == {"moved.fixed"}, tag
    assert kinds(story(made, OLD, [Change(1, "ann", "r/web", "latest", OLD, NEW)])) == set()


def test_move_without_anchor_without_record_or_long_after_its_look(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.3.0", NEW, after=[first], previous=OLD)
    assert "unanchored" in kinds(story(made, NEW, [moved(1, "ann", NEW, mine)]))
    assert "unannounced" in kinds(story(made, OLD, [moved(1, "ann", NEW, "")]))
    late = replace(moved(1, "ann", OLD, first), age=21.0)
    assert "stale.look" in kinds(story(made, OLD, [late]))


def test_what_failed_and_left_something(made: Made, first: str) -> None:
    mine = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    for status, wrong in ((3, True), (5, True), (6, True), (7, False), (-1, False)):
        told = story(made, NEW, [moved(1, "ann", NEW, mine)], [ended(2, "ann", status, mine)])
        assert ("left" in kinds(told)) is wrong, status


def test_nobody_wins(made: Made, first: str) -> None:
    told = story(made, OLD, [], [ended(1, "ann", 5), ended(2, "bob", 5)])
    assert kinds(told, winners=1) == {"nobody"}
    assert kinds(replace(told, faults=1), winners=1) == set()
    assert kinds(replace(told, slow=True), winners=1) == set()


def test_bug(made: Made, first: str) -> None:
    assert kinds(story(made, OLD, [], [ended(1, "ann", 1)])) == {"bug"}


# --- at rest ---------------------------------------------------------------------------------------------------------


def resting(made: Made, prod: str, *, finished: bool = True, **tags: str) -> set[str]:
    snapshot = Snapshot({"r/web": {**ANCHORS, **made.tags, "prod": prod, **tags}}, made.manifests)
    return {wrong.kind for wrong in at_rest(snapshot, PLACE, snapshot.history(PLACE), finished=finished)}


def test_rest_after_a_release(made: Made, first: str) -> None:
    assert resting(made, OLD) == set()


def test_rest_in_the_middle_of_a_release(made: Made, first: str) -> None:
    made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    assert resting(made, OLD) == {"at.rest"}
    assert resting(made, OLD, finished=False) == set()
    assert resting(made, OTHER) == {"at.rest"}


def test_rest_below_an_abort_that_says_otherwise(made: Made, first: str) -> None:
    here = made.write("promote", "v1.1.0", NEW, after=[first], previous=OLD)
    back = made.write("rollback", "v1.0.0", OLD, after=[here], previous=NEW)
    made.write("abort", "v1.2.0", OTHER, after=[back], aborts=[back], previous=OLD)
    assert resting(made, NEW) == {"by.hand"}
    made.write("abort", "v1.1.0", NEW, after=[back], aborts=[back])
    assert resting(made, NEW) == set()


def test_rest_at_another_build_than_the_version(made: Made) -> None:
    made.write("promote", "v1.1.0", OTHER)
    assert resting(made, OTHER) == {"not.its.anchor", "not.its.version"}


def test_rest_at_what_is_held(made: Made) -> None:
    made.write("promote", "v1.1.0", NEW, state={"holds": ["v1.1.0"]})
    assert resting(made, NEW) == {"held.runs"}
    made.write("promote", "v1.0.0", OLD, state={"holds": [{"version": "v1.0.0"}]})
    assert resting(made, OLD) == {"held.runs"}


def test_floating_tags(made: Made) -> None:
    made.write("promote", "v1.1.0", NEW, state={"holds": ["v1.2.0"]})

    def wrong(latest: str, major: str) -> int:
        snapshot = Snapshot(
            {"r/web": {**ANCHORS, **made.tags, "prod": NEW, "latest": latest, "v1": major}}, made.manifests
        )
        return len(floats(snapshot, PLACE, snapshot.history(PLACE)))

    assert wrong(NEW, NEW) == 0
    assert wrong(OTHER, NEW) == 1
    assert wrong(OTHER, OTHER) == 2


def test_record_that_is_none() -> None:
    with pytest.raises(ValueError, match="no record tag"):
        read_record("v1.0.0", b"{}")
