"""What the documentation takes from the code is what the code says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from importlib import util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.cli.runner import Desk
from tests.project.pages import PAGES
from tests.project.source import ROOT


def tool(name: str) -> ModuleType:
    """A script of tools/ as a module."""
    spec = util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


REFERENCE, SITE = tool("reference"), tool("site")
JSON = (ROOT / "docs" / "json.md").read_text()


def test_pages_made_from_the_code_are_not_stale() -> None:
    stale = [path.name for path, text in REFERENCE.pages().items() if path.read_text() != text]
    assert stale == [], "run `make reference` and look at what changed"


def test_the_command_page_has_every_command_and_option() -> None:
    text = REFERENCE.commands()
    assert "\n## promote\n" in text
    assert "| `--save-plan FILE` |" in text
    assert re.search(r"^tagflow rollback .*ENV", text, re.M)


def test_the_table_has_keys_at_every_depth() -> None:
    text = REFERENCE.keys()
    for key in ("registry", "environments.NAME.freeze[].timezone", "notify[].webhook", "images.NAME.repository"):
        assert f"| `{key}` |" in text


def keys(value: object) -> Iterator[str]:
    """Every key of a JSON value."""
    for it in value if isinstance(value, list) else [value]:
        if isinstance(it, Mapping):
            yield from it
            for inner in it.values():
                yield from keys(inner)


POLICY = """\
version: 1
registry: oci:./registry
images: {frontend: frontend}
environments:
  dev: {}
  prod: {gates: [{name: scan, run: "true"}]}
"""


@pytest.fixture
def documents(tmp_path: Path) -> dict[str, Any]:
    """The result of every command that needs no daemon."""
    desk = Desk(tmp_path)
    desk.write(POLICY)
    desk.build("v1.0", "frontend")
    moved = (
        desk.json("promote", "v1.0", "--to", "dev")["result"] | desk.json("promote", "v1.0", "--to", "prod")["result"]
    )
    found = {"push, promote, rollback, apply": moved}
    (tmp_path / "compose.yaml").write_text("services: {frontend: {image: frontend}}\n")
    for words in (
        ["status"],
        ["history", "prod"],
        ["tags", "v1.0"],
        ["next"],
        ["doctor"],
        ["diff", "dev", "prod"],
        ["stats", "prod"],
        ["pin", "prod", "compose.yaml"],
    ):
        found[words[0]] = desk.json(*words)["result"]
    return found


def test_the_json_page_has_every_key(documents: dict[str, Any]) -> None:
    rows = {
        row: set(re.findall(r"`(\w+)`", text)) for row, text in re.findall(r"^\| (`\w+.*?) \| (.+) \|$", JSON, re.M)
    }
    for command, result in documents.items():
        row = ", ".join(f"`{name}`" for name in command.split(", "))
        assert set(keys(result)) == rows[row], command


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("../../examples/ci/promote.sh", "https://git.test/tagflow/blob/main/examples/ci/promote.sh"),
        ("../../examples/ci", "https://git.test/tagflow/tree/main/examples/ci"),
        ("../registries.md#credentials", "../registries.md#credentials"),
        ("../../no/such/file", "../../no/such/file"),
    ],
)
def test_links_out_of_the_site_lead_to_the_repository(link: str, leads_to: str) -> None:
    """What does not exist is left as it is: the strict build complains of it."""
    page = SimpleNamespace(file=SimpleNamespace(abs_src_path=str(ROOT / "docs" / "howto" / "shell.md")))
    config = {"docs_dir": str(ROOT / "docs"), "repo_url": "https://git.test/tagflow"}
    assert SITE.on_page_markdown(f"[it]({link})", page=page, config=config) == f"[it]({leads_to})"


def test_the_site_is_built_strictly() -> None:
    """`--quiet` would hide the warnings that `--strict` counts."""
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "mkdocs build" in line]
    assert "--strict" in line
    assert "--quiet" not in line


def test_pages_name_no_address_of_this_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/work/|/tmp/|pypi\.org/simple", page.read_text()), page
