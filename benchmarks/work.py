"""Where benchmarks run: a registry, a directory, and processes with an environment of their own."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers import RegistryServer, running_registry

from benchmarks.data import Yard
from benchmarks.measure import Job


@dataclass(frozen=True)
class Place:
    """A running registry, another one to copy to, and a directory that goes away."""

    path: Path
    server: RegistryServer
    other: RegistryServer
    _caches: Iterator[int] = field(default_factory=itertools.count)

    def job(self, command: str, yard: Yard) -> Job:
        """A shell line in the directory of a policy, with an empty cache."""
        tools = Path(sys.executable).parent
        environ = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(self.path),
            "XDG_CACHE_HOME": str(self.path / f"cache-{next(self._caches)}"),
            "TAGFLOW_ACTOR": "bench",
            "LC_ALL": "C.UTF-8",
        }
        return Job(command, yard.directory, environ)


@contextmanager
def workplace() -> Iterator[Place]:
    """Two registries, until the block ends."""
    with TemporaryDirectory(prefix="tagflow-bench-") as name:
        path = Path(name)
        with running_registry(path / "registry") as server, running_registry(path / "other") as other:
            yield Place(path, server, other)
