"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.runner import POLICY, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A directory with a policy on OCI layouts, and nothing pushed yet."""
    made = Desk(tmp_path)
    made.write(POLICY)
    return made
