"""Whole commands over a real registry that has the quirks that cost people data."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tagflow.stores.registry.auth.credentials import variables
from tagflow.stores.registry.http.settings import Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests import images
from tests.cli.runner import Desk
from tests.registries import quirks
from tests.servers import RegistryServer
from tests.standin import Override, Relay, Say, StandIn, changed, instead

pytestmark = pytest.mark.registry

POLICY = "version: 1\nregistry: {registry}\nimages: {{app: app}}\nenvironments: {{dev: {{}}, prod: {{}}}}\n"


class Shop:
    """One application in a registry that a quirk stands before; ``direct`` sees it without."""

    def __init__(self, registry: RegistryServer, directory: Path, *overrides: Override) -> None:
        self.relay = Relay(registry.host)
        self.server = StandIn(self.relay, *overrides)
        self.namespace = registry.fresh("shop").path
        self.host = RegistryHost(registry.host, Settings(environ={}))
        self.desk = Desk(directory)
        self.desk.path.mkdir(exist_ok=True)
        self.desk.write(POLICY.format(registry=f"{self.server.host}/{self.namespace}"))

    @property
    def direct(self) -> RegistryStore:
        return self.host.store(f"{self.namespace}/app")

    def login(self) -> None:
        """As `docker login` leaves it."""
        pair = base64.b64encode(f"{quirks.USER}:{quirks.PASSWORD}".encode()).decode()
        (self.desk.path / ".docker").mkdir()
        config = {"auths": {self.server.host: {"auth": pair}}}
        (self.desk.path / ".docker/config.json").write_text(json.dumps(config))

    def push(self, version: str, name: str) -> int:
        """Push what another tool left under a name in a repository beside; the exit status."""
        source = f"app=docker://{self.server.host}/{self.namespace}/app:{name}"
        return self.desk.quickly("push", version, source).status

    def close(self) -> None:
        self.server.stop()
        self.relay.close()
        self.host.close()


def test_a_version_on_the_second_page_is_not_overwritten(
    registry: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that heed ``n``, and no Link: v1.0 stands behind the first one."""
    monkeypatch.setattr("tagflow.stores.registry.listing.PAGE_SIZE", 10)
    shop = Shop(registry, tmp_path, quirks.paged())
    theirs = images.image(shop.direct, content=b"theirs")
    for name in (*(f"build-{number}" for number in range(10)), "v1.0"):
        shop.direct.put(theirs, name)
    images.image(shop.direct, content=b"ours", tag="other")
    assert shop.push("v1.0", "other") != 0
    assert shop.direct.resolve("v1.0") == theirs.digest
    assert shop.desk.quickly("promote", "v1.0", "--to", "dev").status == 0
    assert "interrupted" not in shop.desk.quickly("status").out
    assert shop.desk.quickly("verify").status == 0
    shop.close()


