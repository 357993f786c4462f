"""Signed records in every verb: who may push and has no key gets nothing into the history, and stops nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from tagflow.domain.records import ARTIFACT_TYPE
from tagflow.domain.reference import Repository
from tagflow.domain.state import StackEntry
from tagflow.errors import StoreError
from tagflow.stores.artifact import artifact
from tagflow.trust.envelope import SIGNATURE
from tagflow.verbs.diff import diff
from tagflow.verbs.history import history
from tagflow.verbs.past import status_at
from tagflow.verbs.stats import stats
from tests.flows.world import fails
from tests.trust.test_records import with_envelope
from tests.trust.world import Mallory, SignedWorld, other_bytes, policy_text, released


@pytest.fixture
def world() -> SignedWorld:
    """v1.0 and v1.1 of both images went to prod; all of that is signed."""
    return released()


@pytest.fixture
def mallory(world: SignedWorld) -> Mallory:
    return Mallory(world)


def is_as_it_was(world: SignedWorld, version: str = "v1.1") -> None:
    """What is read from the registry is what was signed."""
    assert world.runs("prod") == {"app": version, "api": version}
    assert world.states("prod") == {"app": "recorded", "api": "recorded"}


def test_every_record_is_signed_and_all_is_well(world: SignedWorld) -> None:
    assert world.verify() == []
    assert world.warnings == []
    for item in history(world.context(), "prod", [], None).entries:
        assert item.entry.proof is not None
        assert item.entry.proof.signer == "ci"
        assert item.entry.record.parents or item.entry.tag.sequence == 1


def test_every_verb_signs(world: SignedWorld) -> None:
    world.rollback("prod")
    world.hold("prod", "v1.1", lift=True)
    world.freeze("prod")
    world.freeze("prod", lift=True)
    world.promote("v1.1", to="prod")
    assert world.verify() == []
    is_as_it_was(world)


def test_a_signed_promotion_asks_nothing_more() -> None:
    """Request for request as without signatures."""
    asked = []
    for text in (policy_text(signed=""), policy_text()):
        world = SignedWorld(text)
        for version in ("v1.0", "v1.1"):
            world.through(version, "dev", "test", "prod")
        world.build("v1.2")
        world.promote("v1.2", to="dev")
        world.promote("v1.2", to="test")
        before = len(world.memory.calls)
        world.promote("v1.2", to="prod")
        asked.append([(call.operation, str(call.repository)) for call in world.memory.calls[before:]])
    assert sorted(asked[0]) == sorted(asked[1])


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holder", ["", "mallory", "alice"])
@pytest.mark.parametrize(
    "verb",
    [
        lambda world: world.promote("v1.0", to="prod"),
        lambda world: world.promoting("v1.0", to="prod", dry_run=True),
        lambda world: world.rollback("prod"),
        lambda world: world.push("v1.0", "app=oci:/nowhere/app"),
        lambda world: world.hold("prod", "v1.0"),
        lambda world: world.freeze("prod"),
        lambda world: world.repair("prod"),
    ],
)
def test_without_a_key_of_signed_by_nothing_is_written(
    world: SignedWorld, holder: str, verb: Callable[[SignedWorld], object]
) -> None:
    world.holder = holder
    with world.unchanged(), fails("signing.key_invalid" if holder else "signing.no_key", 2):
        verb(world)


def test_looking_needs_no_key(world: SignedWorld) -> None:
    world.holder = ""
    is_as_it_was(world)
    assert world.verify() == []


def test_a_plan_is_saved_without_a_key(world: SignedWorld, tmp_path: Path) -> None:
    world.holder = ""
    with world.unchanged():
        world.promoting("v1.0", to="prod", save_plan=tmp_path / "plan.json")


def test_a_key_signs_where_nobody_asks() -> None:
    world = SignedWorld(policy_text(signed=""))
    world.through("v1.0", "dev", "test", "prod")
    annotations = world.manifest("app", "prod", str(world.head("app", "prod").tag)).annotations
    assert SIGNATURE in annotations
    Mallory(world).record("app", "prod", lambda record: replace(record, action="freeze", parents=()))
    assert "record.forged" not in world.problems()
    assert world.head("app", "prod").proof is None


# --- the beginning, and the end of a key ----------------------------------------------------------------------------


def test_the_first_signed_record_of_an_old_environment() -> None:
    world = SignedWorld(policy_text(signed=""), holder="")
    for version in ("v1.0", "v1.1"):
        world.through(version, "dev", "test", "prod")
    world.become(policy_text())
    is_as_it_was(world)
    world.holder = "ci"
    world.through("v1.2", "dev", "test", "prod")
    is_as_it_was(world, "v1.2")
    assert world.verify() == []
    assert world.stack("app", "prod") == ["v1.0", "v1.1", "v1.2"]
    mallory = Mallory(world)
    mallory.record("app", "prod", lambda record: replace(record, action="freeze"))
    is_as_it_was(world, "v1.2")
    world.rollback("prod")
    is_as_it_was(world)


def test_an_old_environment_is_signed_at_once() -> None:
    world = SignedWorld(policy_text(signed=""), holder="")
    for version in ("v1.0", "v1.1"):
        world.through(version, "dev", "test", "prod")
    world.become(policy_text())
    world.holder = "ci"
    assert world.problems() == {"record.unsigned"}
    for environment in ("dev", "test", "prod"):
        world.freeze(environment)
        world.freeze(environment, lift=True)
    assert world.verify() == []
    is_as_it_was(world)
    world.rollback("prod")
    is_as_it_was(world, "v1.0")


def test_a_key_is_exchanged(world: SignedWorld) -> None:
    world.become(policy_text(signed="[ci, alice]"))
    world.holder = "alice"
    for environment in ("dev", "test", "prod"):
        world.freeze(environment)
        world.freeze(environment, lift=True)
    world.become(policy_text(signed="[alice]"))
    assert world.verify() == []
    is_as_it_was(world)
    world.rollback("prod")
    is_as_it_was(world, "v1.0")


def test_a_key_that_was_taken_out_too_early_is_put_back(world: SignedWorld) -> None:
    world.become(policy_text(signed="[alice]"))
    world.holder = "alice"
    with world.unchanged(), fails("rollback.nothing", 4):
        world.rollback("prod")
    world.become(policy_text(signed="[ci, alice]"))
    is_as_it_was(world)
    world.freeze("prod")
    world.freeze("prod", lift=True)
    world.become(policy_text(signed="[alice]"))
    is_as_it_was(world)


def test_a_key_that_was_taken_out_counts_below_a_present_one(world: SignedWorld) -> None:
    world.become(policy_text(signed="[ci, alice]"))
    world.holder = "alice"
    world.through("v1.2", "dev", "test", "prod")
    world.become(policy_text(signed="[alice]"))
    is_as_it_was(world, "v1.2")
    assert world.verify() == []
    world.rollback("prod")
    is_as_it_was(world)


def test_a_key_that_was_taken_out_does_not_count_by_itself(world: SignedWorld) -> None:
    world.become(policy_text(signed="[alice]"))
    world.holder = "alice"
    assert world.states("prod") == {"app": "unrecorded", "api": "unrecorded"}
    assert {"record.unknown_signer"} <= world.problems("prod")
    assert "ci" in " ".join(finding.detail for finding in world.verify("prod"))


# --- forged records --------------------------------------------------------------------------------------------------


def forgeries(mallory: Mallory) -> dict[str, Callable[[], str]]:
    """What somebody without a key may push into a history, each by its name."""
    world = mallory.world
    head = world.head("app", "prod")
    signed = world.manifest("app", "prod", str(head.tag))
    first = world.manifest("app", "prod", min(t for t in world.tags("app") if t.startswith("_tagflow.prod.")))
    evil = mallory.build("app")

    def announces(record: object) -> object:
        entry = StackEntry("v9.0", evil, head.record.release)
        state = replace(head.record.state, stack=(*head.record.state.stack, entry), holds=frozenset())
        parents = (type(head.record.parents[0])(head.tag, head.digest),)
        return replace(
            head.record, version="v9.0", digest=evil, previous_digest=head.record.digest, parents=parents, state=state
        )

    def edited(annotation: str, text: str) -> Callable[[], str]:
        def push() -> str:
            manifest = artifact(ARTIFACT_TYPE, {**signed.annotations, f"io.tagflow.record.{annotation}": text})
            return mallory.copy(manifest, ("app", "prod"))

        return push

    def twin() -> str:
        entry = json.loads(first.annotations[SIGNATURE])["signatures"][0]
        changed = with_envelope(first.annotations, signatures=[entry | {"keyid": ""}])
        return mallory.copy(artifact(ARTIFACT_TYPE, dict(sorted(changed.items()))), ("app", "prod"))

    return {
        "unsigned": lambda: mallory.record("app", "prod", announces),  # type: ignore[arg-type]
        "own key": lambda: mallory.record("app", "prod", announces, signed="mallory"),  # type: ignore[arg-type]
        "another's key": lambda: mallory.record("app", "prod", announces, signed="alice"),  # type: ignore[arg-type]
        "edited": edited("version", "v9.0"),
        "moved on": edited("parents", f"{head.tag}@{head.digest}"),
        "frees a hold": edited("state", '{"stack":[],"holds":[],"void":[]}'),
        "abort": lambda: mallory.record(
            "app", "prod", lambda record: replace(record, action="abort", aborts=(head.tag,), abandons=True)
        ),
        "an old one in other bytes": lambda: mallory.copy(first, ("app", "prod"), content=other_bytes(first)),
        "an old one with its signature changed": twin,
        "the newest in other bytes": lambda: mallory.copy(signed, ("app", "prod"), content=other_bytes(signed)),
        "of another image": lambda: mallory.copy(
            world.manifest("api", "prod", str(world.head("api", "prod").tag)), ("app", "prod")
        ),
        "of another environment": lambda: mallory.copy(
            world.manifest("app", "test", str(world.head("app", "test").tag)), ("app", "prod"), sequence=2
        ),
        "at another sequence": lambda: mallory.copy(signed, ("app", "prod"), sequence=500),
        "junk": lambda: mallory.junk("app", "prod"),
        "junk far up": lambda: mallory.junk("app", "prod", 999_999),
        "junk far down": lambda: mallory.junk("app", "prod", 1),
    }


FORGERIES = [
    "unsigned",
    "own key",
    "another's key",
    "edited",
    "moved on",
    "frees a hold",
    "abort",
    "an old one in other bytes",
    "an old one with its signature changed",
    "the newest in other bytes",
    "of another image",
    "of another environment",
    "at another sequence",
    "junk",
    "junk far up",
    "junk far down",
]


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forged_record_counts_and_verify_names_it(world: SignedWorld, mallory: Mallory, name: str) -> None:
    tag = forgeries(mallory)[name]()
    is_as_it_was(world)
    found = [finding for finding in world.verify("prod") if finding.tag == tag]
    assert [finding.problem for finding in found] in (
        ["record.unsigned"],
        ["record.forged"],
        ["record.unknown_signer"],
    ), found
    assert found[0].detail


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_record_stops_nobody(world: SignedWorld, mallory: Mallory, name: str) -> None:
    forgeries(mallory)[name]()
    world.through("v1.2", "dev", "test", "prod")
    is_as_it_was(world, "v1.2")
    world.rollback("prod")
    is_as_it_was(world)
    world.hold("prod", "v1.0")
    world.freeze("prod")
    heads = world.seen("app", "prod").standing.heads
    assert len(heads) == 1
    assert heads[0].tag.sequence < 10


@pytest.mark.parametrize("name", FORGERIES)
def test_it_is_reported_until_it_is_set_aside(world: SignedWorld, mallory: Mallory, name: str) -> None:
    tag = forgeries(mallory)[name]()
    world.through("v1.2", "dev", "test", "prod")
    assert tag in {finding.tag for finding in world.verify("prod")}
    repaired = world.repair("prod")
    assert any("set aside" in line for line in repaired.done)
    assert [finding for finding in repaired.left if finding.tag == tag] == []
    is_as_it_was(world, "v1.2")
    assert tag in {str(it) for it in world.head("app", "prod").record.state.ignored}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_record_that_comes_while_a_release_is_under_way(
    world: SignedWorld, mallory: Mallory, name: str
) -> None:
    push = forgeries(mallory)[name]
    world.build("v1.2")
    world.promote("v1.2", to="dev")
    world.promote("v1.2", to="test")
    done: list[str] = []

    def after(operation: str, repository: object, detail: str) -> None:
        if operation == "put" and detail.startswith("_tagflow.prod.") and not done:
            done.append(push())

    with world.hooked(after=after):
        world.promote("v1.2", to="prod")
    assert done
    is_as_it_was(world, "v1.2")


def test_a_decision_tells_of_it(world: SignedWorld, mallory: Mallory) -> None:
    """Of all images of which the same is to be said in one line."""
    for image in ("app", "api"):
        mallory.junk(image, "prod")
    world.promoting("v1.0", to="prod")
    told = "note: app, api in prod: 1 record does not count (forged); `tagflow verify prod` tells more"
    assert [line for line in world.warnings if "does not count" in line] == [told]


# --- tags ------------------------------------------------------------------------------------------------------------


def test_an_environment_tag_that_was_moved_is_adopted_as_held(world: SignedWorld, mallory: Mallory) -> None:
    evil = mallory.build("app")
    mallory.move("app", "prod", evil)
    mallory.move("app", "v9.0-prod", evil)
    mallory.move("app", "v9.0", evil)
    assert world.states("prod")["app"] == "unrecorded"
    assert "drift" in world.problems("prod")
    world.through("v1.2", "dev", "test", "prod")
    is_as_it_was(world, "v1.2")
    assert "v9.0" not in world.stack("app", "prod")
    assert world.seen("app", "prod").standing.state.held("v9.0", evil)
    world.rollback("prod")
    is_as_it_was(world)
    for target in ("app=v9.0", "v9.0"):
        with world.unchanged(), fails("version.not_found", 4):
            world.rollback("prod", target)


def test_a_rollback_from_what_was_moved_by_hand_goes_to_what_ran(world: SignedWorld, mallory: Mallory) -> None:
    evil = mallory.build("app")
    mallory.move("app", "prod", evil)
    world.rollback("prod", "app")
    is_as_it_was(world)
    assert world.stack("app", "prod") == ["v1.0", "v1.1"]
    assert world.seen("app", "prod").standing.state.held(None, evil)


@pytest.mark.parametrize("names", [("app",), ("app", "api")])
def test_a_rollback_counts_images_and_not_their_holds(
    world: SignedWorld, mallory: Mallory, names: tuple[str, ...]
) -> None:
    """What was moved by hand is adopted as held, and held once more by the rollback: by its version's own digest."""
    built = world.build("v1.2")
    world.promote("v1.2", to="dev")
    for name in names:
        mallory.move(name, "prod", built[name])
    world.rollback("prod", *(f"{name}=v1.1" for name in names))
    told = "app" if len(names) == 1 else "2 images"
    assert [it for it in world.warnings if "this rollback holds " in it] == [
        f"note: this rollback holds v1.2 of {told}: a later promote of it is refused"
    ]


