"""A real registry (distribution 2.8), with a proxy in front of it that makes trouble."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import NotFound, StoreError, TagflowError
from tagflow.stores.port import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, TagMoved
from tagflow.stores.registry.http.pace import RetryPolicy, Settings
from tagflow.stores.registry.store import RegistryHost, RegistryStore
from tests import images
from tests.proxy import FaultProxy
from tests.servers import RegistryServer, require

QUICK = RetryPolicy(attempts=4, first=0.01, budget=5.0, gap=0.001, largest_gap=0.01)


@pytest.fixture
def connect() -> Iterator[Callable[..., RegistryHost]]:
    hosts: list[RegistryHost] = []

    def opening(host: str, **settings: Any) -> RegistryHost:
        hosts.append(RegistryHost(host, Settings(**{"environ": {}, "retry": QUICK, **settings})))
        return hosts[-1]

    yield opening
    for host in hosts:
        host.close()


@pytest.fixture
def path(registry: RegistryServer) -> str:
    return registry.fresh().path


@pytest.fixture
def direct(connect: Callable[..., RegistryHost], registry: RegistryServer, path: str) -> RegistryStore:
    """The repository, without the proxy: what others do meanwhile."""
    return connect(registry.host).store(path)


@pytest.fixture
def store(connect: Callable[..., RegistryHost], proxy: FaultProxy, path: str) -> RegistryStore:
    """The same repository, through the proxy."""
    return connect(proxy.host).store(path)


def code_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(TagflowError) as caught:
        call(*arguments)
    return caught.value.code


class TestRequests:
    def test_a_move_takes_three(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        manifest = images.image(direct, tag="v1")
        assert store.resolve("v1")
        store.move("prod", manifest, None)
        assert [request.method for request in proxy.requests] == ["HEAD", "HEAD", "PUT", "HEAD"]

    def test_a_move_to_where_it_is_takes_one(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        manifest = images.image(direct, tag="prod")
        store.move("prod", manifest, None)
        assert [request.method for request in proxy.requests] == ["HEAD"]

    def test_a_move_after_a_look_takes_two(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        manifest = images.image(direct, tag="v1")
        store.move("prod", manifest, None, looked=True)
        assert [request.method for request in proxy.requests] == ["PUT", "HEAD"]

    def test_a_new_name_is_looked_at_written_and_read_back(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        manifest = images.image(direct, tag="v1")
        assert store.resolve("v1")
        store.create("v1-prod", manifest)
        assert [request.method for request in proxy.requests] == ["HEAD", "HEAD", "PUT", "HEAD"]

    def test_a_list_is_asked_for_each_time(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        manifest = images.image(direct, tag="v1")
        assert store.tags() == ["v1"]
        direct.put(manifest, "v2")
        assert store.tags() == ["v1", "v2"]
        assert proxy.count("GET", "/tags/list") == 2

    def test_resolving_pulls_nothing(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        images.image(direct, tag="v1")
        assert store.resolve("v1")
        assert store.resolve("v2") is None
        assert [request.method for request in proxy.requests] == ["HEAD", "HEAD"]

    def test_stores_are_shared(self, connect: Callable[..., RegistryHost], registry: RegistryServer) -> None:
        host = connect(registry.host)
        assert host.store("a/b") is host.store("a/b")
        assert host.store("a/b") is not host.store("a/c")


class TestMove:
    def test_an_answer_that_is_lost(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(method="PUT", cut="after")
        store.move("prod", manifest, None)
        assert proxy.count("PUT") == 1  # it looks, sees that it has happened, and does not write again
        assert direct.resolve("prod") == manifest.digest

    def test_the_last_answer_that_is_lost(
        self, direct: RegistryStore, connect: Callable[..., RegistryHost], proxy: FaultProxy
    ) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(method="PUT", cut="after")
        connect(proxy.host, retry=RetryPolicy(attempts=1)).store(direct.repository.path).move("prod", manifest, None)
        assert direct.resolve("prod") == manifest.digest

    def test_a_request_that_is_lost(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(method="PUT", cut="before", times=2)
        store.move("prod", manifest, None)
        assert proxy.count("PUT") == 3
        assert direct.resolve("prod") == manifest.digest

    def test_never_over_another_move_that_came_between_two_tries(
        self, direct: RegistryStore, connect: Callable[..., RegistryHost], proxy: FaultProxy
    ) -> None:
        ours, theirs = images.image(direct, content=b"ours", tag="v1"), images.image(direct, content=b"theirs")

        def meanwhile(line: str) -> None:
            if " 503 " in line:
                direct.put(theirs, "prod")

        proxy.add(method="PUT", status=503)
        store = connect(proxy.host, trace=meanwhile).store(direct.repository.path)
        with pytest.raises(TagMoved) as caught:
            store.move("prod", ours, None)
        assert caught.value.actual == theirs.digest
        assert direct.resolve("prod") == theirs.digest

    def test_a_move_right_after_ours_is_reported(
        self, direct: RegistryStore, connect: Callable[..., RegistryHost], proxy: FaultProxy
    ) -> None:
        ours, theirs = images.image(direct, content=b"ours", tag="v1"), images.image(direct, content=b"theirs")

        def meanwhile(line: str) -> None:
            if line.startswith("PUT"):
                direct.put(theirs, "prod")

        store = connect(proxy.host, trace=meanwhile).store(direct.repository.path)
        with pytest.raises(TagMoved) as caught:
            store.move("prod", ours, None)
        assert (caught.value.expected, caught.value.actual) == (ours.digest, theirs.digest)

    def test_a_look_is_worth_one_try(
        self, direct: RegistryStore, connect: Callable[..., RegistryHost], proxy: FaultProxy
    ) -> None:
        """Before the next try the tag is looked at again."""
        ours, theirs = images.image(direct, content=b"ours", tag="v1"), images.image(direct, content=b"theirs")

        def meanwhile(line: str) -> None:
            if " 503 " in line:
                direct.put(theirs, "prod")

        proxy.add(method="PUT", status=503)
        store = connect(proxy.host, trace=meanwhile).store(direct.repository.path)
        with pytest.raises(TagMoved):
            store.move("prod", ours, None, looked=True)
        assert direct.resolve("prod") == theirs.digest

    def test_a_registry_that_fails(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(method="PUT", status=503, times=-1)
        assert code_of(store.move, "prod", manifest, None) == "registry.unavailable"
        assert direct.resolve("prod") is None

    def test_two_writers(self, direct: RegistryStore, store: RegistryStore) -> None:
        """Whoever is told that it moved the tag has moved it; at the end it stands at a digest of one of them."""
        candidates = [images.image(direct, content=bytes([n])) for n in range(8)]
        outcomes: dict[Digest, str] = {}

        def run(manifest: Manifest) -> None:
            try:
                store.move("prod", manifest, None)
            except TagMoved:
                outcomes[manifest.digest] = "moved"
            else:
                outcomes[manifest.digest] = "ours"

        threads = [threading.Thread(target=run, args=(manifest,)) for manifest in candidates]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == len(candidates)
        assert direct.resolve("prod") in outcomes


class TestGuard:
    """It is asked before each write, and once more after all waits; what it raises keeps the write from happening."""

    class Late(Exception):
        pass

    @dataclass
    class Asked:
        """Notes when it was asked, by how many PUTs there were."""

        proxy: FaultProxy
        asked: list[tuple[str, int]] = field(default_factory=list)

        def prepare(self) -> None:
            self.asked.append(("prepare", self.proxy.count("PUT")))

        def allow(self, _tags: object) -> None:
            self.asked.append(("allow", self.proxy.count("PUT")))

    def test_a_write_that_it_refuses_is_not_sent(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        def refuse(*_: object) -> None:
            raise self.Late

        manifest = images.image(direct, tag="v1")
        for asked in ("prepare", "allow"):
            guard = self.Asked(proxy)
            setattr(guard, asked, refuse)
            with pytest.raises(self.Late):
                store.move("prod", manifest, None, guard=guard)
        assert proxy.count("PUT") == 0

    def test_each_try_is_asked_for(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        guard = self.Asked(proxy)
        manifest = images.image(direct, tag="v1")
        proxy.add(method="PUT", status=503)
        store.move("prod", manifest, None, guard=guard)
        assert guard.asked == [("prepare", 0), ("allow", 0), ("prepare", 1), ("allow", 1)]


class TestCreate:
    """A tag that never moves: a look finds none right then, each further try looks first, and it is read back."""

    def test_after_a_list_that_is_old(self, direct: RegistryStore, store: RegistryStore) -> None:
        ours, theirs = images.image(direct, content=b"ours"), images.image(direct, content=b"theirs")
        assert "v1" not in store.tags()
        direct.put(theirs, "v1")
        with pytest.raises(TagMoved) as caught:
            store.create("v1", ours)
        assert (caught.value.expected, caught.value.actual) == (None, theirs.digest)
        assert direct.resolve("v1") == theirs.digest

    @pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"cut": "before"}])
    def test_never_over_what_came_between_two_tries(
        self,
        direct: RegistryStore,
        connect: Callable[..., RegistryHost],
        proxy: FaultProxy,
        fault: dict[str, Any],
    ) -> None:
        ours, theirs = images.image(direct, content=b"ours"), images.image(direct, content=b"theirs")
        came: list[str] = []

        def meanwhile(line: str) -> None:
            if line.startswith("PUT") and not came:
                came.append(line)
                direct.put(theirs, "v1")

        proxy.add(method="PUT", **fault)
        store = connect(proxy.host, trace=meanwhile).store(direct.repository.path)
        assert store.tags() == []
        with pytest.raises(TagMoved):
            store.create("v1", ours)
        assert direct.resolve("v1") == theirs.digest
        assert proxy.count("PUT") == 1

    def test_an_answer_that_is_lost(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        manifest = images.image(direct)
        proxy.add(method="PUT", cut="after")
        store.create("v1", manifest)
        assert proxy.count("PUT") == 1
        assert direct.resolve("v1") == manifest.digest

    def test_one_that_is_overwritten_right_away_is_reported(
        self, direct: RegistryStore, connect: Callable[..., RegistryHost], proxy: FaultProxy
    ) -> None:
        ours, theirs = images.image(direct, content=b"ours"), images.image(direct, content=b"theirs")

        def meanwhile(line: str) -> None:
            if line.startswith("PUT"):
                direct.put(theirs, "v1")

        store = connect(proxy.host, trace=meanwhile).store(direct.repository.path)
        with pytest.raises(TagMoved) as caught:
            store.create("v1", ours)
        assert (caught.value.expected, caught.value.actual) == (ours.digest, theirs.digest)


class TestReading:
    def test_flaky_reads_are_repeated(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(method="GET|HEAD", status=500, times=2)
        assert store.resolve("v1") == manifest.digest

    def test_without_a_digest_header(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(drop_headers=("Docker-Content-Digest",), times=-1)
        assert store.resolve("v1") == manifest.digest
        assert store.get("v1") == manifest
        store.put(manifest, "v2")
        store.move("v3", manifest, None)
        assert store.tags() == ["v1", "v2", "v3"]

    def test_wrong_bytes_in_a_manifest(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(method="GET", edit=True, times=2)
        assert code_of(store.get, "v1") == "manifest.digest_mismatch"
        assert code_of(store.get, manifest.digest) == "manifest.digest_mismatch"

    @pytest.mark.parametrize("status", [403, 429, 500, 503])
    def test_an_error_is_never_none(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy, status: int
    ) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(status=status, times=-1)
        calls: list[Callable[[], object]] = [
            store.tags,
            lambda: store.resolve("v1"),
            lambda: store.has(manifest.digest),
            lambda: store.has_blob(manifest.blobs[0].digest),
            lambda: store.referrers(manifest.digest),
        ]
        for call in calls:
            with pytest.raises(StoreError):
                call()

    def test_referrers_that_are_throttled_halfway(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        manifest = images.image(direct, tag="v1")
        proxy.add(path="/manifests/sha256-", status=429, times=-1)
        assert code_of(store.referrers, manifest.digest) == "registry.throttled"


class TestBlobs:
    CONTENT = bytes(range(256)) * 20_000  # 5 MB

    def test_a_download_goes_on_where_it_broke(
        self, registry: RegistryServer, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        blob = images.add_blob(direct, self.CONTENT)
        proxy.add(method="GET", cut="middle", times=3)
        assert b"".join(store.read_blob(blob)) == self.CONTENT
        assert [request.status for request in proxy.requests] == [200, 206, 206, 206]

    def test_a_download_that_never_gets_on(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        blob = images.add_blob(direct, self.CONTENT)
        proxy.add(method="GET", cut="before", times=-1)
        assert code_of(list, store.read_blob(blob)) == "registry.unreachable"

    def test_wrong_bytes_are_noticed(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        blob = images.add_blob(direct, self.CONTENT)
        proxy.add(method="GET", edit=True)
        received: list[bytes] = []
        with pytest.raises(StoreError) as caught:
            received.extend(store.read_blob(blob))
        assert caught.value.code == "blob.invalid"
        assert sum(map(len, received)) < len(self.CONTENT)

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    @pytest.mark.parametrize("fault", [{"cut": "before"}, {"cut": "after"}, {"status": 502}, {"status": 429}])
    def test_an_upload_begins_anew(
        self, store: RegistryStore, proxy: FaultProxy, method: str, fault: dict[str, Any]
    ) -> None:
        proxy.add(method=method, **fault)
        blob = images.add_blob(store, self.CONTENT)
        assert b"".join(store.read_blob(blob)) == self.CONTENT

    def test_an_upload_whose_answer_is_lost_is_not_sent_again(self, store: RegistryStore, proxy: FaultProxy) -> None:
        proxy.add(method="PUT", cut="after")
        images.add_blob(store, self.CONTENT)
        assert proxy.count("PUT") == 1

    @pytest.mark.parametrize("status", [405, 411, 413])
    def test_an_upload_in_pieces(
        self, store: RegistryStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        monkeypatch.setattr("tagflow.stores.registry.blobs.PIECE", 2_000_000)
        proxy.add(method="PUT", status=status)
        blob = images.add_blob(store, self.CONTENT)
        assert b"".join(store.read_blob(blob)) == self.CONTENT
        assert proxy.count("PATCH") == 3

    def test_a_piece_that_is_lost_begins_anew(
        self, store: RegistryStore, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tagflow.stores.registry.blobs.PIECE", 2_000_000)
        proxy.add(method="PUT", status=413)
        proxy.add(method="PATCH", cut="before", skip=1)
        blob = images.add_blob(store, self.CONTENT)
        assert b"".join(store.read_blob(blob)) == self.CONTENT

    def test_a_source_that_fails_leaves_a_usable_connection(self, store: RegistryStore) -> None:
        blob = images.add_blob(store, self.CONTENT)
        other = Descriptor("x/y", images.absent(), len(self.CONTENT))

        def broken() -> Iterator[bytes]:
            yield self.CONTENT[:1000]
            raise NotFound("blob.not_found", "gone meanwhile")

        assert code_of(store.write_blob, other, broken) == "blob.not_found"
        assert store.has_blob(blob.digest)
        assert not store.has_blob(other.digest)

    def test_a_refused_mount_leaves_no_upload_behind(
        self, registry: RegistryServer, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy
    ) -> None:
        images.image(store)
        source = Repository(store.repository.host, registry.fresh("source").path)
        blob = Descriptor("x/y", images.absent("mount"), 3)
        assert not store.mount(blob, source)
        assert proxy.requests[-1].method == "DELETE"
        assert proxy.requests[-1].status == 204


class TestUntag:
    def test_a_registry_that_cannot(self, direct: RegistryStore) -> None:
        manifest = images.image(direct, tag="v1")
        direct.put(manifest, "v2")
        assert code_of(direct.untag, "v2", manifest.digest) == "tag.undeletable"
        assert direct.resolve("v1") == direct.resolve("v2") == manifest.digest

    def test_a_registry_that_will_not(
        self, connect: Callable[..., RegistryHost], second_registry: RegistryServer
    ) -> None:
        store = connect(second_registry.host).store(second_registry.fresh().path)
        manifest = images.image(store, tag="v1")
        assert code_of(store.untag, "v1", manifest.digest) == "tag.undeletable"
        assert store.resolve("v1") == manifest.digest

    def test_a_tag_that_stands_elsewhere(self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy) -> None:
        images.image(direct, tag="v1")
        assert code_of(store.untag, "v1", images.absent()) == "tag.moved"
        assert code_of(store.untag, "absent", images.absent()) == "tag.moved"
        assert proxy.count("DELETE") == 0


class TestReferrers:
    def test_are_listed_under_the_fallback_tag(self, direct: RegistryStore) -> None:
        manifest = images.image(direct, tag="v1")
        sbom = images.referrer(direct, manifest)
        [found] = direct.referrers(manifest.digest)
        assert (found.digest, found.artifact_type) == (sbom.digest, "application/vnd.example.sbom.v1")
        assert found.annotations == {"org.example.note": "refers"}
        assert f"sha256-{manifest.digest.removeprefix('sha256:')}" in direct.tags()

    def test_of_several_threads_are_all_there(self, direct: RegistryStore) -> None:
        manifest = images.image(direct, tag="v1")
        threads = [
            threading.Thread(target=images.referrer, args=(direct, manifest, "application/x", bytes([n])))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(direct.referrers(manifest.digest)) == 8

    def test_a_list_that_refers_to_something_itself_is_not_listed_in_turn(self, direct: RegistryStore) -> None:
        """Others may have put it there: writing it anew as it is would refer, and list, without end."""
        manifest = images.image(direct, tag="v1")
        tag = manifest.digest.replace(":", "-")
        index = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [],
            "subject": images.pointer(manifest.descriptor),
        }

        def refer() -> None:
            images.put(direct, index, tag)
            images.referrer(direct, manifest)

        thread = threading.Thread(target=refer, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        assert "application/vnd.example.sbom.v1" in {found.artifact_type for found in direct.referrers(manifest.digest)}
        assert "subject" not in direct.get(tag).document

    def test_what_others_listed_is_kept(self, direct: RegistryStore) -> None:
        """As oras writes it, with keys that tagflow does not know."""
        manifest = images.image(direct, tag="v1")
        other = images.image(direct, content=b"other")
        tag = manifest.digest.replace(":", "-")
        listed = {**images.pointer(other.descriptor), "artifactType": "application/x", "data": "e30=", "odd": [1]}
        images.index_of(direct, [listed], tag=tag)
        images.referrer(direct, manifest)
        document = direct.get(tag).document
        assert document["manifests"][0] == listed
        assert len(document["manifests"]) == 2

    def test_never_over_a_list_that_came_between_two_tries(
        self, direct: RegistryStore, connect: Callable[..., RegistryHost], proxy: FaultProxy
    ) -> None:
        manifest = images.image(direct, tag="v1")
        came: list[str] = []

        def meanwhile(line: str) -> None:
            if "/manifests/sha256-" in line and line.startswith("PUT") and not came:
                came.append(line)
                images.referrer(direct, manifest, "application/theirs", b"theirs")

        proxy.add(method="PUT", path="/manifests/sha256-", status=503)
        store = connect(proxy.host, trace=meanwhile).store(direct.repository.path)
        images.referrer(store, manifest, "application/ours", b"ours")
        assert {found.artifact_type for found in direct.referrers(manifest.digest)} == {
            "application/ours",
            "application/theirs",
        }

    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_an_answer_that_is_lost(
        self, direct: RegistryStore, store: RegistryStore, proxy: FaultProxy, cut: str
    ) -> None:
        """Only an answer says whether the registry lists a referrer by itself."""
        manifest = images.image(direct, tag="v1")
        proxy.add(method="PUT", path="/manifests/sha256:", cut=cut)
        sbom = images.referrer(store, manifest)
        assert [found.digest for found in direct.referrers(manifest.digest)] == [sbom.digest]


class TestPing:
    def test_an_open_registry(self, connect: Callable[..., RegistryHost], registry: RegistryServer) -> None:
        health = connect(registry.host).ping()
        assert (health.status, health.scheme, health.credential) == (200, "", "")
        assert health.url == f"http://{registry.host}"
        assert health.date
        assert abs(health.date - datetime.now(UTC)) < timedelta(seconds=5)
        assert health.seconds > 0


@pytest.mark.skopeo
def test_skopeo_reads_what_tagflow_writes(direct: RegistryStore, tmp_path: Path) -> None:
    skopeo = require("skopeo")
    index = images.index(direct, tag="v1")
    direct.move("prod", index, None)
    command = [skopeo, "inspect", "--raw", "--tls-verify=false", f"docker://{direct.repository}:prod"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == index.content
    target = f"oci:{tmp_path}/layout:prod"
    copy = [
        skopeo,
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        f"docker://{direct.repository}:prod",
    ]
    subprocess.run([*copy, target], capture_output=True, check=True)
    [entry] = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert entry["digest"] == index.digest


def test_a_manifest_before_its_parts(direct: RegistryStore) -> None:
    images.image(direct)
    config = images.pointer(Descriptor("application/x", images.absent("config"), 2))
    with pytest.raises(StoreError, match="MANIFEST_BLOB_UNKNOWN") as caught:
        images.put(direct, {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []}, "v1")
    assert caught.value.code == "manifest.incomplete"
