"""A look at one registry for `doctor`: what it is, what we may do there, what it can do. Nothing is left behind."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from tagflow.domain.reference import Repository, digest_of
from tagflow.errors import TagflowError
from tagflow.stores.port import Check, Checkup
from tagflow.stores.registry.answers import explanation, has_no_referrers_api, knows_no_repository, refusal
from tagflow.stores.registry.auth.clouds import can_create
from tagflow.stores.registry.auth.tokens import Scope
from tagflow.stores.registry.blobs import location
from tagflow.stores.registry.client import Connection, Health
from tagflow.stores.registry.http.retries import Transient
from tagflow.stores.registry.http.transport import Answer, Request
from tagflow.stores.registry.session import Session
from tagflow.stores.registry.vendors import HUB, hazards

SKEW_SECONDS = 60.0
"""More than this between the two clocks, and tokens may be refused."""
_RATE_PREVIEW = "ratelimitpreview/test"
"""A repository that Docker keeps for asking about the limit; a HEAD does not count (Docker, "Pull usage")."""
_MOST_ASKED = 8
_NEVER = digest_of(b"tagflow doctor asks what refers to this")

Run = Callable[[Callable[[Repository], TagflowError | None], Sequence[Repository]], list[TagflowError | None]]
"""Looks at several repositories, some at a time."""


def examine(connection: Connection, repositories: Sequence[Repository], each: Run, now: datetime) -> Checkup:
    """Look at a registry and at what may be done with ``repositories`` there."""
    try:
        health = connection.ping()
    except TagflowError as error:
        return Checkup(tuple(_ping_failed(connection, error)), _source(connection))
    if health.status != 200:
        detail = f"{health.url}/v2/ answers HTTP {health.status}: is this the address of a container registry?"
        return Checkup((Check("reachable", False, detail, essential=True),), health.credential)
    return Checkup(tuple(_checks(connection, health, repositories, each, now)), health.credential)


def _checks(
    connection: Connection, health: Health, repositories: Sequence[Repository], each: Run, now: datetime
) -> Iterator[Check]:
    yield Check("reachable", True, f"{health.url}, {health.seconds * 1000:.0f} ms", essential=True)
    yield _tls(health.url)
    yield _credential(health)
    yield _rights("pull", repositories, each(lambda repository: _pull(connection, repository), repositories))
    yield _rights("push", repositories, each(lambda repository: _push(connection, repository), repositories))
    if skew := _skew(health, now):
        yield skew
    sessions = [Session(connection, repository, creates=False) for repository in repositories[:_MOST_ASKED]]
    referrers = _first_told(sessions, lambda session: session.read("GET", f"referrers/{_NEVER}"))
    has_referrers = isinstance(referrers, Answer) and referrers.ok and not has_no_referrers_api(referrers)
    if isinstance(referrers, Answer):
        yield _referrers(has_referrers, referrers.status)
    yield from _deletion(sessions)
    yield from _rate(connection)
    yield from hazards(connection.host, health.headers, has_referrers=has_referrers)


def _ping_failed(connection: Connection, error: TagflowError) -> Iterator[Check]:
    """Which of the first three checks it was that failed."""
    reached = error.code in ("auth.denied", "registry.untrusted") or error.code.startswith("credentials.")
    detail = f"{error.message} ({error.code})"
    if not reached:
        yield Check("reachable", False, detail, essential=True, fix=error.hint)
    elif error.code == "registry.untrusted":
        yield Check("reachable", True, connection.base, essential=True)
        yield Check("tls", False, detail, essential=True, fix=error.hint)
    else:
        yield Check("reachable", True, connection.base, essential=True)
        yield _tls(connection.base)
        yield Check("credential", False, detail, essential=True, fix=error.hint)


def _source(connection: Connection) -> str:
    try:
        credential = connection.credential()
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


def _rights(what: str, repositories: Sequence[Repository], failures: Sequence[TagflowError | None]) -> Check:
    found = [(str(repository), error) for repository, error in zip(repositories, failures, strict=True) if error]
    if not found:
        return Check(what, True, f"{len(repositories)} of {len(repositories)} repositories", essential=True)
    detail = "; ".join(dict.fromkeys(f"{error.message}. {error.hint}".replace("\n", " ") for _, error in found))
    return Check(what, False, f"not for {', '.join(name for name, _ in found)}: {detail}", essential=True)


def _pull(connection: Connection, repository: Repository) -> TagflowError | None:
    """Whether a manifest may be asked for; that there is none yet is no failure."""
    try:
        answer = Session(connection, repository).read("HEAD", "manifests/latest")
    except TagflowError as error:
        return error
    return None if answer.status in (200, 404) else refusal(answer, repository, "pull")


def _push(connection: Connection, repository: Repository) -> TagflowError | None:
    """Whether an upload may begin: it is cancelled at once, without a byte sent."""
    session = Session(connection, repository, creates=False)
    try:
        answer = session.write("POST", "blobs/uploads/")
    except TagflowError as error:
        return error
    if knows_no_repository(answer) and connection.settings.create_repositories and can_create(repository):
        return None  # the first push creates it
    if answer.status not in (201, 202):
        return refusal(answer, repository, "push")
    with suppress(TagflowError, Transient):
        session.write("DELETE", location(answer), once=True)
    return None


def _skew(health: Health, now: datetime) -> Check | None:
    if health.date is None:
        return None
    seconds = (health.date - now.astimezone(UTC)).total_seconds()
    if abs(seconds) <= SKEW_SECONDS:
        return Check("clock", True, "the registry's clock and ours agree within a minute")
    way = "ahead of" if seconds > 0 else "behind"
    return Check("clock", False, f"the registry's clock is {abs(seconds):.0f} s {way} ours: tokens may be refused")


def _referrers(there: bool, status: int) -> Check:
    if there:
        return Check("referrers", True, "the registry lists what refers to an image")
    return Check("referrers", False, f"no referrers API (HTTP {status}): tagflow keeps the list under a fallback tag")


def _deletion(sessions: Sequence[Session]) -> Iterator[Check]:
    """Ask for the removal of a tag that cannot exist; a registry that removes tags answers that there is none."""
    tag = f"_tagflow.doctor.{secrets.token_hex(6)}"
    answer = _first_told(sessions, lambda session: session.remove(tag))
    if isinstance(answer, Answer) and answer.status in (202, 404):
        detail = f"seems to be possible (HTTP {answer.status} for a tag that is not there)"
        yield Check("tag deletion", True, detail)
    elif answer is not None:
        explained = explanation(answer) if isinstance(answer, Answer) else answer.message
        yield Check("tag deletion", False, f"refused ({explained}): a tag that a failed release created stays")


def _first_told(sessions: Sequence[Session], ask: Callable[[Session], Answer]) -> Answer | TagflowError | None:
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


def _rate(connection: Connection) -> Iterator[Check]:
    if connection.rate is None and connection.host == HUB:
        request = Request("HEAD", f"{connection.base}/v2/{_RATE_PREVIEW}/manifests/latest")
        with suppress(TagflowError):
            connection.send(request, (Scope(_RATE_PREVIEW),))
    if connection.rate:
        yield Check("rate limit", not connection.rate.is_low, str(connection.rate))