def test_when_adopting_dies_what_was_found_is_no_target(world: SignedWorld, mallory: Mallory) -> None:
    evil = mallory.build("app")
    mallory.move("app", "prod", evil)
    mallory.move("app", "v9.0-prod", evil)
    world.build("v1.2")
    world.promote("v1.2", to="dev")
    world.promote("v1.2", to="test")
    assert world.crash(lambda: world.promote("app=v1.2", to="prod"), 2)
    head = world.head("app", "prod")
    assert (head.record.action, head.record.digest) == ("adopt", evil)
    cell = world.cell("app", "prod")
    assert (cell.state, cell.version) == ("recorded", "v9.0")
    assert "running.held" in world.problems("prod")
    world.rollback("prod", "app")
    is_as_it_was(world)
    assert world.stack("app", "prod") == ["v1.0", "v1.1"]


def test_a_combined_tag_of_hers_admits_nothing(world: SignedWorld, mallory: Mallory) -> None:
    evil = mallory.build("app")
    for tag in ("v9.0", "v9.0-dev", "v9.0-test", "v9.0-prod"):
        mallory.move("app", tag, evil)
    with world.unchanged(), fails("promotion.order", 3) as caught:
        world.promote("app=v9.0", to="prod")
    assert "no signed record of test names it" in caught[0].message
    with world.unchanged(), fails("promotion.order", 3):
        world.promote("app=v9.0", to="test")
    with world.unchanged(), fails("version.not_found", 4):
        world.rollback("prod", "app=v9.0")
    assert "anchor.moved" in world.problems("prod")


