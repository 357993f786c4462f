"""Schedules that broke a promise once."""

from __future__ import annotations

import pytest

from tests.interleave.cases import CASES
from tests.interleave.reader import FENCE
from tests.interleave.script import DIES, DIES_LATE, END, LANDS, NO_ANSWER, play
from tests.interleave.world import Told, World, hold, promote, repair, rollback


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
    assert not played.wrongs, played.told
    assert set(played.statuses.values()) == {0}


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
    assert not played.wrongs, played.told
    assert set(played.statuses.values()) == {0}
    assert played.execution.clock > FENCE - 1


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
    assert not played.wrongs, played.told
    assert set(played.statuses.values()) == {0}
    assert played.execution.clock > FENCE - 1


def test_floating_tags_beside_a_rollback_that_comes_to_nothing() -> None:
    """bob's rollback holds what it leaves: not before it has won. He gives way, and nobody would move latest again."""
    played = play(
        CASES["finish, abandon"](),
        ("bob", "list"),
        ("bob", "head prod"),
        ("ann", "put latest"),
        ("bob", r"put _tagflow\.prod.*"),
        ("bob", "list"),
        ("ann", END),
        ("bob", END),
    )
    assert not played.wrongs, played.told
    assert played.statuses == {"ann": 0, "bob": 5}


RECORD = r"put _tagflow\.prod.*"
GIVE_WAY_AT_ONCE = (
    ("ann", RECORD),
    ("bob", RECORD),
    ("cid", RECORD),
    ("ann", "list"),
    ("bob", "list"),
    ("cid", "list"),
    ("ann", RECORD),
    ("bob", RECORD),
    ("ann", END),
    ("bob", END),
    ("cid", END),
)
"""Three have decided before any announces; two of them give way having seen one another under way."""


def test_two_that_give_way_to_a_third_for_the_sake_of_another_image() -> None:
    """Each abort carries on the other's release, which is taken back by then: nothing may look as if under way, and
    what the rollback had announced to hold is held by nobody."""
    case = CASES["two images, three: promote, rollback, promote one"]()
    met = set()
    for seed in range(12):
        played = play(
            case,
            *GIVE_WAY_AT_ONCE,
            seed=f"-{seed}",
        )
        assert not played.wrongs, played.told
        met.add(tuple(played.statuses.values()))
    assert (5, 5, 0) in met


@pytest.mark.parametrize("version", ["v1.2.0", "v1.0.0"])
def test_abandonment_beside_a_release_of_one_image(version: str) -> None:
    """ann announces in both images when cid has just brought the same, or another version, into one of them: bob, who
    abandons ann's release, takes nothing of cid's back."""
    first = CASES["two images, three: promote, rollback, promote one"]()
    cid = Told("cid", f"promote web={version} --to prod", promote(f"web={version}"))
    case = World(f"promote, rollback, promote web={version}", first.images, first.setup, (*first.runs[:2], cid))
    stages = (("ann", RECORD), ("cid", END), ("ann", "list"), ("bob", END), ("ann", END), ("bob", END))
    for seed in range(6):
        played = play(case, *stages, seed=f"-{seed}")
        assert not played.wrongs, played.told
        assert played.statuses == {"ann": 5, "bob": 0, "cid": 0}
        at = {tag: played.execution.snapshot().tags["registry.test/acme/web"][tag] for tag in ("prod", version)}
        assert at["prod"] == at[version], played.told


def test_finishing_what_is_abandoned_meanwhile() -> None:
    """ann gives way: what bob took back is not under way again because of her abort."""
    played = play(
        CASES["finish, abandon"](), ("ann", RECORD), ("bob", RECORD), ("bob", "list"), ("ann", END), ("bob", END)
    )
    assert not played.wrongs, played.told
    assert played.statuses == {"ann": 5, "bob": 0}


def test_giving_way_to_a_release_that_lost_and_died() -> None:
    """bob's rollback was announced too late, beside ann's promotion, and is left there. cid, who rolls ann's back,
    gives way to bob: what runs is still ann's, and not moved by hand."""
    first = CASES["two images, three: promote, rollback, promote one"]()
    cid = Told("cid", "rollback prod", rollback())
    case = World("promote, rollback that dies, rollback", ("web",), first.setup, (*first.runs[:2], cid))
    stages = (("bob", RECORD), ("ann", END), ("cid", RECORD), ("bob", "list"), ("bob", DIES), ("cid", END))
    for seed in range(6):
        played = play(case, *stages, seed=f"-{seed}")
        assert not played.wrongs, played.told
        assert (played.statuses["ann"], played.statuses["cid"]) == (0, 5)


TWO_BACK = "three: promote, rollback, rollback"


