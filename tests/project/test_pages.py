"""What the documentation tells to type is typed; what it names is there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tagflow.cli.app import build
from tagflow.cli.commands import COMMANDS
from tests.project.pages import PAGES, blocks, commands, links, script, section
from tests.project.reader import type_in
from tests.project.source import ROOT
from tests.servers import RegistryServer

README = ROOT / "README.md"
TYPED = [
    pytest.param(page, words, id=f"{page.relative_to(ROOT)}: tagflow {' '.join(words)}")
    for page in PAGES
    for words in commands(page)
]


def known() -> Mapping[str, Any]:
    """The commands by name."""
    return {name: build(name) for name in COMMANDS}


def running(folder: Path) -> dict[tuple[str, str], str]:
    """Which version of which image runs in which environment."""
    document = json.loads(type_in("tagflow status -o json", folder))
    return {
        (image["image"], cell["environment"]): cell["version"]
        for image in document["result"]["images"]
        for cell in image["environments"]
    }


def test_first_promotion_and_way_back_on_disk(clone: Path) -> None:
    type_in(script(README, "On disk"), clone)
    assert running(clone)["frontend", "prod"] == running(clone)["backend", "prod"] == "v1.1"
    back, again = script(README, "Go back").split("tagflow promote", 1)
    told = type_in(back, clone)
    assert running(clone)["frontend", "prod"] == "v1.0"
    assert "the start page is blank" in told
    type_in("tagflow promote" + again, clone)
    assert running(clone)["frontend", "prod"] == "v1.1"


@pytest.mark.registry
def test_first_promotion_on_a_registry(clone: Path, registry: RegistryServer) -> None:
    for version in ("v1.0", "v1.1"):
        type_in(f"python3 examples/demo/build.py {version} build", clone)
    typed = "".join(
        it.body for it in blocks(README, "On a registry of your own") if it.kind == "sh" and not it.left_out
    )
    told = type_in(typed.replace("localhost:5000/shop", str(registry.fresh("readme"))), clone)
    assert "v1.1\n" in told
    assert running(clone / "shop")["frontend", "test"] == "v1.1"
    assert running(clone / "shop")["frontend", "prod"] == "v1.0"


@pytest.mark.parametrize(("page", "words"), TYPED)
def test_commands_and_options_exist(page: Path, words: list[str]) -> None:
    name, *rest = words
    if name not in ("--help", "--version", "--install-completion", "--show-completion"):
        command = known()[name]
        assert "--help" in rest or command.make_context(name, rest).command is command


def test_readme_lists_every_command() -> None:
    rows = re.findall(r"^\| `(\w+)", section(README, "Commands"), re.M)
    assert sorted(rows) == sorted(known())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_running_text_exist(page: Path) -> None:
    named = set(re.findall(r"`tagflow ([a-z]+)", page.read_text()))
    assert named - known().keys() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_makefile_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.M)}
    assert {"demo", "test", "check", "format", "clean"} <= targets
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_source_files_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`((?:src/tagflow/|tests/|examples/)?(?:\w+/)+[\w.]+\.(?:py|sh))`", page.read_text()))
    roots = (ROOT, ROOT / "src" / "tagflow")
    assert {name for name in named if not any((root / name).exists() for root in roots)} == set()


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "pictures").glob("*.svg")), ids=lambda it: it.stem)
def test_pictures_load_nothing(picture: Path) -> None:
    text = picture.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert not re.search(r"url\((?!#)|href=|@import", text)
