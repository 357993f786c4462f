"""Which daemon is meant: DOCKER_HOST, contexts, the usual socket."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tagflow.errors import StoreError
from tagflow.stores.docker.endpoint import DEFAULT_ADDRESS, find_endpoint


def write_context(directory: Path, name: str, endpoint: dict[str, Any]) -> Path:
    """A context as `docker context create` writes it; the directory of its TLS files."""
    identifier = hashlib.sha256(name.encode()).hexdigest()
    meta = directory / "contexts" / "meta" / identifier
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    return directory / "contexts" / "tls" / identifier / "docker"


def write_tls(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (directory / name).write_text("PEM")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A Docker configuration directory with the current context `remote`."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {}, "currentContext": "remote"}))
    write_context(tmp_path, "remote", {"Host": "tcp://build.example:2376", "SkipTLSVerify": False})
    write_context(tmp_path, "desktop", {"Host": "unix:///home/me/.docker/desktop/docker.sock"})
    return tmp_path


def test_usual_socket(tmp_path: Path) -> None:
    assert find_endpoint({"HOME": str(tmp_path)}).address == DEFAULT_ADDRESS
    assert find_endpoint({}).address == DEFAULT_ADDRESS


def test_docker_host_wins(config: Path) -> None:
    environ = {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "desktop", "DOCKER_HOST": "tcp://10.0.0.1:2375"}
    endpoint = find_endpoint(environ)
    assert (endpoint.address, endpoint.source, endpoint.tls) == ("tcp://10.0.0.1:2375", "DOCKER_HOST", None)


def test_empty_docker_host_is_none(config: Path) -> None:
    assert find_endpoint({"DOCKER_CONFIG": str(config), "DOCKER_HOST": ""}).address == "tcp://build.example:2376"


def test_current_context(config: Path) -> None:
    endpoint = find_endpoint({"DOCKER_CONFIG": str(config)})
    assert endpoint.address == "tcp://build.example:2376"
    assert "'remote'" in endpoint.source
    assert endpoint.tls is None


def test_context_of_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "home"}')
    write_context(tmp_path / ".docker", "home", {"Host": "unix:///run/home.sock"})
    assert find_endpoint({"HOME": str(tmp_path)}).address == "unix:///run/home.sock"


def test_context_of_the_environment(config: Path) -> None:
    environ = {"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "desktop"}
    assert find_endpoint(environ).address == "unix:///home/me/.docker/desktop/docker.sock"
    assert find_endpoint({**environ, "DOCKER_CONTEXT": "default"}).address == DEFAULT_ADDRESS


@pytest.mark.parametrize("skip", [True, False])
def test_tls_of_a_context(tmp_path: Path, skip: bool) -> None:
    directory = write_context(tmp_path, "safe", {"Host": "tcp://build.example:2376", "SkipTLSVerify": skip})
    write_tls(directory)
    tls = find_endpoint({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "safe"}).tls
    assert tls is not None
    assert (tls.ca, tls.cert, tls.key) == (directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    assert tls.verify is not skip


def test_tls_of_the_environment(tmp_path: Path) -> None:
    write_tls(tmp_path / "certs")
    environ = {"DOCKER_HOST": "tcp://10.0.0.1:2376", "DOCKER_CERT_PATH": str(tmp_path / "certs")}
    unverified = find_endpoint(environ).tls
    verified = find_endpoint({**environ, "DOCKER_TLS_VERIFY": "1"}).tls
    assert unverified is not None
    assert verified is not None
    assert (unverified.verify, verified.verify) == (False, True)
    assert verified.ca == tmp_path / "certs/ca.pem"


def test_tls_with_the_systems_authorities(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://10.0.0.1:2376", "DOCKER_TLS_VERIFY": "1", "HOME": str(tmp_path)}
    tls = find_endpoint(environ).tls
    assert tls is not None
    assert (tls.ca, tls.cert, tls.key, tls.verify) == (None, None, None, True)


@pytest.mark.parametrize("content", ["{", "[]", '{"currentContext": 7}', "\xff"])
def test_unreadable_configuration_is_never_taken_for_the_default(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(StoreError) as caught:
        find_endpoint({"DOCKER_CONFIG": str(tmp_path)})
    assert caught.value.code == "engine.unavailable"
    assert caught.value.hint


def test_a_configuration_that_may_not_be_read_is_never_taken_for_the_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "stat", denied)
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(StoreError, match="cannot read Docker's configuration"):
        find_endpoint({"DOCKER_CONFIG": str(config)})


def test_context_that_is_not_there(config: Path) -> None:
    with pytest.raises(StoreError) as caught:
        find_endpoint({"DOCKER_CONFIG": str(config), "DOCKER_CONTEXT": "gone"})
    assert caught.value.code == "engine.unavailable"
    assert "'gone'" in caught.value.message
