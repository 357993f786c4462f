"""Logging in: to real registries, and (simulated) to token servers as others run them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tagflow.errors import StoreError
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests import images
from tests.servers import PASSWORD, USERNAME, RegistryServer, make_certificate, running_registry
from tests.standin import Asked, Say, Script, StandIn, standin
from tests.tokenserver import REFRESH_TOKEN, TokenServer

QUICK = RetryPolicy(attempts=3, first=0.01, gap=0.001, largest_gap=0.01)
Opener = Callable[..., RegistryHost]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Opener]:
    """Opens a registry with a Docker configuration of the given ``auths`` entry."""
    hosts: list[RegistryHost] = []

    def opening(host: str, entry: Mapping[str, str] | None = None, **settings: Any) -> RegistryHost:
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: dict(entry or {})}}))
        environ = {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)}
        hosts.append(RegistryHost(host, Settings(environ=environ, retry=QUICK, **settings)))
        return hosts[-1]

    yield opening
    for host in hosts:
        host.close()


LOGIN = {"username": USERNAME, "password": PASSWORD}
WRONG = {"username": USERNAME, "password": "wrong horse"}


class TestBasic:
    def test_reads_and_writes(self, htpasswd_registry: RegistryServer, connect: Opener) -> None:
        host = connect(htpasswd_registry.host, LOGIN)
        store = host.store(htpasswd_registry.fresh().path)
        assert images.image(store, tag="v1").digest == store.resolve("v1")
        health = host.ping()
        assert (health.status, health.scheme) == (200, "basic")
        assert health.credential.endswith("config.json auths")

    @pytest.mark.parametrize(("entry", "message"), [(WRONG, "does not accept"), ({}, "there is no credential")])
    def test_denied(
        self, htpasswd_registry: RegistryServer, connect: Opener, entry: Mapping[str, str], message: str
    ) -> None:
        store = connect(htpasswd_registry.host, entry).store("a/b")
        with pytest.raises(StoreError, match=message) as caught:
            store.tags()
        assert (caught.value.code, caught.value.exit_status) == ("auth.denied", 6)
        assert f"docker login {htpasswd_registry.host}" in caught.value.hint
        assert "wrong horse" not in str(caught.value) + caught.value.hint

    def test_variables_for_another_spelling_of_the_host_are_told(self, htpasswd_registry: RegistryServer) -> None:
        environ = {"TAGFLOW_REGISTRY_HOST": "localhost", "TAGFLOW_REGISTRY_USERNAME": USERNAME}
        environ |= {"TAGFLOW_REGISTRY_PASSWORD": PASSWORD, "HOME": "/nonexistent"}
        host = RegistryHost(htpasswd_registry.host, Settings(environ=environ))
        with pytest.raises(StoreError, match="there is no credential") as caught:
            host.store("a/b").tags()
        host.close()
        assert caught.value.hint.startswith("TAGFLOW_REGISTRY_HOST names localhost, which is another host. Run ")
        assert PASSWORD not in str(caught.value) + caught.value.hint

    def test_variables_that_are_empty_are_told(self, htpasswd_registry: RegistryServer) -> None:
        """As in CI, where the job of a fork is given no secrets."""
        environ = {
            "TAGFLOW_REGISTRY_HOST": htpasswd_registry.host,
            "TAGFLOW_REGISTRY_USERNAME": "",
            "HOME": "/nonexistent",
        }
        host = RegistryHost(htpasswd_registry.host, Settings(environ=environ))
        with pytest.raises(StoreError, match="there is no credential") as caught:
            host.store("a/b").tags()
        host.close()
        told = "TAGFLOW_REGISTRY_HOST names it, but TAGFLOW_REGISTRY_USERNAME and TAGFLOW_REGISTRY_PASSWORD are empty:"
        assert caught.value.hint.startswith(told)

    @pytest.mark.parametrize("around", ["{}\n", " {}", "{}\r\n"])
    def test_a_password_with_a_line_break_is_told_as_one(self, htpasswd_registry: RegistryServer, around: str) -> None:
        environ = {"TAGFLOW_REGISTRY_HOST": htpasswd_registry.host, "TAGFLOW_REGISTRY_USERNAME": USERNAME}
        environ |= {"TAGFLOW_REGISTRY_PASSWORD": around.format(PASSWORD), "HOME": "/nonexistent"}
        host = RegistryHost(htpasswd_registry.host, Settings(environ=environ))
        with pytest.raises(StoreError, match="whose password begins or ends with a blank or a line break") as caught:
            host.store("a/b").tags()
        host.close()
        assert PASSWORD not in str(caught.value) + caught.value.hint

    def test_a_wrong_password_is_sent_once(self, connect: Opener) -> None:
        """Many servers lock an account after a few wrong passwords; sixteen threads must not do that."""
        with standin(lambda _: Say(401, headers={"WWW-Authenticate": 'Basic realm="x"'})) as server:
            host = connect(server.host, WRONG)
            failures = in_threads(16, lambda n: host.store(f"a/b{n}").tags())
            assert {exc.code for exc in failures} == {"auth.denied"}
            assert sum(1 for asked in server.asked if asked.authorization) == 1


@pytest.fixture
def _as_ever(tokens: TokenServer) -> Iterator[None]:
    """The token server, with nothing asked yet, and as kind afterwards as before."""
    kind = vars(TokenServer(tokens.realm, tokens.certificate, tokens.key)).items()
    vars(tokens).update(kind)
    yield
    vars(tokens).update(kind)


@pytest.mark.usefixtures("_as_ever")
class TestBearer:
    def test_reads_and_writes(self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener) -> None:
        repository = token_registry.fresh()
        store = connect(token_registry.host, LOGIN, writes=True).store(repository.path)
        manifest = images.index(store, tag="v1")
        store.move("prod", manifest, None)
        assert store.tags() == ["prod", "v1"]
        assert [request.scopes for request in tokens.requests] == [(f"repository:{repository.path}:pull,push",)]
        assert tokens.requests[0].username == USERNAME

    def test_push_is_asked_for_when_it_is_needed(
        self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener
    ) -> None:
        repository = token_registry.fresh()
        store = connect(token_registry.host, LOGIN).store(repository.path)
        assert store.tags() == []
        images.image(store, tag="v1")
        assert store.tags() == ["v1"]
        scope = f"repository:{repository.path}"
        assert [request.scopes for request in tokens.requests] == [(f"{scope}:pull",), (f"{scope}:pull,push",)]

    def test_anonymous_may_pull_and_not_push(self, token_registry: RegistryServer, connect: Opener) -> None:
        repository = token_registry.fresh()
        images.image(connect(token_registry.host, LOGIN).store(repository.path), tag="v1")
        store = connect(token_registry.host).store(repository.path)
        manifest = store.get("v1")
        with pytest.raises(StoreError, match="no credential") as caught:
            store.put(manifest, "v2")
        assert caught.value.code == "auth.denied"
        assert store.tags() == ["v1"]

    def test_a_reader_who_asks_for_push_too_may_still_read(
        self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener
    ) -> None:
        repository = token_registry.fresh()
        manifest = images.image(connect(token_registry.host, LOGIN).store(repository.path), tag="v1")
        tokens.refuse_push = True
        store = connect(token_registry.host, LOGIN, writes=True).store(repository.path)
        assert store.get("v1") == manifest
        assert b"".join(store.read_blob(manifest.blobs[0]))
        with pytest.raises(StoreError, match="may not push"):
            store.put(manifest, "v2")

    def test_both_repositories_when_mounting(
        self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener
    ) -> None:
        host = connect(token_registry.host, LOGIN, writes=True)
        source, target = (host.store(token_registry.fresh(name).path) for name in ("source", "target"))
        blob = images.add_blob(source, b"shared")
        assert target.mount(blob, source.repository)
        paths = [store.repository.path for store in (target, source)]
        assert tokens.requests[-1].scopes == (f"repository:{paths[0]}:pull,push", f"repository:{paths[1]}:pull")

    def test_an_identity_token(self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener) -> None:
        entry = {"identitytoken": REFRESH_TOKEN}
        store = connect(token_registry.host, entry, writes=True).store(token_registry.fresh().path)
        images.image(store, tag="v1")
        assert [request.method for request in tokens.requests] == ["POST"]

    def test_one_thread_asks_and_the_others_wait(
        self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener
    ) -> None:
        tokens.delay = 0.1
        store = connect(token_registry.host, LOGIN).store(token_registry.fresh().path)
        assert in_threads(16, lambda _: store.tags()) == []
        assert len(tokens.requests) == 1

    def test_a_wrong_password_is_sent_twice_at_most(
        self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener
    ) -> None:
        host = connect(token_registry.host, WRONG)
        failures = in_threads(16, lambda n: host.store(f"a/b{n}").tags())
        assert {exc.code for exc in failures} == {"auth.denied"}
        assert len(tokens.requests) == 2  # with the scope, then without, to know whether it is the password

    def test_an_expired_token_is_replaced(
        self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener
    ) -> None:
        tokens.lifetime = 0
        store = connect(token_registry.host, LOGIN).store(token_registry.fresh().path)
        assert store.tags() == []
        assert store.tags() == []
        assert len(tokens.requests) == 2

    def test_no_expiry_means_a_minute(
        self, token_registry: RegistryServer, tokens: TokenServer, connect: Opener
    ) -> None:
        tokens.lifetime = None
        store = connect(token_registry.host, LOGIN).store(token_registry.fresh().path)
        assert store.tags() == store.tags() == []
        assert len(tokens.requests) == 1


@pytest.fixture(scope="module")
def twenty(token_registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twenty repositories, in each of which ``v1`` stands."""
    environ = token_registry.environ(tmp_path_factory.mktemp("twenty"))
    host = RegistryHost(token_registry.host, Settings(environ=environ, retry=QUICK, writes=True))
    paths = [token_registry.fresh().path for _ in range(20)]
    for path in paths:
        images.image(host.store(path), tag="v1")
    host.close()
    return paths


