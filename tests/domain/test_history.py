"""History: the checkpoint's transitions, heads against a brute-force oracle, conditions, stays."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tagflow.domain.history import Action, Entry, Parent, Record, find_heads, fingerprint
from tagflow.domain.own_tags import RecordTag, record_tag
from tagflow.domain.reference import Digest, digest_of
from tagflow.domain.standing import Standing, Stay, stays
from tagflow.domain.state import DEEPEST, Hold, Release, StackEntry, State, Void
from tests.marks import examples

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def digest(text: str) -> Digest:
    return digest_of(text.encode())


def entry_of(version: str, number: int = 1) -> StackEntry:
    return StackEntry(version, digest(version), Release(f"r{number}", number))


def record(
    action: Action = "promote",
    version: str | None = "v1.0",
    previous: str | None = None,
    *,
    at: float = 0,
    release: Release | None = None,
    parents: Iterable[Entry] = (),
    state: State | None = None,
    seen: Iterable[RecordTag] = (),
) -> Entry:
    """A record of ``version``, written ``at`` hours after the start, at its place in a history."""
    moment = START + timedelta(hours=at)
    made = Record(
        "prod", "r.test/app", action, version, digest(version) if version else None, previous,
        digest(previous) if previous else None, release or Release("r1", 1), "ann", "", (), moment,
        tuple(Parent(it.tag, it.digest) for it in parents),
        replace(state or State(since=moment), seen=fingerprint(seen)),
    )  # fmt: skip
    own = Digest("sha256:" + hashlib.sha256(repr(made).encode()).hexdigest())
    return Entry(record_tag("prod", made.sequence, own), own, made)


def held(entry: StackEntry) -> Hold:
    assert entry.version is not None
    return Hold(entry.version, entry.digest, "ann")


def holds(*versions: str) -> frozenset[Hold]:
    return frozenset(map(Hold, versions))


def names(found: Iterable[Hold | Void]) -> set[str]:
    return {item.version for item in found}


# --- the checkpoint --------------------------------------------------------------------------------------------------


class TestState:
    def test_a_day(self) -> None:
        state = State().entered(entry_of("v1")).entered(entry_of("v2")).entered(entry_of("v3"))
        back = state.popped(2, held)
        assert [it.version for it in back.stack] == ["v1"]
        assert names(back.holds) == {"v2", "v3"}
        again = back.entered(entry_of("v3"))
        assert [it.version for it in again.stack] == ["v1", "v3"]
        assert names(again.holds) == {"v2"}
        by_hand = back.adopted(entry_of("v2"))
        assert names(by_hand.holds) == {"v2", "v3"}, "no rule was asked"
        assert names(by_hand.popped(0, held).holds) == {"v3"}, "a rollback to it was meant"

    def test_foreign_content_is_never_held(self) -> None:
        state = State().entered(entry_of("v1")).adopted(StackEntry(None, digest("stray"), Release("r", 2)))
        assert names(state.popped(1, held).holds) == set()

    def test_void(self) -> None:
        state = State().entered(entry_of("v1")).aborted("v2")
        assert names(state.void) == {"v2"}
        assert names(state.entered(entry_of("v2")).void) == set()
        assert names(state.aborted("v1").void) == {"v2"}, "it was admitted before"
        assert state.popped(0, held).aborted(None) == state.popped(0, held)
        assert replace(state, holds=holds("v3")).aborted("v3").void == state.void

    def test_depth(self) -> None:
        state = State().entered(entry_of("v1")).entered(entry_of("v2")).entered(entry_of("v1"))
        assert state.depth_of(lambda it: it.version == "v1") == 0
        assert state.depth_of(lambda it: it.version == "v2") == 1
        assert state.depth_of(lambda it: it.version == "v9") is None

    @given(st.lists(st.sampled_from(["v1", "v2", "v3", "v4"]), min_size=1, max_size=DEEPEST + 30), st.data())
    def test_popping_undoes_entering(self, versions: list[str], data: st.DataObject) -> None:
        state = State()
        for number, version in enumerate(versions):
            state = state.entered(entry_of(version, number))
        assert [it.version for it in state.stack] == versions[-DEEPEST:]
        depth = data.draw(st.integers(0, len(state.stack) - 1))
        back = state.popped(depth, held)
        assert back.stack == state.stack[: len(state.stack) - depth]
        assert names(back.holds) == set(versions[len(versions) - depth :]) - {back.stack[-1].version}


# --- heads -----------------------------------------------------------------------------------------------------------


class Library:
    """All records of one environment, and how many were read."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = {entry.tag: entry for entry in entries}
        self.read: list[RecordTag] = []

    def reader(self, tags: Sequence[RecordTag]) -> dict[RecordTag, Entry]:
        self.read += tags
        return {tag: self.entries[tag] for tag in tags if tag in self.entries}

    def heads(self) -> tuple[Entry, ...]:
        return find_heads(list(self.entries), self.reader)


