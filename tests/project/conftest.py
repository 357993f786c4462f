"""What the tests of the project share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.project.clone import clone as copy_of_the_repository


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that no test changes."""
    return copy_of_the_repository(tmp_path_factory.mktemp("clone") / "tagflow")


@pytest.fixture
def clone(repository: Path, tmp_path: Path) -> Path:
    """A clone of the repository, for one reader."""
    return Path(shutil.copytree(repository, tmp_path / "tagflow"))
