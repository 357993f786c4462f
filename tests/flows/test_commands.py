"""Commands of the policy and what ends them: an interrupt, a signal, a name that no program can have."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from threading import Event

import pytest
from msgspec.structs import replace

from tagflow.domain.plan import Request
from tagflow.execute import commands
from tagflow.execute.commands import Command, Ended, run_command
from tagflow.execute.gates import run_gates
from tests.flows.world import World, fails

HEAD = "version: 1\nregistry: registry.test/acme\nimages: {a: a, b: b, c: c}\nenvironments:\n  dev: {}\n"


def world_of(gate: str) -> World:
    """dev, then prod with one gate; v1.0.0 of three images is in dev."""
    world = World(HEAD + f"  prod: {{gates: [{{name: scan, run: {gate}}}]}}\n")
    world.through("v1.0.0", "dev")
    return world


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_gate_that_a_signal_ended_says_so(tmp_path: Path) -> None:
    world = world_of(str(script(tmp_path / "gate", "echo half; kill -9 $$")))
    with world.unchanged(), fails("promotion.gate", 3) as caught:
        world.promote("a=v1.0.0", to="prod")
    assert "a: gate scan failed: ended by signal 9\nhalf" in caught[0].message


def test_much_output_is_cut_in_the_message_and_whole_in_the_details(tmp_path: Path) -> None:
    lines = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done; exit 1"
    world = world_of(str(script(tmp_path / "gate", lines)))
    world.become(world.text.replace("c: c", ", ".join(f"i{number}: i{number}" for number in range(9))))
    world.through("v1.0.1", "dev")
    with fails("promotion.gate", 3) as caught:
        world.promote("v1.0.1", to="prod")
    assert caught[0].message.count("exit status 1\n[…] ") == 11
    assert caught[0].message.count("line 399") == 11
    assert all("line 100\n" in str(it["message"]) for it in caught[0].details)


def test_a_gate_that_the_end_of_the_run_cuts_off_has_refused_nothing() -> None:
    world = world_of("sleep 60")
    context = replace(world.context(), deadline=0.0)
    proposed = world.propose_promote("v1.0.0", to="prod").decision.entering
    with fails("run.timeout", 6):
        run_gates(context, Request("promote", "prod", ("v1.0.0",)), proposed)


def test_an_interrupt_ends_the_gates_that_run_and_begins_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of("'true'")
    context = world.context()
    proposed = world.propose_promote("v1.0.0", to="prod").decision.entering
    begun: list[str] = []

    def played(command: Command, *, stop: Event, **_: object) -> Ended:
        begun.append(command.environ["TAGFLOW_IMAGE"])
        if len(begun) == 1:
            raise KeyboardInterrupt
        assert stop.wait(60), "nobody told it to stop"
        return Ended(None, "", 1.0)

    monkeypatch.setattr(commands, "run_command", played)
    with pytest.raises(KeyboardInterrupt):
        run_gates(context, Request("promote", "prod", ("v1.0.0",)), proposed)
    assert begun in (["a"], ["a", "b"]), "the third waited for the second, which was told to stop"


class Interrupt(Event):
    """Ctrl-C, as soon as a command has written a file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def is_set(self) -> bool:
        if self._file.exists():
            raise KeyboardInterrupt
        return False


def test_an_interrupt_leaves_nothing_of_a_command(tmp_path: Path) -> None:
    program = script(tmp_path / "slow", f"echo $$ > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/pid; exec sleep 600")
    command = Command((str(program),), {"PATH": os.environ["PATH"]})
    with pytest.raises(KeyboardInterrupt):
        run_command(command, seconds=60, keep=10, stop=Interrupt(tmp_path / "pid"))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_what_no_program_can_be_given_cannot_start() -> None:
    with pytest.raises(OSError, match="null byte"):
        run_command(Command(("true", "a\0b"), {}), seconds=1, keep=10)


@pytest.mark.parametrize("name", ["./gate", "gate"])
def test_a_script_whose_interpreter_is_missing_is_not_told_as_missing(tmp_path: Path, name: str) -> None:
    """As of a script with the line ends of Windows, where the interpreter is called `sh\\r`."""
    script(tmp_path / "gate", "").write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    command = Command((name,), {"PATH": str(tmp_path)}, directory=tmp_path)
    with pytest.raises(OSError, match="the program that its first line names is not there"):
        run_command(command, seconds=60, keep=10)
    with pytest.raises(FileNotFoundError):
        run_command(replace(command, argv=(f"{name}-way",)), seconds=60, keep=10)


def test_a_command_is_not_given_the_keys_of_tagflow(tmp_path: Path) -> None:
    secret = {
        "TAGFLOW_SIGN_KEY": "env:MY_KEY",
        "MY_KEY": "private",
        "TAGFLOW_SIGN_PASSWORD": "private",
        "TAGFLOW_REGISTRY_PASSWORD": "private",
        "TAGFLOW_REGISTRY_PASSWORD_OTHER": "private",
    }
    ended = run_command(
        Command(("env",), {**secret, "PATH": os.environ["PATH"], "MINE": "public"}), seconds=60, keep=10_000
    )
    assert ended.status == 0
    assert "MINE=public" in ended.output
    assert "private" not in ended.output


@pytest.mark.filterwarnings("ignore:subprocess:ResourceWarning")
def test_what_may_not_be_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that goes on as another user, as by sudo."""
    groups: list[int] = []

    def refused(group: int, _signal: int) -> None:
        groups.append(group)
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refused)
    command = Command(("sleep", "600"), {"PATH": "/usr/bin:/bin"})
    assert run_command(command, seconds=0.1, keep=100).status is None
    os.kill(groups[0], signal.SIGKILL)  # it was there still
