"""Disks that are full, read only or half written, and writers that die or come two at a time."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import StoreError
from tagflow.stores.archive.reader import open_archive
from tagflow.stores.cache.log import ManifestLog
from tagflow.stores.cache.store import CachedStore
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Silence
from tests import images
from tests.cli.runner import POLICY, Desk, run
from tests.engine.test_streams import Script, failure_of
from tests.memory import MemoryRegistry
from tests.servers import require

WRITER = """
import sys
from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tests import images
store = LayoutStore(Repository("oci:" + sys.argv[1], "app"))
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    images.image(store, content=f"{sys.argv[2]} {number}".encode(), tag=f"{sys.argv[2]}-{number}")
"""
_ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred kilobytes; only root may make one."""
    if os.geteuid() != 0:
        require("a machine where the tests run as root")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run([require("mount"), "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class TestFull:
    def test_a_push_ends_clearly_and_works_when_there_is_room(self, small: Path, tmp_path: Path) -> None:
        desk = Desk(small)
        desk.write(POLICY)
        desk.through("v1.0", "dev")
        source = LayoutStore(Repository(f"oci:{tmp_path}/source", "big"))
        images.image(source, content=os.urandom(300_000), tag="new")
        push = ("push", "v1.1", f"frontend=oci:{tmp_path}/source/big:new")
        (small / "ballast").write_bytes(bytes(100_000))
        before = desk.quickly("status", "-o", "json").out
        done = run(push, small, {"XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)})
        assert (done.status, "layout.unwritable" in done.err, "No space left" in done.err) == (6, True, True), done.err
        assert desk.quickly("status", "-o", "json").out == before
        assert not list(small.rglob(".*.*-*")), "something half written was left"
        (small / "ballast").unlink()
        assert run(push, small, {"TMPDIR": str(tmp_path)}).status in (0, 6)
        assert desk.quickly("verify").status == 0

    def test_an_archive_that_does_not_fit_where_it_is_unpacked(
        self, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(small))
        path = tmp_path / "all.tar.gz"
        path.write_bytes(gzip.compress(bytes(2_000_000)))
        with pytest.raises(StoreError) as raised:
            open_archive(path)
        error = raised.value
        assert error.message == f"{path}: cannot be unpacked into {small}: no space left on device"
        assert (error.code, "TMPDIR" in error.hint, str(small) in error.hint) == ("archive.unreadable", True, True)

    def test_an_image_of_a_daemon_that_does_not_fit_where_it_is_saved(
        self, small: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The daemon has room; where it has none, it says the same."""
        monkeypatch.setattr(tempfile, "tempdir", str(small))
        scratch = Path(tempfile.mkdtemp())
        error = failure_of(Script(bytes(2_000_000)), lambda engine: engine.save_to("app:1", scratch / "app.tar"))
        assert error.message == f"app:1 cannot be written to {small}: no space left on device"
        assert (error.code, "TMPDIR" in error.hint, "dockerd" in error.hint) == ("engine.save_failed", True, False)
        lacking = Script({"errorDetail": {"message": "write /var/lib/docker/tmp/x: no space left on device"}})
        (scratch / "app.tar").write_bytes(b"tar")
        error = failure_of(lacking, lambda engine: engine.load(scratch / "app.tar", Silence()))
        assert ("dockerd" in error.hint, "TMPDIR" in error.hint) == (True, False)

    def test_read_only(self, small: Path) -> None:
        desk = Desk(small)
        desk.write(POLICY)
        desk.through("v1.0", "dev")
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        done = desk.quickly("promote", "v1.0", "--to", "test")
        assert (done.status, "Read-only" in done.err) == (6, True)
        assert desk.quickly("status").status == 0


class TestKilled:
    @pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1])
    def test_in_the_middle_of_a_write(self, tmp_path: Path, after: float) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), "a", "100000"], cwd=_ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        store = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        for tag in store.tags():
            for blob in store.get(tag).blobs:
                assert b"".join(store.read_blob(blob))
        images.image(store, content=b"afterwards", tag="afterwards")
        assert "afterwards" in store.tags()

    def test_two_processes_write_one_layout(self, tmp_path: Path) -> None:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), name, "12"], cwd=_ROOT, stdout=subprocess.PIPE
            )
            for name in ("a", "b")
        ]
        for writer in writers:
            writer.communicate(timeout=120)
            assert writer.returncode == 0
        tags = LayoutStore(Repository(f"oci:{tmp_path}", "app")).tags()
        assert tags == sorted(f"{name}-{number}" for name in "ab" for number in range(12))


class TestAnotherTool:
    def test_that_loses_a_record_does_not_make_a_move_without_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """skopeo reads index.json as it begins to copy into a layout, and writes it whole as it ends."""
        desk = Desk(tmp_path)
        desk.write(POLICY)
        desk.through("v1.0", "dev")
        desk.build("v1.1")
        index = tmp_path / "registry/frontend/index.json"
        theirs, moving = index.read_bytes(), LayoutStore.move

        def copied(store: LayoutStore, tag: str, *rest: Any, **more: Any) -> None:
            if tag == "dev" and store.repository.path == "frontend":
                index.write_bytes(theirs)
            moving(store, tag, *rest, **more)

        before = [desk.tag(name, "dev") for name in ("frontend", "back_end")]
        with monkeypatch.context() as patched:
            patched.setattr(LayoutStore, "move", copied)
            done = desk.quickly("promote", "v1.1", "--to", "dev")
        assert (done.status, "_tagflow.dev.000002" in done.err) == (5, True), done.err
        assert [desk.tag(name, "dev") for name in ("frontend", "back_end")] == before
        assert desk.quickly("verify").status == 0
        assert desk.quickly("promote", "v1.1", "--to", "dev").status == 0


class TestDamaged:
    @pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
    def test_a_truncated_index_is_told_and_nothing_is_written(self, tmp_path: Path, part: float) -> None:
        desk = Desk(tmp_path)
        desk.write(POLICY)
        desk.through("v1.0", "dev")
        index = tmp_path / "registry/frontend/index.json"
        content = index.read_bytes()
        index.write_bytes(content[: int(len(content) * part)])
        before = desk.files()
        done = desk.quickly("promote", "v1.0", "--to", "test")
        assert (done.status, "layout.corrupt" in done.err, "index.json" in done.err) == (6, True, True)
        assert desk.files() == before
        index.write_bytes(content)
        assert desk.quickly("promote", "v1.0", "--to", "test").status == 0

    @pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
    def test_what_is_no_file(self, tmp_path: Path, kind: str) -> None:
        """A pipe would never be opened, a device never end."""
        store = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        made = images.image(store, tag="v1")
        blob = made.blobs[0]
        for digest in (blob.digest, made.digest):
            path = tmp_path / "app/blobs" / digest.replace(":", "/")
            path.unlink()
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "device":
                path.symlink_to("/dev/zero")
            else:
                path.mkdir()
        for read in (lambda: store.get("v1"), lambda: b"".join(store.read_blob(blob))):
            with pytest.raises(StoreError) as raised:
                read()
            assert raised.value.code == "layout.unreadable"

    @pytest.mark.parametrize("damage", [b"", b"nonsense", b"\0" * 5000])
    def test_a_corrupt_cache_entry_is_dropped_and_fetched_again(self, tmp_path: Path, damage: bytes) -> None:
        memory = MemoryRegistry()
        inner = memory.open(Repository("a.test", "app"))
        made = images.image(inner, tag="v1")
        store = CachedStore(inner, ManifestLog(tmp_path))
        store.get(made.digest)
        [entry] = [path for path in tmp_path.rglob("*") if path.is_file()]
        entry.write_bytes(damage)
        assert store.get(made.digest).content == made.content
        assert [call.operation for call in memory.calls if call.operation == "get"] == ["get", "get"]
        assert ManifestLog(tmp_path).read(inner.repository, made.digest) == made
