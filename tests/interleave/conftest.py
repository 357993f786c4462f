"""Each worker plays its schedules on a core of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.interleave.cores import one_core


@pytest.fixture(autouse=True, scope="module")
def _one_core() -> Iterator[None]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    with one_core(int(worker) if worker.isdigit() else os.getpid()):
        yield
