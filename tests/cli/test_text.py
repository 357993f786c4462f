"""Text for people fits the terminal, whatever it holds, and has colour where it is welcome."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.cli.session import Session
from tagflow.cli.text import is_fancy, pad, styled, table, width, wrap
from tagflow.errors import NotFound
from tests.cli.runner import Desk

HEADER = ["IMAGE", "ENVIRONMENT", "DIGEST", "BY", "STATE"]
ROWS = [
    ["web", "dev", "0123456789ab", "ann@example.com", "recorded"],
    ["web", "prod", "0123456789ab", "李小龙", "recorded; holds v1.0, v1.1, v1.2"],
    ["a-name-that-somebody-made-longer-than-others", "dev", "-", "ann@example.com", "empty"],
]


def shown(room: int, monkeypatch: pytest.MonkeyPatch, rows: Sequence[Sequence[str]] = ROWS) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(room))
    return table(HEADER, rows, False, spare=["DIGEST", "BY"]).splitlines()


@pytest.mark.parametrize("room", [30, 40, 60, 80, 100, 120, 200])
def test_tables_fit(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    lines = shown(room, monkeypatch)
    assert [it for it in lines if width(it) > room and not it.startswith("a-name")] == []
    told = " ".join(" ".join(lines).split())
    for part in ("web", "prod", "v1.0,", "v1.2", "empty"):
        assert part in told


def test_what_can_be_spared_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(200, monkeypatch)[0].split() == HEADER
    assert shown(100, monkeypatch)[0].split() == ["IMAGE", "ENVIRONMENT", "BY", "STATE"]
    narrow = shown(60, monkeypatch)
    assert narrow[0].split() == ["ENVIRONMENT", "DIGEST", "BY", "STATE"]
    assert narrow[1:3] == ["web", "  dev          0123456789ab  ann@example.com  recorded"]
    assert shown(30, monkeypatch)[:2] == ["  ENVIRONMENT  STATE", "web"]
    assert shown(24, monkeypatch)[:3] == ["web", "  ENVIRONMENT  dev", "  DIGEST       0123456789ab"]


def test_wide_characters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert width("李小龙") == 6
    assert width("e\u0301") == 1
    assert width(styled("ab", "bold red", True)) == 2
    assert pad("李", 4) == "李  "
    first, second = shown(200, monkeypatch)[1:3]
    assert width(first[: first.index("recorded")]) == width(second[: second.index("recorded")])


@given(st.text(alphabet=st.characters(blacklist_categories=["C", "Z", "M"]) | st.just(" ")), st.integers(2, 40))
def test_wrapping_loses_nothing(text: str, room: int) -> None:
    lines = wrap(text, room)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(width(line) <= room or "`" in line for line in lines)


def test_commands_stay_whole() -> None:
    text = "First `tagflow promote frontend=v1.3 --to staging`, then again."
    assert wrap(text, 24) == ["First", "`tagflow promote frontend=v1.3 --to staging`,", "then again."]


def test_errors_wrap_at_a_terminal_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    line = desk.quickly("status", "nowhere", COLUMNS="40").err.splitlines()[0]
    assert len(line) > 40
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stderr", shown := Tty())
    Session().fail(NotFound("status.unknown", line, hint="Say which."))
    lines = shown.getvalue().splitlines()
    assert len(lines) > 2
    assert max(width(line) for line in lines if not line.startswith("\x1b[2mmore: ")) <= 40  # an address is one word


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "at_terminal", "fancy"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colour(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], at_terminal: bool, fancy: bool) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert is_fancy(Tty() if at_terminal else io.StringIO()) == fancy


def test_colour_in_a_log_that_asks_for_it(desk: Desk) -> None:
    desk.through("v1.0", "dev")
    assert "\x1b[" in desk.quickly("status", FORCE_COLOR="1").out
    assert "\x1b[" not in desk.quickly("status").out
    assert "\x1b[" in desk.quickly("status", "nowhere", FORCE_COLOR="1").err


@pytest.mark.parametrize("room", ["40", "80"])
def test_plans_fit(desk: Desk, room: str) -> None:
    desk.build("v1.0")
    out = desk.quickly("promote", "v1.0", "--to", "dev", "--dry-run", COLUMNS=room).out
    assert max(map(width, out.splitlines())) <= int(room)
    assert "Plan: 4 to create, 0 to move, 2 to keep." in out


@pytest.mark.parametrize("command", ["history dev", "stats dev", "status", "diff v1.0 dev"])
def test_what_is_shown_fits_a_narrow_terminal(desk: Desk, command: str) -> None:
    desk.through("v1.0", "dev")
    desk.build("v1.1")
    desk.act("promote", "frontend=v1.1", "--to", "dev", "--reason", "it is time")
    out = desk.quickly(*command.split(), COLUMNS="30").out
    commands = [line for line in out.splitlines() if line.startswith("    tagflow ")]  # stay whole
    assert max(width(line) for line in out.splitlines() if line not in commands) <= 30


def test_a_plan_says_what_was_moved_by_hand(desk: Desk) -> None:
    desk.through("v1.0", "dev")
    desk.build("dev", "frontend")
    desk.build("v1.1")
    out = desk.quickly("promote", "frontend=v1.1", "--to", "dev", "--dry-run").out
    assert "frontend  unknown → v1.1 (moved by hand before; that is recorded first)" in out
