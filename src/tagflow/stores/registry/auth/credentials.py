"""Which credential opens a registry: the environment, Docker's configuration and helpers, Podman's files."""

from __future__ import annotations

import math
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shutil import which
from typing import TypeVar

import msgspec
from msgspec import Struct

from tagflow.errors import StoreError
from tagflow.stores.registry.auth.docker_config import IDENTITY_USER, ConfigFile, Login, normalise, read_config

HELPER_SECONDS = 30.0
USERNAME, PASSWORD = "TAGFLOW_REGISTRY_USERNAME", "TAGFLOW_REGISTRY_PASSWORD"
HOST = "TAGFLOW_REGISTRY_HOST"
_SPELLING = {".": "_", "-": "__", ":": "___", "[": "IPV6_____", "]": "_____"}
"""How a host is written in the name of a variable. A label of a name neither begins nor ends with ``-`` and is never
empty, so the number of underscores says what they stand for."""
ENVIRONMENT = "environment"


class Credential(Struct, frozen=True):
    """What to log in with; ``source`` says to people where it came from. Secrets stay out of its representation."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    source: str = ""
    expires: float = math.inf
    """:func:`time.monotonic`, where it does not live as long as a run may."""

    def __repr__(self) -> str:
        return f"Credential({self.username!r}, source={self.source!r})"


T = TypeVar("T")

Provider = Callable[[str, str], Credential | None]
"""One source of credentials. Takes a host (``HOST[:PORT]``, ``docker.io`` for Docker Hub) and a repository's path."""


class Keychain:
    """Several sources, the first that knows a repository wins; asked once for each, and again when what they gave has
    expired. Safe for use by several threads. ``named`` says which host the two variables without a host are for, be
    they set or not; empty where that is not said."""

    def __init__(self, providers: Sequence[Provider], named: Callable[[], str] = str) -> None:
        self._providers = tuple(providers)
        self.named = named
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Credential | None] = {}

    def find(self, host: str, path: str = "") -> Credential | None:
        """The credential for a repository, or None: then it is asked anonymously.

        :raises StoreError: ``credentials.invalid``, ``credentials.helper_failed``.
        """
        with self._lock:
            known = self._known.get((host, path))
            if (host, path) not in self._known or (known and known.expires <= time.monotonic()):
                answers = (provider(host, path) for provider in self._providers)
                self._known[host, path] = next((answer for answer in answers if answer), None)
            return self._known[host, path]


def keychain(environ: Mapping[str, str], ambient: Sequence[Provider] = ()) -> Keychain:
    """The usual sources, in order: environment, Docker's configuration, Podman's files, and what is ``ambient``."""
    docker = DockerProvider(environ)
    podman = [FileProvider(path, environ) for path in _podman_files(environ)]
    return Keychain(
        [environment_provider(environ), docker, *podman, *map(_per_host, ambient)],
        lambda: _named_host(environ) if environ.get(HOST, "").strip() else "",
    )


def environment_provider(environ: Mapping[str, str]) -> Provider:
    """TAGFLOW_REGISTRY_USERNAME_<HOST> and TAGFLOW_REGISTRY_PASSWORD_<HOST> for any host (:func:`variables`), and the
    two without a host for the one that TAGFLOW_REGISTRY_HOST names.

    A host is named by who sets the password, never by the policy: whoever can change that could have the password sent
    to a server of his own.
    """

    def provide(host: str, _: str) -> Credential | None:
        found = _from_variables(environ, *variables(host))
        if found or not _is_set(environ):
            return found
        return _from_variables(environ, USERNAME, PASSWORD) if _named_host(environ) == host else None

    return provide


def variables(host: str) -> tuple[str, str]:
    """The variables that hold user name and password for one host: its letters in upper case, ``.`` as one underscore,
    ``-`` as two, ``:`` as three. No two hosts have the same.

    >>> variables("my-registry.example:5000")[0]
    'TAGFLOW_REGISTRY_USERNAME_MY__REGISTRY_EXAMPLE___5000'
    """
    suffix = "".join(_SPELLING.get(letter, letter) for letter in host.upper())
    return f"{USERNAME}_{suffix}", f"{PASSWORD}_{suffix}"


def _is_set(environ: Mapping[str, str]) -> bool:
    return bool(environ.get(USERNAME) or environ.get(PASSWORD))


def _named_host(environ: Mapping[str, str]) -> str:
    """The host that TAGFLOW_REGISTRY_HOST names.

    :raises StoreError: ``credentials.host_missing``, ``credentials.invalid``.
    """
    value = environ.get(HOST, "").strip()
    if not value:
        raise StoreError(
            "credentials.host_missing",
            f"{USERNAME} and {PASSWORD} are set, and {HOST} is not: nobody says which registry they are for",
            hint=f"Set {HOST} to the registry's host, as in promotion.yaml: a changed policy must not send a password"
            " elsewhere.",
        )
    host = normalise(value)
    if "/" in host:
        message = f"{HOST} is {value!r}, which is more than a host"
        raise StoreError("credentials.invalid", message, hint=f"Write HOST or HOST:PORT: {host.partition('/')[0]}")
    return host


