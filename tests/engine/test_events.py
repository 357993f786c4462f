"""What the daemon says, read to the end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.stores.docker.events import LayerProgress, failing, follow, plain
from tests.engine.listener import Ledger
from tests.images import absent

DIGEST = absent("pushed")


def pushing(name: str, current: int, total: int, status: str = "Pushing") -> dict[str, Any]:
    """An event about a layer."""
    return {"status": status, "id": name, "progressDetail": {"current": current, "total": total}}


def test_another_platform_under_the_same_digest() -> None:
    """A graph driver keeps one of an index; what the daemon says of a second one tells nobody what to do."""
    error = failing("engine.pull_failed", f"pull app@{DIGEST}")(f"Cannot overwrite digest {DIGEST}")
    assert error.hint.endswith("`docker rmi NAME@DIGEST` lets go of it.")


@pytest.mark.parametrize(
    "last",
    [
        {"progressDetail": {}, "aux": {"Tag": "x", "Digest": DIGEST, "Size": 527}},
        {"status": f"x: digest: {DIGEST} size: 527"},
        {"status": f"Digest: {DIGEST}"},
    ],
)
def test_pushed_digest(last: dict[str, Any]) -> None:
    assert follow([{"status": "Preparing", "progressDetail": {}, "id": "a"}, last], Ledger()).digest == DIGEST


@pytest.mark.parametrize(
    "event",
    [
        {"errorDetail": {"message": "denied:\n  no"}, "error": "denied: no"},
        {"error": "denied: no"},
        {"errorDetail": {"code": 1, "message": "denied: no"}},
    ],
)
def test_error_counts_although_a_digest_follows(event: dict[str, Any]) -> None:
    outcome = follow([event, {"aux": {"Digest": DIGEST}}], Ledger())
    assert outcome.error == "denied: no"


def test_stream_is_read_to_its_end() -> None:
    events = iter([{"error": "first"}, {"error": "second"}, {"status": "over"}])
    assert follow(events, Ledger()).error == "first"
    assert next(events, None) is None


def test_loaded_images() -> None:
    events = [{"stream": "Loaded image: app:1\n"}, {"stream": f"Loaded image ID: {DIGEST}\n"}, {"stream": "other"}]
    assert follow(events, Ledger()).loaded == ("app:1", DIGEST)


def test_layers_that_start_over_or_overshoot() -> None:
    ledger = Ledger()
    outcome = follow(
        [
            pushing("a", 500, 1000),
            pushing("b", 10, 100, status="Downloading"),
            pushing("a", 10, 1000),
            pushing("a", 1400, 1000),
            pushing("a", 7000, 9000, status="Extracting"),
        ],
        ledger,
    )
    assert not outcome.error
    assert ledger.travelled == ledger.expected == 1100


def test_failure_does_not_pretend_to_have_arrived() -> None:
    ledger = Ledger()
    follow([pushing("a", 400, 1000), {"error": "broken pipe"}], ledger)
    assert (ledger.travelled, ledger.expected) == (400, 1000)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(["status", "id", "progressDetail", "aux", "error", "errorDetail", "stream"])
_EVENTS = st.one_of(
    st.builds(pushing, st.sampled_from("abc"), st.integers(-5, 2000), st.integers(-5, 1000)),
    st.dictionaries(_KEYS, _JSON, max_size=4),
)


@given(st.lists(_EVENTS, max_size=20))
def test_progress_never_goes_back_and_never_exceeds(events: list[dict[str, Any]]) -> None:
    ledger = Ledger()  # asserts it
    outcome = follow(events, ledger)
    if not outcome.error:
        assert ledger.travelled == ledger.expected


@given(_EVENTS)
def test_hearing_twice_is_hearing_once(event: dict[str, Any]) -> None:
    once, twice = Ledger(), Ledger()
    LayerProgress(once).hear(event)
    layers = LayerProgress(twice)
    layers.hear(event)
    layers.hear(event)
    assert (once.expected, once.travelled) == (twice.expected, twice.travelled)


def test_foreign_words_are_tamed() -> None:
    assert plain("bad\x1b[31m\r\n news\t") == "bad [31m news"
    assert len(plain("x" * 10_000)) < 1000
