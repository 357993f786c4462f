"""Ambient credentials of the clouds, for a CI image in which nobody has logged in: through the vendors' own libraries.

They are extras (``tagflow[ecr]``, ``tagflow[gcp]``, ``tagflow[azure]``), imported when a host name is that cloud's and
no login or helper is there for it. Such a credential is given to that very host only.
"""

from __future__ import annotations

import base64
import importlib
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import msgspec

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError, with_extra
from tagflow.stores.registry.auth.credentials import Credential, Keychain, Provider, keychain
from tagflow.stores.registry.http.failures import invalid
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.http.transport import Request, Transport
from tagflow.stores.registry.vendors import Vendor, ecr, vendor

_MAKING = threading.Lock()
AMBIENT = "(ambient)"
"""How the source of such a credential ends."""
EARLY = 0.9
"""The part of its life in which a credential is used."""
AZURE_USER = "00000000-0000-0000-0000-000000000000"
"""The user name that goes with a refresh token (Azure, "Authenticate with a container registry")."""
AZURE_SCOPE = "https://containerregistry.azure.net/.default"
AZURE_SECONDS = 3 * 3600
GOOGLE_USER = "oauth2accesstoken"
GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_EXTRAS: dict[Vendor, tuple[str, str, str]] = {
    "ecr": ("ecr", "boto3", "AWS credentials (AWS_*, a profile, or a role)"),
    "ecr-public": ("ecr", "boto3", "AWS credentials (AWS_*, a profile, or a role)"),
    "google": (
        "gcp",
        "google.auth",
        "Google application default credentials (a key file or a service account)",
    ),
    "azure": ("azure", "azure.identity", "an Azure identity (AZURE_*, a managed identity, or `az login`)"),
}
"""Per vendor: the extra, its library, and what the library looks for."""


def full_keychain(settings: Settings) -> Keychain:
    """The usual sources (:func:`keychain`), and the clouds at their end."""
    return keychain(settings.environ, [amazon, google, azure(Transport(settings))])


def advice(host: str) -> str:
    """What would give a cloud's registry a credential without a login; empty for other hosts."""
    if vendor(host) not in _EXTRAS:
        return ""
    extra, library, sought = _EXTRAS[vendor(host)]
    return f"Or provide {sought}" + ("." if _library(library) else f", and `pip install '{with_extra(extra)}'`.")


def amazon(host: str, _path: str = "") -> Credential | None:
    """ECR's GetAuthorizationToken, private or public; None where there are no AWS credentials.

    :raises StoreError: ``credentials.cloud_failed``.
    """
    registry, kind = ecr(host), vendor(host)
    if kind not in ("ecr", "ecr-public") or not _library("boto3"):
        return None
    try:
        if registry:
            data = _amazon("ecr", registry.region).get_authorization_token()["authorizationData"][0]
        else:  # ECR Public has its tokens in one region only
            data = _amazon("ecr-public", "us-east-1").get_authorization_token()["authorizationData"]
        pair = base64.b64decode(data["authorizationToken"], validate=True).decode()
    except _of("botocore.exceptions", "NoCredentialsError", "ProfileNotFound"):
        return None
    except _amazon_errors() as exc:
        raise _failed(host, "Amazon ECR", exc) from exc
    except (KeyError, IndexError, ValueError) as exc:
        raise _failed(host, "Amazon ECR", None, "its answer cannot be read") from exc
    username, _, password = pair.partition(":")
    return Credential(username, password, source=f"AWS {AMBIENT}", expires=_until(data.get("expiresAt")))


def google(host: str, _path: str = "") -> Credential | None:
    """Application default credentials as an access token; None where there are none.

    :raises StoreError: ``credentials.cloud_failed``.
    """
    library = _library("google.auth") if vendor(host) == "google" else None
    requests = _library("google.auth.transport.requests") if library else None
    if library is None or requests is None:
        return None
    try:
        found, _ = library.default(scopes=[GOOGLE_SCOPE])
        found.refresh(requests.Request())
    except _of("google.auth.exceptions", "DefaultCredentialsError"):
        return None
    except _of("google.auth.exceptions", "GoogleAuthError") as exc:
        raise _failed(host, "Google", exc) from exc
    return Credential(GOOGLE_USER, found.token, source=f"Google {AMBIENT}", expires=_until(found.expiry))


