"""Which repositories one token is asked for, and what a token says of itself."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tagflow.stores.registry.auth.together import HEADER, MOST, Together, grants
from tagflow.stores.registry.auth.tokens import Login, Scope, Scopes

A, B, C = (Scope(f"acme/{name}") for name in "abc")


def token(*scopes: Scope, expires: float = 100.0, **claims: Any) -> Login:
    """A token as distribution's specification has it: nobody here looks at how it is signed."""
    access = [{"type": "repository", "name": it.path, "actions": sorted(it.actions)} for it in scopes]
    claim = base64.urlsafe_b64encode(json.dumps({"access": access, **claims}).encode()).rstrip(b"=").decode()
    return Login(f"Bearer e30.{claim}.c2ln", expires)


def asking(*scopes: Scope, clock: float = 0.0) -> tuple[Together, list[float]]:
    """Repositories of a server whose tokens say what they are good for; the time, to be set."""
    now = [clock]
    together = Together(lambda: now[0])
    for scope in scopes:
        together.expect(scope.path)
    first = Scope("acme/first")
    together.learn(token(first), (first,))
    return together, now


def batch_of(together: Together, scope: Scope) -> Scopes | None:
    found = together.join((scope,), lambda _: True)
    return found[0].scopes if found else None


class TestGrants:
    def test_what_is_said(self) -> None:
        push = Scope("acme/a", push=True)
        assert grants(token(A, B), (A, B, C)) == {A, B}
        assert grants(token(A), (push,)) == frozenset()
        assert grants(token(push), (A, push)) == {A, push}

    @pytest.mark.parametrize(
        "header",
        [
            "Bearer opaque",
            "Bearer a.b.c",
            "Bearer ..",
            "Bearer",
            "Basic YTpi",
            "Bearer x." + base64.urlsafe_b64encode(b"[" * 5000).decode() + ".y",
            "Bearer x." + base64.urlsafe_b64encode(b'{"access": {"a": 1}}').decode() + ".y",
            "Bearer x." + base64.urlsafe_b64encode(b'{"access": null}').decode() + ".y",
        ],
    )
    def test_what_cannot_be_read_says_nothing(self, header: str) -> None:
        assert grants(Login(header), (A,)) == frozenset()

    def test_other_resources_are_none(self) -> None:
        access = [{"type": "registry", "name": "acme/a", "actions": ["pull"]}]
        assert grants(token(access=access), (A,)) == frozenset()


class TestTogether:
    def test_nobody_is_asked_for_with_others_before_a_token_has_said_what_it_is_good_for(self) -> None:
        together = Together(lambda: 0.0)
        for scope in (A, B):
            together.expect(scope.path)
        assert batch_of(together, A) is None
        together.learn(Login("Bearer opaque"), (A,))
        assert batch_of(together, B) is None

    def test_who_comes_first_asks_and_the_others_wait(self) -> None:
        together, _ = asking(A, B)
        batch, asks = together.join((A,), lambda _: True) or pytest.fail("no batch")
        assert (batch.scopes, asks) == ((A, B), True)
        assert together.join((B,), lambda _: True) == (batch, False)
        together.settle(batch, token(A, B))
        assert together.login(batch, (B,)) == token(A, B)

    def test_no_more_than_so_many(self) -> None:
        many = [Scope(f"acme/{number:02}") for number in range(MOST + 3)]
        together, _ = asking(*many)
        assert batch_of(together, many[0]) == tuple(many[:MOST])
        assert batch_of(together, many[MOST + 1]) == (many[MOST + 1], many[MOST], many[MOST + 2])

    def test_other_rights_make_another_batch(self) -> None:
        together, _ = asking(A, B)
        assert batch_of(together, A) == (A, B)
        push = Scope("acme/a", push=True)
        assert batch_of(together, push) == (push, Scope("acme/b", push=True))

    def test_who_is_logged_in_to_otherwise_stays_out(self) -> None:
        together, _ = asking(A, B, C)
        found = together.join((A,), lambda path: path != B.path)
        assert found is not None
        assert found[0].scopes == (A, C)

    def test_what_it_is_not_good_for_is_asked_for_alone(self) -> None:
        together, now = asking(A, B, C)
        batch, _ = together.join((A,), lambda _: True) or pytest.fail("no batch")
        together.settle(batch, token(A, B))
        assert together.login(batch, (C,)) is None
        assert batch_of(together, C) is None
        together.refused((B,))
        assert batch_of(together, B) is None
        now[0] = 200.0
        assert batch_of(together, A) is None  # nobody is left to be asked for with it

    def test_an_expired_one_is_asked_for_again(self) -> None:
        together, now = asking(A, B)
        batch, _ = together.join((A,), lambda _: True) or pytest.fail("no batch")
        together.settle(batch, token(A, B))
        now[0] = 200.0
        again, asks = together.join((B,), lambda _: True) or pytest.fail("no batch")
        assert (again.scopes, asks) == ((B, A), True)

    @pytest.mark.parametrize("login", [None, Login("Bearer " + "x" * HEADER)])
    def test_a_server_that_gives_none_is_not_asked_for_several_again(self, login: Login | None) -> None:
        together, _ = asking(A, B)
        batch, _ = together.join((A,), lambda _: True) or pytest.fail("no batch")
        together.settle(batch, login)
        assert together.login(batch, (B,)) is None
        assert batch_of(together, B) is None
        together.learn(token(B), (B,))  # which says what it is good for, as the first did
        assert batch_of(together, A) is None

    def test_a_repository_that_nobody_announced(self) -> None:
        together, _ = asking(A, B)
        assert batch_of(together, Scope("acme/other")) is None
        assert together.join((A, B), lambda _: True) is None
