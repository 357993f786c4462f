"""Logging in to one registry: Basic, or Bearer tokens from the token server that it names."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from tagflow.errors import StoreError
from tagflow.stores.registry.auth.clouds import AMBIENT, advice
from tagflow.stores.registry.auth.credentials import ENVIRONMENT, Credential, Keychain
from tagflow.stores.registry.auth.tokens import (
    Challenge,
    Login,
    Scopes,
    basic,
    parse_challenges,
    read_token,
    token_request,
)
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.transport import Answer, Request, Transport

_REFUSALS = (400, 401, 403)
"""Statuses with which token servers say no; 400 is for a refresh token that is no longer good (RFC 6749, 5.2)."""


@dataclass(frozen=True)
class Demand:
    """The challenge that a registry is to be answered with, and the address that it came from."""

    challenge: Challenge
    url: str


class Authenticator:
    """The logins of one registry, shared by all threads: one of them asks for a token, the others wait for it.

    ``host`` is the name that credentials are kept under. The first use of a credential is a trial that other threads
    wait for: a wrong password is sent to a server twice at most, however many threads there are, so that no account
    is locked.
    """

    def __init__(
        self, host: str, transport: Transport, keychain: Keychain, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host, self._transport, self._keychain, self._clock = host, transport, keychain, clock
        self._guard = threading.Lock()
        self._locks: defaultdict[Scopes, threading.Lock] = defaultdict(threading.Lock)
        self._trial = threading.Lock()
        self._demand: Demand | None = None
        self._logins: dict[Scopes, Login] = {}
        self._proven: set[Credential] = set()
        self._refused: dict[Credential | Scopes, StoreError] = {}

    @property
    def scheme(self) -> str:
        """``basic`` or ``bearer`` once the registry has asked for it; empty before."""
        return self._demand.challenge.scheme if self._demand else ""

    def credential(self, path: str = "") -> Credential | None:
        """What a repository would be logged in to with.

        :raises StoreError: ``credentials.*``.
        """
        return self._keychain.find(self._host, path)

    def header(self, scopes: Scopes) -> str | None:
        """The ``Authorization`` for a request; None while the registry has not asked for any.

        :raises StoreError: ``auth.denied``, or as :meth:`Transport.send`.
        """
        return self._login(self._demand, scopes, refused=None) if self._demand else None

    def renew(self, answer: Answer, scopes: Scopes, refused: str | None) -> str:
        """Another ``Authorization`` after a 401; ``refused`` is the one that was sent.

        :raises StoreError: ``auth.denied``, ``registry.invalid_answer``, or as :meth:`Transport.send`.
        """
        self._demand = demand = _choose(answer)
        return self._login(demand, scopes, refused)

    def denied(self, scopes: Scopes) -> StoreError:
        """The error for a registry that does not accept what we logged in with."""
        path = scopes[0].path if scopes else ""
        credential = self.credential(path)
        where = f"{self._host}/{path}" if path else self._host
        login = f"docker login {'' if self._host == 'docker.io' else self._host}".rstrip()
        if credential is None:
            message, hint = f"{where} asks for a login, and there is no credential for {self._host}", f"Run `{login}`."
            hint = "\n".join(filter(None, (hint, advice(self._host))))
        else:
            what = "push" if any(scope.push for scope in scopes) else "pull"
            source = "the variables TAGFLOW_REGISTRY_*" if credential.source == ENVIRONMENT else credential.source
            message = f"{where} does not accept the credential from {source}"
            hint = f"{_renewal(credential, login)}, and check that this user may {what} there."
        return StoreError("auth.denied", message, hint=hint)

    def _login(self, demand: Demand, scopes: Scopes, refused: str | None) -> str:
        with self._guard:
            lock = self._locks[scopes]
        with lock:
            login = self._logins.get(scopes)
            if login is None or login.header == refused or login.expires <= self._clock():
                login = self._logins[scopes] = self._new_login(demand, scopes)
        if login.header == refused:
            raise self.denied(scopes)
        return login.header

    def _new_login(self, demand: Demand, scopes: Scopes) -> Login:
        credential = self.credential(scopes[0].path if scopes else "")
        if credential and credential.registry_token:
            return Login(f"Bearer {credential.registry_token}")
        ask = self._basic if demand.challenge.scheme == "basic" else self._bearer
        if credential is None or credential in self._proven:
            return ask(demand, credential, scopes)
        with self._trial:
            if credential in self._refused:
                raise self._refused[credential]
            login = ask(demand, credential, scopes)
            self._proven.add(credential)
            return login

    def _basic(self, demand: Demand, credential: Credential | None, scopes: Scopes) -> Login:
        if credential is None or not credential.username:
            raise self.denied(scopes)
        login = basic(credential)
        if credential not in self._proven:
            ping = Request("GET", f"{addresses.base(demand.url)}/v2/", authorization=login.header)
            if self._transport.send(ping).status == 401:
                self._refused[credential] = self.denied(scopes)
                raise self._refused[credential]
        return login

    def _bearer(self, demand: Demand, credential: Credential | None, scopes: Scopes) -> Login:
        if scopes in self._refused:
            raise self._refused[scopes]
        login = self._token(demand, credential, scopes)
        if login is not None:
            return login
        self._refused[scopes] = self.denied(scopes)
        if credential and credential not in self._proven:
            if self._token(demand, credential, ()) is None:
                self._refused[credential] = self.denied(())
                raise self._refused[credential]
            self._proven.add(credential)
        raise self._refused[scopes]

    def _token(self, demand: Demand, credential: Credential | None, scopes: Scopes) -> Login | None:
        """A token, or None where the server refuses these scopes to this credential."""
        answer = self._transport.send(token_request(demand.url, demand.challenge, credential, scopes))
        received = self._clock()
        if answer.status in _REFUSALS:
            return None
        if not answer.ok:
            raise invalid(answer.url, f"gives no token (HTTP {answer.status})")
        return read_token(answer, received)


def _renewal(credential: Credential, login: str) -> str:
    if credential.source == ENVIRONMENT:
        return "Correct TAGFLOW_REGISTRY_*"
    if credential.source.endswith(AMBIENT):
        return "Look which identity the cloud gives this machine"
    return f"Run `{login}` again"


def _choose(answer: Answer) -> Demand:
    """The best challenge: Bearer where it can be answered, else Basic."""
    challenges = parse_challenges(answer.headers.get("WWW-Authenticate") or "")
    ranked = [c for c in challenges if c.scheme == "bearer" and c.get("realm")]
    ranked += [c for c in challenges if c.scheme == "basic"]
    if not ranked:
        raise invalid(answer.url, "asks for a login in a way that tagflow does not know")
    return Demand(ranked[0], answer.url)
