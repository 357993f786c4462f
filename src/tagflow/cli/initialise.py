"""init: the first promotion.yaml."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tagflow.cli.session import Session
from tagflow.config.load import FILE_NAME
from tagflow.config.template import template
from tagflow.errors import StoreError, UsageError


def write_policy(
    session: Session, registry: str, images: Sequence[str], environments: Sequence[str], *, force: bool
) -> Path:
    """Write a commented policy, where --policy says or to the current directory; its path.

    :raises UsageError: ``init.exists`` where a file is there and ``force`` is not given.
    :raises StoreError: ``init.unwritable``.
    """
    path = Path(session.policy_file or session.environ.get("TAGFLOW_POLICY") or FILE_NAME)
    given: dict[str, object] = {}
    if registry:
        given["registry"] = registry
    if images:
        given["images"] = list(dict.fromkeys(images))
    if environments:
        given["environments"] = list(dict.fromkeys(environments))
    text = template(**given)  # type: ignore[arg-type]
    try:
        # O_EXCL: two at once, or a symbolic link, never overwrite what is there.
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
        with os.fdopen(os.open(path, flags, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError("init.exists", f"{path} is there already", hint="--force overwrites it.") from None
    except OSError as exc:
        raise StoreError("init.unwritable", f"cannot write {path}: {exc.strerror}", hint="Look at its folder.") from exc
    return path
