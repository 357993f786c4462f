"""The Docker SDK as tagflow wants it: told everything, reading nothing by itself, never waiting for ever.

Importing this module imports ``docker``, which is felt at every start: only :mod:`tagflow.stores.docker.link` does so,
late.
"""

from __future__ import annotations

import http.client
import importlib
import re
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import docker
import docker.constants
import docker.errors
import docker.tls
import docker.utils
import urllib3.exceptions

from tagflow.errors import StoreError, TagflowError, with_extra
from tagflow.stores.docker.endpoint import Endpoint, RetryBudget, Tls
from tagflow.stores.docker.events import Failure, plain

POOL = 32
"""Connections kept open to the daemon: as many as threads push side by side."""

_PASSWORD = re.compile(r"(?<=:)[^:@/\s]+(?=@)")
_UNIX = "http+unix://"
_SSH = "ssh://"
_ELSEWHERE = "Set DOCKER_HOST (or `docker context use`) to where a Docker Engine listens."
_BROKEN = "The daemon may have been stopped or restarted: look at its log, then run it again."


class Client(docker.APIClient):  # type: ignore[misc]
    """The low-level client, with a time limit on every request, also on those that the SDK makes without one."""

    def __init__(self, endpoint: Endpoint, patience: RetryBudget) -> None:
        self._patience = patience
        tls = endpoint.tls and _tls_config(endpoint.tls)
        super().__init__(endpoint.address, version="auto", tls=tls or False, max_pool_size=POOL)

    def request(self, method: str, url: str, **arguments: Any) -> Any:
        arguments["timeout"] = self._patience(bool(arguments.get("stream")))
        return super().request(method, url, **arguments)

    def find_image(self, name: str) -> dict[str, Any] | None:
        """What there is to know of a local image, None where there is none (Docker Engine API, ``ImageInspect``)."""
        try:
            attributes: dict[str, Any] = self.inspect_image(name)
        except docker.errors.NotFound:
            return None
        return attributes

    def manifests_of(self, name: str) -> list[dict[str, Any]]:
        """What a local image is made of (Docker Engine API 1.48, ``ImageInspect``); empty where it is one manifest, and
        of daemons that do not tell. The SDK knows no such question."""
        answer = self._get(self._url("/images/{0}/json", name), params={"manifests": "true"})
        return list(self._result(answer, json=True).get("Manifests") or ())

    def names_of(self, repository: str) -> list[str]:
        """``REPOSITORY:TAG`` of every local image of a repository (Docker Engine API, ``ImageList``)."""
        found = self.images(name=repository)
        return sorted({str(name) for image in found for name in image.get("RepoTags") or ()})

    @property
    def trust_env(self) -> bool:
        """No: REQUESTS_CA_BUNDLE would replace the daemon's own authority, and ``~/.netrc`` adds credentials."""
        return False

    @trust_env.setter
    def trust_env(self, value: bool) -> None:
        pass

    @property
    def _general_configs(self) -> dict[str, Any]:
        """Nothing: the SDK reads Docker's configuration when it is made and dies of one malformed entry in it, although
        every credential is handed over."""
        return {"auths": {}}

    @_general_configs.setter
    def _general_configs(self, value: object) -> None:
        pass


def connect(endpoint: Endpoint, patience: RetryBudget) -> Client:
    """A client for a daemon that answers.

    :raises StoreError: ``engine.unavailable``, ``engine.timeout``.
    """
    outer, where = sys.exception(), f" ({endpoint.address}, from {endpoint.source})"
    by_ssh = endpoint.address.startswith(_SSH)
    if by_ssh and not _has_paramiko():
        hint = f"pip install '{with_extra('ssh')}'"
        raise _unavailable("ssh:// needs paramiko, which is not installed", where, hint)
    hint = f"`ssh {endpoint.address} docker version` should answer, and ask nothing." if by_ssh else ""
    try:
        _knock(endpoint, patience(False))
        return Client(endpoint, patience)
    except _on_the_way(ValueError) as exc:
        raise _translate(exc, outer, _unavailable, where, hint) from exc


@contextmanager
def translated(failure: Failure) -> Iterator[None]:
    """Everything that the SDK raises within becomes an error of tagflow: what the daemon refuses, ``failure``.

    :raises StoreError: ``engine.unavailable`` where the daemon is gone, ``engine.timeout`` where it keeps silent.
    """
    outer = sys.exception()
    try:
        yield
    except _on_the_way() as exc:
        raise _translate(exc, outer, failure) from exc


