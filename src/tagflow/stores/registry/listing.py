"""Lists that come in pages: tags and referrers. A list that may have been cut proves nothing, so none is taken for
whole that is not (distribution-spec 1.1, "Listing Tags", "Listing Referrers")."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

from tagflow.domain.reference import is_tag
from tagflow.stores.registry.answers import read_tags, refusal
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.transport import Answer
from tagflow.stores.registry.session import JSON, Session

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


def pages(session: Session, target: str, accept: str, limit: int) -> Iterator[Answer]:
    """The answers along ``Link: rel="next"``, all of this registry.

    :raises StoreError: ``registry.invalid_answer`` where they lead elsewhere or in a circle, or cannot be read.
    """
    visited: set[str] = set()
    end = time.monotonic() + LIST_SECONDS
    next_target: str | None = target
    while next_target:
        answer = session.read("GET", next_target, accept=accept, limit=limit)
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
            if answer.status != 200:
                raise refusal(answer, session.repository, "list tags")
            page = read_tags(answer)
            found.update(page)
            if len(found) > MOST_TAGS:
                raise invalid(answer.url, f"lists more than {MOST_TAGS} tags")
        if len(found) == known or not _may_go_on(page):
            return found, answer.authorized
        if time.monotonic() > end:
            raise invalid(answer.url, "gives a list that never ends")
        query = {"n": PAGE_SIZE, "last": page[-1]}
        ends_with = _nothing if len(page) == PAGE_SIZE else _knows_no_last


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
    return addresses.with_scheme_of(address, known[0])