def test_rollback_to_what_the_tag_stood_at_once_before() -> None:
    """cid looked at prod before ann moved it, and lists when bob has announced to move it back there: to cid bob's
    rollback looks complete. It is not: cid gives way, and bob goes on."""
    played = play(
        CASES[TWO_BACK](),
        ("ann", "put prod"),
        ("cid", "head prod"),
        ("cid", "list"),
        ("ann", END),
        ("bob", RECORD),
        ("bob", "list"),
        ("cid", RECORD),
        ("cid", "list"),
        ("bob", END),
        ("cid", END),
        ("bob", END),
    )
    assert not played.wrongs, played.told
    assert played.statuses == {"ann": 0, "bob": 0, "cid": 5}


def test_rollback_of_what_another_abandons() -> None:
    """cid abandons ann's release, which completes meanwhile, and bob rolls it back. He gives way to cid: it is cid's
    abandonment that his abort carries on."""
    played = play(
        CASES[TWO_BACK](),
        ("ann", "put prod"),
        ("cid", RECORD),
        ("ann", END),
        ("bob", RECORD),
        ("cid", "list"),
        ("bob", END),
        ("cid", END),
    )
    assert not played.wrongs, played.told
    assert played.statuses == {"ann": 0, "bob": 5, "cid": 0}


def test_finishing_what_finishes_by_itself() -> None:
    """cid finishes bob's rollback, which moves prod by itself before cid lists: both end with 0."""
    played = play(
        CASES[TWO_BACK](),
        ("ann", END),
        ("bob", "put prod"),
        ("cid", RECORD),
        ("bob", END),
        ("cid", END),
    )
    assert not played.wrongs, played.told
    assert played.statuses == {"ann": 0, "bob": 0, "cid": 0}


def test_finishing_what_gives_way_to_another() -> None:
    """ann and bob are both under way when cid decides to finish one of them, and one of the two gives way to the other:
    cid's abort carries on what that one's abort does. Once more is as often as it is written."""
    for seed in range(12):
        played = play(
            CASES[TWO_BACK](),
            ("ann", RECORD),
            ("bob", RECORD),
            ("ann", "list"),
            ("bob", "list"),
            ("cid", RECORD),
            ("bob", END),
            ("ann", END),
            ("bob", END),
            ("cid", END),
            seed=f"-{seed}",
        )
        assert not played.wrongs, played.told
        written = [it for it in played.execution.changes if it.run == "cid" and it.tag.startswith("_tagflow.prod")]
        assert len(written) <= 2, played.told


def test_hold_beside_two_that_are_under_way() -> None:
    """ann was announced beside bob, who had won before he could see her, and is left there. cid's hold stands on one of
    the two, and what runs is bob's in either case."""
    first = CASES["three: promote, promote, hold"]()
    dan = Told("dan", "verify --repair", repair("prod"))  # 5 where something is left to a person, as drift is
    case = World("promote, promote, hold, repair", first.images, first.setup, (*first.runs, dan))
    for seed in range(6):
        played = play(
            case,
            ("ann", RECORD),
            ("bob", "put v1.2.0-prod"),
            ("ann", "list"),
            ("ann", DIES),
            ("cid", RECORD),
            ("cid", "list"),
            ("bob", END),
            ("cid", END),
            ("dan", END),
            seed=f"-{seed}",
        )
        assert not played.wrongs, played.told
        assert played.statuses["bob"] == played.statuses["dan"] == 0, played.told


def test_joining_a_fork_with_a_rollback_that_gives_way() -> None:
    """bob's repair finishes what ann rolls back, and joins her record into the history: it comes to nothing, and what
    it was to hold is held by nobody."""
    played = play(
        CASES["abandon, repair"](),
        ("ann", "head prod"),
        ("bob", "put prod"),
        ("bob", "list"),
        ("ann", RECORD),
        ("ann", "list"),
        ("bob", END),
        ("ann", END),
    )
    assert not played.wrongs, played.told
    assert played.statuses["ann"] == 5


def test_hold_beside_an_abandonment() -> None:
    """cid's hold follows ann's release, which bob abandons at the same moment: bob's abandonment is written above it,
    and the hold stands."""
    first = CASES["finish, abandon"]()
    cid = Told("cid", "hold prod v1.2.0", hold("v1.2.0"))
    case = World("abandon, hold of another", first.images, first.setup, (first.runs[1], cid))
    played = play(case, ("bob", RECORD), ("cid", END), ("bob", END))
    assert not played.wrongs, played.told
    assert played.statuses == {"bob": 0, "cid": 0}
    snapshot = played.execution.snapshot()
    heads = snapshot.history(case.places[-1]).heads
    assert "v1.2.0" in {version for it in heads for version in it.holds}, played.told


