"""Which registry a host name means, where the name alone tells. A name that only resembles one is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

HUB = "docker.io"
ECR_PUBLIC = "public.ecr.aws"
Vendor = Literal["hub", "ecr", "ecr-public", "azure", "google", "ghcr", "quay", "gitlab", "other"]

_ECR = re.compile(r"([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z]{2}[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)")
_AZURE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+\.data)?\.azurecr\.(?:io|cn|us)")
_GOOGLE = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]{2,4}\.)?gcr\.io")
_NAMES: dict[str, Vendor] = {
    HUB: "hub",
    ECR_PUBLIC: "ecr-public",
    "ghcr.io": "ghcr",
    "quay.io": "quay",
    "registry.gitlab.com": "gitlab",
}


@dataclass(frozen=True)
class Ecr:
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
