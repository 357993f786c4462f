"""First logins take turns: what fails is told to those who waited, and asked anew by those who come later."""

from __future__ import annotations

import threading
from types import TracebackType

import pytest

from tagflow.errors import StoreError
from tagflow.stores.registry.auth.authenticator import AccessDenied
from tagflow.stores.registry.auth.turns import Turns

MANY = 5
SILENT = StoreError("registry.timeout", "silent")
REFUSED = AccessDenied("auth.denied", "refused")


class Door:
    """A lock before which so many have to stand until whoever is inside goes on."""

    def __init__(self) -> None:
        self.inside, self.all_there = threading.Lock(), threading.Semaphore(0)

    def __enter__(self) -> None:
        self.all_there.release()
        self.inside.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.inside.release()


@pytest.mark.parametrize(("error", "tries"), [(SILENT, 1), (REFUSED, MANY)], ids=["silent", "refused"])
def test_many_wait_for_the_first(monkeypatch: pytest.MonkeyPatch, error: StoreError, tries: int) -> None:
    """A server that cannot be asked is asked once; a refusal concerns one alone."""
    turns, door = Turns(AccessDenied), Door()
    monkeypatch.setattr(turns, "_lock", door)
    tried: list[int] = []
    told: list[StoreError] = []

    def ask() -> None:
        try:
            with turns.take():
                tried.append(1)
                if len(tried) == 1:
                    for _ in range(MANY):
                        assert door.all_there.acquire(timeout=60)
                raise error
        except StoreError as failed:
            told.append(failed)

    threads = [threading.Thread(target=ask) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (told, len(tried)) == ([error] * MANY, tries)


def test_whoever_comes_later_asks_anew() -> None:
    turns = Turns(AccessDenied)
    with pytest.raises(StoreError, match="silent"), turns.take():
        raise SILENT
    with turns.take():
        pass