def test_a_combined_tag_of_hers_wins_no_floating_tag(world: SignedWorld, mallory: Mallory) -> None:
    evil = mallory.build("app")
    mallory.move("app", "v9.0-prod", evil)
    world.through("v1.2", "dev", "test", "prod")
    assert world.tag("app", "latest") == world.tag("app", "v1.2-prod")


def test_a_combined_tag_that_was_moved_is_not_believed(world: SignedWorld, mallory: Mallory) -> None:
    evil = mallory.build("app")
    mallory.move("app", "v1.1-test", evil)
    world.rollback("prod")
    with world.unchanged(), fails("promotion.order", 3):
        world.promote("app=v1.1", to="prod", override=("hold",), reason="x")
    assert "anchor.moved" in world.problems("test")


def test_what_was_admitted_long_ago_still_is() -> None:
    world = SignedWorld()
    world.through("v1.0", "dev", "test", "prod")
    for number in range(1, 4):
        world.through(f"v1.{number}", "dev", "test", "prod")
    world.rollback("prod")
    world.hold("prod", "v1.3", lift=True)
    assert world.seen("app", "prod").excludes(world.context().scheme.parse_version("v1.3")) == ""
    world.rollback("prod", "v1.3")
    is_as_it_was(world, "v1.3")


# --- what is taken away ----------------------------------------------------------------------------------------------


