"""``Link`` and ``Location``: where a registry may send us."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.stores.registry.http import addresses

BASE = "https://registry.example:5000/v2/app/tags/list?n=2"


@pytest.mark.parametrize(
    ("header", "target"),
    [
        (None, None),
        ("", None),
        ('</v2/app/tags/list?last=b&n=2>; rel="next"', "/v2/app/tags/list?last=b&n=2"),
        ("</next>; rel=next", "/next"),
        ("</next>;REL=NEXT", "/next"),
        ('</next>;rel="prev next"', "/next"),
        ('</a>; rel="prev", </b>; rel="next"', "/b"),
        ('</a>; title="x, y; rel=\\"next\\""; rel=prev, </b>; rel=next', "/b"),
        ('</a>; rel="prev"; rel="next"', None),
        ("</a>; rel=next", "/a"),
        ("<>; rel=next", ""),
        ('<https://other.example/x>; rel="next"', "https://other.example/x"),
    ],
)
def test_next_link(header: str | None, target: str | None) -> None:
    assert addresses.next_link(header) == target


@pytest.mark.parametrize(
    "header",
    ["</a>", "/a; rel=next", "</a; rel=next", "</a>; rel", "</a>; rel=next nonsense", '</a>; rel="prev", /b; rel=next'],
)
def test_a_link_that_cannot_be_read_is_not_the_last(header: str) -> None:
    with pytest.raises(ValueError, match=r"link|brackets"):
        addresses.next_link(header)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(header: str) -> None:
    with suppress(ValueError):
        addresses.next_link(header)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>"), min_size=1, max_size=60))
def test_next_link_gives_back_what_was_written(target: str) -> None:
    assert addresses.next_link(f'<https://x/>; rel="prev"; title="a,b", <{target}>; rel="next"') == target


@pytest.mark.parametrize("hostile", ["<" * 60_000, "<a>" + ";" * 60_000, "<a>;a=" * 9_000, '<a>;rel="' + "\\" * 60_000])
def test_long_headers_take_no_time(hostile: str) -> None:
    with pytest.raises(ValueError, match=r"link|brackets"):
        addresses.next_link(hostile)


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("/v2/app/x?a=b", "https://registry.example:5000/v2/app/x?a=b"),
        ("x", "https://registry.example:5000/v2/app/tags/x"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example/x", "http://other.example/x"),
        ("", None),
        (None, None),
        ("ftp://other.example/x", None),
        ("file:///etc/passwd", None),
        ("https://user:password@other.example/x", None),
        ("https://other.example:99999/x", None),
        ("https://other.example:port/x", None),
        ("https://[::1/x", None),
        ("https:///x", "https://registry.example:5000/x"),
        ("/a b", None),
        ("/a\r\nHost: evil", None),
    ],
)
def test_resolve(location: str | None, address: str | None) -> None:
    assert addresses.resolve(BASE, location) == address


@given(st.text(max_size=100))
def test_resolve_never_raises(location: str) -> None:
    address = addresses.resolve(BASE, location)
    assert address is None or address.startswith(("http://", "https://"))


def test_an_origin_is_scheme_host_and_port() -> None:
    assert addresses.origin("https://A.example/x") == addresses.origin("https://a.example:443/y?z")
    assert addresses.origin("https://a.example/") != addresses.origin("http://a.example/")
    assert addresses.origin("https://a.example/") != addresses.origin("https://a.example:5000/")


@pytest.mark.parametrize(
    "named",
    [
        "https://Registry.test/",
        "https://registry.test:443/",
        "http://registry.test/",
        "http://registry.test:80/",
        "http://registry.test:443/",  # what distribution writes where it is told the port, and not the scheme
    ],
)
def test_a_host_by_its_usual_port_too(named: str) -> None:
    """A proxy before a registry often passes ``$host:$server_port`` on, and the registry names itself by that."""
    url = "https://registry.test/v2/app/tags/list"
    assert addresses.same_host(named, url)
    assert addresses.origin(addresses.with_scheme_of(named, url)) == addresses.origin(url)


@pytest.mark.parametrize("other", ["https://registry.test:80/", "https://registry.test:5000/", "https://other.test/"])
def test_another_port_is_another_host(other: str) -> None:
    assert not addresses.same_host(other, "https://registry.test/v2/")
    assert not addresses.same_host("https://registry.test/v2/", other)
