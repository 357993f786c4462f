"""Docker Hub's rate limit: read, kept, and told before it is too late (simulated)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.stores.registry.client import RateLimit, read_rate
from tests import images
from tests.registries.fixtures import OpenBrand, connect
from tests.registries.network import Network
from tests.registries.simulator import Quirks


@pytest.mark.parametrize(
    ("limit", "remaining", "rate"),
    [
        ("100;w=21600", "76;w=21600", RateLimit(100, 76, 21600)),
        ("200 ; w = 21600", "0", RateLimit(200, 0, 21600)),
        ("100", "9", RateLimit(100, 9)),
        ("many", "9", None),
        ("", "9", None),
        ("100", "-1", None),
    ],
)
def test_headers(limit: str, remaining: str, rate: RateLimit | None) -> None:
    assert read_rate({"ratelimit-limit": limit, "ratelimit-remaining": remaining}) == rate


@given(st.text(), st.text())
def test_no_header_breaks_it(limit: str, remaining: str) -> None:
    read_rate({"ratelimit-limit": limit, "ratelimit-remaining": remaining})


@pytest.mark.parametrize(("remaining", "warnings"), [(10, 0), (9, 1), (0, 1)])
def test_a_warning_once(open_brand: OpenBrand, remaining: int, warnings: int) -> None:
    brand, told = open_brand("docker-hub"), list[str]()
    headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{remaining};w=21600"}
    brand.registry.quirks = Quirks(headers=headers)
    host = connect(brand, warn=told.append)
    store = host.store("acme/app")
    images.image(store, tag="v1")
    assert store.resolve("v1")
    assert store.resolve("v1")
    assert len(told) == warnings
    if told:
        assert told[0].startswith(f"docker.io: {remaining} of 100 pulls in 6 h left")
    host.close()


def test_a_digest_is_asked_for_by_head(open_brand: OpenBrand, internet: Network) -> None:
    """A GET counts as a pull at Docker Hub."""
    host = connect(open_brand("docker-hub"))
    store = host.store("acme/app")
    manifest = images.image(store, tag="v1")
    assert store.resolve("v1") == manifest.digest
    assert store.has(manifest.digest)
    store.move("prod", manifest, None)
    methods = {asked.method for _, asked in internet.asked if "/manifests/" in asked.path}
    assert methods == {"HEAD", "PUT"}
    host.close()
