"""One thin HTTP client for everything that a registry is asked: bounded in time, memory, repetition and trust.

urllib3 keeps the connections; what is tried again, what is followed and what is believed is decided here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from threading import Lock
from urllib.parse import urlsplit

import urllib3
from msgspec import Struct, field
from msgspec.structs import replace

from tagflow import __version__
from tagflow.errors import StoreError
from tagflow.stores.port import Chunks
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.addresses import check_destination
from tagflow.stores.registry.http.connections import CONNECT_SECONDS, Pools, seconds_connecting
from tagflow.stores.registry.http.failures import OF_GATEWAYS, invalid, timed_out, translated, unavailable
from tagflow.stores.registry.http.pace import RateLimiter, Settings, Transient, Turn, Widths, retry_after

BODY_SECONDS = 120.0
"""The longest time for one small answer as a whole, so that a server that drips bytes does not hold us."""
LITTLE_SECONDS = 5.0
"""The longest silence before an answer of a server that has been silent for a minute already."""
ANSWER_LIMIT = 1024 * 1024
ERROR_LIMIT = 64 * 1024
CHUNK = 128 * 1024
SLICE = 128 * 1024
"""Bytes sent at once. Each must be on its way within CONNECT_SECONDS, so slow lines want small ones."""
REDIRECTS = 5
_PASSING = OF_GATEWAYS | {408, 429, 503}
"""408 is said of a request that did not come whole (RFC 9110, 15.5.9)."""
REDIRECTING = frozenset({301, 302, 303, 307, 308})


class Request(Struct, frozen=True):
    """One request. ``body`` is bytes, or a factory of chunks whose length the headers state.

    ``authorization`` is for the address's own host: it is not sent along a redirect to another. ``limit`` is the
    largest answer in bytes, ``silence`` the longest time without any in seconds, where it is not that of the settings;
    ``follow`` are the statuses of redirects that it goes along. ``before`` is asked right before it is sent, each time,
    after all waits, and asks nobody: what it raises keeps the request from being sent.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Chunks | None = None
    authorization: str | None = None
    limit: int = ANSWER_LIMIT
    follow: Collection[int] = ()
    silence: float | None = None
    before: Callable[[], None] | None = None

    def __repr__(self) -> str:  # headers and authorization are secrets, an address may hold one
        return f"Request({self.method!r})"


