"""Requests about one repository, each with the rights that it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TypeVar

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.port import MANIFEST_LIMIT, MANIFEST_TYPES, Chunks
from tagflow.stores.registry.answers import knows_no_repository
from tagflow.stores.registry.auth.clouds import create_repository
from tagflow.stores.registry.auth.tokens import Scope, Scopes
from tagflow.stores.registry.client import Connection
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.retries import RetryBudget
from tagflow.stores.registry.http.transport import Answer, Request, Stream

ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
"""Always all four: a registry converts a manifest, or denies having it, for a client that knows only some."""
MOST_PAGES = 10_000
LIST_SECONDS = 600.0
"""The longest time for all pages of one list."""
T = TypeVar("T")


class Session:
    """Requests about one repository. Safe for use by several threads.

    Reads ask for the right to pull. From the first write on, or from the start where tags will be moved, they ask for
    push along with it, which saves a second token; where that is refused, they do with pull. ``creates`` overrules the
    settings: whether a missing repository is created.
    """

    def __init__(self, connection: Connection, repository: Repository, *, creates: bool | None = None) -> None:
        self._connection, self.repository = connection, repository
        self._pushes = connection.settings.writes
        self._may_push = True
        self._may_create = connection.settings.create_repositories if creates is None else creates
        self._creating, self._created = threading.Lock(), False

    def retry_budget(self) -> RetryBudget:
        """What is left of the retries for one operation."""
        return self._connection.retry_budget()

    def read(self, method: str, target: str, *, limit: int = MANIFEST_LIMIT, follow: bool = False) -> Answer:
        """The answer to a GET or HEAD; ``target`` is below the repository, or an address that the registry gave.

        :raises StoreError: as :meth:`Connection.send`.
        """
        request = Request(method, self._url(target), ACCEPT, limit=limit, follow=follow)
        return self._with_least_rights(lambda scopes: self._connection.send(request, scopes))

    @contextmanager
    def open(self, target: str, headers: Mapping[str, str]) -> Iterator[Stream]:
        """The content of a GET as a stream, after redirects; one try.

        :raises Transient: where another try may help.
        :raises StoreError: as :meth:`Connection.send`.
        """
        request = Request("GET", self._url(target), headers, follow=True)
        with ExitStack() as stack:
            yield self._with_least_rights(
                lambda scopes: stack.enter_context(self._connection.open(request, scopes)),
            )

    def write(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Chunks = b"",
        once: bool = False,
        source: Repository | None = None,
        silence: float | None = None,
    ) -> Answer:
        """The answer to a request that changes something; ``source`` is a repository that it reads from, ``silence``
        how long the registry may think about it, in seconds.

        :raises Transient: only with ``once``: another try may help, and the caller knows whether it may be made.
        :raises StoreError: as :meth:`Connection.send`.
        """
        self._pushes = True
        scopes: Scopes = (Scope(self.repository.path, push=True),)
        scopes += (Scope(source.path),) if source else ()
        size = {} if callable(body) else {"Content-Length": str(len(body))}
        request = Request(method, self._url(target), {**size, **(headers or {})}, body, silence=silence)
        answer = self._connection.send(request, scopes, once=once)
        if knows_no_repository(answer) and self._creates():
            return self._connection.send(request, scopes, once=once)
        return answer

    def remove(self, tag: str) -> Answer:
        """The answer to the DELETE of a tag. The right to delete is asked for along with push; Quay's token server
        knows no such right and refuses to hear of it: push is enough there.

        :raises Transient: another try may help.
        :raises StoreError: as :meth:`Connection.send`.
        """
        request = Request("DELETE", self._url(f"manifests/{tag}"), {"Content-Length": "0"}, b"")
        scope = Scope(self.repository.path, push=True, delete=True)
        try:
            return self._connection.send(request, (scope,), once=True)
        except StoreError as exc:
            if exc.code != "auth.denied":
                raise
        return self._connection.send(request, (replace(scope, delete=False),), once=True)

    def pages(self, target: str, limit: int) -> Iterator[Answer]:
        """The answers along ``Link: rel="next"`` (distribution-spec 1.1, "Listing Tags"), all of this registry.

        :raises StoreError: ``registry.invalid_answer`` where they lead elsewhere, in a circle or nowhere.
        """
        visited: set[str] = set()
        end = time.monotonic() + LIST_SECONDS
        next_target: str | None = target
        while next_target:
            answer = self.read("GET", next_target, limit=limit)
            yield answer
            visited.add(answer.url)
            next_target = _next_page(answer)
            if next_target in visited or len(visited) >= MOST_PAGES or (next_target and time.monotonic() > end):
                raise invalid(answer.url, "gives a list that never ends")

    def _creates(self) -> bool:
        """Whether the repository was created just now, by us or by another thread."""
        if not self._may_create:
            return False
        with self._creating:
            self._created = self._created or create_repository(self.repository)
            return self._created

    def _url(self, target: str) -> str:
        return target if "://" in target else f"{self._connection.base}/v2/{self.repository.path}/{target}"

    def _with_least_rights(self, ask: Callable[[Scopes], T]) -> T:
        scope = Scope(self.repository.path, self._pushes and self._may_push)
        try:
            return ask((scope,))
        except StoreError as exc:
            if exc.code != "auth.denied" or not scope.push:
                raise
        self._may_push = False
        return ask((Scope(self.repository.path),))


def _next_page(answer: Answer) -> str | None:
    link = addresses.next_link(answer.headers.get("Link"))
    if link is None:
        return None
    address = addresses.resolve(answer.url, link)
    if address is None or not addresses.same_host(address, answer.url):
        raise invalid(answer.url, "continues its list at an address that is not its own")
    return addresses.with_scheme_of(address, answer.url)
