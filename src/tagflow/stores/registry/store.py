"""Repositories in a registry, through the OCI distribution API (distribution-spec 1.1)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import StoreError
from tagflow.stores.port import Checkup, Chunks, Descriptor, Guard, Manifest, TagMoved
from tagflow.stores.registry.auth.credentials import Keychain
from tagflow.stores.registry.blobs import Download, Upload, is_there, mount
from tagflow.stores.registry.client import Client, Health
from tagflow.stores.registry.features import Features, undeletable
from tagflow.stores.registry.http.pace import RetryBudget, Settings, Transient
from tagflow.stores.registry.listing import ReferrersTag, all_tags, listed_by_api, unique
from tagflow.stores.registry.manifests import Manifests
from tagflow.stores.registry.session import Session


class RegistryHost:
    """One registry. Its repositories share connections and logins; a ``keychain`` may be shared with other registries.

    Safe for use by several threads.
    """

    def __init__(self, host: str, settings: Settings, keychain: Keychain | None = None) -> None:
        self._client, self._features = Client(host, settings, keychain), Features()
        self._lock = threading.Lock()
        self._stores: dict[str, RegistryStore] = {}

    def store(self, path: str) -> RegistryStore:
        """The repository at ``path``; the same path gives the same store."""
        with self._lock:
            if path not in self._stores:
                self._client.expect(path)
                self._stores[path] = RegistryStore(self._client, path, self._features)
            return self._stores[path]

    def ping(self) -> Health:
        """How the registry answers, logged in.

        :raises StoreError: ``registry.*``, ``auth.denied``, ``credentials.*``.
        """
        return self._client.ping()

    def examine(self, repositories: Sequence[Repository], now: datetime, threads: int = 8) -> Checkup:
        """A look at the registry and at what may be done with ``repositories`` there. It raises nothing."""
        from tagflow.stores.registry.checkup import examine  # for `doctor` alone

        with ThreadPoolExecutor(threads, thread_name_prefix="tagflow-doctor") as pool:
            return examine(self._client, repositories, lambda look, them: list(pool.map(look, them)), now)

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()


class RegistryStore:
    """One repository of a registry: a :class:`~tagflow.stores.port.Store`."""

    def __init__(self, client: Client, path: str, features: Features) -> None:
        self._repository = Repository(client.host, path)
        self._features = features
        self._session = Session(client, self._repository)
        self._manifests = Manifests(self._session, features.heads)
        self._referrers_tag = ReferrersTag(self)

    @property
    def repository(self) -> Repository:
        """Which repository this is."""
        return self._repository

    def tags(self) -> list[str]:
        """All tags, asked for now: :func:`all_tags`."""
        return all_tags(self._session)

    def resolve(self, tag: str) -> Digest | None:
        """The digest at which a tag stands: :meth:`Manifests.look`."""
        return self._manifests.look(tag)

    def get(self, reference: str, *, current: bool = False) -> Manifest:  # noqa: ARG002
        """The manifest: :meth:`Manifests.get`."""
        return self._manifests.get(reference)

    def has(self, digest: Digest) -> bool:
        """Whether a manifest is there."""
        return self._manifests.look(digest) is not None

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store a manifest; what the registry made of it must have our digest. Every further try looks first.

        :raises Refused: ``tag.immutable``.
        :raises StoreError: as :meth:`Manifests.put`.
        """
        budget, reference = self._session.retry_budget(), tag or manifest.digest
        while True:
            try:
                return self._put(manifest, tag)
            except Transient as failure:
                if manifest.subject and not tag:  # only an answer says whether the registry lists it by itself
                    budget.wait(failure)
                    continue
                self._wait(budget, failure, reference, manifest.digest)
            if self.resolve(reference) == manifest.digest:
                return self._list_again(manifest)

    def create(self, tag: str, manifest: Manifest) -> None:
        """Look, PUT, read back: a list of tags, however fresh, is no look at that moment."""
        self.move(tag, manifest, None)

    def move(
        self,
        tag: str,
        manifest: Manifest,
        expected: Digest | None,
        *,
        looked: bool = False,
        confirm: bool = True,
        guard: Guard | None = None,
    ) -> None:
        """Check, PUT, read back: registries have no compare-and-swap. Every further try checks anew."""
        budget = self._session.retry_budget()
        actual = expected if looked and expected != manifest.digest else self.resolve(tag)
        lost = False
        while actual != manifest.digest:
            if actual != expected:
                raise TagMoved(self._repository, tag, expected, actual)
            if guard is not None:
                guard.prepare()
            try:
                self._put(manifest, tag, None if guard is None else partial(guard.allow, None))
            except Transient as failure:
                lost = True
                self._wait(budget, failure, tag, manifest.digest)
                actual = self.resolve(tag)
            else:
                return self.confirm(tag, manifest.digest, expected) if confirm else None
        if lost:
            self._list_again(manifest)
        return None

    def confirm(self, tag: str, wanted: Digest, before: Digest | None) -> None:
        """See the tag at its new digest; a replica that lags behind shows the old one for a while."""
        budget = self._session.retry_budget()
        while (actual := self.resolve(tag)) != wanted:
            moved = TagMoved(self._repository, tag, wanted, actual)
            if actual != before:
                raise moved
            budget.wait(Transient(moved))

    def place(self, manifest: Manifest, moves: Mapping[str, Digest | None], *, looked: bool = False) -> bool:
        """Several tags in one PUT, where the registry proves that it takes them."""

        def unmoved() -> list[str]:
            return [tag for tag, before in moves.items() if looked or self.resolve(tag) == before]

        return self._features.several_tags.place(self._session, manifest, unmoved)

    def untag(self, tag: str, expected: Digest) -> None:
        """DELETE of the tag, never of a digest, and only where a registry has shown that nothing else goes with it."""
        actual = self.resolve(tag)
        if actual != expected:
            raise TagMoved(self._repository, tag, expected, actual)
        self.refuse_untag(tag)
        try:
            answer = self._session.remove(tag)
        except Transient as failure:
            if self.resolve(tag) is None:
                return
            raise failure.error from failure
        if self.resolve(tag) is not None:
            raise undeletable(self._repository, tag, f"HTTP {answer.status}")

    def refuse_untag(self, tag: str, *, trial: bool = True) -> None:
        """As any store; the first call tries it, under tags of its own."""
        if reason := self._features.deletion.refusal(self, self._session, trial=trial):
            raise undeletable(self._repository, tag, reason)

    def has_blob(self, digest: Digest) -> bool:
        """Whether a blob is there. A registry that refuses to say so is an error, never "not there"."""
        return is_there(self._session, digest)

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        """The content, streamed, resumed where the connection breaks."""
        return Download(self._session, blob).run()

    def write_blob(self, blob: Descriptor, content: Chunks) -> None:
        """Upload a blob, unless it is there."""
        if not self.has_blob(blob.digest):
            Upload(self._session, blob).run(content)

    def mount(self, blob: Descriptor, source: Repository) -> bool:
        """Mount; rights to both repositories are asked for at once."""
        return source.host == self._repository.host and mount(self._session, source, blob)

    def referrers(self, digest: Digest) -> list[Descriptor]:
        """By the API, else by the fallback tag. A registry that is throttled or fails is an error, never "none"."""
        listed = listed_by_api(self._session, digest)
        return unique(self._referrers_tag.read(digest) if listed is None else listed)

    def _put(self, manifest: Manifest, tag: str | None, before: Callable[[], None] | None = None) -> None:
        """One try; ``before`` is asked right before it is sent.

        :raises Transient: it may have arrived, or not.
        """
        listed = self._manifests.put(manifest, tag, before)
        if manifest.subject and not listed:
            self._referrers_tag.add(manifest.subject.digest, manifest)

    def _list_again(self, manifest: Manifest) -> None:
        """Store a manifest that refers to another once more, by its digest, where an answer was lost: only an answer
        says whether the registry lists it by itself."""
        if manifest.subject:
            self.put(manifest)

    def _wait(self, budget: RetryBudget, failure: Transient, tag: str, wanted: Digest) -> None:
        """Wait for the next try; where there is none, the last one may still have moved the tag."""
        try:
            budget.wait(failure)
        except StoreError:
            if self.resolve(tag) != wanted:
                raise
