"""A token server for distribution's ``token`` authentication; openssl signs. Asked for by Basic or OAuth 2."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.servers import PASSWORD, USERNAME, require
from tests.standin import Asked, Say, StandIn, basic_of

ISSUER, SERVICE = "tests", "registry.tests"
REFRESH_TOKEN = "refresh-me"


@dataclass(frozen=True)
class TokenRequest:
    """What the token server was asked."""

    method: str
    scopes: tuple[str, ...]
    username: str
    status: int


@dataclass
class TokenServer:
    """A running token server. What follows ``requests`` may be set: ``lifetime`` in seconds (None leaves ``expires_in``
    out), ``most`` scopes that one token is good for, ``refuse_several`` at once."""

    realm: str
    certificate: Path
    key: Path
    requests: list[TokenRequest] = field(default_factory=list)
    lifetime: int | None = 300
    anonymous: bool = True
    refuse_push: bool = False
    delay: float = 0.0
    most: int | None = None
    refuse_several: bool = False

    def authentication(self) -> dict[str, Any]:
        """The ``auth`` section of distribution's configuration."""
        return {
            "token": {
                "realm": self.realm,
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(self.certificate),
            }
        }

    def serve(self, asked: Asked) -> Say:
        """The script: Basic credentials with GET, a refresh token with POST."""
        if asked.method == "POST":
            form = dict(parse_qsl(asked.body.decode()))
            known = form.get("grant_type") == "refresh_token" and form.get("refresh_token") == REFRESH_TOKEN
            status, document = self.answer("POST", "refresh", known, form.get("scope", "").split())
            if "token" in document:
                document["access_token"] = document.pop("token")
        else:
            username, password = basic_of(asked)
            known = (username, password) == (USERNAME, PASSWORD)
            status, document = self.answer("GET", username, known, asked.query.get("scope", []))
        return Say(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def answer(self, method: str, username: str, known: bool, scopes: list[str]) -> tuple[int, dict[str, Any]]:
        """Status and document: a token with the access asked for, as far as it is allowed."""
        time.sleep(self.delay)
        status = 200
        if not known and (username or not self.anonymous):
            status = 401
        elif self.refuse_push and any("push" in scope for scope in scopes):
            status = 403
        elif self.refuse_several and len(scopes) > 1:
            status = 400
        self.requests.append(TokenRequest(method, tuple(scopes), username, status))
        if status != 200:
            return status, {"errors": [{"code": "DENIED", "message": "no"}]}
        allowed = {"pull", "push", "delete"} if known else {"pull"}
        access = [_access(scope, allowed) for scope in scopes[: self.most]]
        document: dict[str, Any] = {"token": self._sign(access, username)}
        return 200, document | ({} if self.lifetime is None else {"expires_in": self.lifetime})

    def _sign(self, access: list[dict[str, Any]], subject: str) -> str:
        pem = self.certificate.read_text().split("-----")[2]
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(pem.split())]}
        now = int(time.time())
        claims = {
            "iss": ISSUER, "sub": subject, "aud": SERVICE, "exp": now + (self.lifetime or 60), "nbf": now - 5,
            "iat": now, "jti": uuid.uuid4().hex, "access": access,
        }  # fmt: skip
        signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.key)],
            input=signed.encode(),
            capture_output=True,
            check=True,
        )
        return f"{signed}.{_b64(done.stdout)}"


def _access(scope: str, allowed: set[str]) -> dict[str, Any]:
    kind, name, actions = scope.split(":")
    return {"type": kind, "name": name, "actions": [a for a in actions.split(",") if a in allowed]}


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def token_server(directory: Path) -> Iterator[TokenServer]:
    """A token server with a key of its own in ``directory``."""
    require("openssl")
    directory.mkdir(parents=True, exist_ok=True)
    key, certificate = directory / "token.key", directory / "token.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = StandIn(lambda _: Say(503))
    tokens = TokenServer(f"http://{server.host}/token", certificate, key)
    server.script = tokens.serve
    try:
        yield tokens
    finally:
        server.stop()