def _has_paramiko() -> bool:
    """The SDK imports it where it is there, and dies of a NameError where it is not."""
    try:
        importlib.import_module("paramiko")
    except ImportError:
        return False
    return True


def _on_the_way(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What a call may raise on its way: what paramiko raises is no exception of the SDK, nor of the system."""
    paramiko = sys.modules.get("paramiko")
    ssh = (paramiko.SSHException,) if paramiko else ()
    return (docker.errors.DockerException, urllib3.exceptions.HTTPError, OSError, *ssh, *more)


def _knock(endpoint: Endpoint, seconds: float) -> None:
    """Fail here where nobody listens at a socket: the SDK would forget to close its own."""
    address = docker.utils.parse_host(endpoint.address, tls=endpoint.tls is not None)
    if address.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(seconds)
            knocking.connect("/" + address.removeprefix(_UNIX).lstrip("/"))


def _translate(
    exc: Exception, outer: BaseException | None, failure: Failure, where: str = "", hint: str = ""
) -> TagflowError:
    if isinstance(exc, docker.errors.APIError):
        return failure(plain(str(exc.explanation or exc)))
    chain = list(_chain(exc, outer))
    cause = next((each for each in chain if _is_plain(each)), None)
    if isinstance(cause, TagflowError):
        return cause
    if isinstance(cause, TimeoutError):
        return StoreError(
            "engine.timeout",
            f"the Docker Engine{where} did not answer in time",
            hint="Look at the daemon's log; `docker info` should answer at once.",
        )
    if isinstance(cause, OSError):
        return _unavailable(str(cause.strerror).lower(), where, _advice(cause) or hint)
    reason, advice = _inference(exc, chain)
    return _unavailable(reason, where, advice or hint or _ELSEWHERE)


def _unavailable(reason: str, where: str = "", hint: str = "") -> StoreError:
    start = "Is dockerd running? Start it, or set DOCKER_HOST (or `docker context use`) to where it listens."
    message = _PASSWORD.sub("…", f"cannot talk to the Docker Engine{where}: {reason}")
    return StoreError("engine.unavailable", message, hint=_PASSWORD.sub("…", hint or start))


def _advice(cause: OSError) -> str:
    if isinstance(cause, PermissionError):
        return "You may not open its socket: join the group docker (and log in again), or run as root."
    if isinstance(cause, ssl.SSLError):
        return "Set DOCKER_CERT_PATH to the directory with its ca.pem, cert.pem and key.pem."
    return _BROKEN if isinstance(cause, ConnectionResetError | BrokenPipeError | ConnectionAbortedError) else ""


def _inference(exc: Exception, chain: Sequence[BaseException]) -> tuple[str, str]:
    """What it means that libraries failed, and what to do, where the system has no word on it. The text of what they
    failed at is the outermost's: what is inside may be any exception of any parser."""

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(each, kinds) for each in chain)

    if has(docker.errors.InvalidVersion):
        oldest = docker.constants.MINIMUM_DOCKER_API_VERSION
        return f"its API is too old, older than {oldest}", "Update Docker where that daemon runs."
    if has(http.client.IncompleteRead, http.client.RemoteDisconnected):
        return "the connection broke off", _BROKEN
    if has(http.client.BadStatusLine):
        return "what answers does not speak HTTP", ""
    if has(urllib3.exceptions.ProtocolError):
        return "the connection broke off", _BROKEN
    return plain(str(exc)) or type(exc).__name__, ""


def _is_plain(exc: BaseException) -> bool:
    """Whether it is the word of the system, or our own. Some libraries derive from OSError without its number."""
    return isinstance(exc, TagflowError | TimeoutError) or (isinstance(exc, OSError) and bool(exc.strerror))


def _chain(exc: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    """The tower of what libraries wrap around a failure, from the outside. ``outer`` was being handled before the call
    began and has nothing to do with it."""
    inner: BaseException | None = exc
    while inner is not None and inner is not outer:
        yield inner
        inner = inner.__cause__ or inner.__context__


def _tls_config(tls: Tls) -> Any:
    return docker.tls.TLSConfig(
        client_cert=(str(tls.cert), str(tls.key)) if tls.cert and tls.key else None,
        ca_cert=str(tls.ca) if tls.ca else None,
        verify=tls.verify,
    )
