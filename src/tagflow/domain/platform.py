"""Platforms as images and policies name them (image-spec 1.1, "Image Index Property Descriptions")."""

from __future__ import annotations

_DEFAULT_VARIANTS = {"arm64": "v8", "amd64": "v1"}


def normal_platform(platform: str) -> str:
    """``os/architecture[/variant]`` without the variant that goes without saying: ``linux/arm64/v8`` is linux/arm64.

    >>> normal_platform("linux/arm/v7"), normal_platform("Linux/arm64/v8")
    ('linux/arm/v7', 'linux/arm64')
    """
    system, _, rest = platform.lower().partition("/")
    architecture, _, variant = rest.partition("/")
    if variant == _DEFAULT_VARIANTS.get(architecture):
        variant = ""
    return "/".join(part for part in (system, architecture, variant) if part)
