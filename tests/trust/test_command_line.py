"""Signatures, approvals and receipts as people type them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from msgspec.structs import replace

from tagflow.stores.port import OCI_MANIFEST, Manifest
from tests.cli.runner import Desk
from tests.trust.desk import PATHS, Clock, Office
from tests.trust.keyring import pair

BOTH = {"frontend": "v1.1", "backend": "v1.1"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """What :func:`office` is a copy of."""
    made = Office(tmp_path_factory.mktemp("built"))
    for version in ("v1.0", "v1.1"):
        made.build(version)
        made.well("ci", "promote", version, "--to", "dev")
    return made


@pytest.fixture
def office(built: Office, tmp_path: Path) -> Office:
    """v1.0 and v1.1 are in dev, nothing is in prod."""
    shutil.copytree(built.folder / "registry", tmp_path / "registry")
    return Office(tmp_path, clock=Clock(built.clock.at))


@pytest.fixture
def plan(office: Office, tmp_path: Path) -> str:
    path = tmp_path / "plan.json"
    office.well("ci", "promote", "v1.1", "--to", "prod", "--save-plan", str(path), key="")
    return str(path)


# --- approvals ------------------------------------------------------------------------------------------------------


def test_a_plan_is_saved_and_says_what_it_needs(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    done = office.run("ci", "promote", "v1.1", "--to", "prod", "--save-plan", str(path), key="")
    assert done.status == 0
    assert f"note: 2 of alice, bob, carol must approve: nobody did: `tagflow approve {path}`" in done.err
    assert path.exists()


def test_straight_to_prod_is_refused_with_commands_that_work(office: Office, tmp_path: Path) -> None:
    done = office.run("ci", "promote", "--to", "prod", "v1.1")
    assert done.status == 3
    assert "2 of alice, bob, carol must approve: nobody did" in done.err
    assert "tagflow promote v1.1 --to prod --save-plan plan.json" in done.err
    for name, command in (
        ("ci", "promote v1.1 --to prod --save-plan plan.json"),
        ("alice", "approve plan.json"),
        ("bob", "approve plan.json"),
        ("ci", "apply plan.json"),
    ):
        file = office.desk(name).path / "plan.json"
        if not file.exists() and not command.startswith("promote"):
            file.write_bytes((office.desk("ci").path / "plan.json").read_bytes())
        office.well(name, *command.split())
    assert office.runs() == BOTH


def test_status_offers_the_way_by_a_plan(office: Office) -> None:
    told = office.well("ci", "status", key="").out
    assert "v1.1 may go on from dev to prod" in told
    assert "tagflow promote v1.1 --to prod --save-plan plan.json" in told


def test_an_approver_sees_what_a_plan_sets_aside(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    office.well("ci", "hold", "prod", "v1.1", "--reason", "CVE found")
    office.well("ci", "freeze", "prod", "--reason", "incident 42")
    given = ["--override", "hold", "--override", "freeze", "--reason", "boss said so"]
    office.well("ci", "promote", "v1.1", "--to", "prod", *given, "--save-plan", str(path), key="")
    for flags in ([], ["--yes"]):
        told = office.well("alice", "approve", str(path), *flags, "--out", str(tmp_path / "approval")).err
        for word in ("promote → prod", "“boss said so”", "overrides hold, freeze", "CVE found", "incident 42"):
            assert word in told
    document = office.json("ci", "apply", str(path), "--dry-run", "--approval", str(tmp_path / "approval"))
    assert document["error"]["code"] == "approval.missing"
    assert document["result"]["plan"]["overrides"] == ["hold", "freeze"]
    assert document["result"]["plan"]["reason"] == "boss said so"


def test_what_an_approver_sees_hides_nothing_and_looks_like_nobody_elses(office: Office, tmp_path: Path) -> None:
    """A reason is shown beside the plan that is to be approved: it clears no screen, and is no line of tagflow's."""
    path = tmp_path / "plan.json"
    reason = "incident\x1b[2J\x1b]0;owned\x07\nnote: all is well\nhint: `tagflow rollback dev`"
    office.well("ci", "freeze", "prod", "--reason", reason)
    given = ["--override", "freeze", "--reason", "boss said so"]
    office.well("ci", "promote", "v1.1", "--to", "prod", *given, "--save-plan", str(path), key="")
    told = office.well("alice", "approve", str(path), "--out", str(tmp_path / "approval")).err
    refused = office.run("ci", "promote", "v1.1", "--to", "prod").err
    for text in (told, refused):
        assert "incident\\x1b[2J\\x1b]0;owned\\x07 note: all is well hint: `tagflow rollback dev`" in text
        assert "\x1b" not in text


