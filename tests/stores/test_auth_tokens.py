"""``WWW-Authenticate`` as registries write it, and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.stores.registry.auth.tokens import Challenge, parse_challenges

TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.!#$%&'*+^`|~", min_size=1, max_size=12)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


def test_docker_hub() -> None:
    header = (
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull"'
    )
    [challenge] = parse_challenges(header)
    assert challenge.scheme == "bearer"
    assert challenge.get("realm") == "https://auth.docker.io/token"
    assert challenge.get("service") == "registry.docker.io"
    assert challenge.get("scope") == "repository:library/nginx:pull"
    assert challenge.get("error") == ""


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("Basic", [("basic", {})]),
        ('Basic realm="a"', [("basic", {"realm": "a"})]),
        ("BASIC Realm=a", [("basic", {"realm": "a"})]),
        ('basic realm = "a b"', [("basic", {"realm": "a b"})]),
        ('Basic realm="say \\"hi\\", you"', [("basic", {"realm": 'say "hi", you'})]),
        ("Basic realm=a, Bearer realm=b,x=c", [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "x": "c"})]),
        ('Bearer scope="x:pull,y", Basic realm=b', [("bearer", {"scope": "x:pull,y"}), ("basic", {"realm": "b"})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("Negotiate YII=, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("Negotiate abc, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        (", ,Basic realm=x,,", [("basic", {"realm": "x"})]),
        ('Bearer realm="a",realm="b"', [("bearer", {"realm": "a"})]),
        ('Bearer realm="open', [("bearer", {})]),
        ("=,=", []),
        ('"quoted" Basic', []),
    ],
)  # fmt: skip
def test_grammar(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(c.scheme, dict(c.parameters)) for c in parse_challenges(header)] == expected


@given(st.text(max_size=200))
def test_never_raises(header: str) -> None:
    parse_challenges(header)


@given(st.lists(st.tuples(TOKEN, st.dictionaries(TOKEN.map(str.lower), TEXT, min_size=1, max_size=4)), max_size=4))
def test_reads_what_is_written_properly(challenges: list[tuple[str, dict[str, str]]]) -> None:
    written = ", ".join(f"{scheme} {_parameters(parameters)}" for scheme, parameters in challenges)
    assert parse_challenges(written) == [Challenge(scheme.lower(), parameters) for scheme, parameters in challenges]


def _parameters(parameters: dict[str, str]) -> str:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return ",".join(f"{name}={quoted(value)}" for name, value in parameters.items())


@pytest.mark.parametrize(
    "hostile", ["a" * 60_000, 'Basic realm="' + "\\" * 60_000, "Basic " * 10_000, "Basic" + " " * 60_000 + "x"]
)
def test_long_headers_take_no_time(hostile: str) -> None:
    parse_challenges(hostile)
