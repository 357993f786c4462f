"""Versions that this machine knows of without asking anybody: from records in the cache, and from layouts on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from tagflow.domain.policy import Policy
from tagflow.domain.records import PREFIX
from tagflow.domain.reference import Repository
from tagflow.domain.tagging import TagScheme
from tagflow.errors import TagflowError
from tagflow.stores.cache.log import ManifestLog, default_directory

NEWEST = 300
"""Manifests looked at of each repository: Tab is answered at once, or nobody presses it again."""


def versions(policy: Policy, image: str, environ: Mapping[str, str]) -> list[str]:
    """Version tags, highest first: of one image, or of all where ``image`` is empty."""
    scheme = TagScheme(policy)
    cache = ManifestLog(default_directory(environ))
    chosen = [it for it in policy.images if image in ("", it.name)]
    places = [(it, environment) for it in chosen for environment in policy.environments]
    tags = {tag for it in dict.fromkeys(policy.repository(*place) for place in places) for tag in _on_disk(it)}
    tags |= {
        tag for it in dict.fromkeys(policy.history_repository(*place) for place in places) for tag in _told(cache, it)
    }
    return [tag for _, tag in scheme.versions(tags)]


def _on_disk(repository: Repository) -> Iterator[str]:
    if not repository.host.startswith("oci:"):
        return
    from tagflow.stores.layout.store import LayoutStore

    with suppress(TagflowError):
        yield from LayoutStore(repository).tags()


def _told(cache: ManifestLog, repository: Repository) -> Iterator[str]:
    for manifest in cache.newest(repository, NEWEST):
        with suppress(ValueError):
            for key in ("version", "previous-version"):
                if version := manifest.annotations.get(PREFIX + key):
                    yield version
