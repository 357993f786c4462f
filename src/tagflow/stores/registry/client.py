"""One registry: its connections, its logins, its clock, and requests that carry them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from msgspec import Struct, field
from msgspec.structs import replace

from tagflow.stores.registry.auth.authenticator import Authenticator, challenges
from tagflow.stores.registry.auth.clouds import full_keychain
from tagflow.stores.registry.auth.credentials import Credential, Keychain
from tagflow.stores.registry.auth.tokens import Scopes
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.pace import RetryBudget, Settings, parse_date
from tagflow.stores.registry.http.transport import REDIRECTING, Answer, Request, Stream, Transport
from tagflow.stores.registry.vendors import HUB

SKEW_SECONDS = 60
"""More than this between the two clocks, and tokens may be refused, and stays are measured wrong."""


def skew(theirs: datetime, ours: datetime) -> str:
    """How far apart two clocks (aware) are, where that is more than a minute; empty where not.

    >>> skew(datetime(2026, 1, 2, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    'the clock of the registry is 25 h ahead of that of this machine'
    """
    seconds = (theirs - ours.astimezone(UTC)).total_seconds()
    if abs(seconds) <= SKEW_SECONDS:
        return ""
    way = "ahead of" if seconds > 0 else "behind"
    return f"the clock of the registry is {_span(abs(seconds))} {way} that of this machine"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


_HUB_API = "registry-1.docker.io"
_VALUE = re.compile(r"\s*([0-9]{1,12})\s*(?:;\s*w\s*=\s*([0-9]{1,12}))?")
_LOW = 0.1


class RateLimit(Struct, frozen=True):
    """``remaining`` of ``limit`` requests are left; ``seconds`` is the window, 0 where it is not stated."""

    limit: int
    remaining: int
    seconds: int = 0

    @property
    def is_low(self) -> bool:
        """Whether less than a tenth is left."""
        return self.remaining < self.limit * _LOW

    def __str__(self) -> str:
        window = f" in {self.seconds // 3600} h" if self.seconds >= 3600 else ""
        return f"{self.remaining} of {self.limit} pulls{window} left"


def read_rate(headers: Mapping[str, str]) -> RateLimit | None:
    """The limit that an answer states; None where it states none that can be read.

    >>> str(read_rate({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}))
    '76 of 100 pulls in 6 h left'
    """
    limit = _VALUE.match(headers.get("ratelimit-limit") or "")
    remaining = _VALUE.match(headers.get("ratelimit-remaining") or "")
    if not limit or not remaining:
        return None
    return RateLimit(int(limit[1]), int(remaining[1]), int(limit[2] or 0))


class Health(Struct, frozen=True):
    """How a registry answers its version check (distribution-spec 1.1, "Determining Support")."""

    url: str
    status: int
    scheme: str
    """``basic``, ``bearer``, or empty where it asks for no login."""
    credential: str
    """Where the credential comes from; empty for none."""
    date: datetime | None
    """The registry's own clock."""
    seconds: float
    """How long the answer took, logging in included."""
    headers: Mapping[str, str] = field(default_factory=dict)
    service: str = ""
    """What its challenge calls it."""


class Client:
    """Sends requests to one registry, logged in. Safe for use by several threads."""

    def __init__(self, host: str, settings: Settings, keychain: Keychain | None = None) -> None:
        self.host, self.settings = host, settings
        self.rate: RateLimit | None = None
        self._transport = Transport(settings)
        self._clock, self._compares = threading.Lock(), True
        self._auth = Authenticator(host, self._transport, keychain or full_keychain(settings))

    @property
    def base(self) -> str:
        """Scheme and host of the API."""
        return self._transport.base(_HUB_API if self.host == HUB else self.host)

    def send(self, request: Request, scopes: Scopes, *, once: bool = False) -> Answer:
        """The answer, after logging in where the registry asks for it, or seems to hide something from strangers.

        Unless ``once``, it is asked again where that may help: for requests that do no harm when sent twice.

        :raises StoreError: as :meth:`Transport.send`, ``auth.denied``, ``registry.denied``, ``credentials.*``.
        :raises Transient: only with ``once``.
        """
        send = self._transport.send_once if once else self._transport.send
        sent = self._authorised(request, scopes)
        answer = send(sent)
        if self._may_hide(answer) and self.log_in(scopes):
            sent = self._authorised(request, scopes)
            answer = send(sent)
        if self._asks_for_login(answer):
            answer = send(self._renewed(sent, answer, scopes))
        if self._asks_for_login(answer):
            raise self._auth.denied(scopes, answer)
        self._watch_rate(answer)
        self._watch_clock(answer)
        return answer

    @contextmanager
    def open(self, request: Request, scopes: Scopes) -> Iterator[Stream]:
        """The content of an answer as a stream; one try.

        :raises Transient: where another try may help.
        :raises StoreError: as :meth:`send`.
        """
        sent = self._authorised(request, scopes)
        with self._transport.open(sent) as stream:
            hides = self._may_hide(stream.answer)
            if not (hides or self._asks_for_login(stream.answer)):
                yield stream
                return
        if not hides:
            sent = self._renewed(sent, stream.answer, scopes)
        elif self.log_in(scopes):
            sent = self._authorised(request, scopes)
        with self._transport.open(sent) as stream:
            if self._asks_for_login(stream.answer):
                raise self._auth.denied(scopes, stream.answer)
            yield stream

    def expect(self, path: str) -> None:
        """Note that a repository will be asked for something: one login may do for it and others."""
        self._auth.expect(path)

    def log_in(self, scopes: Scopes) -> bool:
        """Log in although the registry has not asked for it, where a credential is known. Whether there is an
        ``Authorization`` to send now.

        :raises StoreError: as :meth:`send`.
        """
        return self._auth.volunteer(f"{self.base}/v2/", scopes)

    def retry_budget(self) -> RetryBudget:
        """What is left of the retries for one operation."""
        return self.settings.retry_budget()

    def credential(self) -> Credential | None:
        """What it would be logged in to with.

        :raises StoreError: ``credentials.*``.
        """
        return self._auth.credential()

    def ping(self) -> Health:
        """Ask for the version check, logged in.

        :raises StoreError: as :meth:`send`.
        """
        self._compares = False  # who asks is told all
        started = time.monotonic()
        answer = self.send(Request("GET", f"{self.base}/v2/", follow=REDIRECTING), ())
        seconds = time.monotonic() - started
        credential = self.credential() if self._auth.scheme else None
        return Health(
            url=self.base,
            status=answer.status,
            scheme=self._auth.scheme,
            credential=credential.source if credential else "",
            date=parse_date(answer.headers.get("Date")),
            seconds=seconds,
            headers=answer.headers,
            service=self._auth.service,
        )

    def close(self) -> None:
        """Drop the connections."""
        self._transport.close()

    def _authorised(self, request: Request, scopes: Scopes) -> Request:
        """The request with what the registry asked for; bare where an upload goes on at another host."""
        return replace(request, authorization=self._auth.header(scopes)) if self._is_own(request.url) else request

    def _renewed(self, request: Request, answer: Answer, scopes: Scopes) -> Request:
        return replace(request, authorization=self._auth.renew(answer, scopes, request.authorization))

    def _watch_rate(self, answer: Answer) -> None:
        """Remember how many requests are left, and warn once where there are few."""
        before, rate = self.rate, read_rate(answer.headers)
        if rate is None:
            return
        self.rate = rate
        if rate.is_low and not (before and before.is_low):
            self.settings.warn(f"{self.host}: {rate}; then it refuses until the window moves on (log in for more)")

    def _watch_clock(self, answer: Answer) -> None:
        """Warn where the registry's own clock, not that of a cache before it, is another than ours: once."""
        if not self._compares or not self._is_own(answer.url) or "Age" in answer.headers:
            return
        date = parse_date(answer.headers.get("Date"))
        if date is None:
            return
        with self._clock:
            compares, self._compares = self._compares, False
        if compares and (found := skew(date, self.settings.now())):
            self.settings.warn(f"{self.host}: {found}; soaks and histories go by clocks")

    def _asks_for_login(self, answer: Answer) -> bool:
        """Only the registry itself may ask for its credentials, not where it sends us; and who is logged in is refused,
        not asked, by a 401 without a challenge: so GitLab answers for a protected tag, and Harbor, with an empty one,
        where there is no such project."""
        asks = bool(challenges(answer)) or not self._auth.scheme
        return answer.status == 401 and asks and self._is_own(answer.url)

    def _may_hide(self, answer: Answer) -> bool:
        """Whether a stranger was told that something is not there, or not for him: many registries hide what one may
        not see (NAME_UNKNOWN, MANIFEST_UNKNOWN), and ask for a login elsewhere only."""
        return answer.status in (403, 404) and not answer.authorized and self._is_own(answer.url)

    def _is_own(self, url: str) -> bool:
        return addresses.origin(url) == addresses.origin(self.base)
