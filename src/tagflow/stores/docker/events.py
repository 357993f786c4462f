"""What the Docker Engine says while it pushes, pulls and loads, and what to tell where it refuses.

A failed push is HTTP 200 with ``errorDetail`` in the stream (Docker Engine API, ``ImagePush``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from tagflow.domain.reference import Digest, is_digest
from tagflow.errors import NotFound, StoreError, TagflowError
from tagflow.stores.docker.names import PLATFORM_VARIABLE
from tagflow.stores.port import Progress

_NO_PLATFORM = ("no matching manifest for", "no match for platform in", "does not match the specified platform")
Failure = Callable[[str], TagflowError]
"""What to raise where the daemon refuses; takes its reason."""

_LOGIN = "Log in with `docker login` as someone who may do this."
_GONE = (
    "tag does not exist",
    "does not exist locally with the tag",
    "No such image",
    "could not find image from tag",
    "failed to get digest",
    "failed to get top layer from image",
    "layer does not exist",
)
"""What the daemon says where an image, or the name that it was just given, is not there, or is being removed (moby,
``distribution/push.go``, ``image/fs.go``, ``layer/layer.go``, ``daemon/containerd/image_push.go``)."""
GONE_HINT = "Something else removes images, or their names, in this daemon at the same time. Run it again."
_HINTS = (
    ("HTTP response to HTTPS client", "List the registry in `insecure-registries` of dockerd's daemon.json."),
    ("x509", "Put the registry's authority into /etc/docker/certs.d/HOST:PORT/ca.crt where dockerd runs."),
    ("no basic auth credentials", _LOGIN),
    ("unauthorized", _LOGIN),
    ("denied", _LOGIN),
    ("dial tcp", "The daemon itself must reach the registry; look at its network and proxy settings."),
    ("no space left", "Free some disk where dockerd runs, for example with `docker image prune`."),
    (
        "Cannot overwrite digest",
        "The daemon has another platform of it, and keeps one under a digest: `docker rmi NAME@DIGEST` lets go of it.",
    ),
    *((phrase, GONE_HINT) for phrase in _GONE),
)
"""What to do where the daemon's reason contains a phrase; the first that fits counts."""


class Vanished(StoreError):
    """An image, or the name that it was just given, is gone: another run has removed it meanwhile."""


def failing(code: str, what: str, *, absent: str = "") -> Failure:
    """What to raise where the daemon cannot do ``what``: a :class:`StoreError` with ``code``, or, where ``absent`` says
    which manifest may be missing and it is, :class:`NotFound` ``manifest.not_found``; ``platform.not_found`` where an
    image has none for the machine. Where an image is gone from the daemon, :class:`Vanished`."""

    def failure(reason: str) -> TagflowError:
        if absent and "manifest unknown" in reason:
            return NotFound("manifest.not_found", absent)
        if any(phrase in reason for phrase in _NO_PLATFORM):
            hint = f"Set {PLATFORM_VARIABLE} to a platform that the image has, as OS/ARCHITECTURE."
            return NotFound("platform.not_found", f"the Docker Engine could not {what}: {reason}", hint=hint)
        hint = next((hint for phrase, hint in _HINTS if phrase in reason), "")
        kind = Vanished if any(phrase in reason for phrase in _GONE) else StoreError
        return kind(code, f"the Docker Engine could not {what}: {reason}", hint=hint)

    return failure


Event = Mapping[str, Any]
MESSAGE_LIMIT = 600
"""Characters of a foreign message that are passed on."""

_STATUS_DIGEST = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b", re.IGNORECASE)
_LOADED = re.compile(r"^Loaded image(?: ID)?: (\S+)\s*$", re.MULTILINE)
_NEW = "Status: Downloaded newer image"
_TRAVELLING = frozenset({"Pushing", "Downloading"})


class Outcome(Struct, frozen=True):
    """What a whole stream came to: ``error`` is empty where it went well; ``part_of`` is the index of which one
    manifest was pushed instead; ``loaded`` are names or IDs of images; ``is_new``: what was pulled was not there
    before."""

    error: str = ""
    digest: Digest | None = None
    part_of: Digest | None = None
    loaded: tuple[str, ...] = ()
    is_new: bool = False


def follow(events: Iterable[Event], progress: Progress) -> Outcome:
    """Read a stream to its end, whatever it says; the first error and the last digest count."""
    layers = LayerProgress(progress)
    error, digest, part_of, loaded, is_new = "", None, None, list[str](), False
    for event in events:
        layers.hear(event)
        error = error or _error_of(event)
        digest = _digest_of(event) or digest
        part_of = _index_of(event) or part_of
        loaded += _LOADED.findall(_text(event.get("stream")))
        is_new = is_new or _text(event.get("status")).startswith(_NEW)
    if not error:
        layers.finish()
    return Outcome(error, digest, part_of, tuple(loaded), is_new)


def plain(message: str) -> str:
    """A foreign message on one line, without control characters, not endless."""
    printable = "".join(character if character.isprintable() else " " for character in message)
    return " ".join(printable.split())[:MESSAGE_LIMIT]


def _error_of(event: Event) -> str:
    detail = event.get("errorDetail")
    message = detail.get("message") if isinstance(detail, Mapping) else None
    if message or event.get("error"):
        return plain(_text(message) or _text(event.get("error"))) or "it did not say why"
    return ""


def _digest_of(event: Event) -> Digest | None:
    """In the ``aux`` event; some daemons tell it in the status line alone."""
    aux = event.get("aux")
    named = _text(aux.get("Digest")) if isinstance(aux, Mapping) else ""
    if is_digest(named):
        return Digest(named)
    found = _STATUS_DIGEST.search(_text(event.get("status")))
    return Digest(found[1]) if found else None


def _index_of(event: Event) -> Digest | None:
    """The index of which one platform is there, and is pushed (moby, ``auxprogress.ManifestPushedInsteadOfIndex``)."""
    aux = event.get("aux")
    if not isinstance(aux, Mapping) or aux.get("manifestPushedInsteadOfIndex") is not True:
        return None
    index = aux.get("originalIndex")
    named = _text(index.get("digest")) if isinstance(index, Mapping) else ""
    return Digest(named) if is_digest(named) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class _Layer(Struct):
    expected: int = 0
    travelled: int = 0


class LayerProgress:
    """Turns the daemon's word on each layer into bytes on their way.

    The daemon starts over, says more than the total, and learns totals late; what is told here never goes back, and
    never is more than was announced.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._layers: dict[str, _Layer] = {}

    def hear(self, event: Event) -> None:
        """One event; those that are not about bytes between daemon and registry are passed over."""
        name, detail = event.get("id"), event.get("progressDetail")
        if (
            _text(event.get("status")) not in _TRAVELLING
            or not isinstance(name, str)
            or not isinstance(detail, Mapping)
        ):
            return
        layer = self._layers.setdefault(name, _Layer())
        self._expect(layer, _size(detail.get("total")))
        self._advance(layer, min(_size(detail.get("current")), layer.expected))

    def finish(self) -> None:
        """All went well: what was announced has arrived."""
        for layer in self._layers.values():
            self._advance(layer, layer.expected)

    def _expect(self, layer: _Layer, total: int) -> None:
        if total > layer.expected:
            self._progress.expect(total - layer.expected)
            layer.expected = total

    def _advance(self, layer: _Layer, current: int) -> None:
        if current > layer.travelled:
            self._progress.advance(current - layer.travelled)
            layer.travelled = current


def _size(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
