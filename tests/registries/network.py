"""A little internet for simulated registries: a proxy that ends TLS for well-known names and plays who lives there.

tagflow reaches it by the usual variables, so it talks to ``registry-1.docker.io`` as it always does: by name, over TLS.
"""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.servers import require
from tests.standin import Asked, Say, Script


class Network:
    """A running network: ``hosts`` maps names to who answers there, ``asked`` is what was asked, with the name."""

    def __init__(self, context: ssl.SSLContext, ca: Path) -> None:
        self.hosts: dict[str, Script] = {}
        self.asked: list[tuple[str, Asked]] = []
        self.ca = ca
        self.context = context
        self._server = _Server(("127.0.0.1", 0), _Gate)
        self._server.network = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def environ(self, home: Path) -> dict[str, str]:
        """Variables with which this network is the world."""
        proxy = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {"HOME": str(home), "PATH": "/usr/bin:/bin", "https_proxy": proxy, "SSL_CERT_FILE": str(self.ca)}

    def answer(self, host: str, asked: Asked) -> Say:
        """What a host says; nobody lives at names that are not known."""
        self.asked.append((host, asked))
        return self.hosts[host](asked) if host in self.hosts else Say(502)

    def stop(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def network(directory: Path, names: Iterable[str]) -> Iterator[Network]:
    """A network whose certificate is for these names."""
    ca, certificate, key = _certificate(directory, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    running = Network(context, ca)
    try:
        yield running
    finally:
        running.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    network: Network

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Gate(BaseHTTPRequestHandler):
    """The proxy: it knows CONNECT only, and is itself at the other end."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def do_CONNECT(self) -> None:
        self.send_response_only(200)
        self.end_headers()
        self.close_connection = True
        name = self.path.partition(":")[0]
        with (
            contextlib.suppress(OSError),
            self.server.network.context.wrap_socket(self.connection, server_side=True) as connection,
        ):
            _House(name, connection, self.client_address, self.server)


class _House(BaseHTTPRequestHandler):
    """One host behind the proxy."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    server: _Server

    def __init__(self, name: str, connection: ssl.SSLSocket, address: Any, server: _Server) -> None:
        self._name = name
        super().__init__(connection, address, server)

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.title(): value for name, value in self.headers.items()}
        said = self.server.network.answer(self._name, Asked(self.command, self.path, headers, body))
        self.send_response_only(said.status)
        for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _answer


def _certificate(directory: Path, names: Iterable[str]) -> tuple[Path, Path, Path]:
    require("openssl")
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key, certificate, key = (directory / n for n in ("ca.crt", "ca.key", "server.crt", "server.key"))
    request, extensions = directory / "server.csr", directory / "server.ext"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    extensions.write_text(f"subjectAltName={alternatives}\nbasicConstraints=critical,CA:FALSE\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(
        "req", "-x509", *new_key, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj", "/CN=simulated",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    _openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=simulated")
    _openssl(
        "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
        "-out", certificate, "-days", "2", "-extfile", extensions,
    )  # fmt: skip
    return ca, certificate, key


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
