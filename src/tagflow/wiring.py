"""Puts the house together: the only place that knows which store is which."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from msgspec import Struct, field

from tagflow.config.load import find_policy, load_policy
from tagflow.context import Context
from tagflow.domain.policy import Policy, policy_digest
from tagflow.domain.reference import LAYOUT, Repository
from tagflow.stores.port import Checkup, Engine, Progress, Silence, Store, Stores

if TYPE_CHECKING:
    from tagflow.stores.cache.log import ManifestLog
    from tagflow.stores.registry.auth.credentials import Keychain
    from tagflow.stores.registry.http.pace import Settings
    from tagflow.stores.registry.store import RegistryHost
    from tagflow.trust.signing import SigningKey
    from tagflow.verbs.doctor import Examine, OpenKey


def utc_now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


class Surroundings(Struct, frozen=True):
    """What the outside world gives to one run: for the command line, or for a program that uses tagflow as a library.

    ``seconds`` is the time for the whole run (None: no limit); ``trace`` is told each request; ``writes`` asks for the
    right to push; ``now`` is the clock; ``waits`` hears why something waits, and for how many seconds, before it does.
    """

    environ: Mapping[str, str]
    warn: Callable[[str], None]
    trace: Callable[[str], None] = lambda _line: None
    waits: Callable[[str, float], None] = lambda _why, _seconds: None
    seconds: float | None = None
    writes: bool = False
    progress: Progress = field(default_factory=Silence)
    questions: Progress = field(default_factory=Silence)
    actor: str = ""
    now: Callable[[], datetime] = utc_now


def policy_path(named: str | Path | None, environ: Mapping[str, str]) -> Path:
    """The policy file: as named, else $TAGFLOW_POLICY, else the nearest one upward."""
    chosen = named or environ.get("TAGFLOW_POLICY")
    return Path(chosen) if chosen else find_policy(Path.cwd())


def context(path: Path, around: Surroundings) -> Context:
    """Everything that a flow is given."""
    policy = load_policy(path)
    media = _Media(policy, around)
    return Context(
        policy=policy,
        policy_digest=policy_digest(policy),
        stores=media.store,
        now=around.now,
        new_id=lambda: os.urandom(8).hex(),
        actor=around.actor or actor(around.environ),
        environ=around.environ,
        progress=around.progress,
        questions=around.questions,
        warn=around.warn,
        waits=around.waits,
        engine=media.engine,
        directory=path.parent,
        deadline=media.deadline,
        signing_key=signing_key(around.environ),
        close=media.close,
        **_threads(policy),
    )


class _Threads(TypedDict, total=False):
    threads: int


def _threads(policy: Policy) -> _Threads:
    """As many threads as a registry may be asked at once; how many of them are is decided where they ask. What lies on
    a disk is no faster with more than usual."""
    if all(it.registry.is_layout for it in policy.environments):
        return {}
    from tagflow.stores.registry.http.pace import MOST

    return {"threads": MOST}


def signing_key(environ: Mapping[str, str]) -> OpenKey:
    """Opens the key that the environment names, once, when it is first asked for."""
    if not environ.get("TAGFLOW_SIGN_KEY"):
        return lambda: None
    lock = threading.Lock()
    opened: list[SigningKey | None] = []

    def key() -> SigningKey | None:
        from tagflow.trust.signing import open_key

        with lock:
            if not opened:
                opened.append(open_key(environ))
        return opened[0]

    return key


def examiner(path: Path, around: Surroundings) -> tuple[Policy, Examine, OpenKey]:
    """The policy, what looks at its registries for `doctor`, and what opens the key of this run."""
    policy = load_policy(path)
    return policy, _Media(policy, around).examine, signing_key(around.environ)


def stores(policy: Policy, around: Surroundings) -> Stores:
    """The repositories of a policy that is not in a file yet."""
    return _Media(policy, around).store


def as_typed(text: str) -> str:
    """A text from the command line or the environment, where the locale (``LC_ALL=C``) says that it is ASCII: it is
    kept for ever, and terminals write UTF-8.

    >>> as_typed(b"sch\\xc3\\xb6n".decode("ascii", "surrogateescape"))
    'schön'
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:  # what is no UTF-8 stays as it is
        return text


