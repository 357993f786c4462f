"""Approvals in the verbs: saved by one machine, approved by others, applied where enough of them count."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tagflow.domain.own_tags import approval_tag, approves
from tagflow.stores.artifact import artifact
from tagflow.stores.port import Manifest
from tagflow.trust.approvals import Evaluation, approve, evaluate
from tagflow.trust.envelope import Envelope, Signature, decode_envelope
from tagflow.verbs.apply import apply
from tagflow.verbs.approvals import ARTIFACT_TYPE, ENVELOPES, Document, read_documents
from tagflow.verbs.plans import read_plan
from tagflow.verbs.release import Options
from tests.flows.world import fails
from tests.marks import mostly_long
from tests.trust.keyring import pair, public_file
from tests.trust.world import Mallory, SignedWorld, policy_text

TWO = "approvals: [{need: 2, of: [alice, bob, carol]}], approvals_expire: 3d"
PEOPLE = ("alice", "bob", "carol")


@cache
def _waiting(signed: str) -> SignedWorld:
    world = SignedWorld(policy_text(signed=signed))
    world.through("v1.0", "dev", "test", "prod")
    world.through("v1.1", "dev", "test")
    return world


def made(more: str = TWO, *, signed: str = "[ci]") -> SignedWorld:
    """v1.0 runs in prod, v1.1 waits in test; plans for prod are approved."""
    world = _waiting(signed).twin()
    world.become(policy_text(signed=signed, more=more))
    return world


@pytest.fixture
def world() -> SignedWorld:
    return made()


@pytest.fixture
def plan(world: SignedWorld, tmp_path: Path) -> Path:
    """A plan that nobody has approved yet."""
    return saved(world, tmp_path)


def saved(world: SignedWorld, folder: Path, version: str = "v1.1") -> Path:
    """Save a plan, as CI does: without any key."""
    before, world.holder = world.holder, ""
    path = folder / f"{version}.json"
    with world.unchanged():
        world.promoting(version, to="prod", save_plan=path)
    world.holder = before
    return path


def kept(world: SignedWorld) -> dict[str, Manifest]:
    """The approvals in the registry, by their tags."""
    store = world.memory.open(world.repository("app", "prod"))
    return {tag: store.get(tag) for tag in sorted(world.tags("app", "prod")) if tag.startswith("_tagflow.approval.")}


# --- enough, and not enough -----------------------------------------------------------------------------------------


def test_a_promotion_without_a_plan_is_refused_with_the_command_that_saves_one(world: SignedWorld) -> None:
    with world.unchanged(), fails("approval.missing", 3) as caught:
        world.promoting("v1.1", "api=v1.1", to="prod")
    assert caught[0].message == "prod: 2 of alice, bob, carol must approve: nobody did"
    assert "`tagflow promote v1.1 api=v1.1 --to prod --save-plan plan.json`" in caught[0].hint
    assert "tagflow approve plan.json" in caught[0].hint
    assert "tagflow apply plan.json" in caught[0].hint
    with world.unchanged(), fails("approval.missing", 3):
        world.promoting("v1.1", to="prod", dry_run=True)


def test_two_of_three(world: SignedWorld, plan: Path) -> None:
    with world.unchanged(), fails("approval.missing", 3) as caught:
        world.applying(plan)
    assert "nobody did" in caught[0].message
    first = world.approve(plan, "alice")
    assert [len(tally.have) for tally in first.missing] == [1]
    with world.unchanged(), fails("approval.missing", 3) as caught:
        world.applying(plan)
    assert caught[0].message == "prod: 2 of alice, bob, carol must approve: alice approved, bob and carol did not"
    assert list(caught[0].details) == [
        {
            "code": "approval.missing",
            "environment": "prod",
            "need": 2,
            "have": ["alice"],
            "of": ["alice", "bob", "carol"],
        }
    ]
    assert world.approve(plan, "carol").missing == ()
    world.applying(plan)
    assert world.runs("prod") == {"app": "v1.1", "api": "v1.1"}
    assert world.verify() == []


def test_it_stands_in_the_repository_of_the_first_image(world: SignedWorld, plan: Path) -> None:
    done = world.approve(plan, "alice")
    plan_id = read_plan(plan).id
    assert (done.plan, done.environment, done.signer) == (plan_id, "prod", "alice")
    [tag] = kept(world)
    assert done.reference == f"registry.test/acme/app:{tag}"
    assert approves(tag, plan_id)
    assert tag == approval_tag(plan_id, kept(world)[tag].digest)
    assert tag.split(".")[2] == plan_id[:12]
    assert tag.split(".")[3] == kept(world)[tag].digest.removeprefix("sha256:")[:12]
    assert not any("approval" in it for it in world.tags("api", "prod"))


def test_the_approvals_that_counted_stand_in_the_record(world: SignedWorld, plan: Path) -> None:
    for name in ("alice", "bob"):
        world.approve(plan, name)
    world.applying(plan)
    for image in ("app", "api"):
        record = world.head(image, "prod").record
        assert sorted(text.partition("@")[0] for text in record.approvals) == ["alice", "bob"]
        assert all(text.partition("@")[2].startswith("sha256:") for text in record.approvals)
        assert record.plan == read_plan(plan).id


def test_an_approval_in_a_file_needs_no_right_to_push(world: SignedWorld, plan: Path, tmp_path: Path) -> None:
    with world.unchanged():
        done = world.approve(plan, "bob", tmp_path / "bob.json")
        assert done.reference == str(tmp_path / "bob.json")
    assert (tmp_path / "bob.json").read_text().endswith("}\n")
    world.approve(plan, "alice")
    with world.unchanged(), fails("approval.missing", 3):
        world.applying(plan)
    world.applying(plan, approvals=tuple(read_documents([tmp_path / "bob.json"])))
    assert world.runs("prod")["app"] == "v1.1"


def test_two_files_are_enough(world: SignedWorld, plan: Path, tmp_path: Path) -> None:
    for name in ("bob", "carol"):
        world.approve(plan, name, tmp_path / f"{name}.json")
    documents = tuple(read_documents([tmp_path / "bob.json", tmp_path / "carol.json"]))
    before = len(world.memory.calls)
    world.applying(plan, approvals=documents, dry_run=True)
    assert not any("approval" in call.detail for call in world.memory.calls[before:])
    world.applying(plan, approvals=documents)
    assert kept(world) == {}


def test_who_approves_in_a_file_sees_what_the_registry_has(world: SignedWorld, plan: Path, tmp_path: Path) -> None:
    world.approve(plan, "alice")
    assert world.approve(plan, "bob", tmp_path / "bob.json").missing == ()


def test_a_dry_run_says_what_the_real_run_would(world: SignedWorld, plan: Path) -> None:
    with world.unchanged(), fails("approval.missing", 3):
        world.applying(plan, dry_run=True)
    for name in ("alice", "bob"):
        world.approve(plan, name)
    with world.unchanged():
        outcome = world.applying(plan, dry_run=True)
    assert not outcome.applied
    assert len(outcome.approvals) == 2


def test_saving_lists_what_is_missing(world: SignedWorld, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    outcome = world.promoting("v1.1", to="prod", save_plan=path)
    assert outcome.notes == (f"2 of alice, bob, carol must approve: nobody did: `tagflow approve {path}`",)
    assert outcome.notes[0] in "\n".join(world.warnings)


def test_every_rule_has_to_be_met_and_one_may_be_a_machine(tmp_path: Path) -> None:
    world = made("approvals: [{need: 1, of: [alice, bob]}, {need: 1, of: [ci]}]")
    plan = saved(world, tmp_path)
    world.approve(plan, "alice")
    with world.unchanged(), fails("approval.missing", 3) as caught:
        world.applying(plan)
    assert caught[0].message == "prod: 1 of ci must approve: nobody did"
    world.approve(plan, "ci")
    world.applying(plan)
    assert {text.partition("@")[0] for text in world.head("app", "prod").record.approvals} == {"alice", "ci"}


def test_what_changes_nothing_needs_nobody(world: SignedWorld) -> None:
    outcome = world.promoting("v1.0", to="prod")
    assert not outcome.plan.changes


# --- who counts -----------------------------------------------------------------------------------------------------


def test_the_same_one_twice_is_one(world: SignedWorld, plan: Path, tmp_path: Path) -> None:
    world.approve(plan, "alice")
    world.approve(plan, "alice")
    world.approve(plan, "alice", tmp_path / "again.json")
    with world.unchanged(), fails("approval.missing", 3):
        world.applying(plan, approvals=tuple(read_documents([tmp_path / "again.json"])))


def test_two_names_with_one_key_are_one(tmp_path: Path) -> None:
    """The policy may name somebody twice; two approvals are two keys all the same."""
    text = policy_text(more="approvals: [{need: 2, of: [alice, deputy, bob]}]").replace(
        "\nenvironments:", f"\n  deputy: {{key: {public_file('alice')}}}\nenvironments:"
    )
    world = made()
    world.become(text)
    plan = saved(world, tmp_path)
    world.approve(plan, "alice")
    world.approve(plan, "alice")
    with world.unchanged(), fails("approval.missing", 3) as caught:
        world.applying(plan)
    assert caught[0].message == "prod: 2 of alice, deputy, bob must approve: alice approved, deputy and bob did not"


@pytest.mark.parametrize("name", ["mallory", "ci"])
def test_a_key_that_nobody_asks(world: SignedWorld, plan: Path, name: str, tmp_path: Path) -> None:
    with world.unchanged(), fails("approval.not_a_signer", 3) as caught:
        world.approve(plan, name)
    assert "alice, bob, carol" in caught[0].message
    with world.unchanged(), fails("approval.not_a_signer", 3):
        world.approve(plan, name, tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


def test_no_key_at_all(world: SignedWorld, plan: Path) -> None:
    with world.unchanged(), fails("signing.no_key", 2) as caught:
        world.approve(plan, "")
    assert "plans for prod are approved by keys" in caught[0].message


def test_where_nobody_approves(tmp_path: Path) -> None:
    world = made(more="")
    plan = saved(world, tmp_path)
    with world.unchanged(), fails("approval.not_a_signer", 3) as caught:
        world.approve(plan, "alice")
    assert "no approvals" in caught[0].message


def test_it_expires(world: SignedWorld, plan: Path) -> None:
    world.approve(plan, "alice")
    world.later(days=3)
    world.approve(plan, "bob")
    with world.unchanged(), fails("approval.missing", 3) as caught:
        world.applying(plan)
    assert "bob approved" in caught[0].message
    assert "not counted: the approval by alice of " in caught[0].message
    assert "has expired" in caught[0].message
    assert world.approve(plan, "alice").missing == ()
    world.applying(plan)


def test_it_expires_while_a_question_is_open(world: SignedWorld, plan: Path) -> None:
    for name in ("alice", "bob"):
        world.approve(plan, name)
    with world.unchanged(), fails("approval.missing", 3) as caught:
        apply(world.context(), plan, Options(confirm=lambda _: world.later(days=3)))
    assert "has expired" in caught[0].message


def test_a_key_that_was_taken_out_approves_nothing(world: SignedWorld, plan: Path) -> None:
    """The plan is of the policy that it was made for; another policy is another plan."""
    for name in ("alice", "bob"):
        world.approve(plan, name)
    world.become(policy_text(more=TWO.replace("bob, ", "")))
    with world.unchanged(), fails("plan.stale", 5):
        world.applying(plan)


# --- forged, and used again -------------------------------------------------------------------------------------------


def forge(document: str, **change: object) -> str:
    """An approval with something of its statement changed, under its old signature."""
    envelope = decode_envelope(document)
    statement = json.loads(envelope.payload) | change
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    return Envelope(payload, envelope.signatures).text


def test_forged_ones_do_not_count(world: SignedWorld, plan: Path, tmp_path: Path) -> None:
    world.approve(plan, "alice", tmp_path / "alice.json")
    [document] = read_documents([tmp_path / "alice.json"])
    key = pair("mallory")
    mine = Envelope(
        decode_envelope(document.text).payload,
        tuple(
            Signature(pair(name).key.key_id, key.sign(decode_envelope(document.text).message))
            for name in ("bob", "carol")
        ),
    ).text
    later = forge(document.text, predicate={"at": "2026-03-03T00:00:00Z"})
    for text in (mine, later, "nonsense", "", "{}", "[]"):
        for given in ([Document("x.json", text)], [document, Document("x.json", text)]):
            with world.unchanged(), fails("approval.invalid", 2) as caught:
                world.applying(plan, approvals=tuple(given))
            assert "x.json" in caught[0].message


def push_approvals(world: SignedWorld, plan_id: str, *documents: str, note: str = "") -> str:
    """Somebody with the right to push puts documents where approvals of a plan are kept."""
    manifest = artifact(ARTIFACT_TYPE, {ENVELOPES: "\n".join(documents), "note": note})
    tag = approval_tag(plan_id, manifest.digest)
    Mallory(world).put("app", "prod", manifest, tag)
    return tag


def test_forged_ones_in_the_registry_do_not_count_and_hide_none(world: SignedWorld, plan: Path, tmp_path: Path) -> None:
    plan_id = read_plan(plan).id
    world.approve(plan, "alice", tmp_path / "alice.json")
    [document] = read_documents([tmp_path / "alice.json"])
    for number in range(20):
        push_approvals(
            world, plan_id, "nonsense", forge(document.text, predicate={"at": "2026-03-09T00:00:00Z"}), note=str(number)
        )
    junk = artifact("application/vnd.other", {"x": "y"})
    Mallory(world).put("app", "prod", junk, approval_tag(plan_id, junk.digest))
    with world.unchanged(), fails("approval.missing", 3):
        world.applying(plan)
    for name in ("alice", "bob"):
        world.approve(plan, name)
    for number in range(20, 40):
        push_approvals(world, plan_id, "nonsense", note=str(number))
    world.applying(plan)
    assert world.runs("prod")["app"] == "v1.1"


def test_a_tag_without_anything_behind_it(world: SignedWorld, plan: Path) -> None:
    plan_id = read_plan(plan).id
    for name in ("alice", "bob"):
        world.approve(plan, name)
    tag = f"_tagflow.approval.{plan_id[:12]}.ffffffffffff"
    world.hand_move("app", tag, world.head("app", "prod").digest)
    repository = world.repository("app", "prod")
    gone = push_approvals(world, plan_id, "x")
    world.memory.forget(repository, world.tags("app")[gone])
    world.applying(plan)
    assert world.runs("prod")["app"] == "v1.1"


def test_approvals_of_another_plan_copied(world: SignedWorld, tmp_path: Path) -> None:
    """Two approvals of a plan that was refused do not let another one in."""
    world.through("v1.2", "dev", "test")
    first, second = saved(world, tmp_path), saved(world, tmp_path, "v1.2")
    for name in ("alice", "bob"):
        world.approve(first, name)
    documents = [line for it in kept(world).values() for line in it.annotations[ENVELOPES].splitlines()]
    push_approvals(world, read_plan(second).id, *documents)
    with world.unchanged(), fails("approval.missing", 3) as caught:
        world.applying(second)
    assert "not counted: an approval is of another plan" in caught[0].message
    with world.unchanged(), fails("approval.invalid", 2) as caught:
        world.applying(second, approvals=(Document("old.json", documents[0]),))
    assert caught[0].message == "old.json is an approval of another plan"
    world.applying(first)


def test_an_applied_plan_is_over(world: SignedWorld, plan: Path) -> None:
    for name in ("alice", "bob"):
        world.approve(plan, name)
    world.applying(plan)
    for attempt in (lambda: world.applying(plan), lambda: world.approve(plan, "carol")):
        with world.unchanged(), fails("plan.stale", 5) as caught:
            attempt()
        assert "carried out already" in caught[0].message
    world.rollback("prod")
    for attempt in (lambda: world.applying(plan), lambda: world.approve(plan, "carol")):
        with world.unchanged(), fails("plan.stale", 5):
            attempt()


def test_an_applied_plan_stays_over_when_its_rollback_is_hidden(world: SignedWorld, plan: Path) -> None:
    """Who may push can push over the newest records: the plan's own looks as if it had not ended."""
    for name in ("alice", "bob"):
        world.approve(plan, name)
    world.applying(plan)
    world.rollback("prod")
    for image in ("app", "api"):
        mallory = Mallory(world)
        mallory.repoint(image, "prod", str(world.head(image, "prod").tag), mallory.build(image))
    assert world.states("prod") == {"app": "interrupted", "api": "interrupted"}
    with world.unchanged(), fails("plan.stale", 5) as caught:
        world.applying(plan)
    assert "do not count" in caught[0].message
    assert "`tagflow rollback prod`" in caught[0].hint
    world.rollback("prod")
    assert world.runs("prod") == {"app": "v1.0", "api": "v1.0"}


