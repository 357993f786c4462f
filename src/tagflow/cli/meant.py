"""What the words of a command line can be, under a policy: in any letter case, nearly, joined by another sign."""

from __future__ import annotations

from collections.abc import Callable, Collection
from difflib import get_close_matches

from msgspec import Struct

from tagflow.domain.policy import Policy
from tagflow.domain.tagging import TagScheme

_JOINING = ("=", ":", "@", "-", "/", "_")
"""What people write between a name and a version."""


class Names(Struct, frozen=True):
    """What the words of a command can be, under a policy."""

    environments: tuple[str, ...]
    images: tuple[str, ...]
    is_version: Callable[[str], bool]
    is_layout: Callable[[str], bool]

    def environment(self, word: str) -> str | None:
        """The environment that a word names, in any letter case."""
        return any_case(word, self.environments)

    def image(self, word: str) -> str | None:
        """The image that a word names, in any letter case."""
        return any_case(word, self.images)

    def version(self, word: str) -> str | None:
        """The version that a word is, in any letter case."""
        return next((it for it in (word, word.lower()) if self.is_version(it)), None)

    def target(self, word: str) -> str | None:
        """A TARGET: VERSION, NAME or NAME=VERSION; NAME:VERSION is read as that."""
        if version := self.version(word):
            return version
        if image := self.image(word):
            return image
        for name in self.images:
            sign, text = word[len(name) : len(name) + 1], word[len(name) + 1 :]
            joined = word.lower().startswith(name.lower()) and sign in _JOINING
            if joined and (version := self.version(text)):
                return f"{name}={version}"
        return None

    def joins(self, word: str) -> bool:
        """Whether a word is the name of an image and something behind it: then no other image is meant."""
        return any(
            word.lower().startswith(name.lower()) and word[len(name) : len(name) + 1] in _JOINING
            for name in self.images
        )


def names_of(policy: Policy, is_layout: Callable[[str], bool]) -> Names:
    """The words of a policy; ``is_layout`` says of a path whether an OCI image layout lies there."""
    scheme = TagScheme(policy)
    return Names(
        tuple(it.name for it in policy.environments),
        tuple(it.name for it in policy.images),
        lambda word: scheme.find_version(word) is not None,
        is_layout,
    )


def misspelt(word: str, names: Names) -> str | None:
    """NAME=VERSION with a name that is nearly one."""
    for sign in ("=", ":"):
        name, found, text = word.partition(sign)
        image, version = near(name, names.images), names.version(text)
        if found and image and version:
            return f"{image}={version}"
    return None


def any_case(word: str, known: Collection[str]) -> str | None:
    """A known word that is the same but for its letter case."""
    return word if word in known else next((it for it in known if it.lower() == word.lower()), None)


def near(word: str | None, known: Collection[str]) -> str | None:
    """A known word that is meant: equal, in another letter case, or nearly the same."""
    if not word:
        return None
    return any_case(word, known) or next(iter(get_close_matches(word.lower(), list(known), n=1, cutoff=0.7)), None)