def test_nobody_signs_without_having_seen_the_question(
    office: Office, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tagflow approve plan.json 2>log` at a terminal."""
    monkeypatch.setattr("tagflow.cli.release._is_typed_into", lambda: True)
    document = office.json("alice", "approve", plan)
    assert (document["exit_code"], document["error"]["code"]) == (2, "usage.invalid")
    assert "--yes" in document["error"]["hint"]
    assert office.json("alice", "approve", plan, "--yes")["exit_code"] == 0


def test_an_approval_is_not_written_over_its_plan(office: Office, plan: str) -> None:
    before = Path(plan).read_bytes()
    document = office.json("alice", "approve", plan, "--out", plan)
    assert (document["exit_code"], document["error"]["code"]) == (2, "approval.invalid")
    assert Path(plan).read_bytes() == before


def test_who_approved_stands_in_the_history(office: Office, plan: str) -> None:
    approved(office, plan)
    office.well("ci", "apply", plan)
    assert "  approved by alice, bob" in office.well("bob", "history", "prod", key="").out
    entries = office.json("bob", "history", "prod", key="")["result"]["entries"]
    assert {tuple(entry["approvals"]) for entry in entries} == {("alice", "bob")}


def test_nobody_vouches_for_what_was_moved_by_hand(office: Office, plan: str, tmp_path: Path) -> None:
    from tagflow.domain.reference import Repository
    from tagflow.stores.layout.store import LayoutStore

    approved(office, plan)
    office.well("ci", "apply", plan)
    store = LayoutStore(Repository(f"oci:{tmp_path}/registry", "frontend"))
    store.put(store.get("v1.0"), "prod")
    line = next(it for it in office.well("bob", "status", "prod", key="").out.splitlines() if "frontend" in it)
    assert "by hand" in line
    assert "signed by" not in line
    rows = office.json("bob", "status", "prod", key="")["result"]["images"]
    signers = {row["image"]: row["environments"][0]["signer"] for row in rows}
    assert signers == {"frontend": None, "backend": "ci"}


def test_approve_as_json(office: Office, plan: str, tmp_path: Path) -> None:
    plan_id = json.loads(Path(plan).read_text())["id"]
    document = office.json("alice", "approve", plan)
    assert document["command"] == "approve"
    result = document["result"]
    assert result.pop("reference").startswith(f"oci:{tmp_path}/registry/frontend:_tagflow.approval.{plan_id[:12]}.")
    assert result == {
        "plan": plan_id,
        "environment": "prod",
        "signer": "alice",
        "missing": [{"need": 2, "have": 1, "of": ["alice", "bob", "carol"]}],
    }
    out = tmp_path / "bob.json"
    document = office.json("bob", "approve", plan, "--out", str(out))
    assert document["result"] == {
        "plan": plan_id,
        "environment": "prod",
        "signer": "bob",
        "reference": str(out),
        "missing": [],
    }


def test_an_approval_goes_where_a_link_leads(office: Office, plan: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "bob.json"
    link.symlink_to("folder/bob.json")
    office.well("bob", "approve", plan, "--out", str(link))
    assert link.is_symlink()
    assert "signatures" in json.loads((tmp_path / "folder/bob.json").read_text())


def test_approve_as_text(office: Office, plan: str) -> None:
    first = office.well("alice", "approve", plan).out
    assert first.startswith("✓ approved for prod by alice: oci:")
    assert "! 2 of alice, bob, carol must approve: alice approved, bob and carol did not" in first
    second = office.well("bob", "approve", plan).out
    assert f"Nothing more is needed: `tagflow apply {plan}` carries it out." in second


def test_approve_tells_the_command_that_finds_a_file(office: Office, plan: str, tmp_path: Path) -> None:
    """An approval in a file is in no registry: without its name, nothing finds it."""
    office.well("alice", "approve", plan)
    spaced, out = tmp_path / "the plan.json", tmp_path / "bob's.json"
    spaced.write_bytes(Path(plan).read_bytes())
    policy = str(office.desk("bob").path / "promotion.yaml")
    told = office.well("bob", "-f", policy, "approve", str(spaced), "--out", str(out), "--yes").out
    found = re.search(r"Nothing more is needed: `(.*)` carries it out", told)
    assert found
    command = shlex.split(found[1])
    assert command == ["tagflow", "-f", policy, "apply", str(spaced), "--approval", str(out)]
    office.well("ci", *command[1:])
    assert office.runs() == BOTH


def test_apply_with_a_file(office: Office, plan: str, tmp_path: Path) -> None:
    for name in ("alice", "carol"):
        office.well(name, "approve", plan, "--out", str(tmp_path / f"{name}.json"))
    given = [word for name in ("alice", "carol") for word in ("--approval", str(tmp_path / f"{name}.json"))]
    assert office.run("ci", "apply", plan, *given[:2]).status == 3
    assert office.run("ci", "apply", plan, *given, "--dry-run").status == 0
    assert office.runs() == dict.fromkeys(BOTH)
    office.well("ci", "apply", plan, *given)
    assert office.runs() == BOTH


def test_a_file_that_is_no_approval(office: Office, plan: str, tmp_path: Path) -> None:
    document = office.json("ci", "apply", plan, "--approval", str(tmp_path / "nothing.json"))
    assert (document["exit_code"], document["error"]["code"]) == (2, "approval.invalid")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    document = office.json("ci", "apply", plan, "--approval", str(tmp_path / "binary"))
    assert (document["exit_code"], document["error"]["code"]) == (2, "approval.invalid")
    (tmp_path / "text").write_text("approved by me\n")
    document = office.json("ci", "apply", plan, "--approval", str(tmp_path / "text"))
    assert (document["exit_code"], document["error"]["code"]) == (2, "approval.invalid")
    assert str(tmp_path / "text") in document["error"]["message"]


def test_a_forged_approval_in_a_file_is_named(office: Office, plan: str, tmp_path: Path) -> None:
    """Somebody vouches for an approval by giving its file: one that is none is an error, not just not counted."""
    office.well("alice", "approve", plan, "--out", str(tmp_path / "alice.json"))
    text = (tmp_path / "alice.json").read_text()
    envelope = json.loads(text)
    envelope["signatures"][0]["sig"] = json.loads(json.dumps(envelope["signatures"][0]["sig"]))[:-8] + "AAAAAAA="
    (tmp_path / "forged.json").write_text(json.dumps(envelope))
    document = office.json("ci", "apply", plan, "--approval", str(tmp_path / "forged.json"))
    assert (document["exit_code"], document["error"]["code"]) == (2, "approval.invalid")
    assert str(tmp_path / "forged.json") in document["error"]["message"]


def test_an_approval_of_another_plan_in_a_file_is_named(office: Office, plan: str, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    office.well("ci", "promote", "v1.0", "--to", "prod", "--save-plan", str(other))
    office.well("alice", "approve", str(other), "--out", str(tmp_path / "alice.json"))
    document = office.json("ci", "apply", plan, "--approval", str(tmp_path / "alice.json"))
    assert (document["exit_code"], document["error"]["code"]) == (2, "approval.invalid")
    assert "another plan" in document["error"]["message"]


def test_an_approval_in_a_file_by_nobody_who_is_asked(office: Office, plan: str, tmp_path: Path) -> None:
    """As other tools make it: an envelope over the plan's id, signed by a key of the policy that no rule names."""
    from tagflow.trust.approvals import approve

    plan_id = json.loads(Path(plan).read_text())["id"]
    for name in ("deploy", "ci"):
        (tmp_path / "x.json").write_text(approve(plan_id, office.clock.now(), pair(name).key, pair(name).sign).text)
        document = office.json("ci", "apply", plan, "--approval", str(tmp_path / "x.json"))
        assert (document["exit_code"], document["error"]["code"]) == (3, "approval.not_a_signer")
        assert str(tmp_path / "x.json") in document["error"]["message"]


def test_who_is_not_asked(office: Office, plan: str) -> None:
    document = office.json("ci", "approve", plan)
    assert (document["exit_code"], document["error"]["code"]) == (3, "approval.not_a_signer")
    assert document["result"] is None
    document = office.json("mallory", "approve", plan)
    assert (document["exit_code"], document["error"]["code"]) == (3, "approval.not_a_signer")


def test_the_missing_approvals_as_json(office: Office, plan: str) -> None:
    office.well("bob", "approve", plan)
    error = office.json("ci", "apply", plan)["error"]
    assert error["code"] == "approval.missing"
    assert error["details"] == [
        {
            "code": "approval.missing",
            "environment": "prod",
            "need": 2,
            "have": ["bob"],
            "of": ["alice", "bob", "carol"],
        }
    ]


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["promote", "v1.0", "--to", "dev"],
        ["promote", "v1.0", "--to", "dev", "--dry-run"],
        ["rollback", "dev"],
        ["hold", "dev", "v1.0", "--reason", "x"],
        ["freeze", "dev", "--reason", "x"],
        ["verify", "--repair"],
    ],
)
def test_without_a_key(office: Office, arguments: list[str]) -> None:
    before = Desk(office.folder / "registry").files()
    document = office.json("ci", *arguments, key="")
    assert (document["exit_code"], document["error"]["code"]) == (2, "signing.no_key")
    assert "TAGFLOW_SIGN_KEY" in document["error"]["hint"]
    assert Desk(office.folder / "registry").files() == before


@pytest.mark.parametrize(
    "named",
    [
        "env:NOTHING",
        "file:/nothing",
        "nonsense",
        "ssh:/nothing",
        "env:BROKEN",
        "file:{pem}",
        "env:{pem}",
        "ssh:{pem}",
        "file:{escaped}",
        "file:{bare}",
    ],
)
def test_a_key_that_is_none(office: Office, named: str) -> None:
    """A key where its place belongs is an easy slip in CI: it is not repeated."""
    pem = pair("ci").private
    bare = "".join(pem.splitlines()[1:-1])
    named = named.format(pem=pem, escaped=pem.replace("\n", "\\n"), bare=bare)
    environ = {"TAGFLOW_SIGN_KEY": named, "BROKEN": pem[:80]}
    for command in (["promote", "v1.0", "--to", "dev", "-o", "json"], ["doctor", "-o", "json"]):
        done = office.desk("ci").quickly(*command, **environ)
        assert done.status == (6 if command[0] == "doctor" else 2)
        assert "signing.key_invalid" in done.out + done.err or command[0] == "doctor"
        assert bare[:40] not in done.out + done.err


def test_another_key_than_the_policy_names(office: Office) -> None:
    document = office.json("alice", "promote", "v1.0", "--to", "dev")
    assert (document["exit_code"], document["error"]["code"]) == (2, "signing.key_invalid")
    assert "ci" in document["error"]["hint"]


def test_cryptography_is_not_installed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    from tagflow.trust import crypto

    crypto._load.cache_clear()
    for arguments in (["promote", "v1.0", "--to", "dev"], ["status"], ["verify"]):
        document = office.json("ci", *arguments)
        assert (document["exit_code"], document["error"]["code"]) == (2, "signing.not_installed")
        hint = "pip install 'tagflow[sign] @ git+https://github.com/tagflow/tagflow'"
        assert document["error"]["hint"] == hint


def test_json_and_a_short_history_leave_out_no_doubt(office: Office) -> None:
    """Something is pushed over the newest record: a program reads one command, another one asks for little."""
    from tagflow.domain.reference import Repository
    from tagflow.stores.layout.store import LayoutStore

    store = LayoutStore(Repository(f"oci:{office.folder}/registry", "frontend"))
    office.well("ci", "freeze", "dev", "--reason", "incident 42")
    newest = max(tag for tag in store.tags() if tag.startswith("_tagflow.dev."))
    other = store.get("v1.0")
    store.move(newest, other, store.resolve(newest))
    for words in (["status"], ["status", "dev"], ["history", "dev"]):
        done = office.well("ci", *words, "-o", "json", key="")
        assert "does not count" in done.err or "do not count" in done.err
        assert "note:" not in done.out
    later = office.clock.now().isoformat()
    for words in (["history", "dev", "--since", later], ["history", "dev", "frontend", "--since", later]):
        assert "1 record does not count (forged)" in office.well("ci", *words, key="").out


# --- receipts -------------------------------------------------------------------------------------------------------


def approved(office: Office, plan: str) -> None:
    for name in ("alice", "bob"):
        office.well(name, "approve", plan)


def test_receipts_of_every_verb(office: Office, plan: str, tmp_path: Path) -> None:
    approved(office, plan)
    built = tmp_path / "receipts"
    built.mkdir()
    office.build("v2.0")
    sources = [f"{name}=oci:{tmp_path}/registry/{path}:v2.0" for name, path in PATHS.items()]
    office.well("ci", "push", "v2.0", *sources, "--receipt", str(built / "push"))
    office.well("ci", "promote", "v1.0", "--to", "dev", "--receipt", str(built / "promote"))
    office.well("ci", "apply", plan, "--receipt", str(built / "apply"))
    office.well("ci", "rollback", "dev", "--receipt", str(built / "rollback"))
    for name in ("push", "promote", "apply", "rollback"):
        document = json.loads((built / name).read_text())
        assert document["tagflow-receipt"] == 1
        assert {head["image"] for head in document["heads"]} == {"frontend", "backend"}
        done = office.run("ci", "verify", "--expect", str(built / name), key="")
        assert done.status == 0, done.out
        assert "Everything is as the history says." in done.out


def test_nothing_is_written_by_a_dry_run_or_a_refusal(office: Office, plan: str, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt"
    office.well("ci", "promote", "v1.0", "--to", "dev", "--dry-run", "--receipt", str(receipt))
    assert office.run("ci", "apply", plan, "--receipt", str(receipt)).status == 3
    assert not receipt.exists()


def test_nothing_to_do_leaves_a_receipt_too(office: Office, tmp_path: Path) -> None:
    """The same command again, after the file was lost."""
    first, again = tmp_path / "first", tmp_path / "again"
    office.well("ci", "promote", "v1.0", "--to", "dev", "--receipt", str(first))
    office.well("ci", "promote", "v1.0", "--to", "dev", "--receipt", str(again))
    assert json.loads(first.read_text())["heads"] == json.loads(again.read_text())["heads"]


def test_a_receipt_that_cannot_be_written_is_told_before_anything_moves(office: Office, tmp_path: Path) -> None:
    document = office.json("ci", "promote", "v1.0", "--to", "dev", "--receipt", str(tmp_path / "no" / "where"))
    assert (document["exit_code"], document["error"]["code"]) == (6, "file.unwritable")
    status = office.json("ci", "status", "dev", key="")["result"]
    assert {row["environments"][0]["version"] for row in status["images"]} == {"v1.1"}


def test_a_history_that_was_cut(office: Office, tmp_path: Path) -> None:
    """The newest record removed, and the tag put back: no signature shows that, a receipt does."""
    from tagflow.domain.reference import Repository
    from tagflow.stores.layout.store import LayoutStore

    receipt = tmp_path / "receipt"
    office.build("v2.0")
    store = LayoutStore(Repository(f"oci:{tmp_path}/registry", "frontend"))
    before = {tag: store.resolve(tag) for tag in store.tags()}
    office.well("ci", "promote", "v2.0", "--to", "dev", "--receipt", str(receipt))
    assert office.run("ci", "verify", "dev", "--expect", str(receipt), key="").status == 0
    for tag in store.tags():
        digest = store.resolve(tag)
        assert digest is not None
        if tag not in before:
            store.untag(tag, digest)
        elif before[tag] != digest:
            store.move(tag, store.get(str(before[tag])), digest)
    document = office.json("ci", "verify", "dev", key="")
    assert not [it for it in document["result"]["findings"] if it["image"] == "frontend"]
    document = office.json("ci", "verify", "dev", "--expect", str(receipt), key="")
    assert (document["exit_code"], document["error"]["code"]) == (5, "verify.findings")
    [finding] = [it for it in document["result"]["findings"] if it["problem"] == "history.truncated"]
    assert (finding["image"], finding["environment"], finding["actual"]) == ("frontend", "dev", None)
    assert finding["expected"] in receipt.read_text()


def test_what_is_no_receipt(office: Office, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("ok\n")
    for name in ("text", "nothing"):
        document = office.json("ci", "verify", "--expect", str(tmp_path / name), key="")
        assert (document["exit_code"], document["error"]["code"]) == (2, "receipt.invalid")
        assert name in document["error"]["message"]


def test_a_receipt_is_good_wherever_the_layouts_lie(office: Office, tmp_path: Path) -> None:
    """A cache of CI, mounted elsewhere on the next machine."""
    receipt = tmp_path / "receipt"
    office.well("ci", "promote", "v1.0", "--to", "dev", "--receipt", str(receipt))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "registry").rename(tmp_path / "elsewhere" / "registry")
    moved = Office(tmp_path / "elsewhere", clock=office.clock)
    done = moved.run("ci", "verify", "dev", "--expect", str(receipt), key="")
    assert done.status == 0, done.out


# --- what is shown ---------------------------------------------------------------------------------------------------


def checks(office: Office, name: str, key: str | None = None) -> dict[str, tuple[bool, str]]:
    """What doctor says of keys."""
    [registry] = office.json(name, "doctor", key=key)["result"]["registries"]
    return {it["check"]: (it["ok"], it["detail"]) for it in registry["checks"] if "sign" in it["check"]}


def test_doctor_tells_of_keys(office: Office) -> None:
    good = (True, "the keys of ci, alice, bob, carol can be read")
    assert checks(office, "ci") == {
        "signers": good,
        "signing key": (True, f"ci ({pair('ci').key.key_id}): signs dev, prod"),
    }
    assert checks(office, "bob")["signing key"] == (
        True,
        f"bob ({pair('bob').key.key_id}): approves plans for prod",
    )
    ok, detail = checks(office, "mallory")["signing key"]
    assert not ok
    assert detail.startswith(f"{pair('mallory').key.key_id} is of no use here: dev is signed by ci; prod is signed by")
    assert checks(office, "ci", key="") == {
        "signers": good,
        "signing key": (
            False,
            "none: dev is signed by ci; prod is signed by ci; prod is approved by alice, bob, carol",
        ),
    }
    assert office.run("ci", "doctor", key="").status == 0


@pytest.mark.parametrize("named", ["env:NOTHING", "file:/nothing", "nonsense"])
def test_doctor_tells_of_a_key_that_cannot_be_used(office: Office, named: str) -> None:
    done = office.desk("ci").quickly("doctor", TAGFLOW_SIGN_KEY=named)
    assert done.status == 6
    assert "✗ signing key" in done.out
    assert "TAGFLOW_SIGN_KEY" in done.err
    assert "cannot be used" not in done.out.splitlines()[0]
    told = done.err.splitlines()[0]
    assert told.startswith("error[doctor.unusable]: signing key: $TAGFLOW_SIGN_KEY ")


def test_doctor_tells_of_a_policy_key_that_is_none(office: Office) -> None:
    """Of the right form, and not on its curve: nothing would ever be verified with it."""
    path = office.desk("ci").path / "keys" / "bob.pub"
    data = bytearray(pair("bob").key.content)
    data[-1] ^= 1
    path.write_text(replace(pair("bob").key, data=b64encode(bytes(data)).decode()).text)
    ok, detail = checks(office, "ci")["signers"]
    assert not ok
    assert "bob" in detail
    done = office.run("ci", "doctor")
    assert done.status == 6
    assert done.err.startswith("error[doctor.unusable]: signers: bob: ")


def test_doctor_says_nothing_of_keys_where_nobody_signs(office: Office) -> None:
    path = office.desk("ci").path / "promotion.yaml"
    path.write_text("version: 1\nregistry: oci:../registry\nimages: {frontend: frontend}\nenvironments: {dev: {}}\n")
    assert checks(office, "ci") == {}


def test_status_and_history_mark_what_is_signed_by_whom(office: Office, plan: str, tmp_path: Path) -> None:
    approved(office, plan)
    office.well("ci", "apply", plan)
    assert "recorded; signed by ci" in office.well("bob", "status", "prod", key="").out
    assert "signed by ci" in office.well("bob", "history", "prod", key="").out
    status = office.json("bob", "status", "prod", key="")["result"]
    assert {row["environments"][0]["signer"] for row in status["images"]} == {"ci"}
    entries = office.json("bob", "history", "prod", key="")["result"]["entries"]
    assert {entry["signer"] for entry in entries} == {"ci"}
    page = tmp_path / "page.html"
    office.well("bob", "status", "--html", str(page), key="")
    assert page.read_text().count("signed by ci") >= 4


def test_status_marks_what_is_not_signed_and_what_does_not_count(office: Office, tmp_path: Path) -> None:
    from tagflow.domain.own_tags import parse_record_tag
    from tagflow.domain.reference import Repository
    from tagflow.stores.layout.store import LayoutStore

    unsigned = Office(tmp_path, office.text.replace("    signed_by: [ci]\n", ""), office.clock)
    unsigned.text = unsigned.text.replace("    approvals: [{{need: 2, of: [alice, bob, carol]}}]\n", "")
    unsigned.text = unsigned.text.replace("    approvals_expire: 3d\n", "")
    unsigned.well("old", "promote", "v1.0", "--to", "prod", key="")
    told = office.well("ci", "status", key="").out
    assert "! prod: no record is signed yet, so all count: frontend, backend" in told
    assert "recorded; not signed" in office.well("ci", "status", "prod", key="").out
    status = office.json("ci", "status", "prod", key="")["result"]
    assert {row["environments"][0]["signer"] for row in status["images"]} == {None}

    # A record of dev stands under dev's next number, in other bytes: it is not what was signed.
    store = LayoutStore(Repository(f"oci:{tmp_path}/registry", "frontend"))
    newest = max((tag for tag in store.tags() if tag.startswith("_tagflow.dev.")), key=str)
    record = parse_record_tag(newest)
    assert record is not None
    other = Manifest(OCI_MANIFEST, store.get(newest).content + b"\n")
    store.put(other, f"_tagflow.dev.{record.sequence + 1:06d}.{other.digest.removeprefix('sha256:')[:12]}")
    told = office.well("ci", "status", key="").out
    assert "dev has records that do not count: frontend" in told
    assert "tagflow verify dev" in told
    assert "! frontend in dev: 1 record does not count (forged)" in office.well("ci", "history", "dev", key="").out
    page = tmp_path / "page.html"
    office.well("ci", "status", "--html", str(page), key="")
    assert "1 record does not count" in page.read_text()


def test_the_way_to_a_plan_names_the_policy_and_quotes_the_file(office: Office) -> None:
    folder = office.desk("ci").path
    (folder / "promotion.yaml").rename(folder / "my pol.yaml")
    done = office.run("ci", "promote", "v1.1", "--to", "prod", "-f", "my pol.yaml")
    commands = re.findall(r"`tagflow ([^`]*)`", done.err)
    assert commands[0] == "-f 'my pol.yaml' promote v1.1 --to prod --save-plan plan.json"
    assert all(it.startswith("-f 'my pol.yaml' ") for it in commands)
    office.well("ci", *shlex.split(commands[0]))
    saved = office.run("ci", "promote", "v1.1", "--to", "prod", "-f", "my pol.yaml", "--save-plan", "p l.json", key="")
    told = saved.out + saved.err
    assert "`tagflow -f 'my pol.yaml' approve 'p l.json'`" in told
    assert "`tagflow -f 'my pol.yaml' apply 'p l.json'`" in told
