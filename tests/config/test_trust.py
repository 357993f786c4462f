"""A policy that somebody else may have put there is not taken by itself; what it includes keeps nobody waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tagflow.config.load import find_policy, load_policy
from tagflow.errors import UsageError
from tests.cli.runner import POLICY, Desk

OTHER = 12345


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy, and one below it."""
    (tmp_path / "below").mkdir()
    (tmp_path / "promotion.yaml").write_text(POLICY)
    return tmp_path


def refused(start: Path) -> str:
    with pytest.raises(UsageError) as caught:
        find_policy(start)
    assert caught.value.code == "policy.untrusted"
    return caught.value.message + " " + caught.value.hint


def test_one_of_ones_own_is_found_from_below(folder: Path) -> None:
    assert find_policy(folder / "below") == folder / "promotion.yaml"
    assert find_policy(folder) == folder / "promotion.yaml"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to give a file to another user")
@pytest.mark.parametrize("what", [".", "promotion.yaml"])
def test_one_of_another_user(folder: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(folder / what, OTHER, OTHER)
    for start in (folder, folder / "below"):
        assert "another user owns" in refused(start)
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    assert find_policy(folder) == folder / "promotion.yaml"


@pytest.mark.parametrize(("what", "mode"), [(".", 0o777), ("promotion.yaml", 0o666)])
def test_one_that_anybody_may_write_to(folder: Path, what: str, mode: int) -> None:
    (folder / what).chmod(mode)
    told = refused(folder / "below")
    assert "anybody may write to" in told
    assert f"--policy {folder / 'promotion.yaml'}" in told
    assert find_policy(folder) == folder / "promotion.yaml"


def test_in_a_folder_like_tmp_only_the_owner_changes_a_file(folder: Path) -> None:
    folder.chmod(0o1777)
    assert find_policy(folder / "below") == folder / "promotion.yaml"


def test_naming_it_is_trusting_it(folder: Path) -> None:
    folder.chmod(0o777)
    desk = Desk(folder / "below")
    assert desk.json("tags", "v1.0")["error"]["code"] == "policy.untrusted"
    assert desk.quickly("tags", "v1.0", "-f", "../promotion.yaml").status == 0
    assert desk.quickly("tags", "v1.0", TAGFLOW_POLICY="../promotion.yaml").status == 0


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_an_include_that_never_ends(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "more.yaml")
    else:
        (tmp_path / "more.yaml").symlink_to("/dev/zero")
    (tmp_path / "promotion.yaml").write_text(POLICY + "include: [more.yaml]\n")
    with pytest.raises(
        UsageError, match=r":8:11: the included file 'more\.yaml' cannot be read: it is no regular file"
    ):
        load_policy(tmp_path / "promotion.yaml")


def test_the_other_ending_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "promotion.yml").write_text(POLICY)
    with pytest.raises(UsageError) as caught:
        find_policy(tmp_path)
    assert (
        caught.value.hint == "There is a promotion.yml: call it promotion.yaml, or name it with --policy promotion.yml."
    )
