"""The HTTP client: bounded in time, memory, repetition and trust. Against a real registry and hostile stand-ins."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from tagflow.errors import StoreError, Unanswered
from tagflow.stores.registry.http import connections
from tagflow.stores.registry.http.connections import AHEAD
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.http.transport import ANSWER_LIMIT, REDIRECTING, Request, Transport
from tests.proxy import FaultProxy
from tests.servers import free_port, make_certificate
from tests.standin import Asked, Say, standin

QUICK = RetryPolicy(attempts=4, first=0.01, budget=5.0, gap=0.001, largest_gap=0.01)


def transport(**settings: Any) -> Transport:
    return Transport(Settings(**{"environ": {}, "retry": QUICK, **settings}))


@pytest.fixture
def http() -> Iterator[Transport]:
    opened = transport()
    yield opened
    opened.close()


def code_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(StoreError) as caught:
        call(*arguments)
    assert caught.value.exit_status == 6
    return caught.value.code


class TestConnections:
    def test_are_kept(self, http: Transport, proxy: FaultProxy) -> None:
        for method in ("GET", "HEAD", "GET", "HEAD"):
            assert http.send(Request(method, f"http://{proxy.host}/v2/")).status == 200
        proxy.add(status=503, times=1)
        assert http.send(Request("GET", f"http://{proxy.host}/v2/")).status == 200
        assert proxy.count() == 6
        assert proxy.connections == 1

    @pytest.mark.parametrize("secure", [True, False])
    def test_opened_ahead(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool) -> None:
        """While the first answer is on its way, connections are opened for what comes next. The tickets that TLS 1.3
        sends after a handshake do not make one look closed."""
        opened, ready, side_by_side = [], threading.Semaphore(0), threading.Barrier(AHEAD)
        open_one, connect = connections._Ahead._open_one, HTTPConnection._new_conn

        def counting(pool: Any, connection: Any, seconds: float) -> None:
            open_one(pool, connection, seconds)
            ready.release()

        def connecting(connection: Any) -> Any:
            opened.append(connection)
            return connect(connection)

        def script(asked: Asked) -> Say:
            if asked.path.endswith("list"):
                assert all(ready.acquire(timeout=30) for _ in range(AHEAD))
            else:
                side_by_side.wait(timeout=30)
            return Say(body=b"here")

        monkeypatch.setattr(connections._Ahead, "_open_one", counting)
        monkeypatch.setattr(HTTPConnection, "_new_conn", connecting)
        authority, certificate, key = make_certificate(tmp_path)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        with standin(script, tls=tls if secure else None) as server:
            http = transport(writes=True, environ={"SSL_CERT_FILE": str(authority)})
            base = http.base(server.host)
            assert base.startswith("https" if secure else "http:")
            assert http.send(Request("GET", f"{base}/list")).body == b"here"
            assert len(opened) in (AHEAD, 1 + AHEAD)  # the first may take one of these
            before = list(opened)
            with ThreadPoolExecutor(AHEAD) as pool:
                answers = pool.map(lambda number: http.send(Request("GET", f"{base}/{number}")), range(AHEAD))
                assert [it.body for it in answers] == [b"here"] * AHEAD
            assert opened == before
            http.close()

    def test_one_that_fails_ahead_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The server goes away in the middle of the handshake: whoever gets the connection next opens it anew."""
        ready, open_one = threading.Semaphore(0), connections._Ahead._open_one

        def counting(pool: Any, connection: Any, seconds: float) -> None:
            open_one(pool, connection, seconds)
            ready.release()

        monkeypatch.setattr(connections._Ahead, "_open_one", counting)

        def hang_up() -> None:
            for _ in range(3):
                server.accept()[0].close()

        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=hang_up, daemon=True).start()
            pool = connections._PLAIN_POOLS["https"]("127.0.0.1", server.getsockname()[1], maxsize=4)
            assert isinstance(pool, connections._Ahead)
            pool.open_ahead(3, 10)
            assert all(ready.acquire(timeout=30) for _ in range(3))
            assert all(pool._get_conn().is_closed for _ in range(4))
            pool.close()

    def test_none_ahead_to_where_nothing_is_moved(self, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections._Ahead, "_open_one", lambda *_: pytest.fail("opened"))
        http = transport()
        assert http.send(Request("GET", f"http://{proxy.host}/v2/")).status == 200
        http.close()

    def test_plain_http_on_loopback(self, http: Transport, proxy: FaultProxy) -> None:
        assert http.base(proxy.host) == f"http://{proxy.host}"
        assert proxy.count() == 0

    def test_tls_elsewhere_without_asking(self, http: Transport) -> None:
        assert http.base("registry.example:5000") == "https://registry.example:5000"

    def test_plain_http_for_insecure_hosts(self) -> None:
        host = f"localhost.:{free_port()}"  # not loopback by name
        assert transport(insecure=frozenset({host})).base(host) == f"http://{host}"

    def test_an_insecure_host_behind_a_proxy(self) -> None:
        environ = {"http_proxy": "http://proxy.example:1"}
        opened = transport(insecure=frozenset({"registry.example"}), environ=environ)
        assert opened.base("registry.example") == "http://registry.example"

    def test_nobody_listens(self, http: Transport) -> None:
        host = f"127.0.0.1:{free_port()}"
        with pytest.raises(StoreError, match="connection refused") as caught:
            http.send(Request("GET", f"http://{host}/v2/"))
        assert caught.value.code == "registry.unreachable"
        assert host in caught.value.message

    def test_no_such_host(self, http: Transport) -> None:
        with pytest.raises(StoreError, match="name cannot be resolved") as caught:
            http.send(Request("GET", "http://no-such-host.invalid/v2/"))
        assert caught.value.code == "registry.unreachable"

    def test_plain_http_where_tls_is_expected(self, http: Transport, proxy: FaultProxy) -> None:
        with pytest.raises(StoreError, match="does not speak TLS") as caught:
            http.send(Request("GET", f"https://{proxy.host}/v2/"))
        assert caught.value.code == "registry.untrusted"
        assert "insecure_registries" in caught.value.hint

    def test_a_proxy_is_used_and_logged_in_to(self) -> None:
        """Simulated: the stand-in is the proxy, and sees the absolute address."""
        with standin(lambda _: Say(body=b"through")) as proxy:
            opened = transport(environ={"http_proxy": f"http://user:w%6Frd@{proxy.host}"})
            assert opened.send(Request("GET", "http://registry.example/v2/")).body == b"through"
            assert proxy.asked[0].target == "http://registry.example/v2/"
            assert proxy.asked[0].headers["Proxy-Authorization"] == "Basic dXNlcjp3b3Jk"
            opened.close()

    def test_a_proxy_that_is_not_there(self) -> None:
        opened = transport(environ={"https_proxy": f"http://user:word@127.0.0.1:{free_port()}"})
        with pytest.raises(StoreError) as caught:
            opened.send(Request("GET", "https://registry.example/v2/"))
        assert caught.value.code == "registry.unreachable"
        assert caught.value.message == "cannot reach registry.example through its proxy: connection refused"
        assert caught.value.hint.startswith("Check https_proxy, or list registry.example in no_proxy")
        assert "word" not in caught.value.message + caught.value.hint
        opened.close()

    @pytest.mark.parametrize(
        ("status", "said", "tries"),
        [
            (407, "it wants a login (HTTP 407)", 1),
            (403, "it refuses (HTTP 403)", 1),
            (503, "it refuses (HTTP 503)", QUICK.attempts),
        ],
    )
    def test_a_proxy_that_lets_nobody_through(self, status: int, said: str, tries: int) -> None:
        """A wrong password is not tried again and again: the account behind it may be locked."""
        with standin(lambda _: Say(status)) as proxy:
            opened = transport(environ={"https_proxy": f"http://user:w%6Frd@{proxy.host}"})
            with pytest.raises(StoreError) as caught:
                opened.send(Request("GET", "https://registry.example/v2/"))
            opened.close()
            assert proxy.count("CONNECT") == tries
        assert caught.value.code == "registry.unreachable"
        assert caught.value.message == f"cannot reach registry.example through its proxy: {said}"
        assert ("user and password" in caught.value.hint) == (status == 407)
        assert "word@" not in caught.value.message + caught.value.hint

    def test_the_trace_tells_each_request_and_no_secret(self, proxy: FaultProxy) -> None:
        lines: list[str] = []
        opened = transport(trace=lines.append)
        opened.send(Request("GET", f"http://{proxy.host}/v2/?signature=s3cr3t", authorization="Bearer s3cr3t"))
        opened.close()
        [line] = lines
        assert line.startswith(f"GET http://{proxy.host}/v2/ 200 ")
        assert line.endswith(" ms")
        assert "s3cr3t" not in line


