"""Challenges (``WWW-Authenticate``, RFC 9110 section 11.6.1), and asking a token server for what answers one.

Sources: distribution's "Token Authentication Specification" and "OAuth2 Token Authentication", RFC 6750, RFC 7617.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tagflow.stores.registry.auth.credentials import Credential
from tagflow.stores.registry.http import addresses
from tagflow.stores.registry.http.addresses import check_destination
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.transport import Answer, Request

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - the grammar's word for a word
_SEPARATOR = re.compile(r"[\s,]*")
_SCHEME = re.compile(rf"({_TOKEN})(?=\s|,|$)(?!\s*=)")
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN})(?=[\s,]|$))', re.DOTALL)
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))")  # after blanks only: a comma starts a challenge
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Challenge(Struct, frozen=True):
    """One way to authenticate: ``scheme`` and the names of ``parameters`` in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    def get(self, name: str) -> str:
        """A parameter, or the empty string."""
        return self.parameters.get(name, "")


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a header, or of several joined by commas. What cannot be read ends the list: a broken header
    never raises.

    >>> [challenge] = parse_challenges('Bearer realm="https://auth.example/token",service="registry"')
    >>> challenge.scheme, challenge.get("service")
    ('bearer', 'registry')
    """
    challenges: list[Challenge] = []
    position = _skip(header, 0)
    while scheme := _SCHEME.match(header, position):
        parameters, position = _parameters(header, scheme.end())
        challenges.append(Challenge(scheme[1].lower(), parameters))
    return challenges


def _parameters(header: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    if token68 := _TOKEN68.match(header, position):
        return parameters, _skip(header, token68.end())
    position = _skip(header, position)
    while parameter := _PARAMETER.match(header, position):
        quoted = parameter[2]
        value = parameter[3] if quoted is None else _ESCAPE.sub(r"\1", quoted)
        parameters.setdefault(parameter[1].lower(), value)
        position = _skip(header, parameter.end())
    return parameters, position


def _skip(header: str, position: int) -> int:
    match = _SEPARATOR.match(header, position)
    return match.end() if match else position


LIFETIME = 60.0
"""Seconds that a token lives whose server does not say so."""
EARLY = 0.9
"""The part of its life in which a token is used: it must still be valid when the registry looks at it."""
CLIENT = "tagflow"


class Scope(Struct, frozen=True, order=True):
    """What may be done with one repository; ``more`` are actions that a registry named and tagflow does not know."""

    path: str
    push: bool = False
    delete: bool = False
    more: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"repository:{self.path}:{','.join(self._named)}"

    @property
    def _named(self) -> list[str]:
        return ["pull", *(["push"] if self.push else []), *(["delete"] if self.delete else []), *self.more]

    @property
    def actions(self) -> frozenset[str]:
        """All that may be done."""
        return frozenset(self._named)

    def at(self, path: str) -> Scope:
        """The same rights to another repository."""
        return replace(self, path=path)

    def joined(self, other: Scope) -> Scope:
        """What either allows; both are for the same repository."""
        more = tuple(sorted({*self.more, *other.more}))
        return Scope(self.path, self.push or other.push, self.delete or other.delete, more)


Scopes = tuple[Scope, ...]


def parse_scopes(text: str) -> Scopes:
    """The repositories among the scopes of a challenge (distribution, "Token Scope Documentation"); what cannot be read
    is left out.

    >>> parse_scopes("repository:a/b:pull,push registry:catalog:*")
    (Scope(path='a/b', push=True, delete=False, more=()),)
    """
    found = []
    for word in text.split():
        kind, _, rest = word.partition(":")
        path, _, names = rest.rpartition(":")
        actions = set(names.split(",")) - {""}
        if kind == "repository" and path and actions:
            more = tuple(sorted(actions - {"pull", "push", "delete"}))
            found.append(Scope(path, "push" in actions, "delete" in actions, more))
    return tuple(found)


def joined(scopes: Scopes, others: Scopes) -> Scopes:
    """The same scopes, and what ``others`` allow beyond them; one for each repository."""
    found = {scope.path: scope for scope in scopes}
    for other in others:
        found[other.path] = found[other.path].joined(other) if other.path in found else other
    return tuple(found.values())


class Login(Struct, frozen=True):
    """The ``Authorization`` to send, until ``expires`` (:func:`time.monotonic`)."""

    header: str
    expires: float = math.inf

    def __repr__(self) -> str:
        return f"Login(expires={self.expires})"


class _TokenAnswer(msgspec.Struct):
    """A token server's answer; ``access_token`` is OAuth 2's name for the same thing."""

    token: str | None = None
    access_token: str | None = None
    expires_in: float | str | None = None


_TOKEN_ANSWER = msgspec.json.Decoder(_TokenAnswer)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


def basic(credential: Credential) -> Login:
    """User name and password as RFC 7617 writes them, in UTF-8."""
    pair = f"{credential.username}:{credential.password}".encode()
    return Login(f"Basic {base64.b64encode(pair).decode()}")


def token_request(url: str, challenge: Challenge, credential: Credential | None, scopes: Scopes) -> Request:
    """The request for a token as the ``challenge`` from ``url`` wants it; anonymous without a credential.

    :raises StoreError: ``registry.invalid_answer`` where the challenge names no address for tokens.
    """
    realm = _realm(url, challenge.get("realm"))
    service = challenge.get("service")
    fields = [("service", service)] if service else []
    if credential and credential.identity_token:
        return _refresh(realm, fields, scopes, credential)
    return _query(realm, fields, scopes, credential)


def read_token(answer: Answer, received: float) -> Login:
    """The token in an answer that came at ``received`` (:func:`time.monotonic`).

    :raises StoreError: ``registry.invalid_answer``.
    """
    try:
        document = _TOKEN_ANSWER.decode(answer.body)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise invalid(answer.url, "gives a token answer that cannot be read") from exc
    token = document.token or document.access_token or ""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise invalid(answer.url, "gives no token")
    try:  # some servers write the number as a string
        lifetime = LIFETIME if document.expires_in is None else max(0.0, float(document.expires_in))
    except ValueError as exc:
        raise invalid(answer.url, "gives a token answer that cannot be read") from exc
    return Login(f"Bearer {token}", received + lifetime * EARLY)


def _realm(url: str, realm: str) -> str:
    """The token server's address: another host than the registry, perhaps, but no less protected."""
    target = addresses.resolve(url, realm)
    if target is None:
        raise invalid(url, "names no valid address for tokens")
    if url.startswith("https:") and addresses.same_host(
        target, url
    ):  # behind a proxy that ends TLS some name themselves by http
        target = addresses.with_scheme_of(target, url)
    check_destination(url, target)
    return target


def _query(realm: str, fields: list[tuple[str, str]], scopes: Scopes, credential: Credential | None) -> Request:
    if credential and credential.username:
        fields = [*fields, ("account", credential.username)]
    parts = urlsplit(realm)
    added = urlencode([*fields, *(("scope", str(scope)) for scope in scopes)])
    address = urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added))), fragment=""))
    return Request("GET", address, authorization=basic(credential).header if credential else None)


def _refresh(realm: str, fields: list[tuple[str, str]], scopes: Scopes, credential: Credential) -> Request:
    scope = " ".join(map(str, scopes))
    form = [
        ("grant_type", "refresh_token"),
        *fields,
        *([("scope", scope)] if scope else []),
        ("client_id", CLIENT),
        ("refresh_token", credential.identity_token),
    ]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Request("POST", realm, headers, body=urlencode(form).encode())
