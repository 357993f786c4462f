"""The line to a daemon: absent, forbidden, silent, broken; and what the SDK must not do by itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores import port
from tagflow.stores.docker import sdk
from tagflow.stores.docker.engine import Engine, sdk_auth
from tagflow.stores.port import Silence
from tagflow.stores.registry.auth.credentials import Credential
from tests.daemons import Daemon


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a name that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        yield Path(name)


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[dict[str, str]]:
    """A socket that gives every request the same answer and hangs up; without one, it keeps silent."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                if connection.recv(65536) and answer:
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield {"DOCKER_HOST": f"unix://{path}", "HOME": "/nonexistent"}
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def failure_of(environ: dict[str, str], deadline: float | None = None) -> StoreError:
    """What `image_id` comes to."""
    with Engine(environ, deadline=deadline) as engine, pytest.raises(StoreError) as caught:
        engine.image_id("app:1")
    return caught.value


def test_no_daemon(short: Path) -> None:
    error = failure_of({"DOCKER_HOST": f"unix://{short}/none.sock"})
    assert error.code == "engine.unavailable"
    assert "no such file or directory" in error.message
    assert "from DOCKER_HOST" in error.message
    assert "dockerd" in error.hint
    assert "DOCKER_HOST" in error.hint


def test_nobody_listens() -> None:
    error = failure_of({"DOCKER_HOST": "tcp://127.0.0.1:9"})
    assert error.code == "engine.unavailable"
    assert "connection refused" in error.message


@pytest.mark.parametrize("host", ["tcp://", "tcp://host:999999", "gopher://host:1", "fd://3", "tcp://127.0.0.1"])
def test_no_address(host: str) -> None:
    assert failure_of({"DOCKER_HOST": host}).code == "engine.unavailable"


def test_password_in_an_address_is_not_shown() -> None:
    error = failure_of({"DOCKER_HOST": "tcp://alice:s3cret@127.0.0.1:2375"})
    assert error.code == "engine.unavailable"
    assert "s3cret" not in error.message


def test_no_permission(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    def denied(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", denied)  # the tests run as root, which may do anything
    error = failure_of({"DOCKER_HOST": f"unix://{short}/docker.sock"})
    assert error.code == "engine.unavailable"
    assert "permission denied" in error.message
    assert "group docker" in error.hint


def test_silent_daemon(short: Path) -> None:
    with answering(short / "s", b"") as environ:
        error = failure_of(environ, time.monotonic() + 0.2)
    assert error.code == "engine.timeout"


def test_time_is_over_before_anything_is_asked(short: Path) -> None:
    with answering(short / "s", b"") as environ:
        error = failure_of(environ, time.monotonic() - 1)
    assert error.code == "engine.timeout"
    assert "Allow more time" in error.hint


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[}]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"ApiVersion": "1.12"}'[:-1] + b"}",
    ],
)
def test_what_answers_is_no_docker(short: Path, answer: bytes) -> None:
    with answering(short / "s", answer) as environ:
        assert failure_of(environ).code == "engine.unavailable"


VERSION = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"ApiVersion": "%s"}'


@pytest.mark.parametrize(
    ("answer", "reason", "hint"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP", "where a Docker Engine listens"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[}]", "Expecting value", "where a Docker Engine listens"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            'key "ApiVersion" is missing',
            "where a Docker Engine listens",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "the connection broke off", "stopped or restarted"),
        (VERSION % b"1.12", "too old", "Update Docker"),
    ],
)
def test_reason_is_no_word_from_inside_a_library(short: Path, answer: bytes, reason: str, hint: str) -> None:
    with answering(short / "s", answer) as environ:
        error = failure_of(environ)
    assert (error.code, reason in error.message, hint in error.hint) == ("engine.unavailable", True, True), (
        error.message
    )
    assert "Is dockerd running" not in error.hint