def test_an_applied_plan_stays_over_when_the_same_is_wanted_again(world: SignedWorld, plan: Path) -> None:
    for name in ("alice", "bob"):
        world.approve(plan, name)
    world.applying(plan)
    world.rollback("prod")
    world.hold("prod", "v1.1", lift=True)
    with world.unchanged(), fails("plan.stale", 5):
        world.applying(plan)
    again = saved(world, plan.parent)
    with world.unchanged(), fails("approval.missing", 3):
        world.applying(again)


def test_a_stale_plan_cannot_be_approved_into_life_again(world: SignedWorld, plan: Path, tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        world.approve(plan, name)
    world.through("v1.2", "dev", "test")
    other = saved(world, tmp_path, "v1.2")
    for name in ("bob", "carol"):
        world.approve(other, name)
    world.applying(other)
    for attempt in (lambda: world.applying(plan), lambda: world.approve(plan, "carol")):
        with world.unchanged(), fails("plan.stale", 5):
            attempt()


@pytest.mark.parametrize("stop", ["hold", "hold of another", "freeze"])
def test_a_hold_or_freeze_makes_saved_plans_stale(world: SignedWorld, plan: Path, stop: str) -> None:
    for name in ("alice", "bob"):
        world.approve(plan, name)
    if stop == "freeze":
        world.freeze("prod")
    else:
        world.hold("prod", "v1.1" if stop == "hold" else "v1.0")
    with world.unchanged(), fails("plan.stale", 5):
        world.applying(plan)
    if stop == "freeze":
        world.freeze("prod", lift=True)
    else:
        world.hold("prod", "v1.1" if stop == "hold" else "v1.0", lift=True)
    with world.unchanged(), fails("plan.stale", 5):
        world.applying(plan)


def test_a_file_that_was_changed(world: SignedWorld, plan: Path) -> None:
    text = plan.read_text()
    plan.write_text(text.replace('"v1.1"', '"v1.0"', 1))
    for attempt in (lambda: world.applying(plan), lambda: world.approve(plan, "alice")):
        with world.unchanged(), fails("plan.invalid", 2):
            attempt()


# --- what needs none --------------------------------------------------------------------------------------------------


def test_a_rollback_needs_none(world: SignedWorld, plan: Path, tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        world.approve(plan, name)
    world.applying(plan)
    back = tmp_path / "back.json"
    world.rolling_back("prod", save_plan=back)
    with world.unchanged(), fails("approval.invalid", 2) as caught:
        world.approve(back, "alice")
    assert "a rollback needs no approval" in caught[0].message
    world.applying(back)
    assert world.runs("prod") == {"app": "v1.0", "api": "v1.0"}
    assert world.head("app", "prod").record.approvals == ()


def test_rolled_back_at_night(world: SignedWorld, plan: Path) -> None:
    for name in ("alice", "bob"):
        world.approve(plan, name)
    world.applying(plan)
    world.rollback("prod")
    assert world.runs("prod") == {"app": "v1.0", "api": "v1.0"}


def test_an_override_where_it_is_listed(tmp_path: Path) -> None:
    world = made(f"{TWO}, overrides: [hold, approvals]")
    world.promoting("v1.1", to="prod", override=("approvals",))
    record = world.head("app", "prod").record
    assert (record.overrides, record.reason, record.approvals) == (("approvals",), "because", ())
    assert world.runs("prod") == {"app": "v1.1", "api": "v1.1"}


def test_an_override_where_it_is_not_listed(world: SignedWorld) -> None:
    with world.unchanged(), fails("override.denied", 3) as caught:
        world.promoting("v1.1", to="prod", override=("approvals", "hold"))
    assert "`tagflow promote v1.1 --to prod --override hold --reason because --save-plan plan.json`" in caught[0].hint


def test_an_override_of_something_else_sets_no_approval_aside(tmp_path: Path) -> None:
    world = made(f"{TWO}, overrides: [hold, approvals]")
    world.hold("prod", "v1.1")
    with world.unchanged(), fails("approval.missing", 3):
        world.promoting("v1.1", to="prod", override=("hold",))


# --- a plan that began, and died -------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", mostly_long(range(1, 11), 3, 5, 8))
def test_what_an_approved_plan_began_is_finished_with_the_approvals_of_its_record(
    world: SignedWorld, plan: Path, write: int
) -> None:
    """Even where they have expired since, and where somebody has removed them."""
    for name in ("alice", "bob"):
        world.approve(plan, name)
    assert world.crash(lambda: world.applying(plan), write)
    if world.runs("prod") == {"app": "v1.1", "api": "v1.1"}:  # only floating tags are behind
        with world.unchanged(), fails("plan.stale", 5):
            world.applying(plan)
        world.repair("prod")
        assert world.verify() == []
        return
    if write > 1:
        world.later(days=30)
        for tag in kept(world):
            world.hand_remove("app", tag, "prod")
    world.applying(plan)
    assert world.runs("prod") == {"app": "v1.1", "api": "v1.1"}
    for image in ("app", "api"):
        assert len(world.head(image, "prod").record.approvals) == 2
    assert [it for it in world.verify() if it.problem != "floating.wrong"] == []


def test_a_note_on_top_hides_no_approvals(world: SignedWorld, plan: Path) -> None:
    """The record that the hold carries on names them."""
    for name in ("alice", "bob"):
        world.approve(plan, name)
    assert world.crash(lambda: world.applying(plan), 5)
    world.hold("prod", "v1.0")
    for tag in kept(world):
        world.hand_remove("app", tag, "prod")
    world.applying(plan)
    assert world.runs("prod") == {"app": "v1.1", "api": "v1.1"}
    assert [it for it in world.verify() if it.problem != "floating.wrong"] == []


@pytest.mark.parametrize("finish", ["apply", "repair"])
def test_what_is_announced_a_second_time_has_the_approvals_too(tmp_path: Path, finish: str) -> None:
    """Where a soak is measured by its record, a release that is finished later is announced anew."""
    text = policy_text(more="soak: 1h").replace("test: {", f"test: {{{TWO}, ")
    world = SignedWorld(text)
    world.build("v1.0")
    world.promote("v1.0", to="dev")
    plan = tmp_path / "plan.json"
    world.promoting("v1.0", to="test", save_plan=plan)
    for name in ("alice", "bob"):
        world.approve(plan, name)
    assert world.crash(lambda: world.applying(plan), 5)
    assert "interrupted" in world.states("test").values()
    if finish == "apply":
        world.applying(plan)
    else:
        world.repair("test")
    assert world.runs("test") == {"app": "v1.0", "api": "v1.0"}
    plan_id = read_plan(plan).id
    for image in ("app", "api"):
        record = world.head(image, "test").record
        assert (len(record.approvals), record.plan) == (2, plan_id)
    assert world.verify() == []


def test_what_somebody_else_forged_as_begun_is_not_finished(world: SignedWorld, plan: Path) -> None:
    """An announcement with this plan's id and approvals that never were, by who may push and has no key."""
    plan_id = read_plan(plan).id
    digest = world.tag("app", "v1.1")
    head = world.head("app", "prod")
    Mallory(world).record(
        "app",
        "prod",
        lambda record: replace(
            record,
            action="promote",
            version="v1.1",
            digest=digest,
            previous_version=record.version,
            previous_digest=record.digest,
            plan=plan_id,
            approvals=("alice@sha256:" + "0" * 64, "bob@sha256:" + "1" * 64),
            parents=(type(record.parents[0])(head.tag, head.digest),) if record.parents else (),
        ),
    )
    with world.unchanged(), fails("approval.missing", 3):
        world.applying(plan)


def test_without_signed_records_a_forged_announcement_lends_no_approvals(tmp_path: Path) -> None:
    world = made(signed="")
    plan = saved(world, tmp_path)
    for name in ("alice", "bob"):
        world.approve(plan, name)
    assert world.crash(lambda: world.applying(plan), 3)
    for tag in kept(world):
        world.hand_remove("app", tag, "prod")
    with world.unchanged(), fails("approval.missing", 3):
        world.applying(plan)


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3])
def test_approvals_cost_one_request(tmp_path: Path, count: int) -> None:
    """However many there are: the newest brings those before it along."""
    asked = []
    for more in ("", TWO):
        world = made(more)
        plan = saved(world, tmp_path)
        for name in PEOPLE[:count] if more else ():
            world.approve(plan, name)
        before = len(world.memory.calls)
        world.applying(plan)
        asked.append(sorted((call.operation, str(call.repository)) for call in world.memory.calls[before:]))
    without, with_approvals = asked
    assert sorted([*without, ("get", "registry.test/acme/app")]) == with_approvals