def oracle(entries: Sequence[Entry]) -> set[RecordTag]:
    named = {parent.tag for entry in entries for parent in entry.record.parents}
    return {entry.tag for entry in entries} - named


def written(seen: Sequence[Entry], number: int) -> Entry:
    """What a writer writes that saw exactly these records."""
    heads = [entry for entry in seen if entry.tag in oracle(seen)]
    return record(version=f"v{number}", parents=heads, seen=[entry.tag for entry in seen])


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Writers that each saw some moment of the past: the newest, mostly, or one long ago."""
    entries: list[Entry] = []
    for number in range(draw(st.integers(0, 25))):
        late = draw(st.integers(0, len(entries)) | st.just(0) | st.just(0))
        entries.append(written(entries[: len(entries) - late], number))
    return entries


@given(histories(), st.randoms(use_true_random=False))
def test_heads_are_what_no_record_names(entries: list[Entry], shuffle: random.Random) -> None:
    shuffle.shuffle(entries)
    library = Library(entries)
    heads = library.heads()
    assert {entry.tag for entry in heads} == oracle(entries)
    assert [entry.rank for entry in heads] == sorted((entry.rank for entry in heads), reverse=True)
    assert len(library.read) == len(set(library.read))


@given(histories(), st.data())
@settings(max_examples=examples(200))
def test_heads_of_what_is_left_after_a_truncation(entries: list[Entry], data: st.DataObject) -> None:
    left = [entry for entry in entries if data.draw(st.booleans(), label="kept")]
    assert {entry.tag for entry in Library(left).heads()} == oracle(left)


@given(histories(), st.data())
def test_records_that_vanish_between_list_and_read(entries: list[Entry], data: st.DataObject) -> None:
    library = Library(entries)
    listed = list(library.entries)
    for tag in listed:
        if data.draw(st.booleans(), label="gone"):
            del library.entries[tag]
    found = {entry.tag for entry in find_heads(listed, library.reader)}
    assert oracle(entries) & library.entries.keys() <= found <= oracle(list(library.entries.values()))


def line(length: int, forks: Iterable[int] = ()) -> list[Entry]:
    """A history of one writer at a time; at some places two wrote at once, and the next joined them."""
    entries: list[Entry] = []
    for number in range(length):
        seen = list(entries)
        entries.append(written(seen, number))
        if number in set(forks):
            entries.append(written(seen, 1000 + number))
    return entries


@pytest.mark.parametrize("length", [1, 2, 7, 80])
def test_one_record_is_read_where_there_is_no_fork(length: int) -> None:
    library = Library(line(length))
    assert [entry.record.version for entry in library.heads()] == [f"v{length - 1}"]
    assert len(library.read) == 1


def test_old_forks_cost_nothing() -> None:
    library = Library(line(80, forks=range(3, 75, 7)))
    assert len(library.heads()) == 1
    assert len(library.read) == 1


def test_a_fork_at_the_end_costs_its_branches() -> None:
    library = Library(line(80, forks=[79]))
    assert len(library.heads()) == 2
    assert len(library.read) == 2


def test_a_late_writer_that_nobody_joined_yet() -> None:
    entries = line(100)
    entries.append(written(entries[:90], 1000))
    library = Library(entries)
    assert {entry.record.version for entry in library.heads()} == {"v99", "v1000"}
    assert len(library.read) < 40


def test_no_history() -> None:
    assert find_heads([], lambda tags: {}) == ()


@given(st.lists(st.integers(1, 50), unique=True), st.randoms(use_true_random=False))
def test_a_fingerprint_is_of_a_set(numbers: list[int], shuffle: random.Random) -> None:
    tags = [RecordTag("prod", number, f"{number:012x}") for number in numbers]
    shuffled = list(tags)
    shuffle.shuffle(shuffled)
    assert fingerprint(tags) == fingerprint(shuffled)
    for tag in tags:
        assert fingerprint(tags) != fingerprint([it for it in tags if it != tag])


# --- standing --------------------------------------------------------------------------------------------------------


class TestStanding:
    first = record(version="v1")
    second = record(version="v2", previous="v1", parents=[first], state=State(stack=(entry_of("v1"), entry_of("v2"))))

    @pytest.mark.parametrize(
        ("stands", "condition", "version"),
        [("v2", "recorded", "v2"), ("v1", "interrupted", "v1"), ("v3", "unrecorded", None), (None, "unrecorded", None)],
    )
    def test_conditions(self, stands: str | None, condition: str, version: str | None) -> None:
        standing = Standing(digest(stands) if stands else None, (self.second,))
        assert (standing.condition, standing.version) == (condition, version)

    def test_without_records(self) -> None:
        assert Standing(None).condition == "empty"
        assert Standing(digest("v1")).condition == "unrecorded"
        assert Standing(None, (record(version="v1"),)).condition == "interrupted"

    def test_the_effective_head(self) -> None:
        seen = [self.first.tag]
        one = record(version="v2", previous="v1", parents=[self.first], seen=seen)
        two = record(version="v3", previous="v1", parents=[self.first], seen=seen)
        assert Standing(digest("v2"), (one, two)).head == one
        assert Standing(digest("v3"), (one, two)).head == two
        assert Standing(digest("v9"), (one, two)).head == max((one, two), key=lambda it: str(it.tag))
        higher = record(version="v4", previous="v3", parents=[two])
        assert Standing(digest("v9"), (one, higher)).head == higher

    def test_a_hold_that_had_not_seen_a_release_does_not_hide_it(self) -> None:
        """It changes no state: while the release is under way nothing else may begin."""
        hold = record("hold", "v1", parents=[self.first], state=State(stack=(entry_of("v1"),), holds=holds("v2")))
        begun = Standing(digest("v1"), (hold, self.second))
        assert (begun.head, begun.condition, names(begun.state.holds)) == (self.second, "interrupted", {"v2"})
        arrived = Standing(digest("v2"), (hold, self.second))
        assert (arrived.head, arrived.condition) == (self.second, "recorded")
        other = record(version="v3", previous="v2", parents=[self.second])
        assert Standing(digest("v1"), (hold, other)).head == hold

    def test_holds_are_the_union_over_heads(self) -> None:
        one = record(version="v2", state=State(stack=(entry_of("v2"),), holds=holds("v5")))
        two = record("rollback", "v1", state=State(stack=(entry_of("v1"),), holds=holds("v2", "v3")))
        assert names(Standing(digest("v2"), (one, two)).state.holds) == {"v2", "v3", "v5"}

    @pytest.mark.parametrize(("stands", "kept"), [("v2", set()), ("v1", {"v2"}), ("v9", {"v2"})])
    def test_only_what_arrived_lifts_a_hold_that_another_head_has(self, stands: str, kept: set[str]) -> None:
        base = record("hold", "v1", state=State(stack=(entry_of("v1"),), holds=holds("v2")))
        running = State(stack=(entry_of("v1"), entry_of("v2")))
        one = record(version="v2", previous="v1", parents=[base], state=running)
        two = record("freeze", "v1", parents=[base], state=base.record.state)
        for vain in (False, stands == "v9"):
            standing = Standing(digest(stands), (one, two), (base,), vain=vain)
            assert names(standing.state.holds) == kept

    def test_a_note_ends_what_it_is_about(self) -> None:
        base = record("hold", "v1", state=State(stack=(entry_of("v1"),), holds=holds("v2", "v3")))
        one = record("unhold", "v2", parents=[base], state=State(stack=(entry_of("v1"),)))
        two = record("freeze", "v1", parents=[base], state=base.record.state)
        assert names(Standing(digest("v1"), (one, two), (base,)).state.holds) == {"v3"}
        assert names(Standing(digest("v1"), (one, two)).state.holds) == {"v2", "v3"}

    def test_what_another_head_announced_in_vain_is_void(self) -> None:
        one = record(version="v2", state=State(stack=(entry_of("v1"), entry_of("v2"))))
        two = record(version="v3", state=State(stack=(entry_of("v1"), entry_of("v3"))))
        standing = Standing(digest("v2"), (one, two))
        assert standing.excludes("v3") == "void"
        assert standing.excludes("v2") == ""

    def test_what_is_announced_is_not_admitted_yet(self) -> None:
        assert Standing(digest("v1"), (self.second,)).excludes("v2") == "announced"
        assert Standing(digest("v2"), (self.second,)).excludes("v2") == ""


# --- stays -----------------------------------------------------------------------------------------------------------


def hours(found: Iterable[Stay]) -> list[tuple[str, float, float]]:
    names = {digest(name): name for name in ("v1", "v2", "v3")}
    return [(names[it.digest], (it.begin - START) / HOUR, (it.end - START) / HOUR) for it in found]


def chain(*told: tuple[Action, str | None, float, int]) -> list[Entry]:
    """Records one after another: action, version, hour, release number."""
    entries: list[Entry] = []
    for action, version, at, number in told:
        release = Release(f"r{number}", number)
        entries.append(record(action, version, at=at, release=release, parents=entries[-1:]))
    return entries


@pytest.mark.parametrize(
    ("told", "stands", "expected"),
    [
        ([("promote", "v1", 0, 1)], "v1", [("v1", 0, 10)]),
        ([("promote", "v1", 0, 1)], "v2", []),
        ([("promote", "v1", 0, 1), ("promote", "v2", 3, 2)], "v2", [("v1", 0, 3), ("v2", 3, 10)]),
        ([("promote", "v1", 0, 1), ("promote", "v2", 3, 2), ("abort", "v1", 4, 2)], "v1",
         [("v1", 0, 3), ("v1", 4, 10)]),
        ([("promote", "v1", 2, 1), ("promote", "v1", 5, 1)], "v1", [("v1", 5, 10)]),
        ([("promote", "v1", 0, 1), ("promote", "v2", 3, 2), ("rollback", "v1", 5, 3)], "v1",
         [("v1", 0, 3), ("v2", 3, 5), ("v1", 5, 10)]),
        ([("promote", "v1", 6, 1), ("promote", "v2", 4, 2)], "v2", [("v1", 6, 6), ("v2", 6, 10)]),
        ([("promote", "v1", 6, 1), ("promote", "v2", -19, 2), ("promote", "v3", -18, 3)], "v3",
         [("v1", 6, 6), ("v2", 6, 6), ("v3", 6, 10)]),
        ([("promote", "v1", 2, 1), ("promote", "v2", 30, 2)], "v2", [("v1", 2, 10), ("v2", 30, 30)]),
        ([("promote", "v1", 900, 1), ("promote", "v2", 5, 2), ("promote", "v3", 6, 3)], "v3",
         [("v1", 900, 900), ("v2", 900, 900), ("v3", 6, 10)]),
    ],
    ids=["lasting", "left by hand", "ended", "aborted", "announced twice", "back", "a clock that goes back",
         "a clock that stays behind", "a clock that is ahead", "a clock that was ahead once"],
)  # fmt: skip
def test_stays(told: list[tuple[Action, str | None, float, int]], stands: str, expected: list[object]) -> None:
    entries = chain(*told)
    standing = Standing(digest(stands), (entries[-1],))
    assert hours(stays(entries, standing, START + timedelta(hours=10))) == expected
    shuffled = entries[::-1]
    assert hours(stays(shuffled, standing, START + timedelta(hours=10))) == expected


def test_a_stay_that_goes_on_began_where_the_clocks_allow() -> None:
    """Its first writer was a day behind; who promotes the same digest again carries on what that one wrote down."""
    good, behind = chain(("promote", "v1", 6, 1), ("promote", "v2", -19, 2))
    again = record(
        "promote", "v2", at=8, parents=[behind], release=Release("r3", 3), state=State(since=behind.record.at)
    )
    standing = Standing(digest("v2"), (again,))
    found = hours(stays([good, behind, again], standing, START + timedelta(hours=10)))
    assert found == [("v1", 6, 6), ("v2", 6, 10), ("v2", 6, 10)]


def test_what_is_announced_and_has_not_arrived_ends_no_stay() -> None:
    entries = chain(("promote", "v1", 0, 1), ("promote", "v2", 3, 2))
    announced = replace(entries[1], record=replace(entries[1].record, previous_digest=digest("v1")))
    standing = Standing(digest("v1"), (announced,))
    assert standing.condition == "interrupted"
    assert hours(stays([entries[0], announced], standing, START + timedelta(hours=10))) == [("v1", 0, 10)]


def test_what_another_writer_announced_in_vain_ends_no_stay() -> None:
    first = chain(("promote", "v1", 0, 1))
    won = record("promote", "v2", at=1, parents=first)
    lost = record("promote", "v3", at=2, parents=first, release=Release("other", 2))
    standing = Standing(digest("v2"), (won, lost))
    assert hours(stays([*first, won, lost], standing, START + timedelta(hours=10))) == [("v1", 0, 1), ("v2", 1, 10)]


@given(st.lists(st.sampled_from(["v1", "v2", "v3"]), min_size=1, max_size=8))
def test_stays_of_a_quiet_history_follow_each_other(versions: list[str]) -> None:
    told = [(("promote"), version, float(at), at) for at, version in enumerate(versions)]
    entries = chain(*told)  # type: ignore[arg-type]
    found = stays(entries, Standing(digest(versions[-1]), (entries[-1],)), START + timedelta(hours=len(versions)))
    for one, following in pairwise(found):
        assert one.begin <= one.end
        assert one.digest == following.digest or one.end == following.begin
    assert found[-1].end == START + timedelta(hours=len(versions))
