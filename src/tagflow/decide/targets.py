"""TARGET arguments: what a user wants moved."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tagflow.domain.next_version import looks_like_a_version
from tagflow.domain.policy import Image, find_image
from tagflow.domain.reference import Repository, is_digest, is_tag
from tagflow.domain.tagging import TagScheme
from tagflow.domain.versions import Version
from tagflow.errors import NotFound, TagflowError, UsageError, combine, suggestion

_FEW = 3
"""Images that a hint names one by one."""


class Wanted(Struct, frozen=True):
    """One image, and the version wanted of it; None where the user leaves the version to tagflow."""

    image: Image
    version: Version | None


def parse_targets(scheme: TagScheme, targets: Sequence[str], *, everything: bool = False) -> list[Wanted]:
    """Read ``VERSION``, ``NAME``, ``NAME=VERSION`` arguments, in the policy's order of images.

    :raises UsageError: ``target.missing``, ``target.invalid`` for none, empty, repeated or contradicting arguments.
    :raises NotFound: ``image.not_found``, once every argument makes sense otherwise.
    """
    if everything:
        if targets:
            raise UsageError(
                "target.invalid", "everything takes no TARGET", hint="Name targets, or ask for everything."
            )
        return [Wanted(image, None) for image in scheme.policy.images]
    if not targets:
        raise UsageError(
            "target.missing",
            "no TARGET: nothing says what to move",
            hint="Name a VERSION, an image NAME, NAME=VERSION, or ask for everything.",
        )
    reading = _Reading(scheme)
    unknown: list[TagflowError] = []
    for target in targets:
        try:
            reading.add(target)
        except NotFound as error:
            unknown.append(error)
    if unknown:
        raise combine(unknown)
    return reading.wanted()


class _Reading:
    """Targets as they are read, one after the other."""

    def __init__(self, scheme: TagScheme) -> None:
        self._scheme = scheme
        self._default: Version | None = None
        self._named: dict[str, Wanted] = {}

    def add(self, target: str) -> None:
        """Read one more."""
        name, equals, text = target.partition("=")
        images = self._scheme.policy.images
        if equals or any(image.name == target for image in images):
            self._add_image(target, name, text if equals else None)
            return
        version = _version(self._scheme, target)
        if self._default is not None:
            hint = "One VERSION for all images; NAME=VERSION for one."
            raise UsageError("target.invalid", f"{target!r} is a second VERSION", hint=hint)
        self._default = version

    def _add_image(self, target: str, name: str, text: str | None) -> None:
        if not name or text == "":
            raise UsageError("target.invalid", f"{target!r} is incomplete", hint="Write NAME=VERSION.")
        if name in self._named:
            raise UsageError("target.invalid", f"{name!r} is named twice", hint="Name each image once.")
        version = None if text is None else self._version_of(name, text)
        self._named[name] = Wanted(find_image(self._scheme.policy, name), version)

    def _version_of(self, name: str, text: str) -> Version:
        try:
            return self._scheme.parse_version(text)
        except UsageError as error:
            hint = "" if _means_a_version(self._scheme, text) else _give_a_version(self._scheme, name, text)
            raise UsageError(error.code, error.message, hint=hint or error.hint) from None

    def wanted(self) -> list[Wanted]:
        """All that was read, in the policy's order of images."""
        images, named = self._scheme.policy.images, self._named
        if self._default is not None:
            named = {image.name: Wanted(image, self._default) for image in images} | named
        return sorted(named.values(), key=lambda wanted: images.index(wanted.image))


def _version(scheme: TagScheme, target: str) -> Version:
    if not target.strip():
        raise UsageError(
            "target.missing", "a TARGET is empty", hint='An unset variable? Write "${VERSION:?}" in shell scripts.'
        )
    try:
        return scheme.parse_version(target)
    except UsageError as error:
        if _means_a_version(scheme, target):
            raise  # it says which part is wrong, and why
        names = [image.name for image in scheme.policy.images]
        raise NotFound(
            "image.not_found",
            f"{target!r} is neither an image of this policy nor a version",
            hint=_meant(scheme, target)
            or suggestion(target, names)
            or _give_a_version(scheme, "", target)
            or f"Images: {', '.join(names)}. A version is written as v1.0 or 1.2.3.",
        ) from error


def _means_a_version(scheme: TagScheme, text: str) -> bool:
    return scheme.find_version(text) is not None or looks_like_a_version(text)


def _meant(scheme: TagScheme, target: str) -> str:
    """What to write for ``frontend-v1.2``, ``frontend:sha-ae183bd`` or ``frontend@sha256:…``; empty for other words."""
    images = sorted((it.name for it in scheme.policy.images), key=len, reverse=True)
    behind = {name: target[len(name) :] for name in images if target.startswith(name)}
    joined = {name: text[1:] for name, text in behind.items() if text[:1] in ("-", "/", ":", "@", "_", ".")}
    for name, text in joined.items():
        version = scheme.find_version(text)
        if version is not None:
            return f"Write {name}={scheme.version_tag(version)}."
    return next((hint for name, text in joined.items() if (hint := _give_a_version(scheme, name, text))), "")


def _give_a_version(scheme: TagScheme, name: str, found: str) -> str:
    """How a build under some tag or digest becomes a version; empty where the word is neither."""
    if not (is_digest(found) or (is_tag(found) and any(letter.isdigit() for letter in found))):
        return ""
    images = [image for image in scheme.policy.images if name in ("", image.name)]
    first = scheme.policy.environments[0]
    sources = [f"{it.name}={source_of(scheme.policy.repository(it, first), found)}" for it in images[:_FEW]]
    what = "digest" if is_digest(found) else "tag"
    more = " …" if len(images) > _FEW else ""
    told = f"A build under that {what} gets a version by `tagflow push VERSION {' '.join(sources)}{more}`."
    return f"`tagflow status {found}` says which version it is. {told}" if what == "digest" else told


def source_of(repository: Repository, reference: str) -> str:
    """The SOURCE that names a tag or a digest in a repository."""
    sign = "@" if is_digest(reference) else ":"
    return f"{'' if repository.is_layout else 'docker://'}{repository}{sign}{reference}"
