"""The registries that cannot run here, played after what is known of them (docs/registries.md): all of it simulated."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.registries.logins import BasicLogin, Known, TokenLogin
from tests.registries.network import Network
from tests.registries.simulator import Quirks, Refusal, Simulator
from tests.standin import Asked, Say

USER, SECRET = "alice", "correct horse"
ECR_HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
ACR_HOST = "acme.azurecr.io"
GAR_HOST = "europe-west1-docker.pkg.dev"
HARBOR_HOST = "harbor.example"
ZOT_HOST = "zot.example"
GITLAB_HOST = "registry.gitlab.com"
GITLAB_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.empty.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
"""Some of those that GitLab keeps: no others, whatever the specification says of artifacts."""
AZURE_REFRESH = "azure-refresh-token"
GOOGLE_TOKEN = "ya29.simulated"
IMMUTABLE = {
    "docker-hub": Refusal(
        403,
        "DENIED",
        "requested access to the resource is denied - This tag is already assigned to an image in this repository and"
        " cannot be updated due to immutability settings. To push this image, use a different tag.",
    ),
    "ecr": Refusal(
        400,
        "TAG_INVALID",
        "The image tag 'v1.0' already exists in the 'app' repository and cannot be overwritten because the tag is"
        " immutable.",
    ),
    "acr": Refusal(
        405, "REGISTRY_DISALLOWED_OPERATION", "Operation is disallowed on this registry, repository or image"
    ),
    "artifact-registry": Refusal(400, "MANIFEST_INVALID", "The repository has enabled tag immutability."),
    "ghcr": Refusal(400, "TAG_INVALID", "never said: GHCR has no immutable tags"),
    "harbor": Refusal(412, "PRECONDITION", "Failed to process request due to 'app:v1.0' configured as immutable."),
    "gitlab": Refusal(400, "MANIFEST_INVALID", "manifest invalid", "Tag v1.0 is immutable"),
    "zot": Refusal(403, "DENIED", "requested access to the resource is denied"),
}


@dataclass
class Brand:
    """One simulated registry, ready to be asked. ``environ`` is what a user who may push has set up."""

    name: str
    host: str
    registry: Simulator
    environ: dict[str, str]
    namespace: str
    login: TokenLogin | None = None
    settings: dict[str, Any] = field(default_factory=dict)


Opener = Callable[[Network, Path, ExitStack], Brand]


def docker_hub(network: Network, home: Path, _stack: ExitStack) -> Brand:
    """Tokens of auth.docker.io that may be good for less than was asked; blobs at a CDN; rate limits told."""
    login = TokenLogin(
        "https://auth.docker.io/token", "registry.docker.io", _users(USER, SECRET), anonymous=frozenset({"pull"})
    )
    rates = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}
    quirks = Quirks(
        storage="production.cloudfront.docker.com",
        referrers=False,
        untag=405,
        immutable=IMMUTABLE["docker-hub"],
        headers=rates,
    )
    registry = Simulator("registry-1.docker.io", quirks, login)
    network.hosts |= {
        "registry-1.docker.io": registry,
        "auth.docker.io": login.serve,
        "production.cloudfront.docker.com": registry.serve_storage,
    }
    environ = _docker_login(network, home, "https://index.docker.io/v1/", USER, SECRET)
    return Brand("docker-hub", "docker.io", registry, environ, "acme", login)


def ecr(network: Network, home: Path, stack: ExitStack) -> Brand:
    """GetAuthorizationToken and the repositories of moto; Basic; blobs in S3; what is missing is created."""
    from moto import mock_aws

    stack.enter_context(mock_aws())
    client = _ecr_client()
    data = client.get_authorization_token()["authorizationData"][0]
    expected = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    there: set[str] = set()

    def exists(name: str) -> bool:
        if name not in there:
            found = client.describe_repositories()["repositories"]
            there.update(repository["repositoryName"] for repository in found)
        return name in there

    storage = "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com"
    quirks = Quirks(
        page=1000,
        link="absolute",
        upload="absolute",
        storage=storage,
        mounts=False,
        untag=405,
        immutable=IMMUTABLE["ecr"],
        refuses_same=True,
    )
    challenge = f'Basic realm="https://{ECR_HOST}/",service="ecr.amazonaws.com"'
    registry = Simulator(ECR_HOST, quirks, BasicLogin(challenge, _users(expected[0], expected[2])), exists)
    network.hosts |= {ECR_HOST: registry, storage: registry.serve_storage}
    return Brand("ecr", ECR_HOST, registry, network.environ(home), "acme", settings={"create_repositories": True})


def acr(network: Network, home: Path, _stack: ExitStack) -> Brand:
    """The refresh token that `az acr login` leaves as an identity token; access tokens for 75 minutes; locks."""
    login = TokenLogin(
        f"https://{ACR_HOST}/oauth2/token",
        ACR_HOST,
        _users("", ""),
        refresh=AZURE_REFRESH,
        field_name="access_token",
        lifetime=None,
    )
    storage = "acmestorage.blob.core.windows.net"
    registry = Simulator(ACR_HOST, Quirks(storage=storage, immutable=IMMUTABLE["acr"]), login)

    def answer(asked: Asked) -> Say:
        if asked.path == "/oauth2/token":
            return login.serve(asked)
        if asked.path == "/oauth2/exchange":
            good = b"access_token=aad-token" in asked.body and f"service={ACR_HOST}".encode() in asked.body
            return Say(body=json.dumps({"refresh_token": AZURE_REFRESH}).encode()) if good else Say(401)
        return registry(asked)

    network.hosts |= {ACR_HOST: answer, storage: registry.serve_storage}
    entry = {"auth": base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode()}
    environ = _docker_config(network, home, {"auths": {ACR_HOST: {**entry, "identitytoken": AZURE_REFRESH}}})
    return Brand("acr", ACR_HOST, registry, environ, "acme", login)


def artifact_registry(network: Network, home: Path, _stack: ExitStack) -> Brand:
    """An access token as password, exchanged for others at the registry's own /v2/token; the repository must exist."""
    login = TokenLogin(
        f"https://{GAR_HOST}/v2/token", GAR_HOST, _users("oauth2accesstoken", GOOGLE_TOKEN), refuses=True
    )
    quirks = Quirks(page=50, upload="relative", immutable=IMMUTABLE["artifact-registry"])
    registry = Simulator(GAR_HOST, quirks, login, lambda name: name.startswith("project/images/"))
    network.hosts[GAR_HOST] = lambda asked: login.serve(asked) if asked.path == "/v2/token" else registry(asked)
    environ = _docker_login(network, home, GAR_HOST, "oauth2accesstoken", GOOGLE_TOKEN)
    return Brand("artifact-registry", GAR_HOST, registry, environ, "project/images", login)