@pytest.mark.usefixtures("_as_ever")
class TestOneTokenForSeveral:
    """The first is for one repository, and tells whether tokens say what they are good for."""

    @pytest.fixture
    def stores(self, token_registry: RegistryServer, twenty: list[str], connect: Opener) -> list[RegistryStore]:
        """They are opened and not yet asked."""
        host = connect(token_registry.host, LOGIN)
        return [host.store(path) for path in twenty]

    @staticmethod
    def ask(tokens: TokenServer, stores: list[RegistryStore]) -> list[int]:
        """Ask all at once; of how many repositories each token request was, most first."""
        tokens.requests.clear()
        seen: list[list[str]] = []
        assert in_threads(len(stores), lambda number: seen.append(stores[number].tags())) == []
        assert seen == [["v1"]] * len(stores)
        return sorted((len(request.scopes) for request in tokens.requests), reverse=True)

    def test_twenty_take_three(self, tokens: TokenServer, stores: list[RegistryStore]) -> None:
        assert self.ask(tokens, stores) == [16, 3, 1]
        assert self.ask(tokens, stores) == []

    def test_those_that_it_is_not_good_for_are_asked_for_alone(
        self, tokens: TokenServer, stores: list[RegistryStore]
    ) -> None:
        tokens.most = 2
        assert self.ask(tokens, stores) == [16, 3, *[1] * 16]
        assert self.ask(tokens, stores) == []

    def test_a_server_that_refuses_several_is_not_asked_for_many_again(
        self, tokens: TokenServer, stores: list[RegistryStore]
    ) -> None:
        tokens.refuse_several = True
        first, *rest = self.ask(tokens, stores)
        assert first == 16
        assert rest in ([1] * 20, [3, *[1] * 20])  # the second may have been under way

    def test_when_it_expires_the_same_are_asked_for_again(
        self, tokens: TokenServer, stores: list[RegistryStore]
    ) -> None:
        tokens.lifetime = 0
        assert self.ask(tokens, stores)[:1] == [16]
        assert self.ask(tokens, stores)[:1] == [16]

    def test_a_repository_alone(self, tokens: TokenServer, stores: list[RegistryStore]) -> None:
        assert self.ask(tokens, stores[:1]) == [1]


