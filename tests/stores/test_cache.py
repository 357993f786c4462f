"""The cache of manifests: never wrong, never in the way."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.domain.reference import Repository
from tagflow.errors import NotFound, StoreError
from tagflow.stores.cache.log import ManifestLog, default_directory
from tagflow.stores.cache.store import CachedStore
from tagflow.stores.port import OCI_INDEX, OCI_MANIFEST, Manifest
from tagflow.stores.transfer.copy import missing_parts
from tagflow.stores.transfer.facts import labels
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
    return CachedStore(memory.open(Repository("one.test", "app")), ManifestLog(directory))


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
        again = CachedStore(memory.open(store.repository), ManifestLog(directory))
        assert again.get(manifest.digest) == manifest
        assert reads(memory) == 1

    def test_of_labels_happens_once_for_all_processes(self, memory: MemoryRegistry, directory: Path) -> None:
        repository = Repository("one.test", "app")
        manifest = images.image(memory.open(repository), labels={"a": "b"})
        for _ in range(2):
            again = CachedStore(memory.open(repository), ManifestLog(directory))
            assert [given["a"] for _, given in labels(again, manifest)] == ["b"]
        assert sum(call.operation == "read_blob" for call in memory.calls) == 1

    def test_of_a_configuration_is_no_manifest(self, memory: MemoryRegistry, directory: Path) -> None:
        repository = Repository("one.test", "app")
        store = CachedStore(memory.open(repository), ManifestLog(directory))
        manifest = images.image(memory.open(repository), labels={"a": "b"})
        labels(store, manifest)
        assert manifest.config is not None
        with pytest.raises(NotFound):
            store.get(manifest.config.digest)
        assert list(ManifestLog(directory).newest(repository, 9)) == []

    def test_of_a_layer_is_not_kept(self, memory: MemoryRegistry, store: CachedStore) -> None:
        layer = images.add_blob(memory.open(store.repository), b"files", images.OCI_LAYER)
        for _ in range(2):
            assert b"".join(store.read_blob(layer)) == b"files"
        assert sum(call.operation == "read_blob" for call in memory.calls) == 2

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
        other = CachedStore(memory.open(Repository("one.test", "other")), ManifestLog(directory))
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


APP = Repository("one.test", "app")


class TestFile:
    """One file that is only appended to: whatever happened to it, what comes out of it is right."""

    @pytest.mark.parametrize("damage", [b"", b"x", b"application/json\n{}", b"\xfftf1", b"\xfftf1" * 40, b"\0" * 5000])
    def test_that_is_damaged_is_fetched_again(
        self, memory: MemoryRegistry, store: CachedStore, directory: Path, damage: bytes
    ) -> None:
        manifest = images.image(store)
        (path,) = cached(directory)
        path.write_bytes(damage)
        for expected in (1, 1):
            again = CachedStore(memory.open(APP), ManifestLog(directory))
            assert again.get(manifest.digest) == manifest
            assert reads(memory) == expected, "kept anew, behind what is damaged"

    @given(
        sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
        damage=st.one_of(
            st.tuples(st.just("cut"), st.integers(0, 400), st.just(0)),
            st.tuples(st.just("drop"), st.integers(0, 400), st.integers(1, 120)),
            st.tuples(st.just("flip"), st.integers(0, 400), st.integers(1, 255)),
        ),
    )
    def test_never_gives_what_was_not_kept(self, sizes: list[int], damage: tuple[str, int, int]) -> None:
        kept = [Manifest(OCI_MANIFEST, images.as_json({"schemaVersion": 2, "config": "x" * size})) for size in sizes]
        with tempfile.TemporaryDirectory() as directory:
            log = ManifestLog(Path(directory))
            for manifest in kept:
                log.write(APP, manifest)
            (path,) = cached(Path(directory))
            content, (kind, at, much) = bytearray(path.read_bytes()), damage
            at = min(at, len(content) - 1)
            if kind == "flip":
                content[at] ^= much
            else:
                del content[at : None if kind == "cut" else at + much]
            path.write_bytes(content)
            again = ManifestLog(Path(directory))
            for manifest in kept:
                assert again.read(APP, manifest.digest) in (manifest, None)
                again.write(APP, manifest)
                assert again.read(APP, manifest.digest) == manifest
            last = ManifestLog(Path(directory))
            assert sum(last.read(APP, manifest.digest) is None for manifest in kept) <= 1, "lost: one at most"

    def test_torn_at_any_byte_loses_what_was_torn_and_no_more(self, directory: Path) -> None:
        """A full disk, or a kill in the middle of a write; others go on appending."""
        kept = [Manifest(OCI_MANIFEST, images.as_json({"schemaVersion": 2, "config": {"n": n}})) for n in range(3)]
        log = ManifestLog(directory)
        for manifest in kept[:2]:
            log.write(APP, manifest)
        (path,) = cached(directory)
        whole = path.read_bytes()
        first = len(whole) // 2
        for length in range(first, len(whole)):
            path.write_bytes(whole[:length])
            ManifestLog(directory).write(APP, kept[2])
            after = ManifestLog(directory)
            assert after.read(APP, kept[2].digest) == kept[2]
            assert after.read(APP, kept[1].digest) is None
            assert after.read(APP, kept[0].digest) == kept[0] or first < length < first + 57, length

    def test_with_a_wrong_type_is_not_believed(self, memory: MemoryRegistry, directory: Path) -> None:
        """As an earlier run would have kept an index that a registry called an image."""
        root = images.index(memory.open(APP))
        silent = Manifest(OCI_MANIFEST, images.as_json({"schemaVersion": 2, "manifests": []}))
        log = ManifestLog(directory)
        log.write(APP, Manifest(OCI_MANIFEST, root.content))
        log.write(APP, silent)
        assert log.read(APP, root.digest) == root
        assert ManifestLog(directory).read(APP, silent.digest) == Manifest(OCI_INDEX, silent.content)

    @pytest.mark.parametrize("kind", ["file", "proc", "null", "link", "pipe", "directory"])
    def test_that_cannot_be_written_is_no_error(self, memory: MemoryRegistry, tmp_path: Path, kind: str) -> None:
        (tmp_path / "file").write_bytes(b"as it was")
        directory = {"file": tmp_path / "file", "proc": Path("/proc/none"), "null": Path("/dev/null/cache")}.get(
            kind, tmp_path / "cache"
        )
        if directory == tmp_path / "cache":
            directory.mkdir()
            path = directory / "manifests.log"
            make = {"link": lambda: path.symlink_to(tmp_path / "file"), "pipe": lambda: os.mkfifo(path)}
            make.get(kind, path.mkdir)()
        store = CachedStore(memory.open(APP), ManifestLog(directory))
        manifest = images.image(store, tag="v1.0")
        assert store.get("v1.0") == manifest
        assert (tmp_path / "file").read_bytes() == b"as it was"

    def test_is_private(self, store: CachedStore, directory: Path) -> None:
        images.image(store)
        (path,) = cached(directory)
        assert (path.stat().st_mode | path.parent.stat().st_mode) & 0o077 == 0

    def test_takes_the_place_of_the_files_of_earlier_versions(self, store: CachedStore, directory: Path) -> None:
        (directory / "manifests" / "0123").mkdir(parents=True)
        (directory / "manifests" / "0123" / "sha256-00").write_bytes(b"old")
        images.image(store)
        assert [path.name for path in directory.iterdir()] == ["manifests.log"]

    def test_stays_below_the_limit(self, memory: MemoryRegistry, directory: Path) -> None:
        direct, limit = memory.open(APP), 20_000
        store = CachedStore(direct, ManifestLog(directory, limit))
        manifests = [images.image(store, content=str(number).encode()) for number in range(120)]
        (path,) = cached(directory)
        assert limit / 3 < path.stat().st_size <= limit
        kept = ManifestLog(directory, limit)
        digests = kept.kept(APP)
        assert digests == [manifest.digest for manifest in manifests[-len(digests) :]], "the oldest go first"
        assert list(kept.newest(APP, 2)) == [manifests[-1], manifests[-2]]
        assert store.get(manifests[0].digest) == manifests[0]

    def test_may_be_used_by_many_at_once(self, memory: MemoryRegistry, directory: Path) -> None:
        direct = memory.open(APP)
        manifests = [images.image(direct, content=str(number).encode()) for number in range(20)]

        def work(_: int) -> bool:
            store = CachedStore(direct, ManifestLog(directory))
            return all(store.get(manifest.digest) == manifest for manifest in manifests)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
        log = ManifestLog(directory)
        assert all(log.read(APP, manifest.digest) == manifest for manifest in manifests)

    def test_processes_append_at_once(self, directory: Path) -> None:
        workers, each = 4, 200
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=_append, args=(directory, number, each)) for number in range(workers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * workers
        log = ManifestLog(directory)
        assert len(log.kept(APP)) == workers * each
        assert all(
            log.read(APP, _numbered(worker, n).digest) == _numbered(worker, n)
            for worker in range(workers)
            for n in range(each)
        )


def _numbered(worker: int, number: int) -> Manifest:
    return Manifest(OCI_MANIFEST, images.as_json({"schemaVersion": 2, "config": {"w": worker, "n": number}}))


def _append(directory: Path, worker: int, count: int) -> None:
    log = ManifestLog(directory)
    for number in range(count):
        log.write(APP, _numbered(worker, number))


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


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}, {"XDG_CACHE_HOME": "relative"}], ids=str)
def test_who_has_no_home_has_no_cache(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose number no list of users has, as in a container."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert default_directory(environ) is None
    log = ManifestLog(default_directory(environ))
    log.write(APP, _numbered(1, 1))
    assert log.kept(APP) == []
    assert list(log.newest(APP, 1)) == []
    assert list(tmp_path.iterdir()) == []
