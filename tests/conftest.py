"""Servers that several test modules share: one of each kind for the whole run."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tagflow.errors import TagflowError
from tagflow.stores.layout import files
from tests.marks import examples
from tests.proxy import FaultProxy, fault_proxy
from tests.secrets import check_secrets
from tests.servers import (
    PASSWORD,
    USERNAME,
    RegistryServer,
    make_certificate,
    make_htpasswd,
    running_registry,
)
from tests.tokenserver import TokenServer, token_server

# How long an example takes depends on what else the machine does; whether the code is right does not.
settings.register_profile(
    "tagflow", max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tagflow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the properties: `make test-all` tries them again, with all of their examples."""
    for item in items:
        if isinstance(item, pytest.Function) and getattr(item.obj, "is_hypothesis_test", False):
            item.add_marker(pytest.mark.property)


def pytest_collection_finish() -> None:
    """Spare the garbage collector all that is there before the first test: going through it again and again took a
    twelfth of the time."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(scope="session", autouse=True)
def _errors_hold_no_secret() -> Iterator[None]:
    """Search each error that is made for the planted secrets."""
    made = TagflowError.__init__

    def checked(self: TagflowError, code: str, message: str, **more: Any) -> None:
        made(self, code, message, **more)
        check_secrets(message, self.hint, repr(self.details))

    TagflowError.__init__ = checked  # type: ignore[method-assign]
    yield
    TagflowError.__init__ = made  # type: ignore[method-assign]


@pytest.fixture(scope="session", autouse=True)
def _damage_is_not_waited_for() -> None:
    """Nobody else is writing into the layouts of a test: what is damaged there stays so."""
    files._PAUSES = (0.0,) * len(files._PAUSES)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Search what a test printed and logged."""
    report: Any = yield
    if report.passed:
        try:
            check_secrets(*(text for _, text in report.sections))
        except AssertionError as error:
            report.outcome, report.longrepr = "failed", str(error)
    return report
