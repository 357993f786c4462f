"""Several tags in one request, where a registry shows that it takes them (distribution-spec, "Pushing Manifests":
``PUT …/manifests/DIGEST?tag=A&tag=B``, answered with ``OCI-Tag``).

Others answer 201 as well, and set no tag. So only the header counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from tagflow.stores.port import Manifest
from tagflow.stores.registry.http import Answer
from tagflow.stores.registry.patience import Transient
from tagflow.stores.registry.session import Session


class MultiTag:
    """What is known of one registry. Safe for use by several threads."""

    def __init__(self) -> None:
        self._trial = threading.Lock()
        self._works: bool | None = None

    def place(self, session: Session, manifest: Manifest, stand: Callable[[], list[str]]) -> bool:
        """Put the tags that still ``stand`` where they are expected at a manifest. False where the registry surely set
        none, for it does not do that.

        :raises StoreError: as :meth:`Session.write`.
        """
        if self._works:
            return self._put(session, manifest, stand()) is not False
        with self._trying() as trying:
            if trying:
                self._works = self._put(session, manifest, stand())
                return self._works is not False
        return False

    @contextmanager
    def _trying(self) -> Iterator[bool]:
        """Whether nobody knows yet, and nobody else is trying: the others go on without."""
        if self._works is not None or not self._trial.acquire(blocking=False):
            yield False
            return
        try:
            yield self._works is None
        finally:
            self._trial.release()

    def _put(self, session: Session, manifest: Manifest, wanted: list[str]) -> bool | None:
        """Whether the registry took them; None where that is not known."""
        if not wanted:
            return None
        target = f"manifests/{manifest.digest}?{urlencode([('tag', tag) for tag in wanted])}"
        headers = {"Content-Type": manifest.media_type}
        try:
            answer = session.write("PUT", target, headers=headers, body=manifest.content, once=True)
        except Transient:
            return None
        return answer.status == 201 and set(wanted) <= _accepted(answer)


def _accepted(answer: Answer) -> set[str]:
    return {tag.strip() for tag in (answer.headers.get("OCI-Tag") or "").split(",")}
