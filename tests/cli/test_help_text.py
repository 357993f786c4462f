"""Help that is printed without a command being built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagflow.cli.commands import COMMANDS
from tagflow.cli.help_text import TEXTS
from tests.cli.runner import Desk


@pytest.mark.parametrize("columns", ["80", "200"])
def test_what_stands_ready_is_what_the_commands_print(tmp_path: Path, columns: str) -> None:
    desk = Desk(tmp_path)
    for name in ("", *COMMANDS):
        for option in ("--help", "-h"):
            done = desk.quickly(*filter(None, [name, option]), COLUMNS=columns)
            assert (done.status, done.out, done.err) == (0, f"{TEXTS[name]}\n", ""), name
    assert TEXTS.keys() == {"", *COMMANDS}


@pytest.mark.parametrize("columns", ["80", "60"])
def test_help_from_a_process(tmp_path: Path, columns: str) -> None:
    """In a narrow window it is laid out anew."""
    desk = Desk(tmp_path)
    done = desk.started("promote", "--help", COLUMNS=columns)
    assert (done.status, done.err) == (0, "")
    assert (done.out == f"{TEXTS['promote']}\n") == (columns == "80")
    assert done.out == desk.quickly("promote", "--help", COLUMNS=columns).out
    wrong = desk.started("promoted", "--help", COLUMNS=columns)
    assert wrong.status == 2
