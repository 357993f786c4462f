"""TARGET arguments: what a user wants moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tagflow.domain.policy import Image
from tagflow.domain.snapshot import find_image
from tagflow.domain.suggest import suggestion
from tagflow.domain.tagging import TagScheme
from tagflow.domain.version import Version
from tagflow.errors import NotFound, TagflowError, UsageError, combine


@dataclass(frozen=True)
class Wanted:
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
            raise UsageError("target.invalid", "--all takes no TARGET", hint="Name targets, or use --all.")
        return [Wanted(image, None) for image in scheme.policy.images]
    if not targets:
        raise UsageError(
            "target.missing",
            "no TARGET: nothing says what to move",
            hint="Name a VERSION, an image NAME, NAME=VERSION, or --all.",
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
        version = None if text is None else self._scheme.parse_version(text)
        self._named[name] = Wanted(find_image(self._scheme.policy, name), version)

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
    except UsageError:
        names = [image.name for image in scheme.policy.images]
        raise NotFound(
            "image.not_found",
            f"{target!r} is neither an image of this policy nor a version",
            hint=suggestion(target, names) or f"Images: {', '.join(names)}. Versions: v1.0, 1.2.3.",
        ) from None