class Answer(Struct, frozen=True):
    """A complete answer. ``url`` is where it came from, after redirects; header names in any case; ``authorization`` is
    what the request carried: a secret that the answer may repeat."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    url: str = ""
    authorization: str | None = None

    def __repr__(self) -> str:  # what a token server answers is a secret
        return f"Answer({self.status})"

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def authorized(self) -> bool:
        """Whether it is for a request that carried an ``Authorization``."""
        return self.authorization is not None


class Stream(Struct, frozen=True):
    """An answer whose content has not been read yet."""

    answer: Answer
    chunks: Iterator[bytes]


class Transport:
    """Connections to one registry, and to where it sends us. Safe for use by several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pools = Pools(settings)
        self._limiter = RateLimiter(settings.retry)
        self._widths = Widths()
        self._ahead, self._first = settings.writes, Lock()
        """Whether connections are still to be opened ahead: only for a run of many requests, one after the other."""

    def base(self, host: str) -> str:
        """Scheme and host of a registry: :meth:`Pools.base`."""
        return self._pools.base(host)

    def send(self, request: Request) -> Answer:
        """The answer, after as many tries as the pace allows.

        For requests that do no harm when sent twice.

        :raises StoreError: ``registry.unreachable``, ``registry.timeout``, ``registry.throttled``,
            ``registry.unavailable``, ``registry.untrusted``, ``registry.invalid_answer``.
        """
        budget = self._settings.retry_budget()
        while True:
            try:
                return self.send_once(request)
            except Transient as failure:
                budget.wait(failure)

    def send_once(self, request: Request) -> Answer:
        """The answer to one try.

        :raises Transient: where another try may help.
        :raises StoreError: as :meth:`send`.
        """
        with self.open(request) as stream:
            answer = stream.answer
            limit = request.limit if answer.ok else ERROR_LIMIT
            body = self._read(stream, limit)
        return replace(answer, body=body)

    @contextmanager
    def open(self, request: Request) -> Iterator[Stream]:
        """One try, its content still unread; redirects are followed where the request says so.

        Failures while the content is read are raised as :class:`Transient` too.
        """
        response, asked = self._follow(request)
        try:
            answer = Answer(response.status, response.headers, url=asked.url, authorization=asked.authorization)
            yield Stream(answer, self._chunks(asked.url, response))
        finally:
            response.close()  # a no-op where all was read and the connection is back in its pool

    def close(self) -> None:
        """Drop the connections."""
        self._pools.close()

    def _follow(self, request: Request) -> tuple[urllib3.BaseHTTPResponse, Request]:
        """The last answer and what was asked for it; an ``Authorization`` stays with the origin that it is for."""
        asked = request
        for _ in range(REDIRECTS + 1):
            response = self._exchange(asked)
            if response.status not in request.follow:
                return response, asked
            self._drop(asked.url, response)
            target = _redirect(asked.url, response)
            same = addresses.origin(target) == addresses.origin(asked.url)
            asked = replace(asked, url=target, authorization=asked.authorization if same else None)
        raise invalid(request.url, f"redirects more than {REDIRECTS} times")

    def _exchange(self, request: Request) -> urllib3.BaseHTTPResponse:
        """One request to one server, and its status and headers; a status that may pass is :class:`Transient`."""
        server = addresses.origin(request.url)
        self._take_turn(request.url)
        turned = time.monotonic()
        if self._ahead and self._first.acquire(blocking=False):
            self._ahead = False
            self._pools.open_ahead(request.url)
        with self._place(request) as turn:
            if request.before is not None:
                request.before()
            started, connecting = time.monotonic(), seconds_connecting()
            outcome = "failed"
            try:
                response = self._asked(request, server)
                turn.seconds = time.monotonic() - started - (seconds_connecting() - connecting)
                turn.refused = response.status in (429, 503)
                outcome = str(response.status)
            finally:
                self._trace(request, outcome, started)
        if response.status in _PASSING or (response.status == 500 and request.method in ("GET", "HEAD")):
            after = retry_after(response.headers.get("Retry-After"))
            busy = response.status == 429 or after is not None
            tries = 1 if busy and not self._limiter.refused(server, after, turned) else None
            self._drop(request.url, response)
            raise Transient(unavailable(request.url, response.status), after, tries)
        self._limiter.served(server)
        return response

    def _place(self, request: Request) -> AbstractContextManager[Turn]:
        """A place among the requests to that server. Content that is sent takes as long as it takes, and is sent by
        few threads: it neither takes a place nor tells anything of the server."""
        if callable(request.body):
            return nullcontext(Turn())
        parts = urlsplit(request.url)
        kind = f"{request.method} {parts.path.rpartition('/')[0].rpartition('/')[2]}"  # as HEAD manifests, GET tags
        seconds = None if self._settings.deadline is None else self._left(request.url)
        return self._in_time(request.url, self._widths.of(addresses.origin(request.url)).place(kind, seconds))

    @contextmanager
    def _in_time(self, url: str, place: AbstractContextManager[Turn]) -> Iterator[Turn]:
        with ExitStack() as stack:
            try:
                turn = stack.enter_context(place)
            except TimeoutError as exc:
                raise timed_out(url) from exc
            yield turn

    def _take_turn(self, url: str) -> None:
        """Wait where the server has asked another thread to.

        :raises Transient: ``registry.throttled``, where the deadline comes first, or it is asked for too long already.
        """
        server = addresses.origin(url)
        seconds = self._limiter.turn(server)
        if seconds > 0:
            if self._settings.seconds(seconds) < seconds:
                raise Transient(unavailable(url, 429), seconds)
            self._settings.waits(unavailable(url, 429).message, seconds)
            if not self._limiter.pause(server, seconds):
                raise Transient(unavailable(url, 429), tries=1)

    def _asked(self, request: Request, server: str) -> urllib3.BaseHTTPResponse:
        """The answer; that there is none is noted, unless it may be for the content that was sent."""
        started = time.monotonic()
        try:
            return self._urlopen(request)
        except Transient as failure:
            if not callable(request.body) and not self._limiter.failed(server, time.monotonic() - started):
                failure.tries = 1
            raise

    def _urlopen(self, request: Request) -> urllib3.BaseHTTPResponse:
        headers = {"User-Agent": f"tagflow/{__version__}", "Accept-Encoding": "identity", **request.headers}
        if request.authorization:
            headers["Authorization"] = request.authorization
        with translated(request.url):
            return self._pools.of(request.url).urlopen(
                request.method,
                request.url,
                body=self._slices(request),
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=self._timeout(request),
            )

    def _slices(self, request: Request) -> Iterator[memoryview] | bytes | None:
        if not request.body or not (callable(request.body) or len(request.body) > SLICE):
            return request.body
        chunks = request.body() if callable(request.body) else iter((request.body,))
        return self._cut(request.url, chunks)

    def _cut(self, url: str, chunks: Iterator[bytes]) -> Iterator[memoryview]:
        for chunk in chunks:
            for start in range(0, len(chunk), SLICE):
                self._left(url)
                yield memoryview(chunk)[start : start + SLICE]

    def _chunks(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """The content as it arrives; a connection that ends too early is noticed, and one that only drips."""
        while True:
            self._left(url)
            with translated(url):
                chunk = response.read1(CHUNK)
            if not chunk:
                return
            yield chunk

    def _drop(self, url: str, response: urllib3.BaseHTTPResponse) -> None:
        """Be done with an answer; a short one is read, so that its connection can serve again."""
        with suppress(Transient, StoreError):
            self._read(Stream(Answer(0, {}, url=url), self._chunks(url, response)), ERROR_LIMIT)
        response.close()

    def _read(self, stream: Stream, limit: int) -> bytes:
        end = time.monotonic() + BODY_SECONDS
        body = bytearray()
        for chunk in stream.chunks:
            body += chunk
            if len(body) > limit:
                if stream.answer.ok:
                    raise invalid(stream.answer.url, f"answers with more than {limit} bytes")
                return bytes(body[:limit])
            if time.monotonic() > end:
                raise timed_out(stream.answer.url)
        return bytes(body)

    def _timeout(self, request: Request) -> urllib3.Timeout:
        left = self._left(request.url, request.silence)
        if request.method in ("GET", "HEAD") and self._limiter.has_given_up(addresses.origin(request.url)):
            left = min(left, LITTLE_SECONDS)
        return urllib3.Timeout(connect=min(CONNECT_SECONDS, left), read=left)

    def _left(self, url: str, silence: float | None = None) -> float:
        """What is left of the time, in seconds: the longest silence, or less.

        :raises StoreError: ``registry.timeout`` where nothing is.
        """
        left = self._settings.seconds(silence or self._settings.silence)
        if left <= 0:
            raise timed_out(url)
        return left

    def _trace(self, request: Request, outcome: str, started: float) -> None:
        parts = urlsplit(request.url)  # the query of a signed address is a secret, as a user in it would be
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        milliseconds = (time.monotonic() - started) * 1000
        self._settings.trace(f"{request.method} {address} {outcome} {milliseconds:.0f} ms")


def _redirect(url: str, response: urllib3.BaseHTTPResponse) -> str:
    target = addresses.resolve(url, response.headers.get("Location"))
    if target is None:
        raise invalid(url, f"redirects to no valid address (HTTP {response.status})")
    check_destination(url, target)
    return target
