"""Ctrl-C, SIGTERM and the end of the terminal, where nothing has been moved yet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tagflow.cli import hints, main, process
from tagflow.errors import Interrupted
from tests.cli.runner import POLICY, Desk, Done, surroundings


def hearing() -> None:
    """A command that is started beside others, as by `nohup` or with `&`, is born deaf to signals."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """prod has a gate that says when it runs, and takes its time."""
    desk = Desk(tmp_path)
    desk.write(POLICY.replace("{floating: [latest]}", '{gates: [{name: slow, run: "sh gate"}]}'))
    (tmp_path / "gate").write_text("touch runs; exec sleep 60")
    desk.through("v1.0", "dev", "test")
    return desk


@pytest.mark.parametrize(
    "numbers",
    [
        [signal.SIGINT],
        [signal.SIGTERM],
        [signal.SIGHUP],
        [signal.SIGHUP, signal.SIGHUP],  # by the shell of a terminal that goes away, and by the system when that ends
    ],
)
def test_while_a_gate_runs_the_plan_is_told(desk: Desk, numbers: list[signal.Signals]) -> None:
    command = [sys.executable, "-m", "tagflow", "promote", "v1.0", "--to", "prod", "-o", "json"]
    environ = surroundings(desk.path, {})
    with subprocess.Popen(
        command,
        cwd=desk.path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hearing,
    ) as one:
        while not (desk.path / "runs").exists():
            assert one.poll() is None, one.stderr.read() if one.stderr else ""
            time.sleep(0.01)
        for number in numbers:
            one.send_signal(number)
        out, err = one.communicate()
    done = Done(one.returncode, out, err)
    assert (done.status, done.document["error"]["code"]) == (130, "run.interrupted")
    moves = [it["tag"] for it in done.result["plan"]["moves"] if it["kind"] == "environment"]
    assert moves == ["prod", "prod"]
    assert desk.tag("frontend", "prod") is None


def test_while_the_policy_comes_through_a_pipe(desk: Desk) -> None:
    """For a hint it would be read once more, and nothing comes."""
    pipe = desk.path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "tagflow", "-f", "pipe", "status"]
    with subprocess.Popen(
        command, cwd=desk.path, env=surroundings(desk.path, {}), stderr=subprocess.PIPE, text=True, preexec_fn=hearing
    ) as one:
        try:
            with pipe.open("wb"):  # as soon as it is being read
                one.send_signal(signal.SIGTERM)
                _, err = one.communicate(timeout=60)
        finally:
            one.kill()
    assert one.returncode == 130
    assert err.startswith("error[run.interrupted]")


def test_a_signal_while_the_line_is_parsed(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    """Typer makes an exit status of it, and says nothing."""
    from typer.core import TyperCommand

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TyperCommand, "make_context", interrupted)
    done = desk.quickly("status", "-o", "json")
    assert (done.status, done.document["error"]["code"]) == (130, "run.interrupted")


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("promote v1 -ojson", ("promote", "json")),
        ("-vojson promote v1", ("promote", "json")),
        ("promote -vo json v1", ("promote", "json")),
        ("-o json promote --output text", ("promote", "text")),
        ("-f json promote", ("promote", "")),
        ("-- promote -o json", ("", "")),
        ("--policy p status --output=json", ("status", "json")),
    ],
)
def test_what_an_early_interrupt_answers(line: str, asked: tuple[str, str]) -> None:
    assert main._asked_for(line.split()) == asked


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


EARLY = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == sys.argv[1] and sys.argv[2] == "raise":
            raise KeyboardInterrupt
        if name == sys.argv[1]:
            try:
                os.kill(os.getpid(), getattr(signal, sys.argv[2]))
            except KeyboardInterrupt:
                pass  # as Python itself does with what is raised in the callback of a weak reference

sys.meta_path.insert(0, Interrupts())
from tagflow.cli.main import main
main(sys.argv[3:])
"""


@pytest.mark.parametrize(
    ("module", "how"),
    [
        ("tagflow.cli.process", "raise"),
        ("tagflow.cli.session", "SIGINT"),
        ("tagflow.cli.session", "SIGTERM"),
        ("tagflow.cli.app", "raise"),
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_while_tagflow_itself_is_imported(tmp_path: Path, module: str, how: str, output: str) -> None:
    command = [sys.executable, "-c", EARLY, module, how, "-f", "x", "status", "-o", output]
    found = subprocess.run(
        command, cwd=tmp_path, env=surroundings(tmp_path, {}), capture_output=True, text=True, preexec_fn=hearing
    )
    done = Done(found.returncode, found.stdout, found.stderr)
    assert done.status == 130, done.err
    told = "interrupted: no environment or floating tag differs from before"
    assert done.err.splitlines()[0] == f"error[run.interrupted]: {told}"
    assert "Traceback" not in done.err
    if output == "text":
        assert done.out == ""
        return
    document = done.document
    assert (document["command"], document["ok"], document["exit_code"]) == ("status", False, 130)
    assert (document["error"]["code"], document["error"]["message"]) == ("run.interrupted", told)
    assert set(document) == {"tagflow", "command", "ok", "exit_code", "result", "error"}
    assert set(document["error"]) == {"code", "message", "hint", "details"}


@pytest.mark.parametrize("joined", [False, True])
def test_a_reason_is_kept_as_it_was_typed_whatever_the_locale(desk: Desk, joined: bool) -> None:
    reason = "schön \N{CHECK MARK} 漢字"
    command = [sys.executable, "-m", "tagflow", "hold", "test", "1.0"]
    command += [f"--reason={reason}"] if joined else ["--reason", reason]
    environ = surroundings(desk.path, {"TAGFLOW_ACTOR": "José"})
    environ |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = subprocess.run(command, cwd=desk.path, env=environ, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    entry = desk.quickly("history", "test", "--limit", "1", "-o", "json").result["entries"][0]
    assert (entry["reason"], entry["actor"]) == (reason, "José")


def test_no_waiting_is_written_as_a_plain_zero(desk: Desk) -> None:
    assert desk.quickly("rollback", "test", "v1.0", "--wait", "0").status == 0
    assert desk.quickly("rollback", "test", "v1.0", "--wait", "5").status == 2
