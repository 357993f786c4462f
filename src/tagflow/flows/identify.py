"""Which version a digest is, where no record says so."""

from __future__ import annotations

from tagflow.flows.observe import Observer, Question, Sight

_MOST = 64
"""How many tags of each kind are looked at: an adoption is rare, yet must not ask for ten thousand digests."""


def identify(observer: Observer, sight: Sight) -> str | None:
    """The version tag of what the environment tag stands at: from the stack, else by comparing tags; else None."""
    digest, scheme = sight.standing.digest, sight.scheme
    if digest is None:
        return None
    ran = next((ran for ran in reversed(sight.standing.state.stack) if ran.digest == digest), None)
    if ran is not None:
        return ran.version
    repository = sight.place.repository
    combined = sorted(sight.combined.items(), reverse=True)[:_MOST]
    candidates = combined + scheme.versions(sight.tags)[:_MOST]
    observer.look_up(Question(repository, tag) for _, tag in candidates)
    found = (version for version, tag in candidates if observer.digest(repository, tag) == digest)
    version = next(found, None)
    return None if version is None else scheme.version_tag(version)
