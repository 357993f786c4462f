"""Whether images are whole: one answer, for every store and every command."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tagflow.domain.reference import Digest, Repository
from tagflow.errors import StoreError
from tagflow.stores.cache.log import ManifestLog
from tagflow.stores.cache.store import CachedStore
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import OCI_MANIFEST, SCHEMA1_TYPES, Descriptor, Manifest, Store
from tagflow.stores.transfer.copy import ContentCheck, missing_parts
from tests import images
from tests.memory import MemoryRegistry
from tests.stores.test_copy import sha512

APP = Repository("one.test", "app")


@pytest.fixture
def memory() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def store(memory: MemoryRegistry) -> Store:
    return memory.open(APP)


def told(store: Store, digest: Digest) -> list[str]:
    return [str(part) for part in missing_parts(store, digest)]


def asked(memory: MemoryRegistry) -> Counter[str]:
    return Counter(call.operation for call in memory.calls)


class TestWhole:
    def test_nothing_is_missing(self, store: Store) -> None:
        assert missing_parts(store, images.index(store).digest) == []

    def test_foreign_layers_may_be_absent(self, store: Store) -> None:
        plain = images.image(store)
        layer = {"mediaType": images.OCI_LAYER, "digest": images.absent(), "size": 9, "urls": ["https://x.test/"]}
        manifest = images.put(store, {**plain.document, "layers": [layer]})
        assert missing_parts(store, manifest.digest) == []

    def test_each_digest_is_asked_for_once(self, memory: MemoryRegistry, store: Store) -> None:
        layer = images.tar({"shared": b"shared"})
        children = [images.image(store, platform=p, layers=[layer]).descriptor for p in images.PLATFORMS]
        root = images.index_of(store, [images.pointer(child) for child in (*children, children[0])])
        memory.calls.clear()
        assert missing_parts(store, root.digest) == []
        assert asked(memory) == {"get": 3, "has_blob": 3}

    def test_several_images_ask_for_what_they_share_once(self, memory: MemoryRegistry, store: Store) -> None:
        layer = images.tar({"shared": b"shared"})
        many = [images.image(store, layers=[layer], labels={"n": str(number)}) for number in range(5)]
        elsewhere = memory.open(Repository("one.test", "other"))
        images.image(elsewhere, layers=[layer], labels={"n": "0"})
        memory.calls.clear()
        check = ContentCheck()
        pairs = [(store, manifest.digest) for manifest in many]
        found = check.missing([*pairs, (elsewhere, many[0].digest)])
        assert len(found) == 6
        assert not any(found.values())
        assert asked(memory) == {"get": 6, "has_blob": 8}, "a repository does not answer for another"
        check.missing(pairs)
        assert asked(memory) == {"get": 6, "has_blob": 8}, "what was there is remembered"

    def test_a_cache_is_asked_for_nothing_but_content(
        self, memory: MemoryRegistry, store: Store, tmp_path: Path
    ) -> None:
        root = images.index(store)
        cached = CachedStore(store, ManifestLog(tmp_path))
        assert missing_parts(cached, root.digest) == []
        memory.calls.clear()
        assert missing_parts(cached, root.digest) == []
        assert asked(memory) == {"has": 3, "has_blob": 4}
        memory.forget(APP, root.children[0].digest)
        assert [part.digest for part in missing_parts(cached, root.digest)] == [root.children[0].digest]

    def test_what_a_tag_was_just_seen_at_is_not_asked_for_again(
        self, memory: MemoryRegistry, store: Store, tmp_path: Path
    ) -> None:
        root = images.index(store)
        cached = CachedStore(store, ManifestLog(tmp_path))
        assert missing_parts(cached, root.digest) == []
        memory.calls.clear()
        assert ContentCheck().missing([(cached, root.digest)], {(APP, root.digest)})[APP, root.digest] == []
        assert asked(memory) == {"has": 2, "has_blob": 4}


class TestMissing:
    def test_the_image_itself(self, store: Store) -> None:
        (part,) = missing_parts(store, images.absent())
        assert (part.kind, part.digest, part.children) == ("manifest", images.absent(), ())
        assert str(part) == f"manifest {images.absent()}"

    def test_parts_are_told_with_the_child_that_needs_them(self, memory: MemoryRegistry, store: Store) -> None:
        root = images.index(store)
        first, second = root.children
        layer = store.get(first.digest).blobs[1]
        memory.forget(APP, layer.digest)
        memory.forget(APP, second.digest)
        lost, blob = missing_parts(store, root.digest)
        assert str(lost) == f"manifest {second.digest} (linux/arm64, {second.size} bytes)"
        assert str(blob) == f"blob {layer.digest} ({layer.media_type}, {layer.size} bytes) of linux/amd64"
        assert (blob.kind, blob.children) == ("blob", (first,))

    def test_a_blob_that_several_children_need_is_told_once(self, memory: MemoryRegistry, store: Store) -> None:
        layer = images.tar({"shared": b"shared"})
        parts = [images.image(store, platform=p, layers=[layer]).descriptor for p in images.PLATFORMS]
        pointers = [
            images.pointer(it, platform=images.platform_of(p)) for it, p in zip(parts, images.PLATFORMS, strict=True)
        ]
        root = images.index_of(store, pointers)
        memory.forget(APP, store.get(parts[0].digest).blobs[1].digest)
        (blob,) = missing_parts(store, root.digest)
        assert str(blob).endswith("of linux/amd64, linux/arm64")

    def test_what_was_mended_is_seen_by_the_next_look(self, memory: MemoryRegistry, store: Store) -> None:
        manifest = images.image(store)
        memory.forget(APP, manifest.blobs[1].digest)
        check = ContentCheck()
        assert check.missing([(store, manifest.digest)])[APP, manifest.digest]
        assert check.missing([(store, images.absent())])[APP, images.absent()]
        images.image(store)
        assert not check.missing([(store, manifest.digest)])[APP, manifest.digest]

    @pytest.mark.parametrize("operation", ["get", "has_blob"])
    def test_an_error_is_an_error(self, memory: MemoryRegistry, store: Store, operation: str) -> None:
        root = images.index(store)

        def fails(called: str, repository: Repository, detail: str) -> None:
            if called == operation and detail != root.digest:
                raise StoreError("registry.unavailable", "503")

        memory.before = fails
        with pytest.raises(StoreError, match="503") as caught:
            missing_parts(store, root.digest)
        assert caught.value.exit_status == 6


class TestChildren:
    """Whatever an index may name, one that was taken in is whole, and one that lost a child is not."""

    def test_by_another_hash(self, tmp_path: Path) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        child = images.image(layout)
        named = Manifest(child.media_type, child.content, sha512(child.content))
        layout.put(named)
        root = images.index_of(layout, [images.pointer(named.descriptor)])
        assert missing_parts(layout, root.digest) == []
        (tmp_path / "app/blobs/sha512" / named.digest[7:]).unlink()
        assert [part.digest for part in missing_parts(layout, root.digest)] == [named.digest]

    @pytest.mark.parametrize(
        "media_type", [*SCHEMA1_TYPES, "application/vnd.oci.artifact.manifest.v1+json", "application/vnd.example", ""]
    )
    def test_of_other_types(self, memory: MemoryRegistry, store: Store, media_type: str) -> None:
        child = Manifest(media_type, b'{"schemaVersion": 1, "fsLayers": []}')
        memory.content(APP).manifests[child.digest] = child
        root = images.index_of(store, [images.pointer(child.descriptor)])
        assert missing_parts(store, root.digest) == []
        memory.forget(APP, child.digest)
        assert [part.kind for part in missing_parts(store, root.digest)] == ["manifest"]

    def test_of_an_unknown_type_that_are_images_are_looked_into(self, memory: MemoryRegistry, store: Store) -> None:
        child = images.image(store)
        root = images.index_of(store, [{**images.pointer(child.descriptor), "mediaType": "application/vnd.example"}])
        assert missing_parts(store, root.digest) == []
        memory.forget(APP, child.blobs[1].digest)
        assert [part.digest for part in missing_parts(store, root.digest)] == [child.blobs[1].digest]

    def test_that_are_blobs(self, tmp_path: Path) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        note = images.add_blob(layout, b"a note", "text/plain")
        sbom = images.add_blob(layout, b'{"spdxVersion": "SPDX-2.3"}', "application/spdx+json")
        root = images.index_of(layout, [images.pointer(note), images.pointer(sbom)])
        assert missing_parts(layout, root.digest) == []
        (tmp_path / "app/blobs/sha256" / note.digest[7:]).unlink()
        assert [part.digest for part in missing_parts(layout, root.digest)] == [note.digest]

    def test_that_a_registry_fails_at(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As distribution does at a blob that is asked for as a manifest; at what is no blob either it is a failure."""
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        note = images.add_blob(layout, b"a note", "text/plain")
        root = images.index_of(layout, [images.pointer(note)])
        get = layout.get

        def fails(reference: str, *, current: bool = False) -> Manifest:
            if reference == note.digest:
                raise StoreError("registry.unavailable", "500")
            return get(reference, current=current)

        monkeypatch.setattr(layout, "get", fails)
        assert missing_parts(layout, root.digest) == []
        (tmp_path / "app/blobs/sha256" / note.digest[7:]).unlink()
        with pytest.raises(StoreError, match="500"):
            missing_parts(layout, root.digest)

    def test_of_known_types_that_are_damaged_are_an_error(self, memory: MemoryRegistry, store: Store) -> None:
        child = Manifest(OCI_MANIFEST, b"[]")
        memory.content(APP).manifests[child.digest] = child
        root = images.index_of(store, [images.pointer(Descriptor(OCI_MANIFEST, child.digest, 2))])
        with pytest.raises(StoreError) as caught:
            missing_parts(store, root.digest)
        assert caught.value.code == "manifest.invalid"


class TestBounds:
    def test_an_index_may_not_be_too_wide(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.transfer.whole.MANIFEST_COUNT_LIMIT", 5)
        root = images.index(store, [f"linux/p{number}" for number in range(6)])
        with pytest.raises(StoreError, match=root.digest) as caught:
            missing_parts(store, root.digest)
        assert caught.value.code == "manifest.too_many"

    def test_an_image_may_not_name_too_many_blobs(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.transfer.whole.BLOB_COUNT_LIMIT", 3)
        manifest = images.image(store, layers=[images.tar({"n": bytes([number])}) for number in range(4)])
        with pytest.raises(StoreError) as caught:
            missing_parts(store, manifest.digest)
        assert caught.value.code == "manifest.too_many"
