"""Receipts: they read back, nonsense is refused, and what a history has lost is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.own_tags import RecordTag, parse_record_tag
from tagflow.domain.reference import Digest
from tagflow.errors import UsageError
from tagflow.trust.receipts import Left, Lost, Receipt, decode_receipt, encode_receipt, lost

A, B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)
HEAD = Left("app", "registry.example/app", "_tagflow.prod.000007.aaaaaaaaaaaa", A)
RECEIPT = Receipt("prod", "0123", (HEAD, Left("api", "registry.example/api", "_tagflow.prod.000002.bbbbbbbbbbbb", B)))


def tag(head: Left) -> RecordTag:
    """The tag of a head."""
    found = parse_record_tag(head.record)
    assert found is not None
    return found


HISTORY = {(head.repository, tag(head)): head.digest for head in RECEIPT.heads}


def test_it_reads_back() -> None:
    assert decode_receipt(encode_receipt(RECEIPT).encode(), "r.json") == RECEIPT


@pytest.mark.parametrize(
    "change",
    [
        {"tagflow-receipt": 2},
        {"heads": {}},
        {"heads": [1]},
        {"heads": [{"image": "app"}]},
        {"heads": [{"image": "app", "repository": "r", "record": "prod", "digest": A}]},
        {"heads": [{"image": "app", "repository": "r", "record": HEAD.record, "digest": "x"}]},
        {"environment": 1},
    ],
)
def test_what_is_none(change: dict[str, Any]) -> None:
    document = json.loads(encode_receipt(RECEIPT)) | change
    if document["heads"] == {}:
        document["heads"] = None
    with pytest.raises(UsageError) as caught:
        decode_receipt(json.dumps(document).encode(), "r.json")
    assert (caught.value.code, caught.value.exit_status) == ("receipt.invalid", 2)
    assert "r.json" in caught.value.message


@given(st.binary(max_size=40))
def test_nonsense_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match="no receipt"):
        decode_receipt(content, "r.json")


def test_nothing_is_lost() -> None:
    assert lost(RECEIPT, HISTORY, {A, B}) == []


def test_what_is_lost() -> None:
    api = RECEIPT.heads[1]
    key = (HEAD.repository, tag(HEAD))
    gone = {where: digest for where, digest in HISTORY.items() if where != key}
    assert lost(RECEIPT, gone, {A, B}) == [Lost(HEAD)]
    assert lost(RECEIPT, {**HISTORY, key: B}, {A, B}) == [Lost(HEAD, B)]
    assert lost(RECEIPT, {}, ()) == [Lost(HEAD), Lost(api)]


def test_a_record_that_does_not_count_any_more_is_lost() -> None:
    assert lost(RECEIPT, HISTORY, {B}) == [Lost(HEAD, A)]
