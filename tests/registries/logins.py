"""How simulated registries have people log in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from tests.registries.simulator import failed
from tests.standin import Asked, Say, basic_of

Rights = set[tuple[str, str]]
Known = Callable[[str, str], bool]
"""Whether a user has that password."""


@dataclass
class BasicLogin:
    """Basic, as ECR asks for it."""

    challenge: str
    known: Known

    def __call__(self, asked: Asked, _wanted: Rights) -> Say | None:
        if self.known(*basic_of(asked)):
            return None
        return Say(401, b"Not Authorized\n", {"WWW-Authenticate": self.challenge})


@dataclass
class TokenLogin:
    """Bearer tokens of a token server at ``realm``. Strangers get ``anonymous`` rights, users ``allowed`` ones.

    ``refuses``: the token server answers 403 where nothing of the scope is granted; others give a token that is good
    for less. ``known_actions``: a scope that names any other is refused with 400, as Quay does. ``lifetime`` in
    seconds; None leaves ``expires_in`` out. ``refresh`` is the refresh token it takes.
    """

    realm: str
    service: str
    known: Known
    anonymous: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset({"pull", "push", "delete"})
    lifetime: int | None = 300
    refuses: bool = False
    known_actions: frozenset[str] = frozenset({"pull", "push", "delete"})
    refresh: str = ""
    field_name: str = "token"
    asked: list[Asked] = field(default_factory=list)
    _granted: dict[str, Rights] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(self, asked: Asked, wanted: Rights) -> Say | None:
        """The registry's look at a token."""
        rights = self._granted.get(asked.authorization.removeprefix("Bearer "))
        if rights is not None and wanted <= rights:
            return None
        scopes = " ".join(f"repository:{name}:{action}" for name, action in sorted(wanted))
        challenge = f'Bearer realm="{self.realm}",service="{self.service}"'
        challenge += f',scope="{scopes}"' if scopes else ""
        challenge += ',error="insufficient_scope"' if rights is not None else ""
        said = failed(401, "UNAUTHORIZED", "authentication required")
        return Say(401, said.body, {"WWW-Authenticate": challenge})

    def serve(self, asked: Asked) -> Say:
        """The token server."""
        self.asked.append(asked)
        if asked.method == "POST":
            form = parse_qs(asked.body.decode())
            good = bool(self.refresh) and form.get("refresh_token") == [self.refresh]
            return self._give(form.get("scope", [""])[0].split(), self.allowed) if good else Say(401)
        user, password = basic_of(asked)
        if (user or password) and not self.known(user, password):
            return failed(401, "UNAUTHORIZED", "incorrect username or password")
        scopes = [scope for value in asked.query.get("scope", []) for scope in value.split()]
        return self._give(scopes, self.allowed if user else self.anonymous)

    def expire(self) -> None:
        """No token is good any more."""
        self._granted.clear()

    def _give(self, scopes: list[str], allowed: frozenset[str]) -> Say:
        parts = [scope.split(":") for scope in scopes]
        wanted = {(name, action) for _, name, actions in parts for action in actions.split(",")}
        if {action for _, action in wanted} - self.known_actions:
            return failed(400, "INVALID_REQUEST", "Unable to decode repository and actions")
        granted = {(name, action) for name, action in wanted if action in allowed}
        if self.refuses and wanted and not granted:
            return failed(403, "DENIED", "requested access to the resource is denied")
        token = f"token-{next(self._numbers)}"
        self._granted[token] = granted
        document: dict[str, object] = {self.field_name: token}
        if self.lifetime is not None:
            document["expires_in"] = self.lifetime
        return Say(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"})
