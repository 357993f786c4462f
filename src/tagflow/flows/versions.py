"""tags and next: what the tag engine computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tagflow.domain.tagging import ComputedTag
from tagflow.domain.version import Part
from tagflow.flows.context import Context


@dataclass(frozen=True)
class Next:
    """The highest version there is, and the one to come; version tags both."""

    current: str | None
    next: str


def computed_tags(context: Context, version: str, environments: Sequence[str]) -> tuple[str, list[ComputedTag]]:
    """The version tag, and every tag that the version gets in the environments (all where none is named)."""
    scheme = context.scheme
    chosen = [context.environment(name) for name in dict.fromkeys(environments)] or list(context.policy.environments)
    wanted = scheme.parse_version(version)
    return scheme.version_tag(wanted), scheme.tags(wanted, chosen)


def next_version(context: Context, part: Part) -> Next:
    """The next version after the highest of all images, in all registries of the policy."""
    from tagflow.flows.observe import Observer  # only here: `tags` asks nobody, and is to be instant

    scheme, observer = context.scheme, Observer(context)
    repositories = dict.fromkeys(
        context.policy.repository(image, environment)
        for image in context.policy.images
        for environment in context.policy.environments
    )
    observer.list_all(repositories)
    versions = [version for repository in repositories for version, _ in scheme.versions(observer.tags(repository))]
    if not versions:
        return Next(None, scheme.version_tag(scheme.version_scheme.first(part)))
    highest = max(versions)
    return Next(scheme.version_tag(highest), scheme.version_tag(highest.next(part, at_least=scheme.fewest_parts)))