def in_threads(count: int, work: Callable[[int], object]) -> list[StoreError]:
    """Do it in many threads at once; the errors."""
    failures: list[StoreError] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except StoreError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def bearer(server: list[StandIn], **answer: Any) -> Script:
    """A simulated registry that accepts the token ``good``, and its token server at /token."""

    def script(asked: Asked) -> Say:
        if asked.path == "/token":
            return Say(**{"body": b'{"token": "good"}', **answer})
        if asked.authorization == "Bearer good":
            return Say(body=b'{"name": "a/b", "tags": ["v1"]}')
        challenge = f'Bearer realm="http://{server[0].host}/token",service="s",scope="repository:a/b:pull"'
        return Say(401, headers={"WWW-Authenticate": challenge})

    return script


@pytest.fixture
def store(connect: Opener) -> Iterator[Callable[..., RegistryStore]]:
    """A repository in a simulated registry whose token server answers as said."""
    running: list[StandIn] = []

    def opening(entry: Mapping[str, str] | None = None, **answer: Any) -> RegistryStore:
        running.append(StandIn(bearer(running, **answer)))
        return connect(running[0].host, entry).store("a/b")

    yield opening
    for server in running:
        server.stop()


class TestSimulatedTokenServers:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"token": "good"}',
            b'{"access_token": "good", "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"}',
            b'{"token": "good", "access_token": "other", "expires_in": null}',
            b'{"token": "", "access_token": "good", "expires_in": 10.5}',
            b'{"token": "good", "expires_in": -5}',
            b'{"token": "good", "expires_in": "300"}',
        ],
    )
    def test_answers(self, store: Callable[..., RegistryStore], body: bytes) -> None:
        assert store(body=body).tags() == ["v1"]

    @pytest.mark.parametrize(
        "answer",
        [
            {"body": b""},
            {"body": b"<html>"},
            {"body": b"[]"},
            {"body": b"{}"},
            {"body": b'{"token": 7}'},
            {"body": b'{"token": "a\\r\\nX-Evil: 1"}'},
            {"body": b'{"token": "good", "expires_in": "soon"}'},
            {"body": b" " * 3_000_000},
            {"status": 404},
            {"status": 302, "headers": {"Location": "https://elsewhere.example/"}},
        ],
    )
    def test_nonsense(self, store: Callable[..., RegistryStore], answer: dict[str, Any]) -> None:
        with pytest.raises(StoreError) as caught:
            store(**answer).tags()
        assert caught.value.code == "registry.invalid_answer"

    def test_a_token_that_is_not_accepted_is_replaced_once(self, store: Callable[..., RegistryStore]) -> None:
        with pytest.raises(StoreError) as caught:
            store(body=b'{"token": "bad"}').tags()
        assert caught.value.code == "auth.denied"

    def test_a_registry_token_is_sent_as_it_is(self, store: Callable[..., RegistryStore]) -> None:
        assert store({"registrytoken": "good"}, status=500).tags() == ["v1"]

    def test_a_registry_token_that_is_refused(self, store: Callable[..., RegistryStore]) -> None:
        with pytest.raises(StoreError) as caught:
            store({"registrytoken": "old"}).tags()
        assert caught.value.code == "auth.denied"


