"""A release on each simulated registry, by the command itself: pushed, promoted, taken back, verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images
from tests.cli.runner import Desk, Done
from tests.marks import mostly_long
from tests.registries.brands import BRANDS, Brand
from tests.registries.fixtures import OpenBrand
from tests.registries.network import Network

POLICY = """\
version: 1
registry: {registry}
images: {{app: app}}
create_repositories: true
environments:
  dev: {{}}
  prod: {{floating: [latest, major]}}
"""


@pytest.fixture(params=mostly_long(BRANDS, "ecr"))
def brand(request: pytest.FixtureRequest, open_brand: OpenBrand) -> Brand:
    return open_brand(str(request.param))


@pytest.fixture
def desk(brand: Brand, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write(POLICY.format(registry=f"{brand.host}/{brand.namespace}"))
    for version in ("v1.0", "v1.1"):
        store = LayoutStore(Repository(f"oci:{tmp_path}/builds", version))
        images.index(store, seed=version, tag=version)
    return desk


def run(desk: Desk, brand: Brand, *command: str) -> Done:
    environ = {key: value for key, value in brand.environ.items() if key != "PATH"}
    return desk.quickly(*command, AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing", **environ)


def do(desk: Desk, brand: Brand, *command: str) -> None:
    done = run(desk, brand, *command)
    assert done.status == 0, done.err


def test_from_push_to_rollback(brand: Brand, desk: Desk, internet: Network) -> None:
    for version in ("v1.0", "v1.1"):
        do(desk, brand, "push", version, f"app=oci:builds/{version}")
        do(desk, brand, "promote", version, "--to", "prod")
    tags = brand.registry.repos[f"{brand.namespace}/app"].tags
    assert tags["prod"] == tags["v1.1"] == tags["v1.1-prod"] == tags["latest"] == tags["v1"]
    do(desk, brand, "rollback", "prod")
    assert tags["prod"] == tags["v1.0"] == tags["latest"] != tags["v1.1"]
    do(desk, brand, "verify")
    do(desk, brand, "doctor")
    alone = [asked for _, asked in internet.asked if asked.method == "PUT" and asked.path.endswith("/manifests/latest")]
    assert bool(alone) == (not brand.registry.quirks.multitag)


@pytest.mark.parametrize(
    "brand", mostly_long([name for name in BRANDS if name not in ("ghcr", "zot")], "ecr"), indirect=True
)
def test_an_environment_tag_that_may_not_move(brand: Brand, desk: Desk) -> None:
    """A rule of the registry that leaves out no environment tag: nothing runs anywhere else than before."""
    for version in ("v1.0", "v1.1"):
        do(desk, brand, "push", version, f"app=oci:builds/{version}")
    do(desk, brand, "promote", "v1.0", "--to", "prod")
    tags = brand.registry.repos[f"{brand.namespace}/app"].tags
    before = {name: tags[name] for name in ("prod", "latest", "v1")}
    brand.registry.locked.add("prod")
    done = run(desk, brand, "promote", "v1.1", "--to", "prod", "-o", "json")
    assert (done.status, done.document["error"]["code"]) == (3, "tag.immutable")
    assert {name: tags[name] for name in before} == before
    assert run(desk, brand, "status", "-o", "json").status == 0
