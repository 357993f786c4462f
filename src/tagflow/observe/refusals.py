"""Which repositories could not be read, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError, TagflowError, few

E = TypeVar("E", bound=TagflowError)


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
        """Why, with the names of what could not be read."""
        return list(dict.fromkeys(named(self._why.items())))


def named(refused: Iterable[tuple[Repository, E]]) -> list[E | StoreError]:
    """The errors of some repositories, with the names of those that cannot be read for the same reason: a registry
    that fails does not say where it was asked. Of such there is one error."""
    errors = list(refused)
    alike: dict[str, set[str]] = {}
    for repository, error in errors:
        alike.setdefault(error.message, set()).add(str(repository))
    told: dict[str, E | StoreError] = {}
    for _, error in errors:
        if error.message not in told:
            told[error.message] = _naming(error, sorted(alike[error.message]))
    return [told[error.message] for _, error in errors]


def _naming(error: E, names: Sequence[str]) -> E | StoreError:
    if not isinstance(error, StoreError) or all(name in error.message for name in names):
        return error
    message = f"{error.message}; what cannot be read for that: {few(names)}"
    return StoreError(error.code, message, hint=error.hint, details=error.details)
