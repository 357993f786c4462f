"""Three images on a real registry behind a proxy that cuts at one exact request, and tagflow as a process before it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from tagflow.domain.own_tags import RecordTag, parse_record_tag
from tagflow.domain.reference import Digest, Repository
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Done, surroundings
from tests.proxy import Fault, FaultProxy
from tests.servers import RegistryServer

IMAGES = ("api", "web", "worker")
MOVABLE = ("dev", "prod", "latest", "v1")
OLD, NEW = "v1.0.0", "v1.1.0"
POLICY = """\
version: 1
registry: {host}/{namespace}
images: {{api: api, web: web, worker: worker}}
environments:
  dev: {{}}
  prod: {{floating: [latest, major]}}
"""
_ROOT = Path(__file__).parents[2]

Tags = dict[tuple[str, str], Digest]
"""(image, tag) → digest."""

Shape = tuple[str, frozenset[tuple[str, str, str]]]

Way = Literal["gone", "once", "often", "killed"]
"""``gone``: that request and all later ones are cut. ``once``: only that one. ``often``: that one and every sixth from
there on, so that six runs cut every one. ``killed``: tagflow dies of SIGKILL."""
STRIDE = 6

When = Literal["before", "after"]
"""Before the registry hears of the request, or when it is done and not answered. ``after`` counts writes only: a read
that is not answered is the same to both sides."""


class Cutter(FaultProxy):
    """A proxy that makes trouble at the k-th request."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.victim: Child | None = None
        self.struck = ""
        self._cut: tuple[Way, When, int] | None = None
        self._seen = 0

    def arm(self, way: Way, when: When, number: int) -> None:
        """Cut at that request, counted from 1."""
        with self.lock:
            self._cut, self._seen, self.struck = (way, when, number), 0, ""

    def heal(self) -> None:
        """Nothing is cut any more. Returns when nothing of what was asked before is under way."""
        end = time.monotonic() + 60
        while self.sockets and time.monotonic() < end:
            time.sleep(0.001)
        assert not self.sockets
        with self.lock:
            self._cut = None

    def fault(self, method: str, path: str) -> Fault | None:
        if self._cut is None:
            return super().fault(method, path)
        with self.lock:
            way, when, number = self._cut
            counts = when == "before" or method not in ("GET", "HEAD")
            self._seen += counts
            if self.struck and (way != "often" or (self._seen - number) % STRIDE):
                return Fault(cut="before") if way in ("gone", "killed") else None
            if self._seen < number or not counts:
                return None
            self.struck = f"{method} {path}"
        return Fault(cut=when, strike=self._kill) if way == "killed" else Fault(cut=when)

    def _kill(self) -> None:
        assert self.victim is not None
        self.victim.kill()


@dataclass
class Child:
    """One run of tagflow."""

    started: threading.Event = field(default_factory=threading.Event)
    pid: int = 0

    def kill(self) -> None:
        """SIGKILL, as soon as its process id is known."""
        assert self.started.wait(60)
        os.kill(self.pid, signal.SIGKILL)