def test_a_record_missing_in_the_middle(world: SignedWorld, mallory: Mallory) -> None:
    tags = sorted(tag for tag in world.tags("app") if tag.startswith("_tagflow.prod."))
    mallory.delete("app", "prod", tags[0])
    assert "history.truncated" in world.problems("prod")
    is_as_it_was(world)


def test_a_record_hidden_behind_something_else(world: SignedWorld, mallory: Mallory) -> None:
    tags = sorted(tag for tag in world.tags("app") if tag.startswith("_tagflow.prod."))
    other = world.manifest("app", "prod", tags[1])
    mallory.repoint("app", "prod", tags[0], other.digest)
    assert {"history.truncated", "record.forged"} <= world.problems("prod")
    is_as_it_was(world)


def test_the_newest_records_hidden_behind_something_else(world: SignedWorld, mallory: Mallory) -> None:
    """Push rights are enough for this. verify names what stands there; nothing forged is believed for it."""
    head = world.head("app", "prod")
    first = next(iter(world.seen("app", "prod").standing.state.stack))
    evil = mallory.build("app")
    mallory.repoint("app", "prod", str(head.tag), evil)
    mallory.move("app", "prod", first.digest)
    assert "record.forged" in world.problems("prod")
    junk = mallory.junk("app", "prod")
    told = {finding.tag: finding.detail for finding in world.verify("prod")}
    hidden = "its tag is named after another record: one that stood there is hidden, or there never was one"
    assert hidden in told[str(head.tag)]
    assert hidden not in told[junk]


