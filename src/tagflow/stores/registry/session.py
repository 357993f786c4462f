"""Requests about one repository, each with the rights that it needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from msgspec.structs import replace

from tagflow.domain.reference import Repository
from tagflow.stores.port import MANIFEST_LIMIT, MANIFEST_TYPES, Chunks
from tagflow.stores.registry.answers import knows_no_repository
from tagflow.stores.registry.auth.authenticator import AccessDenied
from tagflow.stores.registry.auth.clouds import create_repository
from tagflow.stores.registry.auth.tokens import Scope, Scopes
from tagflow.stores.registry.client import Client
from tagflow.stores.registry.http.pace import RetryBudget
from tagflow.stores.registry.http.transport import REDIRECTING, Answer, Request, Stream

MANIFESTS = ", ".join(MANIFEST_TYPES)
"""Always all four: a registry converts a manifest, or denies having it, for a client that knows only some."""
JSON = "application/json"
ANYTHING = "*/*"
T = TypeVar("T")


class Session:
    """Requests about one repository. Safe for use by several threads.

    Reads ask for the right to pull. From the first write on, or from the start where tags will be moved, they ask for
    push along with it, which saves a second token; where that is refused, they do with pull. ``creates`` overrules the
    settings: whether a missing repository is created.
    """

    def __init__(self, client: Client, repository: Repository, *, creates: bool | None = None) -> None:
        self._client, self.repository = client, repository
        self._pushes = client.settings.writes
        self._may_push = True
        self._may_create = client.settings.create_repositories if creates is None else creates
        self._creating, self._created = threading.Lock(), False

    @property
    def base(self) -> str:
        """Scheme and host of the registry."""
        return self._client.base

    def retry_budget(self) -> RetryBudget:
        """What is left of the retries for one operation."""
        return self._client.retry_budget()

    def read(
        self,
        method: str,
        target: str,
        *,
        accept: str = ANYTHING,
        limit: int = MANIFEST_LIMIT,
        follow: Collection[int] = REDIRECTING,
    ) -> Answer:
        """The answer to a GET or HEAD, after redirects; ``target`` is below the repository, or an address that the
        registry gave; ``follow`` as in :class:`Request`.

        :raises StoreError: as :meth:`Client.send`.
        """
        request = Request(method, self._url(target), {"Accept": accept}, limit=limit, follow=follow)
        return self._with_least_rights(lambda scopes: self._client.send(request, scopes))

    def log_in(self) -> bool:
        """Log in although nobody asked for it, where a credential is known; whether that changes what is asked next.

        :raises StoreError: as :meth:`Client.send`.
        """
        return self._with_least_rights(self._client.log_in)

    @contextmanager
    def open(self, target: str, headers: Mapping[str, str]) -> Iterator[Stream]:
        """The content of a GET as a stream, after redirects; one try.

        :raises Transient: where another try may help.
        :raises StoreError: as :meth:`Client.send`.
        """
        request = Request("GET", self._url(target), headers, follow=REDIRECTING)
        with ExitStack() as stack:
            yield self._with_least_rights(
                lambda scopes: stack.enter_context(self._client.open(request, scopes)),
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
        before: Callable[[], None] | None = None,
    ) -> Answer:
        """The answer to a request that changes something; ``source`` is a repository that it reads from, ``silence``
        how long the registry may think about it, in seconds; ``before`` as in :class:`Request`.

        :raises Transient: only with ``once``: another try may help, and the caller knows whether it may be made.
        :raises StoreError: as :meth:`Client.send`.
        """
        self._pushes = True
        scopes: Scopes = (Scope(self.repository.path, push=True),)
        scopes += (Scope(source.path),) if source else ()
        size = {} if callable(body) else {"Content-Length": str(len(body))}
        request = Request(method, self._url(target), {**size, **(headers or {})}, body, silence=silence, before=before)
        answer = self._client.send(request, scopes, once=once)
        if knows_no_repository(answer) and self._creates():
            return self._client.send(request, scopes, once=once)
        return answer

    def remove(self, tag: str) -> Answer:
        """The answer to the DELETE of a tag. The right to delete is asked for along with push; Quay's token server
        knows no such right and refuses to hear of it: push is enough there.

        :raises Transient: another try may help.
        :raises StoreError: as :meth:`Client.send`.
        """
        request = Request("DELETE", self._url(f"manifests/{tag}"), {"Content-Length": "0"}, b"")
        scope = Scope(self.repository.path, push=True, delete=True)
        try:
            return self._client.send(request, (scope,), once=True)
        except AccessDenied:
            return self._client.send(request, (replace(scope, delete=False),), once=True)

    def _creates(self) -> bool:
        """Whether the repository was created just now, by us or by another thread."""
        if not self._may_create:
            return False
        with self._creating:
            self._created = self._created or create_repository(self.repository)
            return self._created

    def _url(self, target: str) -> str:
        return target if "://" in target else f"{self._client.base}/v2/{self.repository.path}/{target}"

    def _with_least_rights(self, ask: Callable[[Scopes], T]) -> T:
        scope = Scope(self.repository.path, self._pushes and self._may_push)
        try:
            return ask((scope,))
        except AccessDenied:
            if not scope.push:
                raise
        self._may_push = False
        return ask((Scope(self.repository.path),))