def actor(environ: Mapping[str, str]) -> str:
    """Who does it: $TAGFLOW_ACTOR, else $GITHUB_ACTOR, $GITLAB_USER_LOGIN, else user@host."""
    for name in ("TAGFLOW_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if named := environ.get(name, "").strip():
            return as_typed(named)
    import getpass  # rarely needed, and slow to import
    import platform

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{platform.node()}"


class _Media:
    """Opens each repository and the engine once."""

    def __init__(self, policy: Policy, around: Surroundings) -> None:
        self._policy, self._around = policy, around
        self.deadline = None if around.seconds is None else time.monotonic() + around.seconds
        self._lock = threading.RLock()
        self._stores: dict[Repository, Store] = {}
        self._hosts: dict[str, RegistryHost] = {}
        self._engine: Engine | None = None
        self._manifests: ManifestLog | None = None
        self._keys: Keychain | None = None

    def store(self, repository: Repository) -> Store:
        """The store of a repository."""
        with self._lock:
            if repository not in self._stores:
                self._stores[repository] = self._open(repository)
            return self._stores[repository]

    def engine(self) -> Engine:
        """The Docker Engine."""
        from tagflow.stores.docker.engine import Engine as DockerEngine
        from tagflow.stores.docker.engine import sdk_auth

        with self._lock:
            if self._engine is None:
                keychain = self._keychain()
                self._engine = DockerEngine(
                    self._around.environ,
                    credential=lambda it: sdk_auth(keychain.find(it.host, it.path), it.host),
                    deadline=self.deadline,
                )
            return self._engine

    def examine(self, host: str, repositories: Sequence[Repository]) -> Checkup:
        """A look at a registry, or at a directory of layouts."""
        if host.startswith(LAYOUT):
            from tagflow.stores.layout.checkup import examine

            return examine(host, repositories)
        with self._lock:
            registry = self._host(host)
        return registry.examine(repositories, self._around.now())

    def close(self) -> None:
        """Drop the connections to registries."""
        with self._lock:
            hosts = list(self._hosts.values())
        for host in hosts:
            host.close()

    def _open(self, repository: Repository) -> Store:
        if repository.host.startswith(LAYOUT):
            from tagflow.stores.layout.store import LayoutStore

            return LayoutStore(repository)
        from tagflow.stores.cache.log import ManifestLog, default_directory
        from tagflow.stores.cache.store import CachedStore

        store = self._host(repository.host).store(repository.path)
        if self._manifests is None:
            self._manifests = ManifestLog(default_directory(self._around.environ))
        return CachedStore(store, self._manifests)

    def _host(self, host: str) -> RegistryHost:
        from tagflow.stores.registry.store import RegistryHost

        if host not in self._hosts:
            self._hosts[host] = RegistryHost(host, self._settings(), self._keychain())
        return self._hosts[host]

    def _settings(self) -> Settings:
        from tagflow.stores.registry.http.pace import Settings

        return Settings(
            environ=self._around.environ,
            insecure=frozenset(self._policy.insecure_registries),
            deadline=self.deadline,
            trace=self._around.trace,
            warn=self._around.warn,
            waits=self._around.waits,
            writes=self._around.writes,
            create_repositories=self._policy.create_repositories,
            now=self._around.now,
        )

    def _keychain(self) -> Keychain:
        """One for the run: a credential helper is started once for each host."""
        from tagflow.stores.registry.auth.clouds import full_keychain

        with self._lock:
            if self._keys is None:
                self._keys = full_keychain(self._settings())
            return self._keys
