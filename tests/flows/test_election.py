"""Who goes on, who waits, who gives way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tagflow.decide.ballot import Ballot, given_up, hides_abandonment, left_to_a_finisher
from tagflow.decide.election import Verdict, elect
from tagflow.domain.history import Action, Entry, Parent
from tagflow.domain.intent import Intent
from tagflow.domain.own_tags import RecordTag
from tagflow.domain.reference import Repository
from tagflow.execute.looks import Lookout
from tagflow.verbs.verify import verify
from tests.flows.test_writer import announced
from tests.flows.world import World, fails


@pytest.fixture
def world() -> World:
    world = World()
    world.through("v1.0.0", "dev", "test", "prod")
    return world


@pytest.mark.parametrize("mine_first", [True, False])
def test_who_has_won_stays_the_winner_when_it_looks_again(world: World, mine_first: bool) -> None:
    """A release that it sees only then sees this one, and gives way: if both did, nobody would be left."""
    seen = world.seen("frontend", "prod")
    both = [announced(world, seen, f"v1.{number}.0", by)[2].entry for number, by in ((4, "ann"), (5, "bob"))]
    mine, rival = sorted(both, key=lambda entry: entry.rank, reverse=not mine_first)
    before = seen.standing.digest
    ballots = {"frontend": Ballot((mine,), seen.records, before, {rival.tag: rival}, before, frozenset({mine.tag}))}
    assert elect(ballots).verdict is (Verdict.WAIT if mine_first else Verdict.YIELD)
    assert elect(ballots, again=True).verdict is Verdict.WON


def test_who_finishes_what_has_arrived_by_itself_has_won(world: World) -> None:
    """Nobody is in the way: the tag stands where it is to go."""
    seen = world.seen("frontend", "prod")
    mine = announced(world, seen, "v1.4.0", "ann")[2].entry
    finisher = replace(mine, record=replace(mine.record, finishes=True))
    for entry, verdict in ((mine, Verdict.YIELD), (finisher, Verdict.WON)):
        ballot = Ballot((entry,), seen.records, seen.standing.digest, {}, entry.record.digest, frozenset({entry.tag}))
        assert elect({"frontend": ballot}).verdict is verdict


@pytest.mark.parametrize("action", ["adopt", "hold"])
def test_an_adoption_above_an_abandonment_hides_it(world: World, action: Action) -> None:
    seen = world.seen("frontend", "prod")
    mine = announced(world, seen, "v1.4.0", "ann")[2].entry
    other = announced(world, seen, "v1.5.0", "bob")[2].entry
    above = replace(
        other, tag=replace(other.tag, sequence=mine.tag.sequence + 1), record=replace(other.record, action=action)
    )
    below = replace(above, tag=replace(other.tag, sequence=mine.tag.sequence - 1))
    for entry, hides in ((above, action == "adopt"), (below, False)):
        ballot = Ballot((mine,), seen.records, seen.standing.digest, {entry.tag: entry}, seen.standing.digest)
        assert hides_abandonment(ballot) is hides


def test_what_its_own_run_took_back_in_one_image_has_no_run_in_any(world: World) -> None:
    """Where the run left an image to another one, which was to finish its release and gave way as well, no abort says
    so; somebody who is still finishing it counts."""
    ballots = {}
    for image in ("frontend", "backend"):
        seen = world.seen(image, "prod")
        entries = {
            by: announced(world, seen, version, by)[2].entry
            for by, version in (("ann", "v1.4.0"), ("bob", "v1.5.0"), ("cid", "v1.6.0"))
        }
        abort = replace(entries["cid"].record, action="abort", aborts=(entries["ann"].tag,))
        entries["cid"] = replace(entries["cid"], record=abort)
        if image == "backend":
            del entries["cid"]
        mine = announced(world, seen, "v1.7.0", "dan")[2].entry
        unseen = {entry.tag: entry for entry in entries.values()}
        ballots[image] = Ballot((mine,), seen.records, seen.standing.digest, unseen, seen.standing.digest)
        ann, bob = entries["ann"], entries["bob"]
        if image == "frontend":
            shared = ann.record.release
    theirs = dict(ballots["backend"].unseen)
    theirs[ann.tag] = replace(ann, record=replace(ann.record, release=shared))
    ballots["backend"] = replace(ballots["backend"], unseen=theirs)
    assert given_up(ballots)["backend"] == {ann.tag}
    finishing = replace(bob, record=replace(bob.record, release=shared, finishes=True))
    ballots["backend"] = replace(ballots["backend"], unseen={**theirs, bob.tag: finishing})
    assert given_up(ballots)["backend"] == {ann.tag}
    frontend = dict(ballots["frontend"].unseen)
    still = next(it for it in frontend.values() if it.record.version == "v1.5.0")
    frontend[still.tag] = replace(still, record=replace(still.record, release=shared, finishes=True))
    ballots["frontend"] = replace(ballots["frontend"], unseen=frontend)
    assert given_up(ballots)["backend"] == frozenset()


@pytest.fixture
def finishers(world: World) -> dict[str, Ballot]:
    """Of ann, who finishes a release of two images, and has seen nothing of bob, who is to finish it as well."""
    intent = Intent((("backend", "v1.4.0"), ("frontend", "v1.4.0")))
    ballots = {}
    for image in ("backend", "frontend"):
        seen = world.seen(image, "prod")
        mine = announced(world, seen, "v1.4.0", "ann")[2].entry
        mine = replace(mine, record=replace(mine.record, finishes=True, intent=intent))
        before = seen.standing.digest
        ballots[image] = Ballot((mine,), seen.records, before, {}, before, frozenset({mine.tag}))
    return ballots


def finishing(ballot: Ballot, *, above: bool, first: bool = False) -> Entry:
    """What bob announces of the same release, ``above`` what ann has announced or not."""
    mine = ballot.announcement
    parents = (Parent(mine.tag, mine.digest),) if above else mine.record.parents
    tag = replace(mine.tag, sequence=mine.tag.sequence + (-1 if first else 1))
    return replace(mine, tag=tag, record=replace(mine.record, parents=parents, actor="bob"))


def with_news(ballots: Mapping[str, Ballot], news: Mapping[str, Sequence[Entry]]) -> dict[str, Ballot]:
    return {
        image: replace(ballot, unseen={entry.tag: entry for entry in news.get(image, ())})
        for image, ballot in ballots.items()
    }


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("bob_first", [False, True])
def test_two_finishers_are_rivals_where_the_first_image_says_so(
    finishers: Mapping[str, Ballot], again: bool, bob_first: bool
) -> None:
    """bob saw ann in the second image alone."""
    one, two = finishers.values()
    news = {"backend": [finishing(one, above=False, first=bob_first)], "frontend": [finishing(two, above=True)]}
    outcome = elect(with_news(finishers, news), again=again)
    assert outcome.verdict is (Verdict.WON if again else Verdict.YIELD if bob_first else Verdict.WAIT)


@pytest.mark.parametrize("again", [False, True])
def test_a_finisher_takes_over_where_the_first_image_says_so(finishers: Mapping[str, Ballot], again: bool) -> None:
    """bob saw ann there; what he is to announce in the second image is still to come."""
    one, two = finishers.values()
    ballots = with_news(finishers, {"backend": [finishing(one, above=True)]})
    assert elect(ballots, again=again).verdict is Verdict.STOP
    ballots = with_news(finishers, {"backend": [finishing(one, above=True)], "frontend": [finishing(two, above=False)]})
    assert elect(ballots, again=again).verdict is Verdict.STOP


@pytest.mark.parametrize("again", [False, True])
def test_what_a_finisher_has_not_announced_yet_is_waited_for(finishers: Mapping[str, Ballot], again: bool) -> None:
    """In the first image, which decides; not where the tag stands and there is nothing to announce, unless this run
    has put it there."""
    _, two = finishers.values()
    ballots = with_news(finishers, {"frontend": [finishing(two, above=True)]})
    assert elect(ballots, again=again).verdict is Verdict.WAIT
    wanted = two.announcement.record.digest
    ballots["backend"] = replace(ballots["backend"], digest=wanted)
    assert elect(ballots, again=again).verdict is (Verdict.WAIT if again else Verdict.STOP)
    ballots["frontend"] = replace(ballots["frontend"], digest=wanted)
    assert elect(ballots, again=again).verdict is Verdict.STOP


def test_what_a_finisher_found_there_stays(finishers: Mapping[str, Ballot]) -> None:
    """He announces nothing in such an image: to take it back would undo what he relies on."""
    one, two = finishers.values()
    wanted = one.announcement.record.digest
    stands = {**finishers, "backend": replace(one, digest=wanted)}
    assert left_to_a_finisher(stands) == frozenset()
    ballots = with_news(stands, {"frontend": [finishing(two, above=True)]})
    assert left_to_a_finisher(ballots) == {"backend"}
    back = finishing(one, above=True)
    record = replace(back.record, action="abort", abandons=True, finishes=False, aborts=(one.announcement.tag,))
    ballots = with_news(stands, {"backend": [replace(back, record=record)], "frontend": [finishing(two, above=True)]})
    assert left_to_a_finisher(ballots) == frozenset(), "somebody abandons it there"


def test_what_another_finisher_moved_and_puts_back_has_not_arrived(finishers: Mapping[str, Ballot]) -> None:
    """He gave way after he had moved the tag: where it stands it does not stay."""
    one = finishers["backend"]
    bob = finishing(one, above=False)
    back = replace(bob.record, action="abort", finishes=False, aborts=(bob.tag,))
    gave_way = replace(bob, tag=replace(bob.tag, sequence=bob.tag.sequence + 1), record=back)
    ballots = with_news(finishers, {"backend": [bob, gave_way]})
    assert elect(ballots).verdict is Verdict.WON
    ballots["backend"] = replace(ballots["backend"], digest=one.announcement.record.digest)
    assert elect(ballots).verdict is Verdict.WAIT
    assert elect(ballots, waited=True).verdict is Verdict.WON, "nobody has put it back"


@pytest.mark.parametrize("again", [False, True])
def test_a_finisher_that_gave_way_is_none(finishers: Mapping[str, Ballot], again: bool) -> None:
    """It had built on this release in one image, where the tag stood in the other."""
    one, two = finishers.values()
    bob = finishing(two, above=True)
    record = replace(bob.record, action="abort", finishes=False, aborts=(bob.tag,))
    gave_way = replace(bob, tag=replace(bob.tag, sequence=bob.tag.sequence + 1), record=record)
    ballots = with_news(finishers, {"frontend": [bob, gave_way]})
    assert elect(ballots, again=again).verdict is Verdict.WON
    ballots["backend"] = replace(one, digest=one.announcement.record.digest)
    assert left_to_a_finisher(ballots) == frozenset()


def test_who_announces_nothing_where_the_tag_stands_is_judged_where_it_does(finishers: Mapping[str, Ballot]) -> None:
    """Each has to know that; else the first waits for a record that never comes."""
    one, two = finishers.values()
    stands = {**finishers, "backend": replace(one, digest=one.announcement.record.digest)}
    for first, verdict in ((True, Verdict.YIELD), (False, Verdict.WAIT)):
        ballots = with_news(stands, {"frontend": [finishing(two, above=False, first=first)]})
        assert elect(ballots).verdict is verdict


def test_aborts_that_name_one_another_are_each_read_once(world: World) -> None:
    """Twenty losers at once leave a history with more ways down than anyone could walk."""
    seen = world.seen("frontend", "prod")
    mine = announced(world, seen, "v1.4.0", "ann")[2].entry
    entries: dict[RecordTag, Entry] = {}
    level: list[Entry] = []
    for number in range(20):
        parents = tuple(Parent(entry.tag, entry.digest) for entry in level)
        record = replace(mine.record, action="abort", parents=parents)
        tags = [replace(mine.tag, sequence=number, fingerprint=f"{number:06}{side:06}") for side in range(2)]
        level = [replace(mine, tag=tag, record=record) for tag in tags]
        entries |= {entry.tag: entry for entry in level}
    lookups: list[RecordTag] = []

    class Observer:
        def read(self, _: object, tags: Sequence[RecordTag]) -> dict[RecordTag, Entry]:
            lookups.extend(tags)
            assert len(lookups) <= 2 * len(entries)
            return {tag: entries[tag] for tag in tags}

    standing = replace(seen.standing, heads=tuple(level))
    prospect: Any = SimpleNamespace(seen=replace(seen, standing=standing))
    lookout = Lookout(world.context(), cast(Any, Observer()))
    assert list(lookout.ages_of_takeovers(prospect, 60.0, None)) == []
    assert set(lookups) == entries.keys() - {entry.tag for entry in level}


def carried_on_by_a_loser(attempt: int) -> World:
    """v1.2.0 has won and moved the tag. Before it did, v1.3.0 was announced by a run that died, and v1.4.0 by one that
    gave way: to whichever of the two sorts first, which depends on the names of the records."""
    world = World()
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "test", "prod")
    for version in ("v1.2.0", "v1.3.0", "v1.4.0"):
        world.through(version, "dev", "test")
    runs = [World(memory=world.memory, actor=f"{name} {attempt}") for name in ("winner", "dead", "loser")]
    winner, dead, loser = (
        run.propose_promote(f"frontend={version}", to="prod")
        for run, version in zip(runs, ("v1.2.0", "v1.3.0", "v1.4.0"), strict=True)
    )
    waiting = [True]

    def meanwhile(operation: str, _repository: Repository, detail: str) -> None:
        if (operation, detail) == ("move", "prod") and waiting and waiting.pop():
            assert runs[1].crash(lambda: runs[1].carry_out(dead), 2)
            with fails("release.overtaken", 5):
                runs[2].carry_out(loser)

    with world.hooked(before=meanwhile):
        runs[0].carry_out(winner)
    return world


def test_a_loser_of_which_only_the_abort_of_another_is_left_did_not_arrive() -> None:
    for world in map(carried_on_by_a_loser, range(60)):
        standing = world.seen("frontend", "prod").standing
        if any(head.record.action == "abort" and head.record.version == "v1.3.0" for head in standing.heads):
            break
    assert {head.record.version for head in standing.heads} == {"v1.2.0", "v1.3.0"}
    assert (standing.version, standing.state.voided("v1.3.0")) == ("v1.2.0", True)
    assert {it.problem for it in verify(world.context(), ["prod"])} <= {"history.fork"}
    world.later(hours=1)
    assert world.promote("frontend=v1.4.0", to="prod").applied
    assert verify(world.context(), ["prod"]) == []
    assert world.tag("frontend", "v1.3.0-prod") is None