def flood(world: SignedWorld, plan: Path, count: int) -> None:
    """Who may push writes approvals that are none, under tags that sort last."""
    plan_id = read_plan(plan).id
    store = world.memory.open(world.repository("app", "prod"))
    junk = artifact(ARTIFACT_TYPE, {"junk": "1"})
    with world.memory.lock:
        content = world.memory.content(store.repository)
        content.manifests[junk.digest] = junk
        content.tags |= {f"_tagflow.approval.{plan_id[:12]}.ffff{number:08x}": junk.digest for number in range(count)}


def test_false_approvals_hide_no_good_ones(world: SignedWorld, plan: Path) -> None:
    world.approve(plan, "alice")
    flood(world, plan, 500)
    assert world.approve(plan, "bob").missing == ()
    world.applying(plan)
    assert world.runs("prod") == {"app": "v1.1", "api": "v1.1"}


def test_an_approval_that_holds_thousands_is_read_in_part(
    world: SignedWorld, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One brings along those before it, and nobody's counts twice: there are no more of them than people."""
    plan_id, key, began = read_plan(plan).id, pair("ci"), datetime(2026, 1, 1, tzinfo=UTC)
    junk = [approve(plan_id, began + timedelta(seconds=it), key.key, key.sign).text for it in range(40)]
    manifest = artifact(ARTIFACT_TYPE, {ENVELOPES: "\n".join(junk)})
    world.approve(plan, "alice")
    store = world.memory.open(world.repository("app", "prod"))
    with world.memory.lock:
        content = world.memory.content(store.repository)
        content.manifests[manifest.digest] = manifest
        content.tags[f"_tagflow.approval.{plan_id[:12]}.ffffffffffff"] = manifest.digest
    given: list[int] = []

    def counted(*arguments: Any, **more: Any) -> Evaluation:
        arguments = (*arguments[:3], list(arguments[3]))
        given.append(len(arguments[3]))
        return evaluate(*arguments, **more)

    monkeypatch.setattr("tagflow.verbs.approvals.evaluate", counted)
    monkeypatch.setattr("tagflow.verbs.approve.evaluate", counted)
    world.approve(plan, "bob")
    world.applying(plan)
    assert max(given) <= 8
    assert world.runs("prod") == {"app": "v1.1", "api": "v1.1"}


def test_more_approvals_than_are_read_are_told(world: SignedWorld, plan: Path) -> None:
    world.approve(plan, "alice")
    flood(world, plan, 2_500)
    world.approve(plan, "bob")
    with fails("approval.missing", 3):
        world.applying(plan)
    assert any("only 2000 were read" in told and "--approval" in told for told in world.warnings)


def test_the_way_on_is_the_plan_that_was_approved(world: SignedWorld, plan: Path) -> None:
    """A promotion straight there would be refused."""
    for name in ("alice", "bob"):
        world.approve(plan, name)
    assert world.crash(lambda: world.applying(plan), 3)
    assert world.cell("app", "prod").way_on == "tagflow apply FILE"
    with world.unchanged(), fails("release.interrupted", 5) as caught:
        world.promoting("app=v1.0", to="prod")
    assert "`tagflow apply FILE` finishes it" in caught[0].hint
    world.applying(plan)
    assert world.runs("prod") == {"app": "v1.1", "api": "v1.1"}
