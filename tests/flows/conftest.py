"""What the tests of the flows share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from tagflow import workers


class _Inline(Executor):
    """A pool of one thread, which is the caller's: as deterministic, and without the price of a thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - as the pool does
            future.set_exception(error)
        return future


def _executor(max_workers: int, thread_name_prefix: str = "") -> Executor:
    return _Inline() if max_workers == 1 else ThreadPoolExecutor(max_workers, thread_name_prefix)


@pytest.fixture(autouse=True)
def _single_threads_run_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most worlds have one thread: thousands of pools of one would take most of the time."""
    monkeypatch.setattr(workers, "ThreadPoolExecutor", _executor)
