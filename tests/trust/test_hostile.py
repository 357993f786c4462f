"""A stolen push credential, and no key: whatever is done to tags and records, no verb takes a forged record for true,
and verify names what was done."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from msgspec.structs import replace

from tagflow.domain.history import Parent, Record
from tagflow.domain.records import ARTIFACT_TYPE, to_annotations
from tagflow.domain.reference import Digest
from tagflow.domain.state import Freeze, Hold, StackEntry
from tagflow.errors import TagflowError
from tagflow.stores.artifact import artifact
from tagflow.trust.envelope import RECORD, SIGNATURE
from tagflow.verbs.history import history
from tagflow.verbs.status import status
from tests.flows.world import fails
from tests.marks import mostly_long
from tests.trust.test_signed_history import FORGERIES, forgeries
from tests.trust.world import Mallory, SignedWorld, released

IMAGES = ("app", "api")
V10, V11, V12 = (dict.fromkeys(IMAGES, version) for version in ("v1.0", "v1.1", "v1.2"))


@dataclass
class Stage:
    """v1.0 and v1.1 went to prod, v1.2 waits in test; a plan for it is saved, and a receipt of v1.1 is kept."""

    world: SignedWorld
    plan: Path
    receipt: Path

    @property
    def mallory(self) -> Mallory:
        return Mallory(self.world)

    @property
    def built(self) -> set[Digest | None]:
        """What was built of app, and admitted, before anybody did anything to it."""
        return {_base()[0].tag("app", f"v1.{number}") for number in range(3)}


@cache
def _base() -> tuple[SignedWorld, bytes, bytes]:
    with tempfile.TemporaryDirectory() as name:
        plan, receipt = Path(name) / "plan.json", Path(name) / "receipt.json"
        world = released()
        world.through("v1.2", "dev", "test")
        world.promoting("v1.1", to="prod", receipt=receipt)
        world.promoting("v1.2", to="prod", save_plan=plan)
        return world, plan.read_bytes(), receipt.read_bytes()


def stage(folder: Path) -> Stage:
    world, plan, receipt = _base()
    it = Stage(world.twin(), folder / "plan.json", folder / "receipt.json")
    it.plan.write_bytes(plan)
    it.receipt.write_bytes(receipt)
    return it


def records(world: SignedWorld, image: str = "app", environment: str = "prod") -> list[str]:
    """The tags of a history, the oldest first."""
    return sorted(it for it in world.tags(image) if it.startswith(f"_tagflow.{environment}."))


def evil_state(mallory: Mallory, record: Record, evil: Digest) -> Record:
    """A record that says that hers runs, and always did."""
    stack = (StackEntry("v9.0", evil, record.release), StackEntry("v9.1", evil, record.release))
    return replace(
        record,
        version="v9.1",
        digest=evil,
        previous_version="v9.0",
        previous_digest=evil,
        state=replace(record.state, stack=stack, holds=frozenset()),
    )


def absurd(field: str) -> Callable[[Stage], str]:
    """A record with something in it that no clock and no counter says."""

    def attack(it: Stage) -> str:
        world, mallory = it.world, it.mallory
        head = world.head("app", "prod")
        annotations: Mapping[str, str] = to_annotations(
            replace(head.record, parents=(Parent(head.tag, head.digest),), action="freeze")
        )
        changes = {
            "years": {"org.opencontainers.image.created": "9999-12-31T23:59:59.999999+14:00"},
            "zone": {"org.opencontainers.image.created": "0001-01-01T00:00:00+23:59"},
            "number": {f"{RECORD}release-number": "9" * 5000},
            "size": {f"{RECORD}reason": "x" * 1_000_000},
            "depth": {f"{RECORD}state": "[" * 100_000},
            "lines": {f"{RECORD}actor": "a\x1b[2J\nprod is fine\u202e"},
            "parents": {f"{RECORD}parents": " ".join([f"{head.tag}@{head.digest}"] * 5_000)},
            "signature": {SIGNATURE: "{" * 300_000},
            "signatures": {
                SIGNATURE: '{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":['
                + ",".join(['{"keyid":"","sig":""}'] * 10_000)
                + "]}"
            },
        }[field]
        manifest = artifact(ARTIFACT_TYPE, {**annotations, **changes})
        return mallory.copy(manifest, ("app", "prod"), sequence=head.tag.sequence + 1)

    return attack


def far_up(sequence: str) -> Callable[[Stage], str]:
    """A record far above all others, or one whose number is no number of a record."""

    def attack(it: Stage) -> str:
        evil = it.mallory.build("app")
        head = it.world.head("app", "prod")
        record = evil_state(it.mallory, head.record, evil)
        manifest = artifact(ARTIFACT_TYPE, to_annotations(replace(record, parents=())))
        tag = f"_tagflow.prod.{sequence}.{manifest.digest.removeprefix('sha256:')[:12]}"
        it.mallory.put("app", "prod", manifest, tag)
        return tag if len(sequence) == 6 else ""

    return attack


def swarm(it: Stage) -> str:
    """A hundred of them, on every level."""
    head = it.world.head("app", "prod")
    evil = it.mallory.build("app")
    for number in range(100):
        record = replace(evil_state(it.mallory, head.record, evil), parents=(), reason=str(number))
        manifest = artifact(ARTIFACT_TYPE, to_annotations(record))
        tag = it.mallory.copy(manifest, ("app", "prod"), sequence=1 + number % 7)
    return tag


def fork_below(it: Stage) -> str:
    """A second record beside a true one that is not the head."""
    first = it.world.manifest("app", "prod", records(it.world)[0])
    evil = it.mallory.build("app")
    manifest = artifact(ARTIFACT_TYPE, {**first.annotations, f"{RECORD}digest": str(evil)})
    return it.mallory.copy(manifest, ("app", "prod"), sequence=1)


def stops(action: Literal["hold", "freeze"]) -> Callable[[Stage], str]:
    """A hold or freeze that nobody ordered: that is no way to stop the line."""

    def attack(it: Stage) -> str:
        head = it.world.head("app", "prod")
        state = head.record.state
        if action == "freeze":
            when = datetime(2026, 3, 2, tzinfo=UTC)
            state = replace(state, freeze=Freeze("mallory", when, "closed", datetime(9999, 1, 1, tzinfo=UTC)))
        else:
            state = replace(state, holds=state.holds | {Hold("v1.2", it.world.tag("app", "v1.2"))})
        return it.mallory.record(
            "app",
            "prod",
            lambda record: replace(
                record, action=action, version="v1.2", state=state, parents=(Parent(head.tag, head.digest),)
            ),
        )

    return attack


def forged(name: str) -> Callable[[Stage], str]:
    return lambda it: forgeries(it.mallory)[name]()


FORGED: dict[str, Callable[[Stage], str]] = {
    **{name: forged(name) for name in FORGERIES},
    **{
        f"absurd {field}": absurd(field)
        for field in ("years", "zone", "number", "size", "depth", "lines", "parents", "signature", "signatures")
    },
    **{f"at {sequence}": far_up(sequence) for sequence in ("000000", "999999", "1000000", "9" * 40)},
    "hundreds": swarm,
    "beside an old one": fork_below,
    "a freeze of hers": stops("freeze"),
    "a hold of hers": stops("hold"),
}
"""What is pushed; each returns the tag that verify must name (empty: it is no record's tag, and nobody reads it)."""


SHORT = ("unsigned", "edited", "beside an old one", "at 999999", "absurd lines", "absurd number", "a hold of hers")


def promote(it: Stage) -> None:
    it.world.promoting("v1.2", to="prod")
    assert it.world.runs("prod") == V12


def rollback(it: Stage) -> None:
    it.world.rollback("prod")
    assert it.world.runs("prod") == V10


def apply(it: Stage) -> None:
    it.world.applying(it.plan)
    assert it.world.runs("prod") == V12


def verify(it: Stage) -> None:
    assert it.world.runs("prod") == V11
    assert it.world.states("prod") == dict.fromkeys(IMAGES, "recorded")
    assert {item.entry.record.version for item in history(it.world.context(), "prod", [], None).entries} == {
        "v1.0",
        "v1.1",
    }


VERBS = (promote, rollback, apply, verify)


@pytest.mark.parametrize("attack", mostly_long(FORGED, *SHORT))
def test_what_is_pushed_changes_nothing_for_anybody(attack: str, tmp_path: Path) -> None:
    for verb in VERBS:
        it = stage(tmp_path)
        tag = FORGED[attack](it)
        verb(it)
        for image in IMAGES:
            head = it.world.head(image, "prod")
            assert head.proof is not None
            assert head.proof.signer == "ci"
            assert head.tag.sequence < 10
            if image == "app":
                assert tag not in {str(parent.tag) for parent in head.record.parents}
            assert "v9" not in str([entry.version for entry in head.record.state.stack])
        found = {finding.tag: finding for finding in it.world.verify("prod", expect=it.receipt)}
        if tag:
            assert found[tag].problem in ("record.unsigned", "record.forged", "record.unknown_signer")
            assert found[tag].detail
        assert {finding.problem for finding in found.values()} <= {
            "record.unsigned",
            "record.forged",
            "record.unknown_signer",
        }


# --- tags that are moved ----------------------------------------------------------------------------------------------


MOVED = {
    "prod": {"drift", "floating.wrong"},
    "latest": {"floating.wrong"},
    "v1": {"floating.wrong"},
    "v1.0-prod": {"anchor.moved"},
    "v1.1-prod": {"anchor.moved", "running.unanchored", "floating.wrong"},
    "v1.2-test": {"anchor.moved", "running.unanchored"},
    "v1.1": {"anchor.moved"},
    "v1.2": {"anchor.moved"},
}


@pytest.mark.parametrize("tag", MOVED)
def test_a_tag_that_is_moved_lets_nothing_of_hers_in(tag: str, tmp_path: Path) -> None:
    for verb in VERBS:
        it = stage(tmp_path)
        evil = it.mallory.build("app")
        it.mallory.move("app", tag, evil)
        named = {finding.problem for finding in it.world.verify()}
        assert named <= MOVED[tag]
        assert named
        moved = verb is not verify and went_through(it, verb)
        if moved or tag != "prod":
            assert it.world.tag("app", "prod") in it.built
        assert evil not in {entry.digest for entry in it.world.seen("app", "prod").standing.state.stack}


def went_through(it: Stage, verb: Callable[[Stage], None]) -> bool:
    """Whether a verb did something; where it refuses, it says why."""
    try:
        verb(it)
    except TagflowError as error:
        if error.exit_status not in (3, 4, 5):
            raise
        return False
    except AssertionError:  # it went elsewhere: what was moved by hand was undone
        return True
    return True


@pytest.mark.parametrize("target", ["app=v9.0", "app=v9.1", "v9.0"])
def test_what_was_moved_there_is_no_target(target: str, tmp_path: Path) -> None:
    """Not while it runs either: a rollback to it would have signed for it."""
    it = stage(tmp_path)
    evil = it.mallory.build("app")
    for tag in ("prod", "v9.0", "v9.0-prod", "v9.1-prod"):
        it.mallory.move("app", tag, evil)
    with it.world.unchanged(), fails("version.not_found", 4):
        it.world.rollback("prod", target)
    it.world.rollback("prod", "app")
    assert it.world.runs("prod")["app"] == "v1.1"


@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_what_was_moved_there_is_no_target_under_the_name_of_what_ran(version: str, tmp_path: Path) -> None:
    """She moves the combined tag too, so that her build is taken for that version."""
    it = stage(tmp_path)
    true, evil = it.world.tag("app", version), it.mallory.build("app")
    for tag in ("prod", version, f"{version}-prod"):
        it.mallory.move("app", tag, evil)
    it.world.rollback("prod", f"app={version}")
    assert it.world.tag("app", "prod") == true
    head = it.world.head("app", "prod").record
    assert (head.version, head.digest) == (version, true)
    assert evil not in {entry.digest for entry in head.state.stack}
    it.world.rollback("prod", "api")
    assert it.world.tag("app", "prod") == true


def test_what_was_moved_there_under_another_name_is_not_renamed(tmp_path: Path) -> None:
    """The bytes of v1.0, which ran, and a combined tag that calls them v9.0."""
    it = stage(tmp_path)
    it.world.promote("v1.2", to="prod")
    true = it.world.tag("app", "v1.0")
    assert true is not None
    for tag in ("prod", "v9.0", "v9.0-prod"):
        it.mallory.move("app", tag, true)
    with it.world.unchanged(), fails("version.not_found", 4):
        it.world.rollback("prod", "app=v9.0")
    it.world.rollback("prod", "app=v1.0")
    assert it.world.head("app", "prod").record.version == "v1.0"


# --- what is taken away -----------------------------------------------------------------------------------------------


def test_the_newest_records_removed_and_all_put_back(tmp_path: Path) -> None:
    """What is left is old, and true: it is as the history was then. Only a receipt tells."""
    it = stage(tmp_path)
    for image in IMAGES:
        newest = records(it.world, image)[-1]
        it.mallory.delete(image, "prod", newest)
        first = it.world.tag(image, "v1.0")
        assert first is not None
        for tag in ("prod", "latest", "v1"):
            it.mallory.move(image, tag, first)
        it.mallory.delete(image, "prod", "v1.1-prod")
    assert it.world.verify("prod") == []
    lost = it.world.verify("prod", expect=it.receipt)
    assert {(finding.image, finding.problem) for finding in lost} == {(image, "history.truncated") for image in IMAGES}
    with it.world.unchanged(), fails("plan.stale", 5):
        it.world.applying(it.plan)


def test_the_newest_record_removed(tmp_path: Path) -> None:
    it = stage(tmp_path)
    it.mallory.delete("app", "prod", records(it.world)[-1])
    assert "drift" in it.world.problems("prod")
    assert "history.truncated" in it.world.problems("prod", expect=it.receipt)
    it.world.rollback("prod", "app")
    assert it.world.runs("prod")["app"] == "v1.0"


def test_every_record_removed_and_a_history_of_hers_in_its_place(tmp_path: Path) -> None:
    """A history without any signature counts until one is signed: so it does in an environment that is older than its
    keys. verify says so, each run that would vouch for it does, and a receipt tells what was there."""
    it = stage(tmp_path)
    evil = it.mallory.build("app")
    head = it.world.head("app", "prod")
    signed = records(it.world)
    manifest = artifact(ARTIFACT_TYPE, to_annotations(replace(evil_state(it.mallory, head.record, evil), parents=())))
    it.mallory.copy(manifest, ("app", "prod"), sequence=1)
    for tag in signed:
        it.mallory.delete("app", "prod", tag)
    for tag in ("prod", "v9.0", "v9.0-prod", "v9.1", "v9.1-prod"):
        it.mallory.move("app", tag, evil)
    found = it.world.verify("prod")
    assert "record.unsigned" in {finding.problem for finding in found if finding.image == "app"}
    assert "record.unsigned" not in {finding.problem for finding in found if finding.image == "api"}
    assert "history.truncated" in it.world.problems("prod", expect=it.receipt)
    with it.world.unchanged(), fails("plan.stale", 5):
        it.world.applying(it.plan)
    it.world.promoting("app=v1.2", to="prod", dry_run=True)
    assert any("app in prod: no record is signed yet" in line for line in it.world.warnings)
    it = stage(tmp_path)
    it.world.promoting("app=v1.2", to="prod")
    assert not any("signed yet" in line for line in it.world.warnings)


@pytest.mark.parametrize("left", range(2))
def test_records_hidden_behind_others(tmp_path: Path, left: int) -> None:
    """Without the right to delete: the tags of records are moved to other records of the same history."""
    for verb in (promote, rollback, apply, verify):
        it = stage(tmp_path)
        tags = records(it.world)
        it.mallory.repoint("app", "prod", tags[left], it.world.manifest("app", "prod", tags[1 - left]).digest)
        problems = it.world.problems("prod", expect=it.receipt)
        assert problems & {"record.forged", "history.truncated"}
        done = verb is verify or went_through(it, verb)
        assert done or left == 1
        assert it.world.tag("app", "prod") in it.built


def test_nobody_is_shown_what_does_not_count(tmp_path: Path) -> None:
    it = stage(tmp_path)
    before = [(row.image, cell.version, cell.by, cell.holds) for row in status(it.world.context(), ["prod"])
              for cell in row.environments]  # fmt: skip
    for name, attack in FORGED.items():
        if not name.startswith("absurd"):
            attack(it)
    after = [(row.image, cell.version, cell.by, cell.holds) for row in status(it.world.context(), ["prod"])
             for cell in row.environments]  # fmt: skip
    assert after == before
