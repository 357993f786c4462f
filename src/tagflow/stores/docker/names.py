"""What images are called in the Docker Engine, and what its image IDs mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tagflow.domain.reference import Digest, Repository, is_digest
from tagflow.errors import UsageError
from tagflow.stores.port import Manifest

PLATFORM_VARIABLE = "DOCKER_DEFAULT_PLATFORM"
"""Names the platform that is pulled instead of the machine's own, as for `docker pull`."""


def is_image(manifest: Manifest, image_id: Digest) -> bool:
    """Whether a daemon's image ID means this manifest: with a graph driver it is the digest of the configuration, with
    the containerd image store that of the manifest."""
    return image_id == manifest.digest or (manifest.config is not None and image_id == manifest.config.digest)


def docker_name(repository: Repository) -> str:
    """The name of a repository for the daemon: HOST/PATH; of an OCI layout, which has no host, the path alone."""
    return repository.path if repository.is_layout else str(repository)


def registry_name(repository: Repository) -> str:
    """The name of a repository that the daemon pushes to or pulls from.

    :raises UsageError: ``engine.needs_registry`` for an OCI layout.
    """
    if repository.is_layout:
        raise UsageError(
            "engine.needs_registry",
            f"the Docker Engine cannot push to or pull from the directory {repository}",
            hint="Use `engine: registry` or `engine: auto` with oci: registries.",
        )
    return docker_name(repository)


def without_tag(name: str) -> str:
    """HOST/PATH of a name; a port is no tag.

    >>> without_tag("localhost:5000/app:v1"), without_tag("localhost:5000/app")
    ('localhost:5000/app', 'localhost:5000/app')
    """
    path, colon, tag = name.partition("@")[0].rpartition(":")
    return path if colon and "/" not in tag else name.partition("@")[0]


def in_full(name: str) -> str:
    """A name as the daemon reads it: without a tag it is ``latest``.

    >>> in_full("frontend"), in_full("frontend:build"), in_full("sha256:" + "0" * 64) == "sha256:" + "0" * 64
    ('frontend:latest', 'frontend:build', True)
    """
    return name if "@" in name or without_tag(name) != name else f"{name}:latest"


class LocalImage(Struct, frozen=True):
    """An image in the daemon and the names that it has there, as the daemon lists them; ``platform`` is the one that it
    is for, empty where that is not told."""

    id: Digest
    tags: frozenset[str]
    digests: frozenset[str]
    platform: str = ""

    def has_other_name(self, name: str) -> bool:
        """Whether it stays when ``name`` (HOST/PATH:TAG) goes. Its digests of that repository go with the last tag."""
        familiar = _familiar(name)
        repository = familiar.rpartition(":")[0]
        return bool(self.tags - {familiar}) or any(each.partition("@")[0] != repository for each in self.digests)


def only_platform(manifests: Sequence[Mapping[str, Any]]) -> Digest | None:
    """The only platform that is there of an index of which something is missing, by what the daemon says of its
    manifests (Docker Engine API 1.48, ``ImageManifestSummary``)."""
    there = [it for it in manifests if it.get("Available")]
    images = [str(it.get("ID")) for it in there if it.get("Kind") == "image"]
    is_alone = len(images) == 1 and len(there) < len(manifests) and is_digest(images[0])
    return Digest(images[0]) if is_alone else None


def local_image(attributes: Mapping[str, Any]) -> LocalImage:
    """Read what the daemon answers (Docker Engine API, ``ImageInspect``)."""
    tags, digests = attributes.get("RepoTags"), attributes.get("RepoDigests")
    named = [str(attributes.get(key) or "") for key in ("Os", "Architecture", "Variant")]
    platform = "/".join(filter(None, named)) if all(named[:2]) else ""
    return LocalImage(Digest(attributes["Id"]), frozenset(tags or ()), frozenset(digests or ()), platform)


def _familiar(name: str) -> str:
    """Docker Hub and its ``library`` go without saying."""
    return name.removeprefix("docker.io/").removeprefix("library/") if name.startswith("docker.io/") else name
