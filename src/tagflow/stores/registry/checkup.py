"""A look at one registry for `doctor`: what it is, what we may do there, what it can do.

Nothing is left behind but, in repositories that exist, the empty blob that every record names.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from msgspec import Struct

from tagflow.domain.reference import Repository, digest_of
from tagflow.errors import TagflowError
from tagflow.stores.artifact import EMPTY, EMPTY_CONTENT
from tagflow.stores.port import OCI_INDEX, OCI_MANIFEST, Check, Checkup
from tagflow.stores.registry.answers import (
    explanation,
    has_no_referrers_api,
    knows_no_repository,
    refusal,
    repository_in_error,
)
from tagflow.stores.registry.auth.clouds import can_create
from tagflow.stores.registry.auth.tokens import Scope
from tagflow.stores.registry.blobs import Upload
from tagflow.stores.registry.client import Client, Health, skew
from tagflow.stores.registry.http.pace import Transient
from tagflow.stores.registry.http.transport import REDIRECTING, Answer, Request
from tagflow.stores.registry.listing import all_tags
from tagflow.stores.registry.session import JSON, MANIFESTS, Session
from tagflow.stores.registry.vendors import HUB, hazards, vendor

_RATE_PREVIEW = "ratelimitpreview/test"
"""A repository that Docker keeps for asking about the limit; a HEAD does not count (Docker, "Pull usage")."""
_MOST_ASKED = 8
_NEVER = digest_of(b"tagflow doctor asks what refers to this")

Each = Callable[[Callable[[Repository], "_Found"], Sequence[Repository]], Sequence["_Found"]]
"""Looks at several repositories, some at a time."""


class _Found(Struct, frozen=True):
    """What one repository let us do: the errors, None for none."""

    repository: Repository
    exists: bool
    pull: TagflowError | None
    tags: TagflowError | None
    push: TagflowError | None
    is_distribution: bool = False

    @property
    def errors(self) -> list[TagflowError]:
        return [error for error in (self.pull, self.tags, self.push) if error is not None]


def examine(client: Client, repositories: Sequence[Repository], each: Each, now: datetime) -> Checkup:
    """Look at a registry and at what may be done with ``repositories`` there."""
    try:
        health = client.ping()
    except TagflowError as error:
        return Checkup(tuple(_ping_failed(client, error)), _source(client))
    if health.status != 200:
        detail = f"{health.url}/v2/ answers HTTP {health.status}: is this the address of a container registry?"
        return Checkup((Check("reachable", False, detail, essential=True),), health.credential)
    return Checkup(tuple(_checks(client, health, repositories, each, now)), health.credential)


def _checks(
    client: Client, health: Health, repositories: Sequence[Repository], each: Each, now: datetime
) -> Iterator[Check]:
    yield Check("reachable", True, f"{health.url}, {health.seconds * 1000:.0f} ms", essential=True)
    yield _tls(health.url)
    found = each(lambda repository: _look(client, repository), repositories)
    fault = _fault(client)
    if fault is not None and any(fault.code == error.code for one in found for error in one.errors):
        yield _no_credential(fault)
        return
    yield _credential(health) if fault is None else _no_credential(fault, essential=False)
    yield _rights("pull", {one.repository: one.pull for one in found})
    yield _rights("tag list", {one.repository: one.tags for one in found})
    absent = sum(1 for one in found if not one.exists)
    unasked = ", and not asked for: Quay would create them" if absent and vendor(client.host) == "quay" else ""
    more = f", {absent} not there yet{unasked}" if absent else ""
    yield _rights("push", {one.repository: one.push for one in found}, more)
    if skew := _skew(health, now):
        yield skew
    sessions = [Session(client, one.repository, creates=False) for one in found if one.exists][:_MOST_ASKED]
    yield from _referrers(sessions)
    yield from _deletion(sessions)
    yield from _rate(client)
    is_distribution = any(one.is_distribution for one in found)
    yield from hazards(client.host, health.headers, health.service, is_distribution=is_distribution)


def _ping_failed(client: Client, error: TagflowError) -> Iterator[Check]:
    """Which of the first three checks it was that failed."""
    reached = error.code in ("auth.denied", "registry.untrusted") or error.code.startswith("credentials.")
    detail = f"{error.message} ({error.code})"
    if not reached:
        yield Check("reachable", False, detail, essential=True, fix=error.hint)
    elif error.code == "registry.untrusted":
        yield Check("reachable", True, client.base, essential=True)
        yield Check("tls", False, detail, essential=True, fix=error.hint)
    else:
        yield Check("reachable", True, client.base, essential=True)
        yield _tls(client.base)
        yield _no_credential(error)


def _no_credential(error: TagflowError, *, essential: bool = True) -> Check:
    return Check("credential", False, f"{error.message} ({error.code})", essential=essential, fix=error.hint)


def _fault(client: Client) -> TagflowError | None:
    """Why no credential can be found. A registry that wants none is asked with it where it says that something is not
    there."""
    try:
        client.credential()
    except TagflowError as error:
        return error
    return None


def _source(client: Client) -> str:
    try:
        credential = client.credential()
    except TagflowError:
        return ""
    return credential.source if credential else ""


def _tls(url: str) -> Check:
    if url.startswith("https://"):
        return Check("tls", True, "the certificate is trusted", essential=True)
    return Check("tls", True, "plain HTTP: passwords and images are sent in the clear; fine on loopback only")


def _credential(health: Health) -> Check:
    if not health.scheme:
        return Check("credential", True, "none needed: anonymous")
    source = f"from {health.credential}" if health.credential else "none: anonymous"
    return Check("credential", bool(health.credential), f"{source} ({health.scheme})")


def _rights(what: str, failures: Mapping[Repository, TagflowError | None], more: str = "") -> Check:
    found = {str(repository): error for repository, error in failures.items() if error}
    if not found:
        return Check(what, True, f"{len(failures)} of {len(failures)} repositories{more}", essential=True)
    detail = "; ".join(dict.fromkeys(f"{error.message}. {error.hint}".replace("\n", " ") for error in found.values()))
    return Check(what, False, f"not for {', '.join(found)}: {detail}", essential=True)


def _look(client: Client, repository: Repository) -> _Found:
    session = Session(client, repository, creates=False)
    creates_at_a_look = vendor(client.host) == "quay"  # who asks Quay for the right to push has it created
    exists, is_distribution = True, False
    tags = pull = push = None
    try:
        answer = session.read("GET", "tags/list?n=1", accept=JSON)
        exists = answer.status != 404
        is_distribution = repository_in_error(answer) == repository.path
        all_tags(session)
    except TagflowError as error:
        tags, exists = error, exists and not creates_at_a_look
    try:
        pull = _pull(session)
    except TagflowError as error:
        pull = error
    try:
        if exists:
            is_distribution = _upload(session) or is_distribution
        elif not creates_at_a_look:
            _try_rights(client, session)
    except TagflowError as error:
        push = error
    return _Found(repository, exists, pull, tags, push, is_distribution)


def _pull(session: Session) -> TagflowError | None:
    """Whether a manifest may be asked for; that there is none yet is no failure."""
    answer = session.read("HEAD", "manifests/latest", accept=MANIFESTS)
    if answer.status not in (200, 404):
        answer = session.read("GET", "manifests/latest", accept=MANIFESTS)
    return None if answer.status in (200, 404) else refusal(answer, session.repository, "pull")


def _upload(session: Session) -> bool:
    """Upload the empty blob as a push would; whether the registry writes its state as distribution does."""
    upload = Upload(session, EMPTY)
    upload.run(lambda: iter([EMPTY_CONTENT]))
    return "_state=" in upload.address


def _try_rights(client: Client, session: Session) -> None:
    """Ask for the right to push to a repository that is not there yet, and do not create it: many registries do so when
    an upload begins, but none stores what does not have the digest that it is sent under.

    :raises StoreError: there is no such right.
    """
    headers = {"Content-Type": OCI_MANIFEST}
    try:
        answer = session.write("PUT", f"manifests/{_NEVER}", headers=headers, body=EMPTY_CONTENT, once=True)
    except Transient as failure:
        raise failure.error from failure
    if knows_no_repository(answer) and client.settings.create_repositories and can_create(session.repository):
        return  # the first push creates it
    if answer.status in (401, 403) or knows_no_repository(answer) or answer.status >= 500:
        raise refusal(answer, session.repository, "push")


def _skew(health: Health, now: datetime) -> Check | None:
    if health.date is None:
        return None
    if found := skew(health.date, now):
        return Check("clock", False, f"{found}: tokens may be refused, and soaks are measured wrong")
    return Check("clock", True, "the registry's clock and ours agree within a minute")


def _ask_referrers(session: Session) -> Answer:
    return session.read("GET", f"referrers/{_NEVER}", accept=OCI_INDEX, follow=REDIRECTING - {303})


def _referrers(sessions: Sequence[Session]) -> Iterator[Check]:
    """Whether the registry says what refers to an image; where it refuses or fails to, so would a copy."""
    answer = _first_answer(sessions, _ask_referrers)
    if isinstance(answer, Answer) and has_no_referrers_api(answer):
        detail = f"no referrers API (HTTP {answer.status}): tagflow keeps the list under a fallback tag"
        yield Check("referrers", False, detail)
    elif isinstance(answer, Answer) and answer.ok:
        yield Check("referrers", True, "the registry lists what refers to an image")
    elif answer is not None:
        explained = explanation(answer) if isinstance(answer, Answer) else answer.message
        detail = f"asking fails ({explained}): no image is copied from there, unless `referrers: ignore` is set"
        yield Check("referrers", False, detail)


def _deletion(sessions: Sequence[Session]) -> Iterator[Check]:
    """Ask for the removal of a tag that cannot exist; a registry that removes tags answers that there is none."""
    tag = f"_tagflow.doctor.{secrets.token_hex(6)}"
    answer = _first_answer(sessions, lambda session: session.remove(tag))
    if isinstance(answer, Answer) and answer.status in (202, 404):
        detail = f"seems to be possible (HTTP {answer.status} for a tag that is not there)"
        yield Check("tag deletion", True, detail)
    elif answer is not None:
        explained = explanation(answer) if isinstance(answer, Answer) else answer.message
        yield Check("tag deletion", False, f"refused ({explained}): a tag that a failed release created stays")


def _first_answer(sessions: Sequence[Session], ask: Callable[[Session], Answer]) -> Answer | TagflowError | None:
    """What the first repository that exists answers, or the error; None where there is none yet."""
    for session in sessions:
        try:
            answer = ask(session)
        except TagflowError as error:
            return error
        except Transient as failure:
            return failure.error
        if not knows_no_repository(answer):
            return answer
    return None


def _rate(client: Client) -> Iterator[Check]:
    if client.rate is None and client.host == HUB:
        request = Request("HEAD", f"{client.base}/v2/{_RATE_PREVIEW}/manifests/latest")
        with suppress(TagflowError):
            client.send(request, (Scope(_RATE_PREVIEW),))
    if client.rate:
        yield Check("rate limit", not client.rate.is_low, str(client.rate))
