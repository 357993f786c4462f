"""Servers that several test modules share: one of each kind for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proxy import FaultProxy, fault_proxy
from tests.servers import (
    PASSWORD,
    USERNAME,
    RegistryServer,
    make_certificate,
    make_htpasswd,
    running_registry,
)
from tests.tokenserver import TokenServer, token_server


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """An anonymous registry over plain HTTP that allows deletes."""
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def second_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """Another anonymous registry, which refuses deletes."""
    with running_registry(tmp_path_factory.mktemp("second-registry"), delete=False) as server:
        yield server


@pytest.fixture(scope="session")
def htpasswd_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks for Basic credentials."""
    root = tmp_path_factory.mktemp("htpasswd-registry")
    auth = {"htpasswd": {"realm": "tests", "path": str(make_htpasswd(root / "htpasswd"))}}
    with running_registry(root, auth=auth, username=USERNAME, password=PASSWORD) as server:
        yield server


@pytest.fixture(scope="session")
def tls_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry over TLS with a private authority (``.ca``)."""
    root = tmp_path_factory.mktemp("tls-registry")
    ca, cert, key = make_certificate(root / "tls")
    with running_registry(root, tls={"certificate": str(cert), "key": str(key)}, ca=ca) as server:
        yield server


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    """The token server of ``token_registry``."""
    with token_server(tmp_path_factory.mktemp("tokens")) as server:
        yield server


@pytest.fixture(scope="session")
def token_registry(tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks for Bearer tokens. Anonymous may pull, its user may push."""
    root = tmp_path_factory.mktemp("token-registry")
    auth = tokens.authentication()
    with running_registry(root, auth=auth, username=USERNAME, password=PASSWORD) as server:
        yield server


@pytest.fixture(scope="session")
def _proxied(registry: RegistryServer) -> Iterator[FaultProxy]:
    with fault_proxy(registry.host) as running:
        yield running


@pytest.fixture
def proxy(_proxied: FaultProxy) -> FaultProxy:
    """A proxy in front of ``registry``, without faults and with nothing asked yet."""
    _proxied.clear()
    return _proxied