class TestAgain:
    @pytest.mark.parametrize("status", [408, 429, 499, 500, 502, 503, 504, 522])
    def test_a_status_that_passes(self, http: Transport, proxy: FaultProxy, status: int) -> None:
        proxy.add(status=status, times=2)
        assert http.send(Request("GET", f"http://{proxy.host}/v2/")).status == 200
        assert proxy.count() == 3

    @pytest.mark.parametrize("cut", ["before", "after", "middle"])
    def test_a_connection_that_breaks(self, http: Transport, proxy: FaultProxy, cut: str) -> None:
        proxy.add(cut=cut, times=2)
        assert http.send(Request("GET", f"http://{proxy.host}/v2/")).body == b"{}"
        assert proxy.count() == 3

    @pytest.mark.parametrize(
        ("status", "code"), [(429, "registry.throttled"), (503, "registry.unavailable"), (500, "registry.unavailable")]
    )
    def test_a_status_that_stays(self, http: Transport, proxy: FaultProxy, status: int, code: str) -> None:
        proxy.add(status=status, times=-1)
        assert code_of(http.send, Request("GET", f"http://{proxy.host}/v2/")) == code
        assert proxy.count() == QUICK.attempts

    @pytest.mark.parametrize(
        ("status", "may_be_done"), [(429, False), (503, False), (502, True), (504, True), (499, True), (524, True)]
    )
    def test_what_a_gateway_says_is_no_answer_of_the_registry(
        self, http: Transport, proxy: FaultProxy, status: int, may_be_done: bool
    ) -> None:
        """What it was asked to hand on may still be carried out."""
        proxy.add(status=status, times=-1)
        with pytest.raises(StoreError) as caught:
            http.send(Request("PUT", f"http://{proxy.host}/v2/x", body=b""))
        assert isinstance(caught.value, Unanswered) == may_be_done

    def test_500_for_a_write_is_not_repeated(self, http: Transport, proxy: FaultProxy) -> None:
        proxy.add(status=500)
        assert http.send(Request("PUT", f"http://{proxy.host}/v2/x", body=b"")).status == 500
        assert proxy.count() == 1

    def test_retry_after_is_waited_for(self, http: Transport, proxy: FaultProxy) -> None:
        proxy.add(status=429, headers={"Retry-After": "1"})
        started = time.monotonic()
        assert http.send(Request("GET", f"http://{proxy.host}/v2/")).status == 200
        assert time.monotonic() - started >= 1

    def test_retry_after_of_hours_fails_at_once(self, http: Transport, proxy: FaultProxy) -> None:
        proxy.add(status=429, headers={"Retry-After": "7200"})
        with pytest.raises(StoreError, match="asks to wait 7200 s") as caught:
            http.send(Request("GET", f"http://{proxy.host}/v2/"))
        assert caught.value.code == "registry.throttled"
        assert proxy.count() == 1


