"""Public keys: what is read, what is refused, and when two are one."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.keys import SSH_TYPES, PublicKey, parse_pem, parse_ssh
from tagflow.errors import UsageError
from tests.trust.keyring import pair, ssh_pair

SPKI = PublicFormat.SubjectPublicKeyInfo


def refuse(read: object, text: str) -> UsageError:
    """The error for a text that is no key."""
    with pytest.raises(UsageError) as caught:
        read(text)  # type: ignore[operator]
    assert caught.value.code == "signing.key_invalid"
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_pem_reads_back(kind: str) -> None:
    key = pair("alice", kind).key
    assert (key.form, key.algorithm) == ("pem", kind)
    assert key.text == pair("alice", kind).public
    assert parse_pem(f"comment\r\n{key.text}".replace("\n", "\r\n") + "trailing") == key


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_ssh_reads_back(kind: str, tmp_path: Path) -> None:
    text = ssh_pair(tmp_path, kind).with_suffix(".pub").read_text()
    key = parse_ssh(text)
    assert key.text == " ".join(text.split()[:2])
    shown = subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=text, capture_output=True, text=True, check=True)
    assert key.key_id == shown.stdout.split()[1]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_one_key_in_two_forms_is_one_key(kind: str, tmp_path: Path) -> None:
    path = ssh_pair(tmp_path, kind).with_suffix(".pub")
    pem = subprocess.run(
        ["ssh-keygen", "-e", "-m", "pkcs8", "-f", path], capture_output=True, text=True, check=kind == "ecdsa"
    ).stdout
    if kind == "ed25519":  # ssh-keygen exports only the others
        from cryptography.hazmat.primitives.serialization import load_ssh_public_key

        pem = load_ssh_public_key(path.read_bytes()).public_bytes(Encoding.PEM, SPKI).decode()
    one, other = parse_ssh(path.read_text()), parse_pem(pem)
    assert one != other
    assert one.identity == other.identity
    assert parse_pem(pair("alice").public).identity != one.identity


def test_the_key_id_is_what_openssl_gives() -> None:
    public = pair("alice").public
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=public.encode(), capture_output=True, check=True
    ).stdout
    assert parse_pem(public).key_id == hashlib.sha256(der).hexdigest()


PARAMETERS = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def test_a_public_key_behind_other_blocks() -> None:
    assert parse_pem(PARAMETERS + pair("alice").public) == pair("alice").key
    assert "private key" in refuse(parse_pem, PARAMETERS + pair("alice").private).message
    assert "not a public key" in refuse(parse_pem, PARAMETERS).message


def test_what_is_no_public_key_in_pem() -> None:
    for text in ("", "x", "-----BEGIN PUBLIC KEY-----\n", "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n"):
        refuse(parse_pem, text)
    private = refuse(parse_pem, pair("alice").private)
    assert "private key" in private.message
    assert pair("alice").private.splitlines()[1] not in str(private) + private.hint
    other = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(Encoding.PEM, SPKI).decode()
    assert "neither ECDSA P-256 nor Ed25519" in refuse(parse_pem, other).message
    large = rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, SPKI).decode()
    refuse(parse_pem, large)
    point = load_pem_public_key(pair("alice").public.encode())
    assert isinstance(point, ec.EllipticCurvePublicKey)


def test_what_is_no_public_key_of_ssh(tmp_path: Path) -> None:
    good = ssh_pair(tmp_path).with_suffix(".pub").read_text().split()
    other = ssh_pair(tmp_path, "ecdsa").with_suffix(".pub").read_text().split()
    for text in ("", "ssh-ed25519", "ssh-ed25519 !", f"ssh-ed25519 {good[1][:-8]}", f"ssh-ed25519 {other[1]}"):
        refuse(parse_ssh, text)
    assert "ssh-dss" in refuse(parse_ssh, f"ssh-dss {good[1]}").message
    assert "private" in refuse(parse_ssh, (tmp_path / "id_ed25519").read_text()).message
    small = ssh_pair(tmp_path, "rsa", "-b", "1024").with_suffix(".pub").read_text()
    assert "too short" in refuse(parse_ssh, small).message


@given(st.sampled_from(SSH_TYPES), st.binary(max_size=80))
def test_no_nonsense_is_a_key(kind: str, content: bytes) -> None:
    from base64 import b64encode

    head = len(kind).to_bytes(4, "big") + kind.encode()
    text = f"{kind} {b64encode(head + content).decode()}"
    try:
        key = parse_ssh(text)
    except UsageError:
        return
    assert isinstance(key, PublicKey)
    assert key.text == text