def azure(transport: Transport) -> Provider:
    """The identity that Azure finds, exchanged for a refresh token of the registry (``POST /oauth2/exchange``)."""

    def provide(host: str, _path: str = "") -> Credential | None:
        library = _library("azure.identity") if vendor(host) == "azure" else None
        if library is None:
            return None
        try:
            token = library.DefaultAzureCredential().get_token(AZURE_SCOPE).token
        except _of("azure.core.exceptions", "ClientAuthenticationError"):
            return None
        except _of("azure.core.exceptions", "AzureError") as exc:
            raise _failed(host, "Azure", exc) from exc
        expires = time.monotonic() + AZURE_SECONDS * EARLY
        refresh = _exchange(transport, host, token)
        return Credential(AZURE_USER, identity_token=refresh, source=f"Azure {AMBIENT}", expires=expires)

    return provide


def can_create(repository: Repository) -> bool:
    """Whether a repository is one that :func:`create_repository` may create."""
    return ecr(repository.host) is not None and _library("boto3") is not None


def create_repository(repository: Repository) -> bool:
    """Create a repository in ECR; False where that is not possible: another registry, or no boto3.

    :raises StoreError: ``repository.uncreatable``.
    """
    registry = ecr(repository.host)
    if registry is None or not can_create(repository):
        return False
    try:
        _amazon("ecr", registry.region).create_repository(registryId=registry.account, repositoryName=repository.path)
    except _amazon_errors() as exc:
        if _reason(exc) == "RepositoryAlreadyExistsException":
            return True
        raise StoreError(
            "repository.uncreatable",
            f"{repository} does not exist, and AWS does not create it ({_reason(exc)})",
            hint="Allow ecr:CreateRepository to this user, or create the repository beforehand.",
        ) from exc
    return True


class _Exchanged(msgspec.Struct):
    refresh_token: str


_EXCHANGED = msgspec.json.Decoder(_Exchanged)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


def _exchange(transport: Transport, host: str, token: str) -> str:
    form = {"grant_type": "access_token", "service": host, "access_token": token}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = transport.send(Request("POST", f"https://{host}/oauth2/exchange", headers, urlencode(form).encode()))
    if not answer.ok:
        raise _failed(host, "Azure", None, f"HTTP {answer.status} to the exchange of the token")
    try:
        return _EXCHANGED.decode(answer.body).refresh_token
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise invalid(answer.url, "gives a token answer that cannot be read") from exc


@lru_cache(maxsize=16)
def _client(service: str, region: str) -> Any:
    return _library("boto3").session.Session().client(service, region_name=region)


def _amazon(service: str, region: str) -> Any:
    """A client, which is good for several threads; making one is slow, and not."""
    with _MAKING:
        return _client(service, region)


def _amazon_errors() -> tuple[type[Exception], ...]:
    return _of("botocore.exceptions", "BotoCoreError", "ClientError")


def _library(name: str) -> Any:
    """A vendor's library; None where the extra is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _of(module: str, *names: str) -> tuple[type[Exception], ...]:
    """Exceptions of a library that may not be there."""
    library = _library(module)
    return tuple(getattr(library, name) for name in names) if library else ()


def _until(moment: datetime | None) -> float:
    """A time of the calendar on the monotonic clock, a little early; a naive one is in UTC."""
    if moment is None:
        return time.monotonic() + 3600 * EARLY
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return time.monotonic() + (aware - datetime.now(UTC)).total_seconds() * EARLY


def _reason(exc: BaseException | None) -> str:
    """AWS's word for it, else the kind of error: texts of these libraries may hold more than people should see."""
    response = getattr(exc, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(exc).__name__)


def _failed(host: str, cloud: str, exc: BaseException | None, what: str = "") -> StoreError:
    return StoreError(
        "credentials.cloud_failed",
        f"{cloud} gives no credential for {host}: {what or _reason(exc)}",
        hint=f"Check the rights of this identity, or log in: `docker login {host}`.",
    )