@pytest.mark.parametrize("name", ["unsigned", "own key"])
def test_a_repair_finishes_below_what_stands_in_the_place_of_no_record(
    world: SignedWorld, mallory: Mallory, name: str
) -> None:
    """A record of hers under the name that is its own hides nothing, and stops nobody."""
    world.through("v1.2", "dev", "test")
    assert world.crash(lambda: world.promote("v1.2", to="prod"), 6)
    assert "interrupted" in world.states("prod").values()
    tag = forgeries(mallory)[name]()
    assert tag > str(world.head("app", "prod").tag)
    world.repair("prod")
    is_as_it_was(world, "v1.2")


def test_no_repair_finishes_what_a_hidden_record_took_back(world: SignedWorld, mallory: Mallory) -> None:
    """Without the rollback on top, the release before looks as if it had not ended. That needs somebody's judgement."""
    world.rollback("prod")
    for image in ("app", "api"):
        mallory.repoint(image, "prod", str(world.head(image, "prod").tag), mallory.build(image))
    assert world.states("prod") == {"app": "interrupted", "api": "interrupted"}
    found = [it for it in world.verify("prod") if it.problem == "interrupted"]
    assert [it.repair for it in found] == ["tagflow rollback prod"] * 2
    with world.unchanged():
        done = world.repair("prod")
    assert done.done == ()
    assert {it.repair for it in done.left if it.problem == "interrupted"} == {"tagflow rollback prod"}
    assert {cell.way_on for cell in (world.cell(image, "prod") for image in ("app", "api"))} == {""}
    world.rollback("prod")
    is_as_it_was(world, "v1.0")


