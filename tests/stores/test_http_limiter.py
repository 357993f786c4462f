"""One pace for all requests to a server: nobody runs on where another was told to slow down."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tagflow.errors import StoreError
from tagflow.stores.registry.http.pace import READ_SECONDS, RateLimiter, RetryPolicy, Settings, Transient
from tagflow.stores.registry.http.transport import LITTLE_SECONDS, Request, Transport
from tests.standin import Asked, Say, standin

A, B = "https://a.example:443", "https://b.example:443"

POLICY = RetryPolicy()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(POLICY, clock)


def test_full_speed_until_a_refusal(limiter: RateLimiter) -> None:
    assert [limiter.turn(A) for _ in range(100)] == [0.0] * 100


def test_a_refusal_holds_everybody_there_and_nobody_elsewhere(limiter: RateLimiter, clock: Clock) -> None:
    limiter.refused(A, 5.0, 100.0)
    assert [limiter.turn(A) for _ in range(3)] == pytest.approx([5.0, 5.0 + POLICY.gap, 5.0 + 2 * POLICY.gap])
    assert limiter.turn(B) == 0.0
    clock.now += 6
    assert limiter.turn(A) == 0.0


def test_turns_are_spaced_more_with_each_refusal_and_less_with_each_answer(limiter: RateLimiter, clock: Clock) -> None:
    for _ in range(20):
        clock.now += 1
        limiter.refused(A, None, clock.now)
    clock.now += 100
    assert limiter.turn(A) == 0.0
    assert limiter.turn(A) == pytest.approx(POLICY.largest_gap)
    for _ in range(50):
        limiter.served(A)
    clock.now += 100
    assert [limiter.turn(A) for _ in range(3)] == [0.0] * 3


def test_requests_that_were_under_way_together_are_refused_once(limiter: RateLimiter, clock: Clock) -> None:
    """A limit is passed by all that were sent before the first refusal came: that tells once that they were too many.
    Each counted, and those that waited stood a second apart, for minutes, at a registry that takes sixty a second."""
    turned = clock.now
    for _ in range(20):
        clock.now += 0.01
        limiter.refused(A, None, turned)
    clock.now += 100
    assert [limiter.turn(A) for _ in range(3)] == pytest.approx([0.0, POLICY.gap, 2 * POLICY.gap])
    limiter.refused(A, None, clock.now)
    clock.now += 100
    assert [limiter.turn(A) for _ in range(2)] == pytest.approx([0.0, 2 * POLICY.gap])


def test_who_waits_is_let_go_as_fast_as_answers_would_allow(limiter: RateLimiter, clock: Clock) -> None:
    """Turns are given out ahead: fifty that stood a second apart would all wait out a gap that ten answers close."""
    for _ in range(20):
        clock.now += 1
        limiter.refused(A, None, clock.now)
    clock.now += 100
    turns = [limiter.turn(A) for _ in range(50)]
    apart = [later - earlier for earlier, later in itertools.pairwise(turns)]
    assert apart == sorted(apart, reverse=True)
    assert (apart[0], apart[-1]) == pytest.approx((POLICY.largest_gap, POLICY.gap))
    assert turns[-1] < 50 * POLICY.largest_gap / 5


def test_a_limit_of_hours_does_not_hold_others(limiter: RateLimiter) -> None:
    """Docker Hub counts pulls: tags may still be moved, and put back."""
    limiter.refused(A, 7200.0, 100.0)
    assert limiter.turn(A) == pytest.approx(POLICY.gap)


def test_a_server_that_answers_nothing_else_is_waited_for_as_long_as_one_request_would(
    limiter: RateLimiter, clock: Clock
) -> None:
    for _ in range(12):
        assert limiter.refused(A, 2.0, clock.now)
        clock.now += 5
    assert limiter.refused(B, None, clock.now)
    assert not limiter.refused(A, 2.0, clock.now)
    assert not limiter.pause(A, 3600)  # who waited for a turn is told at once
    assert [limiter.turn(A) for _ in range(3)] == [0.0] * 3  # and who comes later may ask
    limiter.served(A)
    assert limiter.refused(A, 2.0, clock.now)
    assert limiter.turn(A) == pytest.approx(2.0)


def test_a_silent_server_is_waited_for_as_long_as_one_request_would(limiter: RateLimiter, clock: Clock) -> None:
    limiter.served(A)
    clock.now += 60
    assert not limiter.failed(A, 60.0)
    assert limiter.has_given_up(A)
    assert not limiter.failed(A, 5.0)
    limiter.served(A)
    assert not limiter.has_given_up(A)
    clock.now += 30
    assert limiter.failed(A, 60.0)  # it answered another one meanwhile
    clock.now += 300
    assert limiter.failed(A, 1.0)  # nobody has asked


def test_while_nobody_asks_nothing_is_refused(limiter: RateLimiter, clock: Clock) -> None:
    """As while a question is open, or a gate runs."""
    for _ in range(2):
        assert limiter.refused(A, None, clock.now)
        clock.now += 300


def test_where_it_was_given_up_each_request_is_sent_once(clock: Clock) -> None:
    def script(_asked: Asked) -> Say:
        clock.now += 40  # an answer of a busy server takes its time
        return Say(429)

    with standin(script) as server:
        http = Transport(Settings(environ={}, retry=RetryPolicy(first=0.01, gap=0.01, largest_gap=0.01)))
        http._limiter = RateLimiter(POLICY, clock)
        for _ in range(10):
            with pytest.raises(StoreError) as caught:
                http.send(Request("GET", f"http://{server.host}/v2/"))
            assert caught.value.code == "registry.throttled"
        assert len(server.asked) == 3 + 9
        http.close()


def test_a_silent_server_is_asked_once_more_by_each_and_not_for_long() -> None:
    """What sends content may fail by that: it says nothing of the server."""
    with standin(lambda _: Say(200, cut="whole")) as server:
        http = Transport(Settings(environ={}, retry=RetryPolicy(first=0.001, budget=30.0)))
        http._limiter = RateLimiter(RetryPolicy(budget=0.0))
        url = f"http://{server.host}/v2/"
        with pytest.raises(StoreError, match="cannot reach"):
            http.send(Request("PUT", url, body=lambda: iter([b"x"]), headers={"Content-Length": "1"}))
        assert len(server.asked) == 6
        assert http._timeout(Request("GET", url)).read_timeout == READ_SECONDS
        for _ in range(4):
            with pytest.raises(StoreError, match="cannot reach"):
                http.send(Request("GET", url))
        assert len(server.asked) == 6 + 4
        assert http._timeout(Request("GET", url)).read_timeout == LITTLE_SECONDS
        assert http._timeout(Request("PUT", url)).read_timeout == READ_SECONDS
        http.close()


def test_what_one_thread_is_told_holds_the_others() -> None:
    """The first answer refuses for a second; whoever asks afterwards waits for it, whatever the method, and is told."""
    refused, times, lock = threading.Event(), list[float](), threading.Lock()
    waits: list[str] = []

    def script(_asked: Asked) -> Say:
        with lock:
            times.append(time.monotonic())
            return Say(429, headers={"Retry-After": "1"}) if len(times) == 1 else Say(200)

    def first() -> int:
        try:
            return http.send_once(Request("GET", url)).status
        except Transient:
            refused.set()
            raise

    with standin(script) as server, ThreadPoolExecutor(8) as pool:
        settings = Settings(environ={}, retry=RetryPolicy(first=0.01), waits=lambda why, _: waits.append(why))
        http, url = Transport(settings), f"http://{server.host}/v2/"
        begun = pool.submit(first)
        assert refused.wait(10)
        done = [pool.submit(http.send, Request(method, url)) for method in ("GET", "HEAD", "PUT", "DELETE")]
        assert [each.result().status for each in done] == [200] * 4
        assert begun.exception() is not None
        http.close()
    assert len(times) == 5
    assert len(waits) == 4
    assert all("too many requests (HTTP 429)" in why for why in waits)
    assert all(later - times[0] >= 1.0 for later in times[1:])


def test_a_deadline_that_comes_first() -> None:
    with standin(lambda _: Say(429, headers={"Retry-After": "30"})) as server:
        http = Transport(Settings(environ={}, retry=RetryPolicy(first=0.01), deadline=time.monotonic() + 5))
        for _ in range(2):
            with pytest.raises(StoreError, match="asks to wait") as caught:
                http.send(Request("GET", f"http://{server.host}/v2/"))
            assert caught.value.code == "registry.throttled"
        assert len(server.asked) == 1
        http.close()
