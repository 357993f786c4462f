"""One at a time; and what could not be asked for the first is not asked again for those who waited behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from tagflow.errors import StoreError


class Turns:
    """A lock whose waiters take over how it ended: where a token server is silent, each of a hundred repositories would
    spend all of its tries on it, one after the other.

    Errors of the kind ``own`` concern one of them alone. Whoever comes later asks anew.
    """

    def __init__(self, own: type[StoreError]) -> None:
        self._own = own
        self._lock = Lock()
        self._failure: StoreError | None = None

    @contextmanager
    def take(self) -> Iterator[None]:
        """One turn, after those that came before.

        :raises StoreError: that of a turn which failed while this one waited.
        """
        before = self._failure
        with self._lock:
            if self._failure is not None and self._failure is not before:
                raise self._failure
            try:
                yield
            except self._own:
                raise
            except StoreError as error:
                self._failure = error
                raise
