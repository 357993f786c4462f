"""compose.yaml as far as it says which images are built here (Compose Specification: services, build, image)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tagflow.config.mistakes import Mark, Mistakes
from tagflow.config.nodes import Node, Pairs, Scalar, parse

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""In the order in which Compose looks for them."""
_DEFAULTED = re.compile(r"\$\{\w+:?-([^{}]*)\}")
_VARIABLE = re.compile(r"\$\{[^{}]*\}|\$\w+")


@dataclass(frozen=True)
class Built:
    """A service that is built here, and the name of its image without a tag; empty where the file does not say.

    ``written`` is what the file says of the image where variables hide its name.
    """

    service: str
    image: str
    written: str = field(default="", compare=False)


def read_compose(text: str) -> list[Built]:
    """The services with a ``build``; none where the text is no compose file. Other tools say what is wrong with it."""
    root = parse(text, Mark(0, NAMES[0], 1, 1), Mistakes())
    services = _get(root, "services")
    if not isinstance(services, Pairs):
        return []
    return [_built(name.text, it) for name, it in services.pairs if _get(it, "build") is not None]


def read_pulled(text: str) -> list[str]:
    """The services with an ``image`` that is not built here."""
    services = _get(parse(text, Mark(0, NAMES[0], 1, 1), Mistakes()), "services")
    pairs = services.pairs if isinstance(services, Pairs) else ()
    return [name.text for name, it in pairs if _get(it, "build") is None and _get(it, "image") is not None]


def compose_trouble(text: str) -> str:
    """Why a text is no compose file, in one line; empty where it is one."""
    mistakes = Mistakes()
    root = parse(text, Mark(0, NAMES[0], 1, 1), mistakes)
    if mistakes:
        return mistakes.error().message.splitlines()[0]
    return "" if isinstance(_get(root, "services"), Pairs) else "it has no services"


def _built(service: str, it: Node) -> Built:
    """Variables count with the default that stands beside them."""
    written = _get(it, "image")
    if not isinstance(written, Scalar):
        return Built(service, "")
    name = _DEFAULTED.sub(r"\1", written.text).partition("@")[0]
    head, slash, last = name.rpartition("/")
    repository = head + slash + last.partition(":")[0]
    return Built(service, "", written.text) if _VARIABLE.search(repository) else Built(service, repository)


def _get(node: Node | None, key: str) -> Node | None:
    return next((it for name, it in node.pairs if name.text == key), None) if isinstance(node, Pairs) else None
