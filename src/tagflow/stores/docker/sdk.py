"""The Docker SDK as tagflow wants it: told everything, reading nothing by itself, never waiting for ever.

Importing this module imports ``docker``, which is felt at every start: only :mod:`tagflow.stores.docker.link` does so,
late.
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import docker.errors
import docker.tls
import docker.utils
import urllib3.exceptions

from tagflow.errors import StoreError, TagflowError
from tagflow.stores.docker.endpoint import Endpoint, RetryBudget, Tls
from tagflow.stores.docker.events import Failure, plain

POOL = 32
"""Connections kept open to the daemon: as many as threads push side by side."""

_PASSWORD = re.compile(r"(?<=:)[^:@/\s]+(?=@)")
_UNIX = "http+unix://"
_ON_THE_WAY = (docker.errors.DockerException, urllib3.exceptions.HTTPError, OSError)


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
    outer = sys.exception()
    try:
        _knock(endpoint, patience(False))
        return Client(endpoint, patience)
    except (*_ON_THE_WAY, ValueError) as exc:
        raise _translate(exc, outer, _unavailable, f" ({endpoint.address}, from {endpoint.source})") from exc


@contextmanager
def translated(failure: Failure) -> Iterator[None]:
    """Everything that the SDK raises within becomes an error of tagflow: what the daemon refuses, ``failure``.

    :raises StoreError: ``engine.unavailable`` where the daemon is gone, ``engine.timeout`` where it keeps silent.
    """
    outer = sys.exception()
    try:
        yield
    except _ON_THE_WAY as exc:
        raise _translate(exc, outer, failure) from exc


def _knock(endpoint: Endpoint, seconds: float) -> None:
    """Fail here where nobody listens at a socket: the SDK would forget to close its own."""
    address = docker.utils.parse_host(endpoint.address, tls=endpoint.tls is not None)
    if address.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(seconds)
            knocking.connect("/" + address.removeprefix(_UNIX).lstrip("/"))


def _translate(exc: Exception, outer: BaseException | None, failure: Failure, where: str = "") -> TagflowError:
    if isinstance(exc, docker.errors.APIError):
        return failure(plain(str(exc.explanation or exc)))
    cause = _first_cause(exc, outer)
    if isinstance(cause, TagflowError):
        return cause
    if isinstance(cause, TimeoutError):
        return StoreError(
            "engine.timeout",
            f"the Docker Engine{where} did not answer in time",
            hint="Look at the daemon's log; `docker info` should answer at once.",
        )
    system = cause.strerror if isinstance(cause, OSError) else None
    reason = system.lower() if system else plain(str(cause)) or type(cause).__name__
    return _unavailable(reason, where, _advice(cause))


def _unavailable(reason: str, where: str = "", hint: str = "") -> StoreError:
    start = "Is dockerd running? Start it, or set DOCKER_HOST (or `docker context use`) to where it listens."
    message = _PASSWORD.sub("…", f"cannot talk to the Docker Engine{where}: {reason}")
    return StoreError("engine.unavailable", message, hint=hint or start)


def _advice(cause: BaseException) -> str:
    if isinstance(cause, PermissionError):
        return "You may not open its socket: join the group docker (and log in again), or run as root."
    if isinstance(cause, ssl.SSLError):
        return "Set DOCKER_CERT_PATH to the directory with its ca.pem, cert.pem and key.pem."
    return ""


def _first_cause(exc: BaseException, outer: BaseException | None) -> BaseException:
    """The word of the system, or our own, inside the tower of what libraries wrap around it; else the innermost.

    ``outer`` was being handled before the call began and has nothing to do with it.
    """
    inner = exc.__cause__ or exc.__context__
    is_plain = isinstance(exc, TagflowError | TimeoutError) or (isinstance(exc, OSError) and exc.strerror)
    if is_plain or inner is None or inner is outer:
        return exc
    return _first_cause(inner, outer)


def _tls_config(tls: Tls) -> Any:
    return docker.tls.TLSConfig(
        client_cert=(str(tls.cert), str(tls.key)) if tls.cert and tls.key else None,
        ca_cert=str(tls.ca) if tls.ca else None,
        verify=tls.verify,
    )
