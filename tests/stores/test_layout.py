"""OCI image layouts on disk: what is written, what is kept, what is refused."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Repository, digest_of
from tagflow.errors import NotFound, StoreError, UsageError
from tagflow.stores.layout.index import LayoutIndex, parse_index
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, TagMoved
from tagflow.stores.transfer.copy import copy_image, missing_parts
from tests import images

REF = "org.opencontainers.image.ref.name"


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(Repository(f"oci:{tmp_path}", "team/app"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "team" / "app"


def document(directory: Path) -> Any:
    return json.loads((directory / "index.json").read_bytes())


def rewrite(directory: Path, change: Any) -> None:
    """Change index.json as another tool would."""
    content = document(directory)
    change(content)
    (directory / "index.json").write_text(json.dumps(content, indent=4))


class TestFiles:
    def test_are_what_the_specification_says(self, store: LayoutStore, directory: Path) -> None:
        manifest = images.image(store, tag="v1.0")
        assert json.loads((directory / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
        assert document(directory) == {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": OCI_MANIFEST,
                    "digest": manifest.digest,
                    "size": len(manifest.content),
                    "annotations": {REF: "v1.0"},
                }
            ],
        }
        assert (directory / "blobs/sha256" / manifest.digest[7:]).read_bytes() == manifest.content

    def test_reading_writes_nothing(self, store: LayoutStore, tmp_path: Path) -> None:
        assert store.tags() == []
        assert store.resolve("v1.0") is None
        assert list(tmp_path.iterdir()) == []

    def test_children_are_not_listed(self, store: LayoutStore, directory: Path) -> None:
        images.index(store, tag="v1.0")
        assert len(document(directory)["manifests"]) == 1

    def test_nothing_is_left_aside(self, store: LayoutStore, directory: Path) -> None:
        images.index(store, tag="v1.0")
        blob = images.add_blob(store, b"x")

        def breaks() -> Iterator[bytes]:
            yield b"half of"
            raise StoreError("test.broken", "broken")

        with pytest.raises(StoreError, match="broken"):
            store.write_blob(type(blob)("x", images.absent(), 99), breaks)
        hidden = [path.name for path in directory.rglob(".*")]
        assert hidden == [".tagflow.lock"]

    def test_that_are_too_short_are_written_again(self, store: LayoutStore, directory: Path) -> None:
        blob = images.add_blob(store, b"complete")
        (directory / "blobs/sha256" / blob.digest[7:]).write_bytes(b"comp")
        images.add_blob(store, b"complete")
        assert b"".join(store.read_blob(blob)) == b"complete"

    def test_nested_repositories_do_not_meet(self, store: LayoutStore, tmp_path: Path) -> None:
        inner = LayoutStore(Repository(f"oci:{tmp_path}", "team/app/part"))
        images.image(store, tag="outer")
        images.image(inner, tag="inner")
        assert (store.tags(), inner.tags()) == (["outer"], ["inner"])

    def test_of_a_named_directory(self, tmp_path: Path) -> None:
        there = LayoutStore(Repository("oci:/elsewhere", "app"), tmp_path / "images")
        manifest = images.image(there, tag="v1.0")
        assert (tmp_path / "images/index.json").exists()
        assert there.choose() == manifest.digest


class TestOthersEntries:
    FOREIGN = (
        '{ "mediaType":"application/vnd.oci.image.manifest.v1+json",\n "size" : 2, "x-unknown": {"b":1,"a":[ 1 ]},'
        '  "digest":"sha256:' + "e" * 64 + '","annotations":{"org.opencontainers.image.ref.name":"docker.io/x:1",'
        '"k":"\\u00fc"}, "platform":{"os":"linux","architecture":"s390x"}}'
    )

    def test_stay_byte_for_byte(self, store: LayoutStore, directory: Path) -> None:
        first = images.image(store, tag="prod")
        text = (directory / "index.json").read_text()
        text = text.replace('"manifests":[', '"annotations": {"z":"1"},"manifests":[' + self.FOREIGN + ",")
        (directory / "index.json").write_text(text)
        second = images.image(store, content=b"2", tag="v2.0")
        store.move("prod", second, first.digest)
        store.untag("v2.0", second.digest)
        written = (directory / "index.json").read_text()
        assert self.FOREIGN in written
        assert '"annotations":{"z":"1"}' in written
        assert store.tags() == ["prod"], "what is no tag is not shown as one"
        assert store.resolve("docker.io/x:1") == "sha256:" + "e" * 64

    def test_a_move_keeps_the_place(self, store: LayoutStore, directory: Path) -> None:
        first = images.image(store, tag="a")
        store.put(first, "b")
        second = images.image(store, content=b"2")
        store.move("a", second, first.digest)
        assert [entry["annotations"][REF] for entry in document(directory)["manifests"]] == ["a", "b"]


class TestPlatformsWithoutIndex:
    """Some tools list the platforms of an image side by side under its name."""

    @staticmethod
    def spread(store: LayoutStore, directory: Path, **changes: Any) -> list[dict[str, Any]]:
        root = images.index(store, tag="v1.0")

        def flatten(content: Any) -> None:
            content["manifests"] = [
                {**child, "annotations": {REF: "v1.0"}, **changes} for child in root.document["manifests"]
            ]

        rewrite(directory, flatten)
        entries: list[dict[str, Any]] = document(directory)["manifests"]
        return entries

    def test_are_an_index(self, store: LayoutStore, directory: Path, tmp_path: Path) -> None:
        entries = self.spread(store, directory)
        digest = store.resolve("v1.0")
        made = store.get("v1.0")
        assert made.media_type == OCI_INDEX
        assert (made.digest, store.choose(), store.choose("v1.0")) == (digest, digest, digest)
        assert [(child.digest, child.platform) for child in made.children] == [
            (entry["digest"], platform) for entry, platform in zip(entries, images.PLATFORMS, strict=True)
        ]
        assert store.get(made.digest) == made
        assert store.has(made.digest)
        assert LayoutStore(store.repository).resolve("v1.0") == digest, "the same every time"
        target = LayoutStore(Repository(f"oci:{tmp_path}", "target"))
        copy_image(store, target, "v1.0")
        assert missing_parts(target, made.digest) == []

    def test_under_a_name_that_is_no_tag(self, store: LayoutStore, directory: Path) -> None:
        self.spread(store, directory, annotations={"io.containerd.image.name": "docker.io/acme/app:v1.0"})
        assert store.tags() == []
        assert store.get(store.choose("acme/app:v1.0")).is_index
        assert store.choose() == store.choose("v1.0")

    def test_may_move_on(self, store: LayoutStore, directory: Path) -> None:
        self.spread(store, directory)
        made = store.get("v1.0")
        other = images.image(store, content=b"2")
        store.put(made, "before")
        store.move("v1.0", other, made.digest)
        assert (store.resolve("v1.0"), store.resolve("before")) == (other.digest, made.digest)
        assert store.get(made.digest) == made

    @pytest.mark.parametrize("platform", [None, {"os": "linux", "architecture": "amd64"}])
    def test_without_platforms_of_their_own_are_damage(
        self, store: LayoutStore, directory: Path, platform: Any
    ) -> None:
        self.spread(store, directory, platform=platform)
        with pytest.raises(StoreError, match="listed 2 times") as caught:
            store.resolve("v1.0")
        assert caught.value.code == "layout.corrupt"


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [b"", b'{"schemaVersion":2,"manifests":[', b"[]", b'{"schemaVersion":2,"manifests":{}}', b"\xff\xfe", b"{}",
         b'{"schemaVersion":1,"manifests":[]}', b'{"schemaVersion":2,"manifests":[{"digest":"sha256:ab","size":1}]}',
         b'{"schemaVersion":2,"manifests":[{"digest":"sha256:' + b"a" * 64 + b'"}]}',
         b'{"schemaVersion":2,"manifests":[7]}', b"[" * 5000],
    )  # fmt: skip
    def test_of_the_index_names_the_file(self, store: LayoutStore, directory: Path, content: bytes) -> None:
        images.image(store, tag="v1.0")
        (directory / "index.json").write_bytes(content)
        for operation in (store.tags, lambda: store.resolve("v1.0"), lambda: images.image(store, tag="v2.0")):
            with pytest.raises(StoreError) as caught:
                operation()
            assert caught.value.code == "layout.corrupt"
            assert str(directory / "index.json") in caught.value.message
        assert (directory / "index.json").read_bytes() == content, "nothing is written over it"

    def test_lost_index(self, store: LayoutStore, directory: Path) -> None:
        images.image(store, tag="v1.0")
        (directory / "index.json").unlink()
        with pytest.raises(StoreError) as caught:
            store.resolve("v1.0")
        assert caught.value.code == "layout.corrupt"

    def test_lost_marker(self, store: LayoutStore, directory: Path) -> None:
        images.image(store, tag="v1.0")
        (directory / "oci-layout").unlink()
        with pytest.raises(StoreError) as caught:
            LayoutStore(store.repository).resolve("v1.0")
        assert caught.value.code == "layout.corrupt"

    def test_a_creation_that_died_half_way_is_none(self, store: LayoutStore, directory: Path) -> None:
        images.image(store)
        (directory / "oci-layout").unlink()
        again = LayoutStore(store.repository)
        assert again.tags() == []
        manifest = images.image(again, tag="v1.0")
        assert again.resolve("v1.0") == manifest.digest

    @pytest.mark.parametrize("name", ["index.json", "oci-layout"])
    @pytest.mark.parametrize("part", [0, 9])
    def test_that_is_a_file_half_written_in_place_passes(
        self, store: LayoutStore, directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, part: int
    ) -> None:
        """As skopeo and crane write: the file is cut to nothing first."""
        manifest = images.image(store, tag="v1.0")
        path = directory / name
        whole, pauses = path.read_bytes(), list[float]()

        def another_goes_on(seconds: float) -> None:
            pauses.append(seconds)
            path.write_bytes(whole)

        monkeypatch.setattr("tagflow.stores.layout.files.time.sleep", another_goes_on)
        path.write_bytes(whole[:part])
        assert LayoutStore(store.repository).resolve("v1.0") == manifest.digest
        path.write_bytes(whole[:part])
        LayoutStore(store.repository).put(manifest, "v1.1")
        assert len(pauses) == 2

    @pytest.mark.parametrize("marker", [b'{"imageLayoutVersion":"2.0.0"}', b"{}", b"7"])
    def test_unknown_version(self, store: LayoutStore, directory: Path, marker: bytes) -> None:
        images.image(store, tag="v1.0")
        (directory / "oci-layout").write_bytes(marker)
        with pytest.raises(StoreError) as caught:
            LayoutStore(store.repository).tags()
        assert caught.value.code == "layout.unsupported"
        assert "oci-layout" in caught.value.message

    def test_a_digest_of_an_unknown_algorithm_stops_what_is_about_it_alone(
        self, store: LayoutStore, directory: Path
    ) -> None:
        first, second = images.image(store, tag="a"), images.image(store, content=b"2")
        strange = {"mediaType": OCI_MANIFEST, "digest": "sha1024:" + "0" * 40, "size": 7, "annotations": {REF: "b"}}
        rewrite(directory, lambda content: content["manifests"].append(strange))
        assert store.tags() == ["a", "b"]
        assert store.get("a") == first
        store.move("a", second, first.digest)
        store.create("c", first)
        assert strange in document(directory)["manifests"]
        content = (directory / "index.json").read_bytes()
        for operation in (
            lambda: store.resolve("b"),
            lambda: store.get("b"),
            lambda: store.create("b", first),
            lambda: store.put(first, "b"),
            lambda: store.move("b", first, second.digest),
            lambda: store.untag("b", second.digest),
            lambda: store.referrers(first.digest),
            lambda: store.choose(),
            lambda: store.choose("b"),
        ):
            with pytest.raises(StoreError) as caught:
                operation()
            assert caught.value.code == "layout.unsupported"
            assert "the tag 'b' is at sha1024:0000" in caught.value.message
        assert (directory / "index.json").read_bytes() == content
        assert store.choose("c") == first.digest
        with pytest.raises(NotFound):
            store.choose_digest(images.absent())

    @pytest.mark.parametrize("digest", ["sha256:" + "0" * 40, "sha512:0", "SHA1024:0", "0000", "a/..:0", "a:../.."])
    def test_a_digest_that_is_none(self, store: LayoutStore, directory: Path, digest: str) -> None:
        images.image(store, tag="a")
        rewrite(directory, lambda content: content["manifests"].append({"digest": digest, "size": 7}))
        with pytest.raises(StoreError) as caught:
            store.tags()
        assert caught.value.code == "layout.corrupt"

    def test_tag_listed_twice(self, store: LayoutStore, directory: Path) -> None:
        first, second = images.image(store, tag="a"), images.image(store, content=b"2", tag="b")

        def rename(content: Any) -> None:
            content["manifests"][1]["annotations"][REF] = "a"

        rewrite(directory, rename)
        for operation in (
            lambda: store.resolve("a"),
            lambda: store.get("a"),
            lambda: store.move("a", second, first.digest),
            lambda: store.untag("a", first.digest),
        ):
            with pytest.raises(StoreError, match="'a' is listed 2 times") as caught:
                operation()
            assert caught.value.code == "layout.corrupt"
        assert store.get(first.digest) == first

    def test_tag_listed_twice_alike_is_one(self, store: LayoutStore, directory: Path) -> None:
        first, second = images.image(store, tag="a"), images.image(store, content=b"2")
        rewrite(directory, lambda content: content["manifests"].append(content["manifests"][0]))
        assert store.resolve("a") == first.digest
        store.move("a", second, first.digest)
        assert store.resolve("a") == second.digest
        assert len(document(directory)["manifests"]) == 1

    def test_lost_manifest(self, store: LayoutStore, directory: Path) -> None:
        manifest = images.image(store, tag="v1.0")
        path = directory / "blobs/sha256" / manifest.digest[7:]
        path.unlink()
        with pytest.raises(StoreError) as caught:
            store.get("v1.0")
        assert caught.value.code == "layout.corrupt"
        assert str(path) in caught.value.message
        with pytest.raises(NotFound):
            store.get(manifest.digest)

    @pytest.mark.parametrize("damage", [b"", b"{}", b"x" * 5_000_000])
    def test_of_a_manifest_names_the_file(self, store: LayoutStore, directory: Path, damage: bytes) -> None:
        manifest = images.image(store, tag="v1.0")
        path = directory / "blobs/sha256" / manifest.digest[7:]
        path.write_bytes(damage)
        with pytest.raises(StoreError) as caught:
            store.get("v1.0")
        assert caught.value.code in ("layout.corrupt", "manifest.invalid")
        assert str(path) in caught.value.message

    @pytest.mark.parametrize("damage", [b"", b"short", b"x" * 8, b"longer than it was"])
    def test_of_a_blob_names_the_file(self, store: LayoutStore, directory: Path, damage: bytes) -> None:
        blob = images.add_blob(store, b"complete")
        path = directory / "blobs/sha256" / blob.digest[7:]
        path.write_bytes(damage)
        with pytest.raises(StoreError) as caught:
            list(store.read_blob(blob))
        assert caught.value.code == "blob.invalid"
        assert str(path) in caught.value.message

    def test_file_in_the_way(self, store: LayoutStore, tmp_path: Path) -> None:
        (tmp_path / "team").write_bytes(b"")
        with pytest.raises(StoreError) as caught:
            store.tags()
        assert caught.value.code == "layout.unreadable"
        with pytest.raises(StoreError) as caught:
            images.add_blob(store, b"x")
        assert caught.value.exit_status == 6


class TestSafety:
    def test_a_link_does_not_lead_out(self, store: LayoutStore, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        root = tmp_path / "root"
        root.mkdir()
        (root / "app").symlink_to(outside)
        outside.mkdir()
        linked = LayoutStore(Repository(f"oci:{root}", "app"))
        for operation in (linked.tags, lambda: images.image(linked, tag="v1.0")):
            with pytest.raises(StoreError) as caught:
                operation()
            assert caught.value.code == "layout.outside"
        assert list(outside.iterdir()) == []

    def test_the_root_itself_may_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        store = LayoutStore(Repository(f"oci:{tmp_path / 'link'}", "app"))
        manifest = images.image(store, tag="v1.0")
        assert store.resolve("v1.0") == manifest.digest

    @pytest.mark.parametrize("below", ["blobs", "blobs/sha256"])
    def test_a_link_inside_does_not_lead_out(self, store: LayoutStore, tmp_path: Path, below: str) -> None:
        """A layout that somebody unpacked, or that another user may write to."""
        outside = tmp_path.parent / f"{tmp_path.name}-outside"
        (outside / "sha256").mkdir(parents=True)
        manifest = images.image(store, tag="v1.0")
        layout = tmp_path / "team" / "app"
        shutil.move(layout / below, tmp_path / "aside")
        (layout / below).symlink_to(outside)
        for operation in (
            lambda: images.add_blob(store, b"new"),
            lambda: images.image(store, content=b"2", tag="v2.0"),
            lambda: store.put(Manifest(OCI_MANIFEST, manifest.content + b"\n")),
        ):
            with pytest.raises(StoreError) as caught:
                operation()
            assert caught.value.exit_status == 6
        assert [path for path in outside.rglob("*") if path.is_file()] == []

    def test_a_link_that_stays_below_the_root_is_followed(self, store: LayoutStore, tmp_path: Path) -> None:
        images.image(store, tag="v1.0")
        shutil.move(tmp_path / "team/app/blobs", tmp_path / "shared")
        (tmp_path / "team/app/blobs").symlink_to("../../shared")
        manifest = images.image(store, content=b"2", tag="v2.0")
        assert (tmp_path / "shared/sha256" / manifest.digest[7:]).read_bytes() == manifest.content
        assert store.get("v2.0") == manifest

    @pytest.mark.parametrize("name", ["index.json", "oci-layout", ".tagflow.lock"])
    def test_a_file_that_is_a_link_is_not_written_through(self, store: LayoutStore, tmp_path: Path, name: str) -> None:
        manifest = images.image(store, tag="v1.0")
        path, elsewhere = tmp_path / "team/app" / name, tmp_path.parent / f"{tmp_path.name}-{name}"
        before = path.read_bytes()
        shutil.move(path, elsewhere)
        path.symlink_to(elsewhere)
        if name == "oci-layout":
            store.put(manifest, "v2.0")  # read, and never written again
        else:
            with pytest.raises(StoreError) as caught:
                store.put(manifest, "v2.0")
            assert caught.value.code == ("layout.outside" if name == "index.json" else "layout.unwritable")
        assert elsewhere.read_bytes() == before
        assert path.is_symlink()

    def test_a_blob_that_is_a_link_is_replaced_not_written_through(self, store: LayoutStore, tmp_path: Path) -> None:
        blob = images.add_blob(store, b"content")
        path, elsewhere = tmp_path / "team/app/blobs/sha256" / blob.digest[7:], tmp_path / "elsewhere"
        path.unlink()
        path.symlink_to(elsewhere)
        elsewhere.write_bytes(b"secret of another length")
        images.add_blob(store, b"content")
        assert (elsewhere.read_bytes(), path.read_bytes()) == (b"secret of another length", b"content")

    def test_a_blob_that_is_a_link_to_its_content_is_read_and_not_mounted(self, tmp_path: Path) -> None:
        """Build tools link blobs into the layouts that they write."""
        first, second = (LayoutStore(Repository(f"oci:{tmp_path}", path)) for path in ("first", "second"))
        blob = images.add_blob(first, b"content")
        path = tmp_path / "first/blobs/sha256" / blob.digest[7:]
        shutil.move(path, tmp_path / "built")
        path.symlink_to(tmp_path / "built")
        assert b"".join(first.read_blob(blob)) == b"content"
        assert not second.mount(blob, first.repository)
        second.write_blob(blob, lambda: first.read_blob(blob))
        assert not (tmp_path / "second/blobs/sha256" / blob.digest[7:]).is_symlink()

    @pytest.mark.parametrize("name", ["index.json", "oci-layout", "BLOB", ".tagflow.lock"])
    @pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
    def test_what_is_no_file_never_hangs(self, store: LayoutStore, tmp_path: Path, name: str, kind: str) -> None:
        manifest = images.image(store, tag="v1.0")
        blob = manifest.blobs[1]
        path = tmp_path / "team/app" / (f"blobs/sha256/{blob.digest[7:]}" if name == "BLOB" else name)
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        again = LayoutStore(store.repository)
        reading = (lambda: list(again.read_blob(blob))) if name == "BLOB" else (lambda: again.put(manifest, "v2.0"))
        if name == ".tagflow.lock" and kind == "pipe":
            reading()  # locked like any file, and never read
            return
        with pytest.raises(StoreError) as caught:
            reading()
        assert str(path) in caught.value.message

    @pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
    def test_a_disk_that_cannot_be_written(
        self, store: LayoutStore, monkeypatch: pytest.MonkeyPatch, error: int
    ) -> None:
        manifest = images.image(store, tag="v1.0")
        other = images.image(store, content=b"2")

        def fails(*_: object, **__: object) -> None:
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(os, "replace", fails)
        for operation in (lambda: store.move("v1.0", other, manifest.digest), lambda: images.add_blob(store, b"new")):
            with pytest.raises(StoreError) as caught:
                operation()
            assert caught.value.code == "layout.unwritable"
            assert os.strerror(error) in caught.value.message
        assert store.resolve("v1.0") == manifest.digest

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_directory_without_permission(self, store: LayoutStore, directory: Path) -> None:
        manifest = images.image(store, tag="v1.0")
        directory.chmod(0o500)
        assert store.get("v1.0") == manifest
        with pytest.raises(StoreError) as caught:
            store.untag("v1.0", manifest.digest)
        assert caught.value.code == "layout.unwritable"


class TestSole:
    def test_of_one(self, store: LayoutStore) -> None:
        manifest = images.image(store, tag="a")
        store.put(manifest, "b")
        images.referrer(store, manifest)
        assert store.choose() == manifest.digest

    def test_of_none(self, store: LayoutStore) -> None:
        with pytest.raises(NotFound) as caught:
            store.choose()
        assert caught.value.code == "source.not_found"

    def test_of_several(self, store: LayoutStore) -> None:
        images.image(store, tag="a")
        images.image(store, content=b"2", tag="b")
        with pytest.raises(UsageError, match="2 images") as caught:
            store.choose()
        assert caught.value.code == "source.ambiguous"
        assert "a, b" in caught.value.hint

    def test_of_several_without_names_offers_digests(self, store: LayoutStore, directory: Path) -> None:
        made = [images.image(store, content=content, tag=content.decode()) for content in (b"1", b"2")]
        rewrite(directory, lambda content: [entry.pop("annotations") for entry in content["manifests"]])
        with pytest.raises(UsageError) as caught:
            store.choose()
        assert all(manifest.digest in caught.value.hint for manifest in made)
        assert [store.choose_digest(manifest.digest) for manifest in made] == [it.digest for it in made]
        with pytest.raises(NotFound) as missed:
            store.choose_digest(images.absent())
        assert (missed.value.code, missed.value.exit_status) == ("source.not_found", 4)

    def test_signatures_do_not_count(self, store: LayoutStore) -> None:
        manifest = images.image(store, tag="a")
        images.signature(store, manifest, b"signature")
        assert store.choose() == manifest.digest


class TestWriters:
    def test_another_process_is_seen_at_once(self, store: LayoutStore) -> None:
        other = LayoutStore(store.repository)
        manifests = [images.image(store, content=str(number).encode()) for number in range(20)]
        expected = None
        for number, manifest in enumerate(manifests):
            writer, reader = (store, other) if number % 2 else (other, store)
            writer.move("prod", manifest, expected)
            assert reader.resolve("prod") == manifest.digest
            expected = manifest.digest

    def test_only_one_of_many_threads_wins(self, store: LayoutStore) -> None:
        first = images.image(store, tag="prod")
        manifests = [images.image(store, content=f"thread {number}".encode()) for number in range(12)]
        won: list[Manifest] = []

        def race(manifest: Manifest) -> None:
            try:
                LayoutStore(store.repository).move("prod", manifest, first.digest)
            except TagMoved:
                return
            won.append(manifest)

        threads = [threading.Thread(target=race, args=(manifest,)) for manifest in manifests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [manifest.digest for manifest in won] == [store.resolve("prod")]

    def test_processes_lose_no_move(self, store: LayoutStore, tmp_path: Path) -> None:
        """Every move that succeeded followed the one before: nobody overwrote what nobody had seen."""
        steps, workers = 8, 4
        first = images.image(store, tag="prod")
        context = multiprocessing.get_context("fork")
        logs = [tmp_path / f"moves-{number}" for number in range(workers)]
        processes = [context.Process(target=_move_often, args=(store.repository, log, steps)) for log in logs]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * workers
        followed = dict(line.split() for log in logs for line in log.read_text().splitlines())
        digest, length = str(first.digest), 0
        while digest in followed:
            digest, length = followed[digest], length + 1
        assert (digest, length) == (store.resolve("prod"), steps * workers)

    def test_processes_create_a_tag_once(self, store: LayoutStore, tmp_path: Path) -> None:
        """Several builds of one version at once: one of them has it, and every other one is told so."""
        rounds, workers = 12, 4
        context = multiprocessing.get_context("fork")
        logs = [tmp_path / f"created-{number}" for number in range(workers)]
        barrier = context.Barrier(workers)
        processes = [
            context.Process(target=_create_often, args=(store.repository, log, rounds, barrier)) for log in logs
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * workers
        outcomes = [log.read_text().splitlines() for log in logs]
        for number in range(rounds):
            tag = f"v1.{number}"
            own = [outcome[number].split() for outcome in outcomes]
            assert [word for word, _ in own].count("created") == 1, tag
            assert {at for _, at in own} == {store.resolve(tag)}, "the losers are told where it stands"
        assert store.tags() == sorted(f"v1.{number}" for number in range(rounds))

    def test_readers_never_see_half(self, store: LayoutStore) -> None:
        manifest = images.image(store, tag="prod")
        stop = threading.Event()
        seen: list[object] = []

        def read() -> None:
            reader = LayoutStore(store.repository)
            while not stop.is_set():
                seen.append(reader.resolve("prod"))

        thread = threading.Thread(target=read)
        thread.start()
        for number in range(60):
            store.put(manifest, f"t{number}")
        stop.set()
        thread.join()
        assert set(seen) == {manifest.digest}


class TestLeftovers:
    """What a writer that was killed had written aside."""

    @staticmethod
    def leave(directory: Path, seconds: float) -> Path:
        path = directory / f".{'a' * 64}.4711-0123abcd"
        path.write_bytes(b"half")
        moment = time.time() - seconds
        os.utime(path, (moment, moment))
        return path

    def test_are_removed_by_the_next_writer(self, store: LayoutStore, directory: Path) -> None:
        manifest = images.image(store, tag="v1.0")
        old = [self.leave(directory / "blobs/sha256", 3600), self.leave(directory, 3600)]
        others = [self.leave(directory / "blobs/sha256", 5).rename(directory / "blobs/sha256/.young.1-0123abcd")]
        others.append(directory / "blobs/sha256/.hidden")
        others[1].write_bytes(b"of another tool")
        os.utime(others[1], (0, 0))
        LayoutStore(store.repository).put(manifest, "v2.0")
        assert [path.exists() for path in old] == [False, False]
        assert [path.exists() for path in others] == [True, True]
        assert store.get("v1.0") == manifest

    def test_of_a_writer_that_lives_stay(self, store: LayoutStore, directory: Path) -> None:
        manifest = images.image(store, tag="v1.0")
        seen: list[bool] = []

        def slow() -> Iterator[bytes]:
            yield b"half of "
            (aside,) = [path for path in directory.rglob(".*") if path.name != ".tagflow.lock"]
            os.utime(aside, (0, 0))
            LayoutStore(store.repository).put(manifest, "v2.0")
            seen.append(aside.exists())
            yield b"it"

        content = b"half of it"
        store.write_blob(Descriptor("x", digest_of(content), len(content)), slow)
        assert seen == [True]
        assert store.has_blob(digest_of(content))

    def test_of_a_process_that_was_killed_are_removed(self, store: LayoutStore, directory: Path) -> None:
        manifest = images.image(store, tag="v1.0")
        process = multiprocessing.get_context("fork").Process(target=_die_while_writing, args=(store.repository,))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        (aside,) = [path for path in directory.rglob(".*") if path.name != ".tagflow.lock"]
        os.utime(aside, (0, 0))
        LayoutStore(store.repository).put(manifest, "v2.0")
        assert not aside.exists()


def _die_while_writing(repository: Repository) -> None:
    def content() -> Iterator[bytes]:
        yield b"half"
        os.kill(os.getpid(), signal.SIGKILL)
        yield b"whole"

    LayoutStore(repository).write_blob(Descriptor("x", images.absent(), 9), content)


class TestCrashes:
    @pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
    def test_at_any_moment_leave_the_old_or_the_new(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
    ) -> None:
        """Every file appears by a rename; the run dies just before or after each of them."""
        source = LayoutStore(Repository(f"oci:{tmp_path}", "source"))
        root = images.index(source)
        real = os.replace
        for number in range(20):
            left = [number]

            def dying(old: str, new: str, left: list[int] = left, **where: Any) -> None:
                left[0] -= 1
                if left[0] < 0 and not late:
                    raise KeyboardInterrupt
                real(old, new, **where)
                if left[0] < 0:
                    raise KeyboardInterrupt

            repository = Repository(f"oci:{tmp_path}", f"target-{number}")
            monkeypatch.setattr(os, "replace", dying)
            try:
                _copy_and_tag(source, LayoutStore(repository), root)
            except KeyboardInterrupt:
                finished = False
            else:
                finished = True
            monkeypatch.setattr(os, "replace", real)
            after = LayoutStore(repository)
            if after.resolve("prod") is not None:
                assert missing_parts(after, root.digest) == []
            _copy_and_tag(source, after, root)
            assert LayoutStore(repository).get("prod") == root
            if finished:
                return
        pytest.fail("it never came to an end")


def _copy_and_tag(source: LayoutStore, target: LayoutStore, root: Manifest) -> None:
    for child in root.children:
        part = source.get(child.digest)
        for blob in part.blobs:
            target.write_blob(blob, lambda blob=blob: source.read_blob(blob))  # type: ignore[misc]
        target.put(part)
    target.move("prod", root, target.resolve("prod"))


def _create_often(repository: Repository, log: Path, rounds: int, barrier: Any) -> None:
    store = LayoutStore(repository)
    builds = [images.image(store, content=f"{log.name} {number}".encode()) for number in range(rounds)]
    outcomes = []
    for number, build in enumerate(builds):
        barrier.wait(60)
        try:
            store.create(f"v1.{number}", build)
        except TagMoved as moved:
            outcomes.append(f"refused {moved.actual}")
        else:
            outcomes.append(f"created {build.digest}")
        assert f"v1.{number}" in store.tags(), "seen at once"
    log.write_text("\n".join(outcomes))


def _move_often(repository: Repository, log: Path, steps: int) -> None:
    store = LayoutStore(repository)
    moves: list[str] = []
    manifests = [images.image(store, content=f"{log.name} {step}".encode()) for step in range(steps)]
    while len(moves) < steps:
        current, wanted = store.resolve("prod"), manifests[len(moves)]
        try:
            store.move("prod", wanted, current)
        except TagMoved:
            continue
        moves.append(f"{current} {wanted.digest}")
    log.write_text("\n".join(moves))


def test_the_index_is_parsed_once(store: LayoutStore, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each of thousands of tags."""
    manifest = images.image(store, tag="v0")
    entry = document(directory)["manifests"][0]
    entries = [{**entry, "annotations": {REF: f"_tagflow.prod.{number:06}.0123456789ab"}} for number in range(2000)]
    rewrite(directory, lambda content: content.update(manifests=entries))
    parsed: list[str] = []

    def parse(content: bytes, where: str) -> LayoutIndex:
        parsed.append(where)
        return parse_index(content, where)

    monkeypatch.setattr("tagflow.stores.layout.files.parse_index", parse)
    for number in range(2000):
        assert store.resolve(f"_tagflow.prod.{number:06}.0123456789ab") == manifest.digest
    assert parsed == [str(directory / "index.json")]


def test_a_list_of_tags_is_the_callers_own(store: LayoutStore) -> None:
    images.image(store, tag="v1.0")
    store.tags().append("v2.0")
    assert store.tags() == ["v1.0"]
