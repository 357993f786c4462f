"""Logins that were reported to go wrong: simulated token servers, and what is told where one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.registry.auth.credentials import Credential, Keychain
from tagflow.stores.registry.auth.tokens import Scope, joined, parse_scopes
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests import images
from tests.registries.logins import TokenLogin
from tests.registries.simulator import Simulator, simulated_registry
from tests.standin import Asked, Override, Say, Script, StandIn, instead, standin

QUICK = RetryPolicy(attempts=3, first=0.01, budget=2.0)
USER = Credential("ci", "pass-of-the-tests", source="tests")


@dataclass(frozen=True)
class World:
    """A simulated registry of tokens."""

    store: RegistryStore
    login: TokenLogin
    simulator: Simulator
    server: StandIn

    def scopes(self) -> list[list[str]]:
        """The scopes that tokens were asked for."""
        return [asked.query.get("scope", []) for asked in self.login.asked]


@contextmanager
def world(*overrides: Override, credential: Credential = USER, **given: object) -> Iterator[World]:
    known = (USER.username, USER.password)
    login = TokenLogin("", "tests", lambda user, password: (user, password) == known, **given)  # type: ignore[arg-type]
    token = instead(login.serve, path="^/token")
    with simulated_registry(None, *overrides, token, login=login) as (simulator, server):
        login.realm = f"http://{server.host}/token"
        keychain = Keychain([lambda _host, _path: credential])
        host = RegistryHost(server.host, Settings(environ={}, retry=QUICK), keychain)
        yield World(host.store("a/b"), login, simulator, server)
        host.close()


def refused(store: RegistryStore) -> StoreError:
    with pytest.raises(StoreError) as caught:
        images.image(store, tag="v1")
    return caught.value


def named(path: str) -> Override:
    """The registry knows the repository by another name, and asks for a token that is good for that one."""

    def override(asked: Asked, server: Script) -> Say:
        said = server(asked)
        challenge = said.header("WWW-Authenticate").replace("repository:a/b:", f"repository:{path}:")
        return said.having({"WWW-Authenticate": challenge}) if said.status == 401 else said

    return override


class TestRedirects:
    """A token server may redirect, if only for a slash."""

    @staticmethod
    def moved(base: str = "") -> Override:
        def override(asked: Asked, server: Script) -> Say:
            if asked.path == "/token/":
                return server(replace(asked, target=asked.target.replace("/token/", "/token")))
            if asked.path == "/token":
                return Say(301, headers={"Location": base + asked.target.replace("/token", "/token/")})
            return server(asked)

        return override

    def test_within_its_host(self) -> None:
        with world(self.moved()) as found:
            images.image(found.store, tag="v1")
            assert found.store.tags() == ["v1"]

    def test_but_to_no_other(self) -> None:
        with standin(lambda _: Say(401)) as other, world(self.moved(f"http://{other.host}")) as found:
            assert refused(found.store).code == "registry.invalid_answer"
            assert other.asked == []


class TestScopes:
    def test_one_that_names_another_repository(self) -> None:
        """Proxies of registries, and registries that add a namespace, do so. Both are asked for."""
        with world(named("library/b")) as found:
            assert found.store.tags() == []
            assert found.scopes() == [["repository:a/b:pull", "repository:library/b:pull"]]

    def test_one_that_the_token_server_gives_alone(self) -> None:
        """It refuses the scope that it does not know: ours is asked for then."""
        other = instead(Say(400), path="^/token.*library")
        with world(other, named("library/b")) as found:
            assert found.store.tags() == []
            assert found.scopes() == [["repository:a/b:pull"]]

    def test_one_right_that_is_named_is_asked_for(self) -> None:
        with world() as found:
            images.image(found.store, tag="v1")
            assert found.store.tags() == ["v1"]
            assert {scope for scopes in found.scopes() for scope in scopes} <= {
                "repository:a/b:pull",
                "repository:a/b:pull,push",
            }

    @pytest.mark.parametrize(
        ("text", "scopes"),
        [
            ("repository:a/b:pull", (Scope("a/b"),)),
            ("repository:a/b:pull,push repository:c:pull", (Scope("a/b", push=True), Scope("c"))),
            ("repository:h:5000/a:pull", (Scope("h:5000/a"),)),
            ("repository:a:*", (Scope("a", more=("*",)),)),
            ("registry:catalog:*", ()),
            ("repository:a", ()),
            ("repository::pull", ()),
            ("repository:a:", ()),
            ("nonsense : ::", ()),
            ("", ()),
        ],
    )
    def test_are_read(self, text: str, scopes: tuple[Scope, ...]) -> None:
        assert parse_scopes(text) == scopes

    def test_are_joined_by_repository(self) -> None:
        assert joined((Scope("a"),), (Scope("a", push=True), Scope("b"))) == (Scope("a", push=True), Scope("b"))
        assert joined((Scope("a", push=True),), (Scope("a"),)) == (Scope("a", push=True),)


class TestMissingRights:
    def test_are_no_wrong_password(self) -> None:
        with world(allowed=frozenset({"pull"})) as found:
            assert found.store.tags() == []
            error = refused(found.store)
            assert error.code == "registry.denied"
            assert "ci (from tests) may not push there (insufficient_scope)" in error.message

    def test_a_token_server_that_gives_none(self) -> None:
        """It gives one for nothing to the same user: so the password is right."""
        with world(allowed=frozenset(), refuses=True) as found:
            for _ in range(2):
                with pytest.raises(StoreError) as caught:
                    found.store.tags()
                assert caught.value.code == "registry.denied"
                assert "ci (from tests) may not pull there" in caught.value.message

    def test_a_wrong_password_is_one(self) -> None:
        with world(credential=Credential("ci", "wrong", source="tests")) as found:
            error = refused(found.store)
            assert error.code == "auth.denied"
            assert "does not accept the credential from tests" in error.message

    @pytest.mark.parametrize(
        ("credential", "flaw"),
        [(Credential("ci", source="tests"), "no password"), (Credential("", "token", source="tests"), "no user name")],
    )
    def test_a_half_of_a_credential_is_told(self, credential: Credential, flaw: str) -> None:
        with world(credential=credential) as found:
            assert flaw in refused(found.store).message


class TestChallenges:
    def test_one_basic_one_does_not_make_a_registry_of_passwords(self) -> None:
        """Some answer a mount so, of a repository that one may not read."""
        basic = Say(401, headers={"WWW-Authenticate": 'Basic realm="mount"'})
        with world(instead(basic, "POST", "mount=", times=2)) as found:
            blob = images.add_blob(found.store, b"content")
            assert found.store.mount(blob, Repository(found.store.repository.host, "c/d")) is False
            images.image(found.store, tag="v1")
            last = [asked.authorization.partition(" ")[0] for asked in found.server.asked if "/v2/a/b" in asked.path]
            assert last[-1] == "Bearer"

    def test_lifetimes_may_be_texts(self) -> None:
        def script(asked: Asked, server: Script) -> Say:
            said = server(asked)
            return Say(said.status, said.body.replace(b": 300", b': "300"'), said.headers)

        with world(lambda asked, server: script(asked, server) if asked.path == "/token" else server(asked)) as found:
            assert found.store.tags() == []
