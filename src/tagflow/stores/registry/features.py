"""What has to be found out about a registry: whether it takes several tags in one PUT, whether DELETE removes a tag,
and whether a HEAD says what a GET would.

The specification left these open for long, or they are done otherwise all the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from msgspec import Struct, field

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.artifact import artifact, as_image, write_empty
from tagflow.stores.port import Manifest, Store, TypeRefused
from tagflow.stores.registry.answers import refusal
from tagflow.stores.registry.http.pace import Transient
from tagflow.stores.registry.http.transport import Answer
from tagflow.stores.registry.session import Session


class MultiTagPut:
    """What is known of one registry. Safe for use by several threads."""

    def __init__(self) -> None:
        self._trial = threading.Lock()
        self._works: bool | None = None

    def place(self, session: Session, manifest: Manifest, unmoved: Callable[[], list[str]]) -> bool:
        """Put the tags that are still ``unmoved`` at a manifest. False where the registry surely set
        none, for it does not do that.

        :raises StoreError: as :meth:`Session.write`.
        """
        if self._works:
            return self._put(session, manifest, unmoved()) is not False
        with self._trying() as trying:
            if trying:
                self._works = self._put(session, manifest, unmoved())
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


ARTIFACT_TYPE = "application/vnd.tagflow.trial.v1+json"
_NO_HEAD = frozenset({400, 403, 404, 405, 501})
_POSSIBLE = (202, 404)
"""What a registry that removes tags answers for one that is not there."""


class TagDeletion:
    """What is known of one registry. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._is_asked = False

    def refusal(self, store: Store, session: Session, *, trial: bool = True) -> str:
        """Why no tag can be removed there; empty where one can. The first call tries it, in the given repository;
        without a ``trial`` it asks once for the removal of a tag that is not there, which many refuse outright.

        :raises StoreError: where the trial fails; the next call tries again.
        """
        with self._lock:
            if self._reason is None:
                if not trial:
                    self._reason = None if self._is_asked else _refused_outright(session)
                    self._is_asked = True
                    return self._reason or ""
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
        hint="Remove it with the registry's own tools, or finish its release: `tagflow status` shows how.",
    )


def _refused_outright(session: Session) -> str | None:
    """Why no tag is ever removed; None where that is not known: it takes a trial, or a right that is missing here."""
    try:
        answer = session.remove(_trial_tags()[0])
    except (Transient, StoreError):
        return None
    known = answer.status in _POSSIBLE or answer.status in (401, 403) or answer.status >= 500
    return None if known else f"HTTP {answer.status}"


def _trial_tags() -> tuple[str, str]:
    nonce = os.urandom(6).hex()
    return f"_tagflow.try.{nonce[:-1]}0", f"_tagflow.try.{nonce[:-1]}1"


def _tried(store: Store, session: Session) -> str:
    first, second = _trial_tags()
    answer = session.remove(first)
    if answer.status == 403 or answer.status >= 500:
        raise refusal(answer, store.repository, "remove tags")
    if answer.status not in _POSSIBLE:
        return f"HTTP {answer.status}"
    write_empty(store)
    manifest = artifact(ARTIFACT_TYPE, {"io.tagflow.trial": first.rpartition(".")[2]})
    try:
        store.put(manifest, first)
    except TypeRefused:
        manifest = artifact(ARTIFACT_TYPE, as_image(ARTIFACT_TYPE, manifest.annotations))
        store.put(manifest, first)
    store.put(manifest, second)
    answer = session.remove(first)
    if store.resolve(second) != manifest.digest:
        return "it would remove the image with all its tags"
    session.remove(second)
    return "" if store.resolve(first) is None else f"HTTP {answer.status}"


class Heads:
    """Whether a HEAD of a manifest can be believed. Safe for use by several threads.

    Some servers refuse it (400, 403, 404, 405, 501) for manifests that a GET gives. So a refusal is believed only of a
    registry that has answered one with 200, and elsewhere a GET is asked, too.
    """

    def __init__(self) -> None:
        self._works = self._refused = False

    @property
    def refused(self) -> bool:
        """Whether it is not worth asking."""
        return self._refused and not self._works

    def believed(self, answer: Answer) -> bool:
        """Whether the answer to a HEAD is what a GET would say."""
        self._works = self._works or answer.status == 200
        return answer.status not in _NO_HEAD or (answer.status == 404 and self._works)

    def contradicted(self, answer: Answer) -> None:
        """A GET gave what a HEAD had answered with ``answer``. That a tag came between the two is no reason to do
        without HEAD, which is free where a GET counts as a pull."""
        self._refused = self._refused or answer.status != 404


class Features(Struct, frozen=True):
    """What is found out about one registry, shared by its repositories."""

    deletion: TagDeletion = field(default_factory=TagDeletion)
    several_tags: MultiTagPut = field(default_factory=MultiTagPut)
    heads: Heads = field(default_factory=Heads)
