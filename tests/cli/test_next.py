"""`next`: one version on standard output, and on standard error what decided it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images
from tests.cli.runner import POLICY, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write(POLICY + 'tags: {version: "{version}"}\n')
    return desk


def tag(desk: Desk, image: str, *tags: str) -> None:
    store = LayoutStore(Repository(f"oci:{desk.path}/registry", image))
    for name in tags:
        images.index(store, seed=name, tag=name)


def test_it_names_what_decided(desk: Desk) -> None:
    tag(desk, "frontend", "1.2.0", "2021.12.16", "2026.02.0", "1.2.3.4", "main")
    tag(desk, "back_end", "1.3.0")
    done = desk.quickly("next")
    assert (done.status, done.out) == (0, "1.3.1\n")
    assert done.err.splitlines() == [
        f"after 1.3.0 of backend (oci:{desk.path}/registry/back_end)",
        "higher, but not counted: 2021.12.16: no environment admitted it, and it is of another shape",
        "no version under this policy: 2026.02.0, 1.2.3.4",
    ]
    assert desk.json("next")["result"] == {"current": "1.3.0", "next": "1.3.1"}


def test_it_says_why_a_higher_one_did_not_count(desk: Desk) -> None:
    tag(desk, "frontend", "1.0", "3.0", "4")
    tag(desk, "back_end", "1.0")
    desk.act("promote", "1.0", "--to", "dev")
    done = desk.quickly("next")
    assert (done.out, done.err.splitlines()[1:]) == (
        "1.0.1\n",
        [
            "higher, but not counted: 3.0: no environment admitted it, and it is more than one major version ahead",
            "higher, but not counted: 4: no environment admitted it, and it is of another shape",
        ],
    )


def test_of_one_image(desk: Desk) -> None:
    tag(desk, "frontend", "1.2.0")
    tag(desk, "back_end", "1.3.0")
    assert desk.quickly("next", "--image", "frontend").out == "1.2.1\n"
    assert desk.quickly("next", "minor", "--image", "frontend").out == "1.3.0\n"
    assert desk.quickly("next", "--image", "frontend", "--image", "backend").out == "1.3.1\n"
    assert desk.json("next", "--image", "fronted")["error"]["code"] == "image.not_found"


def test_none_yet(desk: Desk) -> None:
    done = desk.quickly("next")
    assert (done.out, done.err) == ("0.1.0\n", "no image has a version yet\n")
    assert desk.quickly("next", "prerelease").out == "0.1.0-rc.1\n"


def test_an_admitted_version_counts_before_a_stray_one(desk: Desk) -> None:
    tag(desk, "frontend", "10.11.4", "2021.12.16", "6038261", "2021.12.15", "2020.1.1")
    tag(desk, "back_end", "10.11.4")
    assert desk.quickly("promote", "10.11.4", "--to", "dev").status == 0
    done = desk.quickly("next")
    assert done.out == "10.11.5\n"
    assert "not counted: 6038261, 2021.12.16, 2021.12.15, 2020.1.1:" in done.err


def test_natural_versions(desk: Desk) -> None:
    desk.write(POLICY + 'tags: {version: "{version}", versions: natural}\n')
    tag(desk, "frontend", "2025.11.1", "2026.02.0")
    assert desk.quickly("next").out == "2026.02.1\n"
    assert desk.quickly("next", "minor").out == "2026.03\n"


def test_an_order_that_a_reader_would_see_otherwise(desk: Desk) -> None:
    tag(desk, "frontend", "1.3.0-rc9", "1.3.0-rc10")
    error = desk.json("next")["error"]
    assert error["code"] == "version.order"
    assert "1.3.0-rc.10" in error["hint"]
    assert "`versions: natural`" in error["hint"]


@pytest.mark.parametrize("target", ["frontend=v1.2.3", "frontend:sha-ae183bd", "frontend=sha-ae183bd"])
def test_a_build_in_a_layout_gets_the_name_that_was_asked_for(tmp_path: Path, target: str) -> None:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    tag(desk, "frontend", "1.2.3", "sha-ae183bd")
    failed = desk.quickly("promote", target, "--to", "dev")
    (command,) = re.findall(r"`tagflow (push [^`]*)`", failed.err)
    assert desk.quickly(*shlex.split(command.replace("VERSION", "v1.2.3"))).status == 0
    assert desk.json("status", "dev")["result"]["images"][0]["environments"][0]["version"] == "v1.2.3"
