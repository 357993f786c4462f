"""What the documentation tells to type is typed; what it names is there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer._click.exceptions import ClickException

from tagflow.cli.app import build
from tagflow.cli.commands import COMMANDS
from tests.project.pages import PAGES, blocks, commands, links, script, section
from tests.project.reader import type_in
from tests.project.source import ROOT
from tests.servers import RegistryServer

README = ROOT / "README.md"


def each_page(wrong: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """What is wrong with which page."""
    found = {str(page.relative_to(ROOT)): list(wrong(page)) for page in PAGES}
    return {page: it for page, it in found.items() if it}


@cache
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


def test_commands_and_options_exist() -> None:
    def unknown(page: Path) -> Iterator[object]:
        for name, *rest in commands(page):
            if name in ("--help", "--version", "--install-completion", "--show-completion") or "--help" in rest:
                continue
            try:
                known()[name].make_context(name, list(rest))
            except (KeyError, ClickException) as error:
                yield name, *rest, error

    assert each_page(unknown) == {}


def test_readme_lists_every_command() -> None:
    rows = re.findall(r"^\| `(\w+)", section(README, "Commands"), re.M)
    assert sorted(rows) == sorted(known())


def test_commands_in_running_text_exist() -> None:
    assert each_page(lambda page: set(re.findall(r"`tagflow ([a-z]+)", page.read_text())) - known().keys()) == {}


def test_links_lead_somewhere() -> None:
    assert each_page(lambda page: [link for link in links(page) if not (page.parent / link).exists()]) == {}


def test_makefile_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.M)}
    assert {"demo", "test", "check", "format", "clean"} <= targets
    assert named <= targets


def test_source_files_that_are_named_exist() -> None:
    roots = (ROOT, ROOT / "src" / "tagflow")

    def missing(page: Path) -> list[str]:
        named = set(re.findall(r"`((?:src/tagflow/|tests/|examples/)?(?:\w+/)+[\w.]+\.(?:py|sh))`", page.read_text()))
        return [name for name in sorted(named) if not any((root / name).exists() for root in roots)]

    assert each_page(missing) == {}


def test_tagflow_is_never_installed_by_its_name_alone() -> None:
    """An index of packages knows the name as another project's: pip, pipx and uv are told where to take it from."""
    bare = re.compile(r"[Ii]nstall\s(?:-\S+ )*[`'\"]?tagflow(?!\S* @ git\+)\S*")
    sources = {str(path.relative_to(ROOT)): bare.findall(path.read_text()) for path in (ROOT / "src").rglob("*.py")}
    assert each_page(lambda page: bare.findall(page.read_text())) == {}
    assert {path: found for path, found in sources.items() if found} == {}


def test_every_variable_is_told_of() -> None:
    quoted = re.compile(r"\"((?:TAGFLOW|GITHUB|GITLAB)_[A-Z_]+[A-Z]|NO_COLOR|FORCE_COLOR|XDG_CACHE_HOME)\"")
    known = {name for path in (ROOT / "src").rglob("*.py") for name in quoted.findall(path.read_text())}
    told = " ".join(page.read_text() for page in PAGES if page.name != "CHANGELOG.md")
    assert len(known) > 10
    assert {name for name in known if name not in told} == set()


def test_pictures_load_nothing() -> None:
    for picture in (ROOT / "docs" / "pictures").glob("*.svg"):
        text = picture.read_text()
        assert ElementTree.fromstring(text).tag.endswith("svg"), picture
        assert not re.search(r"url\((?!#)|href=|@import", text), picture
