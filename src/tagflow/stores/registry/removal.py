"""Does a registry that takes the DELETE of a tag remove that tag, or the whole image with all its tags?

The specification left it open for long, and registries went both ways (distribution-spec issue 551). It is tried once
for each registry, on an empty artifact of our own under two tags, before any tag is removed.
"""

from __future__ import annotations

import secrets
import threading

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.artifact import artifact, write_empty
from tagflow.stores.port import Store
from tagflow.stores.registry.answers import refusal
from tagflow.stores.registry.patience import Transient
from tagflow.stores.registry.session import Session

ARTIFACT_TYPE = "application/vnd.tagflow.trial.v1+json"
_POSSIBLE = (202, 404)
"""What a registry that removes tags answers for one that is not there."""


class Removal:
    """What is known of one registry. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None

    def refusal(self, store: Store, session: Session) -> str:
        """Why no tag can be removed there; empty where one can. The first call tries it, in the given repository.

        :raises StoreError: where the trial fails; the next call tries again.
        """
        with self._lock:
            if self._reason is None:
                try:
                    self._reason = _tried(store, session)
                except Transient as failure:
                    raise failure.error from failure
            return self._reason


def undeletable(repository: Repository, tag: str, reason: str) -> StoreError:
    """The error for a tag that stays."""
    return StoreError(
        "tag.undeletable",
        f"{repository}: the registry does not remove tags; {tag} stays ({reason})",
        hint="Remove it with the registry's own tools, or leave it.",
    )


def _tried(store: Store, session: Session) -> str:
    nonce = secrets.token_hex(6)
    first, second = (f"_tagflow.try.{nonce[:-1]}{number}" for number in (0, 1))
    answer = session.remove(first)
    if answer.status == 403 or answer.status >= 500:
        raise refusal(answer, store.repository, "remove tags")
    if answer.status not in _POSSIBLE:
        return f"HTTP {answer.status}"
    write_empty(store)
    manifest = artifact(ARTIFACT_TYPE, {"io.tagflow.trial": nonce})
    for tag in (first, second):
        store.put(manifest, tag)
    answer = session.remove(first)
    if store.resolve(second) != manifest.digest:
        return "it would remove the image with all its tags"
    session.remove(second)
    return "" if store.resolve(first) is None else f"HTTP {answer.status}"
