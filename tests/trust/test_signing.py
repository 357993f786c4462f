"""$TAGFLOW_SIGN_KEY: what it may name, and what is said where it cannot be used, without a word of the key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from moto import mock_aws
from moto.kms.utils import ECDSAPrivateKey

from tagflow.domain.keys import Signer, parse_ssh
from tagflow.errors import StoreError, UsageError
from tagflow.trust.crypto import missing_key, signed_by
from tagflow.trust.records import judge, sign
from tagflow.trust.signing import open_key
from tests.trust.keyring import agent, opened, pair, ssh_pair
from tests.trust.samples import RECORDED


def refuse(environ: dict[str, str], code: str = "signing.key_invalid") -> UsageError:
    """The error for a key that cannot be opened."""
    with pytest.raises(UsageError) as caught:
        open_key(environ)
    assert caught.value.code == code
    assert caught.value.exit_status == 2
    assert caught.value.hint
    for line in environ.get("KEY", "").splitlines():
        if not line.startswith("-----"):
            assert line not in caught.value.message + caught.value.hint
    return caught.value


def test_no_key() -> None:
    assert open_key({}) is None
    assert open_key({"TAGFLOW_SIGN_KEY": ""}) is None
    error = missing_key("prod")
    assert (error.code, error.exit_status) == ("signing.no_key", 2)
    assert "TAGFLOW_SIGN_KEY" in error.hint


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
def test_pem_in_a_file_and_in_a_variable(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(pair("alice", kind).private)
    for environ in (
        {"TAGFLOW_SIGN_KEY": f"file:{path}"},
        {"TAGFLOW_SIGN_KEY": "env:KEY", "KEY": pair("alice", kind).private},
        {"TAGFLOW_SIGN_KEY": "env:KEY", "KEY": pair("alice", kind).private.replace("\n", "\\n")},
    ):
        key = opened(environ)
        assert key.public == pair("alice", kind).key
        assert signed_by(key.public, b"message", key.sign(b"message"))
        assert not signed_by(key.public, b"massage", key.sign(b"message"))


def test_older_pem_of_openssl(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path],
        check=True,
        capture_output=True,
    )
    assert path.read_text().startswith("-----BEGIN EC PRIVATE KEY-----")
    key = opened({"TAGFLOW_SIGN_KEY": f"file:{path}"})
    assert signed_by(key.public, b"message", key.sign(b"message"))


def test_a_key_behind_other_blocks(tmp_path: Path) -> None:
    """As `openssl ecparam -genkey` writes it, behind the parameters of its curve; or behind its public half."""
    path = tmp_path / "key"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", path], check=True, capture_output=True
    )
    assert path.read_text().startswith("-----BEGIN EC PARAMETERS-----")
    for named in ({"TAGFLOW_SIGN_KEY": f"file:{path}"}, {"TAGFLOW_SIGN_KEY": "env:KEY", "KEY": path.read_text()}):
        key = opened(named)
        assert signed_by(key.public, b"message", key.sign(b"message"))
    both = pair("bob").public + pair("alice").private
    assert opened({"TAGFLOW_SIGN_KEY": "env:KEY", "KEY": both}).public == pair("alice").key


def test_what_is_no_key(tmp_path: Path) -> None:
    pkcs8 = (Encoding.PEM, PrivateFormat.PKCS8)
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(*pkcs8, NoEncryption()).decode()
    large = rsa.generate_private_key(65537, 2048).private_bytes(*pkcs8, NoEncryption()).decode()
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(*pkcs8, BestAvailableEncryption(b"x")).decode()
    lines = pair("alice").private.splitlines()
    torn = "\n".join([lines[0], lines[1], lines[-1]])
    ssh = ssh_pair(tmp_path)
    for text, told in (
        (other, "neither"),
        (large, "neither"),
        (locked, "encrypted"),
        (torn, "cannot be read"),
        (pair("alice").public, "no private key"),
        ("hunter2", "no private key"),
        (ssh.read_text(), "key of ssh"),
    ):
        assert told in refuse({"TAGFLOW_SIGN_KEY": "env:KEY", "KEY": text}).message
    assert "private key" in refuse({"TAGFLOW_SIGN_KEY": f"ssh:{ssh}"}).message
    assert "No such file" in refuse({"TAGFLOW_SIGN_KEY": f"file:{tmp_path}/nothing"}).message
    assert "No such file" in refuse({"TAGFLOW_SIGN_KEY": f"ssh:{tmp_path}/nothing"}).message
    assert "is not set" in refuse({"TAGFLOW_SIGN_KEY": "env:NOTHING"}).message


@pytest.mark.parametrize("named", ["hunter2", "hunter2:x", "env:-----BEGIN hunter2", "vault:hunter2"])
def test_a_key_in_the_wrong_place_is_not_told(named: str) -> None:
    error = refuse({"TAGFLOW_SIGN_KEY": named})
    assert "hunter2" not in error.message + error.hint


def test_the_agent_signs(tmp_path: Path) -> None:
    path = ssh_pair(tmp_path)
    public = path.with_suffix(".pub")
    with agent(path) as environ:
        key = opened({**environ, "TAGFLOW_SIGN_KEY": f"ssh:{public}"})
        assert signed_by(parse_ssh(public.read_text()), b"message", key.sign(b"message"))
    with pytest.raises(StoreError) as caught:
        key.sign(b"message")
    assert (caught.value.code, caught.value.exit_status) == ("signing.failed", 6)
    assert "ssh-add" in caught.value.hint


def test_an_encrypted_key_without_an_agent_asks_for_one(tmp_path: Path) -> None:
    directory = tmp_path / "my keys"
    directory.mkdir()
    path = ssh_pair(directory)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "hunter2", "-f", path], check=True)
    environ = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    # As CI runs it: at a terminal ssh-keygen asks for the passphrase.
    environ |= {"SSH_ASKPASS_REQUIRE": "never"}
    program = (
        "import os, sys; from tagflow.trust.signing import open_key\n"
        "try: open_key(dict(os.environ)).sign(b'message')\n"
        "except Exception as error: print(error.code, error.message, error.hint, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environ, "TAGFLOW_SIGN_KEY": f"ssh:{path}.pub"},
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    assert done.stdout.splitlines() == [
        "signing.failed",
        "the key of $TAGFLOW_SIGN_KEY did not sign: it is encrypted, and no ssh-agent has it",
        f"Give it to the agent: `ssh-add '{path}'`.",
    ]


def test_without_ssh_keygen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public = ssh_pair(tmp_path).with_suffix(".pub")
    key = opened({"TAGFLOW_SIGN_KEY": f"ssh:{public}", "PATH": str(tmp_path)})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="not installed"):
        key.sign(b"message")


@pytest.mark.parametrize("missing", ["cryptography", "securesystemslib"])
def test_not_installed(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    named = {"cryptography": "env:KEY", "securesystemslib": "awskms:alias/x"}[missing]
    error = refuse({"TAGFLOW_SIGN_KEY": named, "KEY": pair("alice").private}, "signing.not_installed")
    assert "pip install" in error.hint


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A stand-in for AWS KMS, by moto."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)

    def sign(self: Any, message: bytes, signing_algorithm: str) -> bytes:
        assert (len(message), signing_algorithm) == (32, "ECDSA_SHA_256")
        return bytes(self.private_key.sign(message, ec.ECDSA(Prehashed(SHA256()))))

    # moto hashes what it is given, also where that is a hash (MessageType=DIGEST).
    monkeypatch.setattr(ECDSAPrivateKey, "sign", sign)
    with mock_aws():
        import boto3

        yield boto3.client("kms")


def test_a_key_in_aws_kms(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = aws.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
    key = opened({**os.environ, "TAGFLOW_SIGN_KEY": f"awskms:{made}"})
    assert (key.public.form, key.public.algorithm) == ("pem", "ecdsa-p256")
    record = sign(RECORDED, key.public, key.sign)
    assert judge(record, [Signer("kms", key.public)], ["kms"]).good

    def denied(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "Sign")

    monkeypatch.setattr("securesystemslib.signer.AWSSigner.sign", denied)
    with pytest.raises(StoreError) as caught:
        key.sign(b"message")
    assert caught.value.code == "signing.failed"


def test_what_is_no_key_in_aws_kms(aws: Any) -> None:
    large = aws.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    assert "neither" in refuse({"TAGFLOW_SIGN_KEY": f"awskms:{large}"}).message
    assert "awskms" in refuse({"TAGFLOW_SIGN_KEY": "awskms:alias/nothing"}).message


@pytest.mark.parametrize("named", ["gcpkms:projects/x", "azurekms://x.vault.azure.net/keys/y/z", "hv:x", "hsm:2"])
def test_what_the_others_need(named: str) -> None:
    """Their libraries are not among what the tests install: the refusal names them."""
    error = refuse({"TAGFLOW_SIGN_KEY": named}, "signing.not_installed")
    assert "securesystemslib[" in error.hint
