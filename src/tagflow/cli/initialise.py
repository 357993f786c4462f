"""init: the first promotion.yaml, from what is asked for and what lies around: files, git, daemon, tags.

What is missing, broken or slow is as if it were not there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from msgspec import Struct
from msgspec.structs import replace

from tagflow import wiring
from tagflow.cli.propose import NAMES, Built, Clues, Custom, compose_trouble, custom, propose, read_compose, read_pulled
from tagflow.cli.session import Session
from tagflow.config.load import FILE_NAME, load_policy_text
from tagflow.config.template import ENVIRONMENTS, template
from tagflow.domain.policy import Policy
from tagflow.domain.reference import LAYOUT
from tagflow.errors import StoreError, TagflowError, UsageError
from tagflow.stores.files import put

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


class Wish(Struct, frozen=True):
    """What the file is to say; what is empty is left to the template."""

    registry: str = ""
    images: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    version: str = ""
    floating: tuple[str, ...] = ()

    def text(self) -> str:
        """The file.

        :raises UsageError: ``policy.invalid``.
        """
        given = {"registry": self.registry, "images": self.images, "environments": self.environments}
        filled = {key: it for key, it in given.items() if it}
        return template(**filled, version=self.version, floating=self.floating)  # type: ignore[arg-type]


def write_policy(
    session: Session, registry: str, images: Sequence[str], environments: Sequence[str], *, force: bool
) -> tuple[Path, tuple[str, ...]]:
    """Write a commented policy, where --policy says or to the current directory; its path, and its images.

    :raises UsageError: ``init.exists`` where a file is there and ``force`` is not given.
    :raises StoreError: ``init.unwritable``.
    """
    path = Path(session.policy_file or session.environ.get("TAGFLOW_POLICY") or FILE_NAME)
    if not force and os.path.lexists(path):
        raise _exists(path)
    wish = Wish(registry, tuple(dict.fromkeys(images)), tuple(dict.fromkeys(environments)))
    _check(wish)
    text = _text(session, wish, path.parent)
    try:
        if force:
            put(path, text.encode())  # as it was, or whole
        else:  # O_EXCL: two at once, or a symbolic link, never overwrite what is there
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
                file.write(text.encode())
    except FileExistsError:
        raise _exists(path) from None
    except OSError as exc:
        raise StoreError("init.unwritable", f"cannot write {path}: {exc.strerror}", hint="Look at its folder.") from exc
    above = next((it / FILE_NAME for it in path.resolve().parent.parents if (it / FILE_NAME).is_file()), None)
    if path.name == FILE_NAME and above is not None:
        session.note(f"note: there is {above}, too; in {path.resolve().parent} and below the new one counts")
    return path, tuple(it.name for it in load_policy_text(text, base=path.parent).images)


def _check(wish: Wish) -> None:
    """What is asked for is wrong or right by itself, whatever lies around; and no file has a place for it yet."""
    try:
        wish.text()
    except UsageError as error:
        told = [f"{it['message']}. {it['hint']}".strip() for it in error.details]
        raise UsageError(error.code, "\n".join(told)) from error


def _exists(path: Path) -> UsageError:
    return UsageError("init.exists", f"{path} is there already", hint="--force overwrites it.")


def _text(session: Session, wish: Wish, folder: Path) -> str:
    """The file with what was found added to what was asked for; without it where the two do not go together."""
    found, because = _completed(session, wish, folder)
    try:
        text = found.text()
    except UsageError:
        return wish.text()
    for line in because:
        session.note(line)
    return text


def _completed(session: Session, wish: Wish, folder: Path) -> tuple[Wish, list[str]]:
    clues = look_around(folder, session.environ)
    proposal = propose(clues, wish.registry, wish.images, wish.environments or ENVIRONMENTS)
    images = proposal.images
    if not images and wish.registry.startswith(LAYOUT):
        images = tuple(layouts(folder / wish.registry.removeprefix(LAYOUT)))
    found = replace(wish, registry=proposal.registry, images=images)
    # A registry is asked only where somebody named it.
    from_tags = _from_tags(session, found, folder) if wish.registry else Custom()
    because = [f"found {line}" for line in proposal.because] + list(proposal.left_out)
    where = f"found tags in {wish.registry}"
    if from_tags.environments and not wish.environments:
        told = ", ".join(from_tags.environments)
        because.append(f"{where}: environments {told}; their order is a guess: look at it")
    if from_tags.version:
        because.append(f"{where}: versions are written {from_tags.version}")
    if from_tags.floating:
        because.append(f"{where}: {', '.join(from_tags.floating)}, which follows the last environment from now on")
    environments = wish.environments or from_tags.environments
    written = replace(found, environments=environments, version=from_tags.version, floating=from_tags.floating)
    return written, because


def _from_tags(session: Session, wish: Wish, folder: Path) -> Custom:
    try:
        policy = load_policy_text(wish.text(), base=folder)
    except UsageError:
        return Custom()
    return custom(existing_tags(policy, session.environ))
