"""TARGET arguments: what a user wants moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tagflow.domain.policy import Image
from tagflow.domain.version import Version
from tagflow.errors import NotFound, UsageError
from tagflow.flows.context import Context
from tagflow.flows.suggest import suggestion


@dataclass(frozen=True)
class Wish:
    """One image, and the version wanted of it; None where the user leaves the version to tagflow."""

    image: Image
    version: Version | None


def parse_targets(context: Context, targets: Sequence[str], *, everything: bool = False) -> list[Wish]:
    """Read ``VERSION``, ``NAME``, ``NAME=VERSION`` arguments, in the policy's order of images.

    :raises UsageError: ``target.missing``, ``target.invalid`` for none, empty, repeated or contradicting arguments.
    :raises NotFound: ``image.not_found``.
    """
    if everything:
        if targets:
            raise UsageError("target.invalid", "--all takes no TARGET", hint="Name targets, or use --all.")
        return [Wish(image, None) for image in context.policy.images]
    if not targets:
        raise UsageError(
            "target.missing",
            "no TARGET: nothing says what to move",
            hint="Name a VERSION, an image NAME, NAME=VERSION, or --all.",
        )
    default: Version | None = None
    named: dict[str, Wish] = {}
    for target in targets:
        name, equals, text = target.partition("=")
        if equals or any(image.name == target for image in context.policy.images):
            if not name or (equals and not text):
                raise UsageError("target.invalid", f"{target!r} is incomplete", hint="Write NAME=VERSION.")
            if name in named:
                raise UsageError("target.invalid", f"{name!r} is named twice", hint="Name each image once.")
            named[name] = Wish(context.image(name), context.scheme.parse_version(text) if equals else None)
        elif default is not None:
            raise UsageError(
                "target.invalid",
                f"{target!r} is a second VERSION",
                hint="One VERSION for all images; NAME=VERSION for one.",
            )
        else:
            default = _version(context, target)
    if default is not None:
        named = {image.name: Wish(image, default) for image in context.policy.images} | named
    return sorted(named.values(), key=lambda wish: context.policy.images.index(wish.image))


def _version(context: Context, target: str) -> Version:
    if not target.strip():
        raise UsageError(
            "target.missing", "a TARGET is empty", hint='An unset variable? Write "${VERSION:?}" in shell scripts.'
        )
    try:
        return context.scheme.parse_version(target)
    except UsageError:
        names = [image.name for image in context.policy.images]
        raise NotFound(
            "image.not_found",
            f"{target!r} is neither an image of this policy nor a version",
            hint=suggestion(target, names) or f"Images: {', '.join(names)}. Versions: v1.0, 1.2.3.",
        ) from None
