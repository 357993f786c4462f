"""`tags` without a parser says what it says with one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest

from tagflow.cli import process
from tests.cli.runner import Desk, surroundings

POLICY = """\
version: 1
registry: oci:./registry
images: {app: app}
environments: {dev: {}, prod: {floating: [latest]}}
"""
PLAIN = (
    ("tags", "v1.0"),
    ("tags", "1.0", "--env", "prod"),
    ("tags", "--env=prod", "v1.0", "--env", "dev"),
    ("-o", "json", "tags", "v1.0"),
    ("-ojson", "tags", "v1.0"),
    ("tags", "v1.0", "-f", "other/promotion.yaml"),
    ("--policy", "other/promotion.yaml", "tags", "v1.0", "--output=json"),
    ("tags", "v1.0", "--env", "nosuch", "-o", "json"),
    ("tags", "01.0"),
    ("tags", "-"),
    ("tags", ""),
    ("tags", "v1.0", "-o", "xml"),
    ("tags", "v1.0", "-f", "nosuch.yaml"),
)
OTHER = (
    ("tags",),
    ("tags", "v1.0", "v1.1"),
    ("tags", "--", "v1.0"),
    ("tags", "v1.0", "--env", ""),
    ("tags", "v1.0", "--env"),
    ("--env", "prod", "tags", "v1.0"),
    ("tags", "v1.0", "--en", "prod"),
    ("tags", "v1.0", "-f", "a", "-f", "b"),
    ("-ojson", "tags", "v1.0", "-o", "text"),
    ("tags", "v1.0", "-v"),
    ("tags", "v1.0", "--timeout", "0s"),
    ("tags", "v1.0", "-h"),
    ("tag", "v1.0"),
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/promotion.yaml").write_text(POLICY.replace("prod", "live"))
    return desk


@pytest.mark.parametrize(("lines", "plain"), [(PLAIN, True), (OTHER, False)], ids=["plain", "other"])
def test_both_ways_tell_the_same(desk: Desk, lines: tuple[tuple[str, ...], ...], plain: bool) -> None:
    for line in lines:
        with patch("typer.main.get_command", side_effect=AssertionError) if plain else nullcontext():
            one = desk.quickly(*line)
        with patch.object(process, "tags_as_typed", return_value=False):
            other = desk.quickly(*line)
        assert one == other, line


def test_nothing_of_a_parser_is_imported(desk: Desk) -> None:
    code = "import sys; from tagflow.cli.main import run; run(['tags', 'v1.0']); print('typer' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=desk.path, env=surroundings(desk.path, {}), capture_output=True, check=True
    )
    assert done.stdout.decode().split()[-1] == "False"