@dataclass
class Forker:
    """The process that forks the children."""

    process: subprocess.Popen[str]

    def run(self, request: dict[str, Any], child: Child) -> int:
        """The exit status of one child; negative for the signal that ended it."""
        self._write.write(json.dumps(request) + "\n")
        self._write.flush()
        child.pid = int(self._read.readline())
        child.started.set()
        return int(self._read.readline())

    @property
    def _write(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def _read(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


@contextmanager
def forker() -> Iterator[Forker]:
    """A forker, until the block ends."""
    command = [sys.executable, "-m", "tests.releases.forker"]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forker(process)


@dataclass
class Stage:
    """A namespace of the registry that is set back to a known state as often as wanted, by copying its files."""

    path: Path
    server: RegistryServer
    cutter: Cutter
    forker: Forker
    namespace: str
    docker_config: Path | None = None
    """The directory of the login, where the registry asks for one."""
    docker_host: str = ""
    """The daemon, where a command needs one."""
    silence: float = 60.0
    """Seconds that a registry may say nothing."""
    runs: int = 0
    finished: set[Shape] = field(default_factory=set)
    """What has been finished and verified once: it is not done again for each request that leads there."""

    @property
    def _files(self) -> Path:
        return self.server.root / "storage/docker/registry/v2/repositories" / self.namespace

    @property
    def _environ(self) -> dict[str, str]:
        login = {"DOCKER_CONFIG": str(self.docker_config)} if self.docker_config else {}
        return surroundings(self.path, login | ({"DOCKER_HOST": self.docker_host} if self.docker_host else {}))

    def build(self) -> None:
        """v1.0.0 in dev and prod, v1.1.0 in dev: the state `ahead`; and with v1.1.0 in prod, too: `arrived`."""
        self.path.mkdir(parents=True)
        text = POLICY.format(host=self.cutter.host, namespace=self.namespace)
        (self.path / "promotion.yaml").write_text(text)
        host = RegistryHost(self.server.host, Settings(environ=self._environ, writes=True))
        for image in IMAGES:
            for version in (OLD, NEW):
                store = host.store(f"{self.namespace}/{image}")
                images.image(store, content=f"{image} {version}".encode(), tag=version)
            images.image(host.store(f"{self.namespace}/builds/{image}"), content=f"{image} new".encode(), tag="new")
        host.close()
        for version, environment in ((OLD, "dev"), (OLD, "prod"), (NEW, "dev")):
            self.done("promote", version, "--to", environment)
        shutil.copytree(self._files, self.path / "ahead")
        self.done("promote", NEW, "--to", "prod")
        shutil.copytree(self._files, self.path / "arrived")

    def reset(self, state: str) -> None:
        """Everything is as it was in that state, and no manifest is in the cache."""
        if not self._files.exists() or self.tags() != self.tags(self.path / state):
            shutil.rmtree(self._files)
            shutil.copytree(self.path / state, self._files)
        shutil.rmtree(self.path / ".cache", ignore_errors=True)

    def tagflow(self, *arguments: str) -> Done:
        """Run tagflow to its end, whatever that is."""
        self.runs += 1
        out, err = self.path / "out", self.path / "err"
        self.cutter.victim = Child()
        request = {
            "argv": [*arguments, "-o", "json"],
            "cwd": str(self.path),
            "environ": self._environ,
            "silence": self.silence,
            "out": str(out),
            "err": str(err),
        }
        status = self.forker.run(request, self.cutter.victim)
        done = Done(status, out.read_text(), err.read_text())
        assert "Traceback" not in done.err, done.err
        return done

    def done(self, *arguments: str) -> Done:
        """Run tagflow; it must succeed."""
        done = self.tagflow(*arguments)
        assert done.status == 0, (arguments, done.err, done.out)
        return done

    def tags(self, files: Path | None = None) -> Tags:
        """Every tag, as the registry's disk has it."""
        return {
            (image, tag.name): Digest((tag / "current/link").read_text())
            for image in IMAGES
            for tag in ((files or self._files) / image / "_manifests/tags").iterdir()
            if (tag / "current/link").exists()
        }

    def repository(self, image: str) -> str:
        """How messages name an image's repository."""
        return str(Repository(self.cutter.host, f"{self.namespace}/{image}"))


def shape_of(verb: str, tags: Tags) -> Shape:
    """What a verb has made of the tags so far, whatever the moments and names in the records are."""
    plain = {(image, tag, digest) for (image, tag), digest in tags.items() if parse_record_tag(tag) is None}
    written = {(image, str(it.sequence), "") for image, found in records(tags).items() for it in found}
    return verb, frozenset(plain | written)


def movable(tags: Tags) -> Tags:
    """The environment tags and the floating tags."""
    return {key: digest for key, digest in tags.items() if key[1] in MOVABLE}


def records(tags: Tags) -> dict[str, list[RecordTag]]:
    """Each image's records in prod, by sequence."""
    found = [(image, parse_record_tag(tag)) for image, tag in tags]
    return {
        name: sorted((it for image, it in found if image == name and it and it.environment == "prod"), key=_sequence)
        for name in IMAGES
    }


def _sequence(record: RecordTag) -> int:
    return record.sequence
