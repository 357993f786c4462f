"""compose.yaml as far as it says which images are built here (Compose Specification: services, build, image)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tagflow.config.mistakes import Mark, Mistakes
from tagflow.config.nodes import Node, Pairs, Scalar, parse

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""In the order in which Compose looks for them."""
_DEFAULTED = re.compile(r"\$\{\w+:?-([^{}]*)\}")
_VARIABLE = re.compile(r"\$\{[^{}]*\}|\$\w+")


@dataclass(frozen=True)
class Built:
    """A service that is built here, and the name of its image without a tag; empty where the file does not say."""

    service: str
    image: str


def read_compose(text: str) -> list[Built]:
    """The services with a ``build``; none where the text is no compose file. Other tools say what is wrong with it."""
    root = parse(text, Mark(0, NAMES[0], 1, 1), Mistakes())
    services = _get(root, "services")
    if not isinstance(services, Pairs):
        return []
    return [Built(name.text, _image(it)) for name, it in services.pairs if _get(it, "build") is not None]


def _image(service: Node) -> str:
    """The image's name; variables count with the default that stands beside them."""
    written = _get(service, "image")
    if not isinstance(written, Scalar):
        return ""
    name = _DEFAULTED.sub(r"\1", written.text).partition("@")[0]
    head, slash, last = name.rpartition("/")
    repository = head + slash + last.partition(":")[0]
    return "" if _VARIABLE.search(repository) else repository


def _get(node: Node | None, key: str) -> Node | None:
    return next((it for name, it in node.pairs if name.text == key), None) if isinstance(node, Pairs) else None
