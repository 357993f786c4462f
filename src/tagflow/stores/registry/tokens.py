"""Asking a token server for a Bearer token.

Sources: distribution's "Token Authentication Specification" and "OAuth2 Token Authentication", RFC 6750, RFC 7617.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from tagflow.stores.registry import links
from tagflow.stores.registry.challenge import Challenge
from tagflow.stores.registry.credentials import Credential
from tagflow.stores.registry.failures import invalid
from tagflow.stores.registry.http import Answer, Request, check_destination

LIFETIME = 60.0
"""Seconds that a token lives whose server does not say so."""
EARLY = 0.9
"""The part of its life in which a token is used: it must still be valid when the registry looks at it."""
CLIENT = "tagflow"


@dataclass(frozen=True, order=True)
class Scope:
    """What may be done with one repository."""

    path: str
    push: bool = False
    delete: bool = False

    def __str__(self) -> str:
        actions = ["pull", *(["push"] if self.push else []), *(["delete"] if self.delete else [])]
        return f"repository:{self.path}:{','.join(actions)}"


Scopes = tuple[Scope, ...]


@dataclass(frozen=True)
class Login:
    """The ``Authorization`` to send, until ``expires`` (:func:`time.monotonic`)."""

    header: str = field(repr=False)
    expires: float = math.inf


class _TokenAnswer(msgspec.Struct):
    """A token server's answer; ``access_token`` is OAuth 2's name for the same thing."""

    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


_TOKEN_ANSWER = msgspec.json.Decoder(_TokenAnswer)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


def basic(credential: Credential) -> Login:
    """User name and password as RFC 7617 writes them, in UTF-8."""
    pair = f"{credential.username}:{credential.password}".encode()
    return Login(f"Basic {base64.b64encode(pair).decode()}")


def token_request(url: str, challenge: Challenge, credential: Credential | None, scopes: Scopes) -> Request:
    """The request for a token as the ``challenge`` from ``url`` wants it; anonymous without a credential.

    :raises StoreError: ``registry.invalid_answer`` where the challenge sends us to no place for tokens.
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
    lifetime = LIFETIME if document.expires_in is None else max(0.0, document.expires_in)
    return Login(f"Bearer {token}", received + lifetime * EARLY)


def _realm(url: str, realm: str) -> str:
    """The token server's address: another host than the registry, perhaps, but no less protected."""
    target = links.resolve(url, realm)
    if target is None:
        raise invalid(url, "names no valid address for tokens")
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
