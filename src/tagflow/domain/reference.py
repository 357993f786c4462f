"""Names of images, of what holds them and of platforms, parsed once, at the edge.

Grammar: OCI distribution-spec 1.1 (``<name>``, ``<reference>``), image-spec 1.1 (``digest``), and Docker's
normalisation (``nginx`` is ``docker.io/library/nginx``).
"""

from __future__ import annotations

import hashlib
import re
from typing import NewType

from msgspec import Struct

from tagflow.errors import UsageError

Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hex digits, or another registered algorithm, as written in a descriptor."""

LAYOUT = "oci:"
"""What a host starts with that is a directory of OCI image layouts instead of a registry."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_PATH_LIMIT = 255
_PATH_RULE = "Use lower-case letters, digits, and '.', '_', '-' between them, parts joined by '/'."


def is_tag(text: str) -> bool:
    """Whether ``text`` may be a tag (distribution-spec 1.1, "Pulling manifests")."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether ``text`` is a digest of an algorithm that tagflow can verify."""
    return _DIGEST.fullmatch(text) is not None


def digest_of(content: bytes) -> Digest:
    """The SHA-256 digest of some bytes, as a registry would name them."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def short(digest: Digest | None) -> str:
    """A digest as people read it: ``sha256:95902a…`` with twelve digits; ``-`` for none."""
    if digest is None:
        return "-"
    algorithm, _, digits = digest.partition(":")
    return f"{algorithm}:{digits[:12]}"


class Repository(Struct, frozen=True, order=True):
    """One repository: ``host`` is a registry's ``HOST[:PORT]`` or ``oci:/absolute/dir``; ``path`` its name there."""

    host: str
    path: str

    @property
    def is_layout(self) -> bool:
        """Whether this is an OCI image layout on disk."""
        return self.host.startswith(LAYOUT)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


class Registry(Struct, frozen=True, order=True):
    """The prefix of repositories: a host and a namespace (which may be empty)."""

    host: str
    namespace: str = ""

    @property
    def is_layout(self) -> bool:
        """Whether the repositories below are OCI image layouts on disk."""
        return self.host.startswith(LAYOUT)

    def repository(self, name: str) -> Repository:
        """The repository ``name`` below this prefix.

        :raises UsageError: ``reference.invalid`` where the whole name is no repository name.
        """
        path = f"{self.namespace}/{name}" if self.namespace else name
        if _PATH.fullmatch(path) is None or len(path) > _PATH_LIMIT:
            raise UsageError(
                "reference.invalid",
                f"{masked(path)!r} is not a repository name",
                hint=_PATH_RULE,
            )
        if self.host == "docker.io" and "/" not in path:
            path = f"library/{path}"
        return Repository(self.host, path)

    @property
    def place(self) -> Registry:
        """The same in the one spelling by which two are compared: https goes without saying its port, and Docker Hub
        its ``library``. Whoever asks it, or looks for a credential, takes it as it is written.

        >>> str(Registry("registry.example:443", "acme").place), str(Registry("docker.io", "library").place)
        ('registry.example/acme', 'docker.io')
        """
        if self.is_layout:
            return self
        is_official = self.host == "docker.io" and self.namespace == "library"
        return Registry(self.host.removesuffix(":443"), "" if is_official else self.namespace)

    def __str__(self) -> str:
        return f"{self.host}/{self.namespace}" if self.namespace else self.host


