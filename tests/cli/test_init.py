"""`init` looks around, proposes what loads, and never stands in the way."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest

from tagflow.cli.propose import Built, Clues, Custom, Proposal, custom, propose, read_compose, together
from tagflow.config.load import load_policy
from tagflow.domain.policy import Policy
from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Store
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Desk
from tests.servers import RegistryServer, require

COMPOSE = """
x-base: &base
  restart: always
services:
  web:
    <<: *base
    build: ./web
    image: ghcr.io/acme/shop-web:${TAG:-dev}
  api:
    build: {context: ., target: api}
    image: ghcr.io/acme/shop-api
  db:
    image: postgres:16
"""


def written(desk: Desk) -> Policy:
    return load_policy(desk.path / "promotion.yaml")


def names(policy: Policy) -> list[str]:
    return [it.name for it in policy.images]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_images_and_registry_from_compose(desk: Desk) -> None:
    (desk.path / "compose.yaml").write_text(COMPOSE)
    done = desk.quickly("init")
    assert done.status == 0
    policy = written(desk)
    assert str(policy.registry) == "ghcr.io/acme"
    assert names(policy) == ["shop-web", "shop-api"]
    assert done.err.splitlines() == [
        "found compose.yaml: shop-web, shop-api",
        "found compose.yaml: registry ghcr.io/acme",
        "compose.yaml: left out db: it is pulled, not built; --image NAME takes one",
    ]


def test_options_win(desk: Desk) -> None:
    (desk.path / "compose.yaml").write_text(COMPOSE)
    done = desk.quickly("init", "--registry", "oci:./here", "--image", "mine", "--env", "one", "--env", "two")
    assert (done.status, done.err) == (0, "")
    policy = written(desk)
    assert policy.registry.is_layout
    assert names(policy) == ["mine"]
    assert [it.name for it in policy.environments] == ["one", "two"]


def test_json_is_the_path_alone(desk: Desk) -> None:
    (desk.path / "compose.yaml").write_text(COMPOSE)
    assert desk.json("init")["result"] == {"path": "promotion.yaml"}


def test_the_remote_of_git(desk: Desk) -> None:
    git = [require("git"), "-C", str(desk.path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "git@github.com:Acme/Shop.git"], check=True)
    assert desk.quickly("init").status == 0
    assert str(written(desk).registry) == "ghcr.io/acme"
    assert names(written(desk)) == ["shop"]


@pytest.mark.parametrize(
    "text", ["services: [", "\x00", "- a\n- b", "services: {a: {build: ., image: [x]}}", "services:\n"]
)
def test_a_broken_compose_file_is_no_error(desk: Desk, text: str) -> None:
    (desk.path / "compose.yaml").write_text(text)
    (desk.path / "docker-compose.yml").mkdir()
    assert desk.quickly("init").status == 0
    assert written(desk).images


def test_names_that_no_policy_could_have(desk: Desk) -> None:
    (desk.path / "compose.yaml").write_text("services: {dev: {build: .}, latest: {build: .}}")
    done = desk.quickly("init")
    assert done.status == 0
    assert names(written(desk)) == ["app"]
    assert done.err.splitlines() == [
        "compose.yaml: left out dev: 'dev' is called as an environment is",
        "compose.yaml: left out latest: 'latest' is a floating tag",
    ]


LEFT_OUT = [
    ("prod: {build: .}", "left out prod: 'prod' is called as an environment is"),
    ("Api: {build: .}", "left out Api: 'Api' has upper-case letters, which no repository has"),
    (
        "api: {build: ., image: other.test/x/api}",
        "left out other.test/x/api: it is in another registry than most, a.test",
    ),
    ("v2: {build: ., image: a.test/acme/v2.0}", "left out v2: 'v2.0' reads as a version"),
    ("db: {image: a.test/acme/db}", "left out db: it is pulled, not built; --image NAME takes one"),
]


@pytest.mark.parametrize(("service", "told"), LEFT_OUT, ids=[told for _, told in LEFT_OUT])
def test_what_is_left_out_is_said_and_the_rest_is_taken(desk: Desk, service: str, told: str) -> None:
    two = "web: {build: ., image: a.test/acme/web}, job: {build: ., image: a.test/acme/job}"
    (desk.path / "compose.yaml").write_text(f"services: {{{service}, {two}}}")
    done = desk.quickly("init")
    assert done.status == 0
    assert f"compose.yaml: {told}" in done.err.splitlines()
    assert names(written(desk)) == ["web", "job"]
    assert str(written(desk).registry) == "a.test/acme"


def test_a_registry_in_a_variable_is_asked_for(desk: Desk) -> None:
    (desk.path / "compose.yaml").write_text("services: {web: {build: ., image: '$REG/web:$TAG'}}")
    done = desk.quickly("init")
    assert "compose.yaml: the registry of web is not known: $REG/web:$TAG has variables" in done.err.splitlines()
    assert names(written(desk)) == ["web"]


def test_a_compose_file_that_cannot_be_read_is_said(desk: Desk) -> None:
    (desk.path / "compose.yaml").write_text("services: [")
    assert desk.quickly("init").err.startswith("compose.yaml: it cannot be read: compose.yaml:")


def test_latest_is_proposed_where_it_stands(desk: Desk) -> None:
    fill(LayoutStore(Repository(f"oci:{desk.path}/images", "web")), "v1.0", "v1.0-qa", "qa", "live", "latest")
    done = desk.quickly("init", "--registry", "oci:./images")
    assert "environments qa, live; their order is a guess" in done.err
    assert [it.floating for it in written(desk).environments] == [(), ("latest",)]


def test_next_names_what_was_written(desk: Desk) -> None:
    done = desk.quickly("init", "--image", "web", "--image", "api")
    assert done.out == "Wrote promotion.yaml. Next: `tagflow push VERSION web=SOURCE api=SOURCE`.\n"


def test_below_another_policy_it_says_so(desk: Desk) -> None:
    desk.act("init")
    below = desk.path / "services"
    below.mkdir()
    done = Desk(below).quickly("init", "--image", "web")
    assert done.status == 0
    assert f"note: there is {desk.path / 'promotion.yaml'}, too" in done.err


def test_without_git_and_docker(desk: Desk) -> None:
    (desk.path / "compose.yaml").write_text(COMPOSE)
    assert desk.quickly("init", PATH="/nowhere").status == 0
    assert names(written(desk)) == ["shop-web", "shop-api"]


def test_the_registry_of_local_images(desk: Desk) -> None:
    """What `docker image ls` prints, played by a script."""
    (desk.path / "compose.yaml").write_text("services: {web: {build: .}}")
    program = desk.path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '%s\\n' postgres '<none>' registry.test:5000/acme/web\n")
    program.chmod(0o755)
    done = desk.quickly("init", PATH=str(program.parent))
    assert str(written(desk).registry) == "registry.test:5000/acme"
    assert "found images of this machine: registry registry.test:5000/acme" in done.err


def fill(store: Store, *tags: str) -> None:
    for tag in tags:
        images.image(store, tag=tag)


@pytest.mark.registry
def test_tags_of_a_registry_that_is_named(desk: Desk, registry: RegistryServer, request: pytest.FixtureRequest) -> None:
    fresh = registry.fresh("init")
    host = RegistryHost(registry.host, Settings(environ={}))
    request.addfinalizer(host.close)
    fill(host.store(fresh.path), "1.0", "1.0-qa", "1.1", "latest", "qa", "live", "1.1-live")
    namespace, _, name = str(fresh).rpartition("/")
    done = desk.quickly("init", "--registry", namespace, "--image", name)
    assert done.status == 0
    policy = written(desk)
    assert [it.name for it in policy.environments] == ["qa", "live"]
    assert policy.templates.version == "{version}"
    assert f"tags in {namespace}: environments qa, live" in done.err


def test_layouts_of_a_folder_that_is_named(desk: Desk) -> None:
    for name in ("web", "api"):
        fill(LayoutStore(Repository(f"oci:{desk.path}/images", name)), "v1.0", "dev", "prod")
    assert desk.quickly("init", "--registry", "oci:./images").status == 0
    assert names(written(desk)) == ["api", "web"]
    assert [it.name for it in written(desk).environments] == ["dev", "prod"]


def test_a_registry_that_does_not_answer_is_no_error(desk: Desk) -> None:
    done = desk.quickly("init", "--registry", "127.0.0.1:1/acme", "--image", "web")
    assert (done.status, done.err) == (0, "")
    assert [it.name for it in written(desk).environments] == ["dev", "test", "staging", "prod"]


def test_a_registry_that_keeps_silent_is_not_waited_for(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = f"127.0.0.1:{silent.getsockname()[1]}/acme"
        done = desk.tagflow("init", "--registry", registry, "--image", "web")
    assert (done.status, done.err) == (0, "")


def test_on_a_full_disk_the_old_file_stays(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = desk.files()
    monkeypatch.setattr(os, "fsync", full)
    done = desk.json("init", "--registry", "registry.test/acme", "--image", "web", "--force")
    assert (done["exit_code"], done["error"]["code"]) == (6, "init.unwritable")
    assert desk.files() == before


def test_editors_find_the_schema(desk: Desk) -> None:
    desk.quickly("init")
    first = (desk.path / "promotion.yaml").read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=https://")


@pytest.mark.parametrize(
    ("clues", "proposal"),
    [
        (Clues(), ("", ())),
        (Clues(remote="https://gitlab.com/group/sub/shop.git"), ("registry.gitlab.com/group/sub", ("shop",))),
        (Clues(remote="ssh://git@git.example.com:2222/acme/shop"), ("", ("shop",))),
        (Clues(remote="/srv/git/shop.git"), ("", ())),
        (Clues("c", (Built("web", ""),), local=("a.io:5000/x/web", "postgres")), ("a.io:5000/x", ("web",))),
        (Clues("c", (Built("web", ""),), local=("a.io/x/web", "b.io/y/web")), ("", ("web",))),
        (Clues("c", (Built("web", ""), Built("api", "acme/api"))), ("docker.io/acme", ("web", "api"))),
    ],
)
def test_proposals(clues: Clues, proposal: tuple[str, tuple[str, ...]]) -> None:
    made = propose(clues)
    assert isinstance(made, Proposal)
    assert (made.registry, made.images) == proposal


def test_what_names_have_in_common() -> None:
    assert together(["ghcr.io/acme/shop/web", "ghcr.io/acme/api:v1"]) == ("ghcr.io/acme", ("shop/web", "api"))
    assert together(["a.io/x/web", "b.io/y/api"]) == ("", ("web", "api"))
    assert together(["not a name", "web"]) == ("", ("web",))


def test_what_tags_show() -> None:
    assert custom(["v1.0", "v1.0-blue", "blue", "prod"]) == Custom(("blue", "prod"))
    assert custom(["1.0", "v1.1", "1.2", "latest", "prod"]) == Custom((), "{version}")
    assert custom([]) == Custom()


def test_compose() -> None:
    assert read_compose(COMPOSE) == [Built("web", "ghcr.io/acme/shop-web"), Built("api", "ghcr.io/acme/shop-api")]
    assert read_compose("services: {a: {build: ., image: '${REGISTRY}/a'}}") == [Built("a", "")]
    assert read_compose("services: {a: {build: ., image: 'localhost:5000/a:${T}'}}") == [Built("a", "localhost:5000/a")]


def test_what_is_asked_for_wrongly_has_no_place_in_a_file(desk: Desk) -> None:
    done = desk.tagflow("init", "--registry", "http://x/y", "--env", "a b")
    assert done.status == 2
    assert "'http://x/y' is not a registry. Write HOST" in done.err
    assert "environments.a b: 'a b' is not an environment name." in done.err
    assert "promotion.yaml" not in done.err
    assert not (desk.path / "promotion.yaml").exists()
