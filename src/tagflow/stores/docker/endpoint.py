"""Where the Docker Engine listens: DOCKER_HOST, else the current context, else the usual socket, as the CLI does it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from tagflow.errors import StoreError

RetryBudget = Callable[[bool], float]
"""The seconds of silence to bear in a request; takes whether its answer is a stream."""

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
_File = TypeVar("_File")


class Tls(Struct, frozen=True):
    """How to speak TLS to a daemon. Files that are not there are None; ``verify``: its certificate must be valid."""

    ca: Path | None
    cert: Path | None
    key: Path | None
    verify: bool


class Endpoint(Struct, frozen=True):
    """The address of a daemon (``unix://``, ``tcp://``, ``ssh://``) and ``source``: what says so, for people."""

    address: str
    source: str
    tls: Tls | None = None


class _Config(msgspec.Struct, rename="camel"):
    current_context: str = ""


class _Docker(msgspec.Struct, rename="pascal"):
    host: str = ""
    skip_tls_verify: bool = msgspec.field(default=False, name="SkipTLSVerify")


class _Endpoints(msgspec.Struct):
    docker: _Docker = msgspec.field(default_factory=_Docker)


class _Context(msgspec.Struct):
    """``contexts/meta/ID/meta.json`` (docker/cli, "Docker contexts")."""

    endpoints: _Endpoints = msgspec.field(default_factory=_Endpoints, name="Endpoints")


def find_endpoint(environ: Mapping[str, str]) -> Endpoint:
    """The daemon that the Docker CLI would talk to under these environment variables.

    :raises StoreError: ``engine.unavailable`` where the context that is chosen cannot be read: another daemon than the
        one that was meant is never taken.
    """
    if address := environ.get("DOCKER_HOST"):
        return Endpoint(address, "DOCKER_HOST", _tls_of(environ))
    directory = _config_directory(environ)
    name = environ.get("DOCKER_CONTEXT") or _current_context(directory)
    if name in ("", "default"):
        return Endpoint(DEFAULT_ADDRESS, "the default")
    return _endpoint_of(name, directory)


def _config_directory(environ: Mapping[str, str]) -> Path:
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else Path(environ.get("HOME") or "/nonexistent", ".docker")


def _tls_of(environ: Mapping[str, str]) -> Tls | None:
    directory, verify = environ.get("DOCKER_CERT_PATH"), bool(environ.get("DOCKER_TLS_VERIFY"))
    if not (directory or verify):
        return None
    return _tls_in(Path(directory) if directory else _config_directory(environ), verify)


def _tls_in(directory: Path, verify: bool) -> Tls:
    ca, cert, key = (directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
    own = cert.is_file() and key.is_file()
    return Tls(ca if ca.is_file() else None, cert if own else None, key if own else None, verify)


def _current_context(directory: Path) -> str:
    path = directory / "config.json"
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        pass  # what is there and cannot be read may name another daemon: that is told below
    return _read(path, _Config, "Docker's configuration").current_context


def _endpoint_of(name: str, directory: Path) -> Endpoint:
    identifier = hashlib.sha256(name.encode()).hexdigest()
    context = _read(directory / "contexts/meta" / identifier / "meta.json", _Context, f"the Docker context {name!r}")
    docker = context.endpoints.docker
    tls = directory / "contexts/tls" / identifier / "docker"
    return Endpoint(
        docker.host or DEFAULT_ADDRESS,
        f"the Docker context {name!r}",
        _tls_in(tls, not docker.skip_tls_verify) if tls.is_dir() else None,
    )


def _read(path: Path, kind: type[_File], what: str) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, ValueError) as exc:
        raise StoreError(
            "engine.unavailable",
            f"cannot read {what} ({path.name})",
            hint="List contexts with `docker context ls`, or set DOCKER_HOST to the daemon that is meant.",
        ) from exc
