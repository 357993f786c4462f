"""Logging in to one registry: Basic, or Bearer tokens from the token server that it names."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from tagflow.errors import StoreError
from tagflow.stores.registry.answers import explanation, redirection
from tagflow.stores.registry.auth.clouds import AMBIENT, advice
from tagflow.stores.registry.auth.credentials import (
    ENVIRONMENT,
    HOST,
    PASSWORD,
    USERNAME,
    Credential,
    Keychain,
    variables,
)
from tagflow.stores.registry.auth.together import Together
from tagflow.stores.registry.auth.tokens import (
    Challenge,
    Login,
    Scopes,
    basic,
    joined,
    parse_challenges,
    parse_scopes,
    read_token,
    token_request,
)
from tagflow.stores.registry.auth.turns import Turns
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.transport import REDIRECTING, Answer, Request, Transport

_REFUSALS = (400, 401, 403)
"""Statuses with which token servers say no; 400 is for a refresh token that is no longer good (RFC 6749, 5.2)."""


class AccessDenied(StoreError):
    """The registry does not accept what we logged in with, or this user may not do that: ``auth.denied``,
    ``registry.denied``."""


class Demand(Struct, frozen=True):
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
        self._locks: defaultdict[tuple[str, Scopes], threading.Lock] = defaultdict(threading.Lock)
        self._trial = Turns(AccessDenied)
        self._demand: Demand | None = None
        self._volunteering = Turns(AccessDenied)
        self._cannot_volunteer = False
        self._named: dict[Scopes, Scopes] = {}
        self._logins: dict[tuple[str, Scopes], Login] = {}
        self._proven: set[Credential] = set()
        self._together = Together(clock)
        self._refused: dict[Credential | Scopes, AccessDenied] = {}

    @property
    def scheme(self) -> str:
        """``basic`` or ``bearer`` once the registry has asked for it; empty before."""
        return self._demand.challenge.scheme if self._demand else ""

    @property
    def service(self) -> str:
        """What the registry calls itself where it asks for a token; empty before, and where it does not say."""
        return self._demand.challenge.get("service") if self._demand else ""

    def expect(self, path: str) -> None:
        """Note that a repository will be asked for something: one token may do for it and others."""
        self._together.expect(path)

    def credential(self, path: str = "") -> Credential | None:
        """What a repository would be logged in to with.

        :raises StoreError: ``credentials.*``.
        """
        return self._keychain.find(self._host, path)

    def header(self, scopes: Scopes) -> str | None:
        """The ``Authorization`` for a request; None while the registry has not asked for any, and where there is
        nothing to answer Basic with.

        :raises StoreError: ``auth.denied``, or as :meth:`Transport.send`.
        """
        demand = self._demand
        if demand is None or (demand.challenge.scheme == "basic" and self.credential(_path(scopes)) is None):
            return None
        return self._login(demand, scopes, None)

    def renew(self, answer: Answer, scopes: Scopes, refused: str | None) -> str:
        """Another ``Authorization`` after a 401; ``refused`` is the one that was sent.

        The scope that the registry names is asked for, too: it may know the repository by another name, or want
        another right. One request that is answered with Basic does not make a registry of tokens one of passwords.

        :raises StoreError: ``auth.denied``, ``registry.invalid_answer``, or as :meth:`Transport.send`.
        """
        demand = _choose(answer)
        if self._demand is None or demand.challenge.scheme == "bearer":
            self._demand = demand
        named = joined(scopes, parse_scopes(demand.challenge.get("scope")))
        if scopes and named != scopes:
            self._named[scopes] = named
        return self._login(demand, scopes, refused, answer)

    def volunteer(self, url: str, scopes: Scopes) -> bool:
        """Log in unasked, where a credential is known; whether there is an ``Authorization`` now.

        ``url``, the version check, is asked how. A registry that asks nobody there is given user name and password.

        :raises StoreError: as :meth:`header`.
        """
        credential = self.credential(_path(scopes))
        if credential is None or self._cannot_volunteer:
            return False
        with self._volunteering.take():
            if self._demand is None:
                answer = self._transport.send(Request("GET", url, follow=REDIRECTING))
                if answer.status == 401:
                    self._demand = _choose(answer)
                elif credential.username or credential.registry_token:
                    self._demand = Demand(Challenge("basic", {}), url)
                else:
                    self._cannot_volunteer = True
                    return False
        return self.header(scopes) is not None

    def denied(self, scopes: Scopes, answer: Answer | None = None) -> AccessDenied:
        """The error for a registry that does not accept what we logged in with; ``answer`` is its last word."""
        credential, where, login = self.credential(_path(scopes)), self._where(scopes), self._docker_login()
        if credential is None:
            message, hint = f"{where} asks for a login, and there is no credential for {self._host}", self._ways()
            return AccessDenied("auth.denied", message, hint="\n".join(filter(None, (hint, advice(self._host)))))
        said = "" if answer is None else explanation(answer)
        if answer is not None and _lacks_scope(answer):
            return self._may_not(credential, scopes, "insufficient_scope")
        if said and self.scheme == "bearer" and credential in self._proven:
            return self._may_not(credential, scopes, said)
        reason = f" ({said})" if "," in said else ""
        message = f"{where} does not accept the credential from {_named(credential)}{_flaw(credential)}{reason}"
        hint = f"{_renewal(credential, login)}, and check that this user may {_what(scopes)} there."
        return AccessDenied("auth.denied", message, hint=hint)

    def _may_not(self, credential: Credential, scopes: Scopes, reason: str) -> AccessDenied:
        """The error for a login that is good, and for less than was wanted."""
        what = _what(scopes)
        user = f"{credential.username} (from {_named(credential)})" if credential.username else _named(credential)
        return AccessDenied(
            "registry.denied",
            f"{self._where(scopes)}: {user} may not {what} there ({reason})",
            hint=f"The login itself is good. Give this user the right to {what}, or log in as another:"
            f" `{self._docker_login()}`.",
        )

    def _where(self, scopes: Scopes) -> str:
        path = _path(scopes)
        return f"{self._host}/{path}" if path else self._host

    def _ways(self) -> str:
        user, secret = variables(self._host)
        named = self._keychain.named()  # perhaps localhost for localhost:5000, or for 127.0.0.1
        other = f"{HOST} names {named}, which is another host. " if named else ""
        if named == self._host:
            other = f"{HOST} names it, but {USERNAME} and {PASSWORD} are empty: the job of a fork is given no secrets. "
        return f"{other}Run `{self._docker_login()}`, or set {user} and {secret}."

    def _docker_login(self) -> str:
        return "docker login" if self._host == "docker.io" else f"docker login {self._host}"

    def _login(self, demand: Demand, scopes: Scopes, refused: str | None, answer: Answer | None = None) -> str:
        key = (demand.challenge.scheme, scopes)
        with self._guard:
            lock = self._locks[key]
        with lock:
            login = self._logins.get(key)
            if login is not None and login.header == refused:
                self._together.refused(scopes)
            if login is None or login.header == refused or login.expires <= self._clock():
                login = self._logins[key] = self._new_login(demand, scopes)
        if login.header == refused:
            raise self.denied(scopes, answer)
        return login.header

    def _new_login(self, demand: Demand, scopes: Scopes) -> Login:
        credential = self.credential(_path(scopes))
        if credential and credential.registry_token:
            return Login(f"Bearer {credential.registry_token}")
        ask = self._basic if demand.challenge.scheme == "basic" else self._bearer
        if credential is None or credential in self._proven:
            return ask(demand, credential, scopes)
        with self._trial.take():
            if credential in self._refused:
                raise self._refused[credential]
            if credential not in self._proven:
                login = ask(demand, credential, scopes)
                self._proven.add(credential)
                return login
        return ask(demand, credential, scopes)  # another thread has shown meanwhile that it is good

    def _basic(self, demand: Demand, credential: Credential | None, scopes: Scopes) -> Login:
        if credential is None or not (credential.username or credential.password):
            raise self.denied(scopes)
        login = basic(credential)
        if credential not in self._proven:
            url = f"{addresses.base(demand.url)}/v2/"
            ping = Request("GET", url, authorization=login.header, follow=REDIRECTING)
            if self._transport.send(ping).status == 401:
                self._refused[credential] = self.denied(scopes)
                raise self._refused[credential]
        return login

    def _bearer(self, demand: Demand, credential: Credential | None, scopes: Scopes) -> Login:
        if scopes in self._refused:
            raise self._refused[scopes]
        shared = self._shared(demand, credential, scopes)
        if shared is not None:
            return shared
        login = self._token(demand, credential, scopes)
        if isinstance(login, str):
            self._refused[scopes] = self._no_token(demand, credential, scopes, login)
            raise self._refused[scopes]
        self._together.learn(login, scopes)
        return login

    def _shared(self, demand: Demand, credential: Credential | None, scopes: Scopes) -> Login | None:
        """A token for these and for other repositories that will be asked for something; None where there is none."""
        if scopes in self._named or (credential and credential not in self._proven):
            return None
        joined_in = self._together.join(scopes, lambda path: self.credential(path) == credential)
        if joined_in is None:
            return None
        batch, asks = joined_in
        if asks:
            login = None
            try:
                given = self._asked(demand, credential, batch.scopes)
                login = None if isinstance(given, str) else given
            finally:
                self._together.settle(batch, login)
        return self._together.login(batch, scopes)

    def _no_token(self, demand: Demand, credential: Credential | None, scopes: Scopes, said: str) -> AccessDenied:
        """Why there is no token: who gets one for nothing at all has the right password, and may not do that."""
        if credential and credential not in self._proven:
            if isinstance(self._token(demand, credential, ()), str):
                self._refused[credential] = self.denied(())
                return self._refused[credential]
            self._proven.add(credential)
        reason = f"the token server refuses it: {said}"
        return self._may_not(credential, scopes, reason) if credential else self.denied(scopes)

    def _token(self, demand: Demand, credential: Credential | None, scopes: Scopes) -> Login | str:
        """A token, or what the server says where it refuses these scopes to this credential.

        Where it does not give what the registry named beyond them, it is asked for them alone.
        """
        named = self._named.get(scopes, scopes)
        login = self._asked(demand, credential, named)
        return login if named == scopes or not isinstance(login, str) else self._asked(demand, credential, scopes)

    def _asked(self, demand: Demand, credential: Credential | None, scopes: Scopes) -> Login | str:
        request = token_request(demand.url, demand.challenge, credential, scopes)
        answer = self._transport.send(request)
        moved = redirection(answer)
        if moved and addresses.origin(moved) == addresses.origin(request.url):
            answer = self._transport.send(replace(request, url=moved))
        received = self._clock()
        knows_no_such = answer.status == 404 and scopes and credential  # else there is no token server at all
        if answer.status in _REFUSALS or knows_no_such:
            said, sent = explanation(answer), credential.identity_token if credential else ""
            return said.replace(sent, "…") if sent else said
        if not answer.ok:
            raise invalid(answer.url, f"gives no token (HTTP {answer.status})")
        return read_token(answer, received)


def _path(scopes: Scopes) -> str:
    return scopes[0].path if scopes else ""


def _what(scopes: Scopes) -> str:
    return "push" if any(scope.push for scope in scopes) else "pull"


def _lacks_scope(answer: Answer) -> bool:
    """Whether a login is good, and for less than was wanted (RFC 6750 section 3.1)."""
    return any(it.get("error") == "insufficient_scope" for it in challenges(answer))


def challenges(answer: Answer) -> list[Challenge]:
    """The ways to log in that an answer names; none where it names none that can be read."""
    return parse_challenges(answer.headers.get("WWW-Authenticate") or "")


def _flaw(credential: Credential) -> str:
    """What is wrong with it at the first glance."""
    if credential.identity_token or credential.registry_token:
        return ""
    if not credential.username:
        return ", which has no user name"
    if not credential.password:
        return ", which has no password"
    around = credential.password != credential.password.strip()
    return ", whose password begins or ends with a blank or a line break" if around else ""


def _named(credential: Credential) -> str:
    """Where a credential is from, in words: "environment" alone would be taken for one of the policy."""
    return "the variables TAGFLOW_REGISTRY_*" if credential.source == ENVIRONMENT else credential.source


def _renewal(credential: Credential, login: str) -> str:
    if credential.source == ENVIRONMENT:
        return "Correct TAGFLOW_REGISTRY_*"
    if credential.source.endswith(AMBIENT):
        return "Look which identity the cloud gives this machine"
    return f"Run `{login}` again"


def _choose(answer: Answer) -> Demand:
    """The best challenge: Bearer where it can be answered, else Basic."""
    found = challenges(answer)
    ranked = [c for c in found if c.scheme == "bearer" and c.get("realm")]
    ranked += [c for c in found if c.scheme == "basic"]
    if not ranked:
        raise invalid(answer.url, "asks for a login in a way that tagflow does not know")
    return Demand(ranked[0], answer.url)
