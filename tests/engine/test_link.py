"""The line to a daemon: absent, forbidden, silent, broken; and what the SDK must not do by itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tagflow.errors import StoreError
from tagflow.stores import port
from tagflow.stores.docker.engine import Engine, sdk_auth
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
    assert "--timeout" in error.hint


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
