"""Which registry a host name means, where the name alone says so, and what such a registry may do to names and digests
behind our back. A name that only resembles one is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from tagflow.stores.port import Check

HUB = "docker.io"
ECR_PUBLIC = "public.ecr.aws"
Vendor = Literal["hub", "ecr", "ecr-public", "azure", "google", "ghcr", "quay", "gitlab", "other"]

_ECR = re.compile(
    r"([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z]{2}[a-z0-9-]+)\.(?:amazonaws\.(?:com|com\.cn|eu)|on\.aws|on\.amazonwebservices\.com\.cn)"
)
_AZURE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+\.data)?\.azurecr\.(?:io|cn|us)")
_GOOGLE = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]{2,4}\.)?gcr\.io")
_NAMES: dict[str, Vendor] = {
    HUB: "hub",
    ECR_PUBLIC: "ecr-public",
    "ghcr.io": "ghcr",
    "quay.io": "quay",
    "registry.gitlab.com": "gitlab",
}


class Ecr(Struct, frozen=True):
    """What the host name of a private ECR registry says."""

    account: str
    region: str


def ecr(host: str) -> Ecr | None:
    """The account and region of a private ECR registry, or None where the host is none.

    >>> ecr("123456789012.dkr.ecr.eu-west-1.amazonaws.com")
    Ecr(account='123456789012', region='eu-west-1')
    """
    found = _ECR.fullmatch(host)
    return Ecr(found[1], found[2]) if found else None


def vendor(host: str) -> Vendor:
    """Whose registry a host (``HOST[:PORT]``) is.

    >>> vendor("acme.azurecr.io"), vendor("acme.azurecr.io.evil.example")
    ('azure', 'other')
    """
    if host in _NAMES:
        return _NAMES[host]
    if ecr(host):
        return "ecr"
    if _AZURE.fullmatch(host):
        return "azure"
    return "google" if _GOOGLE.fullmatch(host) else "other"


Hazard = tuple[str, str]
_MUTABLE = "environment and floating tags must be able to move, so except them from rules that make tags immutable"
_RETENTION = "keep tags that begin with '_tagflow.' and combined tags in every rule that removes old images"

HAZARDS: Mapping[Vendor, tuple[Hazard, ...]] = {
    "hub": (
        ("immutability", f"where a rule makes tags immutable, {_MUTABLE}"),
        ("rollback of new tags", "Docker Hub removes no tag through this API: a tag that is new cannot be taken back"),
    ),
    "ecr": (
        ("immutability", f"ECR refuses even the same digest again where tags are immutable; {_MUTABLE}"),
        (
            "retention",
            f"lifecycle policies remove or archive images by number, or age since their push: {_RETENTION}",
        ),
    ),
    "ecr-public": (),
    "azure": (
        ("immutability", f"locks refuse every write: {_MUTABLE}"),
        ("retention", f"a retention policy for untagged manifests and `acr purge`: {_RETENTION}"),
        ("lagging referrers", "the list of referrers lags behind writes: wait a moment between signing and promoting"),
        (
            "lagging lists",
            "other regions of a geo-replicated registry list tags later: let all releases go through one region",
        ),
    ),
    "google": (
        ("immutability", "immutable tags are for the whole repository there, and no environment tag could move: off"),
        ("retention", f"cleanup policies: {_RETENTION}"),
    ),
    "ghcr": (
        ("rollback of new tags", "GHCR removes no tag through this API: a tag that is new cannot be taken back"),
        ("retention", f"cleanup actions that sweep untagged versions delete the platforms of an index: {_RETENTION}"),
    ),
    "quay": (
        (
            "retention",
            f"tag expiration (also by the label quay.expires-after of an image) and auto-prune: {_RETENTION}",
        ),
        (
            "lagging lists",
            "Quay keeps lists of tags for two minutes by default, so that releases at the same time may not see each"
            " other: let them go one after another, or have active_repo_tags_cache_ttl set to 0s",
        ),
    ),
    "gitlab": (("retention", f"cleanup policies, and garbage collection of untagged manifests: {_RETENTION}"),),
    "other": (),
}

_HARBOR: tuple[Hazard, ...] = (
    ("immutability", f"Harbor's immutability rules: {_MUTABLE}"),
    ("rollback of new tags", "Harbor removes no tag through this API: a tag that is new cannot be taken back"),
    ("retention", f"Harbor's tag retention, and garbage collection of untagged artifacts: {_RETENTION}"),
)
_JFROG: tuple[Hazard, ...] = (("retention", f"`maxUniqueTags` of the repository deletes old tags: {_RETENTION}"),)
_DISTRIBUTION: tuple[Hazard, ...] = (
    (
        "garbage collection",
        "`registry garbage-collect -m` deletes untagged manifests, with their referrers; up to release 2.8 also the"
        " platforms of a tagged index: run it without -m, and while nobody pushes",
    ),
)


def hazards(host: str, headers: Mapping[str, str], service: str = "", *, is_distribution: bool) -> list[Check]:
    """The hazards of the registry that a host name, the ``headers`` of its version check, or the ``service`` of its
    challenge tell; else those of distribution, where it says its version of the API and also behaves like it."""
    found = HAZARDS[vendor(host)]
    if vendor(host) == "other":
        found = _by_headers({name.lower() for name in headers}, service, is_distribution=is_distribution)
    return [Check(name, False, detail) for name, detail in found]


def _by_headers(names: set[str], service: str, *, is_distribution: bool) -> tuple[Hazard, ...]:
    if any(name.startswith(("x-jfrog", "x-artifactory")) for name in names):
        return _JFROG
    if "gitlab-container-registry-version" in names:
        return HAZARDS["gitlab"]
    if "x-harbor-csrf-token" in names or service == "harbor-registry":
        return _HARBOR
    return _DISTRIBUTION if "docker-distribution-api-version" in names and is_distribution else ()
