"""A test whose server is missing is skipped by name; where CI demands the servers, it fails."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.servers import require

TESTS = Path(__file__).resolve().parents[1]
MAY_SKIP = {"servers.py", "daemons.py", "project/test_demo.py"}


def test_skips_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGFLOW_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server"):
        require("no-such-server")


def test_fails_where_servers_are_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGFLOW_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-server"):
        require("no-such-server")


def test_nothing_else_skips() -> None:
    """`pytest.skip` stands only where TAGFLOW_REQUIRE_SERVERS is asked first."""
    for path in TESTS.rglob("*.py"):
        calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
        assert "pytest.skip" not in calls or path.relative_to(TESTS).as_posix() in MAY_SKIP, path
