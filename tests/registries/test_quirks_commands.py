"""Whole commands over a real registry that has the quirks that cost people data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tagflow.stores.registry.auth.credentials import variables
from tests import images
from tests.registries import quirks
from tests.registries.shop import Shop
from tests.servers import RegistryServer
from tests.standin import Override, Say, changed, instead

pytestmark = pytest.mark.registry


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
    images.image(shop.direct, content=b"ours", tag="other")
    source = f"app=docker://{shop.server.host}/{shop.namespace}/app:other"
    commands = (
        ["status"], ["verify"], ["verify", "--repair"], ["history", "dev"], ["promote", "v1.0", "--to", "dev"],
        ["push", "v1.0", source], ["rollback", "dev"], ["hold", "dev", "v1.0", "--reason", "bad"], ["next"], ["doctor"],
    )  # fmt: skip
    tags = shop.direct.tags()
    for command in commands:
        done = shop.desk.quickly(*command)
        assert (command, done.status) == (command, 6), done.err
    assert shop.direct.tags() == tags
    assert shop.direct.resolve("v1.0") == theirs.digest
    shop.close()


@pytest.mark.parametrize("code", ["NAME_UNKNOWN", "MANIFEST_UNKNOWN"])
@pytest.mark.parametrize("empty_list", [False, True], ids=["no list", "an empty list"])
def test_what_is_hidden_from_strangers_is_not_overwritten(
    registry: RegistryServer, tmp_path: Path, code: str, empty_list: bool
) -> None:
    shop = Shop(registry, tmp_path, quirks.hidden(code, empty_list=empty_list))
    shop.login()
    theirs = images.image(shop.direct, content=b"theirs", tag="v1.0")
    images.image(shop.direct, content=b"ours", tag="other")
    assert shop.push("v1.0", "other") != 0
    assert shop.direct.resolve("v1.0") == theirs.digest
    shop.do("promote", "v1.0", "--to", "dev")
    assert "v1.0" in shop.do("status").out
    shop.do("verify")
    assert shop.desk.json("doctor")["ok"]
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


@pytest.mark.parametrize(
    "fault",
    [
        instead(Say(418), "POST"),
        instead(Say(200, b"<html>"), "GET", "/tags/"),
        instead(Say(cut="whole"), "GET", "/v2/$"),
    ],
    ids=["rejects", "lists nothing", "breaks off"],
)
def test_doctor_sends_nobody_to_doctor(registry: RegistryServer, tmp_path: Path, fault: Override) -> None:
    """Where it finds something, the hint of a command leads nowhere else."""
    shop = Shop(registry, tmp_path, fault)
    images.image(shop.direct, tag="v1.0")
    done = shop.desk.quickly("doctor")
    told = (done.out + done.err).replace("then run `tagflow doctor` again", "")
    assert (done.status, "`tagflow doctor`" in told) == (6, False), told
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