def _from_variables(environ: Mapping[str, str], user: str, secret: str) -> Credential | None:
    username, password = environ.get(user, ""), environ.get(secret, "")
    if not (username or password):
        return None
    if not (username and password):
        message = f"only one of {user} and {secret} is set"
        raise StoreError("credentials.invalid", message, hint="Set both, or neither.")
    return Credential(username, password, source=ENVIRONMENT)


def _per_host(provider: Provider) -> Provider:
    """A provider whose answer is the same for all repositories of a host: asked once for each host, be it that it
    fails: where each of them waited for a program that hangs, a run would take hours."""
    known: dict[str, Credential | StoreError | None] = {}

    def provide(host: str, _: str) -> Credential | None:
        last = known.get(host)
        if host not in known or (isinstance(last, Credential) and last.expires <= time.monotonic()):
            known[host] = last = _outcome(lambda: provider(host, ""))
        if isinstance(last, StoreError):
            raise last
        return last

    return provide


def _outcome(ask: Callable[[], T]) -> T | StoreError:
    try:
        return ask()
    except StoreError as error:
        return error


class FileProvider:
    """The entries of one file, read when first asked for."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path, self._environ = path, environ
        self._config: ConfigFile | None = None
        self._helped: dict[tuple[str, str], Login | StoreError] = {}

    @property
    def config(self) -> ConfigFile:
        """The file.

        :raises StoreError: ``credentials.invalid``.
        """
        if self._config is None:
            self._config = read_config(self._path, _display(self._path, self._environ))
        return self._config

    def __call__(self, host: str, path: str) -> Credential | None:
        """The helper named for the host, else the entry of the file."""
        return self._from_helper(host) or self._from_entry(host, path)

    def _from_entry(self, host: str, path: str) -> Credential | None:
        return _credential(self.config.login(host, path), f"{self.config.name} auths")

    def _from_helper(self, host: str) -> Credential | None:
        helper = self.config.helper(host)
        if helper is None:
            return None
        if helper not in self._helped:
            self._helped[helper] = _outcome(lambda: ask_helper(*helper, self._environ))
        found = self._helped[helper]
        if isinstance(found, StoreError):
            raise found
        return _credential(found, f"helper {helper[0]}")


class DockerProvider(FileProvider):
    """``$DOCKER_CONFIG/config.json``, by default ``~/.docker/config.json``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        directory = environ.get("DOCKER_CONFIG")
        super().__init__((Path(directory) if directory else _home(environ) / ".docker") / "config.json", environ)


def _podman_files(environ: Mapping[str, str]) -> list[Path]:
    named, runtime = environ.get("REGISTRY_AUTH_FILE"), environ.get("XDG_RUNTIME_DIR")
    config = environ.get("XDG_CONFIG_HOME")
    base = Path(config) if config else _home(environ) / ".config"
    files = [Path(named)] if named else []
    files += [Path(runtime, "containers/auth.json")] if runtime else []
    return [*files, base / "containers/auth.json"]


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    return Path(home) if home else Path("/nonexistent")


def _display(path: Path, environ: Mapping[str, str]) -> str:
    home = _home(environ)
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _credential(login: Login, source: str) -> Credential | None:
    if not login:
        return None
    return Credential(login.username, login.password, login.identity_token, login.registry_token, source)


class _HelperAnswer(msgspec.Struct):
    """What ``docker-credential-X get`` prints (docker-credential-helpers, "Development")."""

    Username: str = ""
    Secret: str = ""


_HELPER_ANSWER = msgspec.json.Decoder(_HelperAnswer)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


def ask_helper(name: str, address: str, environ: Mapping[str, str]) -> Login:
    """Run ``docker-credential-NAME get``; empty where it knows nothing of ``address``.

    :raises StoreError: ``credentials.helper_failed``; what the helper printed is not passed on.
    """
    program = which(f"docker-credential-{name}", path=environ.get("PATH", "")) if "/" not in name else None
    if program is None:
        raise _helper_failed(name, address, "is not installed")
    try:
        done = subprocess.run(
            [program, "get"],
            input=address.encode(),
            capture_output=True,
            timeout=HELPER_SECONDS,
            env=dict(environ),
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise _helper_failed(name, address, f"did not answer within {HELPER_SECONDS:.0f} s") from exc
    except OSError as exc:
        raise _helper_failed(name, address, f"cannot be run: {(exc.strerror or 'error').lower()}") from exc
    if done.returncode:
        if b"credentials not found" in done.stdout.lower():
            return Login()
        raise _helper_failed(name, address, f"failed with status {done.returncode}")
    try:
        answer = _HELPER_ANSWER.decode(done.stdout)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        raise _helper_failed(name, address, "printed something that is not a credential") from exc
    if answer.Username == IDENTITY_USER:
        return Login(answer.Username, identity_token=answer.Secret)
    return Login(answer.Username, answer.Secret)


def _helper_failed(name: str, address: str, what: str) -> StoreError:
    return StoreError(
        "credentials.helper_failed",
        f"the credential helper docker-credential-{name} {what}",
        hint=f"Run `echo {address} | docker-credential-{name} get` to see why, or take it out of Docker's config.json.",
    )
