"""What images are made of and say of themselves: asked once in a run, for content never changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, TypedDict

from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import ImageLookup
from tagflow.errors import TagflowError
from tagflow.observe.refusals import named
from tagflow.stores.port import Manifest, Progress, Store
from tagflow.stores.transfer.copy import ContentCheck, expiry, labels, platforms

Key = tuple[Repository, Digest]


class Told(TypedDict):
    """What a snapshot holds of them."""

    platforms: Mapping[Key, frozenset[str]]
    labels: Mapping[Key, tuple[Mapping[str, str], ...]]
    expiries: Mapping[Key, str]
    gone: Mapping[Key, tuple[str, ...]]
    unreadable: Mapping[Key, TagflowError]


class Contents:
    """Knows the manifests of a run. Safe for use by several threads; the observers of a run share it.

    What cannot be read is an error of its image, told by whoever needs to know.
    """

    def __init__(self, threads: int, questions: Progress) -> None:
        self._check = ContentCheck(threads, questions)
        self._manifests: dict[Key, Manifest] = {}
        self._platforms: dict[Key, frozenset[str]] = {}
        self._labels: dict[Key, tuple[Mapping[str, str], ...]] = {}
        self._expiries: dict[Key, str] = {}
        self._gone: dict[Key, tuple[str, ...]] = {}
        self._unreadable: dict[Key, TagflowError] = {}
        self._looked_into: set[ImageLookup] = set()

    def learn(self, repository: Repository, manifest: Manifest) -> None:
        """Take a manifest as read."""
        self._manifests[repository, manifest.digest] = manifest

    def manifest(self, store: Store, digest: Digest) -> Manifest:
        """A manifest.

        :raises NotFound: ``manifest.not_found``.
        """
        key = (store.repository, digest)
        if key not in self._manifests:
            self._manifests[key] = store.get(digest)
        return self._manifests[key]

    def is_known(self, lookup: ImageLookup) -> bool:
        """Whether an image was looked into for that already."""
        return lookup in self._looked_into

    def note(self, lookups: Iterable[ImageLookup]) -> None:
        """Take images as looked into."""
        self._looked_into.update(lookups)

    def examine(self, store: Store, digest: Digest, what: Literal["platforms", "labels", "expiry"]) -> None:
        """Look into an image for its platforms, or what it says of itself."""
        key = (store.repository, digest)
        try:
            manifest = self.manifest(store, digest)
            if what == "platforms":
                self._platforms[key] = platforms(store, manifest)
            elif what == "expiry":
                self._expiries[key] = expiry(store, manifest)
            else:
                self._labels[key] = tuple(given for _, given in labels(store, manifest))
        except TagflowError as error:
            if what != "expiry":  # it is worth a note, no refusal: whether the image is whole is asked for besides
                self._unreadable[key] = error

    def look_whether_whole(self, images: Iterable[tuple[Store, Digest]], stood: Collection[Key]) -> None:
        """Look for everything that some images are made of; what they have in common is asked for once. ``stood``: what
        tags were seen to stand at just now, so that the medium has these manifests."""
        for image, parts in self._check.look(images, stood).items():
            if isinstance(parts, TagflowError):
                self._unreadable[image] = parts
            else:
                self._gone[image] = tuple(map(str, parts))

    def told(self) -> Told:
        """All that is known by now, to stay as it is."""
        return {
            "platforms": dict(self._platforms),
            "labels": dict(self._labels),
            "expiries": dict(self._expiries),
            "gone": dict(self._gone),
            "unreadable": dict(
                zip(self._unreadable, named((it[0], why) for it, why in self._unreadable.items()), strict=True)
            ),
        }
