"""Key blobs of ssh, byte by byte: what is not written in the one way that there is to write it is no key."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tagflow.domain.keys import from_blob, parse_ssh
from tagflow.errors import UsageError


def field(content: bytes | str) -> bytes:
    """As RFC 4251 writes a string."""
    raw = content.encode() if isinstance(content, str) else content
    return len(raw).to_bytes(4, "big") + raw


ED25519 = field("ssh-ed25519") + field(b"k" * 32)
P256 = field("ecdsa-sha2-nistp256") + field("nistp256") + field(b"\x04" + b"k" * 64)
MODULUS = b"\x00\xc0" + b"m" * 255
RSA = field("ssh-rsa") + field(b"\x01\x00\x01") + field(MODULUS)
BLOBS = {
    "a type that there is not": field("ssh-dss") + field(b"k" * 32),
    "nothing": b"",
    "cut short": ED25519[:-1],
    "more behind it": ED25519 + b"\x00",
    "another curve": P256.replace(field("nistp256"), field("nistp384")),
    "a point that is compressed": field("ecdsa-sha2-nistp256") + field("nistp256") + field(b"\x02" + b"k" * 64),
    "a point that is too short": field("ecdsa-sha2-nistp256") + field("nistp256") + field(b"\x04" + b"k" * 63),
    "too many bytes of a key": field("ssh-ed25519") + field(b"k" * 33),
    "an exponent of nothing": field("ssh-rsa") + field(b"") + field(MODULUS),
    "an exponent with a zero before it": field("ssh-rsa") + field(b"\x00\x01\x00\x01") + field(MODULUS),
    "a modulus below zero": field("ssh-rsa") + field(b"\x01\x00\x01") + field(b"\xc0" + b"m" * 255),
    "a modulus with a zero too many": field("ssh-rsa") + field(b"\x01\x00\x01") + field(b"\x00\x00" + MODULUS),
    "a security key for nothing": field("sk-ssh-ed25519@openssh.com") + field(b"k" * 32),
    "a type in another alphabet": field("ssh-é") + field(b"k" * 32),
}


def test_what_is_written_otherwise_is_no_key() -> None:
    taken = []
    for name, blob in BLOBS.items():
        try:
            from_blob(blob)
        except ValueError:
            continue
        taken.append(name)
    assert taken == []


def test_what_is_written_well_is_one() -> None:
    hardware = field("sk-ssh-ed25519@openssh.com") + field(b"k" * 32) + field("ssh:")
    assert [from_blob(blob).algorithm for blob in (ED25519, P256, RSA, hardware)] == [
        "ed25519",
        "ecdsa-p256",
        "rsa",
        "ed25519",
    ]
    assert from_blob(hardware).security_key
    assert from_blob(hardware).identity == from_blob(ED25519).identity, "the bytes of the key are the same"


def test_a_short_rsa_key_says_what_to_use() -> None:
    short = field("ssh-rsa") + field(b"\x01\x00\x01") + field(b"\x00\xc0" + b"m" * 127)
    with pytest.raises(UsageError) as caught:
        from_blob(short)
    assert "2048 bits" in caught.value.hint


def test_the_line_and_its_blob_name_one_type() -> None:
    line = f"ssh-rsa {b64encode(ED25519).decode()}"
    with pytest.raises(UsageError) as caught:
        parse_ssh(line)
    assert caught.value.code == "signing.key_invalid"
