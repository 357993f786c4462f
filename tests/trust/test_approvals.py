"""Approvals: whose count, which do not, and why."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as OtherEnvelope
from securesystemslib.signer import Key, SSlibKey  # type: ignore[attr-defined]

from tagflow.domain.keys import PublicKey, Signer, parse_ssh
from tagflow.domain.policy import ApprovalRule
from tagflow.trust.approvals import AHEAD, Evaluation, approval_statement, approve, evaluate, fault
from tagflow.trust.envelope import MOST, Envelope, Signature, decode_envelope
from tests.trust.keyring import Pair, opened, pair, ssh_pair

PLAN = "ab" * 32
NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
PEOPLE = ("alice", "bob", "carol")
SIGNERS = tuple(pair(name).signer(name) for name in (*PEOPLE, "ci"))
TWO_OF_THREE = ApprovalRule(2, PEOPLE)


def approval(by: str, plan: str = PLAN, at: datetime = NOW) -> str:
    """An approval by somebody."""
    return approve(plan, at, pair(by).key, pair(by).sign).text


def held(*documents: str, rules: tuple[ApprovalRule, ...] = (TWO_OF_THREE,), **more: timedelta) -> Evaluation:
    """Documents against rules."""
    return evaluate(PLAN, rules, SIGNERS, documents, now=NOW, expire=more.get("expire"))


def test_enough() -> None:
    found = held(approval("alice"), approval("carol"))
    assert found.missing == ()
    assert found.tallies[0].have == ("alice", "carol")
    assert [one.names for one in found.counted] == [("alice",), ("carol",)]
    assert found.ignored == ()


def test_not_enough_says_who_has_and_who_has_not() -> None:
    [missing] = held(approval("bob")).missing
    assert str(missing) == "2 of alice, bob, carol must approve: bob approved, alice and carol did not"
    [missing] = held().missing
    assert str(missing) == "2 of alice, bob, carol must approve: nobody did"


def test_every_rule_must_be_met_a_machine_beside_people() -> None:
    rules = (ApprovalRule(1, PEOPLE), ApprovalRule(1, ("ci",)))
    assert [tally.rule for tally in held(approval("alice"), rules=rules).missing] == [rules[1]]
    assert held(approval("alice"), approval("ci"), rules=rules).missing == ()


def test_no_rules_are_met_by_nothing() -> None:
    assert held(rules=()).missing == ()


def test_the_same_one_twice_is_one() -> None:
    again = approval("alice", at=NOW - timedelta(hours=1))
    assert held(approval("alice"), approval("alice"), again).tallies[0].have == ("alice",)


def test_one_key_under_two_names_is_one() -> None:
    signers = (pair("alice").signer("alice"), pair("alice").signer("bob"), pair("carol").signer("carol"))
    found = evaluate(PLAN, [TWO_OF_THREE], signers, [approval("alice"), approval("alice")], now=NOW)
    assert found.tallies[0].have == ("alice",)
    assert found.missing
    assert found.counted[0].names == ("alice", "bob")


def test_one_key_as_pem_and_as_ssh_is_one(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_ssh_private_key,
    )

    path = ssh_pair(tmp_path)
    key = load_ssh_private_key(path.read_bytes(), None)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    pem = Pair(private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    public = parse_ssh(path.with_suffix(".pub").read_text())
    by_ssh = opened({"TAGFLOW_SIGN_KEY": f"ssh:{path}.pub", "PATH": "/usr/bin:/bin"})
    signers = (pem.signer("alice"), Signer("bob", public))
    documents = [approve(PLAN, NOW, pem.key, pem.sign).text, approve(PLAN, NOW, public, by_ssh.sign).text]
    found = evaluate(PLAN, [ApprovalRule(2, ("alice", "bob"))], signers, documents, now=NOW)
    assert [len(found.counted), len(found.missing)] == [1, 1]


def test_what_securesystemslib_takes_for_two_is_one() -> None:
    """Its threshold counts key ids; an envelope may list one key under as many as it likes."""
    envelope = decode_envelope(approval("alice"))
    [signature] = envelope.signatures
    twice = Envelope(envelope.payload, (signature, Signature("another", signature.content)))
    keys: list[Key] = [
        SSlibKey(it.key_id, "ecdsa", "ecdsa-sha2-nistp256", {"public": pair("alice").public}) for it in twice.signatures
    ]
    assert len(OtherEnvelope.from_dict(json.loads(twice.text)).verify(keys, threshold=2)) == 2
    assert held(twice.text).tallies[0].have == ("alice",)


def test_two_signatures_in_one_envelope_are_two() -> None:
    one, other = (decode_envelope(approval(name)) for name in ("alice", "bob"))
    both = Envelope(one.payload, (*one.signatures, *other.signatures))
    assert held(both.text).tallies[0].have == ("alice", "bob")


def test_what_does_not_count() -> None:
    other_plan, outsider = approval("alice", plan="cd" * 32), approval("mallory")
    envelope = decode_envelope(approval("bob"))
    forged = Envelope(approval_statement(PLAN, NOW - timedelta(days=1)), envelope.signatures).text
    not_asked = approval("ci")
    typed = Envelope(envelope.payload, envelope.signatures, "text/plain").text
    found = held(other_plan, outsider, forged, not_asked, typed, "nonsense")
    assert found.counted == ()
    assert len(found.ignored) == 6


def test_it_expires() -> None:
    old = approval("alice", at=NOW - timedelta(days=3, seconds=1))
    young = approval("bob", at=NOW - timedelta(days=3))
    found = held(old, young, expire=timedelta(days=3))
    assert found.tallies[0].have == ("bob",)
    assert "expired" in found.ignored[0]
    assert held(old, young).missing == ()


def test_it_cannot_be_dated_ahead() -> None:
    assert held(approval("alice", at=NOW + AHEAD)).tallies[0].have == ("alice",)
    late = held(approval("alice", at=NOW + AHEAD + timedelta(seconds=1)))
    assert late.counted == ()
    assert "ahead" in late.ignored[0]
    far = held(approval("alice", at=datetime.max.replace(tzinfo=UTC)), expire=timedelta(days=3))
    assert far.counted == ()


def test_a_new_one_replaces_an_expired_one() -> None:
    old, new = approval("alice", at=NOW - timedelta(days=9)), approval("alice")
    assert held(old, new, expire=timedelta(days=1)).tallies[0].have == ("alice",)


@given(st.text(max_size=40), st.text(max_size=40))
def test_nonsense_is_no_approval(plan: str, at: str) -> None:
    payload = json.dumps({"subject": [{"digest": {"sha256": plan}}], "predicate": {"at": at}}).encode()
    assert held(Envelope(payload, ()).text).counted == ()


@pytest.mark.parametrize("payload", [b"[]", b"1", b"{}", b'{"subject":[]}', b"[" * 100_000, b"\xff"])
def test_broken_payloads(payload: bytes) -> None:
    assert held(Envelope(payload, ()).text).counted == ()


@given(st.lists(st.sampled_from(PEOPLE), max_size=5), st.integers(1, 3))
def test_counted_are_different_people(by: list[str], need: int) -> None:
    found = held(*map(approval, by), rules=(ApprovalRule(need, PEOPLE),))
    assert len(found.tallies[0].have) == len(set(by))
    assert bool(found.missing) == (len(set(by)) < need)


def test_what_is_wrong_with_a_document() -> None:
    def wrong(text: str) -> str | None:
        return fault(PLAN, [TWO_OF_THREE], SIGNERS, text)

    good = decode_envelope(approval("alice"))
    [signature] = good.signatures
    assert wrong(good.text) is None
    assert wrong(approval("alice", at=NOW - timedelta(days=900))) is None
    assert wrong(Envelope(good.payload, (Signature("", signature.content),)).text) is None
    assert wrong("nonsense") == "none"
    assert wrong(approval("alice", plan="cd" * 32)) == "another plan"
    assert wrong(Envelope(approval_statement(PLAN, NOW - timedelta(1)), good.signatures).text) == "forged"
    assert wrong(Envelope(good.payload, (Signature(signature.key_id, b"x"),)).text) == "forged"
    assert wrong(approval("ci")) == "not asked"
    assert wrong(approval("mallory")) == "not asked"
    assert wrong(Envelope(good.payload, ()).text) == "not asked"
    assert wrong(Envelope(good.payload, (Signature("another", b"x"),)).text) == "not asked"


def test_who_pushes_signatures_has_few_of_them_checked() -> None:
    """Each takes a good part of a millisecond, and anybody who may push can push any number of them."""
    asked: list[bytes] = []

    def check(_key: PublicKey, _message: bytes, signature: bytes) -> bool:
        asked.append(signature)
        return False

    good = decode_envelope(approval("bob"))
    junk = tuple(Signature("", bytes([number])) for number in range(MOST - 1))
    crowded = Envelope(good.payload, (*junk, *good.signatures))
    assert evaluate(PLAN, [TWO_OF_THREE], SIGNERS, [crowded.text], now=NOW, check=check).counted == ()
    assert good.signatures[0].content in asked  # it says whose it is
    assert len(asked) <= 16 * len(PEOPLE)
    assert held(crowded.text).tallies[0].have == ("bob",)


def test_an_envelope_of_any_number_of_signatures_is_none() -> None:
    """Each is checked against each key: who may push must not keep others busy."""
    good = decode_envelope(approval("alice"))
    assert held(Envelope(good.payload, (Signature("", b""),) * (MOST - 1) + good.signatures).text).counted
    assert not held(Envelope(good.payload, (Signature("", b""),) * MOST + good.signatures).text).counted
