"""Envelopes: what is signed, and that reading takes nonsense for nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tagflow.trust.envelope import Envelope, Signature, decode_envelope, encode_message

envelopes = st.builds(
    Envelope,
    st.binary(max_size=200),
    st.lists(st.builds(Signature, st.text(max_size=20), st.binary(max_size=80)), max_size=3).map(tuple),
    st.text(max_size=30),
)


def test_the_example_of_the_specification() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, "Test Vectors"
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert encode_message("http://example.com/HelloWorld", b"hello world") == expected


def test_lengths_are_of_bytes() -> None:
    assert encode_message("é", "ü".encode()) == "DSSEv1 2 é 2 ü".encode()


@given(envelopes)
def test_it_reads_back(envelope: Envelope) -> None:
    assert decode_envelope(envelope.text) == envelope
    assert decode_envelope(envelope.text).text == envelope.text


@given(st.text(max_size=60))
@example("[" * 100_000)
@example('{"payload": "", "payloadType": "x", "signatures": [1]}')
@example('{"payload": "\u00e9", "payloadType": "x", "signatures": []}')
@example('{"payload": "!", "payloadType": "x", "signatures": []}')
@example('{"payload": "", "payloadType": 1, "signatures": []}')
@example('{"payload": "", "payloadType": "x", "signatures": {}}')
@example('{"payload": "", "payloadType": "x", "signatures": [{"keyid": 1, "sig": ""}]}')
@example(json.dumps({"payload": "A" * 400_000, "payloadType": "x", "signatures": []}))
def test_nonsense_is_no_envelope(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode_envelope(text)


def test_a_signature_needs_no_key_id() -> None:
    found = decode_envelope('{"payload":"","payloadType":"x","signatures":[{"sig":"AA=="}]}')
    assert found.signatures == (Signature("", b"\0"),)
