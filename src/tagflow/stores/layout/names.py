"""What images are called in an OCI layout, and which of several a name or a digest chooses.

``org.opencontainers.image.ref.name`` is a tag to skopeo and buildah, a tag or a whole reference to others;
``io.containerd.image.name`` is a whole reference (buildx, nerdctl, `docker save`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from tagflow.domain.reference import Digest, is_digest, is_tag, parse_reference
from tagflow.errors import NotFound, UsageError
from tagflow.stores.port import Descriptor

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"


def names_of(entry: Descriptor) -> tuple[str, ...]:
    """The names that one entry of an ``index.json`` gives."""
    return tuple(filter(None, (entry.annotations.get(key, "") for key in (CONTAINERD_NAME, REF_NAME))))


def is_named(names: Iterable[str], wanted: str) -> bool:
    """Whether one of the names is the wanted one, as Docker writes names out, or has it as its tag."""
    whole = _whole(wanted)
    return any(wanted in (name, tag_of(name)) or _whole(name) == whole for name in names)


def tag_of(name: str) -> str:
    """The tag in ``REPO:TAG``, or what is only a tag; else empty.

    >>> tag_of("docker.io/library/app:v1.0"), tag_of("v1.0"), tag_of("localhost:5000/app")
    ('v1.0', 'v1.0', '')
    """
    last = name.rpartition("/")[2]
    tag = last.partition(":")[2] if ":" in last or "/" in name else name
    return tag if is_tag(tag) else ""


def _whole(name: str) -> str:
    try:
        return str(parse_reference(name))
    except UsageError:
        return name


T = TypeVar("T")
_ATTACHMENT = re.compile(r"sha256-[0-9a-f]{64}(\..+)?")
"""Tags of what hangs on images: referrers (distribution-spec 1.1, "Referrers Tag Schema"), cosign's signatures."""


class Choice(Struct, Generic[T], frozen=True):
    """One image: its names, and what tells it from the others: its digest, where that is known."""

    names: tuple[str, ...]
    key: str
    image: T


def choose(choices: Sequence[Choice[T]], name: str, source: str) -> T:
    """The image of that name; without one, the only image. ``source`` is what was opened, as a SOURCE names it.

    :raises NotFound: ``source.not_found``.
    :raises UsageError: ``source.ambiguous``.
    """
    if name:
        matching = [choice for choice in choices if is_named(choice.names, name)]
    else:
        tagged = [choice for choice in choices if any(not _ATTACHMENT.fullmatch(known) for known in choice.names)]
        matching = tagged or list(choices)
    if not matching:
        message = f"{source} holds no image {name}" if choices and name else f"{source} holds no image"
        raise NotFound("source.not_found", message, hint=f"It holds: {_offer(choices)}." if choices else "")
    if len({choice.key for choice in matching}) > 1:
        called = f" called {name}" if name else ""
        raise UsageError(
            "source.ambiguous",
            f"{source} holds {len(matching)} images{called}",
            hint=f"Name one: {source}:NAME or {source}@DIGEST. It holds: {_offer(matching)}.",
        )
    return matching[0].image


def absent(source: str, digest: Digest, choices: Sequence[Choice[T]]) -> NotFound:
    """The error for a digest that is not there."""
    return NotFound("source.not_found", f"{source} holds no image {digest}", hint=f"It holds: {_offer(choices)}.")


def _offer(choices: Sequence[Choice[T]]) -> str:
    """What to name: the names that only one image has, and the digests of images without such a name."""
    keys: dict[str, set[str]] = {}
    for choice in choices:
        for name in choice.names:
            keys.setdefault(name, set()).add(choice.key)
    clear = {name for name, owners in keys.items() if len(owners) == 1}
    digests = {choice.key for choice in choices if clear.isdisjoint(choice.names) and is_digest(choice.key)}
    return ", ".join((*sorted(clear), *sorted(digests))) or ", ".join(sorted(keys)) or "images without names"
