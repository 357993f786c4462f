"""A day of examples/regulated on a real registry: planned by CI, approved on several machines, applied, rolled back at
night, and attacked by somebody who may push and delete, and has no key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tagflow.domain.reference import digest_of
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Desk, Done
from tests.releases.regulated import bobs_key, copied
from tests.servers import RegistryServer
from tests.trust.desk import Clock
from tests.trust.keyring import pair

pytestmark = [pytest.mark.registry, pytest.mark.long]

PATHS = {"ledger": "core/ledger", "clearing": "core/clearing", "portal": "web/portal"}
LABELS = {
    "org.opencontainers.image.source": "https://git.example/it",
    "org.opencontainers.image.revision": "0123456",
    "com.bank.change": "CHG-1",
}
OCI = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Bank:
    """Desks of CI, of people and of a test machine, each with its own checkout and key."""

    folder: Path
    host: str
    prefix: str
    clock: Clock = field(default_factory=Clock)

    def run(self, who: str, *words: str, key: bool = True) -> Done:
        """Somebody types a command."""
        home = self.folder / who
        bob = bobs_key(self.folder / "id")
        if not home.exists():
            home.mkdir()
            copied(
                home,
                bob,
                **{
                    "registry.bank.example/payments": f"{self.host}/{self.prefix}",
                    "notify:\n  - webhook: https://audit.bank.example/promotions\n": "",
                },
            )
            for program in ("cosign", "trivy"):
                (home / program).write_text("#!/bin/sh\nexit 0\n")
                (home / program).chmod(0o755)
        environ = {"TAGFLOW_ACTOR": who, "PATH": f"{home}:/usr/local/bin:/usr/bin:/bin"}
        if key:
            environ |= {"TAGFLOW_SIGN_KEY": "env:SECRET", "SECRET": pair(who).private}
        if key and who == "bob":
            environ |= {"TAGFLOW_SIGN_KEY": f"ssh:{bob}.pub"}
        done = Desk(home / "regulated", self.clock.now).quickly(*words, **environ)
        assert "PRIVATE" not in done.out + done.err
        return done

    def well(self, who: str, *words: str, key: bool = True) -> Done:
        """The same; it goes well."""
        done = self.run(who, *words, key=key)
        assert done.status == 0, done.err
        return done

    def fails(self, code: str, status: int, who: str, *words: str) -> dict[str, Any]:
        """The same; it fails, and its error is returned."""
        document = self.run(who, *words, "-o", "json").document
        assert (document["error"] or {}).get("code") == code, document
        assert document["exit_code"] == status
        error: dict[str, Any] = document["error"]
        return error

    def at(self, day: int, hour: int) -> None:
        """It is that hour of a day in March."""
        self.clock.at = datetime(2026, 3, day, hour, tzinfo=UTC)

    def build(self, version: str) -> None:
        """The builds of all images are pushed under their version tag."""
        host = RegistryHost(self.host, Settings(environ={}))
        for name, path in PATHS.items():
            store = host.store(f"{self.prefix}/{path}")
            images.index(store, seed=name + version, tag=f"release-{version}", labels=LABELS)

    def brings(self, version: str) -> None:
        """CI brings a version to acceptance."""
        self.build(version)
        for environment in ("integration", "acceptance"):
            self.well("ci", "promote", version, "--to", environment)

    def runs(self) -> set[str | None]:
        """What prod runs, by its history."""
        rows = self.run("ci", "status", "prod", "-o", "json", key=False).result["images"]
        return {row["environments"][0]["version"] for row in rows}

    def problems(self, *words: str) -> set[tuple[str, str]]:
        """What verify finds, by image."""
        done = self.run("ci", "verify", "prod", *words, "-o", "json", key=False)
        findings = done.document["result"]["findings"]
        assert done.status == (5 if findings else 0)
        return {(it["image"], it["problem"]) for it in findings}


@dataclass(frozen=True)
class Attacker:
    """Has the credential of CI for the registry, and curl."""

    bank: Bank

    def ask(self, method: str, repository: str, reference: str, content: bytes = b"") -> bytes:
        """One request about a manifest."""
        url = f"http://{self.bank.host}/v2/{self.bank.prefix}/{repository}/manifests/{reference}"
        headers = {"Accept": f"{OCI}, application/vnd.oci.image.index.v1+json"}
        if content:
            headers["Content-Type"] = json.loads(content)["mediaType"]
        answer = urllib3.request(method, url, body=content or None, headers=headers)
        assert answer.status < 300, (method, url, answer.status, answer.data)
        return answer.data

    def tags(self, repository: str, prefix: str) -> list[str]:
        """The tags that begin so, in order."""
        url = f"http://{self.bank.host}/v2/{self.bank.prefix}/{repository}/tags/list"
        tags = urllib3.request("GET", url).json()["tags"]
        return sorted(tag for tag in tags if tag.startswith(prefix))

    def move(self, repository: str, tag: str, to: str) -> None:
        """Move a tag to where another one stands."""
        self.ask("PUT", repository, tag, self.ask("GET", repository, to))

    def push_record(self, repository: str, document: dict[str, Any], sequence: int) -> str:
        """Push a record under a tag that fits it."""
        content = json.dumps(document).encode()
        tag = f"_tagflow.prod.{sequence:06d}.{digest_of(content).removeprefix('sha256:')[:12]}"
        self.ask("PUT", repository, tag, content)
        return tag


@pytest.fixture
def bank(registry: RegistryServer, tmp_path: Path) -> Bank:
    """2.3.0 runs in prod; 2.4.0 has been in acceptance since Wednesday."""
    made = Bank(tmp_path, registry.host, registry.fresh("bank").path)
    made.at(2, 8)
    made.brings("2.3.0")
    made.at(4, 9)
    plan = str(tmp_path / "first.json")
    made.well("ci", "promote", "2.3.0", "--to", "prod", "--save-plan", plan, key=False)
    for who in ("qa", "alice", "carol"):
        made.well(who, "approve", plan)
    made.well("ci", "apply", plan)
    made.brings("2.4.0")
    made.at(9, 9)
    return made


def test_the_whole_day(bank: Bank) -> None:
    plan, bob, receipt = (str(bank.folder / name) for name in ("plan.json", "bob.json", "prod.json"))

    # In the morning CI saves a plan: it needs no key for that, and may not do more.
    error = bank.fails("approval.missing", 3, "ci", "promote", "2.4.0", "--to", "prod")
    assert "--save-plan" in error["hint"]
    saved = bank.well("ci", "promote", "2.4.0", "--to", "prod", "--reason", "CHG-2", "--save-plan", plan, key=False)
    assert "2 of alice, bob, carol must approve: nobody did" in saved.err
    assert "1 of qa must approve: nobody did" in saved.err
    assert bank.runs() == {"release-2.3.0"}

    # The test machine, alice at her desk, and bob, who may not push.
    assert "signs prod" in bank.well("alice", "doctor").out
    bank.well("qa", "approve", plan)
    bank.well("alice", "approve", plan)
    bank.fails("approval.missing", 3, "ci", "apply", plan)
    document = bank.well("bob", "approve", plan, "--out", bob, "-o", "json").document
    assert (document["result"]["signer"], document["result"]["missing"]) == ("bob", [])
    bank.well("ci", "apply", plan, "--approval", bob, "--receipt", receipt)
    assert bank.runs() == {"release-2.4.0"}
    assert "signed by ci" in bank.well("ci", "status", "prod", key=False).out
    assert bank.problems("--expect", receipt) == set()

    # At night carol is on call: no approval, and the line is stopped.
    bank.at(10, 2)
    bank.well("carol", "rollback", "prod", "--reason", "it leaks", "--receipt", receipt)
    bank.well("carol", "freeze", "prod", "--reason", "until we know why")
    assert bank.runs() == {"release-2.3.0"}
    assert "signed by carol" in bank.well("ci", "history", "prod", key=False).out
    bank.fails("plan.stale", 5, "ci", "apply", plan, "--approval", bob)
    bank.fails("plan.stale", 5, "alice", "approve", plan)
    assert bank.problems("--expect", receipt) == set()

    forges(bank)
    replays(bank, bob)
    truncates(bank, receipt)


def forges(bank: Bank) -> None:
    """A build of the attacker's, with all tags that it should have and a record that says so."""
    attacker = Attacker(bank)
    store = RegistryHost(bank.host, Settings(environ={})).store(f"{bank.prefix}/{PATHS['ledger']}")
    evil = images.index(store, seed="evil", tag="evil", labels=LABELS)
    history = f"{PATHS['ledger']}-history"
    newest = attacker.tags(history, "_tagflow.prod.")[-1]
    document = json.loads(attacker.ask("GET", history, newest))
    document["annotations"] |= {
        "io.tagflow.record.version": "release-9.9.9",
        "io.tagflow.record.digest": evil.digest,
        "io.tagflow.record.action": "promote",
        "io.tagflow.record.parents": f"{newest}@{digest_of(attacker.ask('GET', history, newest))}",
    }
    sequence = int(newest.split(".")[2]) + 1
    attacker.push_record(history, document, sequence)
    del document["annotations"]["io.tagflow.record.signature"]
    attacker.push_record(history, document, sequence)
    for tag in ("release-9.9.9", "prod.release-9.9.9", "prod"):
        attacker.move(PATHS["ledger"], tag, "evil")

    assert bank.problems() >= {("ledger", "record.forged"), ("ledger", "record.unsigned"), ("ledger", "drift")}
    told = bank.well("ci", "status", key=False).out
    assert "prod has records that do not count: ledger" in told
    bank.fails("version.not_found", 4, "carol", "rollback", "prod", "ledger=9.9.9")
    bank.well("carol", "rollback", "prod", "ledger", "--reason", "that was not us")
    assert bank.runs() == {"release-2.3.0"}
    assert attacker.ask("GET", PATHS["ledger"], "prod") == attacker.ask("GET", PATHS["ledger"], "release-2.3.0")


