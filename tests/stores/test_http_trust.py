"""Which hosts are this machine, which must never be called, and which way leads to a host."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.errors import StoreError
from tagflow.stores.registry.http.addresses import is_forbidden, is_loopback, proxy_for, tls_context
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.http.transport import Request, Transport
from tests.servers import make_certificate, server_context
from tests.standin import Say, standin

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "::1", "[::1]"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.example", "10.0.0.1", "example.com", "128.0.0.1", "::2", "registry"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "168.63.129.16",
        "::ffff:168.63.129.16",
        "::ffff:169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "169.254.43518",
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "100.100.100.200",
        "0.0.0.0",
    ],
)
def test_forbidden(host: str) -> None:
    assert is_forbidden(host)


@pytest.mark.parametrize("host", ["auth.docker.io", "10.1.2.3", "127.0.0.1", "::1", "fd00::1", "169.253.1.1"])
def test_not_forbidden(host: str) -> None:
    assert not is_forbidden(host)


@given(st.text(max_size=40))
def test_any_name_is_judged(host: str) -> None:
    is_loopback(host)
    is_forbidden(host)


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({}, "https://r.example/", None),
        ({"https_proxy": PROXY}, "https://r.example/", PROXY),
        ({"HTTPS_PROXY": PROXY}, "https://r.example/", PROXY),
        ({"HTTPS_PROXY": "http://upper", "https_proxy": PROXY}, "https://r.example/", PROXY),
        ({"https_proxy": "proxy.example:3128"}, "https://r.example/", PROXY),
        ({"http_proxy": PROXY}, "https://r.example/", None),
        ({"all_proxy": PROXY}, "https://r.example/", PROXY),
        ({"https_proxy": PROXY}, "https://127.0.0.1:5000/", None),
        ({"https_proxy": PROXY}, "https://localhost/", None),
        ({"https_proxy": PROXY, "no_proxy": "*"}, "https://r.example/", None),
        ({"https_proxy": PROXY, "no_proxy": "r.example"}, "https://r.example/", None),
        ({"https_proxy": PROXY, "NO_PROXY": "a, .example"}, "https://r.example/", None),
        ({"https_proxy": PROXY, "no_proxy": "*.example"}, "https://R.example/", None),
        ({"https_proxy": PROXY, "no_proxy": "xr.example"}, "https://r.example/", PROXY),
        ({"https_proxy": PROXY, "no_proxy": "example"}, "https://notexample/", PROXY),
        ({"https_proxy": PROXY, "no_proxy": "r.example:5000"}, "https://r.example:5000/", None),
        ({"https_proxy": PROXY, "no_proxy": "r.example:5000"}, "https://r.example/", PROXY),
        ({"https_proxy": PROXY, "no_proxy": "r.example:443"}, "https://r.example/", None),
        ({"http_proxy": PROXY, "no_proxy": "r.example:80"}, "http://r.example/", None),
        ({"https_proxy": PROXY, "no_proxy": "r.example:80"}, "https://r.example/", PROXY),
        ({"https_proxy": PROXY, "no_proxy": ".example:5000"}, "https://r.example:5000/", None),
        ({"https_proxy": PROXY, "no_proxy": "*.example:5000"}, "https://r.example:5001/", PROXY),
        ({"https_proxy": PROXY, "no_proxy": "[fd00::5]:5000"}, "https://[fd00::5]:5000/", None),
        ({"https_proxy": PROXY, "no_proxy": "[fd00::5]:5000"}, "https://[fd00::5]/", PROXY),
        ({"https_proxy": PROXY, "no_proxy": "[fd00::5]"}, "https://[fd00::5]:5000/", None),
        ({"https_proxy": PROXY, "no_proxy": "fd00::5"}, "https://[fd00::5]:5000/", None),
        ({"https_proxy": PROXY, "no_proxy": "r.example"}, "https://r.example:5000/", None),
        ({"https_proxy": PROXY, "no_proxy": ":5000"}, "https://r.example:5000/", PROXY),
        ({"https_proxy": PROXY, "no_proxy": "10.0.0.0/8"}, "https://10.1.2.3/", None),
        ({"https_proxy": PROXY, "no_proxy": "10.0.0.0/8,bad/99"}, "https://11.1.2.3/", PROXY),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://r.example/", None),
    ],
)
def test_proxy_for(environ: dict[str, str], url: str, expected: str | None) -> None:
    assert proxy_for(urlsplit(url), environ) == expected


def test_a_socks_proxy_is_refused() -> None:
    with pytest.raises(StoreError) as caught:
        proxy_for(urlsplit("https://r.example/"), {"all_proxy": "socks5://p.example"})
    assert caught.value.code == "proxy.unsupported"


@pytest.mark.parametrize(
    "address", ["http://u:s3cret@p.example:99999", "http://u:s3cret@[::1", "http://", "p.example:x"]
)
def test_a_proxy_without_an_address_is_not_taken_for_a_registry(address: str) -> None:
    with pytest.raises(StoreError, match=r"the proxy for r\.example is no address") as caught:
        proxy_for(urlsplit("https://r.example/"), {"https_proxy": address})
    assert caught.value.code == "proxy.unsupported"
    assert "s3cret" not in caught.value.message + caught.value.hint


def test_broken_certificates_are_named(tmp_path: Path) -> None:
    directory = tmp_path / ".docker/certs.d/r.example"
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_text("not a certificate")
    with pytest.raises(StoreError, match=r"ca\.crt") as caught:
        tls_context("r.example", {"HOME": str(tmp_path)})
    assert caught.value.code == "registry.untrusted"
    with pytest.raises(StoreError, match="SSL_CERT_FILE"):
        tls_context("other.example", {"SSL_CERT_FILE": str(tmp_path / "absent.pem")})


@pytest.mark.parametrize(
    ("names", "days", "said", "hint"),
    [
        ((), -1, "or one that vouches for it, has expired", "clock"),
        (("registry.example",), 2, "is for another name", "name"),
    ],
    ids=["expired", "for another name"],
)
def test_why_a_certificate_is_not_trusted(
    tmp_path: Path, names: tuple[str, ...], days: int, said: str, hint: str
) -> None:
    """Its authority is known: to put it somewhere would help nobody."""
    authority, certificate, key = make_certificate(tmp_path, *names, days=days)
    with standin(lambda _: Say(), tls=server_context(certificate, key)) as server:
        http = Transport(Settings(environ={"SSL_CERT_FILE": str(authority)}))
        with pytest.raises(StoreError) as caught:
            http.send(Request("GET", f"https://{server.host}/v2/"))
        http.close()
    assert (caught.value.code, said in caught.value.message) == ("registry.untrusted", True)
    assert hint in caught.value.hint
    assert "ca.crt" not in caught.value.hint
