"""Copying: whole trees, each blob once, nothing written before everything is known, failures clean."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Digest, Repository, normal_platform
from tagflow.errors import Conflict, NotFound, Refused, StoreError
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import OCI_MANIFEST, SCHEMA1_TYPES, Descriptor, Manifest, Store, UnreadableManifest
from tagflow.stores.transfer.copy import Copier, copy_image, labels, missing_parts, platforms
from tests import images
from tests.memory import MemoryRegistry


@pytest.fixture
def memory() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def source(memory: MemoryRegistry) -> Store:
    return memory.open(Repository("one.test", "dev/app"))


@pytest.fixture
def target(memory: MemoryRegistry) -> Store:
    """On another host: blobs have to travel."""
    return memory.open(Repository("two.test", "prod/app"))


@pytest.fixture
def neighbour(memory: MemoryRegistry) -> Store:
    """On the same host as the source."""
    return memory.open(Repository("one.test", "prod/app"))


def operations(memory: MemoryRegistry, store: Store) -> Counter[str]:
    """How often each operation was begun on a store."""
    return Counter(call.operation for call in memory.calls if call.repository == store.repository)


class Meter:
    """A progress that adds up."""

    def __init__(self) -> None:
        self.expected, self.advanced, self._lock = 0, 0, threading.Lock()

    def expect(self, size: int) -> None:
        with self._lock:
            self.expected += size

    def advance(self, size: int) -> None:
        assert size >= 0
        with self._lock:
            self.advanced += size


def sha512(content: bytes) -> Digest:
    return Digest("sha512:" + hashlib.sha512(content).hexdigest())


class TestTree:
    def test_children_come_before_parents(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        root = images.index(source, tag="v1.0")
        assert copy_image(source, target, "v1.0") == root
        puts = [call.detail for call in memory.calls if call.operation == "put" and call.repository.host == "two.test"]
        assert puts[-1] == root.digest
        assert set(puts[:-1]) == {child.digest for child in root.children}
        assert target.tags() == [], "tags are somebody else's business"

    def test_may_be_deep(self, source: Store, target: Store) -> None:
        manifest = images.image(source)
        for _ in range(1100):
            manifest = images.index_of(source, [images.pointer(manifest.descriptor)])
        copy_image(source, target, manifest.digest)
        assert missing_parts(target, manifest.digest) == []

    def test_may_share_parts_at_several_depths(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        leaf = images.image(source)
        lower = images.index_of(source, [images.pointer(leaf.descriptor)])
        upper = images.index_of(source, [images.pointer(leaf.descriptor), images.pointer(lower.descriptor)])
        root = images.index_of(source, [images.pointer(m.descriptor) for m in (leaf, upper, lower, upper)])
        copy_image(source, target, root.digest)
        assert operations(memory, target)["put"] == 4
        assert missing_parts(target, root.digest) == []

    def test_may_not_be_too_wide(self, source: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.transfer.tree.MANIFEST_COUNT_LIMIT", 5)
        root = images.index(source, [f"linux/p{number}" for number in range(6)])
        with pytest.raises(StoreError) as caught:
            copy_image(source, target, root.digest)
        assert caught.value.code == "manifest.too_many"

    def test_without_a_part_is_refused_before_anything_is_written(
        self, memory: MemoryRegistry, source: Store, target: Store
    ) -> None:
        root = images.index(source)
        memory.forget(source.repository, root.children[1].digest)
        with pytest.raises(NotFound, match="linux/arm64") as caught:
            copy_image(source, target, root.digest)
        assert caught.value.code == "manifest.not_found"
        assert operations(memory, target) == Counter()

    def test_that_is_not_there(self, source: Store, target: Store) -> None:
        with pytest.raises(NotFound) as caught:
            copy_image(source, target, "v1.0")
        assert caught.value.code == "manifest.not_found"

    def test_with_a_blob_among_the_children(self, tmp_path: Path) -> None:
        """image-spec 1.1 lets an index name any content; many registries refuse that, layouts don't."""
        here, there = (LayoutStore(Repository(f"oci:{tmp_path}", path)) for path in ("here", "there"))
        note = images.add_blob(here, b"a note", "text/plain")
        root = images.index_of(here, [images.pointer(note), images.pointer(images.image(here).descriptor)])
        copy_image(here, there, root.digest)
        assert b"".join(there.read_blob(note)) == b"a note"
        assert missing_parts(there, root.digest) == []

    def test_with_a_child_by_another_hash(self, tmp_path: Path) -> None:
        here, there = (LayoutStore(Repository(f"oci:{tmp_path}", path)) for path in ("here", "there"))
        child = images.image(here)
        named = Manifest(child.media_type, child.content, sha512(child.content))
        here.put(named)
        root = images.index_of(here, [images.pointer(named.descriptor)])
        copy_image(here, there, root.digest)
        assert there.get(named.digest) == child
        assert there.get(named.digest).digest == named.digest
        assert missing_parts(there, root.digest) == []

    def test_with_a_child_of_another_type_than_its_parent_says(self, source: Store, target: Store) -> None:
        """What the child says of itself counts, as it did where it was pushed."""
        child = images.image(source)
        inner = images.index_of(source, [images.pointer(child.descriptor)])
        for said in ("application/vnd.example.thing", OCI_MANIFEST):
            root = images.index_of(source, [{**images.pointer(inner.descriptor), "mediaType": said}])
            copy_image(source, target, root.digest)
            assert target.get(inner.digest) == inner
            assert missing_parts(target, root.digest) == []

    def test_with_a_child_of_schema_1_is_refused(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        child = {**images.pointer(images.image(source).descriptor), "mediaType": SCHEMA1_TYPES[1]}
        root = images.index_of(source, [child])
        with pytest.raises(UnreadableManifest, match="schema 1") as caught:
            copy_image(source, target, root.digest)
        assert caught.value.code == "manifest.unsupported"
        assert operations(memory, target) == Counter()

    def test_with_a_child_of_another_size_than_its_parent_says_is_refused(
        self, memory: MemoryRegistry, source: Store, target: Store
    ) -> None:
        """As is a blob of another size. containerd pulls no such image: it reads as many bytes as the index says."""
        child = images.image(source)
        images.index_of(source, [images.pointer(replace(child.descriptor, size=len(child.content) + 1))], tag="v1.0")
        with pytest.raises(StoreError) as caught:
            copy_image(source, target, "v1.0")
        assert caught.value.code == "manifest.invalid"
        assert f"{child.digest} has {len(child.content)} bytes" in caught.value.message
        assert operations(memory, target)["put"] == 0


class TestBlobs:
    def test_travel_once(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        layer = images.tar({"shared": b"shared"})
        children = [images.image(source, platform=p, layers=[layer]).descriptor for p in images.PLATFORMS]
        root = images.index_of(source, [images.pointer(child) for child in children])
        copy_image(source, target, root.digest)
        assert operations(memory, target)["write_blob"] == 3, "one layer, two configurations"

    def test_travel_once_for_several_images(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        layer = images.tar({"shared": b"shared"})
        many = [images.image(source, layers=[layer], labels={"n": str(number)}) for number in range(6)]
        other = memory.open(Repository("two.test", "prod/other"))
        with Copier() as copier:
            threads = [
                threading.Thread(target=copier.copy, args=(source, store, manifest.digest))
                for manifest in many
                for store in (target, other)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert operations(memory, source)["read_blob"] == 7, "the layer, six configurations"
        assert all(missing_parts(store, manifest.digest) == [] for manifest in many for store in (target, other))

    def test_are_mounted_on_one_host(self, memory: MemoryRegistry, source: Store, neighbour: Store) -> None:
        root = images.index(source)
        copy_image(source, neighbour, root.digest)
        assert operations(memory, source)["read_blob"] == 0
        assert operations(memory, neighbour)["mount"] == 4
        assert missing_parts(neighbour, root.digest) == []

    def test_are_streamed_where_mounting_is_refused(
        self, memory: MemoryRegistry, source: Store, neighbour: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.memory.MemoryStore.mount", lambda *_: False)
        root = images.image(source)
        copy_image(source, neighbour, root.digest)
        assert missing_parts(neighbour, root.digest) == []

    def test_that_are_there_do_not_travel(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        manifest = images.image(source)
        for blob in manifest.blobs:
            target.write_blob(blob, lambda blob=blob: source.read_blob(blob))  # type: ignore[misc]
        memory.calls.clear()
        copy_image(source, target, manifest.digest)
        assert operations(memory, source)["read_blob"] == 0

    def test_of_a_complete_image_are_only_looked_for(
        self, memory: MemoryRegistry, source: Store, target: Store
    ) -> None:
        root = images.index(source)
        copy_image(source, target, root.digest)
        memory.calls.clear()
        copy_image(source, target, root.digest)
        assert operations(memory, target)["put"] == 0
        assert operations(memory, source)["read_blob"] == 0

    def test_a_child_that_the_target_lost_is_sent_again(
        self, memory: MemoryRegistry, source: Store, target: Store
    ) -> None:
        root = images.index(source)
        copy_image(source, target, root.digest)
        memory.forget(target.repository, root.children[0].digest)
        copy_image(source, target, root.digest)
        assert missing_parts(target, root.digest) == []

    def test_a_blob_that_the_target_lost_is_sent_again(
        self, memory: MemoryRegistry, source: Store, target: Store
    ) -> None:
        """Its manifest is there: registries forget blobs, too."""
        root = images.index(source)
        copy_image(source, target, root.digest)
        layer = source.get(root.children[0].digest).blobs[1]
        memory.forget(target.repository, layer.digest)
        copy_image(source, target, root.digest)
        assert missing_parts(target, root.digest) == []

    def test_a_blob_that_a_layout_lost_is_sent_again(self, source: Store, tmp_path: Path) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        manifest = images.image(source)
        copy_image(source, layout, manifest.digest)
        (tmp_path / "app/blobs/sha256" / manifest.blobs[1].digest[7:]).unlink()
        copy_image(source, layout, manifest.digest)
        assert missing_parts(layout, manifest.digest) == []

    def test_foreign_layers_may_be_absent(self, source: Store, target: Store) -> None:
        plain = images.image(source)
        foreign = {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": images.absent(),
            "size": 99,
            "urls": ["https://example.test/layer"],
        }
        document = {**plain.document, "layers": [foreign, *plain.document["layers"]]}
        manifest = images.put(source, document)
        copy_image(source, target, manifest.digest)
        assert target.has(manifest.digest)
        assert not target.has_blob(images.absent())
        assert missing_parts(target, manifest.digest) == []

    def test_foreign_layers_that_are_there_travel(self, source: Store, target: Store) -> None:
        plain = images.image(source)
        layer = {**plain.document["layers"][0], "urls": ["https://example.test/layer"]}
        manifest = images.put(source, {**plain.document, "layers": [layer]})
        copy_image(source, target, manifest.digest)
        assert target.has_blob(manifest.blobs[1].digest)

    def test_that_the_source_lost(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        manifest = images.image(source)
        memory.forget(source.repository, manifest.blobs[1].digest)
        with pytest.raises(NotFound) as caught:
            copy_image(source, target, manifest.digest)
        assert caught.value.code == "blob.not_found"
        assert not target.has(manifest.digest)

    def test_that_are_damaged_do_not_arrive(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        manifest = images.image(source)
        blob = manifest.blobs[1]
        memory.content(source.repository).blobs[blob.digest] = b"x" * blob.size
        with pytest.raises(StoreError) as caught:
            copy_image(source, target, manifest.digest)
        assert caught.value.code == "blob.invalid"
        assert not target.has_blob(blob.digest)
        assert not target.has(manifest.digest)


class TestFailures:
    def test_end_what_is_under_way(self, source: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """One blob fails while another would stream for ever."""
        manifest = images.image(source)
        config, layer = manifest.blobs
        streaming = threading.Event()

        def endless(store: Any, blob: Descriptor) -> Iterator[bytes]:
            if blob.digest == config.digest:
                assert streaming.wait(5)
                raise StoreError("test.broken", "broken")
            while True:
                streaming.set()
                yield b"."

        monkeypatch.setattr("tests.memory.MemoryStore.read_blob", endless)
        monkeypatch.setattr("tests.memory.verified", lambda blob, chunks, where: chunks)
        with pytest.raises(StoreError, match="broken") as caught:
            copy_image(source, target, manifest.digest)
        assert caught.value.code == "test.broken"
        assert layer.size > 0

    def test_at_any_write_leave_only_whole_manifests(
        self, memory: MemoryRegistry, source: Store, target: Store
    ) -> None:
        root = images.index(source)
        copy_image(source, memory.open(Repository("three.test", "dry")), root.digest)
        writes = sum(call.repository.host == "three.test" for call in memory.writes)
        assert writes == 7
        for number in range(writes):
            self._crash_at(memory, number)
            there = memory.open(Repository(f"crash-{number}.test", "app"))
            with pytest.raises(StoreError, match="crash"):
                copy_image(source, there, root.digest, threads=2)
            memory.before = lambda operation, repository, detail: None
            stored = memory.content(there.repository).manifests
            assert all(missing_parts(there, digest) == [] for digest in stored)
            copy_image(source, there, root.digest)
            assert missing_parts(there, root.digest) == []

    @staticmethod
    def _crash_at(memory: MemoryRegistry, number: int) -> None:
        left = [number]
        lock = threading.Lock()

        def crash(operation: str, repository: Repository, detail: str) -> None:
            if operation in ("put", "write_blob") and repository.host.startswith("crash"):
                with lock:
                    left[0] -= 1
                    if left[0] < 0:
                        raise StoreError("test.crash", "crash")

        memory.before = crash


class TestProgress:
    def test_adds_up(self, source: Store, target: Store, neighbour: Store) -> None:
        root = images.index(source)
        size = sum(blob.size for child in root.children for blob in source.get(child.digest).blobs)
        for place in (target, neighbour):
            meter = Meter()
            copy_image(source, place, root.digest, progress=meter)
            assert (meter.expected, meter.advanced) == (size, size)

    def test_counts_what_is_sent_again_once(
        self, source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = images.image(source)
        meter = Meter()
        written = type(target).write_blob

        def twice(store: Any, blob: Descriptor, content: Any) -> None:
            next(iter(content()))
            written(store, blob, content)

        monkeypatch.setattr(type(target), "write_blob", twice)
        copy_image(source, target, manifest.digest, progress=meter)
        assert meter.advanced == meter.expected == sum(blob.size for blob in manifest.blobs)


class TestReferrers:
    def test_come_along_with_all_that_hangs_on_them(self, source: Store, target: Store) -> None:
        root = images.index(source)
        child = source.get(root.children[0].digest)
        sbom = images.referrer(source, child)
        signed = images.signature(source, root, b"signature")
        of_sbom = images.signature(source, sbom, b"of the sbom", suffix="att")
        note = images.referrer(source, of_sbom, content=b"a note on it")
        copy_image(source, target, root.digest)
        assert [found.digest for found in target.referrers(child.digest)] == [sbom.digest]
        assert [found.digest for found in target.referrers(of_sbom.digest)] == [note.digest]
        assert target.tags() == sorted(
            [f"sha256-{root.digest[7:]}.sig", f"sha256-{sbom.digest[7:]}.att"]
        )  # cosign's tags only
        for manifest in (sbom, signed, of_sbom, note):
            assert target.get(manifest.digest) == manifest
            assert missing_parts(target, manifest.digest) == []

    def test_are_left_behind_when_ignored(self, source: Store, target: Store) -> None:
        manifest = images.image(source)
        images.referrer(source, manifest)
        images.signature(source, manifest, b"signature")
        copy_image(source, target, manifest.digest, referrers="ignore")
        assert target.referrers(manifest.digest) == []
        assert target.tags() == []

    def test_when_required(self, memory: MemoryRegistry, source: Store, target: Store) -> None:
        root = images.index(source)
        with pytest.raises(Refused) as caught:
            copy_image(source, target, root.digest, referrers="require")
        assert caught.value.code == "referrers.missing"
        assert operations(memory, target) == Counter()
        images.signature(source, source.get(root.children[1].digest), b"signature")
        copy_image(source, target, root.digest, referrers="require")
        assert len(target.tags()) == 1

    def test_that_are_refused_are_known_before_anything_is_sent(
        self, memory: MemoryRegistry, source: Store, target: Store
    ) -> None:
        """As a dry run asks, and a release of several images before the first is copied."""
        signed, bare, other = (images.image(source, content=content) for content in (b"1", b"2", b"3"))
        images.signature(source, signed, b"signature")
        images.signature(source, other, b"ours")
        images.signature(target, other, b"theirs")
        memory.calls.clear()
        with Copier() as copier:
            prepared = copier.prepare(source, target, signed.digest, "require")
            with pytest.raises(Refused) as refused:
                copier.prepare(source, target, bare.digest, "require")
            with pytest.raises(Conflict) as diverged:
                copier.prepare(source, target, other.digest, "require")
            assert (refused.value.code, diverged.value.code) == ("referrers.missing", "referrers.diverged")
            assert memory.writes == []
            copier.send(prepared)
        assert missing_parts(target, signed.digest) == []
        assert f"sha256-{signed.digest[7:]}.sig" in target.tags()

    def test_may_refer_in_a_circle_by_tag(self, source: Store, target: Store) -> None:
        """A subject is part of what is hashed, so only cosign's tags can lead round."""
        manifest = images.image(source)
        signed = images.signature(source, manifest, b"signature")
        source.put(manifest, f"sha256-{signed.digest[7:]}.sig")
        copy_image(source, target, manifest.digest)
        assert target.resolve(f"sha256-{signed.digest[7:]}.sig") == manifest.digest

    def test_that_are_listed_and_gone_are_none(
        self, source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = images.image(source)
        gone = Descriptor(OCI_MANIFEST, images.absent(), 3)
        monkeypatch.setattr(
            type(source), "referrers", lambda store, digest: [gone] if digest == manifest.digest else []
        )
        assert copy_image(source, target, manifest.digest) == manifest
        with pytest.raises(Refused):
            copy_image(source, target, manifest.digest, referrers="require")

    def test_an_error_is_not_taken_for_none(
        self, memory: MemoryRegistry, source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = images.image(source)

        def throttled(store: Any, digest: str) -> list[Descriptor]:
            raise StoreError("registry.throttled", "429")

        monkeypatch.setattr(type(source), "referrers", throttled)
        with pytest.raises(StoreError, match="429"):
            copy_image(source, target, manifest.digest)
        assert not [call for call in memory.writes if call.repository == target.repository]

    def test_signatures_added_later_arrive(self, source: Store, target: Store) -> None:
        manifest = images.image(source)
        tag = f"sha256-{manifest.digest[7:]}.sig"
        images.signature(source, manifest, b"one")
        copy_image(source, target, manifest.digest)
        images.signature(source, manifest, b"one", b"two")
        copy_image(source, target, manifest.digest)
        assert target.resolve(tag) == source.resolve(tag)

    def test_signatures_added_at_the_target_stay(self, source: Store, target: Store) -> None:
        manifest = images.image(source)
        images.signature(source, manifest, b"one")
        more = images.signature(target, manifest, b"one", b"two")
        copy_image(source, target, manifest.digest)
        assert target.resolve(f"sha256-{manifest.digest[7:]}.sig") == more.digest

    def test_signatures_that_differ_are_not_overwritten(self, source: Store, target: Store) -> None:
        manifest = images.image(source)
        images.signature(source, manifest, b"one")
        theirs = images.signature(target, manifest, b"two")
        with pytest.raises(Conflict) as caught:
            copy_image(source, target, manifest.digest)
        assert caught.value.code == "referrers.diverged"
        assert target.resolve(f"sha256-{manifest.digest[7:]}.sig") == theirs.digest


class TestFacts:
    def test_platforms_of_an_index(self, memory: MemoryRegistry, source: Store) -> None:
        root = images.index(source, ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"])
        memory.calls.clear()
        assert platforms(source, root) == {"linux/amd64", "linux/arm64", "linux/arm/v7"}
        assert memory.calls == [], "the index says it all"

    def test_platform_of_an_image(self, source: Store) -> None:
        assert platforms(source, images.image(source, platform="linux/arm/v6")) == {"linux/arm/v6"}

    def test_platforms_that_only_the_configurations_say(self, source: Store) -> None:
        children = [images.image(source, platform=platform).descriptor for platform in images.PLATFORMS]
        inner = images.index_of(source, [images.pointer(child) for child in children])
        root = images.index_of(source, [images.pointer(inner.descriptor)])
        assert platforms(source, root) == set(images.PLATFORMS)

    def test_attestations_are_no_platform(self, source: Store) -> None:
        image = images.image(source, labels={"a": "1"})
        note = images.image(source, platform="unknown/unknown")
        unknown = {"os": "unknown", "architecture": "unknown"}
        root = images.index_of(
            source,
            [
                images.pointer(image.descriptor, platform=images.platform_of("linux/amd64")),
                images.pointer(note.descriptor, platform=unknown),
                images.pointer(
                    images.image(source, content=b"x").descriptor,
                    annotations={"vnd.docker.reference.type": "attestation-manifest"},
                ),
            ],
        )
        assert platforms(source, root) == {"linux/amd64"}
        assert labels(source, root) == [("linux/amd64", {"a": "1"})]

    def test_other_artifacts_have_none(self, source: Store) -> None:
        sbom = images.referrer(source, images.image(source))
        assert platforms(source, sbom) == frozenset()
        assert labels(source, sbom) == []

    def test_labels(self, source: Store) -> None:
        root = images.index(source, labels={"org.opencontainers.image.source": "https://example.test"})
        assert labels(source, root) == [
            (platform, {"org.opencontainers.image.source": "https://example.test"}) for platform in images.PLATFORMS
        ]

    @pytest.mark.parametrize("config", [b"", b"[]", b"\xff", b'{"config":{"Labels":[1]}}', b'{"config":7}'])
    def test_odd_configurations(self, source: Store, config: bytes) -> None:
        blob = images.add_blob(source, config, images.OCI_CONFIG)
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": images.pointer(blob), "layers": []}
        manifest = images.put(source, document)
        child = replace(manifest.descriptor, platform="linux/amd64")
        root = images.index_of(source, [images.pointer(child, platform=images.platform_of("linux/amd64"))])
        if config.startswith(b"{"):
            assert labels(source, root) == [("linux/amd64", {})]
        else:
            with pytest.raises(StoreError) as caught:
                labels(source, root)
            assert caught.value.code == "config.invalid"

    @pytest.mark.parametrize(
        ("written", "normal"),
        [
            ("linux/amd64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("Linux/ARM/v7", "linux/arm/v7"),
            ("", ""),
        ],
    )
    def test_normal_platform(self, written: str, normal: str) -> None:
        assert normal_platform(written) == normal
