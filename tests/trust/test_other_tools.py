"""What tagflow signs is verified by tools that others wrote, by the commands of docs/trust.md, word for word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tagflow.stores.artifact import artifact
from tagflow.trust.envelope import SIGNATURE
from tagflow.trust.records import sign
from tests.marks import LONG
from tests.project.source import ROOT
from tests.servers import require
from tests.trust.desk import Office
from tests.trust.keyring import agent, opened, pair, ssh_pair
from tests.trust.samples import RECORDED

PAGE = (ROOT / "docs" / "trust.md").read_text().partition("## Check it with other tools")[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)
SHELL = [body for kind, body in BLOCKS if kind == "sh"]
TAKE, ABOUT, P256, ED25519, SSH, APPROVAL = SHELL
PROGRAMS = {kind: body for kind, body in BLOCKS if kind in ("python", "js")}
PACKAGES = ("@sigstore/bundle@3.1.0", "@sigstore/verify@2.1.1")


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type in a block of the page; ``skopeo`` gives the record that lies in the folder."""
    for tool in ("jq", "openssl", "ssh-keygen"):
        require(tool)
    read = "skopeo() { cat given.json; }\nset -eu\nRECORD=x\n"
    return subprocess.run(["bash", "-c", read + script], cwd=folder, capture_output=True, text=True, check=False)


def written(folder: Path, annotations: Mapping[str, str], public: str = "") -> None:
    """A record, and the key of the policy, in a folder."""
    (folder / "keys").mkdir()
    (folder / "keys" / "ci.pub").write_text(public)
    (folder / "given.json").write_bytes(artifact("application/vnd.tagflow.record.v1+json", annotations).content)
    done = run(TAKE, folder)
    assert done.returncode == 0, done.stderr


def tampered(folder: Path) -> None:
    """Change what was signed by one digit."""
    message = (folder / "message").read_bytes()
    (folder / "message").write_bytes(message.replace(b"abab", b"abac", 1))


@pytest.mark.parametrize(("kind", "verify"), [("ecdsa-p256", P256), ("ed25519", ED25519)])
def test_openssl(kind: str, verify: str, tmp_path: Path) -> None:
    written(tmp_path, sign(RECORDED, pair("ci", kind).key, pair("ci", kind).sign), pair("ci", kind).public)
    assert run(ABOUT, tmp_path).returncode == 0
    assert run(verify, tmp_path).returncode == 0, run(verify, tmp_path)
    tampered(tmp_path)
    assert run(verify, tmp_path).returncode != 0


def test_the_statement_is_of_no_other_record(tmp_path: Path) -> None:
    record = sign(RECORDED, pair("ci").key, pair("ci").sign)
    written(tmp_path, record | {"io.tagflow.record.version": "v2.0"})
    assert run(ABOUT, tmp_path).returncode != 0


def test_an_approval_by_openssl(tmp_path: Path) -> None:
    office = Office(tmp_path / "office")
    office.folder.mkdir()
    office.build("v1.0")
    office.well("ci", "promote", "v1.0", "--to", "dev")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "alice.pub").write_text(pair("alice").public)
    plan, approval = tmp_path / "plan.json", tmp_path / "alice.json"
    office.well("ci", "promote", "v1.0", "--to", "prod", "--reason", 'änderung "7"', "--save-plan", str(plan))
    office.well("alice", "approve", str(plan), "--out", str(approval))
    assert run(APPROVAL, tmp_path).returncode == 0, run(APPROVAL, tmp_path)
    plan.write_text(plan.read_text().replace("v1.0", "v1.1"))
    assert run(APPROVAL, tmp_path).returncode != 0


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@LONG
def test_ssh_keygen(kind: str, tmp_path: Path) -> None:
    path = ssh_pair(tmp_path, kind)
    public = path.with_suffix(".pub")
    with agent(path) as environ:
        key = opened({**environ, "TAGFLOW_SIGN_KEY": f"ssh:{public}"})
        written(tmp_path, sign(RECORDED, key.public, key.sign))
    (tmp_path / "allowed_signers").write_text(f'alice namespaces="tagflow" {public.read_text()}')
    assert "Good" in run(SSH, tmp_path).stdout
    tampered(tmp_path)
    assert run(SSH, tmp_path).returncode != 0


@LONG
def test_securesystemslib(tmp_path: Path) -> None:
    written(tmp_path, sign(RECORDED, pair("ci").key, pair("ci").sign), pair("ci").public)
    command = [sys.executable, "-W", "ignore", "-c", PROGRAMS["python"]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert pair("ci").key.key_id in done.stdout, done.stderr
    (tmp_path / "keys" / "ci.pub").write_text(pair("mallory").public)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "VerificationError" in done.stderr


@cache
def sigstore(folder: Path) -> Path:
    """Where npm's verifier is installed."""
    command = [require("npm"), "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "node_modules"


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519"])
@LONG
def test_sigstore(kind: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    node = require("node")
    modules = sigstore(tmp_path_factory.getbasetemp() / "npm")
    written(tmp_path, sign(RECORDED, pair("ci", kind).key, pair("ci", kind).sign), pair("ci", kind).public)
    environ = {**os.environ, "NODE_PATH": str(modules)}
    command = [node, "-e", PROGRAMS["js"]]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout == "verified\n", done.stderr
    envelope = json.loads((tmp_path / "envelope.json").read_text())
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
    (tmp_path / "envelope.json").write_text(json.dumps(envelope))
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert "signature verification failed" in done.stderr


def test_the_page_shows_what_is_signed() -> None:
    whole = (ROOT / "docs" / "trust.md").read_text()
    shown, statement = (json.loads(body) for body in re.findall(r"^```json\n(.*?)^```", whole, re.M | re.S)[:2])
    envelope = json.loads(sign(RECORDED, pair("ci").key, pair("ci").sign)[SIGNATURE])
    assert {key: type(value) for key, value in envelope.items()} == {key: type(value) for key, value in shown.items()}
    assert statement.keys() == {"_type", "predicateType", "subject"}
