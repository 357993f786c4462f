"""Two machines with a Docker Engine: one that builds, one that has nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.daemons import Daemon, running_daemon


@pytest.fixture(scope="module")
def builder() -> Iterator[Daemon]:
    """The daemon on which images are built."""
    with running_daemon() as running:
        yield running


@pytest.fixture(scope="module")
def production() -> Iterator[Daemon]:
    """Another machine's daemon, on which nothing was ever pulled."""
    with running_daemon() as running:
        yield running
