"""Real Docker Engines for the tests: `dockerd` with a socket and storage of its own, stopped at the end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import pytest

from tagflow.domain.reference import Digest
from tests.images import tar
from tests.servers import require

START_SECONDS = 20
STOP_SECONDS = 20


@dataclass(frozen=True)
class Daemon:
    """A running daemon: ``host`` is what DOCKER_HOST says; ``client`` talks to it past tagflow."""

    host: str
    client: docker.DockerClient

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables that lead to this daemon, and to no configuration of the machine."""
        return {"DOCKER_HOST": self.host, "HOME": "/nonexistent", "PATH": os.environ["PATH"]}

    def build(self, name: str, content: str = "hello") -> Digest:
        """An image that exists nowhere else, called ``name`` (REPOSITORY:TAG); it prints ``content``."""
        repository, _, tag = name.rpartition(":")
        files = {"bin/busybox": Path(require("busybox")).read_bytes(), "content": content.encode()}
        command = 'CMD ["/bin/busybox", "cat", "/content"]'
        self.client.api.import_image_from_data(tar(files), repository=repository, tag=tag, changes=[command])
        return self.id(name)

    def id(self, name: str) -> Digest:
        """The ID of an image."""
        return Digest(self.client.images.get(name).id)

    def has(self, name: str) -> bool:
        """Whether there is such an image."""
        try:
            self.client.images.get(name)
        except docker.errors.ImageNotFound:
            return False
        return True

    def tags(self, image: str) -> set[str]:
        """All names of an image."""
        return set(self.client.images.get(image).tags)

    def run(self, image: str) -> str:
        """What an image prints, without a network."""
        container = self.client.containers.create(image, network_mode="none")
        try:
            container.start()
            assert container.wait()["StatusCode"] == 0
            output: bytes = container.logs()  # only now: following a short life may miss it
        finally:
            container.remove(force=True)
        return output.decode()

    def clear(self) -> None:
        """Remove all images."""
        for image in self.client.images.list():
            self.client.images.remove(image.id, force=True)


@contextmanager
def running_daemon() -> Iterator[Daemon]:
    """A daemon that changes nothing on this machine: no bridge, no firewall rules; needs to be root.

    Its socket is below a directory with a short name: the path of a socket has at most 107 bytes.
    """
    program = require("dockerd")
    _require_root()
    root = Path(tempfile.mkdtemp(prefix="tagflow-", dir="/tmp"))
    command: list[str | Path] = [
        program, "--data-root", root / "data", "--exec-root", root / "exec", "--pidfile", root / "pid",
        "--host", f"unix://{root}/docker.sock", "--config-file", _no_configuration(root),
        "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
    ]  # fmt: skip
    try:
        with (root / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                client = _connect(process, root)
                yield Daemon(f"unix://{root}/docker.sock", client)
                client.close()
            finally:
                _stop(process)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _no_configuration(root: Path) -> Path:
    path = root / "daemon.json"
    path.write_text("{}")
    return path


def _require_root() -> None:
    if os.geteuid() != 0:
        message = "dockerd needs root"
        if os.environ.get("TAGFLOW_REQUIRE_SERVERS") == "1":
            pytest.fail(message)
        pytest.skip(message)


def _connect(process: subprocess.Popen[bytes], root: Path) -> docker.DockerClient:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if _listens(root / "docker.sock"):
            return docker.DockerClient(f"unix://{root}/docker.sock")
        time.sleep(0.02)
    pytest.fail(f"dockerd did not start:\n{(root / 'log').read_text()}")


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knocking:
        return knocking.connect_ex(str(path)) == 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
