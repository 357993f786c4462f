"""What registries were reported to do otherwise, played in front of a simulated registry and of a real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Protocol

import pytest

from tagflow.domain.reference import digest_of
from tagflow.errors import StoreError
from tagflow.stores.port import OCI_MANIFEST, Checkup, Descriptor, Manifest, TagMoved
from tagflow.stores.registry.auth.credentials import Credential, Keychain
from tagflow.stores.registry.http.pace import RetryBudget, RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests import images
from tests.marks import mostly_long
from tests.registries import quirks
from tests.registries.simulator import Quirks, Simulator, failed, simulated_registry
from tests.servers import RegistryServer, free_port
from tests.standin import Asked, Override, Relay, Say, Script, StandIn, changed, instead, standin

QUICK = RetryPolicy(attempts=3, first=0.01, budget=2.0)
KNOWN = Keychain([lambda _host, _path: Credential(quirks.USER, quirks.PASSWORD, source="tests")])
NOBODY = Keychain([])


@dataclass(frozen=True)
class Behind:
    """One repository: ``store`` sees it with the quirk, ``direct`` without."""

    store: RegistryStore
    direct: RegistryStore
    server: StandIn
    host: RegistryHost
    upstream: Script

    def doctor(self) -> dict[str, bool]:
        """Which checks of doctor are good."""
        found: Checkup = self.host.examine([self.store.repository], datetime.now(UTC))
        return {check.check: check.ok for check in found.checks}


class Open(Protocol):
    def __call__(self, *overrides: Override, keychain: Keychain = ..., warned: list[str] | None = ...) -> Behind: ...


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.registry)])
def behind(request: pytest.FixtureRequest) -> Iterator[Open]:
    """A repository behind overrides."""
    with ExitStack() as stack:

        def upstream() -> tuple[str, str, Script]:
            if request.param == "simulated":
                simulator, server = stack.enter_context(simulated_registry(Quirks(referrers=False)))
                return server.host, "test/app", simulator
            registry: RegistryServer = request.getfixturevalue("registry")
            return registry.host, registry.fresh().path, Relay(registry.host)

        def connect(
            host: str, path: str, keychain: Keychain, warned: list[str] | None = None
        ) -> tuple[RegistryHost, RegistryStore]:
            warn = [] if warned is None else warned
            registry = RegistryHost(host, Settings(environ={}, retry=QUICK, warn=warn.append), keychain)
            stack.callback(registry.close)
            return registry, registry.store(path)

        def opening(*overrides: Override, keychain: Keychain = NOBODY, warned: list[str] | None = None) -> Behind:
            direct, path, script = upstream()
            server = stack.enter_context(standin(script, *overrides))
            host, store = connect(server.host, path, keychain, warned)
            return Behind(store, connect(direct, path, NOBODY)[1], server, host, script)

        yield opening


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.code


def fill(behind: Behind, count: int, image: Manifest) -> list[str]:
    """So many tags, written in the cheapest way."""
    tags = [f"build-{number:05}" for number in range(count)]
    if isinstance(behind.upstream, Simulator):
        behind.upstream.repos[behind.direct.repository.path].tags |= dict.fromkeys(tags, image.digest)
    else:
        for tag in tags:
            behind.direct.put(image, tag)
    return tags


class TestCutLists:
    """A list that may be cut proves nothing."""

    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.registry.listing.PAGE_SIZE", 10)

    @pytest.mark.parametrize("count", [9, 10, 11, 20, 37])
    def test_pages_without_a_link(self, behind: Open, count: int) -> None:
        """Nexus heeds ``n``, and gives no Link; the specification lets it."""
        found = behind(quirks.paged())
        image = images.image(found.direct, tag="v1.0")
        tags = fill(found, count - 1, image)
        assert found.store.tags() == sorted([*tags, "v1.0"])

    def test_the_page_behind_decides(self, behind: Open) -> None:
        found = behind(quirks.paged())
        image = images.image(found.direct, tag="v1.0")
        fill(found, 10, image)
        assert "v1.0" in found.store.tags()
        assert found.server.count("GET", "last=build-00009") == 1

    def test_smaller_pages_than_were_asked_for(self, behind: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        """Quay and ECR have such; they give links. One that gave none would have its list cut by everybody else."""
        monkeypatch.setattr("tagflow.stores.registry.listing.PAGE_SIZE", 1000)
        found = behind(quirks.paged(longest=50))
        image = images.image(found.direct, tag="v1.0")
        tags = fill(found, 60, image)
        assert found.store.tags() == sorted([*tags, "v1.0"])

    @pytest.mark.parametrize(
        "link",
        [
            lambda target: f'{target}; rel="next"',
            lambda target: f"<{target}>",
            lambda target: f'<{target}>; rel="next" nonsense',
            lambda target: f'<{target}; rel="next"',
            lambda target: f'</v2/>; rel="first", {target}; rel="next"',
        ],
        ids=["no brackets", "no rel", "something behind", "one bracket", "a good one first"],
    )
    def test_a_link_that_cannot_be_read(self, behind: Open, link: quirks.Link) -> None:
        found = behind(quirks.paged(link))
        fill(found, 12, images.image(found.direct))
        assert code_of(found.store.tags) == "registry.invalid_answer"

    @pytest.mark.parametrize("link", [lambda target: f'<{target}>; rel="next"', lambda target: f"<{target}>;rel=next"])
    def test_a_link_is_followed(self, behind: Open, link: quirks.Link) -> None:
        found = behind(quirks.paged(link))
        assert found.store.tags() == []
        tags = fill(found, 25, images.image(found.direct))
        assert found.store.tags() == tags

    def test_who_ignores_last(self, behind: Open) -> None:
        """distribution 2.8 gives all tags, always: nothing new is the end."""
        found = behind(lambda asked, server: quirks.paged(longest=10_000)(replace(asked, target=asked.path), server))
        tags = fill(found, 10, images.image(found.direct))
        assert found.store.tags() == tags

    @pytest.mark.parametrize("longest", [5, 10_000], ids=["pages of its own", "all at once"])
    def test_who_refuses_pages_as_long_as_ours(self, behind: Open, longest: int) -> None:
        """distribution from 3.1 on, where ``tags.maxtags`` is less: it is asked for pages as it likes them."""
        found = behind(quirks.limited(9), quirks.paged(lambda target: f'<{target}>; rel="next"', longest=longest))
        assert found.store.tags() == []
        tags = fill(found, 12, images.image(found.direct))
        assert found.store.tags() == tags
        assert found.doctor()["tag list"] is True

    def test_who_refuses_every_length(self, behind: Open) -> None:
        found = behind(instead(failed(400, "PAGINATION_NUMBER_INVALID", "invalid"), "GET", "/tags/list"))
        images.image(found.direct, tag="v1.0")
        assert code_of(found.store.tags) == "registry.rejected"

    def test_who_knows_no_last(self, behind: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        """A page that is not full was the last one; one that is full needs an answer."""
        found = behind(instead(Say(400), "GET", "last="), quirks.paged())
        image = images.image(found.direct)
        tags = fill(found, 50, image)
        monkeypatch.setattr("tagflow.stores.registry.listing.PAGE_SIZE", 1000)
        assert found.store.tags() == tags
        monkeypatch.setattr("tagflow.stores.registry.listing.PAGE_SIZE", 50)
        assert code_of(found.store.tags) == "registry.rejected"


class TestHidden:
    """A 404 or an empty list without a login is not believed where a credential is known."""

    @pytest.mark.parametrize("code", ["NAME_UNKNOWN", "MANIFEST_UNKNOWN"])
    @pytest.mark.parametrize("asks_at_v2", [True, False], ids=["asks at v2", "asks nowhere"])
    def test_what_is_there_is_seen(self, behind: Open, code: str, asks_at_v2: bool) -> None:
        found = behind(quirks.hidden(code, asks_at_v2=asks_at_v2), keychain=KNOWN)
        image = images.image(found.direct, tag="v1.0")
        looks: list[tuple[Callable[[], object], object]] = [
            (lambda: found.store.tags(), ["v1.0"]),
            (lambda: found.store.resolve("v1.0"), image.digest),
            (lambda: found.store.has(image.digest), True),
            (lambda: found.store.get("v1.0"), image),
            (lambda: found.store.has_blob(image.blobs[0].digest), True),
            (lambda: len(b"".join(found.store.read_blob(image.blobs[0]))), image.blobs[0].size),
        ]
        for look, expected in looks:
            assert look() == expected
        assert found.server.count("GET", "/v2/$") <= 2

    @pytest.mark.parametrize("first", ["tags", "resolve", "get", "has", "has_blob", "read_blob"])
    def test_whatever_is_asked_first(self, behind: Open, first: str) -> None:
        found = behind(quirks.hidden("NAME_UNKNOWN"), keychain=KNOWN)
        image = images.image(found.direct, tag="v1.0")
        calls: dict[str, Callable[[], object]] = {
            "tags": found.store.tags,
            "resolve": lambda: found.store.resolve("v1.0"),
            "get": lambda: found.store.get("v1.0"),
            "has": lambda: found.store.has(image.digest),
            "has_blob": lambda: found.store.has_blob(image.blobs[0].digest),
            "read_blob": lambda: b"".join(found.store.read_blob(image.blobs[0])),
        }
        assert calls[first]()

    def test_an_empty_list(self, behind: Open) -> None:
        found = behind(quirks.hidden("NAME_UNKNOWN", empty_list=True), keychain=KNOWN)
        images.image(found.direct, tag="v1.0")
        assert found.store.tags() == ["v1.0"]

    def test_a_version_is_not_overwritten(self, behind: Open) -> None:
        found = behind(quirks.hidden("NAME_UNKNOWN"), keychain=KNOWN)
        theirs = images.image(found.direct, content=b"theirs", tag="v1.0")
        ours = images.image(found.direct, content=b"ours")
        with pytest.raises(TagMoved):
            found.store.create("v1.0", ours)
        assert found.direct.resolve("v1.0") == theirs.digest

    def test_nobody_known_is_nobody(self, behind: Open) -> None:
        found = behind(quirks.hidden("NAME_UNKNOWN"))
        images.image(found.direct, tag="v1.0")
        assert found.store.tags() == []
        assert found.server.count("GET", "/v2/$") == 0

    def test_a_wrong_password_is_an_error(self, behind: Open) -> None:
        wrong = Keychain([lambda _host, _path: Credential(quirks.USER, "wrong", source="tests")])
        found = behind(quirks.hidden("NAME_UNKNOWN"), keychain=wrong)
        assert code_of(found.store.tags) == "auth.denied"

    def test_a_registry_without_logins_is_asked_once(self, behind: Open) -> None:
        found = behind(keychain=KNOWN)
        assert found.store.tags() == []
        assert found.store.resolve("v1.0") is None
        assert found.store.resolve("v1.1") is None
        assert found.server.count("GET", "/v2/$") <= 2

    def test_another_repository_has_no_credential(self, behind: Open) -> None:
        """It is asked as before, also when the first one is logged in to."""
        first = Credential(quirks.USER, quirks.PASSWORD, source="tests")
        chain = Keychain([lambda _host, path: first if path.endswith("app") or "/app-" in path else None])
        found = behind(keychain=chain)
        assert found.store.tags() == []
        assert found.host.store("other/repository").tags() == []


class TestLists:
    def test_are_asked_for_as_json(self, behind: Open) -> None:
        found = behind(quirks.json_only())
        images.image(found.direct, tag="v1.0")
        assert found.store.tags() == ["v1.0"]

    def test_the_pages_too(self, behind: Open) -> None:
        found = behind(quirks.json_only(), quirks.paged(lambda target: f'<{target}>; rel="next"', longest=2))
        tags = fill(found, 5, images.image(found.direct))
        assert found.store.tags() == tags

    def test_doctor_finds_a_registry_that_lists_nothing(self, behind: Open) -> None:
        found = behind(instead(Say(406), "GET", "/tags/list"))
        images.image(found.direct, tag="v1.0")
        assert found.doctor()["tag list"] is False
        assert found.doctor()["pull"] is True


class TestDoctor:
    def test_creates_no_repository(self, behind: Open) -> None:
        """Many registries create one when an upload begins."""
        found = behind()
        assert found.doctor()["push"] is True
        assert found.server.count("POST") == 0
        assert found.direct.tags() == []

    def test_says_who_may_not_push_to_a_repository_that_is_not_there(self, behind: Open) -> None:
        found = behind(instead(Say(403), "PUT|POST"))
        assert found.doctor()["push"] is False

    @pytest.mark.parametrize("fault", [Say(500), Say(404)], ids=["fails", "is lost"])
    def test_tries_the_whole_upload(self, behind: Open, fault: Say) -> None:
        found = behind(instead(fault, "PUT", "/blobs/uploads/"))
        images.image(found.direct, tag="v1.0")
        assert found.doctor()["push"] is False

    def test_goes_along_where_the_version_check_leads(self, behind: Open) -> None:
        """As every other command, which does not ask for it."""
        found = behind(quirks.redirected("/v2/$", 308), quirks.hidden("NAME_UNKNOWN"), keychain=KNOWN)
        images.image(found.direct, tag="v1.0")
        assert found.store.tags() == ["v1.0"]
        assert found.doctor()["reachable"] is True
        assert found.doctor()["pull"] is True

    @pytest.mark.parametrize("status", [401, 403, 500, 503])
    def test_says_where_it_may_not_be_asked_what_refers_to_an_image(self, behind: Open, status: int) -> None:
        """That is no registry without the API: a promotion that copies an image would end there."""
        found = behind(instead(Say(status), "GET", "/referrers/"), keychain=KNOWN)
        image = images.image(found.direct, tag="v1.0")
        checks = found.host.examine([found.store.repository], datetime.now(UTC)).checks
        [said] = [check for check in checks if check.check == "referrers"]
        assert not said.ok
        assert ("referrers: ignore" in said.detail, "fallback tag" in said.detail) == (True, False)
        assert code_of(lambda: found.store.referrers(image.digest)) != ""

    @pytest.mark.parametrize("exists", [True, False])
    def test_knows_distribution(self, behind: Open, exists: bool) -> None:
        """Its header alone is sent by many others."""
        version = {"Docker-Distribution-Api-Version": "registry/2.0"}
        found = behind(changed(lambda said: said.having(version), path="/v2/$"))
        if exists:
            images.image(found.direct, tag="v1.0")
        is_real = isinstance(found.upstream, Relay)
        assert ("garbage collection" in found.doctor()) == is_real


class TestHeads:
    @pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
    def test_that_are_refused(self, behind: Open, status: int) -> None:
        found = behind(quirks.no_head(status))
        first, second = images.image(found.direct, tag="v1.0"), images.image(found.direct, content=b"2")
        assert found.store.resolve("v1.0") == first.digest
        assert found.store.has(first.digest)
        assert found.store.resolve("v2.0") is None
        assert not found.store.has(images.absent())
        found.store.move("v1.0", second, first.digest)
        assert found.direct.resolve("v1.0") == second.digest
        with pytest.raises(TagMoved):
            found.store.create("v1.0", first)

    def test_are_believed_of_who_answers_them(self, behind: Open) -> None:
        found = behind()
        images.image(found.direct, tag="v1.0")
        assert found.store.resolve("v1.0")
        assert found.store.resolve("v2.0") is None
        assert found.server.count("GET", "/manifests/") == 0

    def test_a_get_that_is_refused_too(self, behind: Open) -> None:
        found = behind(instead(Say(403), "GET|HEAD", "/manifests/"))
        images.image(found.direct, tag="v1.0")
        assert code_of(lambda: found.store.resolve("v1.0")) == "registry.denied"


class TestBlobHeads:
    @pytest.mark.parametrize(("status", "code"), [(503, "registry.unavailable"), (403, "registry.denied")])
    def test_a_registry_that_fails_has_not_lost_it(self, behind: Open, status: int, code: str) -> None:
        found = behind(instead(Say(status), "GET|HEAD", "/blobs/"))
        image = images.image(found.direct, tag="v1.0")
        assert code_of(lambda: found.store.has_blob(image.blobs[0].digest)) == code

    @pytest.mark.parametrize("status", [400, 403, 405, 501])
    def test_that_are_refused(self, behind: Open, status: int) -> None:
        found = behind(instead(Say(status), "HEAD", "/blobs/"))
        image = images.image(found.direct, tag="v1.0")
        assert found.store.has_blob(image.blobs[0].digest)
        assert not found.store.has_blob(images.absent())


class TestRedirects:
    READS = ("/manifests/", "/tags/list", "/referrers/", "/blobs/")

    def reads(self, found: Behind, image: Manifest) -> None:
        assert found.store.tags()
        assert found.store.resolve("v1.0") == image.digest
        assert found.store.get("v1.0") == image
        assert found.store.get(image.digest) == image
        assert b"".join(found.store.read_blob(image.blobs[0]))
        assert len(found.store.referrers(image.digest)) == 1

    @pytest.mark.parametrize("status", mostly_long([301, 302, 307, 308], 302, 307))
    @pytest.mark.parametrize("path", READS)
    def test_on_the_same_host(self, behind: Open, path: str, status: int) -> None:
        found = behind(quirks.redirected(path, status), quirks.hidden("NAME_UNKNOWN"), keychain=KNOWN)
        image = images.image(found.direct, tag="v1.0")
        images.referrer(found.direct, image)
        self.reads(found, image)

    @pytest.mark.parametrize("path", READS)
    def test_to_another_host_without_the_credential(self, behind: Open, path: str) -> None:
        with standin(lambda asked: found.upstream(asked)) as other:
            found = behind(quirks.redirected(path, 307, other.host), quirks.hidden("X"), keychain=KNOWN)
            image = images.image(found.direct, tag="v1.0")
            images.referrer(found.direct, image)
            self.reads(found, image)
            assert other.asked
            assert {asked.authorization for asked in other.asked} == {""}
            assert any(asked.authorization for asked in found.server.asked)

    def test_a_login_that_another_host_asks_for_is_not_answered(self, behind: Open) -> None:
        with standin(lambda _: Say(401, headers=quirks.CHALLENGE)) as other:
            found = behind(quirks.redirected("/manifests/", 307, other.host), keychain=KNOWN)
            images.image(found.direct, tag="v1.0")
            assert code_of(lambda: found.store.resolve("v1.0")) == "registry.denied"
            assert {asked.authorization for asked in other.asked} == {""}

    def test_in_a_circle(self, behind: Open) -> None:
        found = behind(lambda asked, _: Say(307, headers={"Location": asked.target}))
        assert code_of(found.store.tags) == "registry.invalid_answer"

    @pytest.mark.parametrize("said", [Say(200, b"<html>", {"Content-Type": "text/html"}), Say(404), Say(403)])
    def test_a_referrers_api_that_ends_at_a_page(self, behind: Open, said: Say) -> None:
        """quay.io sent people to its page of errors; that is no API, so the fallback tag counts."""
        found = behind(
            instead(said, "GET", "^/page"), instead(Say(302, headers={"Location": "/page"}), path="/referrers/")
        )
        image = images.image(found.direct, tag="v1.0")
        sbom = images.referrer(found.direct, image)
        if said.status == 403:
            assert code_of(lambda: found.store.referrers(image.digest)) == "registry.denied"
        else:
            assert [one.digest for one in found.store.referrers(image.digest)] == [sbom.digest]


class TestFallbackTag:
    def gitlab(self, found: Behind, image: Manifest) -> Override:
        """``manifests/sha256-HEX`` is answered with the image itself."""
        path = found.store.repository.path

        def override(asked: Asked, server: Script) -> Say:
            if asked.path == f"/v2/{path}/manifests/{image.digest.replace(':', '-')}" and asked.method != "PUT":
                return server(replace(asked, target=f"/v2/{path}/manifests/{image.digest}"))
            return server(asked)

        return override

    @pytest.mark.parametrize("is_index", [False, True])
    def test_that_answers_the_image_itself(self, behind: Open, is_index: bool) -> None:
        found = behind()
        image = images.image(found.direct, tag="v1.0")
        if is_index:
            image = images.index_of(found.direct, [images.pointer(image.descriptor)], tag="v1.0")
        found.server.overrides.append(self.gitlab(found, image))
        assert found.store.referrers(image.digest) == []
        assert code_of(lambda: images.referrer(found.store, image)) == "referrers.no_list"

    def test_that_names_an_image(self, behind: Open) -> None:
        """It is somebody's: nothing refers to the image, and nothing is overwritten."""
        found = behind()
        image = images.image(found.direct, tag="v1.0")
        other = images.image(found.direct, content=b"other", tag=image.digest.replace(":", "-"))
        assert found.store.referrers(image.digest) == []
        assert code_of(lambda: images.referrer(found.store, image)) == "referrers.no_list"
        assert found.direct.resolve(image.digest.replace(":", "-")) == other.digest