@pytest.mark.parametrize(
    "realm",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://[fd00:ec2::254]/",
        "http://metadata.google.internal/",
        "ftp://auth.example/",
        "https://user:pw@auth.example/",
        "http://[::1/",
        "http:///token",
    ],
)
def test_a_hostile_realm_is_never_called(connect: Opener, realm: str) -> None:
    with standin(lambda _: Say(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})) as server:
        with pytest.raises(StoreError) as caught:
            connect(server.host, LOGIN).store("a/b").tags()
        assert caught.value.code in ("registry.invalid_answer", "auth.denied")
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("header", [None, "", "Negotiate", "Bearer", 'Bearer service="x"', "Digest realm=x"])
def test_a_challenge_that_nobody_can_answer(connect: Opener, header: str | None) -> None:
    headers = {} if header is None else {"WWW-Authenticate": header}
    with standin(lambda _: Say(401, headers=headers)) as server:
        with pytest.raises(StoreError) as caught:
            connect(server.host, LOGIN).store("a/b").tags()
        assert caught.value.code == "registry.invalid_answer"


def test_basic_is_taken_where_bearer_names_no_realm(connect: Opener) -> None:
    def script(asked: Asked) -> Say:
        if asked.authorization.startswith("Basic "):
            return Say(body=b'{"tags": ["v1"]}')
        return Say(401, headers={"WWW-Authenticate": 'Bearer service="x", Basic realm="y"'})

    with standin(script) as server:
        assert connect(server.host, LOGIN).store("a/b").tags() == ["v1"]


