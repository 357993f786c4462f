"""Work that cannot be stopped from outside, such as a name look-up, done so that nobody waits for it too long."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class _Errand(Generic[T]):
    def __init__(self, work: Callable[[], T], discard: Callable[[T], None]) -> None:
        self._work, self._discard = work, discard
        self.results: list[T] = []
        self.errors: list[BaseException] = []
        self.late = False

    def run(self) -> None:
        try:
            result = self._work()
        except BaseException as exc:  # noqa: BLE001 - it is raised again where it is waited for
            self.errors.append(exc)
            return
        if self.late:
            self._discard(result)
        else:
            self.results.append(result)


def in_time(work: Callable[[], T], seconds: float, discard: Callable[[T], None]) -> T:
    """The result of ``work``, and what it raises. ``discard`` takes a result that comes too late.

    :raises TimeoutError: it takes longer than ``seconds``; it goes on in a thread that ends with the process.
    """
    errand = _Errand(work, discard)
    thread = Thread(target=errand.run, name="tagflow-connect", daemon=True)
    thread.start()
    try:
        thread.join(seconds)
    finally:
        errand.late = True
    if errand.errors:
        raise errand.errors[0]
    if errand.results:
        return errand.results[0]
    raise TimeoutError(f"not done within {seconds:.0f} s")
