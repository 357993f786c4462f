"""Whole commands over a real registry that says wrong types, loses parts of images, or holds what is no record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tagflow.domain.reference import Digest, Repository
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Manifest
from tests import images
from tests.marks import LONG, mostly_long
from tests.registries.shop import POLICY, Shop
from tests.servers import RegistryServer
from tests.standin import Say, changed, instead

pytestmark = pytest.mark.registry

TWO = POLICY.replace("{{app: app}}", "{{app: app, web: web}}")
STRAY = "_tagflow.prod.000009.aaaaaaaaaaaa"


def layout(directory: Path, name: str, seed: str) -> Manifest:
    """A build of two platforms on disk."""
    return images.index(LayoutStore(Repository(f"oci:{directory}", name)), seed=seed, tag=name)


def platforms(index: Manifest) -> list[Digest]:
    return [child.digest for child in index.children]


@pytest.fixture
def shop(registry: RegistryServer, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(registry, tmp_path)
    yield shop
    shop.close()


class TestTypes:
    """A wrong ``Content-Type`` is not believed, not once and not for ever."""

    APART = POLICY.replace("prod: {{", "prod: {{registry: {registry}/production, ")

    @pytest.mark.parametrize(
        "said", mostly_long([OCI_MANIFEST, DOCKER_MANIFEST, "application/json", "text/html", ""], OCI_MANIFEST, "")
    )
    def test_of_an_index_that_is_served_as_an_image_once(
        self, registry: RegistryServer, tmp_path: Path, said: str
    ) -> None:
        shop = Shop(registry, tmp_path, policy=self.APART)
        index = images.index(shop.direct, seed="1", tag="v1.0")
        wrong = changed(lambda answer: answer.having({"Content-Type": said}), "GET|HEAD", "/manifests/")
        shop.server.overrides.append(wrong)
        shop.do("promote", "v1.0", "--to", "dev")
        shop.server.overrides.clear()
        shop.do("promote", "v1.0", "--to", "prod")
        there = shop.open("production/app")
        assert there.get("prod") == Manifest(OCI_INDEX, index.content)
        assert all(there.has(child) for child in platforms(index))
        shop.do("verify")
        shop.close()

    def test_of_all_that_is_served_always(self, registry: RegistryServer, tmp_path: Path) -> None:
        wrong = changed(lambda answer: answer.having({"Content-Type": OCI_INDEX}), "GET|HEAD", "/manifests/")
        shop = Shop(registry, tmp_path, wrong, policy=self.APART)
        index = images.index(shop.direct, seed="1", tag="v1.0")
        shop.do("promote", "v1.0", "--to", "dev")
        shop.do("promote", "v1.0", "--to", "prod")
        there = shop.open("production/app")
        assert there.get("prod") == index
        assert [there.get(child) for child in platforms(index)] == [shop.direct.get(it) for it in platforms(index)]
        shop.close()


class TestLostParts:
    """The index is there, or known from before, and its platforms are not: no name is put at it."""

    def released(self, shop: Shop, *versions: str) -> dict[str, Manifest]:
        built = {version: images.index(shop.direct, seed=version, tag=version) for version in versions}
        for version in versions:
            shop.do("promote", version, "--to", "dev")
            shop.do("promote", version, "--to", "prod")
        return built

    @pytest.mark.parametrize("index_too", [False, True], ids=["platforms", "index and platforms"])
    def test_repair_gives_no_name_to_an_image_without_platforms(self, shop: Shop, index_too: bool) -> None:
        index = self.released(shop, "v1.0")["v1.0"]
        lost = platforms(index)
        for digest in [*lost, *([index.digest] if index_too else [])]:
            shop.delete(digest)
        for name in ("v1.0-prod", "latest"):
            if not index_too:
                shop.untag(name)
        left = shop.direct.tags()
        done = shop.run("verify", "--repair")
        assert done.status == 5, (done.out, done.err)
        assert shop.direct.tags() == left
        assert "content.missing" in shop.run("verify", "-o", "json").out

    def test_promote_says_which_child(self, shop: Shop) -> None:
        images.index(shop.direct, seed="v1.0", tag="v1.0")
        index = images.index(shop.direct, seed="v1.1", tag="v1.1")
        shop.do("promote", "v1.0", "--to", "dev")
        shop.do("promote", "v1.0", "--to", "prod")
        shop.do("promote", "v1.1", "--to", "dev")
        shop.delete(platforms(index)[1])
        before = shop.direct.tags()
        document = shop.desk.json("promote", "v1.1", "--to", "prod")
        assert (document["exit_code"], document["error"]["code"]) == (4, "content.missing")
        assert platforms(index)[1] in str(document["error"])
        assert shop.direct.tags() == before
        assert "v1.0" in shop.do("status", "prod").out

    def test_promote_says_which_layer(self, shop: Shop) -> None:
        index = images.index(shop.direct, seed="v1.0", tag="v1.0")
        child = shop.direct.get(platforms(index)[0])
        assert child is not None
        lost = child.blobs[-1].digest
        shop.do("promote", "v1.0", "--to", "dev")
        shop.lose_blob(lost)
        document = shop.desk.json("promote", "v1.0", "--to", "prod")
        assert (document["exit_code"], document["error"]["code"]) == (4, "content.missing")
        assert lost in str(document["error"])
        assert shop.direct.resolve("prod") is None

    @pytest.mark.parametrize("part", mostly_long(["platform", "layer", "all platforms"], "platform"))
    def test_a_push_again_brings_them(self, shop: Shop, part: str) -> None:
        """It is what the message advises; nothing moves backwards by it."""
        built = {version: layout(shop.desk.path / "builds", version, version) for version in ("v1.0", "v1.1")}
        for version in built:
            shop.do("push", version, f"app=oci:builds/{version}")
        shop.do("promote", "v1.0", "--to", "prod")
        index = built["v1.0"]
        child = shop.direct.get(platforms(index)[0])
        assert child is not None
        for digest in platforms(index) if part == "all platforms" else platforms(index)[:1] * (part == "platform"):
            shop.delete(digest)
        if part == "layer":
            shop.lose_blob(child.blobs[-1].digest)
        assert shop.run("verify").status == 5
        done = shop.do("push", "v1.0", "app=oci:builds/v1.0")
        assert "what is missing of v1.0 is sent again; dev stays at v1.1" in done.err + done.out
        assert all(shop.direct.has(digest) for digest in platforms(index))
        assert shop.direct.has_blob(child.blobs[-1].digest)
        assert shop.direct.resolve("dev") == built["v1.1"].digest
        assert shop.direct.resolve("prod") == shop.direct.resolve("v1.0") == index.digest
        shop.do("verify")

    @pytest.mark.parametrize("status", mostly_long([503, 403, 500], 503))
    @pytest.mark.parametrize("path", ["/blobs/", "/manifests/sha256:"])
    def test_a_registry_that_fails_has_lost_nothing(self, shop: Shop, status: int, path: str) -> None:
        self.released(shop, "v1.0")
        shop.server.overrides.append(instead(Say(status), "GET|HEAD", path))
        done = shop.run("verify", "--timeout", "1s")
        assert done.status == 6, (done.out, done.err)
        assert "content.missing" not in done.out + done.err


class TestStrayRecords:
    """What somebody pushed under the tag of a record is trouble for its image alone, and there is a way out."""

    @pytest.fixture(params=mostly_long(["an image", "a record of another tag", "an index"], "a record of another tag"))
    def shop(self, request: pytest.FixtureRequest, registry: RegistryServer, tmp_path: Path) -> Iterator[Shop]:
        shop = Shop(registry, tmp_path, policy=TWO)
        for version in ("v1.0", "v1.1"):
            for image in ("app", "web"):
                images.index(shop.open(image), seed=image + version, tag=version)
            shop.do("promote", version, "--to", "dev")
            shop.do("promote", version, "--to", "prod")
        web = shop.open("web")
        if request.param == "an image":
            images.image(web, content=b"anything", tag=STRAY)
        elif request.param == "an index":
            images.index(web, seed="anything", tag=STRAY)
        else:
            record = web.get(next(tag for tag in web.tags() if tag.startswith("_tagflow.prod.000001")))
            assert record is not None
            web.put(record, STRAY)
        yield shop
        shop.close()

    def test_stops_its_image_only(self, shop: Shop) -> None:
        status = shop.do("status")
        assert "v1.1" in status.out
        named = f"{shop.namespace}/web"
        for command in (["rollback", "prod", "web"], ["promote", "web", "--to", "prod"]):
            done = shop.run(*command)
            assert (done.status, named in done.err, STRAY in done.err) == (5, True, True), done.err
        note = shop.do("rollback", "prod").err
        assert (named in note, STRAY in note) == (True, True), "what is left out is named"
        assert shop.direct.resolve("prod") == shop.direct.resolve("v1.0")
        assert shop.open("web").resolve("prod") == shop.open("web").resolve("v1.1")
        shop.do("promote", "app=v1.1", "--to", "prod", "--override", "hold", "--reason", "it is good")
        assert named in shop.run("verify").out + shop.run("verify").err

    @LONG
    def test_is_set_aside_where_no_tag_can_be_deleted(self, shop: Shop) -> None:
        shop.do("verify", "--repair")
        assert STRAY in shop.open("web").tags()
        shop.do("verify")
        shop.do("rollback", "prod")
        assert shop.open("web").resolve("prod") == shop.open("web").resolve("v1.0")
