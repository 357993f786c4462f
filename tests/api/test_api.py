"""tagflow as a library: the example of docs/api.md works, and each method does what its command does."""

from __future__ import annotations

import ast
import gc
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

import tagflow
from tagflow import Conflict, NotFound, Refused, Tagflow, UsageError, errors
from tagflow.cli import documents
from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images
from tests.cli.runner import POLICY, Desk
from tests.project.source import PACKAGE, ROOT
from tests.registries.simulator import simulated_registry

PAGE = (ROOT / "docs" / "api.md").read_text()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two releases: v1.0 is in prod, v1.1 in test."""
    made = Desk(tmp_path_factory.mktemp("released"))
    made.write(POLICY)
    for name in ("frontend", "backend"):
        for version in ("v1.0", "v1.1"):
            images.index(LayoutStore(Repository(f"oci:{made.path}/build", name)), seed=name + version, tag=version)
    before = Path.cwd()
    os.chdir(made.path)
    try:
        flow = Tagflow("promotion.yaml", actor="robot", environ={})
        for version in ("v1.0", "v1.1"):
            flow.push(version, sources(version))
            flow.promote(version, to="test")
        flow.promote("v1.0", to="prod")
    finally:
        os.chdir(before)
    return made


@pytest.fixture
def desk(released: Desk, tmp_path: Path) -> Desk:
    return released.copied(tmp_path)


def sources(version: str) -> dict[str, str]:
    return {name: f"oci:build/{name}:{version}" for name in ("frontend", "backend")}


@pytest.fixture
def flow(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Tagflow:
    monkeypatch.chdir(desk.path)
    return Tagflow("promotion.yaml", actor="robot", environ={})


def running(flow: Tagflow, environment: str) -> set[str | None]:
    return {cell.version for row in flow.status(environment) for cell in row.environments}


def test_the_example_works(tmp_path: Path) -> None:
    (tmp_path / "promotion.yaml").write_bytes((ROOT / "promotion.yaml").read_bytes())
    build = [sys.executable, str(ROOT / "examples" / "demo" / "build.py"), "v1.0", "build"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("promotion.order First `tagflow promote")
    assert "create prod None → sha256:" in done.stdout
    assert re.search(r"^backend prod v1.0 sha256:[0-9a-f]{64} recorded$", done.stdout, re.M)


def test_it_moves_and_goes_back(flow: Tagflow, desk: Desk) -> None:
    assert flow.promote("v1.1", to="prod", reason="it is faster").applied
    assert running(flow, "prod") == {"v1.1"}
    flow.rollback("prod", reason="it is not")
    assert running(flow, "prod") == {"v1.0"}
    told = desk.json("history", "prod", "frontend")["result"]["entries"]
    assert [(entry["version"], entry["actor"], entry["reason"]) for entry in told][:2] == [
        ("v1.0", "robot", "it is not"),
        ("v1.1", "robot", "it is faster"),
    ]
    with pytest.raises(Refused) as refused:
        flow.promote("v1.1", to="prod")
    assert refused.value.code == "promotion.held"
    flow.promote("v1.1", to="prod", overrides=["hold"], reason="it was the network")
    assert [it.overrides for it in flow.history("prod", "backend", limit=1).entries] == [("hold",)]


def test_a_history_bears_the_keys_of_its_json(flow: Tagflow, desk: Desk) -> None:
    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return list(value) if isinstance(value, tuple) else value

    told = desk.json("history", "prod")["result"]["entries"]
    found = flow.history("prod").entries
    assert [{key: plain(getattr(it, key)) for key in told[0]} for it in found] == told
    assert {it.signer for it in found} == {None}


def test_it_looks(flow: Tagflow) -> None:
    assert flow.verify() == []
    assert flow.next_version("minor").next == "v1.2"
    assert flow.tags("1.0", "prod")[:3] == ["v1.0", "v1.0-prod", "prod"]
    assert [it.usable for it in flow.doctor()] == [True]
    assert flow.repair().left == ()


def test_it_finds_and_mends(flow: Tagflow, desk: Desk) -> None:
    index = desk.path / "registry" / "frontend" / "index.json"
    document = json.loads(index.read_text())
    name = "org.opencontainers.image.ref.name"
    document["manifests"] = [it for it in document["manifests"] if it["annotations"][name] != "v1.0-prod"]
    index.write_text(json.dumps(document))
    assert ("frontend", "anchor.missing") in [(it.image, it.problem) for it in flow.verify("prod")]
    assert flow.repair("prod").done
    assert flow.verify() == []


def test_a_dry_run_changes_nothing(flow: Tagflow) -> None:
    planned = flow.promote("v1.1", to="prod", dry_run=True)
    assert not planned.applied
    assert {move.action for move in planned.plan.moves if move.tag == "prod"} == {"move"}
    assert running(flow, "prod") == {"v1.0"}


def test_a_plan_is_saved_and_applied_once(flow: Tagflow, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    planned = flow.promote("v1.1", to="prod", save_plan=plan)
    assert running(flow, "prod") == {"v1.0"}
    assert flow.apply(plan).plan.id == planned.plan.id
    assert running(flow, "prod") == {"v1.1"}
    with pytest.raises(Conflict, match="stale"):
        flow.apply(plan)


def test_errors_are_those_of_the_commands(flow: Tagflow, desk: Desk) -> None:
    with pytest.raises(NotFound) as unknown:
        flow.promote("v9.9", to="test")
    told = desk.json("promote", "v9.9", "--to", "test")["error"]
    assert (unknown.value.code, unknown.value.message) == (told["code"], told["message"])
    with pytest.raises(UsageError):
        flow.promote(to="test")
    with pytest.raises(UsageError):
        Tagflow(desk.path / "nowhere.yaml").status()


def test_the_policy_is_found_as_on_the_command_line(flow: Tagflow, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.path / "registry")
    assert running(Tagflow(), "prod") == {"v1.0"}
    monkeypatch.chdir("/")
    found = Tagflow(environ={"TAGFLOW_POLICY": str(desk.path / "promotion.yaml")})
    assert running(found, "prod") == {"v1.0"}


def test_the_names_are_told_alike_in_all_three_places() -> None:
    """``__all__``, the imports for type checkers, and the homes."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    typed = {name.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    homes = {name: module for module, names in tagflow._HOMES.items() for name in names}
    assert typed == homes
    assert sorted([*homes, "__version__"]) == sorted(tagflow.__all__)
    assert set(tagflow.__all__) <= set(dir(tagflow))
    for name in tagflow.__all__:
        assert getattr(tagflow, name) is not None
    with pytest.raises(AttributeError):
        _ = tagflow.nothing  # type: ignore[attr-defined]