_MOST_SHOWN = 400
"""Letters of a text that are looked at, and may be shown."""
_USER = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://)\S*@(?!sha(?:256|512):)|(?<!\S)(?![A-Za-z][A-Za-z0-9+.-]*://)[^\s@]*:\S*@(?!sha(?:256|512):)"
)
_REST = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]+)(?:/[^\s/?#]*[/?#]|[?#])\S+")


def masked(text: str) -> str:
    """A text for a message, without what may be a secret in it: a user and a password, a key, the end of an address.

    >>> masked("ci:s3c/ret@registry.example/app"), masked("https://hooks.example/T0/B0/x")
    ('…@registry.example/app', 'https://hooks.example/…')
    """
    if "-----BEGIN" in text:
        return "-----BEGIN …"
    text = text[:_MOST_SHOWN]
    if text.startswith(LAYOUT) and "//" not in text:
        return text
    return _REST.sub(r"\1/…", _USER.sub(lambda found: f"{found[1] or ''}…@", text))


def parse_registry(text: str, *, base: str = "") -> Registry:
    """Read ``HOST[:PORT][/NAMESPACE]`` or ``oci:DIR`` (relative to the directory ``base``).

    :raises UsageError: ``reference.invalid``.
    """
    if text.startswith(LAYOUT):
        return Registry(LAYOUT + _absolute(text.removeprefix(LAYOUT), base))
    host, _, namespace = text.partition("/")
    match = _HOST.fullmatch(host)
    if match is None:
        raise UsageError(
            "reference.invalid",
            f"{masked(text)!r} is not a registry",
            hint="Write HOST[:PORT][/NAMESPACE] without a scheme, or oci:DIR.",
        )
    _check_address(host, match["port"])
    if text.endswith("/"):
        raise UsageError("reference.invalid", f"{text!r} ends in '/'", hint=f"Write {text.rstrip('/')!r}.")
    if namespace and _PATH.fullmatch(namespace) is None:
        raise UsageError("reference.invalid", f"{namespace!r} is not a namespace of repositories", hint=_PATH_RULE)
    return Registry(_normalise_host(host), namespace)


class Reference(Struct, frozen=True):
    """One image in one repository, by tag or digest (``target``)."""

    repository: Repository
    target: str

    def __str__(self) -> str:
        return f"{self.repository}{'@' if ':' in self.target else ':'}{self.target}"


def parse_reference(text: str) -> Reference:
    """Read ``[HOST/]REPO[:TAG|@DIGEST]`` as Docker does; without either it means the tag ``latest``.

    :raises UsageError: ``reference.invalid``.
    """
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        hint = "A digest is sha256: and 64 hex digits."
        raise UsageError("reference.invalid", f"{digest!r} is not a digest", hint=hint)
    head, slash, rest = name.partition("/")
    has_host = bool(slash) and ("." in head or ":" in head or head == "localhost" or head.startswith("["))
    host, path = (head, rest) if has_host else ("docker.io", name)
    path, _, tag = path.partition(":")
    if tag and not is_tag(tag):
        raise UsageError("reference.invalid", f"{tag!r} is not a tag")
    if ":" in name and not tag and name.endswith(":"):
        raise UsageError("reference.invalid", f"{text!r} has an empty tag")
    return Reference(parse_registry(host).repository(path), digest or tag or "latest")


def _check_address(host: str, port: str | None) -> None:
    """Refuse what has the shape of a host and can be no address: whoever connects to it would fail."""
    if port is not None and not 0 < int(port) < 1 << 16:
        hint = "A port is a number from 1 to 65535."
        raise UsageError("reference.invalid", f"{port} is no port", hint=hint)
    if host.startswith("["):
        from ipaddress import AddressValueError, IPv6Address  # rarely needed, and it takes a while to import

        name = host[: host.index("]") + 1]
        try:
            IPv6Address(name[1:-1])
        except AddressValueError as exc:
            raise UsageError(
                "reference.invalid", f"{name!r} is no IPv6 address", hint="For example [::1]:5000."
            ) from exc


def _normalise_host(host: str) -> str:
    lowered = host.lower()
    return "docker.io" if lowered in ("index.docker.io", "registry-1.docker.io") else lowered


def _absolute(directory: str, base: str) -> str:
    import posixpath

    if not directory or "\0" in directory:
        raise UsageError("reference.invalid", "oci: needs a directory", hint="Write oci:DIR, for example oci:./images.")
    return posixpath.normpath(posixpath.join(base, directory))


_DEFAULT_VARIANTS = {"arm64": "v8", "amd64": "v1"}
_OTHER_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
"""How `uname -m` calls architectures; Docker takes these, too."""


def normal_platform(platform: str) -> str:
    """``os/architecture[/variant]`` as Go names it, without the variant that goes without saying: ``linux/arm64/v8`` is
    linux/arm64.

    >>> normal_platform("linux/arm/v7"), normal_platform("Linux/arm64/v8"), normal_platform("linux/x86_64")
    ('linux/arm/v7', 'linux/arm64', 'linux/amd64')
    """
    system, _, rest = platform.lower().partition("/")
    architecture, _, variant = rest.partition("/")
    architecture = _OTHER_NAMES.get(architecture, architecture)
    if variant == _DEFAULT_VARIANTS.get(architecture):
        variant = ""
    return "/".join(part for part in (system, architecture, variant) if part)
