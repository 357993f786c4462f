"""References as people write them: the spelling of the name is kept, and placeholders of templates are seen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from tagflow.domain.policy import Environment, Policy
from tagflow.domain.reference import Repository, is_digest, is_tag, parse_reference
from tagflow.errors import UsageError

_PLACEHOLDER = re.compile(
    r"\$\{(?:[^{}]|\{[^{}]*\})*\}"  # ${VAR:-default} of compose and envsubst, one within another
    r"|\$\([^()]*\)"  # $(VAR) of Kubernetes and Azure Pipelines
    r"|\$[A-Za-z_][A-Za-z0-9_]*"
    r"|\{\{.*?\}\}"  # Go templates, Jinja
    r"|<%.*?%>|%\{.*?\}|#\{.*?\}#?|\[\[.*?\]\]"
)
GAP = "\0"
"""What stands for a placeholder in a name that was read."""
_LIBRARY = "docker.io/library/"


class Written(Struct, frozen=True):
    """``NAME[:TAG][@DIGEST]`` as it stands in a file."""

    name: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return self.name + (self.tag and f":{self.tag}") + (self.digest and f"@{self.digest}")

    @property
    def is_bare(self) -> bool:
        """Whether it is a name alone."""
        return not self.tag and not self.digest

    @property
    def fault(self) -> str:
        """What is wrong with tag or digest; empty where they are what they should be, or there is none."""
        if self.tag and not is_tag(self.tag):
            return f"{self.tag!r} is not a tag"
        return f"{self.digest!r} is not a digest" if self.digest and not is_digest(self.digest) else ""


def read(text: str) -> Written:
    """Take a reference apart; placeholders stay whole, as one character that no name has."""
    text = _PLACEHOLDER.sub(GAP, text)
    rest, _, digest = text.partition("@")
    slash = rest.rfind("/") + 1
    name, colon, tag = rest[slash:].partition(":")
    if (colon and not tag) or ("@" in text and not digest):
        tag = tag or " "  # an empty tag is no tag: never whole
    return Written(rest[:slash] + name, tag, digest)


def is_wholly_open(name: str) -> bool:
    """Whether placeholders alone say which image it is."""
    return GAP in name and not any(letter.isalnum() for letter in name)


def has_gaps(text: str) -> bool:
    """Whether a template's placeholder stands in a text."""
    return _PLACEHOLDER.search(text) is not None


class Names(Struct, frozen=True):
    """Which repositories hold the images of a policy.

    ``images`` says whose each repository is, in any environment; ``homes`` where each image of one environment is, and
    how that is written.
    """

    images: Mapping[Repository, str]
    homes: Mapping[str, tuple[Repository, str]]

    def image(self, name: str) -> str | None:
        """The image whose repository a name means; None where it is none of the policy's."""
        repository = _repository(name)
        return None if repository is None else self.images.get(repository)

    def could_be(self, name: str) -> str | None:
        """The image that a name with placeholders may mean; None where it can mean none of the policy's."""
        pieces = name.split(GAP)
        for repository, image in self.images.items():
            if any(_fits(pieces, spelling) for spelling in _spellings(repository)):
                return image
        return None

    def at_home(self, image: str, name: str) -> str:
        """The name of an image in the environment: as it is written, where it means that repository already."""
        repository, spelling = self.homes[image]
        return name if _repository(name) == repository else spelling


def names(policy: Policy, environment: Environment) -> Names:
    """The repositories of a policy, as one environment needs them.

    An OCI layout has no host: its images are known to Docker by their path alone.
    """
    images: dict[Repository, str] = {}
    homes: dict[str, tuple[Repository, str]] = {}
    # The environment's own come last: where two images share a repository's name, it is the one that lives here.
    for each in sorted(policy.environments, key=lambda it: it.name == environment.name):
        for image in policy.images:
            repository = policy.repository(image, each)
            spelling = repository.path if repository.is_layout else str(repository)
            known = parse_reference(spelling).repository
            images[known] = image.name
            if each.name == environment.name:
                homes[image.name] = (known, spelling)
    return Names(images, homes)


def _repository(name: str) -> Repository | None:
    try:
        found = parse_reference(name)
    except UsageError:
        return None
    return found.repository


def _fits(pieces: Sequence[str], text: str) -> bool:
    """Whether a text is these pieces in order, with anything between them."""
    first, *middle, last = pieces
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    position, end = len(first), len(text) - len(last)
    for piece in middle:
        position = text.find(piece, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True


def _spellings(repository: Repository) -> list[str]:
    whole = str(repository)
    return [whole, *(whole.removeprefix(start) for start in (_LIBRARY, "docker.io/") if whole.startswith(start))]
