"""What images are called in an OCI layout.

``org.opencontainers.image.ref.name`` is a tag to skopeo and buildah, a tag or a whole reference to others;
``io.containerd.image.name`` is a whole reference (buildx, nerdctl, `docker save`).
"""

from __future__ import annotations

from collections.abc import Iterable

from tagflow.domain.reference import is_tag, parse_reference
from tagflow.errors import UsageError
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