@pytest.mark.parametrize("write", [3, 6])
def test_a_repair_finishes_beside_what_does_not_count(world: SignedWorld, mallory: Mallory, write: int) -> None:
    """Below the release nothing can have taken it back."""
    mallory.junk("app", "prod", sequence=1)
    world.through("v1.2", "dev", "test")
    assert world.crash(lambda: world.promote("v1.2", to="prod"), write)
    assert "interrupted" in world.states("prod").values()
    world.repair("prod")
    is_as_it_was(world, "v1.2")


@pytest.mark.parametrize("look", ["diff", "stats", "status --at"])
def test_whoever_looks_is_told_that_a_record_does_not_count(world: SignedWorld, mallory: Mallory, look: str) -> None:
    """A rollback of both images is hidden: no look may take what is left for all that happened."""
    world.rollback("prod")
    for image in ("app", "api"):
        mallory.repoint(image, "prod", str(world.head(image, "prod").tag), mallory.build(image))
    world.warnings.clear()
    context = world.context()
    looks: dict[str, Callable[[], object]] = {
        "diff": lambda: diff(context, "test", "prod"),
        "stats": lambda: stats(context, "prod", context.now() - timedelta(days=1)),
        "status --at": lambda: status_at(context, context.now(), []),
    }
    looks[look]()
    assert "note: prod has records that do not count: app, api; `tagflow verify prod` tells more" in world.warnings


def test_all_signed_records_hidden_behind_something_else(world: SignedWorld, mallory: Mallory) -> None:
    """What is left looks like a history that was never signed: it does not count all the same."""
    old = SignedWorld(policy_text(signed=""), holder="")
    old.through("v1.0", "dev", "test", "prod")
    old.become(policy_text())
    old.holder = "ci"
    old.through("v1.1", "dev", "test", "prod")
    mallory = Mallory(old)
    evil = mallory.build("app")
    for tag in sorted(old.tags("app")):
        if tag.startswith("_tagflow.prod.") and SIGNATURE in old.manifest("app", "prod", tag).annotations:
            mallory.repoint("app", "prod", tag, evil)
    mallory.move("app", "prod", evil)
    assert old.seen("app", "prod").standing.heads == ()
    with fails("rollback.nothing", 4):
        old.rollback("prod", "app")


def test_without_any_record_nothing_is_admitted(world: SignedWorld, mallory: Mallory) -> None:
    for tag in list(world.tags("app")):
        if tag.startswith("_tagflow."):
            mallory.delete("app", "prod", tag)
    with world.unchanged(), fails("promotion.order", 3):
        world.promote("app=v1.0", to="prod")


def test_a_history_that_cannot_be_read_at_all(world: SignedWorld) -> None:
    content = world.memory.content(world.history_repository("app", "prod"))
    head = world.head("app", "prod")
    content.manifests.pop(head.digest)
    assert "history.truncated" in world.problems("prod") or world.states("prod")["app"] != "recorded"


@pytest.mark.parametrize("code", ["manifest.digest_mismatch", "layout.corrupt"])
def test_a_record_that_is_changed_on_its_way_may_tell_of_a_hold(world: SignedWorld, code: str) -> None:
    """Whoever may push can put anything under its tag, and that has its digest: nobody did that here."""
    world.through("v1.2", "dev", "test")
    world.hold("prod", "app=v1.2")
    held = str(world.head("app", "prod").tag)

    def refuse(operation: str, _: Repository, detail: str) -> None:
        if (operation, detail) == ("get", held):
            raise StoreError(code, "its content does not have that digest")

    with world.hooked(refuse):
        assert world.states("prod") == {"app": "broken", "api": "recorded"}
        with world.unchanged(), fails("history.broken", 5):
            world.promote("app=v1.2", to="prod")
        world.promote("api=v1.2", to="prod")
    assert world.runs("prod") == {"app": "v1.1", "api": "v1.2"}
