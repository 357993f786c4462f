"""A warm process for each worker, and the registry where a scene wants one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.race.nursery import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Who starts the commands."""
    started = Nursery()
    yield started
    started.stop()
