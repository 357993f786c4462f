"""Which repositories could not be read, and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError

_FEW = 3
"""So many repositories are named of which the same is said."""


class Refusals:
    """Notes it where a repository cannot be read. Safe for use by several threads."""

    def __init__(self) -> None:
        self._why: dict[Repository, StoreError] = {}

    def __len__(self) -> int:
        return len(self._why)

    def __contains__(self, repository: Repository) -> bool:
        return repository in self._why

    @contextmanager
    def noting(self, repository: Repository) -> Iterator[None]:
        """Within, one repository is asked."""
        try:
            yield
        except StoreError as error:
            self._why[repository] = error
            raise

    def errors(self) -> list[StoreError]:
        """Why, as it was told."""
        return [*self._why.values()]

    def named(self) -> list[StoreError]:
        """Why, with the names of what could not be read: a registry that fails does not say where it was asked."""
        alike: dict[str, dict[Repository, StoreError]] = {}
        for repository, error in self._why.items():
            alike.setdefault(error.message, {})[repository] = error
        return [error for message, several in alike.items() for error in _naming(message, several)]


def _naming(message: str, several: dict[Repository, StoreError]) -> list[StoreError]:
    first, names = next(iter(several.values())), sorted(map(str, several))
    if all(name in message for name in names):
        return [first]
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    told = f"{message}; what cannot be read for that: {', '.join(names[:_FEW])}{more}"
    return [StoreError(first.code, told, hint=first.hint, details=first.details)]
