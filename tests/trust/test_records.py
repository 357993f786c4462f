"""Signed records: what a signature among annotations proves, and that nobody without the key can bend it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tagflow.domain.history import Proof
from tagflow.domain.keys import Signer, parse_ssh
from tagflow.errors import StoreError
from tagflow.stores.artifact import artifact
from tagflow.trust import crypto
from tagflow.trust.envelope import RECORD, SIGNATURE, Envelope, Signature, canonical, decode_envelope, record_statement
from tagflow.trust.records import judge, sign
from tests.marks import examples
from tests.trust.keyring import agent, opened, pair, ssh_pair
from tests.trust.samples import DIGEST, RECORDED, written

KINDS = ["ecdsa-p256", "ed25519"]
ALICE, BOB = pair("alice"), pair("bob")
SIGNERS = (ALICE.signer("alice"), BOB.signer("bob"), pair("carol", "ed25519").signer("carol"))


def signed(by: str = "alice", kind: str = "ecdsa-p256", what: Mapping[str, str] = RECORDED) -> dict[str, str]:
    """A signed record."""
    return sign(what, pair(by, kind).key, pair(by, kind).sign)


def judged(record: Mapping[str, str], allowed: tuple[str, ...] = ("alice", "carol")) -> Proof:
    """What its signature proves."""
    return judge(record, SIGNERS, allowed)


def with_envelope(record: Mapping[str, str], **changes: object) -> dict[str, str]:
    """A record whose envelope says something else."""
    document = json.loads(record[SIGNATURE]) | changes
    return {**record, SIGNATURE: json.dumps(document, separators=(",", ":"))}


@pytest.mark.parametrize(("by", "kind"), [("alice", "ecdsa-p256"), ("carol", "ed25519")])
def test_good(by: str, kind: str) -> None:
    assert judged(signed(by, kind)) == Proof(signer=by)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_good_by_ssh(kind: str, tmp_path: Path) -> None:
    path = ssh_pair(tmp_path, kind)
    public = path.with_suffix(".pub")
    with agent(path) as environ:
        key = opened({**environ, "TAGFLOW_SIGN_KEY": f"ssh:{public}"})
        record = sign(RECORDED, key.public, key.sign)
    assert judge(record, [Signer("dave", parse_ssh(public.read_text()))], ["dave"]) == Proof(signer="dave")
    assert judged(record).fault == "unknown_signer"


@settings(max_examples=examples(30), deadline=None)
@given(written)
def test_whatever_it_says(what: dict[str, str]) -> None:
    record = signed(what=what)
    assert judged(record).good
    assert list(record) == sorted(record)
    assert {key: text for key, text in record.items() if key != SIGNATURE} == {
        key: text for key, text in what.items() if key != SIGNATURE
    }


def test_what_is_signed_can_be_read_by_anybody() -> None:
    payload = json.loads(decode_envelope(signed()[SIGNATURE]).payload)
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["predicateType"].endswith("/record/v1")
    promoted, rest = payload["subject"]
    assert promoted == {"name": "registry.example/shop/app", "digest": {"sha256": DIGEST.partition(":")[2]}}
    assert (rest["name"], len(rest["digest"]["sha256"])) == ("annotations", 64)


def test_a_record_of_nothing_has_one_subject() -> None:
    record = signed(what=RECORDED | {f"{RECORD}digest": ""})
    assert len(json.loads(decode_envelope(record[SIGNATURE]).payload)["subject"]) == 1
    assert judged(record).good


def test_unsigned() -> None:
    assert judged(RECORDED).fault == "unsigned"


@pytest.mark.parametrize("key", [*RECORDED, "more"])
def test_forged_where_anything_else_is_said(key: str) -> None:
    record = signed()
    assert judged({**record, key: record.get(key, "") + "x"}).fault == "forged"
    if key in record:
        assert judged({name: text for name, text in record.items() if name != key}).fault == "forged"


def test_forged_with_the_signature_of_another_record() -> None:
    other = signed(what=RECORDED | {f"{RECORD}version": "v2.0"})
    assert judged({**signed(), SIGNATURE: other[SIGNATURE]}).fault == "forged"


def test_forged_under_the_id_of_a_known_key() -> None:
    record = signed("mallory")
    fake = with_envelope(
        record, signatures=[json.loads(record[SIGNATURE])["signatures"][0] | {"keyid": ALICE.key.key_id}]
    )
    verdict = judged(fake)
    assert verdict.fault == "forged"
    assert "alice" in verdict.why


def test_unknown_signer() -> None:
    assert judged(signed("mallory")) == Proof("unknown_signer", why=judged(signed("mallory")).why)
    assert pair("mallory").key.key_id in judged(signed("mallory")).why
    assert judged(signed("bob")).fault == "unknown_signer"
    assert judged(signed("bob")).signer == "bob"


def test_two_names_of_one_key() -> None:
    signers = (Signer("old", ALICE.key), Signer("new", ALICE.key))
    assert judge(signed(), signers, ["new"]) == Proof(signer="new")


# --- a copy of a signed record with other bytes would be a second head ------------------------------------------------


def test_the_twin_of_an_ecdsa_signature_is_not_accepted() -> None:
    record = signed()
    entry = json.loads(record[SIGNATURE])["signatures"][0]
    first, second = decode_dss_signature(base64.b64decode(entry["sig"]))
    assert second <= crypto.ORDER // 2
    twin = base64.b64encode(encode_dss_signature(first, crypto.ORDER - second)).decode()
    assert judged(with_envelope(record, signatures=[entry | {"sig": twin}])).fault == "forged"


def test_an_envelope_is_accepted_in_one_spelling() -> None:
    record = signed()
    document = json.loads(record[SIGNATURE])
    spellings = [
        json.dumps(document),
        record[SIGNATURE] + " ",
        json.dumps(document | {"more": 1}, separators=(",", ":")),
        json.dumps(document | {"signatures": document["signatures"] * 2}, separators=(",", ":")),
        json.dumps(document | {"signatures": []}, separators=(",", ":")),
        json.dumps(document | {"payloadType": "application/json"}, separators=(",", ":")),
        json.dumps(document | {"payload": document["payload"].rstrip("=")}, separators=(",", ":")),
        "",
        "{}",
    ]
    for text in spellings:
        assert judged({**record, SIGNATURE: text}).fault == "forged", text


@given(st.binary(max_size=80))
def test_no_nonsense_is_a_signature(content: bytes) -> None:
    unsigned = Envelope(record_statement(RECORDED), (Signature(ALICE.key.key_id, content),))
    assert judged(RECORDED | {SIGNATURE: unsigned.text}).fault == "forged"


@given(st.integers(1, crypto.ORDER - 1), st.integers(1, crypto.ORDER - 1))
def test_der_is_what_cryptography_writes(first: int, second: int) -> None:
    assert crypto.encode_der(first, second) == encode_dss_signature(first, second)
    assert crypto.decode_der(encode_dss_signature(first, second)) == (first, second)


@given(st.binary(max_size=80))
def test_der_is_read_in_one_form(content: bytes) -> None:
    try:
        numbers = crypto.decode_der(content)
    except ValueError:
        return
    assert crypto.encode_der(*numbers) == content


def test_nothing_is_written_that_nobody_would_believe() -> None:
    with pytest.raises(StoreError) as caught:
        sign(RECORDED, ALICE.key, BOB.sign)
    assert caught.value.code == "signing.failed"


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.lists(st.text()))))
@example({"\x00\x1f\x7f\x80\u2028\ufeff": '"\\/\b\f\n\r\t'})
@example({"\U0001f600": "\U0010ffff", "\uffff": "\ue000"})
@example({"\ud800": "\udfff"})
def test_the_canonical_form_is_that_of_json(document: Mapping[str, object]) -> None:
    """By whichever library: another one has to find the same hash."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(document) == text.encode(errors="replace")


@given(st.dictionaries(st.text(), st.text()))
@example({"\x00\x1f\x7f\x80\u2028\ufeff": '"\\/\b\f\n\r\t'})
@example({"\ud800": "\udfff"})
def test_a_record_has_the_bytes_that_json_gives(annotations: Mapping[str, str]) -> None:
    """Of whichever version of tagflow: its digest is in the history."""
    content = artifact("x/y", annotations).content
    written = json.loads(content.decode())
    assert content == json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode()
    told = {name.encode(errors="replace").decode(): text for name, text in annotations.items()}
    assert list(written["annotations"]) == list(told)
