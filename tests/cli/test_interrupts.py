"""Ctrl-C, SIGTERM and the end of the terminal, where nothing has been moved yet."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tagflow.cli import hints, process
from tagflow.errors import Interrupted
from tests.cli.runner import POLICY, Desk, Done, surroundings


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """prod has a gate that says when it runs, and takes its time."""
    desk = Desk(tmp_path)
    desk.write(POLICY.replace("{floating: [latest]}", '{gates: [{name: slow, run: "sh gate"}]}'))
    (tmp_path / "gate").write_text("touch runs; exec sleep 60")
    desk.through("v1.0", "dev", "test")
    return desk


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_while_a_gate_runs_the_plan_is_told(desk: Desk, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tagflow", "promote", "v1.0", "--to", "prod", "-o", "json"]
    environ = surroundings(desk.path, {})
    with subprocess.Popen(
        command, cwd=desk.path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        while not (desk.path / "runs").exists():
            assert one.poll() is None, one.stderr.read() if one.stderr else ""
            time.sleep(0.01)
        one.send_signal(number)
        out, err = one.communicate()
    done = Done(one.returncode, out, err)
    assert (done.status, done.document["error"]["code"]) == (130, "run.interrupted")
    moves = [it["tag"] for it in done.result["plan"]["moves"] if it["kind"] == "environment"]
    assert moves == ["prod", "prod"]
    assert desk.tag("frontend", "prod") is None


def test_no_hint_is_worth_a_traceback(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    """What was being imported when the signal came cannot always be imported again."""

    def interrupted(*_: object) -> int:
        raise Interrupted("run.interrupted", "interrupted: no environment or floating tag differs from before")

    def broken(*_: object) -> None:
        raise AttributeError("partially initialized module 'yaml' has no attribute 'error'")

    monkeypatch.setattr(process, "_run", interrupted)
    monkeypatch.setattr(hints, "put", broken)
    done = desk.quickly("status")
    assert done.status == 130
    assert done.err.startswith("error[run.interrupted]")
