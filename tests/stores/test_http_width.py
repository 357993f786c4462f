"""How many requests are under way at once: by what a server makes of them, and by no clock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.errors import StoreError
from tagflow.stores.registry.http.pace import FEWEST, FIRST, MOST, Limit, RetryPolicy, Settings, Turn, Width
from tagflow.stores.registry.http.transport import Request, Transport
from tests.standin import Asked, Say, standin


def after(limit: Limit, count: int, seconds: float = 0.05, *, kind: str = "HEAD", waiting: bool = True) -> int:
    """The limit after so many more answers that took so long."""
    for _ in range(count):
        limit.ended(kind, Turn(seconds), under_way=int(limit), waiting=waiting)
    return int(limit)


class TestLimit:
    def test_doubles_with_each_round_while_the_server_keeps_up(self) -> None:
        limit = Limit()
        assert after(limit, FIRST) == 2 * FIRST
        assert after(limit, 2 * FIRST) == MOST
        assert after(limit, 100) == MOST

    def test_stays_where_nobody_waits(self) -> None:
        assert after(Limit(), 100, waiting=False) == FIRST

    def test_stays_where_answers_take_longer(self) -> None:
        limit = Limit()
        after(limit, 1, 0.01)
        assert after(limit, 100, 0.03) < 2 * FIRST
        assert after(limit, 100, 0.03) == after(limit, 100, 0.03)

    def test_halves_where_the_server_falls_behind_and_never_below_where_it_began(self) -> None:
        limit = Limit()
        after(limit, 100)
        assert after(limit, 20, 0.5) == MOST // 2
        assert after(limit, 1000, 0.5) == FIRST

    def test_grows_by_one_a_round_once_it_fell_behind(self) -> None:
        limit = Limit()
        after(limit, 100)
        after(limit, 1000, 0.5)
        fast = after(limit, 200)
        assert FIRST < fast < MOST

    def test_halves_once_for_all_that_was_under_way(self) -> None:
        limit = Limit()
        for _ in range(FIRST):
            limit.ended("PUT", Turn(0.05, refused=True), under_way=FIRST - 1, waiting=True)
        assert int(limit) == FIRST // 2

    def test_what_is_refused_again_and_again_goes_on(self) -> None:
        limit = Limit()
        for _ in range(1000):
            limit.ended("PUT", Turn(0.05, refused=True), under_way=3, waiting=True)
        assert int(limit) == FEWEST

    def test_kinds_are_compared_with_their_own(self) -> None:
        limit = Limit()
        for _ in range(100):
            limit.ended("HEAD", Turn(0.05), under_way=10, waiting=True)
            limit.ended("PUT", Turn(0.5), under_way=10, waiting=True)
        assert int(limit) == MOST

    @given(st.lists(st.tuples(st.floats(0, 100), st.booleans(), st.booleans(), st.integers(0, MOST))))
    def test_is_within_bounds(self, answers: list[tuple[float, bool, bool, int]]) -> None:
        limit = Limit()
        for seconds, refused, waiting, under_way in answers:
            limit.ended("GET", Turn(seconds, refused), under_way=under_way, waiting=waiting)
            assert FEWEST <= int(limit) <= MOST


def test_who_finds_no_place_in_time_is_told() -> None:
    width = Width()
    places = [width.place("GET") for _ in range(FIRST)]
    for place in places:
        place.__enter__()
    with pytest.raises(TimeoutError), width.place("GET", 0.0):
        pass
    places[0].__exit__(None, None, None)
    with width.place("GET", 0.0):
        pass


def test_a_server_is_asked_no_more_at_once_than_it_bears() -> None:
    """The first sixteen wait for one another: as many are under way, and nobody else."""
    lock, together = threading.Lock(), threading.Barrier(FIRST, timeout=20)
    under_way, most, served = 0, 0, 0

    def say(_: Asked) -> Say:
        nonlocal under_way, most, served
        with lock:
            under_way, served = under_way + 1, served + 1
            most, first = max(most, under_way), served <= FIRST
        if first:
            together.wait()
        with lock:
            under_way -= 1
        return Say(200)

    with standin(say) as server, ThreadPoolExecutor(100) as pool:
        transport = Transport(Settings(environ={}, retry=RetryPolicy(attempts=1)))
        answers = list(
            pool.map(lambda _: transport.send(Request("GET", f"http://{server.host}/v2/")).status, range(200))
        )
        transport.close()
    assert answers == [200] * 200
    assert FIRST <= most <= MOST


def test_an_error_gives_its_place_back() -> None:
    with standin(lambda _: Say(429)) as server:
        transport = Transport(Settings(environ={}, retry=RetryPolicy(attempts=1, gap=0.0)))
        for _ in range(2 * MOST):
            with pytest.raises(StoreError):
                transport.send(Request("GET", f"http://{server.host}/v2/"))
        transport.close()
