"""Many small requests side by side, all errors told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from tagflow.errors import TagflowError, combine

T = TypeVar("T")
R = TypeVar("R")


def attempt(function: Callable[[T], R], items: Iterable[T], *, threads: int) -> list[R | TagflowError]:
    """Call ``function`` on every item, several at a time; each result, or the error that it raised, in order.

    An interrupt cancels what has not begun and is passed on without waiting for the rest.
    """
    todo: Sequence[T] = list(items)
    if len(todo) <= 1 or threads <= 1:
        return [_caught(function, item) for item in todo]
    pool = ThreadPoolExecutor(max_workers=min(threads, len(todo)), thread_name_prefix="tagflow")
    try:
        futures: list[Future[R | TagflowError]] = [pool.submit(_caught, function, item) for item in todo]
        wait(futures)
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def each(function: Callable[[T], R], items: Iterable[T], *, threads: int) -> list[R]:
    """Like :func:`attempt`, but one error for all where any failed.

    :raises TagflowError: the gravest, telling all.
    """
    results = attempt(function, items, threads=threads)
    errors = [result for result in results if isinstance(result, TagflowError)]
    if errors:
        raise combine(errors)
    return [result for result in results if not isinstance(result, TagflowError)]


def run_all(tasks: Iterable[Callable[[], object]], *, threads: int) -> None:
    """Do different things side by side.

    :raises TagflowError: the gravest, telling all.
    """
    each(lambda task: task(), tasks, threads=threads)


def _caught(function: Callable[[T], R], item: T) -> R | TagflowError:
    try:
        return function(item)
    except TagflowError as error:
        return error
