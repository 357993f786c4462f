"""Real registries for the tests: `docker-registry` (distribution 2.8) on free loopback ports, stopped at the end."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tagflow.domain.reference import Repository

USERNAME, PASSWORD = "alice", "correct horse"
START_SECONDS = 10
_REQUEST = re.compile(r'"([A-Z]+) (\S+) HTTP/[0-9.]+" (\d+)')
_numbers = itertools.count(1)


def require(tool: str, path: str | None = None) -> str:
    """The path of a program that a test needs; without it the test is skipped by name, or fails where CI demands it."""
    found = shutil.which(tool, path=path)
    if found is None:
        missing(f"{tool} is not installed")
    return found


def missing(message: str) -> NoReturn:
    """Skip the test, or fail it where CI demands every server."""
    if os.environ.get("TAGFLOW_REQUIRE_SERVERS") == "1":
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True)
class Request:
    """One line of a registry's access log."""

    method: str
    path: str
    status: int


@dataclass(frozen=True)
class RegistryServer:
    """A running registry: ``host`` is its ``HOST:PORT``; ``log`` its output, access log included;
    ``pid`` its process, where that is ours."""

    host: str
    root: Path
    log: Path
    username: str = ""
    password: str = ""
    ca: Path | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    pid: int = 0

    def fresh(self, name: str = "app") -> Repository:
        """A repository that no test has used before."""
        return Repository(self.host, f"test/{name}-{next(_numbers)}-{uuid.uuid4().hex[:8]}")

    def requests(self) -> list[Request]:
        """What the registry has answered so far."""
        return [Request(m[1], m[2], int(m[3])) for m in _REQUEST.finditer(self.log.read_text())]

    def environ(self, directory: Path) -> dict[str, str]:
        """Environment variables whose Docker configuration (written into ``directory``) logs in to this registry."""
        entry = {"username": self.username, "password": self.password} if self.username else {}
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps({"auths": {self.host: entry}}))
        return {"DOCKER_CONFIG": str(directory), "HOME": str(directory)}


@contextmanager
def running_registry(
    root: Path,
    *,
    delete: bool = True,
    auth: Mapping[str, Any] | None = None,
    tls: Mapping[str, Any] | None = None,
    **known: Any,
) -> Iterator[RegistryServer]:
    """A registry with its storage below ``root``; ``auth`` and ``tls`` as in distribution's configuration file."""
    program = require("docker-registry")
    root.mkdir(parents=True, exist_ok=True)
    log = root / "registry.log"
    port = free_port()
    config = _configuration(root, port, delete, auth, tls)
    (root / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [program, "serve", str(root / "config.yml")],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none", "GOGC": "400"},
        ) as process,
    ):
        try:
            _await_port(process, port, log)
            yield RegistryServer(f"127.0.0.1:{port}", root, log, pid=process.pid, **known)
        finally:
            process.terminate()


def _configuration(
    root: Path, port: int, delete: bool, auth: Mapping[str, Any] | None, tls: Mapping[str, Any] | None
) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": f"127.0.0.1:{port}", "secret": "tests"}
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(root / "storage")},
            "delete": {"enabled": delete},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {**http, "tls": dict(tls)} if tls else http,
    }
    return {**config, "auth": dict(auth)} if auth else config


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"docker-registry did not start:\n{log.read_text()}")


def make_certificate(directory: Path, *names: str, days: int = 2) -> tuple[Path, Path, Path]:
    """A private authority, a certificate of it for ``names`` (loopback if there are none), and its key. It is good for
    so many days; a negative number has it expired."""
    require("openssl")
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key, cert, key = (directory / n for n in ("ca.crt", "ca.key", "server.crt", "server.key"))
    request, extensions = directory / "server.csr", directory / "server.ext"
    alternatives = ",".join(f"DNS:{name}" for name in names) or "IP:127.0.0.1,DNS:localhost"
    extensions.write_text(f"subjectAltName={alternatives}\nbasicConstraints=critical,CA:FALSE\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(
        "req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj", "/CN=tagflow test CA",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    _openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=tagflow tests")
    _openssl(
        "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
        "-out", cert, "-days", str(days), "-extfile", extensions,
    )  # fmt: skip
    return ca, cert, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server of the tests needs to speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_htpasswd(path: Path, username: str = USERNAME, password: str = PASSWORD) -> Path:
    """A password file as distribution wants it (bcrypt)."""
    program = require("htpasswd")
    done = subprocess.run([program, "-Bbn", "-C", "4", username, password], check=True, capture_output=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(done.stdout)
    return path
