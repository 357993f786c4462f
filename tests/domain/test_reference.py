"""Names: tables of good and bad ones, and Docker's normalisation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.reference import (
    Registry,
    Repository,
    digest_of,
    is_digest,
    is_tag,
    parse_reference,
    parse_registry,
    short,
)
from tagflow.errors import UsageError

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize("tag", ["a", "A", "0", "_", "latest", "v1.0", "v1.0-prod", "1_2", "a..b", "a-", "x" * 128])
def test_tags(tag: str) -> None:
    assert is_tag(tag)


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a b", "a+b", "a/b", "a:b", "ä", "a\n", "x" * 129])
def test_what_is_no_tag(tag: str) -> None:
    assert not is_tag(tag)


@pytest.mark.parametrize("digest", [f"sha256:{HEX}", f"sha512:{HEX}{HEX}"])
def test_digests(digest: str) -> None:
    assert is_digest(digest)


@pytest.mark.parametrize(
    "digest",
    ["", HEX, f"sha256:{HEX[1:]}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}", f"sha1:{HEX}", f"sha256:{HEX}\n"],
)
def test_what_is_no_digest(digest: str) -> None:
    assert not is_digest(digest)


@given(st.binary())
def test_a_digest_of_bytes(content: bytes) -> None:
    digest = digest_of(content)
    assert is_digest(digest)
    assert short(digest) == digest[:19]


def test_the_short_form_of_none() -> None:
    assert short(None) == "-"


@pytest.mark.parametrize(
    ("text", "host", "namespace"),
    [
        ("docker.io/acme", "docker.io", "acme"), ("index.docker.io/acme", "docker.io", "acme"),
        ("registry-1.docker.io", "docker.io", ""), ("GHCR.io/acme", "ghcr.io", "acme"), ("localhost", "localhost", ""),
        ("localhost:5000", "localhost:5000", ""), ("127.0.0.1:5000/a/b", "127.0.0.1:5000", "a/b"),
        ("[::1]:5000/a", "[::1]:5000", "a"), ("r.test/a__b/c-d/e.f", "r.test", "a__b/c-d/e.f"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme", "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "acme"),
        ("localhost:1", "localhost:1", ""), ("localhost:65535/a", "localhost:65535", "a"),
    ],
)  # fmt: skip
def test_registries(text: str, host: str, namespace: str) -> None:
    assert parse_registry(text) == Registry(host, namespace)


@pytest.mark.parametrize(
    "text",
    ["", "/", "https://ghcr.io", "ghcr.io/", "ghcr.io//a", "ghcr.io/A", "ghcr.io/a_", "ghcr.io/a b", "-x.test/a",
     "a_b/c", "r.test:port/a", "r.test:1234567/a", "r.test:0/a", "r.test:00000", "r.test:65536/a",
     "localhost:99999/a", "[::1]:70000/a", "[::1::]/a", "[1.2.3.4]/a", "user:pass@r.test/a",
     "r.test/../a", "oci:", "oci:a\0b"],
)  # fmt: skip
def test_what_is_no_registry(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_registry(text)
    assert (caught.value.code, caught.value.exit_status) == ("reference.invalid", 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("oci:images", "oci:/srv/images"), ("oci:./images/", "oci:/srv/images"), ("oci:/data/x", "oci:/data/x"),
     ("oci:../x", "oci:/x"), ("oci:.", "oci:/srv")],
)  # fmt: skip
def test_layouts(text: str, expected: str) -> None:
    registry = parse_registry(text, base="/srv")
    assert (registry.host, registry.namespace, registry.is_layout) == (expected, "", True)
    assert registry.repository("a/b") == Repository(expected, "a/b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", "docker.io/library/nginx:latest"), ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("acme/app", "docker.io/acme/app:latest"), ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/library/nginx", "docker.io/library/nginx:latest"), ("localhost/app", "localhost/app:latest"),
        ("index.docker.io/acme/app:1", "docker.io/acme/app:1"), ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"), ("r.test/a/b/c:v1.0-prod", "r.test/a/b/c:v1.0-prod"),
        ("[::1]:5000/app:v1", "[::1]:5000/app:v1"), (f"r.test/a@sha256:{HEX}", f"r.test/a@sha256:{HEX}"),
        (f"r.test/a:v1@sha256:{HEX}", f"r.test/a@sha256:{HEX}"),
        (f"nginx@sha256:{HEX}", f"docker.io/library/nginx@sha256:{HEX}"),
    ],
)  # fmt: skip
def test_references_as_docker_reads_them(text: str, expected: str) -> None:
    assert str(parse_reference(text)) == expected
    assert parse_reference(str(parse_reference(text))) == parse_reference(text)


@pytest.mark.parametrize(
    "text",
    ["", ":", ":v1", "@", "a@", "a:", "r.test/a:", "r.test/", "r.test/A", "Nginx", "a b", "a:b c", "a@sha256:123",
     "a//b", "a/", "/a", "https://r.test/a", f"a@sha256:{HEX}@sha256:{HEX}", "a:-x", "r.test/" + "a" * 256],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.code == "reference.invalid"


@given(st.text(max_size=30))
def test_anything_is_a_reference_or_one_clear_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize("name", ["A", "", "a//b", "/a", "a/", "a:b", "a" * 256, "../a", "a___b"])
def test_what_is_no_repository(name: str) -> None:
    with pytest.raises(UsageError):
        Registry("r.test").repository(name)
