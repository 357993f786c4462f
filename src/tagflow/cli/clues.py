"""Looks around for `init`: files, git, the Docker daemon, tags.

What is missing, broken or slow is as if it were not there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread

from tagflow import wiring
from tagflow.cli.propose import Clues
from tagflow.config.compose import NAMES, Built, compose_trouble, read_compose, read_pulled
from tagflow.domain.policy import Policy
from tagflow.errors import TagflowError

PATIENCE = 3.0
"""Seconds for git, for the daemon, and for the registry: each is only asked for a hint."""
_LARGEST = 1 << 20


def look_around(folder: Path, environ: Mapping[str, str]) -> Clues:
    """What lies in a folder, and what this machine knows."""
    name, built, pulled, trouble = _compose(folder)
    remote = _output(["git", "-C", str(folder), "config", "--get", "remote.origin.url"], environ)
    local = _output(["docker", "image", "ls", "--format", "{{.Repository}}"], environ)
    known = tuple(dict.fromkeys(it for it in local if it != "<none>"))
    return Clues(name, tuple(built), "".join(remote[:1]), known, trouble, tuple(pulled))


def layouts(folder: Path) -> list[str]:
    """The OCI image layouts in a folder, by name."""
    return sorted(it.parent.name for it in folder.glob("*/oci-layout"))


def existing_tags(policy: Policy, environ: Mapping[str, str]) -> frozenset[str]:
    """The tags of all repositories of a policy, or those that came in time.

    The thread is left behind where it is too slow: looking up a host's address cannot be cut short otherwise.
    """
    found: set[str] = set()
    stores = wiring.stores(policy, wiring.Surroundings(environ, warn=lambda _message: None, seconds=PATIENCE))

    def ask() -> None:
        with suppress(TagflowError):
            for image in policy.images:
                found.update(stores(policy.repository(image, policy.environments[0])).tags())

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return frozenset(tuple(found))


def _compose(folder: Path) -> tuple[str, list[Built], list[str], str]:
    """The name of the compose file, the services that are built here, those that are not, and why it could not be
    read."""
    for name in NAMES:
        with suppress(OSError, UnicodeDecodeError), (folder / name).open(encoding="utf-8") as file:
            text = file.read(_LARGEST)
            return name, read_compose(text), read_pulled(text), compose_trouble(text)
    return "", [], [], ""


def _output(command: list[str], environ: Mapping[str, str]) -> list[str]:
    """The lines that a command prints; none where it fails."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=True
        )
        return done.stdout.decode(errors="replace").splitlines()
    return []
