"""Every command block of the documentation is run, or says in a comment before it why not.

A page is one session: its blocks are typed in order, in a folder in which what the page supposes is there. Registries
that need an account are played by a real docker-registry on loopback: only the address is another.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.marks import LONG, mostly_long
from tests.project.pages import PAGES, Block, blocks
from tests.project.reader import type_in
from tests.project.source import ROOT
from tests.servers import RegistryServer

HOWTO = ROOT / "docs" / "howto"
README = ROOT / "README.md"
REGISTRIES = sorted(page for page in HOWTO.glob("*.md") if "tagflow init" in page.read_text())
ON_DISK = [ROOT / "docs" / "json.md", ROOT / "docs" / "report.md", HOWTO / "shell.md"]
ANYWHERE = [ROOT / "docs" / "completion.md"]
PIN = ROOT / "docs" / "pin.md"
PAGES_PLAYED = {*REGISTRIES, *ON_DISK, *ANYWHERE, PIN, ROOT / "docs" / "tutorial.md"}
SECTIONS = ("On disk", "On a registry of your own", "On Docker Hub", "Go back")
"""Those of the README are played by test_pages.py, which looks at what came of them."""
ELSEWHERE = {ROOT / "CONTRIBUTING.md", ROOT / "docs" / "trust.md", ROOT / "docs" / "running.md"}
"""make and pytest: whoever reads a failure of this test has just run them. The other pages have tests of their own that
type what they say: tests/trust/test_other_tools.py and tests/project/test_deploying.py."""
_DAEMON = re.compile(r"docker-daemon:(\w+):(build|next)")
_VERSIONS = {"build": "v1.0", "next": "v1.1"}


def typed(page: Path, title: str = "") -> list[Block]:
    """What a reader of a page types, without what needs an account or the network."""
    return [block for block in blocks(page, title) if block.kind == "sh" and not block.left_out]


def play(page: Path, folder: Path, address: str = "", instead: str = "", *, title: str = "") -> str:
    """Type in a page, or a section of it: ``instead`` of the registry ``address``; what it prints. Images are built as
    layouts on disk."""
    told = []
    place = folder
    for block in typed(page, title):
        body = block.body.replace(address, instead) if address else block.body
        body = _DAEMON.sub(lambda match: f"oci:{folder}/build/{match[1]}:{_VERSIONS[match[2]]}", body)
        told.append(type_in(body, place, block.status))
        if entered := re.search(r"^mkdir (\w+) && cd \1$", body, re.M):
            place = place / entered[1]
    return "\n".join(told)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder of a reader's own, no clone: two releases are built there, and the scripts of a page lie there."""
    script = tmp_path / "examples" / "ci" / "promote.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "ci" / "promote.sh", script)
    build(tmp_path)
    return tmp_path


def build(folder: Path) -> None:
    """Two releases of the demo, as OCI layouts in build/."""
    for version in _VERSIONS.values():
        command = [sys.executable, str(ROOT / "examples" / "demo" / "build.py"), version, "build"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


def prod(folder: Path) -> set[str]:
    document = json.loads(type_in("tagflow status prod -o json", folder))
    return {cell["version"] for image in document["result"]["images"] for cell in image["environments"]}


@pytest.mark.registry
def test_the_tutorial(clone: Path, registry: RegistryServer) -> None:
    told = play(ROOT / "docs" / "tutorial.md", clone, "localhost:5000/shop", str(registry.fresh("tutorial")))
    assert "v1.0-prod\n" in told
    assert prod(clone / "tutorial") == {"v1.1"}
    assert prod(clone / "tutorial" / "shop") == {"v1.0"}
    assert "the start page is blank" in told


@pytest.mark.registry
@pytest.mark.parametrize("page", mostly_long(REGISTRIES, HOWTO / "distribution.md"), ids=lambda page: page.stem)
@LONG
def test_each_registry(page: Path, built: Path, registry: RegistryServer) -> None:
    (address,) = re.findall(r"tagflow init --registry (\S+)", page.read_text())
    play(page, built, address, str(registry.fresh("howto")))
    assert prod(built) == {"v1.0"}


@pytest.mark.registry
def test_the_readme_on_docker_hub(clone: Path, registry: RegistryServer) -> None:
    build(clone)
    play(README, clone, "docker.io/YOUR_NAME", str(registry.fresh("hub")), title="On Docker Hub")
    assert prod(clone / "hub") == {"v1.0"}


@pytest.mark.registry
def test_the_page_on_pin(built: Path, registry: RegistryServer) -> None:
    """What prod runs, in a compose file and in the values of a chart; then it is checked."""
    address = str(registry.fresh("pin"))
    type_in(
        f"""
        tagflow init --registry {address} --image frontend --image backend --env dev --env prod
        tagflow push v1.0 frontend=oci:build/frontend:v1.0 backend=oci:build/backend:v1.0
        tagflow promote v1.0 --to prod
        """,
        built,
    )
    deploy = built / "deploy"
    deploy.mkdir()
    (deploy / "compose.yaml").write_text(f"services:\n  web:\n    image: {address}/frontend:v0.9   # the pages\n")
    (deploy / "values-prod.yaml").write_text(f"api:\n  image: {address}/backend:v0.9\n")
    play(PIN, built)
    assert f"image: {address}/frontend:v1.0@sha256:" in (deploy / "compose.yaml").read_text()
    assert f"image: {address}/backend:v1.0@sha256:" in (deploy / "values-prod.yaml").read_text()


@pytest.mark.parametrize("page", ON_DISK, ids=lambda page: page.stem)
@LONG
def test_pages_about_a_release_that_is_there(page: Path, built: Path) -> None:
    """v1.0 is in dev, test and prod."""
    type_in(
        """
        tagflow init --registry oci:./images --image frontend --image backend --env dev --env test --env prod
        tagflow push v1.0 frontend=oci:build/frontend:v1.0 backend=oci:build/backend:v1.0
        tagflow promote v1.0 --to test
        tagflow promote v1.0 --to prod
        """,
        built,
    )
    assert re.search(r"^frontend\b", play(page, built), re.M)


@pytest.mark.parametrize("page", ANYWHERE, ids=lambda page: page.stem)
def test_pages_that_suppose_nothing(page: Path, tmp_path: Path) -> None:
    assert play(page, tmp_path).strip()


def test_every_registry_has_a_page() -> None:
    assert len(REGISTRIES) == 11


def test_no_block_is_left_out_silently() -> None:
    assert {page for page in PAGES for block in blocks(page) if block.left_out and block.kind != "sh"} == set()
    played = [it for title in SECTIONS for it in blocks(README, title)]
    unplayed = {
        str(page.relative_to(ROOT)): [it.body for it in typed(page) if page != README or it not in played]
        for page in PAGES
        if page not in PAGES_PLAYED | ELSEWHERE
    }
    assert {page: bodies for page, bodies in unplayed.items() if bodies} == {}