@pytest.mark.parametrize("seed", ["-0", "-1", "-2", "-3"])
def test_two_finish_and_one_saw_the_other_in_one_image_only(seed: str) -> None:
    """ann lists one image before bob has announced that he finishes the release, and the other one afterwards: there
    she builds on him. It is decided where they are rivals, for both images: else each would leave one to the other."""
    played = play(
        CASES["two images: finish, repair"](),
        ("ann", "head api:prod"),
        ("ann", "list api:"),
        ("ann", "list web:"),
        ("bob", RECORD),
        ("bob", "list api:"),
        ("ann", END),
        ("bob", END),
        seed=seed,
    )
    assert not played.wrongs, played.told
    assert sorted(played.statuses.values()) in ([0, 0], [0, 5]), played.told


def test_two_finish_and_one_saw_the_other_in_the_first_image_only() -> None:
    """The mirror of that: what bob sees in the first image is that ann builds on him, and he hands over at once. She
    waits for one look."""
    played = play(
        CASES["two images: finish, repair"](),
        ("ann", "head api:prod"),
        ("ann", "list api:"),
        ("bob", r"put web:_tagflow.*"),
        ("ann", RECORD),
        ("bob", "list api:"),
        ("ann", END),
        ("bob", END),
    )
    assert not played.wrongs, played.told
    assert played.statuses == {"ann": 0, "bob": 5}
    assert played.execution.clock <= 10, "one look, not the whole wait"


def test_abort_of_what_was_built_on_a_fork() -> None:
    """ann's promotion runs, and bob's rollback, which she had not seen, is announced beside it; dan is built on both
    and gives way to cid, who was announced too late and dies. Nobody is to take cid's release for under way."""
    first = CASES["three: promote, rollback, rollback"]()
    dan = Told("dan", "rollback prod", rollback())
    for seed in range(4):
        played = play(
            World("promote, three rollbacks", first.images, first.setup, (*first.runs, dan)),
            ("ann", RECORD),
            ("bob", RECORD),
            ("cid", RECORD),
            ("ann", "put v1.2.0-prod"),
            ("bob", "list"),
            ("ann", END),
            ("dan", RECORD),
            ("cid", "list"),
            ("dan", "list"),
            ("dan", RECORD),
            ("cid", DIES),
            ("bob", END),
            ("dan", END),
            seed=f"-{seed}",
        )
        assert not played.wrongs, played.told
        assert played.statuses == {"ann": 0, "bob": 5, "cid": -1, "dan": 5}


def test_abort_beside_two_of_which_one_dies() -> None:
    """ann has won, and has not moved anything, when bob gives way to her and to cid, who sorts before her, waits for
    her, and dies. Whichever bob's abort carries on: what runs is found on top."""
    met = set()
    for seed in range(12):
        played = play(
            CASES["three: promote, rollback, rollback"](),
            ("ann", RECORD),
            ("bob", RECORD),
            ("cid", RECORD),
            ("ann", "put v1.2.0-prod"),
            ("cid", "list"),
            ("bob", "list"),
            ("bob", END),
            ("ann", END),
            ("cid", DIES),
            ("cid", END),
            seed=f"-{seed}",
        )
        assert not played.wrongs, played.told
        met.add(tuple(played.statuses.values()))
    assert met == {(0, 5, -1)}


def test_abandonment_that_arrives_while_the_release_goes_back() -> None:
    """bob dies while he abandons ann's release of two images: what he wrote of the second one arrives when she is
    putting back what she has moved. Nobody else is there to do it."""
    played = play(
        CASES["two images: promote, abandon"](),
        ("ann", "put api:v1.1.0-prod"),
        ("bob", r"put web:_tagflow\.prod.*"),
        ("bob", DIES_LATE),
        ("ann", r"put api:_tagflow\.prod.*"),
        ("ann", LANDS),
        ("ann", END),
    )
    assert not played.wrongs, played.told
    assert played.statuses == {"ann": 5, "bob": -1}


def test_what_a_finisher_that_gave_way_saw_is_no_arrival() -> None:
    """ann's PUT of the second image got no answer. bob, who was to finish the same release, has built on her record
    there, and gives way to her: that does not say that her tag stands."""
    lists = ("list web:", "list api:")
    played = play(
        CASES["two images: finish, repair"](),
        *(("bob", lists[number % 2]) for number in range(7)),
        ("ann", "put web:prod"),
        ("ann", NO_ANSWER),
        ("bob", END),
        ("ann", END),
    )
    assert not played.wrongs, played.told
    assert played.statuses == {"ann": 0, "bob": 5}
