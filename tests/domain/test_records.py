"""Records as annotations: what is written reads back, whole; what is no record, or a later one, is told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from tagflow.domain.history import Parent, Record
from tagflow.domain.intent import Intent
from tagflow.domain.own_tags import RecordTag, record_tag
from tagflow.domain.records import ARTIFACT_TYPE, CREATED, PREFIX, read_record, to_annotations
from tagflow.domain.reference import Digest, digest_of
from tagflow.domain.state import Freeze, Hold, Release, StackEntry, State, Void
from tagflow.errors import HistoryBroken, HistoryNewer

AT = datetime(2026, 3, 2, 9, 30, 1, 250_000, tzinfo=UTC)
ONE, TWO = digest_of(b"one"), digest_of(b"two")
BEFORE = Parent(record_tag("prod", 6, ONE), ONE)
RECORD = Record(
    environment="prod",
    repository="registry.test/acme/web",
    action="promote",
    version="v1.1.0",
    digest=TWO,
    previous_version="v1.0.0",
    previous_digest=ONE,
    release=Release("r0002", 2),
    actor="ann",
    reason="at last – größer",
    overrides=("hold", "soak"),
    at=AT,
    parents=(BEFORE,),
    state=State(
        stack=(StackEntry(None, ONE, Release("r0001", 1)), StackEntry("v1.1.0", TWO, Release("r0002", 2))),
        holds=frozenset({Hold("v0.9.0", ONE, "bob", AT, "it leaks"), Hold("v0.8.0")}),
        void=frozenset({Void("v0.7.0", ONE), Void("v0.6.0")}),
        admitted=(StackEntry("v1.0.5", ONE, Release("r0001", 1)),),
        freeze=Freeze("bob", AT, "incident", AT + timedelta(hours=2)),
        since=AT,
        seen="abc",
        by="ann",
        ignored=frozenset({record_tag("prod", 3, TWO)}),
    ),
    intent=Intent((("web", "v1.1.0"),)),
    subject=TWO,
    aborts=(record_tag("prod", 5, ONE),),
    abandons=True,
    follows=record_tag("prod", 4, ONE),
    finishes=True,
    plan="0123456789abcdef",
    approvals=(f"alice@{ONE}",),
)


def tag_of(sequence: int, digest: Digest) -> RecordTag:
    return record_tag("prod", sequence, digest)


def read(found: dict[str, str], artifact_type: str = ARTIFACT_TYPE) -> Record:
    return read_record("registry.test/acme/web", tag_of(7, TWO), TWO, artifact_type, found).record


def test_everything_reads_back() -> None:
    assert read(to_annotations(RECORD)) == RECORD


def test_what_is_seldom_said_is_not_written_where_it_is_not_so() -> None:
    plain = replace(
        RECORD, subject=None, aborts=(), abandons=False, follows=None, finishes=False, plan="", approvals=()
    )
    seldom = {"subject", "aborts", "abandons", "follows", "finishes", "plan", "approvals"}
    assert not {key.removeprefix(PREFIX) for key in to_annotations(plain)} & seldom
    assert read(to_annotations(plain)) == plain


def test_a_moment_is_read_in_whatever_zone_it_is_written() -> None:
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert read(to_annotations(RECORD) | {CREATED: there.isoformat()}).at == AT


class TestOfEarlierVersions:
    """docs/history.md keeps what they wrote."""

    def test_members_by_name_with_what_they_are_wanted_at_beside_them(self) -> None:
        found = to_annotations(RECORD)
        names = read(found | {PREFIX + "members": "web,api"}).intent
        assert names == Intent((("web", ""), ("api", "")))
        apart = {PREFIX + "members": "web,api", PREFIX + "intent": "*=v1.1.0 #abc -api"}
        assert read(found | apart).intent == Intent(common="v1.1.0", left_out=("api",), names="abc")

    def test_holds_and_voids_by_version_alone(self) -> None:
        state = json.loads(to_annotations(RECORD)[PREFIX + "state"])
        for later in ("held", "voided", "admitted", "freeze", "ignored", "by"):
            state.pop(later, None)
        found = read(to_annotations(RECORD) | {PREFIX + "state": json.dumps(state)}).state
        assert found.holds == {Hold("v0.9.0"), Hold("v0.8.0")}
        assert found.void == {Void("v0.7.0"), Void("v0.6.0")}
        assert (found.admitted, found.freeze, found.by) == ((), None, "")


def without(key: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda found: {name: text for name, text in found.items() if name != PREFIX + key}


def having(key: str, text: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda found: found | {(PREFIX + key if key != CREATED else CREATED): text}


def in_state(**changes: object) -> Callable[[dict[str, str]], dict[str, str]]:
    def change(found: dict[str, str]) -> dict[str, str]:
        return found | {PREFIX + "state": json.dumps(json.loads(found[PREFIX + "state"]) | changes)}

    return change


DAMAGES = {
    "no action": without("action"),
    "an action that there is not": having("action", "destroy"),
    "no environment": without("environment"),
    "no digest at all": without("digest"),
    "what is no digest": having("digest", "sha256:abc"),
    "no moment": lambda found: {name: text for name, text in found.items() if name != CREATED},
    "a moment in no zone": having(CREATED, "2026-03-02T09:30:01"),
    "a moment far off": having(CREATED, "9999-12-31T23:59:59Z"),
    "what is no moment": having(CREATED, "yesterday"),
    "a release number below zero": having("release-number", "-1"),
    "a release number of a million digits": having("release-number", "9" * 1_000_000),
    "a release number that is none": having("release-number", "two"),
    "a parent that is no record": having("parents", f"v1.0.0@{ONE}"),
    "a parent without a digest": having("parents", f"{BEFORE.tag}@"),
    "an abort of what is no record": having("aborts", "v1.0.0"),
    "a state that is no JSON": having("state", "{"),
    "a stack of other things": in_state(stack=[1]),
    "an entry of the stack without a digest": in_state(
        stack=[{"version": "v1", "digest": "", "release": "r", "release-number": 1}]
    ),
    "a hold far off": in_state(held=[{"version": "v0.9.0", "at": "0001-01-01T00:00:00Z"}]),
    "a hold of what is no digest": in_state(held=[{"version": "v0.9.0", "digest": "x"}]),
    "a freeze in no zone": in_state(freeze={"by": "bob", "at": "2026-03-02T09:30:01", "reason": ""}),
    "what is ignored and no record": in_state(ignored=["v1.0.0"]),
}


def test_what_is_no_record_says_where_it_is() -> None:
    """All of them, so that one failure does not hide the others."""
    told = {name: _told(damage(to_annotations(RECORD))) for name, damage in DAMAGES.items()}
    assert {name for name, text in told.items() if str(tag_of(7, TWO)) not in text or len(text) > 300} == set()


def _told(found: dict[str, str]) -> str:
    """What is said of what is no record; nothing where it is read all the same."""
    try:
        read(found)
    except HistoryBroken as error:
        return error.message
    return ""


def test_what_belongs_under_another_tag_is_not_believed() -> None:
    found = to_annotations(RECORD)
    for tag, digest in ((tag_of(8, TWO), TWO), (tag_of(7, TWO), ONE), (record_tag("dev", 7, TWO), TWO)):
        with pytest.raises(HistoryBroken, match="belongs under another tag"):
            read_record("registry.test/acme/web", tag, digest, ARTIFACT_TYPE, found)


@pytest.mark.parametrize(
    ("artifact_type", "stated"),
    [("application/vnd.tagflow.record.v2+json", ""), (ARTIFACT_TYPE, "2"), (ARTIFACT_TYPE, "9" * 5000)],
)
def test_a_record_of_a_later_version_is_told_apart(artifact_type: str, stated: str) -> None:
    found = to_annotations(RECORD) | ({PREFIX + "format": stated} if stated else {})
    with pytest.raises(HistoryNewer):
        read(found, artifact_type)


def test_the_format_that_is_written_is_no_later_one() -> None:
    for stated in ("1", "", "x"):
        assert read(to_annotations(RECORD) | {PREFIX + "format": stated}) == RECORD
