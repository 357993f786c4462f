"""What a command does not need it does not import: start-up is felt in every CI step and at every Tab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.runner import POLICY, Desk, surroundings
from tests.servers import RegistryServer
from tests.trust.desk import Office

LOOK = (
    "import json, sys; from tagflow.cli.main import run; status = run(sys.argv[1:]);"
    "print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)"
)
NETWORK = {"urllib3", "http.client", "ssl", "email", "socket", "concurrent.futures", "logging"}
SIGNING = {"tagflow.trust", "cryptography", "securesystemslib", "tagflow.verbs.approvals", "tagflow.verbs.doctor"}
HEAVY = {"docker", "rich", "jsonschema", "asyncio", "pydantic", "requests", "boto3"}
CONFIG = {"yaml", "msgspec", "semver"}


def modules(directory: Path, *arguments: str, **environ: str) -> set[str]:
    """What a command has imported when it is done."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *arguments],
        cwd=directory,
        env=surroundings(directory, environ),
        capture_output=True,
        text=True,
        check=True,
    )
    status, found = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr
    return set(found)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A policy of layouts with something in them."""
    desk = Desk(tmp_path)
    desk.write(POLICY)
    desk.through("v1.0", "dev")
    return desk


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("promote", "--help")], ids=" ".join)
def test_help_reads_nothing(desk: Desk, arguments: tuple[str, ...]) -> None:
    """Where the text has to be laid out for a narrow terminal, too."""
    assert modules(desk.path, *arguments) & (CONFIG - {"msgspec"} | NETWORK | HEAVY) == set()


def test_tags_talks_to_nobody(desk: Desk) -> None:
    found = modules(desk.path, "tags", "v1.0", "--env", "prod")
    assert found & (NETWORK | HEAVY | {"zoneinfo", "secrets", "getpass"}) == set()
    assert found & {f"tagflow.domain.{name}" for name in ("history", "state", "snapshot", "next_version")} == set()
    assert found >= CONFIG


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("history", "dev"),
        ("verify",),
        ("next",),
        ("promote", "v1.0", "--to", "test"),
        ("rollback", "dev", "v1.0"),
    ],
    ids=" ".join,
)
def test_layouts_need_no_network(desk: Desk, arguments: tuple[str, ...]) -> None:
    found = modules(desk.path, *arguments)
    assert found & (HEAVY | SIGNING | {"urllib3", "ssl", "email"}) == set()
    assert "concurrent.futures" in found


def test_a_policy_with_signers_waits_for_cryptography_only_where_something_is_verified(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.build("v1.0")
    ci = office.desk("ci").path
    assert modules(ci, "tags", "v1.0") & SIGNING == set()
    assert modules(ci, "next") & SIGNING == set()
    office.well("ci", "promote", "v1.0", "--to", "dev")
    found = modules(ci, "status")
    assert {"tagflow.trust", "cryptography"} <= found
    assert "securesystemslib" not in found


def test_what_is_seldom_needed_waits(desk: Desk) -> None:
    """Gates, jitter and temporary files come in where they are needed."""
    found = modules(desk.path, "promote", "v1.0", "--to", "test")
    assert found & {"tempfile", "secrets", "random", "statistics", "tagflow.execute.commands"} == set()


@pytest.mark.registry
def test_a_registry_needs_no_checkup(registry: RegistryServer, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY.replace("oci:./registry", f"{registry.host}/{registry.fresh('imports').path}"))
    found = modules(desk.path, "status")
    assert "urllib3" in found
    assert found & {"tagflow.stores.registry.checkup", "secrets"} == set()


def test_help_is_answered_before_anything_is_built(tmp_path: Path) -> None:
    look = (
        "import json, sys; from tagflow.cli.main import main; main(['--help']); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], env=surroundings(tmp_path, {}), capture_output=True, text=True, check=True
    )
    *told, found = done.stdout.splitlines()
    assert {"typer", "dataclasses", "inspect", "tagflow.cli.process"} & set(json.loads(found)) == set()
    built = Desk(tmp_path).quickly("--help", COLUMNS="80").out
    assert "\n".join(told).rstrip() == built.rstrip()


def test_the_collector_runs_while_a_command_does(desk: Desk) -> None:
    look = (
        "import gc, sys; from tagflow.cli import wiring, process; before = wiring.context;"
        "wiring.context = lambda *a, **b: (print(gc.isenabled()), before(*a, **b))[1];"
        "process.prepare(); process.main(['tags', 'v1.0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=desk.path, env=surroundings(desk.path, {}), capture_output=True, text=True
    )
    assert done.stdout.splitlines()[0] == "True"
