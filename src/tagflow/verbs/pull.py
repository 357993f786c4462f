"""pull: what an environment runs, or a version, through the Docker Engine to this machine, by digest."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from msgspec import Struct

from tagflow.context import Context
from tagflow.decide.selection import Route, version_lookups
from tagflow.domain.policy import Environment, Image
from tagflow.domain.reference import Digest, Repository
from tagflow.domain.snapshot import target_of
from tagflow.errors import NotFound, TagflowError, UsageError, combine, few
from tagflow.observe.observer import Observer
from tagflow.stores.docker.names import PLATFORM_VARIABLE, docker_name
from tagflow.stores.port import Engine
from tagflow.verbs.runs import running
from tagflow.workers import attempt, each

_PLATFORM = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){0,2}")


@dataclass(frozen=True)
class Pulled:
    """One image on this machine: the reference that names it there, its digest in the registry, and its ID."""

    image: str
    reference: str
    digest: Digest
    id: Digest


class _Wanted(Struct, frozen=True):
    image: Image
    repository: Repository
    tag: str
    digest: Digest


def pull(context: Context, what: str, names: Sequence[str]) -> list[Pulled]:
    """Pull by digest, then tag locally.

    :raises NotFound: ``environment.not_found``, ``environment.empty``, ``version.not_found``, ``image.not_found``,
        ``platform.not_found``.
    :raises Conflict: ``environment.unrecorded``, ``history.broken`` of an environment, as for :func:`running`.
    :raises UsageError: ``usage.invalid``: a platform that the environment names and that is none.
    """
    images = [context.image(name) for name in dict.fromkeys(names)] or list(context.policy.images)
    if context.scheme.find_version(what):
        found = _each(context, what, partial(_as_version, context, what), images)
    else:
        found = _in_environment(context, what, images)
    engine, platform = context.engine(), _platform(context)

    def fetch(wanted: _Wanted) -> Pulled:
        store = context.stores(wanted.repository)
        if wanted.repository.is_layout:
            image_id = engine.load_from(store, store.get(wanted.digest), context.progress, platform)
        else:
            image_id = engine.pull(wanted.repository, wanted.digest, context.progress, platform)
        engine.tag(image_id, wanted.repository, wanted.tag)
        return Pulled(wanted.image.name, f"{docker_name(wanted.repository)}:{wanted.tag}", wanted.digest, image_id)

    pulled = each(fetch, found, threads=4)
    _tell_strange(context, engine, pulled, platform)
    return pulled


def _tell_strange(context: Context, engine: Engine, pulled: Sequence[Pulled], platform: str) -> None:
    """Say which images are for another platform: one without a choice of them is pulled as it is, as Docker does."""
    strange: dict[str, list[str]] = {}
    for it in pulled:
        if other := engine.strange_platform(it.id, platform):
            strange.setdefault(other, []).append(it.image)
    wanted = f"{PLATFORM_VARIABLE} asks for {platform}" if platform else "the machine of the Docker Engine is not"
    for other, names in strange.items():
        context.warn(f"note: {few(names)}: for {other} alone, and {wanted}: it starts only where that is emulated")


def _platform(context: Context) -> str:
    """The platform that is wanted, as `docker pull` takes it from the environment; empty for the daemon's own."""
    named = context.environ.get(PLATFORM_VARIABLE, "").strip()
    if named and not _PLATFORM.fullmatch(named):
        raise UsageError(
            "usage.invalid",
            f"{PLATFORM_VARIABLE} is {named!r}, which is no platform",
            hint="A platform is OS/ARCHITECTURE[/VARIANT], for example linux/arm64.",
        )
    return f"linux/{named}" if named and "/" not in named and named.lower() != "linux" else named


def _in_environment(context: Context, name: str, images: Sequence[Image]) -> list[_Wanted]:
    environment = context.environment(name)
    if environment.signed_by:
        runs = running(context, name, [image.name for image in images])
        return [_Wanted(it, context.policy.repository(it, environment), name, runs[it.name].digest) for it in images]
    return _each(context, name, partial(_at_tag, context, environment), images)


def _each(context: Context, what: str, look: Callable[[Image], _Wanted], images: Sequence[Image]) -> list[_Wanted]:
    """What is wanted of each image; where some have nothing, the hint is to pull the others."""
    answers = attempt(look, images, threads=context.threads)
    errors = [it for it in answers if isinstance(it, TagflowError)]
    found = [it for it in answers if isinstance(it, _Wanted)]
    if found and all(isinstance(it, NotFound) for it in errors):
        for error in errors:
            error.hint = f"Pull the others alone: `tagflow pull {what} {' '.join(it.image.name for it in found)}`."
    if errors:
        raise combine(errors)
    return found


def _at_tag(context: Context, environment: Environment, image: Image) -> _Wanted:
    """The environment tag is the authority on what runs, where nobody has to sign for that."""
    repository = context.policy.repository(image, environment)
    digest = context.stores(repository).resolve(environment.name)
    if digest is None:
        raise NotFound(
            "environment.empty",
            f"{image.name}: nothing runs in {environment.name}",
            hint=f"Look at `tagflow status {environment.name}`.",
        )
    return _Wanted(image, repository, environment.name, digest)


def _as_version(context: Context, text: str, image: Image) -> _Wanted:
    scheme = context.scheme
    version = scheme.parse_version(text)
    for environment in context.policy.environments:
        target = target_of(context.policy, image, environment)
        snapshot = Observer(context).observe(
            [target], partial(version_lookups, version=version, target=target, sources=())
        )
        tag = scheme.version_tag(Route(snapshot, snapshot.observations[target]).spell(version))
        digest = snapshot.digest(target.repository, tag) if tag in snapshot.tags[target.repository] else None
        if digest is not None:
            return _Wanted(image, target.repository, tag, digest)
    raise NotFound(
        "version.not_found",
        f"{image.name} has no {scheme.version_tag(version)}",
        hint=f"Look at `tagflow status {image.name}`.",
    )