def test_stream_that_is_cut_off(short: Path) -> None:
    """As where dockerd is killed amid a push: a chunk that was announced never comes."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with answering(short / "s", head + b'11\r\n{"status": "x"}\r\n\r\n') as environ:
        client = sdk.Client.__new__(sdk.Client)
        docker.APIClient.__init__(client, environ["DOCKER_HOST"], version="1.44")
        client._patience = lambda streaming: 5.0
        with Engine({}, connect=lambda endpoint, patience: client) as engine, pytest.raises(StoreError) as caught:
            engine._push_name(Repository("r.example", "app"), "v1", Silence())
    assert caught.value.code == "engine.unavailable"
    assert "the connection broke off" in caught.value.message
    assert "stopped or restarted" in caught.value.hint


def test_ssh_without_what_speaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    error = failure_of({"DOCKER_HOST": "ssh://alice@build.example"})
    assert error.code == "engine.unavailable"
    assert "paramiko" in error.message
    assert error.hint == "pip install 'tagflow[ssh] @ git+https://github.com/tagflow/tagflow'"


def test_what_paramiko_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """(Simulated: paramiko's exceptions are none of the SDK's, nor of the system's.)"""

    class SSHException(Exception):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise SSHException("Server 'build.example' not found in known_hosts")

    paramiko = types.ModuleType("paramiko")
    monkeypatch.setattr(paramiko, "SSHException", SSHException, raising=False)
    monkeypatch.setitem(sys.modules, "paramiko", paramiko)
    monkeypatch.setattr("docker.api.client.SSHHTTPAdapter", refuse, raising=False)
    error = failure_of({"DOCKER_HOST": "ssh://alice@build.example"})
    assert (error.code, "known_hosts" in error.message) == ("engine.unavailable", True)
    assert "`ssh ssh://alice@build.example docker version`" in error.hint


@pytest.mark.engine
def test_daemon_of_a_context(daemon: Daemon, tmp_path: Path) -> None:
    from tests.engine.test_endpoint import write_context

    (tmp_path / "config.json").write_text('{"currentContext": "tests"}')
    write_context(tmp_path, "tests", {"Host": daemon.host})
    built = daemon.build("contextual:1")
    with Engine({"DOCKER_CONFIG": str(tmp_path)}) as engine:
        assert engine.image_id("contextual:1") == built
        assert engine.platform.startswith("linux/")


@pytest.mark.engine
def test_sdk_reads_no_configuration(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One malformed entry makes the SDK raise; REQUESTS_CA_BUNDLE that is not there would, too."""
    (tmp_path / "config.json").write_text('{"auths": {"a.example": "no object", "b.example": {"auth": "%%%"}}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "absent.pem"))
    built = daemon.build("unread:1")
    with Engine(daemon.environ) as engine:
        assert engine.image_id("unread:1") == built


@pytest.mark.engine
def test_closed_engine_opens_again(daemon: Daemon) -> None:
    built = daemon.build("again:1")
    engine = Engine(daemon.environ)
    for _ in range(2):
        assert engine.image_id("again:1") == built
        engine.close()


def test_engine_is_what_flows_ask_for() -> None:
    asked: port.Engine = Engine({})
    assert asked


def test_sdk_is_imported_late() -> None:
    code = "import sys; from tagflow.stores.docker.engine import Engine; Engine({}); sys.exit('docker' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_credentials_for_the_sdk() -> None:
    host = {"serveraddress": "r.example:5000"}
    assert sdk_auth(None, "r.example:5000") is None
    assert sdk_auth(Credential("alice", "secret"), "r.example:5000") == {
        "username": "alice",
        "password": "secret",
        **host,
    }
    assert sdk_auth(Credential("<token>", identity_token="token"), "r.example:5000") == {
        "identitytoken": "token",
        **host,
    }
    assert sdk_auth(Credential(registry_token="token"), "r.example:5000") == {"registrytoken": "token", **host}
    hub = sdk_auth(Credential("alice", "secret"), "docker.io")
    assert hub is not None
    assert hub["serveraddress"] == "https://index.docker.io/v1/"
