"""The cache of manifests: never wrong, never in the way."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tagflow.domain.reference import Repository
from tagflow.errors import NotFound, StoreError
from tagflow.stores.cache import CachedStore, ManifestFiles, default_directory
from tagflow.stores.transfer.copy import missing_parts
from tests import images
from tests.memory import MemoryRegistry


@pytest.fixture
def memory() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(memory: MemoryRegistry, directory: Path) -> CachedStore:
    return CachedStore(memory.open(Repository("one.test", "app")), ManifestFiles(directory))


def cached(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def reads(memory: MemoryRegistry) -> int:
    return sum(call.operation == "get" for call in memory.calls)


class TestReading:
    def test_happens_once(self, memory: MemoryRegistry, store: CachedStore) -> None:
        manifest = images.image(memory.open(store.repository), tag="v1.0")
        for reference in ("v1.0", manifest.digest, "v1.0"):
            assert store.get(reference) == manifest
        assert reads(memory) == 1

    def test_happens_once_for_all_processes(self, memory: MemoryRegistry, store: CachedStore, directory: Path) -> None:
        manifest = images.image(memory.open(store.repository))
        store.get(manifest.digest)
        again = CachedStore(memory.open(store.repository), ManifestFiles(directory))
        assert again.get(manifest.digest) == manifest
        assert reads(memory) == 1

    @pytest.mark.parametrize("operation", ["put", "move"])
    def test_is_not_needed_for_what_was_written(
        self, memory: MemoryRegistry, store: CachedStore, operation: str
    ) -> None:
        manifest = images.image(memory.open(store.repository))
        if operation == "put":
            store.put(manifest, "v1.0")
        else:
            store.move("v1.0", manifest, None)
        assert store.get("v1.0") == manifest
        assert reads(memory) == 0

    def test_of_a_tag_follows_the_tag(self, memory: MemoryRegistry, store: CachedStore) -> None:
        direct = memory.open(store.repository)
        first = images.image(direct, tag="prod")
        assert store.get("prod") == first
        second = images.image(direct, content=b"2", tag="prod")
        assert store.get("prod") == second
        direct.untag("prod", second.digest)
        with pytest.raises(NotFound) as caught:
            store.get("prod")
        assert caught.value.code == "manifest.not_found"

    def test_is_kept_apart_by_repository(self, memory: MemoryRegistry, store: CachedStore, directory: Path) -> None:
        manifest = images.image(store)
        store.get(manifest.digest)
        other = CachedStore(memory.open(Repository("one.test", "other")), ManifestFiles(directory))
        with pytest.raises(NotFound):
            other.get(manifest.digest)

    def test_does_not_hide_a_loss(self, memory: MemoryRegistry, store: CachedStore) -> None:
        root = images.index(store)
        assert missing_parts(store, root.digest) == []
        memory.forget(store.repository, root.children[0].digest)
        assert not store.has(root.children[0].digest)
        assert len(missing_parts(store, root.digest)) == 1
        memory.forget(store.repository, root.digest)
        assert [str(part) for part in missing_parts(store, root.digest)] == [f"manifest {root.digest}"]

    def test_does_not_remember_what_failed(self, memory: MemoryRegistry, store: CachedStore, directory: Path) -> None:
        manifest = images.image(memory.open(Repository("one.test", "elsewhere")))
        with pytest.raises(StoreError):
            store.put(manifest)
        assert cached(directory) == []


class TestFiles:
    @pytest.mark.parametrize("damage", [b"", b"application/json\n{}", b"\xff\n\xff", b"x" * 100])
    def test_that_are_damaged_are_dropped(
        self, memory: MemoryRegistry, store: CachedStore, directory: Path, damage: bytes
    ) -> None:
        manifest = images.image(store)
        (path,) = cached(directory)
        path.write_bytes(damage)
        assert store.get(manifest.digest) == manifest
        assert reads(memory) == 1
        assert cached(directory) == [path], "written anew"
        assert store.get(manifest.digest) == manifest
        assert reads(memory) == 1

    def test_with_a_forged_type_are_dropped(self, store: CachedStore, directory: Path) -> None:
        manifest = images.image(store)
        (path,) = cached(directory)
        path.write_bytes(b"text/html\n" + manifest.content)
        assert store.get(manifest.digest) == manifest

    def test_that_cannot_be_written_are_no_error(self, memory: MemoryRegistry, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        for directory in (tmp_path / "file", Path("/proc/none"), Path("/dev/null/cache")):
            store = CachedStore(memory.open(Repository("one.test", "app")), ManifestFiles(directory))
            manifest = images.image(store, tag="v1.0")
            assert store.get("v1.0") == manifest
        assert list(tmp_path.iterdir()) == [tmp_path / "file"]

    def test_are_private(self, store: CachedStore, directory: Path) -> None:
        images.image(store)
        (path,) = cached(directory)
        assert path.parent.stat().st_mode & 0o077 == 0

    def test_stay_below_the_limit(
        self, memory: MemoryRegistry, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tagflow.stores.cache._SWEEP_EVERY", 10)
        store = CachedStore(memory.open(Repository("one.test", "app")), ManifestFiles(directory, limit=20 * 4096))
        manifests = []
        for number in range(60):
            manifests.append(images.image(store, content=str(number).encode()))
            for path in cached(directory):
                if path.name == manifests[-1].digest.replace(":", "-"):
                    os.utime(path, (number, number))
        names = {path.name for path in cached(directory)}
        assert len(names) <= 30
        assert manifests[-1].digest.replace(":", "-") in names, "the oldest go first"
        assert manifests[0].digest.replace(":", "-") not in names
        assert store.get(manifests[0].digest) == manifests[0]

    def test_may_be_used_by_many_at_once(self, memory: MemoryRegistry, directory: Path) -> None:
        direct = memory.open(Repository("one.test", "app"))
        manifests = [images.image(direct, content=str(number).encode()) for number in range(20)]

        def work(_: int) -> bool:
            store = CachedStore(direct, ManifestFiles(directory))
            return all(store.get(manifest.digest) == manifest for manifest in manifests)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
        assert len(cached(directory)) == 20


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"XDG_CACHE_HOME": "/var/cache", "HOME": "/home/a"}, "/var/cache/tagflow"),
        ({"HOME": "/home/a"}, "/home/a/.cache/tagflow"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/a"}, "/home/a/.cache/tagflow"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/a"}, "/home/a/.cache/tagflow"),
    ],
)
def test_default_directory(environ: dict[str, str], directory: str) -> None:
    assert default_directory(environ) == Path(directory)
