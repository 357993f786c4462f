"""Options that take a time: what they take can be read again, and what they refuse is refused before a write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.cli.runner import Desk

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def running(desk: Desk) -> Desk:
    """v1.0 runs in dev, at noon."""
    at_noon = Desk(desk.path, lambda: NOW)
    at_noon.through("v1.0", "dev")
    return at_noon


@pytest.mark.parametrize(
    "words",
    [
        ["freeze", "dev", "--reason", "stop", "--until"],
        ["history", "dev", "--since"],
        ["status", "--at"],
        ["stats", "dev", "--since"],
    ],
)
@pytest.mark.parametrize("text", ["9999-12-31", "9000-01-01T00:00:00Z", "0001-01-01", "9999-12-31T23:59:59-14:00"])
def test_a_year_that_no_record_may_name_is_refused(running: Desk, words: list[str], text: str) -> None:
    before = running.files()
    document = running.json(*words, text)
    assert (document["error"]["code"], document["exit_code"]) == ("time.invalid", 2)
    assert running.files() == before


def test_the_last_year_can_be_written_and_read(running: Desk) -> None:
    running.act("freeze", "dev", "--reason", "stop", "--until", "8999-12-31T23:59:59Z")
    assert running.json("history", "dev")["result"]["entries"][0]["action"] == "freeze"
    running.act("freeze", "dev", "--lift", "--reason", "go on")


@pytest.mark.parametrize(
    "text", ["2020-01-01", "0s", "2026-11-26", "2026-11-26T12:00:00Z", "2026-11-26T13:00:00+02:00"]
)
def test_a_freeze_ends_at_a_time_to_come(running: Desk, text: str) -> None:
    before = running.files()
    document = running.json("freeze", "dev", "--reason", "stop", "--until", text)
    assert (document["error"]["code"], document["exit_code"]) == ("time.invalid", 2)
    assert "not to come" in document["error"]["message"]
    assert running.files() == before


@pytest.mark.parametrize("text", ["1s", "2026-11-27", "2026-11-26T12:00:01Z"])
def test_a_freeze_may_end_soon(running: Desk, text: str) -> None:
    running.act("freeze", "dev", "--reason", "stop", "--until", text)