class TestTime:
    def test_a_silent_server(self, proxy: FaultProxy) -> None:
        proxy.add(delay=5, times=-1)
        opened = transport(deadline=time.monotonic() + 0.3)
        assert code_of(opened.send, Request("GET", f"http://{proxy.host}/v2/")) == "registry.timeout"
        opened.close()
        proxy.clear()

    def test_nothing_is_begun_after_the_deadline(self, proxy: FaultProxy) -> None:
        opened = transport(deadline=time.monotonic() - 1)
        assert code_of(opened.send, Request("GET", f"http://{proxy.host}/v2/")) == "registry.timeout"
        assert proxy.count() == 0

    def test_a_dripping_server(self, http: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.registry.http.transport.BODY_SECONDS", 0.0)
        with standin(lambda _: Say(body=b"x" * 100)) as server:
            assert code_of(http.send, Request("GET", f"http://{server.host}/")) == "registry.timeout"


class TestHostile:
    def test_an_endless_answer(self, http: Transport) -> None:
        with standin(lambda _: Say(body=b"x" * (ANSWER_LIMIT + 1))) as server:
            assert code_of(http.send, Request("GET", f"http://{server.host}/")) == "registry.invalid_answer"

    def test_an_endless_error(self, http: Transport) -> None:
        with standin(lambda _: Say(400, body=b"x" * (ANSWER_LIMIT + 1))) as server:
            assert len(http.send(Request("GET", f"http://{server.host}/")).body) == 64 * 1024

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            b"\x00\x01\x02",
        ],
    )
    def test_what_is_no_http(self, http: Transport, raw: bytes) -> None:
        with standin(lambda _: Say(raw=raw)) as server:
            code = code_of(http.send, Request("GET", f"http://{server.host}/"))
            assert code in ("registry.unreachable", "registry.invalid_answer")

    def test_two_lengths(self, http: Transport) -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc"
        with warnings.catch_warnings(), standin(lambda _: Say(raw=raw)) as server:
            warnings.simplefilter("ignore", ResourceWarning)  # urllib3 leaves this socket to the garbage collector
            assert code_of(http.send, Request("GET", f"http://{server.host}/")) == "registry.invalid_answer"
            gc.collect()

    def test_odd_lengths_are_survived(self, http: Transport) -> None:
        with standin(lambda _: Say(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\nabc")) as server:
            assert http.send(Request("GET", f"http://{server.host}/")).body == b"abc"


def test_the_last_question_comes_after_all_waits(http: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(http, "_take_turn", lambda _: events.append("turn"))
    with standin(lambda _: Say(body=b"{}")) as server:
        http.send(Request("PUT", f"http://{server.host}/", before=lambda: events.append(f"asked {len(server.asked)}")))
    assert events == ["turn", "asked 0"]


class TestRedirects:
    AUTHORIZATION = "Bearer s3cr3t"

    def request(self, host: str, **more: Any) -> Request:
        return Request("GET", f"http://{host}/blob", authorization=self.AUTHORIZATION, follow=REDIRECTING, **more)

    def test_credentials_stay_at_their_host(self, http: Transport) -> None:
        with standin(lambda _: Say(body=b"content")) as storage:
            there = {"Location": f"http://{storage.host}/signed?x=y"}
            with standin(lambda _: Say(307, headers=there)) as server:
                answer = http.send(self.request(server.host))
            assert (answer.body, answer.authorized) == (b"content", False)
            assert server.asked[0].authorization == self.AUTHORIZATION
            assert storage.asked[0].authorization == ""

    def test_credentials_do_not_come_back_after_a_detour(self, http: Transport) -> None:
        with standin(lambda _: Say()) as storage, standin(lambda _: Say()) as server:
            server.script = lambda asked: (
                Say(307, headers={"Location": f"http://{storage.host}/"}) if asked.path == "/blob" else Say()
            )
            storage.script = lambda _: Say(307, headers={"Location": f"http://{server.host}/again"})
            assert http.send(self.request(server.host)).status == 200
            assert [asked.authorization for asked in server.asked] == [self.AUTHORIZATION, ""]

    def test_within_a_host_they_go_along(self, http: Transport) -> None:
        def script(asked: Asked) -> Say:
            return Say() if asked.path == "/there" else Say(302, headers={"Location": "/there"})

        with standin(script) as server:
            http.send(self.request(server.host))
            assert [asked.authorization for asked in server.asked] == [self.AUTHORIZATION] * 2

    def test_are_not_followed_unless_asked_for(self, http: Transport) -> None:
        with standin(lambda _: Say(307, headers={"Location": "/x"})) as server:
            assert http.send(Request("GET", f"http://{server.host}/")).status == 307
            assert len(server.asked) == 1

    def test_in_a_circle(self, http: Transport) -> None:
        with standin(lambda _: Say(307, headers={"Location": "/blob"})) as server:
            assert code_of(http.send, self.request(server.host)) == "registry.invalid_answer"
            assert len(server.asked) == 6

    @pytest.mark.parametrize(
        "location",
        [
            None,
            "ftp://x.example/",
            "file:///etc/passwd",
            "http://169.254.169.254/latest/",
            "http://metadata.google.internal/",
            "http://[::1",
            "http://a b/",
        ],
    )
    def test_to_nowhere_good(self, http: Transport, location: str | None) -> None:
        headers = {} if location is None else {"Location": location}
        with standin(lambda _: Say(307, headers=headers)) as server:
            assert code_of(http.send, self.request(server.host)) == "registry.invalid_answer"

    def test_out_of_tls(self) -> None:
        from tagflow.stores.registry.http.addresses import check_destination

        with pytest.raises(StoreError, match="without TLS"):
            check_destination("https://r.example/", "http://storage.example/")
        check_destination("https://r.example/", "https://storage.example/")
        check_destination("http://r.example/", "http://storage.example/")


def test_the_home_directory_is_taken_from_the_settings(tmp_path: Path) -> None:
    """No environment of the process leaks into a client that was given another."""
    opened = transport(environ={"HOME": str(tmp_path)})
    assert opened.base("registry.example") == "https://registry.example"
