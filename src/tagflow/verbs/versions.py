"""tags and next: what the tag engine computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tagflow.context import Context
from tagflow.domain.tagging import ComputedTag
from tagflow.domain.versions import Part

if TYPE_CHECKING:
    from tagflow.domain.next_version import Following

_TOLD = 5
"""Tags that a note names; of more, it says how many."""


@dataclass(frozen=True)
class Next:
    """The highest version there is, and the one to come; version tags both. ``notes`` say what decided."""

    current: str | None
    next: str
    notes: tuple[str, ...] = ()


def computed_tags(context: Context, version: str, environments: Sequence[str]) -> tuple[str, list[ComputedTag]]:
    """The version tag, and every tag that the version gets in the environments (all where none is named)."""
    scheme = context.scheme
    chosen = [context.environment(name) for name in dict.fromkeys(environments)] or list(context.policy.environments)
    wanted = scheme.parse_version(version)
    return scheme.version_tag(wanted), scheme.tags(wanted, chosen)


def next_version(context: Context, part: Part | None = None, images: Sequence[str] = ()) -> Next:
    """The next version after the highest of some images (all where none is named), in all registries of the policy.

    :raises NotFound: ``image.not_found``.
    :raises UsageError: ``version.order``.
    """
    # Only here: `tags` asks nobody, and is to be instant.
    from tagflow.domain.next_version import TagList, following
    from tagflow.observe.observer import Observer

    scheme, observer = context.scheme, Observer(context)
    chosen = [context.image(name) for name in dict.fromkeys(images)] or context.policy.images
    places = {
        context.policy.repository(image, environment): image
        for image in chosen
        for environment in context.policy.environments
    }
    observer.list_all(places)
    lists = [TagList(image.name, str(place), observer.tags(place)) for place, image in places.items()]
    found = following(scheme, lists, part)
    current = None if found.after is None else scheme.version_tag(found.after.version)
    return Next(current, scheme.version_tag(found.version), tuple(_notes(found)))


def _notes(found: Following) -> list[str]:
    if found.after is None:
        decided = "no image has a version yet"
    else:
        decided = f"after {found.after.tag} of {found.after.image} ({found.after.repository})"
    notes = [decided]
    for alike, why in ((True, "it is more than one major version ahead"), (False, "it is of another shape")):
        if tags := [it.tag for it in found.not_counted if found.is_alike(it) == alike]:
            notes.append(f"higher, but not counted: {_named(tags)}: no environment admitted it, and {why}")
    if found.not_read:
        notes.append(f"no version under this policy: {_named(found.not_read)}")
    return notes


def _named(tags: Sequence[str]) -> str:
    told = list(dict.fromkeys(tags))
    more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return ", ".join(told[:_TOLD]) + more
