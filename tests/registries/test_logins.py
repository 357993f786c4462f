"""What `docker login` and `skopeo login` leave behind opens the registry: the tools' own files, not ours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.daemons import Daemon, running_daemon
from tests.servers import RegistryServer, require
from tests.tokenserver import TokenServer

REGISTRIES = ("htpasswd_registry", "token_registry")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """`docker login` asks the daemon to try the password."""
    with running_daemon() as running:
        yield running


@pytest.fixture(params=REGISTRIES)
def server(request: pytest.FixtureRequest, tokens: TokenServer) -> RegistryServer:
    tokens.anonymous, tokens.refuse_push, tokens.lifetime, tokens.delay = True, False, 300, 0.0
    found: RegistryServer = request.getfixturevalue(str(request.param))
    return found


def works(server: RegistryServer, environ: dict[str, str]) -> str:
    """Push and read back; the source of the credential."""
    host = RegistryHost(server.host, Settings(environ=environ, retry=RetryPolicy(attempts=2, first=0.01)))
    try:
        store = host.store(server.fresh().path)
        assert images.image(store, tag="v1").digest == store.resolve("v1")
        return host.ping().credential
    finally:
        host.close()


@pytest.mark.engine
@pytest.mark.registry
def test_docker_login(server: RegistryServer, daemon: Daemon, tmp_path: Path) -> None:
    command = [require("docker"), "--host", daemon.host, "--config", str(tmp_path), "login", server.host]
    login(command, server)
    assert works(server, {"DOCKER_CONFIG": str(tmp_path)}) == f"{tmp_path}/config.json auths"


@pytest.mark.skopeo
@pytest.mark.registry
def test_skopeo_login(server: RegistryServer, tmp_path: Path) -> None:
    file = tmp_path / "containers/auth.json"
    command = [require("skopeo"), "login", "--tls-verify=false", "--authfile", str(file), server.host]
    login(command, server)
    assert works(server, {"HOME": "/nonexistent", "XDG_RUNTIME_DIR": str(tmp_path)}) == f"{file} auths"


def login(command: list[str], server: RegistryServer) -> None:
    given = ["--username", server.username, "--password-stdin"]
    done = subprocess.run([*command, *given], input=server.password.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
