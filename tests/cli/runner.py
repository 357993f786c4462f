"""tagflow as a user runs it: a process with arguments, an environment and a directory."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tagflow.cli import main
from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images, warm
from tests.secrets import check_secrets

POLICY = """\
version: 1
registry: oci:./registry
images: {frontend: frontend, backend: back_end}
environments:
  dev: {}
  test: {}
  prod: {floating: [latest]}
"""


@dataclass(frozen=True)
class Done:
    """One finished process."""

    status: int
    out: str
    err: str

    def __post_init__(self) -> None:
        check_secrets(self.out, self.err)

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    @property
    def result(self) -> Any:
        return self.document["result"]


@dataclass(frozen=True)
class Desk:
    """A directory with a policy."""

    path: Path
    now: Callable[[], datetime] | None = None
    """The clock of what is run quickly, where it is not that of the machine."""

    def tagflow(self, *arguments: str, **environ: str) -> Done:
        return run(arguments, self.path, environ)

    def started(self, *arguments: str, **environ: str) -> Done:
        """The same from an interpreter that starts: where the start is the point."""
        return run(arguments, self.path, environ, [sys.executable, "-m", "tagflow"])

    def quickly(self, *arguments: str, **environ: str) -> Done:
        """The same within this process: where the process is not the point."""
        out, err = io.StringIO(), io.StringIO()
        before = Path.cwd()
        os.chdir(self.path)
        try:
            with (
                patch.dict(os.environ, surroundings(self.path, environ), clear=True),
                patch.object(sys, "stdin", io.StringIO()),
                redirect_stdout(out),
                redirect_stderr(err),
            ):
                status = main.run(list(arguments), self.now)
        finally:
            os.chdir(before)
        return Done(status, out.getvalue(), err.getvalue())

    def json(self, *arguments: str, process: bool = False) -> dict[str, Any]:
        """The document of a command (``process``: started as one); what every document has is checked."""
        given = (*arguments, "-o", "json")
        done = self.started(*given) if process else self.quickly(*given)
        document = done.document
        assert list(document) == ["tagflow", "command", "ok", "exit_code", "result", "error"]
        assert document["tagflow"] == 1
        assert document["exit_code"] == done.status
        assert document["ok"] == (done.status == 0)
        assert (document["error"] is None) == document["ok"]
        if document["error"]:
            assert set(document["error"]) == {"code", "message", "hint", "details"}
        assert "Traceback" not in done.err
        return document

    def copied(self, path: Path) -> Desk:
        """Another desk on which lies what lies on this one."""
        shutil.copytree(self.path, path, dirs_exist_ok=True)
        return Desk(path, self.now)

    def write(self, text: str) -> None:
        (self.path / "promotion.yaml").write_text(text)

    def build(self, version: str, *names: str, seed: str = "") -> dict[str, str]:
        """Images of two platforms under the version tag, as another tool pushes them."""
        paths = {"frontend": "frontend", "backend": "back_end"}
        return {
            name: images.index(
                LayoutStore(Repository(f"oci:{self.path}/registry", paths.get(name, name))),
                seed=seed or name + version,
                tag=version,
            ).digest
            for name in names or paths
        }

    def through(self, version: str, *environments: str) -> None:
        self.build(version)
        for environment in environments:
            done = self.quickly("promote", version, "--to", environment)
            assert done.status == 0, done.err

    def act(self, *arguments: str) -> None:
        """Run a command that is to end well."""
        done = self.quickly(*arguments)
        assert done.status == 0, done.err

    def act_with(self, arguments: Sequence[str], **environ: str) -> None:
        """The same with environment variables."""
        done = self.quickly(*arguments, **environ)
        assert done.status == 0, done.err

    def tag(self, image: str, tag: str) -> str | None:
        return LayoutStore(Repository(f"oci:{self.path}/registry", image)).resolve(tag)

    def files(self) -> dict[str, bytes]:
        """Every file below, to see that nothing was written."""
        return {str(path): path.read_bytes() for path in self.path.rglob("*") if path.is_file()}


def surroundings(home: Path, given: Mapping[str, str]) -> dict[str, str]:
    """A bare environment, as a CI step has it."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "TAGFLOW_ACTOR": "ann",
        "LC_ALL": "C.UTF-8",
        **given,
    }


def run(
    arguments: Sequence[str], directory: Path, environ: Mapping[str, str], program: Sequence[str | Path] = ()
) -> Done:
    """Run tagflow, as a process, to its end; a traceback is never an answer."""
    done = subprocess.run(
        [*(program or [warm.folder() / "tagflow"]), *arguments],
        cwd=directory,
        env=surroundings(directory, environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    found = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in found.err, found.err
    return found
