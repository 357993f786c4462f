"""Images whose tags the registry removes by itself: what runs would be gone one day, and what a rollback needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tagflow.decide.selection import Choice
from tagflow.domain.reference import Repository
from tagflow.domain.snapshot import ImageLookup, Lookup, Snapshot
from tagflow.errors import few


def expiry_lookups(choices: Sequence[Choice]) -> Iterator[Lookup]:
    """What :func:`expiry_notes` asks about: images that enter what may be a Quay, which takes the label from an
    image whenever a tag is put at it (quay/quay#690)."""
    for choice in choices:
        if choice.digest and _may_be_quay(choice.seen.target.repository):
            yield ImageLookup(choice.source, choice.digest, "expiry")


def expiry_notes(snapshot: Snapshot, choices: Sequence[Choice]) -> list[str]:
    """What is said of images that enter an environment and will not stay; the same of several images once."""
    images: dict[str, list[Choice]] = {}
    for choice in choices:
        if label := snapshot.expiries.get((choice.source, choice.digest)):
            images.setdefault(label, []).append(choice)
    return [
        f"{few([it.image for it in found])}: labelled {label}, so that Quay removes each tag so long after it was"
        f" put, {found[0].seen.target.environment.name} and what a rollback needs among them: build releases"
        " without that label"
        for label, found in images.items()
    ]


def _may_be_quay(repository: Repository) -> bool:
    """By the name of its host: of one's own Quay nothing else tells. Of another registry the label says nothing."""
    return not repository.is_layout and "quay" in repository.host.lower()