def test_tls_with_a_private_authority(tls_registry: RegistryServer, tmp_path: Path) -> None:
    assert tls_registry.ca
    directory = tmp_path / ".docker/certs.d" / tls_registry.host
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(tls_registry.ca.read_bytes())
    for environ in ({"HOME": str(tmp_path)}, {"SSL_CERT_FILE": str(tls_registry.ca)}):
        host = RegistryHost(tls_registry.host, Settings(environ=environ, retry=QUICK))
        assert images.image(host.store(tls_registry.fresh().path), tag="v1")
        assert host.ping().url == f"https://{tls_registry.host}"
        host.close()


def test_tls_that_is_not_trusted(tls_registry: RegistryServer, tmp_path: Path) -> None:
    host = RegistryHost(tls_registry.host, Settings(environ={"HOME": str(tmp_path)}, retry=QUICK))
    with pytest.raises(StoreError, match="is not trusted") as caught:
        host.store("a/b").tags()
    assert caught.value.code == "registry.untrusted"
    assert f"certs.d/{tls_registry.host}" in caught.value.hint


def test_a_certificate_of_ours(tmp_path: Path) -> None:
    """As Docker keeps it: certs.d/HOST/client.cert and client.key."""
    ca, certificate, key = make_certificate(tmp_path / "server")
    authority, own, own_key = make_certificate(tmp_path / "client")
    tls = {"certificate": str(certificate), "key": str(key), "clientcas": [str(authority)]}
    with running_registry(tmp_path / "registry", tls=tls) as server:
        directory = tmp_path / ".docker/certs.d" / server.host
        directory.mkdir(parents=True)
        (directory / "ca.crt").write_bytes(ca.read_bytes())
        with pytest.raises(StoreError, match="asks for a certificate of ours") as caught:
            connected(server.host, tmp_path).store("a/b").tags()
        assert (caught.value.code, "client.key" in caught.value.hint) == ("registry.untrusted", True)
        (directory / "client.cert").write_bytes(own.read_bytes())
        (directory / "client.key").write_bytes(own_key.read_bytes())
        assert images.image(connected(server.host, tmp_path).store("a/b"), tag="v1")


def connected(host: str, home: Path) -> RegistryHost:
    return RegistryHost(host, Settings(environ={"HOME": str(home)}, retry=QUICK))
