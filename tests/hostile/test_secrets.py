"""No password and no token in anything that tagflow says or leaves behind, or gives to the commands that it runs.

Beside this, each output and error of the whole suite is searched: see tests/secrets.py.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tagflow.stores.registry.auth.credentials import variables
from tagflow.stores.registry.http.pace import Settings
from tagflow.stores.registry.store import RegistryHost
from tests import images
from tests.cli.runner import Desk, Done, run
from tests.marks import mostly_long
from tests.secrets import FORMS, check_secrets
from tests.servers import PASSWORD, USERNAME, RegistryServer

pytestmark = pytest.mark.registry


@pytest.fixture(params=mostly_long(["htpasswd_registry", "token_registry"], "token_registry"))
def server(request: pytest.FixtureRequest) -> RegistryServer:
    found: RegistryServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def home(server: RegistryServer, tmp_path: Path) -> Path:
    name = server.fresh("secret").path
    (tmp_path / "promotion.yaml").write_text(
        f"version: 1\nregistry: {server.host}/{name}\nimages: {{api: api}}\n"
        "environments:\n  dev: {}\n  prod:\n    gates:\n      - name: show\n        run: ./show {reference}\n"
        "notify: [{run: ./show}, {webhook: 'http://127.0.0.1:9/hunter2-of-the-webhook'}]\n"
    )
    show = f"#!/bin/sh\n(env; cat /proc/$$/cmdline /proc/$PPID/cmdline; cat) >> {tmp_path}/seen\n"
    (tmp_path / "show").write_text(show)
    (tmp_path / "show").chmod(0o755)
    host = RegistryHost(server.host, Settings(environ=server.environ(tmp_path / "setup"), writes=True))
    images.image(host.store(f"{name}/api"), tag="v1.0.0")
    host.close()
    (tmp_path / "setup/config.json").unlink()
    return tmp_path


def for_host(server: RegistryServer) -> dict[str, str]:
    """Whom a password is for."""
    return {"TAGFLOW_REGISTRY_HOST": server.host}


def test_in_anything_that_is_said_or_left_behind(home: Path, server: RegistryServer) -> None:
    user, secret = variables(server.host)
    ways = [
        {**for_host(server), "TAGFLOW_REGISTRY_USERNAME": USERNAME, "TAGFLOW_REGISTRY_PASSWORD": PASSWORD},
        {user: USERNAME, secret: PASSWORD},
    ]
    commands = [
        ("promote", "v1.0.0", "--to", "dev"),
        ("promote", "v1.0.0", "--to", "prod", "--save-plan", "plan.json"),
        ("apply", "plan.json"),
        ("status",), ("history", "prod"), ("verify",), ("next",), ("doctor",),
        ("rollback", "prod"), ("promote", "v9.9.9", "--to", "prod"),
    ]  # fmt: skip
    for number, command in enumerate(commands):
        for extra in (("-v",), ("-v", "-o", "json")):
            run((*command, *extra), home, ways[number % 2] | {"TAGFLOW_DEBUG": ""})  # Done searches its output
    left = [path for path in home.rglob("*") if path.is_file()]
    assert {"plan.json", "seen"} <= {path.name for path in left}
    for path in left:
        if path.name != "promotion.yaml":
            check_secrets(path.read_bytes().decode(errors="replace"))
    for path in (server.root / "storage").rglob("data"):
        check_secrets(path.read_bytes().decode(errors="replace"))


@pytest.mark.parametrize("secret", ["wrong-hunter2-of-the-registry", PASSWORD + "x"])
def test_in_the_refusal_of_a_wrong_password(home: Path, server: RegistryServer, secret: str) -> None:
    given = {**for_host(server), "TAGFLOW_REGISTRY_USERNAME": "mallory", "TAGFLOW_REGISTRY_PASSWORD": secret}
    done = run(("promote", "v1.0.0", "--to", "dev", "-v"), home, given)
    assert done.status == 6
    assert secret not in done.out + done.err


def test_in_the_arguments_of_a_credential_helper(home: Path, server: RegistryServer) -> None:
    """The helper is told the host on standard input and gives the secret on its output; its arguments are `get`."""
    helper = home / "docker-credential-watched"
    answer = json.dumps({"Username": USERNAME, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat /proc/$$/cmdline /proc/$PPID/cmdline > {home}/arguments\necho '{answer}'\n")
    helper.chmod(0o755)
    (home / "config.json").write_text('{"credsStore": "watched"}')
    given = {"DOCKER_CONFIG": str(home), "PATH": f"{home}:{os.environ['PATH']}"}
    done = run(("promote", "v1.0.0", "--to", "dev", "-v"), home, given)
    assert done.status == 0, done.err
    told = (home / "arguments").read_text()
    assert told.split("\0")[:3] == ["/bin/sh", str(helper), "get"]
    check_secrets(told)


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    for form in FORMS:
        with pytest.raises(AssertionError):
            Done(0, "", f"before {form} after")


def test_in_a_policy_mistake(tmp_path: Path) -> None:
    """A webhook's address is a secret; so is a password in a registry's address."""
    desk = Desk(tmp_path)
    desk.write(
        "version: 1\nregistry: alice:hunter2-of-the-registry@registry.example/acme\nimages: {a: a}\n"
        "environments: {dev: {}}\nnotify: [{webhook: 'ftp://x.example/hunter2-of-the-webhook'}]\n"
    )
    assert desk.quickly("status").status == 2