def replays(bank: Bank, bob: str) -> None:
    """Approvals of yesterday under the name of a new plan, and a record of acceptance in prod's history."""
    attacker = Attacker(bank)
    bank.well("carol", "freeze", "prod", "--lift", "--reason", "found")
    again = str(bank.folder / "again.json")
    words = ("promote", "2.4.0", "--to", "prod", "--override", "hold", "--reason", "it did not leak")
    bank.well("ci", *words, "--save-plan", again, key=False)
    plan_id = json.loads(Path(again).read_text())["id"]
    for tag in attacker.tags(PATHS["ledger"], "_tagflow.approval."):
        attacker.move(PATHS["ledger"], f"_tagflow.approval.{plan_id[:12]}.{tag[-12:]}", tag)
    bank.fails("approval.missing", 3, "ci", "apply", again)
    error = bank.fails("approval.invalid", 2, "ci", "apply", again, "--approval", bob)
    assert "another plan" in error["message"]

    history = f"{PATHS['portal']}-history"
    other = json.loads(attacker.ask("GET", history, attacker.tags(history, "_tagflow.acceptance.")[-1]))
    attacker.push_record(history, other, 999_999)
    assert ("portal", "record.forged") in bank.problems()
    assert bank.runs() == {"release-2.3.0"}


def truncates(bank: Bank, receipt: str) -> None:
    """The rollback never was: its records are deleted, and the tag is put where it stood before."""
    attacker = Attacker(bank)
    history, repository = f"{PATHS['clearing']}-history", PATHS["clearing"]
    while True:
        newest = attacker.tags(history, "_tagflow.prod.")[-1]
        content = attacker.ask("GET", history, newest)
        if json.loads(content)["annotations"]["io.tagflow.record.version"] == "release-2.4.0":
            break
        attacker.ask("DELETE", history, digest_of(content))
    attacker.move(repository, "prod", "release-2.4.0")

    assert bank.runs() == {"release-2.3.0", "release-2.4.0"}  # true, and old
    assert {problem for image, problem in bank.problems() if image == "clearing"} == set()
    found = bank.problems("--expect", receipt)
    assert ("clearing", "history.truncated") in found
    assert ("ledger", "history.truncated") not in found
