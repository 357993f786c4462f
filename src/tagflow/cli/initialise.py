"""init: the first promotion.yaml, from what is asked for and what lies around."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tagflow.cli.clues import existing_tags, layouts, look_around
from tagflow.cli.propose import Custom, custom, propose
from tagflow.cli.session import Session
from tagflow.config.load import FILE_NAME, load_policy_text
from tagflow.config.template import template
from tagflow.domain.reference import LAYOUT
from tagflow.errors import StoreError, UsageError


@dataclass(frozen=True)
class Wish:
    """What the file is to say; what is empty is left to the template."""

    registry: str = ""
    images: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    version: str = ""

    def text(self) -> str:
        """The file.

        :raises UsageError: ``policy.invalid``.
        """
        given = {"registry": self.registry, "images": self.images, "environments": self.environments}
        return template(**{key: it for key, it in given.items() if it}, version=self.version)  # type: ignore[arg-type]


def write_policy(
    session: Session, registry: str, images: Sequence[str], environments: Sequence[str], *, force: bool
) -> Path:
    """Write a commented policy, where --policy says or to the current directory; its path.

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
        # O_EXCL: two at once, or a symbolic link, never overwrite what is there.
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
        with os.fdopen(os.open(path, flags, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as exc:
        raise StoreError("init.unwritable", f"cannot write {path}: {exc.strerror}", hint="Look at its folder.") from exc
    return path


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
        session.note(f"found {line}")
    return text


def _completed(session: Session, wish: Wish, folder: Path) -> tuple[Wish, list[str]]:
    proposal = propose(look_around(folder, session.environ), wish.registry, wish.images)
    images = proposal.images
    if not images and wish.registry.startswith(LAYOUT):
        images = tuple(layouts(folder / wish.registry.removeprefix(LAYOUT)))
    found = replace(wish, registry=proposal.registry, images=images)
    # A registry is asked only where somebody named it.
    from_tags = _from_tags(session, found, folder) if wish.registry else Custom()
    because = list(proposal.because)
    if from_tags.environments and not wish.environments:
        because.append(f"tags in {wish.registry}: environments {', '.join(from_tags.environments)}")
    if from_tags.version:
        because.append(f"tags in {wish.registry}: versions are written {from_tags.version}")
    environments = wish.environments or from_tags.environments
    return replace(found, environments=environments, version=from_tags.version), because


def _from_tags(session: Session, wish: Wish, folder: Path) -> Custom:
    try:
        policy = load_policy_text(wish.text(), base=folder)
    except UsageError:
        return Custom()
    return custom(existing_tags(policy, session.environ))
