"""Requests and rounds of whole commands on a real registry. A round is the time that one answer takes to come."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from tests.marks import LONG
from tests.servers import RegistryServer
from tests.speed.conftest import FLOATING, OpenBench
from tests.speed.rounds import Bench, Cost, Recorder

pytestmark = pytest.mark.registry

CRANE_TAG = 4
"""Requests, one after the other, that `crane tag` makes: version check, manifest, HEAD, PUT."""


def ready(bench: Bench) -> Bench:
    """v1.0.0 runs everywhere, v1.1.0 in dev and test."""
    bench.build("v1.0.0", "v1.1.0")
    for version, environment in (("v1.0.0", "dev"), ("v1.0.0", "test"), ("v1.0.0", "prod")):
        bench.done("promote", version, "--to", environment)
    for environment in ("dev", "test"):
        bench.done("promote", "v1.1.0", "--to", environment)
    return bench


def within(cost: Cost, *, rounds: int, requests: int) -> None:
    """Hold a command to its budget."""
    assert cost.rounds <= rounds, str(cost)
    assert len(cost.requests) <= requests, str(cost)
    assert cost.twice == [], str(cost)


class TestOneImage:
    """With nothing in the cache, as on a fresh CI machine.

    The looks of the protocol, and the proof that the image is whole, are among the requests.
    """

    def test_enters_an_environment(self, bench: OpenBench) -> None:
        """Tags; digests and records; then record, combined tag, environment tag, and a look at it."""
        one = bench()
        one.build("v1.0.0")
        one.done("promote", "v1.0.0", "--to", "dev")
        cost = one.run("promote", "v1.0.0", "--to", "test")
        within(cost, rounds=9, requests=20)
        assert cost.count("PUT") == 3

    def test_follows_another(self, bench: OpenBench) -> None:
        """The environment's record, its tag, and the combined tag of what runs there come in."""
        within(ready(bench()).run("promote", "v1.1.0", "--to", "prod"), rounds=9, requests=23)

    def test_is_the_first_in_its_repository(self, bench: OpenBench) -> None:
        """The empty blob that every record names is brought in, once."""
        one = bench()
        one.build("v1.0.0")
        within(one.run("promote", "v1.0.0", "--to", "dev"), rounds=13, requests=22)

    def test_by_its_name(self, bench: OpenBench) -> None:
        """Only a record tells which version that is: one round more."""
        within(ready(bench()).run("promote", "svc-0", "--to", "prod"), rounds=11, requests=24)

    def test_is_there_already(self, bench: OpenBench) -> None:
        one = ready(bench())
        within(one.run("promote", "v1.1.0", "--to", "test"), rounds=2, requests=9)

    def test_with_floating_tags(self, bench: OpenBench) -> None:
        """They move when the environment tag stands; before, it is tried whether one request could move both."""
        within(ready(bench(environments=FLOATING)).run("promote", "v1.1.0", "--to", "prod"), rounds=14, requests=34)

    def test_goes_back(self, bench: OpenBench) -> None:
        """Three rounds prove that every manifest and blob of the target is there; its anchors, which never move, are
        not asked for. What the environment leaves is: does its combined tag still hold it?"""
        one = ready(bench())
        one.done("promote", "v1.1.0", "--to", "prod")
        within(one.run("rollback", "prod"), rounds=9, requests=17)

    def test_is_looked_at(self, bench: OpenBench) -> None:
        one = ready(bench())
        within(one.run("status"), rounds=2, requests=7)
        warm = one.run("status", cold=False)
        within(warm, rounds=2, requests=7)
        assert warm.count("GET") == 1  # records that were read before are only asked for their digest
        within(one.run("verify"), rounds=8, requests=36)


@LONG
def test_rounds_do_not_grow_with_images(bench: OpenBench) -> None:
    """What is asked of four images is asked side by side, by each command."""
    costs = {}
    for count in (1, 4):
        some = ready(bench(count))
        host = f"{some.server.host}/{some.namespace}"
        sources = [f"{name}=docker://{host}/{name}:v1.1.0" for name in some.names]
        costs[count] = {
            "promote": some.run("promote", "v1.1.0", "--to", "prod"),
            "status": some.run("status"),
            "rollback": some.run("rollback", "prod"),
            "history": some.run("history", "prod"),
            "verify": some.run("verify"),
            "push": some.run("push", "v1.2.0", *sources),
        }
    for command, cost in costs[4].items():
        assert cost.rounds <= costs[1][command].rounds, f"{command}: {cost}"
        assert len(cost.requests) <= 4 * len(costs[1][command].requests), f"{command}: {cost}"
        assert cost.twice == [], f"{command}: {cost}"


@LONG
def test_each_new_version_costs_the_same(bench: OpenBench) -> None:
    """The tenth promotion asks no more than the second: history that grows is not read again."""
    one = bench()
    versions = [f"v1.{number}.0" for number in range(6)]
    one.build(*versions)
    for version in versions:
        one.done("promote", version, "--to", "dev")
        cost = one.run("promote", version, "--to", "test")
        assert len(cost.requests) <= 24, str(cost)


@LONG
def test_verify_asks_of_each_older_version_its_names_alone(bench: OpenBench) -> None:
    """Record, version tag, combined tag: no registry tells where several tags stand in one answer.

    What runs and the two images that a rollback leads to next are looked at whole, too: three manifests and four blobs
    each, and no manifest again that is in the cache. --deep looks at all of them so.
    """
    one = bench()
    versions = [f"v1.{number}.0" for number in range(6)]
    one.build(*versions)
    asked = {}
    for count, version in enumerate(versions, 1):
        one.done("promote", version, "--to", "dev")
        if count >= 3:
            asked[count] = one.run("verify", "dev")
            assert asked[count].twice == [], str(asked[count])
    assert len(asked[3].requests) == 2 + 3 * (3 + 7), str(asked[3])
    assert [len(it.requests) - len(asked[3].requests) for it in asked.values()] == [0, 3, 6, 9]
    assert {it.rounds for it in asked.values()} == {asked[3].rounds}
    assert len(one.run("verify", "dev", "--deep").requests) == 2 + 6 * (3 + 7)
    warm = one.run("verify", "dev", cold=False)
    assert (warm.count("HEAD"), warm.count("GET")) == (1 + 6 * 3 + 3 * (2 + 4), 1), str(warm)


def test_a_round_is_what_follows_from_an_answer(registry: RegistryServer) -> None:
    """Two at once, one that takes both results, one beside it: two rounds, however long each takes."""
    with Recorder().listening() as asked, urllib3.PoolManager() as client, ThreadPoolExecutor(2) as pool:

        def ask(number: int) -> None:
            client.request("GET", f"http://{registry.host}/v2/?{number}")

        both = [pool.submit(ask, number) for number in (1, 1)]
        ask(1)
        for future in both:
            future.result()
        ask(2)
        pool.submit(ask, 3).result()
    assert [(it.path[-1], it.round) for it in asked if it.path[-1] != "1"] == [("2", 2), ("3", 3)]
    assert {it.round for it in asked if it.path[-1] == "1"} == {1}
