"""What journeys need: machines on which tagflow was never run, images that other tools push, an access log to read."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagflow.domain.reference import Digest, Repository, digest_of
from tagflow.stores.artifact import EMPTY_CONTENT
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Manifest, Store
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Desk
from tests.servers import RegistryServer, Request, require

EMPTY = digest_of(EMPTY_CONTENT)
"""The one blob that tagflow itself uploads: what every record names."""


def skopeo(*arguments: object) -> bytes:
    """What skopeo prints; it must succeed."""
    done = subprocess.run(
        [require("skopeo"), "--insecure-policy", *map(str, arguments)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@dataclass
class Journey:
    """One policy, as several machines have it. ``address`` is where images are: ``HOST/NAMESPACE`` or a directory."""

    root: Path
    policy: str
    address: str
    history: str = ""
    processes: bool = False
    """Whether each command is a process of its own; else it runs within this one, which is faster."""
    _machines: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    def __post_init__(self) -> None:
        self._stores: dict[Repository, Store] = {}
        self.here = self.elsewhere()

    @property
    def on_disk(self) -> bool:
        return self.address.startswith("/")

    def elsewhere(self) -> Desk:
        """A machine with the policy and nothing else: no home, no cache."""
        desk = Desk(self.root / f"machine-{self._machines()}")
        desk.path.mkdir(parents=True)
        desk.write(self.policy)
        return desk

    def forget(self) -> None:
        """Go on working on another machine; this one is gone."""
        shutil.rmtree(self.here.path)
        self.here = self.elsewhere()

    # --- what the command line does ----------------------------------------------------------------------------

    def run(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """The JSON document of a command that must end so."""
        document = self.here.json(*arguments, process=self.processes)
        assert document["exit_code"] == status, document["error"]
        return document

    def promote(self, *targets: str, to: str, **options: str) -> dict[str, Any]:
        """``targets`` may hold options too."""
        return self.run("promote", *targets, "--to", to, *_options(options))

    def through(self, version: str, *environments: str) -> None:
        for environment in environments:
            self.promote(version, to=environment)

    def runs(self, environment: str) -> dict[str, str | None]:
        """Image → version."""
        rows = self.run("status", environment)["result"]["images"]
        return {row["image"]: cell["version"] for row in rows for cell in row["environments"]}

    def cells(self, environment: str) -> dict[str, dict[str, Any]]:
        rows = self.run("status", environment)["result"]["images"]
        return {row["image"]: row["environments"][0] for row in rows}

    def story(self, environment: str, *names: str) -> list[dict[str, Any]]:
        """The entries of the history, oldest first."""
        entries: list[dict[str, Any]] = self.run("history", environment, *names)["result"]["entries"]
        return entries[::-1]

    def problems(self, *environments: str) -> list[dict[str, Any]]:
        document = self.here.json("verify", *environments, process=self.processes)
        findings: list[dict[str, Any]] = document["result"]["findings"]
        assert document["exit_code"] == (5 if findings else 0)
        return findings

    # --- what other tools see and do ---------------------------------------------------------------------------

    def repository(self, name: str) -> Repository:
        if self.on_disk:
            return Repository(f"oci:{self.address}", name)
        host, _, namespace = self.address.partition("/")
        return Repository(host, f"{namespace}/{name}")

    def store(self, name: str) -> Store:
        """A repository, past the command line."""
        repository = self.repository(name)
        if self.on_disk:
            return LayoutStore(repository)
        if repository not in self._stores:
            host = RegistryHost(repository.host, Settings(environ={"HOME": str(self.root)}))
            self._stores[repository] = host.store(repository.path)
        return self._stores[repository]

    def pulls(self, name: str, reference: str) -> Manifest:
        """Read an image or record to its last byte, children and blobs; every hash is checked on the way."""
        store = self.store(name)
        manifest = store.get(reference)
        for child in manifest.children:
            self.pulls(name, child.digest)
        for blob in manifest.blobs:
            assert sum(map(len, store.read_blob(blob))) == blob.size
        return manifest

    def at(self, name: str, reference: str) -> str:
        """What skopeo calls an image."""
        if self.on_disk:
            return f"oci:{self.address}/{name}:{reference}"
        mark = "@" if reference.startswith("sha256:") else ":"
        return f"docker://{self.repository(name)}{mark}{reference}"

    def file(self, name: str, tag: str) -> bytes:
        """The manifest in a layout, as ``cat`` reads it."""
        listed = json.loads(Path(self.address, name, "index.json").read_bytes())["manifests"]
        [digest] = [it["digest"] for it in listed if it["annotations"]["org.opencontainers.image.ref.name"] == tag]
        return Path(self.address, name, "blobs", *digest.split(":")).read_bytes()

    def raw(self, name: str, tag: str) -> bytes:
        """The manifest, as skopeo reads it."""
        return skopeo("inspect", "--raw", *self.plain("tls-verify"), self.at(name, tag))

    def plain(self, *options: str) -> list[str]:
        return [] if self.on_disk else [f"--{option}=false" for option in options]

    def deliver(self, name: str, tag: str, build: Callable[[Store], Manifest]) -> Digest:
        """skopeo brings a build in that was made on disk."""
        place = self.root / "builds"
        if self.on_disk:
            Path(self.address).mkdir(exist_ok=True)
        made = build(LayoutStore(Repository(f"oci:{place}", name)))
        LayoutStore(Repository(f"oci:{place}", name)).put(made, tag)
        skopeo("copy", "--all", *self.plain("dest-tls-verify"), f"oci:{place}/{name}:{tag}", self.at(name, tag))
        return made.digest

    def build(self, version: str, *names: str) -> dict[str, Digest]:
        """Two platforms of each image, under the version tag."""
        return {name: images.index(self.store(name), seed=f"{name} {version}", tag=version).digest for name in names}

    def tags(self, name: str) -> dict[str, Digest]:
        """Every tag and where it stands."""
        store = self.store(name)
        found = {tag: store.resolve(tag) for tag in store.tags()}
        return {tag: digest for tag, digest in found.items() if digest is not None}

    def records(self, name: str) -> list[str]:
        return [tag for tag in self.store(self.history.format(name) or name).tags() if is_record(tag)]


def is_record(tag: str) -> bool:
    return tag.startswith("_tagflow.") and not tag.startswith("_tagflow.pin.")


def _options(options: dict[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name.rstrip('_')}", value)]


def asked(server: RegistryServer, since: int, part: str) -> list[Request]:
    """What a registry was asked about repositories with ``part`` in their name, after ``since`` requests."""
    return [request for request in server.requests()[since:] if part in request.path]


def uploaded(requests: Iterable[Request]) -> set[str]:
    """The digests of the blobs that were uploaded, beside what every record names."""
    ends = [it.path for it in requests if "/blobs/uploads/" in it.path and "digest=" in it.path]
    return {path.split("digest=")[1].split("&")[0].replace("%3A", ":") for path in ends} - {EMPTY}


def downloaded(requests: Iterable[Request]) -> list[str]:
    """The blobs that were read."""
    return [it.path for it in requests if it.method == "GET" and "/blobs/sha256:" in it.path]


def layers(store: Store, digest: Digest) -> Sequence[Digest]:
    """Every layer of an image, of all its platforms."""
    manifest = store.get(digest)
    children = [store.get(child.digest) for child in manifest.children] or [manifest]
    return [blob.digest for child in children for blob in child.blobs if blob != child.config]


def policy(address: str, environments: str, *, names: Sequence[str] = ("frontend",), more: str = "") -> str:
    """A policy whose images lie below ``address``."""
    prefix = f"oci:{address}" if address.startswith("/") else address
    return (
        f"version: 1\nregistry: {prefix}\nimages: {json.dumps({name: name for name in names})}\n"
        f"environments: {environments}\n{more}"
    )
