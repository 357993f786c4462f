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
    _homes: Iterator[int] = field(default_factory=itertools.count)

    def job(self, command: str, yard: Yard, **environ: str) -> Job:
        """A shell line in the directory of a policy, at home where nothing is remembered of earlier runs; ``environ``
        is more of its environment."""
        tools, home = Path(sys.executable).parent, self.path / f"home-{next(self._homes)}"
        home.mkdir()
        surroundings = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "XDG_DATA_HOME": str(home / ".local/share"),
            "TAGFLOW_ACTOR": "bench",
            "LC_ALL": "C.UTF-8",
        }
        return Job(command, yard.directory, surroundings | environ)


@contextmanager
def workplace() -> Iterator[Place]:
    """Two registries, until the block ends."""
    with TemporaryDirectory(prefix="tagflow-bench-") as name:
        path = Path(name)
        with running_registry(path / "registry") as server, running_registry(path / "other") as other:
            yield Place(path, server, other)
