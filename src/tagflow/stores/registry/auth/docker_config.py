"""Files in which ``docker login`` and ``podman login`` keep credentials, read without believing them.

Docker: ``config.json`` (docker/cli, "docker login"); Podman, Buildah, Skopeo: ``auth.json`` (containers-auth.json(5)).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from tagflow.errors import StoreError

IDENTITY_USER = "<token>"
"""The user name under which Docker's helpers give out an identity token."""
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
HUB_KEY = "https://index.docker.io/v1/"


class Login(Struct, frozen=True):
    """What one entry says; secrets are kept out of its representation."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Login({self.username!r})"

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token or self.registry_token)


class ConfigFile(Struct, frozen=True):
    """One such file. ``name`` is how to call it in front of people."""

    name: str
    auths: Mapping[str, Any] = field(default_factory=dict)
    helpers: Mapping[str, str] = field(default_factory=dict)
    default_helper: str = ""

    def __repr__(self) -> str:
        return f"ConfigFile({self.name!r})"

    def login(self, host: str, path: str) -> Login:
        """The entry for a repository: the longest prefix of ``HOST/PATH`` wins; empty where there is none.

        :raises StoreError: ``credentials.invalid`` where that very entry is broken.
        """
        entry = lookup(self.auths, host, path)
        return Login() if entry is None else _login(entry[1], f"{self.name}, entry {entry[0]!r}")

    def helper(self, host: str) -> tuple[str, str] | None:
        """The credential helper for a host and the address to ask it for."""
        if entry := lookup(self.helpers, host, ""):
            key, name = entry
            return name, HUB_KEY if host == "docker.io" else key
        if self.default_helper:
            return self.default_helper, HUB_KEY if host == "docker.io" else host
        return None


def read_config(path: Path, name: str) -> ConfigFile:
    """Read one file; an absent file is an empty one, and a broken entry breaks no other.

    :raises StoreError: ``credentials.invalid`` where it cannot be read or is no JSON object.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ConfigFile(name)
    except OSError as exc:
        raise StoreError("credentials.invalid", f"cannot read {name}: {(exc.strerror or 'error').lower()}") from exc
    try:
        document = msgspec.json.decode(content or b"{}")
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:
        raise _invalid(name, "is not JSON") from exc
    if not isinstance(document, dict):
        raise _invalid(name, "is not a JSON object")
    helper = document.get("credsStore")
    return ConfigFile(
        name,
        auths=_mapping(document.get("auths")),
        helpers={k: v for k, v in _mapping(document.get("credHelpers")).items() if isinstance(v, str) and v},
        default_helper=helper if isinstance(helper, str) else "",
    )


def lookup(entries: Mapping[str, Any], host: str, path: str) -> tuple[str, Any] | None:
    """The key and value for ``HOST/PATH`` among keys written in any of the ways in which the tools write them."""
    keys: dict[str, str] = {}
    for key in sorted(entries, key=lambda key: (key != HUB_KEY, key != host)):  # the exact spelling first
        keys.setdefault(normalise(key), key)
    for prefix in _prefixes(host, path):
        if prefix in keys:
            return keys[prefix], entries[keys[prefix]]
    return None


def normalise(key: str) -> str:
    """A key as ``HOST[:PORT][/PATH]``: no scheme, host in lower case, one name for Docker Hub.

    Docker's own addresses (``https://HOST/v1/``) mean the whole host, whatever their path.
    """
    _, separator, rest = key.strip().rpartition("://")
    host, _, path = rest.strip("/").partition("/")
    host = host.lower()
    host = "docker.io" if host in _HUB_NAMES else host
    whole = separator or path in ("v1", "v2") or path.startswith(("v1/", "v2/"))
    return host if whole or not path else f"{host}/{path}"


def _prefixes(host: str, path: str) -> Iterator[str]:
    parts = path.split("/") if path else []
    for length in range(len(parts), -1, -1):
        yield "/".join([host, *parts[:length]])


def _login(entry: Any, where: str) -> Login:
    if not isinstance(entry, dict):
        raise _invalid(where, "is not an object")
    username, password = _decode(_text(entry, "auth"), where)
    username, password = _text(entry, "username") or username, _text(entry, "password") or password
    identity = _text(entry, "identitytoken")
    if username == IDENTITY_USER and not identity:
        identity, password = password, ""
    return Login(username, password, identity, _text(entry, "registrytoken"))


def _decode(auth: str, where: str) -> tuple[str, str]:
    if not auth:
        return "", ""
    try:
        text = base64.b64decode("".join(auth.split()), validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise _invalid(where, "has an `auth` that is not base64") from exc
    username, colon, password = text.partition(":")
    if not colon:
        raise _invalid(where, "has an `auth` that is not USER:PASSWORD in base64")
    return username, password.strip("\0").rstrip("\r\n")  # as `echo USER:PASSWORD | base64` leaves it


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _invalid(where: str, what: str) -> StoreError:
    return StoreError("credentials.invalid", f"{where} {what}", hint="Correct it, or run `docker login` again.")