def test_importing_it_costs_nearly_nothing() -> None:
    look = "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); import tagflow"
    words = [sys.executable, "-S", "-c", f"{look}; print(*set(sys.modules) - before)", str(PACKAGE.parent)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tagflow"]


def test_the_page_names_every_method_and_class() -> None:
    methods = {name for name in vars(Tagflow) if not name.startswith("_")}
    assert set(re.findall(r"^\| `(\w+)\(", PAGE, re.M)) == methods
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|$", PAGE, re.M))
    kinds = {name for name in tagflow.__all__ if name in vars(errors)} - {"TagflowError"}
    assert {name: str(vars(errors)[name].exit_status) for name in kinds} == rows


NAMES = {"from": "before", "to": "after"}
"""Keys of the JSON that are words of Python."""


def foreign_keys(document: object, value: object, where: str = "") -> list[str]:
    """The keys of a document that a value has under no attribute of that name, down to the last."""
    if isinstance(document, list):
        return [it for one, of in zip(document, value, strict=True) for it in foreign_keys(one, of, f"{where}[]")]  # type: ignore[call-overload]
    if not isinstance(document, dict) or isinstance(value, dict):
        return []
    found = []
    for key, inner in document.items():
        name = NAMES.get(str(key), str(key))
        if hasattr(value, name):
            found += foreign_keys(inner, getattr(value, name), f"{where}.{key}")
        else:
            found.append(f"{where}.{key}")
    return found


def test_what_is_returned_bears_the_keys_of_the_json(flow: Tagflow, desk: Desk) -> None:
    outcome = flow.promote("v1.1", to="prod", dry_run=True)
    assert outcome.changes
    shown = [
        (documents.outcome(outcome), outcome),
        (documents.history(it := flow.history("prod")), it),
        (documents.diff(differing := flow.diff("test", "prod")), differing),
        (documents.stats(numbers := flow.stats("prod")), numbers),
        (documents.next_version(following := flow.next_version()), following),
        (documents.status(rows := flow.status())["images"], rows),
        (documents.doctor(found := flow.doctor())["registries"], found),
    ]
    assert [it for document, value in shown for it in foreign_keys(document, value)] == []


NOON = datetime(2026, 1, 1, 12)
MOMENTS: dict[str, Callable[[Tagflow, datetime], object]] = {
    "status_at": lambda flow, moment: flow.status_at(moment),
    "history": lambda flow, moment: flow.history("prod", since=moment),
    "stats": lambda flow, moment: flow.stats("prod", since=moment),
    "freeze": lambda flow, moment: flow.freeze("prod", reason="why", until=moment),
}
WRONG_MOMENTS = [NOON, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), NOON.date(), "2026-01-01"]
DURATIONS: dict[str, Callable[[Tagflow, float], object]] = {
    "push": lambda flow, seconds: flow.push("v1.1", sources("v1.1"), wait=seconds),
    "promote": lambda flow, seconds: flow.promote("v1.1", to="prod", wait=seconds),
    "rollback": lambda flow, seconds: flow.rollback("prod", wait=seconds),
    "timeout": lambda _, seconds: Tagflow("promotion.yaml", timeout=seconds, environ={}),
}


