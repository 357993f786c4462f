"""A token server for distribution's ``token`` authentication; openssl signs. Asked for by Basic or OAuth 2."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.servers import PASSWORD, USERNAME, require

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
    """A running token server. ``allow_push`` and ``lifetime`` (seconds; None leaves ``expires_in`` out) may be set."""

    realm: str
    certificate: Path
    key: Path
    requests: list[TokenRequest] = field(default_factory=list)
    lifetime: int | None = 300
    anonymous: bool = True
    refuse_push: bool = False
    delay: float = 0.0

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

    def answer(self, method: str, username: str, known: bool, scopes: list[str]) -> tuple[int, dict[str, Any]]:
        """Status and document: a token with the access asked for, as far as it is allowed."""
        time.sleep(self.delay)
        status = 200
        if not known and (username or not self.anonymous):
            status = 401
        elif self.refuse_push and any("push" in scope for scope in scopes):
            status = 403
        self.requests.append(TokenRequest(method, tuple(scopes), username, status))
        if status != 200:
            return status, {"errors": [{"code": "DENIED", "message": "no"}]}
        allowed = {"pull", "push", "delete"} if known else {"pull"}
        access = [_access(scope, allowed) for scope in scopes]
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
    server = _Server(("127.0.0.1", 0), _Handler)
    server.tokens = TokenServer(f"http://127.0.0.1:{server.server_address[1]}/token", certificate, key)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.tokens
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    tokens: TokenServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        query = parse_qsl(urlsplit(self.path).query)
        username, password = self._basic()
        known = (username, password) == (USERNAME, PASSWORD)
        self._send(*self.server.tokens.answer("GET", username, known, [v for k, v in query if k == "scope"]))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        form: Mapping[str, str] = dict(parse_qsl(self.rfile.read(length).decode()))
        known = form.get("grant_type") == "refresh_token" and form.get("refresh_token") == REFRESH_TOKEN
        scopes = form.get("scope", "").split()
        status, document = self.server.tokens.answer("POST", "refresh", known, scopes)
        if "token" in document:
            document["access_token"] = document.pop("token")
        self._send(status, document)

    def _basic(self) -> tuple[str, str]:
        scheme, _, value = (self.headers.get("Authorization") or "").partition(" ")
        if scheme != "Basic":
            return "", ""
        username, _, password = base64.b64decode(value).decode().partition(":")
        return username, password

    def _send(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