def test_a_list_that_is_cut_by_a_broken_link_stops_all(
    registry: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagflow.stores.registry.listing.PAGE_SIZE", 10)
    shop = Shop(registry, tmp_path, quirks.paged(lambda target: f'{target}; rel="next"'))
    theirs = images.image(shop.direct, content=b"theirs")
    for name in (*(f"build-{number}" for number in range(10)), "v1.0"):
        shop.direct.put(theirs, name)
    for command in (["status"], ["verify"], ["promote", "v1.0", "--to", "dev"]):
        done = shop.desk.quickly(*command)
        assert (command, done.status) == (command, 6), done.err
    shop.close()


@pytest.mark.parametrize("code", ["NAME_UNKNOWN", "MANIFEST_UNKNOWN"])
def test_what_is_hidden_from_strangers_is_not_overwritten(registry: RegistryServer, tmp_path: Path, code: str) -> None:
    shop = Shop(registry, tmp_path, quirks.hidden(code))
    shop.login()
    theirs = images.image(shop.direct, content=b"theirs", tag="v1.0")
    images.image(shop.direct, content=b"ours", tag="other")
    assert shop.push("v1.0", "other") != 0
    assert shop.direct.resolve("v1.0") == theirs.digest
    assert shop.desk.quickly("promote", "v1.0", "--to", "dev").status == 0
    assert "v1.0" in shop.desk.quickly("status").out
    doctor = shop.desk.json("doctor")
    assert doctor["ok"], doctor
    shop.close()


def test_a_registry_that_lists_tags_as_json_only(registry: RegistryServer, tmp_path: Path) -> None:
    shop = Shop(registry, tmp_path, quirks.json_only())
    images.image(shop.direct, tag="v1.0")
    assert shop.desk.quickly("promote", "v1.0", "--to", "dev").status == 0
    assert shop.desk.quickly("status").status == 0
    shop.close()


def test_doctor_finds_one_that_lists_nothing(registry: RegistryServer, tmp_path: Path) -> None:
    shop = Shop(registry, tmp_path, instead(Say(406), "GET", "/tags/list"))
    images.image(shop.direct, tag="v1.0")
    assert shop.desk.quickly("doctor").status == 6
    shop.close()


def test_a_clock_that_differs_is_told_once(registry: RegistryServer, tmp_path: Path) -> None:
    """The commands go on: whose clock is wrong, they cannot know."""
    date = format_datetime(datetime.now(UTC) + timedelta(hours=25), usegmt=True)
    shop = Shop(registry, tmp_path, changed(lambda said: said.having({"Date": date})))
    images.image(shop.direct, tag="v1.0")
    for command in (["promote", "v1.0", "--to", "dev"], ["status"]):
        done = shop.desk.quickly(*command)
        assert done.status == 0, done.err
        assert done.err.count("the clock of the registry is 25 h ahead of that of this machine") == 1
    shop.close()


class TestCredentialsStay:
    """A policy that is changed to name another server does not get what the environment holds for the first."""

    GIVEN = ("TAGFLOW_REGISTRY_USERNAME", "TAGFLOW_REGISTRY_PASSWORD")

    def run(self, shop: Shop, **environ: str) -> tuple[int, str]:
        done = shop.desk.quickly("status", **environ)
        return done.status, done.err

    @pytest.fixture
    def shop(self, registry: RegistryServer, tmp_path: Path) -> Iterator[Shop]:
        """Its registry asks for a login, and may be one that somebody has put into the policy."""
        shop = Shop(registry, tmp_path, quirks.hidden("NAME_UNKNOWN"), instead(Say(401, headers=quirks.CHALLENGE)))
        yield shop
        shop.close()

    def sent(self, shop: Shop) -> set[str]:
        return {asked.authorization for asked in shop.server.asked} - {""}

    def test_with_the_host_that_they_are_for(self, shop: Shop) -> None:
        given = dict(zip(self.GIVEN, (quirks.USER, quirks.PASSWORD), strict=True))
        self.run(shop, **given, TAGFLOW_REGISTRY_HOST="registry.example")
        assert self.sent(shop) == set()
        self.run(shop, **given, TAGFLOW_REGISTRY_HOST=shop.server.host)
        assert self.sent(shop) == {quirks.LOGGED_IN}

    def test_without_a_host_they_are_refused(self, shop: Shop) -> None:
        given = dict(zip(self.GIVEN, (quirks.USER, quirks.PASSWORD), strict=True))
        status, text = self.run(shop, **given)
        assert status == 6
        assert "TAGFLOW_REGISTRY_HOST" in text
        assert self.sent(shop) == set()

    def test_by_a_variable_for_another_host(self, shop: Shop) -> None:
        user, secret = variables(f"{shop.server.host.replace(':', '.')}")
        self.run(shop, **{user: quirks.USER, secret: quirks.PASSWORD})
        assert self.sent(shop) == set()
        user, secret = variables(shop.server.host)
        self.run(shop, **{user: quirks.USER, secret: quirks.PASSWORD})
        assert self.sent(shop) == {quirks.LOGGED_IN}