@pytest.mark.parametrize("moment", WRONG_MOMENTS, ids=repr)
@pytest.mark.parametrize("call", MOMENTS)
def test_a_moment_is_aware_and_within_the_years(flow: Tagflow, call: str, moment: datetime) -> None:
    with pytest.raises(UsageError) as wrong:
        MOMENTS[call](flow, moment)
    assert wrong.value.code == "time.invalid"
    assert wrong.value.hint


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -1, 1e300])
@pytest.mark.parametrize("call", DURATIONS)
def test_a_duration_is_none_that_cannot_be_added(flow: Tagflow, call: str, seconds: float) -> None:
    with pytest.raises(UsageError) as wrong:
        DURATIONS[call](flow, seconds)
    assert wrong.value.code == "duration.invalid"
    assert wrong.value.hint


@pytest.mark.parametrize("since", [timedelta.max, timedelta.min, timedelta(seconds=-1)], ids=str)
def test_statistics_go_back_no_longer_than_there_are_years(flow: Tagflow, since: timedelta) -> None:
    with pytest.raises(UsageError) as wrong:
        flow.stats("prod", since=since)
    assert wrong.value.code == "duration.invalid"


def test_moments_of_any_zone_are_taken(flow: Tagflow) -> None:
    there = datetime(1971, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    assert flow.status_at(there).at == there
    assert flow.stats("prod", since=there).since == there
    assert len(flow.history("prod", since=there).entries) == 2


Call = Callable[[Tagflow], object]
WRONG_WORDS: dict[str, tuple[Call, tuple[str, ...]]] = {
    "part": (lambda flow: flow.next_version("majr"), ("next", "majr")),  # type: ignore[arg-type]
    "empty part": (lambda flow: flow.next_version(""), ("next", "")),  # type: ignore[arg-type]
    "form": (lambda flow: flow.pin("prod", "k.yaml", form="digests"), ("pin", "prod", "k.yaml", "--form", "digests")),  # type: ignore[arg-type]
    "override": (
        lambda flow: flow.promote("v1.1", to="prod", overrides=["holds"], reason="why"),  # type: ignore[list-item]
        ("promote", "v1.1", "--to", "prod", "--override", "holds", "--reason", "why"),
    ),
    "environment": (lambda flow: flow.verify("live"), ("verify", "live")),
    "image": (lambda flow: flow.next_version(images=["web"]), ("next", "--image", "web")),
    "status": (lambda flow: flow.status("web"), ("status", "web")),
}


@pytest.mark.parametrize("word", WRONG_WORDS)
def test_an_unknown_word_is_refused_as_on_the_command_line(flow: Tagflow, desk: Desk, word: str) -> None:
    call, line = WRONG_WORDS[word]
    (desk.path / "k.yaml").write_text("image: frontend:v1.0\n")
    with pytest.raises((UsageError, NotFound)) as wrong:
        call(flow)
    told = desk.json(*line)["error"]
    assert (wrong.value.code, wrong.value.message) == (told["code"], told["message"])


def test_a_freeze_is_not_lifted_until_some_time(flow: Tagflow) -> None:
    with pytest.raises(UsageError) as wrong:
        flow.freeze("prod", reason="why", lift=True, until=datetime(2999, 1, 1, tzinfo=UTC))
    assert wrong.value.code == "usage.invalid"
    assert "--" not in wrong.value.message + wrong.value.hint


SPELT: dict[str, tuple[Call, tuple[str, ...], str]] = {
    "reason of a hold": (lambda flow: flow.hold("prod", "v1.0", reason=""), ("hold", "prod", "v1.0"), "--reason TEXT"),
    "reason of an override": (
        lambda flow: flow.promote("v1.1", to="prod", overrides=["hold"]),
        ("promote", "v1.1", "--to", "prod", "--override", "hold"),
        "--reason TEXT",
    ),
    "limit": (lambda flow: flow.history("prod", limit=0), ("history", "prod", "--limit", "0"), ""),
    "everything": (
        lambda flow: flow.promote("v1.1", to="prod", everything=True),
        ("promote", "v1.1", "--to", "prod", "--all"),
        "--all",
    ),
}


@pytest.mark.parametrize("what", SPELT)
def test_options_are_named_on_the_command_line_only(flow: Tagflow, desk: Desk, what: str) -> None:
    call, line, option = SPELT[what]
    with pytest.raises(UsageError) as wrong:
        call(flow)
    error = desk.json(*line)["error"]
    assert error["code"] == wrong.value.code
    assert "--" not in wrong.value.message + re.sub("`[^`]*`", "", wrong.value.hint)
    assert wrong.value.hint
    assert option in error["message"] + error["hint"]


def connections_to(port: int) -> int:
    """How many connections to a port of this machine are open (proc(5), ``/proc/net/tcp``)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells of its connections there")
def test_no_connection_is_left_behind(tmp_path: Path) -> None:
    """A program lives on: what its garbage collector finds some day may be too many open files by then."""
    policy = tmp_path / "promotion.yaml"
    with simulated_registry() as (_, server):
        policy.write_text(f"version: 1\nregistry: {server.host}/acme\nimages: {{app: app}}\nenvironments: {{dev: }}\n")
        flow = Tagflow(policy, environ={"HOME": str(tmp_path)})
        gc.disable()
        try:
            for _ in range(3):
                assert flow.status("dev")[0].environments[0].state == "empty"
                with pytest.raises(NotFound):
                    flow.promote("v9.9", to="dev")
            for thread in threading.enumerate():  # what was still being opened is closed as soon as it is open
                if thread.name == "tagflow-connect":
                    thread.join(30)
            assert connections_to(int(server.host.rpartition(":")[2])) == 0
        finally:
            gc.enable()


@pytest.mark.parametrize("wait", ["5m", None, [5]])
def test_what_is_no_duration_at_all(flow: Tagflow, wait: object) -> None:
    with pytest.raises(UsageError) as caught:
        flow.promote("v1.1", to="prod", wait=wait)  # type: ignore[arg-type]
    assert caught.value.code == "duration.invalid"
