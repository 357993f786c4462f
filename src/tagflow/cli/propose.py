"""What `init` proposes, from what it found: pure, so that every guess is tested without a machine around it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from msgspec import Struct

from tagflow.config.nodes import Mark, Mistakes, Node, Pairs, Scalar, parse
from tagflow.domain.reference import parse_reference
from tagflow.errors import UsageError

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


_ORDER = (
    "dev", "develop", "development", "int", "integration", "test", "testing", "qa", "uat", "stage", "staging",
    "preprod", "production", "prod", "live",
)  # fmt: skip
"""Usual names of environments, in the order in which images usually pass through them."""
_VERSION = re.compile(r"(v?)\d+(?:\.\d+){1,2}(?:-([a-z0-9]+(?:-[a-z0-9]+)*))?")
_REMOTE = re.compile(r"(?:\w+://)?(?:[^@/]*@)?(?P<host>[^/:@]+)(?::\d+)?[:/]+(?P<path>.+?)(?:\.git)?/*")
_REGISTRIES = {"github.com": "ghcr.io", "gitlab.com": "registry.gitlab.com"}


class Clues(Struct, frozen=True):
    """What lies around: the services of a compose file, the address of git's remote, repositories of the daemon.

    ``trouble`` says why the compose file could not be read; ``pulled`` are its services that are not built here.
    """

    compose: str = ""
    built: tuple[Built, ...] = ()
    remote: str = ""
    local: tuple[str, ...] = ()
    trouble: str = ""
    pulled: tuple[str, ...] = ()


class Proposal(Struct, frozen=True):
    """What to write; empty: nothing is known. ``because`` says where each guess comes from, ``left_out`` what was not
    taken and why, a line each."""

    registry: str = ""
    images: tuple[str, ...] = ()
    because: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Custom:
    """What tags that are there already show: environments in order, how versions are written, and floating tags."""

    environments: tuple[str, ...] = ()
    version: str = ""
    floating: tuple[str, ...] = field(default=(), compare=False)


def propose(
    clues: Clues, registry: str = "", images: tuple[str, ...] = (), environments: Collection[str] = ()
) -> Proposal:
    """Images from compose, else git; their registry from compose, else the daemon, else git. What is given stays.

    What no policy with these ``environments`` could have is left out, and the rest is taken.
    """
    because: list[str] = []
    left_out = [f"{clues.compose}: it cannot be read: {clues.trouble}"] if clues.trouble and not images else []
    chosen, refused = _taken(clues, environments)
    prefix, built = together(chosen)
    host, repository = _remote(clues.remote)
    if not images:
        left_out += refused
        if clues.pulled:
            told = "it is pulled, not built" if len(clues.pulled) == 1 else "they are pulled, not built"
            left_out.append(f"{clues.compose}: left out {', '.join(clues.pulled)}: {told}; --image NAME takes one")
        named = {clues.compose: built, "git remote": (repository,) if repository else ()}
        where, images = next(((where, it) for where, it in named.items() if it), ("", ()))
        because += [f"{where}: {', '.join(images)}"] if images else []
    if not registry:
        places = {clues.compose: prefix, "images of this machine": _local(clues.local, images), "git remote": host}
        where, registry = next(((where, it) for where, it in places.items() if it), ("", ""))
        because += [f"{where}: registry {registry}"] if registry else []
    return Proposal(registry, images, tuple(because), tuple(left_out))


def _taken(clues: Clues, environments: Collection[str]) -> tuple[list[str], list[str]]:
    """The names of what is built that a policy can have, and why it cannot have the others."""
    names: list[str] = []
    refused: list[str] = []
    for it in clues.built:
        name = it.image or it.service
        why = _why_not(name, environments)
        if why:
            refused.append(f"{clues.compose}: left out {it.service}: {why}")
            continue
        names.append(name)
        if it.written:
            refused.append(f"{clues.compose}: the registry of {it.service} is not known: {it.written} has variables")
    counted = Counter(place[0] for name in names if (place := _place(name)) and place[0])
    if len(counted) < 2:
        return names, refused
    main = counted.most_common(1)[0][0]
    apart = [name for name in names if (place := _place(name)) and place[0] not in ("", main)]
    refused += [f"{clues.compose}: left out {name}: it is in another registry than most, {main}" for name in apart]
    return [name for name in names if name not in apart], refused


def _why_not(name: str, environments: Collection[str]) -> str:
    """Why an image cannot be called so; empty where it can."""
    if name != name.lower():
        return f"{name!r} has upper-case letters, which no repository has"
    place = _place(name)
    if place is None:
        return f"{name!r} is no name of an image"
    last = place[1][-1]
    if last in environments:
        return f"{last!r} is called as an environment is"
    if last == "latest":
        return "'latest' is a floating tag"
    return f"{last!r} reads as a version" if _VERSION.fullmatch(last) else ""


def together(names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The registry that names of images have in common (or an empty string), and what is left of each."""
    places = [place for name in names if (place := _place(name))]
    hosts = {host for host, _ in places if host}
    if len(hosts) != 1:
        return "", _unique(path[-1] for _, path in places)
    levels = zip(*(path[:-1] for host, path in places if host), strict=False)
    common = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]
    images = ("/".join(path[len(common) :] if host else path) for host, path in places)
    return "/".join([*hosts, *common]), _unique(images)


def custom(tags: Iterable[str]) -> Custom:
    """What tags show. An environment is a tag that versions are combined with too, or one of a usual name."""
    known = frozenset(tags)
    versions = [match for tag in known if (match := _VERSION.fullmatch(tag))]
    combined = {match[2] for match in versions if match[2]}
    found = {tag for tag in known if tag in combined or tag in _ORDER}
    letters = sum(1 if match[1] else -1 for match in versions)
    environments = tuple(sorted(found, key=_turn)) if len(found) > 1 else ()
    return Custom(environments, "{version}" if letters < 0 else "", ("latest",) if "latest" in known else ())


def _turn(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else _ORDER.index("stage"), name)


def _place(name: str) -> tuple[str, list[str]] | None:
    """Host and path of an image; no host for one that nobody has given a registry yet."""
    try:
        repository = parse_reference(name).repository
    except UsageError:
        return None
    return (repository.host, repository.path.split("/")) if "/" in name else ("", [name])


def _remote(address: str) -> tuple[str, str]:
    """The registry and the image that belong to the repository of a git remote; empty where that is not known."""
    match = _REMOTE.fullmatch(address)
    if match is None:
        return "", ""
    *owner, repository = match["path"].lower().split("/")
    registry = _REGISTRIES.get(match["host"].lower(), "")
    return "/".join([registry, *owner]) if registry and owner else "", repository


def _local(repositories: Iterable[str], images: Sequence[str]) -> str:
    """The one registry below which this machine has images of these names."""
    tails = tuple(f"/{image}" for image in images)
    found = [name for name in repositories if tails and name.endswith(tails)]
    registries = {together([name])[0] for name in found}
    return registries.pop() if len(registries) == 1 else ""


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
