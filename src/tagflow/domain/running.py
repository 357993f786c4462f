"""What runs somewhere, as kubectl, docker and docker compose tell it, against what an environment should run.

* ``kubectl get pods -o json``: a ``List`` of pods, or one pod; ``status.containerStatuses`` with ``imageID`` and
  ``image``, init and ephemeral containers too (Kubernetes API, core/v1 PodStatus);
* ``docker ps --format json``: one object a line; ``docker compose ps --format json``: the same, or an array.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from tagflow.domain.reference import Digest, is_digest
from tagflow.domain.versions import Version
from tagflow.errors import UsageError

_STATUSES = (
    ("containers", "containerStatuses"),
    ("initContainers", "initContainerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)
_OVER = frozenset({"Succeeded", "Failed"})
"""Phases of a pod of which no container runs any more."""
_ALIVE = frozenset({"", "running", "restarting", "paused"})
_WHITE = re.compile(r"\s*")
_TOOLS = "`kubectl get pods -o json`, `docker ps --format json` or `docker compose ps --format json`"
_BARE = re.compile(r"(?:[a-z]+://)?(?:sha256:)?([0-9a-f]{64})")
"""An image's ID without a repository: the digest of its configuration, or of its manifest."""


class Seen(Struct, frozen=True):
    """One container. ``where`` is what people call it; ``references`` are the names of its image, the surest first.

    ``digest`` is what it runs, where that is told: of an index, of one platform's manifest, or of a configuration.
    """

    where: str
    references: tuple[str, ...]
    digest: Digest | None


def read_running(content: bytes, name: str) -> list[Seen]:
    """The containers of a document; those that have ended are left out.

    ``name`` is what its user calls the file.

    :raises UsageError: ``running.unreadable``.
    """
    try:
        documents = _documents(content, name)
        return [seen for document in documents for seen in _read(document)]
    except _Strange as strange:
        raise _unreadable(name, str(strange), strange.hint) from None
    except RecursionError:
        raise _unreadable(name, "it is nested too deeply") from None


class _Strange(Exception):
    """Something is not as these tools write it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def _unreadable(name: str, why: str, hint: str = "") -> UsageError:
    return UsageError(
        "running.unreadable",
        f"{name}: {why}",
        hint=hint or f"It takes what {_TOOLS} print.",
    )


def _documents(content: bytes, name: str) -> Iterator[Any]:
    """The JSON values of a file, one after the other: docker writes one a line."""
    try:
        text = content.decode(json.detect_encoding(content)).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise _Strange("it is no text") from None
    decoder, position = json.JSONDecoder(), _skip(text, 0)
    if position == len(text):
        raise _Strange("it is empty, so nothing was looked at", "Did the command before it fail?")
    while position < len(text):
        try:
            document, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as exc:
            raise _unreadable(
                f"{name}:{exc.lineno}:{exc.colno}", f"this is not JSON: {exc.msg}", _advice(text)
            ) from None
        yield document
        position = _skip(text, position)


def _skip(text: str, position: int) -> int:
    """Where the next character that is no white space stands."""
    found = _WHITE.match(text, position)
    return found.end() if found else position


def _advice(text: str) -> str:
    first = text.lstrip().split("\n", 1)[0].strip()
    if first == "json":
        return "This docker does not know `--format json` yet: use `docker ps --format '{{json .}}'`."
    if first.startswith(("apiVersion:", "NAME", "CONTAINER ID")):
        return "Ask for JSON: `kubectl get pods -o json`, `docker ps --format json`."
    return ""


def _read(document: Any) -> Iterator[Seen]:
    if document is None:  # docker compose where nothing runs
        return
    if isinstance(document, list):
        for item in document:
            yield from _read(_mapping(item, "an entry"))
        return
    kind = _mapping(document, "the document").get("kind")
    if kind is None:
        yield from _container(document)
    elif kind in ("List", "PodList"):
        items = _list(document.get("items"), "items")
        pods = [item for item in items if _mapping(item, "an item").get("kind", "Pod") == "Pod"]
        if items and not pods:
            raise _Strange(f"it lists {_kinds(items)}, and no pod", "Ask for pods: `kubectl get pods -o json`.")
        for pod in pods:
            yield from _pod(pod)
    elif kind == "Pod":
        yield from _pod(document)
    else:
        raise _Strange(f"it is a {_text(kind)}, and no list of pods", "Ask for pods: `kubectl get pods -o json`.")


def _kinds(items: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(sorted({_text(item.get("kind")) for item in items})[:3])


def _pod(pod: Mapping[str, Any]) -> Iterator[Seen]:
    metadata, status = _mapping(pod.get("metadata"), "metadata"), _mapping(pod.get("status", {}), "status")
    if status.get("phase") in _OVER:
        return
    spec = _mapping(pod.get("spec", {}), "spec")
    where = "/".join(part for part in (_text(metadata.get("namespace")), _text(metadata.get("name"))) if part)
    for containers, statuses in _STATUSES:
        asked = {
            _text(it.get("name")): _text(it.get("image"))
            for it in (_mapping(one, "a container") for one in _list(spec.get(containers, []), containers))
        }
        for one in _list(status.get(statuses, []), statuses):
            container = _mapping(one, "a container's status")
            name, identity = _text(container.get("name")), _text(container.get("imageID"))
            image = _text(container.get("image"))
            repository, _, digest = identity.rpartition("://")[2].rpartition("@")
            references = dict.fromkeys(it for it in (repository, image, asked.get(name, "")) if it)
            yield Seen(f"pod {where}, container {name}", tuple(references), _digest(digest) or _in(references))


def _container(container: Mapping[str, Any]) -> Iterator[Seen]:
    """What docker, docker compose or podman say of one container."""
    image = container.get("Image")
    if not isinstance(image, str):
        raise _Strange(
            "a container has no `Image`", "An old docker compose leaves it out: use `docker ps --format json`."
        )
    if _text(container.get("State") or "").lower() not in _ALIVE:
        return
    names = container.get("Names") or container.get("Name") or container.get("ID") or "?"
    name = names[0] if isinstance(names, list) and names else names
    yield Seen(f"container {_text(name)}", (image,), _in([image]) or _digest(_text(container.get("ImageID") or "")))


def _in(references: Iterable[str]) -> Digest | None:
    """The digest in the first reference that has one."""
    return next((digest for it in references if (digest := _digest(it.rpartition("@")[2] if "@" in it else ""))), None)


def _digest(text: str) -> Digest | None:
    bare = _BARE.fullmatch(text)
    if bare is not None:
        return Digest(f"sha256:{bare[1]}")
    return Digest(text) if is_digest(text) else None


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Strange(f"{what} is no object")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Strange(f"`{what}` is no list")
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Strange(f"{json.dumps(value)[:40]} where a text is expected")
    return value


class Build(Struct, frozen=True):
    """One build of an image: ``version`` where it is known, and every digest by which a machine may call it.

    These are the index, the manifests of its platforms and their configurations, as far as they were looked up.
    """

    digest: Digest
    version: Version | None = None
    digests: frozenset[Digest] = frozenset()

    def is_it(self, digest: Digest | None, version: Version | None) -> bool:
        """Whether a digest, or where none is told a version, means this build."""
        if digest is not None:
            return digest == self.digest or digest in self.digests
        return version is not None and version == self.version


class Wanted(Struct, frozen=True):
    """What an environment should run of an image (None: nothing), and what ran before that or was to run."""

    image: str
    build: Build | None
    before: tuple[Build, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Containers of an image that run something else. ``actual``: a digest, or a reference where no digest is told.

    ``is_before``: it is what the environment ran before, so that a rollout may be under way.
    """

    image: str
    actual: str
    is_before: bool
    where: tuple[str, ...]