class TestStatusOfAPut:
    @pytest.mark.parametrize("status", [200, 202, 204])
    @pytest.mark.parametrize("keeps_digest", [True, False])
    def test_another_2xx_counts_where_a_look_shows_it(self, behind: Open, status: int, keeps_digest: bool) -> None:
        def change(said: Say) -> Say:
            said = replace(said, status=status) if said.status == 201 else said
            return said if keeps_digest else said.without("Docker-Content-Digest")

        found = behind(changed(change, "PUT"))
        image = images.image(found.store, tag="v1.0")
        found.store.move("prod", image, None)
        assert found.direct.resolve("prod") == image.digest

    @pytest.mark.parametrize("status", [200, 202, 204])
    def test_one_that_stored_nothing_is_an_error(self, behind: Open, status: int) -> None:
        found = behind(instead(Say(status), "PUT", "/manifests/"))
        image = images.image(found.direct)
        assert code_of(lambda: found.store.put(image, "v1.0")) == "registry.rejected"
        assert code_of(lambda: images.add_blob(behind(instead(Say(status), "PUT", "/blobs/")).store, b"x")) == (
            "registry.rejected"
        )


class TestUploads:
    CONTENT = bytes(range(256)) * 400

    def sent_to(self, location: Callable[[str], str]) -> Override:
        """Uploads are sent to another address than the registry is reached at."""

        def change(said: Say) -> Say:
            return said.having({"Location": location(said.header("Location"))}) if said.header("Location") else said

        return changed(change, "POST", "/blobs/uploads/")

    def moved(self, location: str, host: str) -> str:
        return f"http://{host}/{location.partition('://')[2].partition('/')[2] or location.lstrip('/')}"

    def test_that_a_registry_sends_to_where_nobody_is(self, behind: Open) -> None:
        """It lost its port, or names itself as only its own network does (`http.host` of distribution)."""
        nowhere = f"127.0.0.1:{free_port()}"
        found = behind(self.sent_to(lambda location: self.moved(location, nowhere)))
        with pytest.raises(StoreError) as caught:
            images.add_blob(found.store, self.CONTENT)
        assert caught.value.code == "registry.unreachable"
        assert f"{found.store.repository.host} sends uploads to {nowhere}" in caught.value.message
        assert "http.host" in caught.value.hint
        assert "X-Forwarded-Host" in caught.value.hint

    def test_that_a_registry_sends_to_another_server(self, behind: Open) -> None:
        with standin(lambda _: Say(404, b"<html>")) as other:
            found = behind(self.sent_to(lambda location: self.moved(location, other.host)))
            with pytest.raises(StoreError, match="sends uploads to") as caught:
                images.add_blob(found.store, self.CONTENT)
            assert "X-Forwarded-Host" in caught.value.hint
            assert {asked.authorization for asked in other.asked} == {""}

    def test_that_doctor_finds(self, behind: Open) -> None:
        found = behind(self.sent_to(lambda location: self.moved(location, f"127.0.0.1:{free_port()}")))
        images.image(found.direct, tag="v1.0")
        assert found.doctor()["push"] is False

    @pytest.mark.parametrize(
        ("wanted", "sizes"),
        [("60000", {60_000, 42_400}), ("10", {40_000, 22_400}), ("x", {40_000, 22_400}), ("9" * 40, {40_000, 22_400})],
    )
    def test_in_pieces_as_large_as_wanted(
        self, behind: Open, monkeypatch: pytest.MonkeyPatch, wanted: str, sizes: set[int]
    ) -> None:
        monkeypatch.setattr("tagflow.stores.registry.blobs.PIECE", 40_000)

        def whole_is_too_much(asked: Asked, server: Script) -> Say:
            return Say(413) if asked.method == "PUT" and asked.body else server(asked)

        minimum = changed(lambda said: said.having({"OCI-Chunk-Min-Length": wanted}), "POST", "/blobs/uploads/")
        found = behind(minimum, whole_is_too_much)
        blob = images.add_blob(found.store, self.CONTENT)
        assert {len(asked.body) for asked in found.server.asked if asked.method == "PATCH"} == sizes
        assert b"".join(found.direct.read_blob(blob)) == self.CONTENT

    LOST = ((404, "BLOB_UPLOAD_UNKNOWN"), (404, "BLOB_UPLOAD_INVALID"), (400, "BLOB_UPLOAD_INVALID"))

    @pytest.mark.parametrize(("status", "code"), LOST)
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_that_a_registry_lost_are_begun_anew(self, behind: Open, method: str, status: int, code: str) -> None:
        """As GHCR, ACR and ECR do now and then, and registries that share an address, but not what they know."""
        lost = instead(failed(status, code, "blob upload unknown to registry"), method, "/uploads/.*[?]", times=1)
        found = behind(lost, *([instead(Say(413), "PUT", "digest=", times=1)] if method == "PATCH" else []))
        blob = images.add_blob(found.store, self.CONTENT)
        assert b"".join(found.direct.read_blob(blob)) == self.CONTENT

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_that_break_off_after_long_are_begun_anew(
        self, behind: Open, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        """Limited is what is waited, not how long a large layer takes on a slow line."""
        now = [0.0]

        def slowly() -> Iterator[bytes]:
            for start in range(0, len(self.CONTENT), 40_000):
                now[0] += 100.0
                yield self.CONTENT[start : start + 40_000]

        def budget(settings: Settings) -> RetryBudget:
            return RetryBudget(settings.retry, clock=lambda: now[0], sleep=lambda _: None)

        monkeypatch.setattr(Settings, "retry_budget", budget)
        broken = instead(Say(cut="whole"), method, "/uploads/.*[?]", times=2)
        found = behind(broken, *([instead(Say(413), "PUT", "digest=", times=1)] if method == "PATCH" else []))
        blob = Descriptor("application/octet-stream", digest_of(self.CONTENT), len(self.CONTENT))
        found.store.write_blob(blob, slowly)
        assert b"".join(found.direct.read_blob(blob)) == self.CONTENT

    def test_that_a_registry_loses_each_time(self, behind: Open) -> None:
        lost = failed(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        found = behind(instead(lost, "PUT", "/uploads/"))
        with pytest.raises(StoreError, match="BLOB_UPLOAD_UNKNOWN") as caught:
            images.add_blob(found.store, self.CONTENT)
        assert caught.value.code == "registry.rejected"
        assert "http.secret" in caught.value.hint
        assert found.server.count("PUT", "/uploads/") == QUICK.attempts

    @pytest.mark.parametrize(("status", "code"), [(400, "MANIFEST_INVALID"), (404, "MANIFEST_BLOB_UNKNOWN")])
    def test_of_layers_that_live_elsewhere(self, behind: Open, status: int, code: str) -> None:
        assert "urls.allow" in self.refused_with_foreign_layers(behind, status, code).hint

    def test_a_missing_right_has_nothing_to_do_with_layers(self, behind: Open) -> None:
        assert "urls.allow" not in self.refused_with_foreign_layers(behind, 403, "DENIED").hint

    def refused_with_foreign_layers(self, behind: Open, status: int, code: str) -> StoreError:
        said = json.dumps({"errors": [{"code": code}]}).encode()
        found = behind(instead(Say(status, said), "PUT", "/manifests/"))
        blob = images.add_blob(found.direct, b"{}", "application/vnd.oci.image.config.v1+json")
        layer = {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": images.absent(),
                 "size": 7, "urls": ["https://mcr.example/layer"]}  # fmt: skip
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": images.pointer(blob), "layers": [layer]}
        manifest = Manifest(OCI_MANIFEST, json.dumps(document).encode())
        with pytest.raises(StoreError) as caught:
            found.store.put(manifest, "v1.0")
        return caught.value


class TestDownloads:
    CONTENT = bytes(range(256)) * 4000

    def cut(self, at: Callable[[bytes], int]) -> Override:
        """The first answer breaks off somewhere; its headers promise the whole."""
        done: list[Asked] = []

        def override(asked: Asked, server: Script) -> Say:
            said = server(asked)
            if asked.method != "GET" or "/blobs/" not in asked.path or done or said.status not in (200, 206):
                return said
            done.append(asked)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(said.body) + 1}\r\n\r\n".encode()
            return Say(raw=head + said.body[: at(said.body)])

        return override

    def test_a_range_that_does_not_say_from_where(self, behind: Open) -> None:
        plain = changed(lambda said: said.without("Content-Range"), "GET", "/blobs/")
        found = behind(self.cut(lambda body: len(body) // 2), plain)
        blob = images.add_blob(found.direct, self.CONTENT)
        assert b"".join(found.store.read_blob(blob)) == self.CONTENT

    def test_a_range_from_elsewhere_is_refused(self, behind: Open) -> None:
        wrong = changed(lambda said: said.having({"Content-Range": "bytes 0-9/10"}) if said.status == 206 else said)
        found = behind(self.cut(lambda body: len(body) // 2), wrong)
        blob = images.add_blob(found.direct, self.CONTENT)
        assert code_of(lambda: b"".join(found.store.read_blob(blob))) == "registry.rejected"

    def test_one_that_broke_off_at_its_end(self, behind: Open) -> None:
        """Nothing is left to ask for: the range behind it would be answered with 416."""
        found = behind(self.cut(len), instead(Say(416), "GET", "/blobs/", skip=1))
        blob = images.add_blob(found.direct, self.CONTENT)
        assert b"".join(found.store.read_blob(blob)) == self.CONTENT


class TestClocks:
    """A wrong clock, here or there, makes soaks and histories wrong: it is told, once a run."""

    def dated(self, ahead: timedelta, **more: str) -> Override:
        date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
        return changed(lambda said: said.having({"Date": date, **more}))

    @pytest.mark.parametrize(
        ("ahead", "told"),
        [
            (timedelta(hours=25), "is 25 h ahead of that of this machine"),
            (timedelta(days=-400), "is 400 d behind that of this machine"),
            (timedelta(seconds=-119), "behind that of this machine"),
            (timedelta(seconds=-30), ""),
            (timedelta(), ""),
        ],
    )
    def test_apart(self, behind: Open, ahead: timedelta, told: str) -> None:
        warned: list[str] = []
        found = behind(self.dated(ahead), warned=warned)
        images.image(found.store, tag="v1.0")
        assert found.store.tags() == ["v1.0"]
        assert len(warned) == bool(told)
        assert all(told in line and found.store.repository.host in line for line in warned)

    def test_what_a_cache_kept_tells_nothing(self, behind: Open) -> None:
        warned: list[str] = []
        behind(self.dated(timedelta(hours=-25), Age="90000"), warned=warned).store.tags()
        assert warned == []

    @pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Nov 2026 00:00:00 GMT", "0"])
    def test_no_date(self, behind: Open, date: str) -> None:
        warned: list[str] = []
        behind(changed(lambda said: said.having({"Date": date})), warned=warned).store.tags()
        assert warned == []
