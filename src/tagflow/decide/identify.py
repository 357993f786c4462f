"""Which version a digest is, where no record says so."""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.domain.snapshot import Lookup, Observation, Snapshot, TagLookup
from tagflow.domain.standing import Unrecorded
from tagflow.domain.versions import Version

_MOST = 64
"""How many tags of each kind are looked at: an adoption is rare, yet must not ask for ten thousand digests."""


def identify(snapshot: Snapshot, seen: Observation) -> str | None:
    """The version tag of what the environment tag stands at: from the stack, else by comparing tags; else None."""
    digest, scheme = seen.standing.digest, seen.scheme
    if digest is None:
        return None
    known = next((entry for entry in reversed(seen.standing.state.stack) if entry.digest == digest), None)
    if known is not None:
        return known.version
    repository = seen.target.repository
    for version, tag in _candidates(seen):
        if snapshot.digest(repository, tag) == digest:
            return scheme.version_tag(version)
    return None


def identify_lookups(seen: Observation) -> Iterator[Lookup]:
    """What :func:`identify` asks about, where it is asked: where the environment tag was moved by hand."""
    standing = seen.standing
    if not isinstance(standing.position, Unrecorded) or standing.digest is None:
        return
    if any(entry.digest == standing.digest for entry in standing.state.stack):
        return
    for _, tag in _candidates(seen):
        yield TagLookup(seen.target.repository, tag)


def _candidates(seen: Observation) -> list[tuple[Version, str]]:
    return sorted(seen.combined.items(), reverse=True)[:_MOST] + seen.scheme.versions(seen.tags)[:_MOST]
