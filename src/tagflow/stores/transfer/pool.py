"""A worker pool: several threads that do one kind of work at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def _nothing() -> None:
    """What is done on failure where nothing was asked for."""


class WorkerPool:
    """A pool of threads; with one thread, the caller's own.

    Work given to it must not give it work and wait: once every thread waited, none would be left to end the wait.
    """

    def __init__(self, threads: int = 8) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tagflow-store") if threads > 1 else None

    def map(self, work: Callable[[T], R], items: Iterable[T], *, on_failure: Callable[[], None] = _nothing) -> list[R]:
        """The results for all items, in their order.

        When one fails, work not begun is dropped, ``on_failure`` may ask the rest to end soon, and once it has ended
        the first failure is raised. When the user interrupts, nothing is waited for.
        """
        todo = list(items)
        if self._pool is None or len(todo) == 1:
            return _in_turn(work, todo, on_failure)
        futures = [self._pool.submit(work, item) for item in todo]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException as failure:
            on_failure()
            for future in futures:
                future.cancel()
            if isinstance(failure, Exception):
                wait(futures)
            raise
        return [future.result() for future in futures]

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=True)


def _in_turn(work: Callable[[T], R], items: Iterable[T], on_failure: Callable[[], None]) -> list[R]:
    try:
        return [work(item) for item in items]
    except BaseException:
        on_failure()
        raise
