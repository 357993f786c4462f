"""Lists: tags and referrers, in pages; and the index of referrers, kept by hand where the registry keeps none.

distribution-spec 1.1, "Referrers Tag Schema" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from tagflow.domain.reference import Digest, Repository, is_tag
from tagflow.errors import NotFound, StoreError
from tagflow.stores.port import MANIFEST_LIMIT, OCI_INDEX, Descriptor, Manifest, Store, TagMoved, parse_descriptor
from tagflow.stores.registry.answers import has_no_referrers_api, read_tags, refusal, refuses_page_size
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.transport import REDIRECTING, Answer
from tagflow.stores.registry.session import JSON, Session
from tagflow.stores.registry.vendors import ecr
from tagflow.stores.stream import matches

PAGE_SIZE = 1000
PAGE_LIMIT = 32 * 1024 * 1024
"""Bytes. distribution 2.8 gives all tags at once."""
MOST_PAGES = 10_000
MOST_TAGS = 1_000_000
LIST_SECONDS = 600.0
"""The longest time for all pages of one list."""
_USUAL_SIZE = 50
"""Registries have smaller pages than was asked for, of round sizes: 50, 100, 500. A page as long as that is continued,
too, link or not; it costs one request, where a list happens to end there."""


def all_tags(session: Session) -> list[str]:
    """All tags of a repository, sorted, asked for now; empty where there is no such repository. Names that are no tags
    (distribution-spec 1.1, "Pulling manifests") are left out.

    A list that a stranger finds empty is asked for again, logged in, where a credential is known.

    :raises StoreError: as :meth:`Session.read`, ``registry.invalid_answer``.
    """
    found, authorized = _names(session)
    if not found and not authorized and session.log_in():
        found, _ = _names(session)
    return sorted(filter(is_tag, found))


def pages(
    session: Session, target: str, accept: str, limit: int, follow: Collection[int] = REDIRECTING
) -> Iterator[Answer]:
    """The answers along ``Link: rel="next"``, all of this registry; ``follow`` as in :class:`Request`.

    :raises StoreError: ``registry.invalid_answer`` where they lead elsewhere or in a circle, or cannot be read.
    """
    visited: set[str] = set()
    end = time.monotonic() + LIST_SECONDS
    next_target: str | None = target
    while next_target:
        answer = session.read("GET", next_target, accept=accept, limit=limit, follow=follow)
        yield answer
        visited.add(answer.url)
        next_target = _next_page(session, answer)
        if next_target in visited or len(visited) >= MOST_PAGES or (next_target and time.monotonic() > end):
            raise invalid(answer.url, "gives a list that never ends")


def _names(session: Session) -> tuple[set[str], bool]:
    """What a registry lists, and the pages behind, to which some give no link: Nexus, for one, heeds ``n``, and is to
    be asked with ``last``. And whether it was asked by somebody whom it knows."""
    found: set[str] = set()
    end = time.monotonic() + LIST_SECONDS
    query: dict[str, str | int] = {"n": PAGE_SIZE}
    ends_with: Callable[[Answer], bool] = _no_repository
    while True:
        known, page = len(found), list[str]()
        for number, answer in enumerate(pages(session, f"tags/list?{urlencode(query)}", JSON, PAGE_LIMIT)):
            if number == 0 and ends_with(answer):
                return found, answer.authorized
            if refuses_page_size(answer) and query.pop("n", 0):
                break
            if answer.status != 200:
                raise refusal(answer, session.repository, "list tags")
            page = read_tags(answer)
            found.update(page)
            if len(found) > MOST_TAGS:
                raise invalid(answer.url, f"lists more than {MOST_TAGS} tags")
        if answer.status != 200:
            continue  # asked again, for pages as it likes them
        if len(found) == known or not _may_go_on(page):
            return found, answer.authorized
        if time.monotonic() > end:
            raise invalid(answer.url, "gives a list that never ends")
        query["last"] = page[-1]
        links = ecr(session.repository.host) is not None  # it would have, and it answers `last` with 405
        ends_with = _nothing if len(page) == PAGE_SIZE and not links else _knows_no_last


def _no_repository(answer: Answer) -> bool:
    return answer.status == 404


def _nothing(_: Answer) -> bool:
    """Behind a full page there is an answer, if only an empty one."""
    return False


def _knows_no_last(answer: Answer) -> bool:
    """A page that was not full was the last one by the specification; who ends there need not know ``last``."""
    return 400 <= answer.status < 500


def _may_go_on(page: list[str]) -> bool:
    return len(page) == PAGE_SIZE or (len(page) > 0 and len(page) % _USUAL_SIZE == 0)


def _next_page(session: Session, answer: Answer) -> str | None:
    try:
        link = addresses.next_link(answer.headers.get("Link"))
    except ValueError as exc:
        raise invalid(answer.url, f"continues its list by a Link header that cannot be read ({exc})") from exc
    if link is None:
        return None
    address = addresses.resolve(answer.url, link)
    known = [url for url in (answer.url, session.base) if address and addresses.same_host(address, url)]
    if address is None or not known:
        raise invalid(answer.url, "continues its list at an address that is not its own")
    return addresses.with_scheme_of(_of_the_same_list(address, answer.url), known[0])


def _of_the_same_list(address: str, asked: str) -> str:
    """Where the next page of a list of tags is. Artifactory and Nexus leave out, or put before it, what only their
    proxy knows of the path: there is nothing, or another repository. What follows ``?`` is right."""
    path = urlsplit(asked).path
    parts = urlsplit(address)
    is_list = path.endswith(_TAGS_LIST) and parts.path.endswith(_TAGS_LIST)
    return urlunsplit(parts._replace(path=path)) if is_list else address


_TAGS_LIST = "/tags/list"
_TRIES = 5


def fallback_tag(digest: Digest) -> str:
    """The tag of the index of what refers to ``digest``.

    >>> fallback_tag(Digest("sha256:" + "a" * 64))[:10]
    'sha256-aaa'
    """
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def parse_referrers(content: bytes, where: str) -> list[Descriptor]:
    """The descriptors of an index.

    :raises StoreError: ``manifest.invalid``; ``where`` says in what.
    """
    values = _document(content, where).get("manifests") or []
    if not isinstance(values, list):
        raise StoreError("manifest.invalid", f"{where}: 'manifests' is not a list")
    return [parse_descriptor(value, where=where) for value in values]


def unique(descriptors: Iterable[Descriptor]) -> list[Descriptor]:
    """Each digest once, in the order given."""
    found: dict[Digest, Descriptor] = {}
    for descriptor in descriptors:
        found.setdefault(descriptor.digest, descriptor)
    return list(found.values())


def listed_by_api(session: Session, subject: Digest) -> list[Descriptor] | None:
    """What the referrers API lists; None where the registry has none, or answers with what is no list.

    GHCR sends everybody on to a page of github.com by 303, "See Other": that is no list of its own, and not asked.

    :raises StoreError: ``manifest.invalid``, ``registry.*``, ``auth.denied``.
    """
    found: list[Descriptor] = []
    listed = pages(session, f"referrers/{subject}", OCI_INDEX, MANIFEST_LIMIT, REDIRECTING - {303})
    for number, answer in enumerate(listed):
        if number == 0 and has_no_referrers_api(answer):
            return None
        if answer.status != 200:
            raise refusal(answer, session.repository, f"list what refers to {subject}")
        found += parse_referrers(answer.body, f"{session.repository}, referrers of {subject}")
    return found


class ReferrersTag:
    """The indexes under fallback tags in one repository. Safe for use by several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def read(self, subject: Digest) -> tuple[Descriptor, ...]:
        """What refers to a manifest. What is no list of that is none (distribution-spec 1.1, "Referrers Tag Schema"):
        GitLab answers the tag with the manifest itself.

        :raises StoreError: ``manifest.invalid``, or as :meth:`Store.get`.
        """
        stands = self._stands(subject)
        return stands.children if stands and _is_list(stands, subject) else ()

    def add(self, subject: Digest, referrer: Manifest) -> None:
        """List a referrer; a list that another writer has put there meanwhile is read, and added to.

        :raises StoreError: ``referrers.contended``, ``referrers.no_list`` where the tag names something else, or as
            :meth:`Store.get` and :meth:`Store.move`.
        """
        tag = fallback_tag(subject)
        with self._lock:
            for _ in range(_TRIES):
                stands = self._stands(subject)
                if stands and not _is_list(stands, subject):
                    raise _no_list(self._store.repository, tag)
                index = with_referrer(stands, referrer)
                if index is None:
                    return None
                with suppress(TagMoved):
                    return self._store.move(tag, index, stands.digest if stands else None)
        raise StoreError(
            "referrers.contended",
            f"{self._store.repository}:{tag} is overwritten by others again and again",
            hint="Run the command again.",
        )

    def _stands(self, subject: Digest) -> Manifest | None:
        try:
            return self._store.get(fallback_tag(subject))
        except NotFound:
            return None


