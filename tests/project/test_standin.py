"""The scriptable server of the tests does what its scripts say, and so does what stands in front of a script."""

from __future__ import annotations

import http.client
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import urllib3

from tests.proxy import fault_proxy
from tests.registries.simulator import Quirks, digest_of, simulated_registry
from tests.servers import RegistryServer, make_certificate, server_context
from tests.standin import Asked, Relay, Say, Script, StandIn, changed, instead, standin


def ask(host: str, *targets: str, method: str = "GET", body: bytes = b"") -> list[tuple[int, bytes]]:
    """Status and body of each answer, all over one connection."""
    answers = []
    with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        for target in targets:
            connection.request(method, target, body or None)
            with connection.getresponse() as response:
                answers.append((response.status, response.read()))
    return answers


def test_a_script_answers() -> None:
    with standin(lambda asked: Say(201, asked.path.encode())) as server:
        assert ask(server.host, "/a?n=1", "/b") == [(201, b"/a"), (201, b"/b")]
        assert [asked.query for asked in server.asked] == [{"n": ["1"]}, {}]
        assert (server.count("GET", "/a"), server.count("PUT"), server.connections) == (1, 0, 1)


def test_a_body_that_no_script_reads_is_no_next_request() -> None:
    with standin(lambda _: Say(202)) as server:
        assert ask(server.host, "/", "/", method="PUT", body=b"GET / HTTP/1.1\r\n\r\n") == [(202, b"")] * 2


def test_an_override_answers_for_some_requests() -> None:
    refusal = instead(Say(429), "GET", "/tags/", skip=1, times=2)
    with standin(lambda _: Say(), refusal) as server:
        statuses = [status for status, _ in ask(server.host, *["/tags/list"] * 5, "/other")]
    assert statuses == [200, 429, 429, 200, 200, 200]


def test_the_first_override_is_nearest_to_the_client() -> None:
    def louder(said: Say) -> Say:
        return replace(said, body=said.body.upper())

    with standin(lambda _: Say(body=b"a"), changed(louder), changed(lambda said: replace(said, body=b"b"))) as server:
        assert ask(server.host, "/") == [(200, b"B")]


def test_an_override_may_ask_more_than_once() -> None:
    def twice(asked: Asked, server: Script) -> Say:
        return replace(server(asked), body=server(asked).body * 2)

    with standin(lambda _: Say(body=b"a"), twice) as server:
        assert ask(server.host, "/") == [(200, b"aa")]


@pytest.mark.registry
def test_one_quirk_before_a_simulated_and_a_real_registry(registry: RegistryServer) -> None:
    path = registry.fresh().path
    hidden = instead(Say(404), "GET|HEAD", "/blobs/sha256:")
    content = b"content"
    target = f"/v2/{path}/blobs/uploads/"
    with simulated_registry(Quirks(), hidden) as (_, simulated), standin(Relay(registry.host), hidden) as real:
        for server in (simulated, real):
            pool = urllib3.PoolManager()
            begun = pool.request("POST", f"http://{server.host}{target}")
            location = begun.headers["Location"]
            address = location if location.startswith("http") else f"http://{server.host}{location}"
            done = pool.request("PUT", f"{address}&digest={digest_of(content)}", body=content)
            assert (begun.status, done.status) == (202, 201)
            assert ask(server.host, f"/v2/{path}/blobs/{digest_of(content)}")[0][0] == 404
            pool.clear()
    assert ask(registry.host, f"/v2/{path}/blobs/{digest_of(content)}") == [(200, content)]


def test_headers_may_come_more_than_once() -> None:
    with standin(lambda _: Say(401, headers={"WWW-Authenticate": "Basic realm=a\nBearer realm=b"})) as server:
        answer = urllib3.request("GET", f"http://{server.host}/", retries=False)
        assert answer.headers.getlist("WWW-Authenticate") == ["Basic realm=a", "Bearer realm=b"]


def test_tls_and_a_tunnel(tmp_path: Path) -> None:
    ca, certificate, key = make_certificate(tmp_path)
    context = server_context(certificate, key)
    with standin(lambda _: Say(body=b"secret"), tls=context) as server, urllib3.PoolManager(ca_certs=str(ca)) as pool:
        assert pool.request("GET", f"https://{server.host}/").data == b"secret"
    ca, certificate, key = make_certificate(tmp_path, "one.example", "two.example")
    gate = StandIn(lambda asked: Say(body=asked.host.encode()), tunnel=server_context(certificate, key))
    with urllib3.ProxyManager(f"http://{gate.host}", ca_certs=str(ca)) as proxy:
        for name in ("one.example", "two.example"):
            assert [proxy.request("GET", f"https://{name}/").data for _ in range(2)] == [name.encode()] * 2
    gate.stop()


@pytest.mark.parametrize("cut", ["before", "after", "middle"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_is_cut(cut: str, reset: bool) -> None:
    reached: list[str] = []

    def script(asked: Asked) -> Say:
        reached.append(asked.path)
        return Say(body=b"four")

    with standin(script) as server, fault_proxy(server.host) as proxy:
        proxy.add(cut=cut, reset=reset)
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(proxy.host, "/")
        assert ask(proxy.host, "/again") == [(200, b"four")]
    assert reached == [*([] if cut == "before" else ["/"]), "/again"]


def test_one_answer_does_not_wait_for_the_body_of_another_request() -> None:
    with (
        standin(lambda asked: Say(body=asked.body)) as server,
        closing(http.client.HTTPConnection(server.host, timeout=30)) as slow,
    ):
        slow.putrequest("PUT", "/")
        slow.putheader("Content-Length", "4")
        slow.endheaders(b"ab")
        assert ask(server.host, "/", method="PUT", body=b"quick") == [(200, b"quick")]
        slow.send(b"cd")
        with slow.getresponse() as response:
            assert response.read() == b"abcd"
