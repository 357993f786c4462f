"""Repositories in a registry, through the OCI distribution API (distribution-spec 1.1)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from tagflow.domain.reference import Digest, Repository, is_digest, is_tag
from tagflow.errors import NotFound, Refused, StoreError
from tagflow.stores.port import MANIFEST_LIMIT, Checkup, Chunks, Descriptor, Guard, Manifest, TagMoved, read_manifest
from tagflow.stores.registry.answers import (
    content_digest,
    content_type,
    explanation,
    has_no_referrers_api,
    is_immutable,
    names_unknown_parts,
    read_tags,
    refusal,
)
from tagflow.stores.registry.auth.credentials import Keychain
from tagflow.stores.registry.blobs import Download, Upload, mount
from tagflow.stores.registry.checkup import examine
from tagflow.stores.registry.client import Connection, Health
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.retries import RetryBudget, Transient
from tagflow.stores.registry.http.settings import Settings
from tagflow.stores.registry.http.transport import Answer
from tagflow.stores.registry.referrers import ReferrersTag, parse_referrers, unique
from tagflow.stores.registry.session import Session
from tagflow.stores.registry.tags import MultiTagPut, TagDeletion, undeletable
from tagflow.stores.stream import matches

_PAGE_SIZE = 1000
_PAGE_LIMIT = 32 * 1024 * 1024
"""Bytes. distribution 2.8 gives all tags at once."""
_MOST_TAGS = 1_000_000
_NO_HEAD = (400, 401, 403, 405)


class RegistryHost:
    """One registry. Its repositories share connections and logins; a ``keychain`` may be shared with other registries.

    Safe for use by several threads.
    """

    def __init__(self, host: str, settings: Settings, keychain: Keychain | None = None) -> None:
        self._connection = Connection(host, settings, keychain)
        self._lock = threading.Lock()
        self._stores: dict[str, RegistryStore] = {}
        self._deletion, self._multitag = TagDeletion(), MultiTagPut()

    def store(self, path: str) -> RegistryStore:
        """The repository at ``path``; the same path gives the same store."""
        with self._lock:
            if path not in self._stores:
                self._stores[path] = RegistryStore(self._connection, path, self._deletion, self._multitag)
            return self._stores[path]

    def ping(self) -> Health:
        """How the registry answers, logged in.

        :raises StoreError: ``registry.*``, ``auth.denied``, ``credentials.*``.
        """
        return self._connection.ping()

    def examine(self, repositories: Sequence[Repository], now: datetime, threads: int = 8) -> Checkup:
        """A look at the registry and at what may be done with ``repositories`` there. It raises nothing."""
        with ThreadPoolExecutor(threads, thread_name_prefix="tagflow-doctor") as pool:
            return examine(self._connection, repositories, lambda look, them: list(pool.map(look, them)), now)

    def close(self) -> None:
        """Drop the connections."""
        self._connection.close()


class RegistryStore:
    """One repository of a registry: a :class:`~tagflow.stores.port.Store`."""

    def __init__(self, connection: Connection, path: str, deletion: TagDeletion, multitag: MultiTagPut) -> None:
        self._repository = Repository(connection.host, path)
        self._deletion, self._multitag = deletion, multitag
        self._session = Session(connection, self._repository)
        self._referrers_tag = ReferrersTag(self)

    @property
    def repository(self) -> Repository:
        """Which repository this is."""
        return self._repository

    def tags(self) -> list[str]:
        """All tags; names that are none (distribution-spec 1.1, "Pulling manifests") are left out."""
        found: set[str] = set()
        for number, answer in enumerate(self._session.pages(f"tags/list?n={_PAGE_SIZE}", _PAGE_LIMIT)):
            if number == 0 and answer.status == 404:
                return []
            found.update(filter(is_tag, read_tags(self._expect(answer, "list tags"))))
            if len(found) > _MOST_TAGS:
                raise invalid(answer.url, f"lists more than {_MOST_TAGS} tags")
        return sorted(found)

    def resolve(self, tag: str) -> Digest | None:
        """The digest at which a tag stands, by a HEAD: registries count a GET as a pull."""
        answer = self._head(tag)
        if answer is None:
            return None
        return content_digest(answer) or self._digest_of(tag)

    def get(self, reference: str, *, current: bool = False) -> Manifest:  # noqa: ARG002
        """The manifest, hashed here.

        :raises NotFound: ``manifest.not_found``.
        :raises StoreError: ``manifest.digest_mismatch``, ``manifest.unsupported``, ``manifest.invalid``.
        """
        answer = self._session.read("GET", f"manifests/{reference}", limit=MANIFEST_LIMIT)
        if answer.status == 404:
            raise NotFound("manifest.not_found", f"{self._repository} has no manifest {reference}")
        self._expect(answer, f"read manifest {reference}")
        wanted = Digest(reference) if is_digest(reference) else content_digest(answer)
        if wanted and not matches(answer.body, wanted):
            raise self._mismatch(reference, wanted)
        return read_manifest(answer.body, content_type(answer), f"{self._repository}: {reference}", wanted)

    def has(self, digest: Digest) -> bool:
        """Whether a manifest is there."""
        return self._head(digest) is not None

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store a manifest; what the registry made of it must have our digest. Every further try looks first.

        :raises Refused: ``tag.immutable``.
        :raises StoreError: ``manifest.digest_mismatch``, ``repository.not_found``, ``registry.*``, ``auth.denied``.
        """
        budget, reference = self._session.retry_budget(), tag or manifest.digest
        while True:
            try:
                return self._check_stored(self._put(manifest, tag), manifest, tag)
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
                guard(None)
            try:
                answer = self._put(manifest, tag)
            except Transient as failure:
                lost = True
                self._wait(budget, failure, tag, manifest.digest)
                actual = self.resolve(tag)
            else:
                self._check_stored(answer, manifest, tag)
                return self._read_back(tag, manifest.digest, expected)
        if lost:
            self._list_again(manifest)
        return None

    def place(self, manifest: Manifest, moves: Mapping[str, Digest | None], *, looked: bool = False) -> bool:
        """Several tags in one PUT, where the registry proves that it takes them."""

        def unmoved() -> list[str]:
            return [tag for tag, before in moves.items() if looked or self.resolve(tag) == before]

        return self._multitag.place(self._session, manifest, unmoved)

    def untag(self, tag: str, expected: Digest) -> None:
        """DELETE of the tag, never of a digest, and only where a registry has shown that nothing else goes with it."""
        actual = self.resolve(tag)
        if actual != expected:
            raise TagMoved(self._repository, tag, expected, actual)
        if reason := self._deletion.refusal(self, self._session):
            raise undeletable(self._repository, tag, reason)
        try:
            answer = self._session.remove(tag)
        except Transient as failure:
            if self.resolve(tag) is None:
                return
            raise failure.error from failure
        if self.resolve(tag) is not None:
            raise undeletable(self._repository, tag, f"HTTP {answer.status}")

    def has_blob(self, digest: Digest) -> bool:
        """Whether a blob is there. Where a redirect leads to storage that refuses a HEAD, a GET is begun instead."""
        answer = self._session.read("HEAD", f"blobs/{digest}", follow=True)
        if answer.redirected and answer.status in _NO_HEAD:
            return self._opens(digest)
        return self._is_there(answer, f"look for blob {digest}")

    def read_blob(self, blob: Descriptor) -> Iterator[bytes]:
        """The content, streamed, resumed where the connection breaks."""
        return Download(self._session, blob).run()

    def write_blob(self, blob: Descriptor, content: Chunks) -> None:
        """Upload a blob, unless it is there."""
        if not self.has_blob(blob.digest):
            Upload(self._session, blob).run(content, is_there=lambda: self.has_blob(blob.digest))

    def mount(self, blob: Descriptor, source: Repository) -> bool:
        """Mount; rights to both repositories are asked for at once."""
        return source.host == self._repository.host and mount(self._session, source, blob)

    def referrers(self, digest: Digest) -> list[Descriptor]:
        """By the API, else by the fallback tag. A registry that is throttled or fails is an error, never "none"."""
        found: list[Descriptor] = []
        for number, answer in enumerate(self._session.pages(f"referrers/{digest}", MANIFEST_LIMIT)):
            if number == 0 and has_no_referrers_api(answer):
                return unique(self._referrers_tag.read(digest))
            self._expect(answer, f"list what refers to {digest}")
            found += parse_referrers(answer.body, f"{self._repository}, referrers of {digest}")
        return unique(found)

    def _head(self, reference: str) -> Answer | None:
        answer = self._session.read("HEAD", f"manifests/{reference}")
        return None if answer.status == 404 else self._expect(answer, f"look for {reference}")

    def _digest_of(self, tag: str) -> Digest | None:
        try:
            return self.get(tag).digest
        except NotFound:
            return None

    def _put(self, manifest: Manifest, tag: str | None) -> Answer:
        """One try. Never a second one by itself: somebody may have moved the tag meanwhile.

        :raises Transient: it may have arrived, or not.
        """
        return self._session.write(
            "PUT",
            f"manifests/{tag or manifest.digest}",
            headers={"Content-Type": manifest.media_type},
            body=manifest.content,
            once=True,
        )

    def _check_stored(self, answer: Answer, manifest: Manifest, tag: str | None) -> None:
        if answer.status != 201:
            return self._check_refused(answer, manifest, tag)
        stored = content_digest(answer) or self.get(tag or manifest.digest).digest
        if stored != manifest.digest:
            raise self._mismatch(tag or manifest.digest, manifest.digest)
        if manifest.subject and "OCI-Subject" not in answer.headers:
            self._referrers_tag.add(manifest.subject.digest, manifest)
        return None

    def _list_again(self, manifest: Manifest) -> None:
        """Store a manifest that refers to another once more, by its digest, where an answer was lost: only an answer
        says whether the registry lists it by itself."""
        if manifest.subject:
            self.put(manifest)

    def _check_refused(self, answer: Answer, manifest: Manifest, tag: str | None) -> None:
        """A refused PUT is none where the tag has the digest already: ECR refuses even that to an immutable tag."""
        actual = self.resolve(tag) if tag and 400 <= answer.status < 500 and answer.status != 404 else None
        if actual == manifest.digest:
            return
        if actual and is_immutable(answer, self._repository.host):
            raise Refused(
                "tag.immutable",
                f"{self._repository}:{tag} is immutable in the registry and stands at {actual}",
                hint="Except this tag from the registry's rule for immutable tags, or choose another version.",
            )
        if names_unknown_parts(answer):
            explained = f"{self._repository}: cannot store manifest {tag or manifest.digest} before its parts"
            raise StoreError(
                "manifest.incomplete", f"{explained} ({explanation(answer)})", hint="Run the command again."
            )
        raise refusal(answer, self._repository, f"store manifest {tag or manifest.digest}")

    def _wait(self, budget: RetryBudget, failure: Transient, tag: str, wanted: Digest) -> None:
        """Wait for the next try; where there is none, the last one may still have moved the tag."""
        try:
            budget.wait(failure)
        except StoreError:
            if self.resolve(tag) != wanted:
                raise

    def _read_back(self, tag: str, wanted: Digest, before: Digest | None) -> None:
        """See the tag at its new digest; a replica that lags behind shows the old one for a while."""
        budget = self._session.retry_budget()
        while (actual := self.resolve(tag)) != wanted:
            moved = TagMoved(self._repository, tag, wanted, actual)
            if actual != before:
                raise moved
            budget.wait(Transient(moved))

    def _opens(self, digest: Digest) -> bool:
        try:
            with self._session.open(f"blobs/{digest}", {}) as stream:
                return self._is_there(stream.answer, f"look for blob {digest}")
        except Transient as failure:
            raise failure.error from failure

    def _is_there(self, answer: Answer, doing: str) -> bool:
        return answer.status != 404 and bool(self._expect(answer, doing))

    def _expect(self, answer: Answer, doing: str) -> Answer:
        if answer.status != 200:
            raise refusal(answer, self._repository, doing)
        return answer

    def _mismatch(self, reference: str, wanted: Digest) -> StoreError:
        return StoreError(
            "manifest.digest_mismatch",
            f"{self._repository}: the content of {reference} does not have the digest {wanted}",
            hint="The registry, or something on the way to it, changes manifests.",
        )
