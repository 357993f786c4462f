"""One token for several repositories: a token server that takes its time is asked once for many of them."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable

import msgspec
from msgspec import Struct, field

from tagflow.stores.registry.auth.tokens import Login, Scope, Scopes

MOST = 16
"""Repositories in one token: each makes it, and the header of every request, about a hundred bytes longer."""
HEADER = 6000
"""The longest ``Authorization`` that is sent: many servers take 8 KiB for one line of a header."""


class _Access(msgspec.Struct):
    """What a token allows with one resource."""

    name: str = ""
    type: str = ""
    actions: list[str] | None = None


class _Claims(msgspec.Struct):
    """The part of a token's claims that is read here."""

    access: list[_Access] | None = None


_CLAIMS = msgspec.json.Decoder(_Claims)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


def grants(login: Login, scopes: Scopes) -> frozenset[Scope]:
    """Those of some scopes that a token itself says it is good for (distribution, "Token Authentication
    Implementation": the claim ``access``); none where it does not say so in words that can be read.

    Nothing is trusted for it: the registry decides what a token is good for.
    """
    parts = login.header.partition(" ")[2].split(".")
    try:
        claims = _CLAIMS.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, msgspec.DecodeError, RecursionError):
        return frozenset()
    allowed: dict[str, set[str]] = {}
    for it in claims.access or ():
        if it.type == "repository":
            allowed.setdefault(it.name, set()).update(it.actions or ())
    return frozenset(scope for scope in scopes if scope.actions <= allowed.get(scope.path, set()))


class Batch(Struct, eq=False):
    """Repositories for which one token is asked, or was; ``login`` is None while it is not there, and where the token
    server gives none for several. Who forms a batch asks, the others wait until it is ``done``."""

    scopes: Scopes
    login: Login | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Together:
    """Which repositories of a registry are asked for together. Safe for use by several threads.

    A server may give less than it is asked for, and a registry may say of what it hides that it is not there. So
    several are asked for only where a token for one has said what it is good for, and a token counts only for what it
    says; any other repository is asked for alone, and from then on.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._expected: set[str] = set()
        self._free: dict[Scope, dict[str, None]] = {}
        """The repositories that no token was asked for yet, by the rights that are wanted (a scope without a path)."""
        self._batches: dict[Scope, Batch] = {}
        self._alone: set[Scope] = set()
        self._says = self._refuses = False
        """Whether tokens say what they are good for; whether there is none for several."""

    def expect(self, path: str) -> None:
        """Note that this repository will be asked for something."""
        with self._lock:
            self._expected.add(path)
            for paths in self._free.values():
                paths[path] = None

    def learn(self, login: Login, scopes: Scopes) -> None:
        """Note that a token was given for one repository alone: does it say what it is good for?"""
        with self._lock:
            for scope in scopes:
                self._free_like(scope).pop(scope.path, None)
            self._says = self._says or (bool(scopes) and grants(login, scopes) == set(scopes))

    def refused(self, scopes: Scopes) -> None:
        """Note that the token with which these were asked for was not good enough."""
        with self._lock:
            self._alone.update(scopes)

    def join(self, scopes: Scopes, fits: Callable[[str], bool]) -> tuple[Batch, bool] | None:
        """The batch that these scopes belong to, and whether the caller is to ask for it; None where they are asked for
        alone. ``fits``: whether another repository is logged in to in the same way."""
        if len(scopes) != 1:
            return None
        (scope,) = scopes
        with self._lock:
            if not self._says or self._refuses or scope in self._alone or scope.path not in self._expected:
                return None
            batch = self._batches.get(scope)
            if batch is not None and not self._is_over(batch):
                return batch, False
            if batch is not None:  # it has expired: the same ones are asked for again
                others = [it for it in batch.scopes if it != scope and it not in self._alone]
            else:
                others = self._take(scope, fits)
            if not others:
                return None
            batch = Batch((scope, *others))
            self._batches |= dict.fromkeys(batch.scopes, batch)
            return batch, True

    def settle(self, batch: Batch, login: Login | None) -> None:
        """Let those go on who wait for the token of a batch; None: there is none for several."""
        with self._lock:
            if login is None or len(login.header) > HEADER:
                self._refuses = True
            else:
                batch.login = login
                self._alone.update(set(batch.scopes) - grants(login, batch.scopes))
        batch.done.set()

    def login(self, batch: Batch, scopes: Scopes) -> Login | None:
        """The token of a batch, where it is good for these; waits for it."""
        batch.done.wait()
        with self._lock:
            return None if self._alone.issuperset(scopes) else batch.login

    def _take(self, scope: Scope, fits: Callable[[str], bool]) -> list[Scope]:
        free, taken = self._free_like(scope), list[Scope]()
        free.pop(scope.path, None)
        while free and len(taken) < MOST - 1:
            path = next(iter(free))
            del free[path]
            other = scope.at(path)
            if other not in self._batches and fits(path):
                taken.append(other)
        return taken

    def _free_like(self, scope: Scope) -> dict[str, None]:
        return self._free.setdefault(scope.at(""), dict.fromkeys(sorted(self._expected)))

    def _is_over(self, batch: Batch) -> bool:
        return batch.done.is_set() and (batch.login is None or batch.login.expires <= self._clock())
