"""A policy, images, and processes that meet: on a real registry behind a proxy, or on layouts."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
from tests.proxy import FaultProxy, fault_proxy
from tests.race.child import Stop, told
from tests.race.hold import PATIENCE, Door, Hold, Latch, Question
from tests.race.nursery import Nursery
from tests.servers import RegistryServer

Medium = Literal["registry", "layout"]
MEDIA: tuple[Medium, ...] = ("registry", "layout")
GATE = Path(__file__).parent / "gate.py"
POLICY = """\
version: 1
registry: {registry}
images: {{{images}}}
environments:
{dev}  prod: {{downgrades: allow, floating: [latest, major]{more}}}
"""
_NAME = "org.opencontainers.image.ref.name"


@dataclass
class Running:
    """A process under way, or ended."""

    nursery: Nursery
    number: int
    path: Path
    arguments: tuple[str, ...]
    question: Question | None = None
    done: Done | None = None

    def wait(self) -> Done:
        """Its end, whatever that is; a traceback is never an answer."""
        status = self.nursery.wait(self.number, PATIENCE)
        if self.question is not None:
            (self.path / "err").write_text(self.question.ended())
        self.done = Done(status, *((self.path / it).read_text() for it in ("out", "err")))
        assert "Traceback" not in self.done.err, self.done.err
        return self.done

    def kill(self) -> None:
        """SIGKILL."""
        self.nursery.kill(self.number)

    def __str__(self) -> str:
        status = "under way" if self.done is None else f"exit {self.done.status}"
        return f"{' '.join(self.arguments)}: {status} {self.done.err.strip() if self.done else ''}"


@dataclass
class Held:
    """Where a process is to be held, or is to fail: in its environment, at its terminal, or by the proxy."""

    hold: Hold | None = None
    stops: tuple[Stop, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Mapping[str, Any], ...] = ()

    def arrived(self) -> None:
        """Wait until it is there."""
        assert self.hold is not None
        self.hold.arrived()

    def release(self) -> None:
        """Let it go on."""
        assert self.hold is not None
        self.hold.release()


@dataclass
class Site:
    """One namespace. ``proxy`` stands before the registry; nothing does before layouts."""

    medium: Medium
    path: Path
    nursery: Nursery
    server: RegistryServer | None = None
    proxy: FaultProxy | None = None
    names: tuple[str, ...] = ("web",)
    environments: tuple[str, ...] = ("dev", "prod")
    namespace: str = field(default_factory=lambda: f"race-{uuid.uuid4().hex[:8]}")
    runs: list[Running] = field(default_factory=list)
    number: int = 0
    """Which round it is; seeds what is left to chance."""
    kills: int = 0

    def write_policy(self, *names: str, more: str = "", only: bool = False) -> None:
        """A policy of these images, with dev and prod; ``more`` are keys of prod, ``only``: there is no dev."""
        self.names = names or self.names
        self.environments = ("prod",) if only else ("dev", "prod")
        dev = "" if only else "  dev: {}\n"
        registry = "oci:./registry" if self.proxy is None else f"{self.proxy.host}/{self.namespace}"
        listed = ", ".join(f"{name}: {name}" for name in self.names)
        text = POLICY.format(registry=registry, images=listed, dev=dev, more=f", {more}" if more else "")
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "promotion.yaml").write_text(text)

    def gated(self) -> str:
        """A gate for prod that waits where RACE_GATE says so."""
        return f"gates: [{{name: wait, run: {sys.executable} -S {GATE}, timeout: 5m}}]"

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

    def start(self, *arguments: str, held: Held | None = None, failing: Held | None = None) -> Running:
        """Start a command. ``held``: it is held somewhere; ``failing``: and something fails."""
        home = self.path / f"run-{len(self.runs)}"
        home.mkdir()
        both = [it for it in (held, failing) if it is not None]
        stops = [stop for it in both for stop in it.stops]
        environ = dict(told(*stops)) if stops else {}
        for it in both:
            environ |= it.environ
        if self.proxy is not None:
            for fault in (fault for it in both for fault in it.faults):
                self.proxy.add(**fault)
        question = held.hold if held and isinstance(held.hold, Question) else None
        number = self.nursery.start(
            [*arguments, "-o", "json"],
            self.path,
            surroundings(home, {"TAGFLOW_ACTOR": f"run{len(self.runs)}", **environ}),
            home / "out",
            question.path if question else home / "err",
            question.path if question else os.devnull,
        )
        running = Running(self.nursery, number, home, arguments, question)
        self.runs.append(running)
        return running

    def tagflow(self, *arguments: str, failing: Held | None = None) -> Done:
        """Run a command to its end."""
        return self.start(*arguments, failing=failing).wait()

    def done(self, *arguments: str) -> Done:
        """Run a command; it must succeed."""
        done = self.tagflow(*arguments)
        assert done.status == 0, (arguments, done.err, done.out)
        return done

    def stop(self) -> None:
        """End what still runs."""
        for running in self.runs:
            if not self.nursery.has_ended(running.number):
                running.kill()

    def __str__(self) -> str:
        return "\n".join(f"  {number}: {it}" for number, it in enumerate(self.runs))

    def hold(
        self,
        tag: str,
        image: str = "web",
        when: Literal["before", "after"] = "before",
        then: Literal["go on", "fail"] = "go on",
    ) -> Held:
        """Hold the first change of a tag (a regular expression): before it is made, or when it is made, unanswered.
        Then let it be made, or fail."""
        if self.proxy is None:
            door = Door()
            return Held(door, (Stop(when, image, tag, door.port, then),))
        latch = Latch()
        fault: dict[str, Any] = {"hold": latch.pass_by} if when == "before" else {"hold_answer": latch.pass_by}
        if then == "fail":
            fault["status"] = 403
        return Held(latch, faults=({"method": "PUT", "path": self._path(tag, image), **fault},))

    def refusal(self, tag: str, *names: str, removal: bool = False) -> Held:
        """Let one change of a tag fail in each of these images; ``removal``: or let no tag be removed there."""
        if self.proxy is None:
            change = "untag" if removal else ".*"
            return Held(stops=tuple(Stop("before", it, tag, then="fail", change=change) for it in names))
        if removal:
            path = f"/{self.namespace}/({'|'.join(names)})/manifests/"
            return Held(faults=({"method": "DELETE", "path": path, "status": 405, "times": 1_000},))
        return Held(faults=tuple({"method": "PUT", "path": self._path(tag, it), "status": 403} for it in names))

    def _path(self, tag: str, image: str) -> str:
        return f"/{re.escape(f'{self.namespace}/{image}')}/manifests/{tag}$"

    def gate(self) -> Held:
        """Hold a process in its gate."""
        door = Door()
        return Held(door, environ={"RACE_GATE": door.port})

    def question(self) -> Held:
        """Hold a process in its question, at a terminal."""
        return Held(Question())

    def hurry(self) -> None:
        """Nobody is held; each request takes as long as it likes."""
        if self.proxy is not None:
            self.proxy.add(jitter=0.03, times=1_000_000)

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

    def records(self, environment: str, image: str = "web") -> list[str]:
        """The tags of an environment's records."""
        return sorted(tag for tag in self.tags(image) if tag.startswith(f"_tagflow.{environment}."))

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait until something can be seen from outside."""
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, "it does not come"
            time.sleep(0.02)

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
        """What the independent reader finds, now that nothing runs. Where some died, and it is not mended yet (not
        ``finished``), what those took back that died or failed is still to be put back."""
        snapshot = self.snapshot()
        ends = {f"run{number}": it.done.status if it.done else None for number, it in enumerate(self.runs)}
        failed = {run for run, status in ends.items() if status != 0}
        died = {run for run, status in ends.items() if status not in (0, 3, 4, 5)}
        found: list[Wrong] = []
        for place in (place for it in self.environments for place in self.places(it)):
            history = snapshot.history(place)
            given_up = {it.tag for it in history.records.values() if it.actor in failed and not finished}
            cut = {it.tag for it in history.records.values() if it.actor in died and not finished}
            found += at_rest(snapshot, place, history, finished=finished, given_up=given_up, cut=cut)
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


@contextmanager
def site(
    medium: Medium, path: Path, nursery: Nursery, server: RegistryServer | None, number: int = 0
) -> Iterator[Site]:
    """A site of one image, with nothing there yet, for one round; a registry has a proxy of its own before it."""
    with ExitStack() as stack:
        made = Site(medium, path, nursery, number=number)
        if medium == "registry":
            assert server is not None
            made.server, made.proxy = server, stack.enter_context(fault_proxy(server.host))
        stack.callback(made.stop)
        made.write_policy()
        yield made
