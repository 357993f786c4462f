"""OCI image layouts on disk: what is written, what is kept, what is refused."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import NotFound, StoreError, UsageError
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import OCI_MANIFEST, Manifest, TagMoved
from tagflow.stores.transfer.copy import missing_parts
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
        assert there.sole() == manifest.digest


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

    @pytest.mark.parametrize("marker", [b'{"imageLayoutVersion":"2.0.0"}', b"{}", b"7"])
    def test_unknown_version(self, store: LayoutStore, directory: Path, marker: bytes) -> None:
        images.image(store, tag="v1.0")
        (directory / "oci-layout").write_bytes(marker)
        with pytest.raises(StoreError) as caught:
            LayoutStore(store.repository).tags()
        assert caught.value.code == "layout.unsupported"
        assert "oci-layout" in caught.value.message

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

    @pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
    def test_a_disk_that_cannot_be_written(
        self, store: LayoutStore, monkeypatch: pytest.MonkeyPatch, error: int
    ) -> None:
        manifest = images.image(store, tag="v1.0")
        other = images.image(store, content=b"2")

        def fails(*_: object) -> None:
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
        assert store.sole() == manifest.digest

    def test_of_none(self, store: LayoutStore) -> None:
        with pytest.raises(NotFound) as caught:
            store.sole()
        assert caught.value.code == "source.not_found"

    def test_of_several(self, store: LayoutStore) -> None:
        images.image(store, tag="a")
        images.image(store, content=b"2", tag="b")
        with pytest.raises(UsageError, match="2 images") as caught:
            store.sole()
        assert caught.value.code == "source.ambiguous"
        assert "a, b" in caught.value.hint


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

            def dying(old: str, new: str, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0 and not late:
                    raise KeyboardInterrupt
                real(old, new)
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


def test_thousands_of_tags_are_quick(store: LayoutStore, directory: Path) -> None:
    manifest = images.image(store, tag="v0")
    entry = document(directory)["manifests"][0]
    entries = [{**entry, "annotations": {REF: f"_tagflow.prod.{number:06}.0123456789ab"}} for number in range(5000)]
    rewrite(directory, lambda content: content.update(manifests=entries))
    time.sleep(0.06)
    store.tags()
    start = time.perf_counter()
    for number in range(1000):
        assert store.resolve(f"_tagflow.prod.{number:06}.0123456789ab") == manifest.digest
    assert time.perf_counter() - start < 1, "the index is parsed once"
