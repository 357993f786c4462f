"""A policy, images, and processes that meet: on a real registry behind a proxy, or on layouts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tagflow.domain.reference import Digest, Repository
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Store
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Done, surroundings
from tests.interleave.reader import RECORD, Place, Snapshot, Wrong, at_rest, floats
from tests.proxy import FaultProxy
from tests.race.hold import PATIENCE, Door, Hold, Latch
from tests.servers import RegistryServer

Medium = Literal["registry", "layout"]
ROOT = Path(__file__).parents[2]
GATE = Path(__file__).parent / "gate.py"
POLICY = """\
version: 1
registry: {registry}
images: {{{images}}}
environments:
  dev: {{}}
  prod: {{downgrades: allow, floating: [latest, major]{more}}}
"""
_NAME = "org.opencontainers.image.ref.name"


@dataclass
class Running:
    """A process under way."""

    process: subprocess.Popen[bytes]
    path: Path

    def wait(self) -> Done:
        """Its end, whatever that is; a traceback is never an answer."""
        self.process.wait(PATIENCE)
        done = Done(self.process.returncode, *((self.path / it).read_text() for it in ("out", "err")))
        assert "Traceback" not in done.err, done.err
        return done

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(PATIENCE)


@dataclass
class Held:
    """Where a process is to be held."""

    hold: Hold
    environ: Mapping[str, str] = field(default_factory=dict)
    fault: Mapping[str, Any] = field(default_factory=dict)

    def arrived(self) -> None:
        """Wait until it is there."""
        self.hold.arrived()

    def release(self) -> None:
        """Let it go on."""
        self.hold.release()


@dataclass
class Site:
    """One namespace. ``proxy`` stands before the registry; nothing does before layouts."""

    medium: Medium
    path: Path
    server: RegistryServer | None = None
    proxy: FaultProxy | None = None
    names: tuple[str, ...] = ("web",)
    namespace: str = field(default_factory=lambda: f"race-{uuid.uuid4().hex[:8]}")
    runs: list[Running] = field(default_factory=list)

    def write_policy(self, *names: str, more: str = "") -> None:
        """A policy of these images; ``more`` are keys of prod."""
        self.names = names or self.names
        registry = "oci:./registry" if self.proxy is None else f"{self.proxy.host}/{self.namespace}"
        listed = ", ".join(f"{name}: {name}" for name in self.names)
        text = POLICY.format(registry=registry, images=listed, more=f", {more}" if more else "")
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "promotion.yaml").write_text(text)

    def gated(self) -> str:
        """A gate for prod that waits where RACE_GATE says so."""
        return f"gates: [{{name: wait, run: {sys.executable} {GATE}, timeout: 2m}}]"

    # --- images ------------------------------------------------------------------------------------------------------

    def store(self, image: str) -> Store:
        """A repository, not through the proxy."""
        if self.server is None:
            return LayoutStore(Repository(f"oci:{self.path}/registry", image))
        host = RegistryHost(self.server.host, Settings(environ={}, writes=True))
        return host.store(f"{self.namespace}/{image}")

    def build(self, version: str, *names: str, seed: str = "", tag: str = "") -> dict[str, Digest]:
        """Another tool pushes builds under the version tag, or another one."""
        built = {}
        for name in names or self.names:
            content = f"{name} {seed or version}".encode()
            built[name] = images.image(self.store(name), content=content, tag=tag or version).digest
        return built

    def source(self, image: str, seed: str) -> str:
        """A build for a push: NAME=SOURCE."""
        if self.proxy is None:
            images.image(
                LayoutStore(Repository(f"oci:{self.path}/builds", f"{image}-{seed}")), content=seed.encode(), tag="b"
            )
            return f"{image}=oci:{self.path}/builds/{image}-{seed}:b"
        images.image(self.store(f"builds/{image}"), content=seed.encode(), tag=seed)
        return f"{image}=docker://{self.proxy.host}/{self.namespace}/builds/{image}:{seed}"

    def through(self, version: str, *environments: str) -> dict[str, Digest]:
        """A version of all images, promoted."""
        built = self.build(version)
        for environment in environments:
            self.done("promote", version, "--to", environment)
        return built

    # --- processes ---------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, held: Held | None = None, environ: Mapping[str, str] | None = None) -> Running:
        """Start a command."""
        home = self.path / f"run-{len(self.runs)}"
        home.mkdir()
        given = {**(environ or {}), **(held.environ if held else {}), "PYTHONPATH": str(ROOT)}
        if held and self.proxy is not None and held.fault:
            self.proxy.add(**held.fault)
        module = "tests.race.child" if self.proxy is None else "tagflow"
        with (home / "out").open("wb") as out, (home / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, "-o", "json"],
                cwd=self.path,
                env=surroundings(home, {"TAGFLOW_ACTOR": f"run{len(self.runs)}", **given}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        running = Running(process, home)
        self.runs.append(running)
        return running

    def tagflow(self, *arguments: str, **environ: str) -> Done:
        """Run a command to its end."""
        return self.start(*arguments, environ=environ).wait()

    def done(self, *arguments: str) -> Done:
        """Run a command; it must succeed."""
        done = self.tagflow(*arguments)
        assert done.status == 0, (arguments, done.err, done.out)
        return done

    def stop(self) -> None:
        """End what still runs."""
        for running in self.runs:
            if running.process.poll() is None:
                running.kill()

    def hold(self, tag: str, image: str = "web", when: Literal["before", "after"] = "before") -> Held:
        """Hold the first change of a tag (a regular expression): before it is made, or when it is made, unanswered."""
        if self.proxy is None:
            door = Door()
            return Held(door, {"RACE_HOLD": f"{when} {image} {tag} {door.port}"})
        latch = Latch()
        path = f"/{re.escape(f'{self.namespace}/{image}')}/manifests/{tag}$"
        what = {"hold": latch.pass_by} if when == "before" else {"hold_answer": latch.pass_by}
        return Held(latch, fault={"method": "PUT", "path": path, **what})

    def gate(self) -> Held:
        """Hold a process in its gate."""
        door = Door()
        return Held(door, {"RACE_GATE": door.port})

    # --- what is there -----------------------------------------------------------------------------------------------

    def tags(self, image: str) -> dict[str, str]:
        """Every tag, as the disk has it."""
        if self.server is None:
            file = self.path / "registry" / image / "index.json"
            if not file.exists():
                return {}
            entries = json.loads(file.read_text())["manifests"]
            return {it["annotations"][_NAME]: it["digest"] for it in entries if _NAME in it.get("annotations", {})}
        tags = self._disk / "repositories" / self.namespace / image / "_manifests/tags"
        if not tags.exists():
            return {}
        return {it.name: (it / "current/link").read_text() for it in tags.iterdir() if (it / "current/link").exists()}

    def at(self, tag: str, image: str = "web") -> str | None:
        """Where a tag stands."""
        return self.tags(image).get(tag)

    def snapshot(self) -> Snapshot:
        """All tags of all images, and the records."""
        tags = {name: self.tags(name) for name in self.names}
        wanted = {(name, digest) for name, it in tags.items() for tag, digest in it.items() if RECORD.fullmatch(tag)}
        return Snapshot(tags, {digest: self._content(name, digest) for name, digest in wanted})

    def places(self, environment: str) -> tuple[Place, ...]:
        """What the reader looks at."""
        floating = ("latest", "major") if environment == "prod" else ()
        return tuple(Place(name, environment, name, floating) for name in self.names)

    def wrongs(self, *, finished: bool = True) -> list[Wrong]:
        """What the independent reader finds, now that nothing runs."""
        snapshot = self.snapshot()
        found: list[Wrong] = []
        for place in (*self.places("dev"), *self.places("prod")):
            history = snapshot.history(place)
            found += at_rest(snapshot, place, history, finished=finished)
            found += floats(snapshot, place, history) if finished else []
        return found

    def forget(self, image: str) -> None:
        """Remove a repository from the disk."""
        shutil.rmtree(
            self.path / "registry" / image
            if self.server is None
            else self._disk / "repositories" / self.namespace / image
        )

    @property
    def _disk(self) -> Path:
        assert self.server is not None
        return self.server.root / "storage/docker/registry/v2"

    def _content(self, image: str, digest: str) -> bytes:
        name = digest.partition(":")[2]
        if self.server is None:
            return (self.path / "registry" / image / "blobs/sha256" / name).read_bytes()
        return (self._disk / "blobs/sha256" / name[:2] / name / "data").read_bytes()


def code(done: Done) -> str:
    """The error code of a command that failed; empty where it did not."""
    error = done.document["error"]
    return str(error["code"]) if error else ""


def rounds() -> int:
    """How often each race is run: TAGFLOW_ROUNDS, else once."""
    return int(os.environ.get("TAGFLOW_ROUNDS", "1"))
