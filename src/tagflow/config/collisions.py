"""What can only be judged over the whole policy: two things under one name, in one place, or on one tag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tagflow.config.check import Places
from tagflow.config.meaning import NOWHERE, Listed
from tagflow.config.nodes import Mistakes
from tagflow.domain.policy import Image, Line, Policy
from tagflow.domain.reference import Registry
from tagflow.domain.tagging import TagScheme, check_templates
from tagflow.errors import UsageError


def check_whole(policy: Policy, images: Sequence[Listed], places: Places, mistakes: Mistakes) -> None:
    """Note every collision. ``images`` are those of the policy, with their places; ``places`` are the document's."""
    _names(policy, images, places, mistakes)
    _repositories(policy, images, places, mistakes)
    _floating(policy, places, mistakes)
    _templates(policy, places, mistakes)


def _names(policy: Policy, images: Sequence[Listed], places: Places, mistakes: Mistakes) -> None:
    scheme = TagScheme(policy)
    environments = {environment.name for environment in policy.environments}
    for name in environments:
        if _is_version_tag(scheme, name):
            message = f"the environment {name!r} reads as a version under the template {policy.templates.version!r}"
            mistakes.add(places.key("environments", name), message, "Choose another name.")
        elif scheme.is_floating_tag(name):
            message = (
                f"the environment {name!r} reads as a floating tag under the template {policy.templates.floating!r}"
            )
            mistakes.add(places.key("environments", name), message, "Choose another name.")
    for listed in images:
        name = listed.image.name
        if name in environments:
            mistakes.add(listed.named, f"{name!r} is an image and an environment", "Rename one.")
        elif _is_version_tag(scheme, name):
            message = f"the image {name!r} reads as a version under the template {policy.templates.version!r}"
            mistakes.add(listed.named, message, "Choose another name.")


def _is_version_tag(scheme: TagScheme, name: str) -> bool:
    try:
        scheme.parse_version(name)
    except UsageError:
        return False
    return True


def _repositories(policy: Policy, images: Sequence[Listed], places: Places, mistakes: Mistakes) -> None:
    registries = _registries(policy)
    owners: dict[str, Listed] = {}
    for listed in images:
        for repository in _places_of(listed, registries, mistakes):
            owner = owners.setdefault(repository, listed)
            if owner is not listed:
                message = f"{listed.image.name!r} and {owner.image.name!r} are both in the repository {repository}"
                hint = f"{owner.image.name!r} stands in {owner.placed}; give each image a repository of its own."
                mistakes.add(listed.placed, message, hint)
                break
    if policy.history != "{repository}":
        _histories(policy, images, owners, places, mistakes)


def _places_of(listed: Listed, registries: Sequence[Registry], mistakes: Mistakes) -> Iterator[str]:
    try:
        for registry in registries:
            yield str(registry.repository(listed.image.path))
    except UsageError as error:
        mistakes.add_error(listed.placed, error)


def _histories(
    policy: Policy, images: Sequence[Listed], owners: dict[str, Listed], places: Places, mistakes: Mistakes
) -> None:
    for listed in images:
        for registry in _registries(policy):
            if not _valid(registry, listed.image):
                continue
            try:
                repository = str(registry.repository(policy.history.replace("{repository}", listed.image.path)))
            except UsageError as error:
                mistakes.add_error(places.value("history", "repository"), error)
                return
            owner = owners.setdefault(repository, listed)
            if owner is not listed:
                message = f"the history of {listed.image.name!r} would be in {repository}, as {owner.image.name!r} is"
                mistakes.add(listed.placed, message, "Choose another repository, or another `history.repository`.")
                break


def _valid(registry: Registry, image: Image) -> bool:
    try:
        registry.repository(image.path)
    except UsageError:
        return False
    return True


def _registries(policy: Policy) -> list[Registry]:
    found = dict.fromkeys(environment.registry for environment in policy.environments)
    return [registry for registry in found if registry != NOWHERE]


def _floating(policy: Policy, places: Places, mistakes: Mistakes) -> None:
    owners: dict[tuple[Registry, Line], str] = {}
    for environment in policy.environments:
        for index, line in enumerate(environment.floating):
            owner = owners.setdefault((environment.registry, line), environment.name)
            if owner != environment.name and environment.registry != NOWHERE:
                message = f"the floating tag {line} follows {owner!r} and {environment.name!r} in one registry"
                mark = places.value("environments", environment.name, "floating", index)
                mistakes.add(mark, message, "Let it follow one of them.")


def _templates(policy: Policy, places: Places, mistakes: Mistakes) -> None:
    written = [("tags", key) for key in ("combined", "floating", "version") if places.has("tags", key)]
    mark = places.value(*written[0]) if written else places.value("environments")
    for message in check_templates(policy):
        mistakes.add(mark, message, "Choose other templates or environment names, so that every tag means one thing.")