def ghcr(network: Network, home: Path, _stack: ExitStack) -> Brand:
    """Tokens without `expires_in` at the registry's own /token; a stranger gets none; no tag is ever removed."""
    login = TokenLogin("https://ghcr.io/token", "ghcr.io", _users(USER, SECRET), lifetime=None, refuses=True)
    registry = Simulator("ghcr.io", Quirks(referrers=False, untag=405, immutable=IMMUTABLE["ghcr"]), login)
    network.hosts["ghcr.io"] = lambda asked: login.serve(asked) if asked.path == "/token" else registry(asked)
    environ = network.environ(home)
    environ |= {"TAGFLOW_REGISTRY_USERNAME_GHCR_IO": USER, "TAGFLOW_REGISTRY_PASSWORD_GHCR_IO": SECRET}
    return Brand("ghcr", "ghcr.io", registry, environ, "acme", login)


def harbor(network: Network, home: Path, _stack: ExitStack) -> Brand:
    """A robot account; the project must exist; pages of ten; immutability rules; no tag is removed through this API."""
    login = TokenLogin(f"https://{HARBOR_HOST}/service/token", "harbor-registry", _users("robot$ci", SECRET))
    quirks = Quirks(page=10, untag=400, immutable=IMMUTABLE["harbor"])
    registry = Simulator(HARBOR_HOST, quirks, login, lambda name: name.startswith("library/"))

    def answer(asked: Asked) -> Say:
        return login.serve(asked) if asked.path == "/service/token" else registry(asked)

    network.hosts[HARBOR_HOST] = answer
    environ = _docker_login(network, home, HARBOR_HOST, "robot$ci", SECRET)
    return Brand("harbor", HARBOR_HOST, registry, environ, "library", login)


def gitlab(network: Network, home: Path, _stack: ExitStack) -> Brand:
    """A deploy token; the project's own namespace; types of artifacts by a list; no lists of referrers."""
    login = TokenLogin("https://gitlab.com/jwt/auth", "container_registry", _users("gitlab+deploy-token-1", SECRET))
    quirks = Quirks(referrers=False, immutable=IMMUTABLE["gitlab"], types=GITLAB_TYPES)
    registry = Simulator(GITLAB_HOST, quirks, login)
    network.hosts |= {GITLAB_HOST: registry, "gitlab.com": login.serve}
    environ = _docker_login(network, home, GITLAB_HOST, "gitlab+deploy-token-1", SECRET)
    return Brand("gitlab", GITLAB_HOST, registry, environ, "acme/shop", login)


def zot(network: Network, home: Path, _stack: ExitStack) -> Brand:
    """A password; several tags in one PUT; an immutable tag is a right that is missing, so a plain 403."""
    login = BasicLogin('Basic realm="Authorization Required"', _users(USER, SECRET))
    registry = Simulator(ZOT_HOST, Quirks(multitag=True, immutable=IMMUTABLE["zot"]), login)
    network.hosts[ZOT_HOST] = registry
    return Brand("zot", ZOT_HOST, registry, _docker_login(network, home, ZOT_HOST, USER, SECRET), "acme")


BRANDS: Mapping[str, Opener] = {
    "docker-hub": docker_hub,
    "ecr": ecr,
    "acr": acr,
    "artifact-registry": artifact_registry,
    "ghcr": ghcr,
    "harbor": harbor,
    "gitlab": gitlab,
    "zot": zot,
}
HOSTS = (
    "registry-1.docker.io",
    "auth.docker.io",
    "production.cloudfront.docker.com",
    ECR_HOST,
    "prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com",
    ACR_HOST,
    "acmestorage.blob.core.windows.net",
    GAR_HOST,
    "ghcr.io",
    HARBOR_HOST,
    GITLAB_HOST,
    "gitlab.com",
    "quay.io",
    ZOT_HOST,
)


@cache
def _ecr_client() -> Any:
    import boto3

    return boto3.session.Session().client("ecr", region_name="eu-west-1")


def _users(user: str, secret: str) -> Known:
    return lambda name, password: bool(user) and (name, password) == (user, secret)


def _docker_login(network: Network, home: Path, key: str, user: str, secret: str) -> dict[str, str]:
    auth = base64.b64encode(f"{user}:{secret}".encode()).decode()
    return _docker_config(network, home, {"auths": {key: {"auth": auth}}})


def _docker_config(network: Network, home: Path, document: Mapping[str, Any]) -> dict[str, str]:
    directory = home / ".docker"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(document))
    return network.environ(home)
