"""What the benchmarks work on: registries, images, policies."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import images
from tests.servers import RegistryServer

from tagflow.domain.reference import Digest
from tagflow.stores.port import OCI_MANIFEST, Descriptor, Store
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost

ENVIRONMENTS = "environments:\n  dev: {}\n  test: {downgrades: allow}\n"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Yard:
    """A namespace of a registry, and a directory with a policy of some images in it."""

    server: RegistryServer
    namespace: str
    names: tuple[str, ...]
    directory: Path

    def write_policy(self, host: str = "", environments: str = ENVIRONMENTS) -> None:
        """The policy, for the registry itself or a ``host`` in front of it."""
        listed = "".join(f"  {name}: {name}\n" for name in self.names)
        text = f"version: 1\nregistry: {host or self.server.host}/{self.namespace}\nimages:\n{listed}{environments}"
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "promotion.yaml").write_text(text)

    def repository(self, name: str, host: str = "") -> str:
        """``HOST/NAMESPACE/NAME``."""
        return f"{host or self.server.host}/{self.namespace}/{name}"

    def files(self, name: str) -> Path:
        """Where the registry keeps a repository."""
        return self.server.root / "storage/docker/registry/v2/repositories" / self.namespace / name

    def build(self, versions: Iterable[str]) -> None:
        """A small image of two platforms under each version, in the first repository; the others are its copies."""
        host = RegistryHost(self.server.host, Settings(writes=True))
        store = host.store(f"{self.namespace}/{self.names[0]}")
        for version in versions:
            images.index(store, seed=version, tag=version)
        host.close()
        for name in self.names[1:]:
            shutil.copytree(self.files(self.names[0]), self.files(name))


def open_store(server: RegistryServer, path: str, **environ: str) -> Store:
    """A repository, to make data in."""
    return RegistryHost(server.host, Settings(environ=os.environ | environ, writes=True)).store(path)


def large_image(store: Store, tag: str, sizes: Sequence[int]) -> None:
    """An image with layers of these sizes (whole MiB, in bytes)."""
    layers = [_layer(store, size) for size in sizes]
    config = images.add_blob(store, images.as_json({"os": "linux", "architecture": "amd64"}), images.OCI_CONFIG)
    pointers = [images.pointer(layer) for layer in layers]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": images.pointer(config)}
    images.put(store, {**document, "layers": pointers}, tag)


def _layer(store: Store, size: int) -> Descriptor:
    """Content that begins with chance and repeats itself, so that it never lies in memory whole: what a benchmark
    holds would count as memory of the processes that it starts."""
    block = os.urandom(MIB)
    hasher = hashlib.sha256()
    for _ in range(size // MIB):
        hasher.update(block)
    blob = Descriptor(images.OCI_LAYER, Digest(f"sha256:{hasher.hexdigest()}"), size)
    store.write_blob(blob, lambda: itertools.repeat(block, size // MIB))
    return blob