def _is_list(manifest: Manifest, subject: Digest) -> bool:
    return manifest.media_type == OCI_INDEX and not matches(manifest.content, subject)


def _no_list(repository: Repository, tag: str) -> StoreError:
    return StoreError(
        "referrers.no_list",
        f"{repository}:{tag} should list what refers to an image, and is something else: nothing can be listed there",
        hint="If nobody needs that tag, remove it; or set `referrers: ignore`. GitLab offers no such lists.",
    )


def with_referrer(index: Manifest | None, referrer: Manifest) -> Manifest | None:
    """The index with one more entry, all others as they are; None where it is there already. A list that refers to
    something itself, as others may have put it there, would have to be listed in turn: the new one does not.

    :raises StoreError: ``manifest.invalid``.
    """
    document: dict[str, Any] = dict(index.document) if index else {"schemaVersion": 2, "mediaType": OCI_INDEX}
    if index and any(descriptor.digest == referrer.digest for descriptor in index.children):
        return None
    document.pop("subject", None)
    document["manifests"] = [*(document.get("manifests") or []), _entry(referrer)]
    return Manifest(OCI_INDEX, msgspec.json.encode(document))


def _entry(referrer: Manifest) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mediaType": referrer.media_type,
        "digest": referrer.digest,
        "size": len(referrer.content),
    }
    if referrer.artifact_type:
        entry["artifactType"] = referrer.artifact_type
    if referrer.annotations:
        entry["annotations"] = dict(referrer.annotations)
    return entry


def _document(content: bytes, where: str) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        raise StoreError("manifest.invalid", f"{where} is not JSON") from exc
    if not isinstance(document, dict):
        raise StoreError("manifest.invalid", f"{where} is not a JSON object")
    return document
