"""Whom to trust on the network: TLS authorities as Docker configures them, loopback, addresses never to be called."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from tagflow.errors import StoreError


def tls_context(host: str, environ: Mapping[str, str], sent_by: Iterable[str] = ()) -> ssl.SSLContext:
    """The system's trust (``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` honoured) and what ``certs.d/HOST[:PORT]`` adds, in
    ``/etc/docker`` and ``~/.docker``: ``*.crt`` authorities, ``*.cert`` with ``*.key`` for ourselves.

    ``sent_by`` are registries that may send us to this host, a token server or a storage of theirs: their authorities
    count for it, too, as they do for Docker, but our own certificate is for the registry alone.

    :raises StoreError: ``registry.untrusted`` where such a file cannot be loaded.
    """
    files = [path for directory in _certificate_directories(host, environ) for path in _files(directory)]
    for registry in sent_by:
        for directory in _certificate_directories(registry, environ):
            files += [path for path in _files(directory) if path.suffix == ".crt"]
    system = (environ.get("SSL_CERT_FILE") or None, environ.get("SSL_CERT_DIR") or None)
    if not files:
        return _system_context(*system)
    context = _new_context(*system)
    for path in files:
        _load(context, path)
    return context


def _certificate_directories(host: str, environ: Mapping[str, str]) -> list[Path]:
    home = environ.get("HOME")
    bases = [Path("/etc/docker/certs.d"), *([Path(home, ".docker/certs.d")] if home else [])]
    return [base / host for base in bases]


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix in (".crt", ".cert"))
    except OSError:
        return []


def _load(context: ssl.SSLContext, path: Path) -> None:
    try:
        if path.suffix == ".crt":
            context.load_verify_locations(path)
        else:
            context.load_cert_chain(path, path.with_suffix(".key"))
    except (OSError, ssl.SSLError) as exc:
        raise StoreError(
            "registry.untrusted",
            f"cannot load the certificate {path}",
            hint="A *.crt holds authorities in PEM; a *.cert needs its private key in a *.key of the same name.",
        ) from exc


@lru_cache(maxsize=4)
def _system_context(cafile: str | None, capath: str | None) -> ssl.SSLContext:
    return _new_context(cafile, capath)


def _new_context(cafile: str | None, capath: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cafile, capath=capath)
    except (OSError, ssl.SSLError) as exc:
        raise StoreError(
            "registry.untrusted",
            f"cannot load the certificates of SSL_CERT_FILE ({cafile}) or SSL_CERT_DIR ({capath})",
            hint="Correct or unset these variables.",
        ) from exc


def speaks_tls(hostname: str, port: int, seconds: float) -> bool:
    """Whether a server answers a TLS handshake there. Nothing is sent to it, and nothing is trusted yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((hostname, port), timeout=seconds) as connection,
            context.wrap_socket(connection, server_hostname=hostname),
        ):
            return True
    except ssl.SSLError as exc:
        return "ALERT" in (exc.reason or "")  # it wants a client certificate, say
    except (OSError, ValueError):
        return False
