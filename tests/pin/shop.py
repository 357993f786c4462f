"""A policy, what its environments run, and a file pinned in one call."""

from __future__ import annotations

from collections.abc import Mapping

from tagflow.domain.policy import Environment, Image, Policy
from tagflow.domain.reference import Digest, Registry, parse_registry
from tagflow.pin.edit import Form, Pinned, Runs, pin
from tagflow.pin.places import scan
from tagflow.pin.source import decode
from tagflow.pin.written import names

DIGEST = Digest("sha256:" + "ab" * 32)
OLD = Digest("sha256:" + "0c" * 32)
NEW = f"v1.1@{DIGEST}"
IMAGES = (Image("web", "web"), Image("api", "back/api"), Image("job", "job"))
FAR = parse_registry("registry.example.com:5000/x/shop")


def policy(registry: Registry | None = None) -> Policy:
    """Three images in dev and prod on Docker Hub, and in `far` in a registry of its own."""
    here = registry or parse_registry("docker.io/acme")
    return Policy(here, IMAGES, (Environment("dev", here), Environment("prod", here), Environment("far", FAR)))


def pinned(
    content: bytes | str,
    *,
    environment: str = "prod",
    form: Form = "tag@digest",
    version: str | None = "v1.1",
    registry: Registry | None = None,
    digests: Mapping[str, Digest] | None = None,
) -> Pinned:
    """A file as it is to be."""
    whole = policy(registry)
    known = names(whole, next(it for it in whole.environments if it.name == environment))
    raw = content.encode() if isinstance(content, str) else content
    runs = {it.name: Runs(it.name, version, (digests or {}).get(it.name, DIGEST)) for it in IMAGES}
    return pin(scan(decode("file.yaml", raw), known), known, runs, form)
