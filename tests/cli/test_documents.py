"""The JSON documents: exactly these keys."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from tests.cli.runner import Desk

RELEASE = {"environment", "release", "applied", "compensated", "gates", "plan", "changes"}
MOVE = {"image", "repository", "tag", "kind", "action", "from", "to"}
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tagflow"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check_release(result: dict[str, object]) -> None:
    assert set(result) == RELEASE
    plan = result["plan"]
    assert isinstance(plan, dict)
    assert set(plan) == {"id", "moves"}
    assert re.fullmatch("[0-9a-f]{64}", plan["id"])
    for move in plan["moves"]:
        assert set(move) == MOVE
        assert move["kind"] in ("version", "combined", "environment", "floating", "pin", "record")
        assert move["action"] in ("create", "move", "keep")
        assert move["from"] is None or DIGEST.fullmatch(move["from"])
        assert DIGEST.fullmatch(move["to"])
        assert (move["action"] == "create") == (move["from"] is None)
        assert (move["action"] == "keep") == (move["from"] == move["to"])


class TestRelease:
    def test_promote(self, desk: Desk) -> None:
        built = desk.build("v1.0")
        document = desk.json("promote", "v1.0", "--to", "dev")
        assert document["command"] == "promote"
        result = document["result"]
        check_release(result)
        assert (result["environment"], result["applied"], result["compensated"]) == ("dev", True, False)
        assert isinstance(result["release"], str)
        moves = {(it["image"], it["tag"]): it for it in result["plan"]["moves"]}
        assert moves["frontend", "dev"]["kind"] == "environment"
        assert moves["frontend", "dev"]["to"] == built["frontend"]
        assert moves["frontend", "v1.0"]["action"] == "keep"

    def test_dry_run(self, desk: Desk) -> None:
        desk.build("v1.0")
        before = desk.files()
        result = desk.json("promote", "v1.0", "--to", "dev", "--dry-run")["result"]
        check_release(result)
        assert result["applied"] is False
        assert desk.files() == before

    def test_a_refusal_shows_what_was_planned(self, desk: Desk) -> None:
        desk.write("version: 1\nregistry: oci:registry\nimages: {frontend: frontend, backend: back_end}\n"
                   "environments: {dev: {}, prod: {soak: 1h, gates: [{name: g, run: 'true'}]}}\n")  # fmt: skip
        desk.through("v1.0", "dev")
        document = desk.json("promote", "v1.0", "--to", "prod")
        assert document["error"]["code"] == "promotion.soak"
        check_release(document["result"])
        assert document["result"]["applied"] is False
        assert {it["code"] for it in document["error"]["details"]} == {"promotion.soak"}

    def test_gates(self, desk: Desk) -> None:
        desk.write("version: 1\nregistry: oci:registry\nimages: {frontend: frontend, backend: back_end}\n"
                   "environments: {dev: {}, prod: {gates: [{name: yes-man, run: 'true'}]}}\n")  # fmt: skip
        desk.through("v1.0", "dev")
        gates = desk.json("promote", "v1.0", "--to", "prod")["result"]["gates"]
        assert [set(gate) for gate in gates] == [{"image", "gate", "passed", "detail"}] * 2
        assert all(gate["passed"] is True for gate in gates)

    def test_a_failing_gate(self, desk: Desk) -> None:
        desk.write("version: 1\nregistry: oci:registry\nimages: {frontend: frontend}\n"
                   "environments: {dev: {}, prod: {gates: [{name: scan, run: 'false'}]}}\n")  # fmt: skip
        desk.build("v1.0", "frontend")
        assert desk.quickly("promote", "v1.0", "--to", "dev").status == 0
        document = desk.json("promote", "v1.0", "--to", "prod")
        assert (document["exit_code"], document["error"]["code"]) == (3, "promotion.gate")
        assert document["result"]["gates"][0]["passed"] is False

    def test_rollback_and_push(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        desk.through("v1.1", "dev")
        document = desk.json("rollback", "dev", "--reason", "slow")
        assert document["command"] == "rollback"
        check_release(document["result"])
        document = desk.json("push", "v1.2", f"frontend=oci:{desk.path}/registry/frontend:v1.1")
        assert document["command"] == "push"
        check_release(document["result"])

    def test_apply(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        document = desk.json("promote", "v1.0", "--to", "test", "--save-plan", "plan.json")
        check_release(document["result"])
        assert document["result"]["applied"] is False
        assert desk.tag("frontend", "test") is None
        document = desk.json("apply", "plan.json")
        assert document["command"] == "apply"
        check_release(document["result"])
        assert document["result"]["applied"] is True
        assert desk.tag("frontend", "test") == desk.tag("frontend", "v1.0")
        assert desk.json("apply", "plan.json")["error"]["code"] == "plan.stale"


class TestStatus:
    def test_status(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        desk.through("v1.1", "dev")
        desk.quickly("rollback", "dev")
        result = desk.json("status")["result"]
        assert set(result) == {"images"}
        assert [row["image"] for row in result["images"]] == ["frontend", "backend"]
        for row in result["images"]:
            assert set(row) == {"image", "environments"}
            assert [cell["environment"] for cell in row["environments"]] == ["dev", "test", "prod"]
            for cell in row["environments"]:
                assert set(cell) == {"environment", "version", "digest", "since", "by", "state", "holds", "frozen"}
        dev, test = result["images"][0]["environments"][:2]
        assert (dev["version"], dev["by"], dev["state"], dev["holds"]) == ("v1.0", "ann", "recorded", ["v1.1"])
        assert DIGEST.fullmatch(dev["digest"])
        assert MOMENT.fullmatch(dev["since"])
        assert (test["version"], test["digest"], test["since"], test["state"], test["holds"]) == (
            None, None, None, "empty", [],
        )  # fmt: skip

    def test_a_digest_is_named_by_its_first_digits(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        digits = str(desk.tag("frontend", "dev")).removeprefix("sha256:")
        for name in (digits, f"sha256:{digits}", digits[:12], f"sha256:{digits[:7]}"):
            (found,) = desk.json("status", name)["result"]["images"]
            assert (found["image"], len(found["environments"])) == ("frontend", 1)
        for name in (digits[:6], "sha256:nothing", f"{digits}0"):
            assert desk.json("status", name)["error"]["code"] == "status.unknown"

    def test_of_an_unknown_word(self, desk: Desk) -> None:
        assert desk.json("status", "prdo")["exit_code"] == 4

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["v9.9"], "note: nothing runs v9.9"),
            (["v9.9", "abcdef0"], "note: nothing runs v9.9 or abcdef0"),
            (["prod", "v1.0"], "note: nothing in prod runs v1.0"),
            (["v9.9", "frontend", "dev"], "note: nothing of frontend in dev runs v9.9"),
            (["v1.0", "--at", "2020-01-01"], "note: nothing ran v1.0"),
        ],
    )
    def test_of_what_runs_nowhere(self, desk: Desk, words: list[str], told: str) -> None:
        """As kubectl says that it found none: an answer, and no error."""
        desk.through("v1.0", "dev")
        done = desk.quickly("status", *words)
        assert (done.status, done.out, done.err.splitlines()[-1]) == (0, "", told)
        done = desk.quickly("status", *words, "-o", "json")
        assert (done.status, done.result["images"], done.err.splitlines()[-1]) == (0, [], told)


class TestOthers:
    def test_tags(self, desk: Desk) -> None:
        result = desk.json("tags", "1.0")["result"]
        assert result["version"] == "v1.0"
        assert result["tags"][0] == {"tag": "v1.0", "kind": "version", "environment": None}
        assert {"tag": "v1.0-prod", "kind": "combined", "environment": "prod"} in result["tags"]
        assert {"tag": "prod", "kind": "environment", "environment": "prod"} in result["tags"]
        assert {"tag": "latest", "kind": "floating", "environment": "prod"} in result["tags"]
        assert len(result["tags"]) == 8

    def test_next(self, desk: Desk) -> None:
        assert desk.json("next")["result"] == {"current": None, "next": "v0.1.0"}
        desk.build("v1.0")
        assert desk.json("next", "minor")["result"] == {"current": "v1.0", "next": "v1.1"}

    def test_init(self, desk: Desk) -> None:
        (desk.path / "new").mkdir()
        result = Desk(desk.path / "new").json("init")["result"]
        assert set(result) == {"path"}
        assert result["path"].endswith("promotion.yaml")

    def test_schema(self, desk: Desk) -> None:
        document = desk.json("schema")
        assert document["ok"] is True
        assert document["result"] == json.loads(desk.quickly("schema").out)

    def test_doctor_history_verify(self, desk: Desk) -> None:
        desk.through("v1.0", "dev")
        entries = desk.json("history", "dev")["result"]
        assert set(entries) == {"environment", "entries"}
        assert set(entries["entries"][0]) == {
            "image", "sequence", "action", "version", "digest", "previous_version", "previous_digest", "release",
            "actor", "reason", "overrides", "at", "record", "parents",
        }  # fmt: skip
        assert desk.json("verify")["result"] == {"findings": []}
        assert set(desk.json("doctor")["result"]) == {"registries"}


def _literal_details() -> list[dict[str, ast.expr]]:
    """Every entry of ``details`` that the code writes as a dict: its constant keys, and its code where that is one."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            parts: list[ast.AST] = []
            if isinstance(node, ast.Call):
                parts = [it.value for it in node.keywords if it.arg == "details"]
            elif isinstance(node, ast.FunctionDef) and node.name in ("differs", "_detail", "refusal"):
                parts = [node]
            for entry in (it for part in parts for it in ast.walk(part) if isinstance(it, ast.Dict)):
                pairs = zip(entry.keys, entry.values, strict=True)
                keys = {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
                found += [keys] if keys else []
    return found


def test_every_key_of_details_is_in_the_documentation() -> None:
    table = (ROOT / "docs" / "json.md").read_text().partition("## error.details")[2]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    documented = {
        code: set(re.findall(r"`([a-z_]+)`", row[1])) for row in rows for code in re.findall(r"`([a-z_.]+)`", row[0])
    }
    entries = _literal_details()
    assert len(entries) > 10
    for entry in entries:
        code, keys = entry.get("code"), set(entry)
        if isinstance(code, ast.Constant):
            assert keys == documented[str(code.value)], code.value
        else:
            assert any(keys <= told for told in documented.values()), keys
