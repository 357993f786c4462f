"""Puts the house together: the only place that knows which store is which."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tagflow.cli.session import Session
from tagflow.config.load import find_policy, load_policy
from tagflow.domain.policy import Policy, policy_digest
from tagflow.domain.reference import LAYOUT, Repository
from tagflow.flows.context import Context
from tagflow.stores.port import Checkup, Engine, Progress, Silence, Store

if TYPE_CHECKING:
    from tagflow.flows.doctor import Examine
    from tagflow.stores.cache import ManifestFiles
    from tagflow.stores.registry.credentials import Keychain
    from tagflow.stores.registry.http import Settings
    from tagflow.stores.registry.store import RegistryHost


def policy_path(session: Session) -> Path:
    """The policy file: as named, else $TAGFLOW_POLICY, else the nearest one upward."""
    named = session.policy_file or session.environ.get("TAGFLOW_POLICY")
    return Path(named) if named else find_policy(Path.cwd())


def context(session: Session, *, writes: bool = False, progress: Progress | None = None) -> Context:
    """Everything that a flow is given."""
    deadline = None if session.patience is None else time.monotonic() + session.patience
    path = policy_path(session)
    policy = load_policy(path)
    media = _Media(session, policy, deadline, writes)
    return Context(
        policy=policy,
        policy_digest=policy_digest(policy),
        stores=media.store,
        now=lambda: datetime.now(UTC),
        new_id=lambda: secrets.token_hex(8),
        actor=actor(session),
        environ=session.environ,
        progress=progress or Silence(),
        warn=session.note,
        engine=media.engine,
        directory=path.parent,
        deadline=deadline,
    )


def examiner(session: Session) -> tuple[Policy, Examine]:
    """The policy, and what looks at its registries for `doctor`."""
    deadline = None if session.patience is None else time.monotonic() + session.patience
    policy = load_policy(policy_path(session))
    return policy, _Media(session, policy, deadline, writes=False).examine


def actor(session: Session) -> str:
    """Who does it: $TAGFLOW_ACTOR, else $GITHUB_ACTOR, $GITLAB_USER_LOGIN, else user@host."""
    for name in ("TAGFLOW_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if session.environ.get(name):
            return session.environ[name]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


class _Media:
    """Opens each repository and the engine once."""

    def __init__(self, session: Session, policy: Policy, deadline: float | None, writes: bool) -> None:
        self._session, self._policy, self._deadline, self._writes = session, policy, deadline, writes
        self._lock = threading.RLock()
        self._stores: dict[Repository, Store] = {}
        self._hosts: dict[str, RegistryHost] = {}
        self._engine: Engine | None = None
        self._manifests: ManifestFiles | None = None
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
                    self._session.environ,
                    credential=lambda it: sdk_auth(keychain.find(it.host, it.path)),
                    deadline=self._deadline,
                )
            return self._engine

    def examine(self, host: str, repositories: Sequence[Repository]) -> Checkup:
        """A look at a registry, or at a directory of layouts."""
        if host.startswith(LAYOUT):
            from tagflow.stores.layout.checkup import examine

            return examine(host, repositories)
        with self._lock:
            registry = self._host(host)
        return registry.examine(repositories, datetime.now(UTC))

    def _open(self, repository: Repository) -> Store:
        if repository.host.startswith(LAYOUT):
            from tagflow.stores.layout.store import LayoutStore

            return LayoutStore(repository)
        from tagflow.stores.cache import CachedStore, ManifestFiles, default_directory

        store = self._host(repository.host).store(repository.path)
        if self._manifests is None:
            self._manifests = ManifestFiles(default_directory(self._session.environ))
        return CachedStore(store, self._manifests)

    def _host(self, host: str) -> RegistryHost:
        from tagflow.stores.registry.store import RegistryHost

        if host not in self._hosts:
            self._hosts[host] = RegistryHost(host, self._settings(), self._keychain())
        return self._hosts[host]

    def _settings(self) -> Settings:
        from tagflow.stores.registry.http import Settings

        trace = (lambda line: print(line, file=sys.stderr)) if self._session.verbose else (lambda _line: None)
        return Settings(
            environ=self._session.environ,
            insecure=frozenset(self._policy.insecure_registries),
            policy_host=self._policy.registry.host,
            deadline=self._deadline,
            trace=trace,
            warn=self._session.note,
            writes=self._writes,
            create_repositories=self._policy.create_repositories,
        )

    def _keychain(self) -> Keychain:
        """One for the run: a credential helper is started once for each host."""
        from tagflow.stores.registry.clouds import full_keychain

        with self._lock:
            if self._keys is None:
                self._keys = full_keychain(self._settings())
            return self._keys