class Unclear(Struct, frozen=True):
    """Containers of an image under a tag that moves, of which nobody tells the digest."""

    image: str
    reference: str
    where: tuple[str, ...]


class Comparison(Struct, frozen=True):
    """What came of it. ``agreeing``: how many containers run what they should; ``others``: of images not known here."""

    differences: tuple[Difference, ...]
    unclear: tuple[Unclear, ...]
    agreeing: int
    others: int


def compare(
    seen: Iterable[Seen],
    wanted: Mapping[str, Wanted],
    image_of: Callable[[str], str | None],
    version_of: Callable[[str], Version | None],
) -> Comparison:
    """Compare containers with what should run; ``wanted`` has every image that ``image_of`` names.

    ``image_of`` tells the image of a repository as it is written; ``version_of`` the version of a tag that never moves,
    and None of any other.
    """
    differences: dict[tuple[str, str, bool], list[str]] = {}
    unclear: dict[tuple[str, str], list[str]] = {}
    agreeing = others = 0
    for one in seen:
        found = next(((image, it) for it in one.references if (image := image_of(name_of(it))) is not None), None)
        if found is None:
            others += 1
            continue
        image, reference = found
        version = next((known for it in one.references if (known := version_of(tag_of(it))) is not None), None)
        it = wanted[image]
        if it.build is not None and it.build.is_it(one.digest, version):
            agreeing += 1
        elif it.build is not None and one.digest is None and version is None:
            unclear.setdefault((image, reference), []).append(one.where)
        else:
            is_before = any(build.is_it(one.digest, version) for build in it.before)
            differences.setdefault((image, one.digest or reference, is_before), []).append(one.where)
    return Comparison(
        tuple(Difference(*key, tuple(where)) for key, where in differences.items()),
        tuple(Unclear(*key, tuple(where)) for key, where in unclear.items()),
        agreeing,
        others,
    )


def name_of(reference: str) -> str:
    """The repository in a reference, as it is written there."""
    rest = reference.partition("@")[0]
    slash = rest.rfind("/") + 1
    return rest[:slash] + rest[slash:].partition(":")[0]


def tag_of(reference: str) -> str:
    """The tag in a reference; empty where it has none."""
    rest = reference.partition("@")[0]
    return rest[rest.rfind("/") + 1 :].partition(":")[2]
