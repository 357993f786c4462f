"""doctor: over real registries, layouts and refused ports; its document and its exit status."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout import checkup
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Check, Checkup
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost
from tagflow.verbs.doctor import Diagnosis, refuse
from tests import images
from tests.cli.runner import Desk
from tests.servers import RegistryServer, free_port
from tests.standin import Asked, Say, standin
from tests.tokenserver import TokenServer

QUICK = RetryPolicy(attempts=3, first=0.01, budget=2.0, gap=0.001, largest_gap=0.01)


def examine(server: RegistryServer, environ: dict[str, str], now: datetime | None = None) -> Checkup:
    """A look at a repository that exists and at one that does not."""
    host = RegistryHost(server.host, Settings(environ=environ, retry=QUICK))
    try:
        return host.examine([images_in(server), server.fresh("two")], now or datetime.now(UTC))
    finally:
        host.close()


def images_in(server: RegistryServer) -> Repository:
    """A repository with an image, that its user has pushed."""
    repository = server.fresh("one")
    with tempfile.TemporaryDirectory() as directory:
        environ = server.environ(Path(directory)) | ({"SSL_CERT_FILE": str(server.ca)} if server.ca else {})
        host = RegistryHost(server.host, Settings(environ=environ, retry=QUICK))
        images.image(host.store(repository.path), tag="v1")
        host.close()
    return repository


def by_name(found: Checkup) -> dict[str, Check]:
    return {check.check: check for check in found.checks}


def bad(found: Checkup) -> list[str]:
    return [check.check for check in found.checks if check.essential and not check.ok]


@pytest.mark.registry
class TestRealRegistries:
    def test_anonymous(self, registry: RegistryServer, tmp_path: Path) -> None:
        found = examine(registry, {"HOME": str(tmp_path)})
        checks = by_name(found)
        assert (bad(found), found.credential) == ([], "")
        assert checks["push"].detail == "2 of 2 repositories, 1 not there yet"
        assert checks["tag list"].detail == "2 of 2 repositories"
        assert not checks["referrers"].ok
        assert not checks["tag deletion"].ok, "distribution 2.8 removes digests only"
        assert "garbage-collect" in checks["garbage collection"].detail
        assert checks["clock"].ok
        uploads = {str(path) for path in (registry.root / "storage").rglob("_uploads/*/data")}
        assert {path for path in uploads if "/one-" in path} == set(), "no upload is left open"
        assert list((registry.root / "storage").rglob("*/two-*")) == [], "no repository is created"

    def test_where_deletion_is_off(self, second_registry: RegistryServer, tmp_path: Path) -> None:
        check = by_name(examine(second_registry, {"HOME": str(tmp_path)}))["tag deletion"]
        assert not check.ok
        assert "405" in check.detail

    @pytest.mark.parametrize("name", ["htpasswd_registry", "token_registry"])
    def test_logged_in(self, name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        server: RegistryServer = request.getfixturevalue(name)
        found = examine(server, server.environ(tmp_path / "docker"))
        assert bad(found) == []
        assert found.credential.endswith("config.json auths")
        assert found.credential in by_name(found)["credential"].detail

    def test_no_credential(self, htpasswd_registry: RegistryServer, tmp_path: Path) -> None:
        found = examine(htpasswd_registry, {"HOME": str(tmp_path)})
        assert bad(found) == ["credential"]
        assert by_name(found)["reachable"].ok

    def test_no_right_to_push(self, token_registry: RegistryServer, tokens: TokenServer, tmp_path: Path) -> None:
        tokens.anonymous, tokens.refuse_push, tokens.lifetime, tokens.delay = True, False, 300, 0.0
        found = examine(token_registry, {"HOME": str(tmp_path)})
        assert bad(found) == ["push"]
        assert "docker login" in by_name(found)["push"].detail

    def test_a_certificate_that_is_not_trusted(self, tls_registry: RegistryServer, tmp_path: Path) -> None:
        found = examine(tls_registry, {"HOME": str(tmp_path)})
        assert bad(found) == ["tls"]
        assert bad(examine(tls_registry, {"HOME": str(tmp_path), "SSL_CERT_FILE": str(tls_registry.ca)})) == []

    def test_a_clock_that_is_wrong(self, registry: RegistryServer, tmp_path: Path) -> None:
        later = datetime.now(UTC) + timedelta(minutes=10)
        check = by_name(examine(registry, {"HOME": str(tmp_path)}, later))["clock"]
        assert not check.ok
        assert "10 min behind that of this machine" in check.detail


class TestOthers:
    def test_nobody_there(self, tmp_path: Path) -> None:
        host = f"127.0.0.1:{free_port()}"
        asked: list[str] = []
        registry = RegistryHost(host, Settings(environ={"HOME": str(tmp_path)}, trace=asked.append))
        found = registry.examine([Repository(host, "a/b")], datetime.now(UTC))
        assert 0 < len(asked) < RetryPolicy().attempts, "a refused port is given up sooner than others"
        assert bad(found) == ["reachable"]
        assert "registry.unreachable" in found.checks[0].detail
        registry.close()

    def test_a_broken_credential(self, registry: RegistryServer, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{")
        with standin(lambda _: Say(401, headers={"WWW-Authenticate": "Basic realm=x"})) as server:
            host = RegistryHost(server.host, Settings(environ={"DOCKER_CONFIG": str(tmp_path)}, retry=QUICK))
            found = host.examine([Repository(server.host, "a/b")], datetime.now(UTC))
            assert bad(found) == ["credential"]
            host.close()

    def test_a_password_without_a_host_is_told_once_where_nobody_asks_for_it(self, tmp_path: Path) -> None:
        environ = {"HOME": str(tmp_path), "TAGFLOW_REGISTRY_USERNAME": "u", "TAGFLOW_REGISTRY_PASSWORD": "some word"}
        with standin(lambda asked: Say(200 if asked.path in ("/v2/", "/v2") else 404)) as server:
            host = RegistryHost(server.host, Settings(environ=environ, retry=QUICK))
            found = host.examine([Repository(server.host, "a/b")], datetime.now(UTC))
            assert [check.check for check in found.checks if not check.ok] == ["credential"]
            assert bad(found) == ["credential"]
            assert "TAGFLOW_REGISTRY_HOST" in by_name(found)["credential"].detail
            host.close()

    @pytest.mark.parametrize("status", [404, 403, 301])
    def test_no_registry(self, tmp_path: Path, status: int) -> None:
        with standin(lambda _: Say(status)) as server:
            host = RegistryHost(server.host, Settings(environ={"HOME": str(tmp_path)}, retry=QUICK))
            found = host.examine([Repository(server.host, "a/b")], datetime.now(UTC))
            assert bad(found) == ["reachable"]
            assert f"HTTP {status}" in found.checks[0].detail
            host.close()

    @pytest.mark.parametrize(
        ("headers", "hazard"),
        [
            ({"X-JFrog-Version": "Artifactory/7.90.1"}, "retention"),
            ({"Gitlab-Container-Registry-Version": "4.0"}, "retention"),
            ({"X-Harbor-CSRF-Token": "x"}, "immutability"),
            ({"Docker-Distribution-Api-Version": "registry/2.0"}, "garbage collection"),
            ({}, None),
        ],
    )
    def test_hazards_by_headers(self, tmp_path: Path, headers: dict[str, str], hazard: str | None) -> None:
        """Simulated: only what the version check says."""

        def script(asked: Asked) -> Say:
            if asked.path == "/v2/":
                return Say(headers=headers)
            if asked.path.endswith("/tags/list"):
                error = {"code": "NAME_UNKNOWN", "message": "unknown", "detail": {"name": "a/b"}}
                return Say(404, json.dumps({"errors": [error]}).encode())
            return Say(400) if asked.method == "PUT" else Say(404)

        with standin(script) as server:
            host = RegistryHost(server.host, Settings(environ={"HOME": str(tmp_path)}, retry=QUICK))
            names = set(by_name(host.examine([Repository(server.host, "a/b")], datetime.now(UTC))))
            assert names & {"retention", "immutability", "garbage collection"} >= ({hazard} if hazard else set())
            assert bool(hazard) == bool(names & {"retention", "immutability", "garbage collection"})
            host.close()


class TestLayouts:
    def test_not_there_yet(self, tmp_path: Path) -> None:
        host = f"oci:{tmp_path}/deep/registry"
        found = checkup.examine(host, [Repository(host, "app")])
        assert bad(found) == []
        assert list(tmp_path.iterdir()) == [], "nothing is left behind"

    def test_in_use(self, tmp_path: Path) -> None:
        host = f"oci:{tmp_path}/registry"
        images.image(LayoutStore(Repository(host, "app")), tag="v1")
        before = sorted(tmp_path.rglob("*"))
        assert bad(checkup.examine(host, [Repository(host, "app"), Repository(host, "other")])) == []
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "registry").write_text("")
        host = f"oci:{tmp_path}/registry"
        assert bad(checkup.examine(host, [Repository(host, "app")])) == ["directory"]

    def test_another_version(self, tmp_path: Path) -> None:
        host = f"oci:{tmp_path}"
        images.image(LayoutStore(Repository(host, "app")), tag="v1")
        (tmp_path / "app/oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
        found = checkup.examine(host, [Repository(host, "app")])
        assert bad(found) == ["layouts"]
        assert "layout.unsupported" in by_name(found)["layouts"].detail


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class TestCommand:
    POLICY = "version: 1\nregistry: {registry}\nimages: {{app: app}}\nenvironments: {{dev: {{}}, prod: {{}}}}\n"
    KEYS = ("registry", "usable", "credential", "checks")

    def registries(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = document["result"]["registries"]
        for registry in found:
            assert tuple(registry) == self.KEYS
            assert all(tuple(check) == ("check", "ok", "detail") for check in registry["checks"])
        return found

    def test_a_layout(self, desk: Desk) -> None:
        desk.write(self.POLICY.format(registry="oci:./registry"))
        [registry] = self.registries(desk.json("doctor"))
        assert registry["usable"]
        text = desk.quickly("doctor")
        assert text.status == 0
        assert "usable" in text.out

    def test_two_registries_one_unusable(self, desk: Desk) -> None:
        policy = self.POLICY.format(registry="oci:./registry")
        refused = f"127.0.0.1:{free_port()}/acme"
        desk.write(policy.replace("prod: {}", f"prod: {{registry: '{refused}'}}"))
        document = desk.json("doctor")
        assert (document["exit_code"], document["error"]["code"]) == (6, "doctor.unusable")
        assert [(it["registry"], it["usable"]) for it in self.registries(document)][1] == (refused, False)
        assert document["error"]["details"] == [{"registry": refused}]
        text = desk.quickly("doctor")
        assert text.status == 6
        assert "cannot be used" in text.out

    @pytest.mark.registry
    def test_a_real_registry(self, desk: Desk, htpasswd_registry: RegistryServer) -> None:
        desk.write(self.POLICY.format(registry=f"{htpasswd_registry.host}/{htpasswd_registry.fresh().path}"))
        environ = htpasswd_registry.environ(desk.path / "docker")
        document = desk.tagflow("doctor", "-o", "json", **environ).document
        [registry] = self.registries(document)
        assert registry["usable"]
        assert registry["credential"].endswith("config.json auths")
        assert htpasswd_registry.password not in json.dumps(document)

    @pytest.mark.registry
    def test_a_helper_is_run_once_for_all_registries_of_a_host(
        self, desk: Desk, htpasswd_registry: RegistryServer
    ) -> None:
        server = htpasswd_registry
        program = desk.path / "bin/docker-credential-tests"
        program.parent.mkdir()
        answer = json.dumps({"Username": server.username, "Secret": server.password})
        program.write_text(f"#!/bin/sh\necho x >> {desk.path}/calls\necho '{answer}'\n")
        program.chmod(0o755)
        (desk.path / ".docker").mkdir()
        (desk.path / ".docker/config.json").write_text(json.dumps({"credsStore": "tests"}))
        policy = self.POLICY.format(registry=f"{server.host}/one")
        desk.write(policy.replace("prod: {}", f"prod: {{registry: '{server.host}/two'}}"))
        path = f"{desk.path}/bin:/usr/bin:/bin"
        document = desk.tagflow("doctor", "-o", "json", PATH=path).document
        assert [it["credential"] for it in self.registries(document)] == ["helper tests", "helper tests"]
        assert (desk.path / "calls").read_text() == "x\n"


def test_a_check_that_nothing_can_be_advised_for_leaves_no_empty_hint() -> None:
    bad = Diagnosis("r.example", "", (Check("push", False, "not for r.example/a", essential=True),))
    assert refuse([bad], None).hint == "Correct what is marked, then run `tagflow doctor` again."
