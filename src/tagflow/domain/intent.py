"""What a release wants of each of its images, written compactly: the common wish once, and the exceptions.

A release of five thousand images that share a version must not write five thousand lines into each of five thousand
records. Where a release moves most images of the policy, its intent names the wish that they share and the images
that it does not move; a hash of the policy's image names tells whether they are still the same when it is read.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Intent:
    """Image → the version tag wanted of it, or the digest where it has none; empty: back to nothing.

    ``common`` is what every image of the policy is wanted at that is neither in ``single`` nor in ``left_out``; None
    where only those in ``single`` are members. ``names`` is the :func:`names_hash` of the policy's images then.
    """

    single: tuple[tuple[str, str], ...] = ()
    common: str | None = None
    left_out: tuple[str, ...] = ()
    names: str = ""

    def of(self, images: Iterable[str]) -> dict[str, str]:
        """What the release wants of each member, given the names of the policy's images.

        Where the policy's images have changed since, only those that are named singly are known for certain; the
        others of today's policy are taken for members too, for leaving one out would leave it half promoted.
        """
        wanted: dict[str, str] = {}
        if self.common is not None:
            apart = set(self.left_out)
            wanted = {name: self.common for name in images if name not in apart}
        return wanted | dict(self.single)

    def has(self, image: str) -> bool:
        """Whether an image of the policy is a member."""
        if self.common is not None and image not in self.left_out:
            return True
        return any(name == image for name, _ in self.single)

    def __bool__(self) -> bool:
        return self.common is not None or bool(self.single)

    def __str__(self) -> str:
        tokens = [f"*={self.common}", f"#{self.names}"] if self.common is not None else []
        tokens += [f"-{name}" for name in self.left_out]
        return " ".join([*tokens, *(f"{name}={wanted}" for name, wanted in self.single)])


def compact(wanted: Mapping[str, str], images: Collection[str]) -> Intent:
    """The shorter of two ways to write what a release wants of its members, given the policy's images."""
    single = Intent(tuple(sorted(wanted.items())))
    if len(wanted) < 2 or not set(wanted) <= set(images):
        return single
    common = max(Counter(wanted.values()).items(), key=lambda pair: (pair[1], pair[0]))[0]
    apart = tuple(sorted(set(images) - set(wanted)))
    exceptions = tuple(sorted((name, wish) for name, wish in wanted.items() if wish != common))
    shared = Intent(exceptions, common, apart, names_hash(images))
    return min(single, shared, key=lambda intent: len(str(intent)))


@lru_cache(maxsize=256)
def parse_intent(text: str) -> Intent:
    """Read what ``str`` of an intent writes."""
    single: list[tuple[str, str]] = []
    left_out: list[str] = []
    common: str | None = None
    names = ""
    for token in text.split(" ") if text else ():
        if token.startswith("*="):
            common = token[2:]
        elif token.startswith("#"):
            names = token[1:]
        elif token.startswith("-"):
            left_out.append(token[1:])
        else:
            image, _, wish = token.partition("=")
            single.append((image, wish))
    return Intent(tuple(single), common, tuple(left_out), names)


def names_hash(images: Iterable[str]) -> str:
    """A short hash of a set of image names."""
    return hashlib.sha256("\n".join(sorted(images)).encode()).hexdigest()[:12]
