"""Images leave and enter a daemon as tar archives."""

from __future__ import annotations

import io
import json
import tarfile
from functools import partial
from pathlib import Path

import pytest

from tagflow.domain.reference import Repository, digest_of
from tagflow.errors import NotFound, StoreError
from tagflow.stores.archive.reader import open_archive
from tagflow.stores.archive.writer import archive_of, for_platform
from tagflow.stores.docker.engine import Engine, is_image
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Silence, Store
from tests.daemons import Daemon
from tests.engine.listener import Ledger
from tests.images import absent, image, index, index_of, platform_of, pointer, put, referrer, tar
from tests.memory import MemoryRegistry


@pytest.fixture
def layout(tmp_path: Path) -> Store:
    """An OCI layout on disk."""
    return LayoutStore(Repository(f"oci:{tmp_path / 'layouts'}", "app"))


@pytest.fixture
def memory() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def store(memory: MemoryRegistry) -> Store:
    return memory.open(Repository("memory.test", "app"))


@pytest.mark.engine
def test_saved_and_loaded_image_keeps_its_id(
    daemon: Daemon, engine: Engine, second_daemon: Daemon, second_engine: Engine, tmp_path: Path
) -> None:
    saved = daemon.build("parcel:1", "unwrapped")
    assert engine.save_to("parcel:1", tmp_path / "parcel.tar") == saved
    ledger = Ledger()
    assert second_engine.load(tmp_path / "parcel.tar", ledger) == saved
    assert ledger.travelled == (tmp_path / "parcel.tar").stat().st_size
    assert second_daemon.run(saved) == "unwrapped"


@pytest.mark.engine
def test_archive_with_several_names_of_one_image_loads(daemon: Daemon, second_engine: Engine, tmp_path: Path) -> None:
    image_id = daemon.build("names:1", "two names")
    daemon.client.images.get(image_id).tag("names", "2")
    chunks = daemon.client.api.get_image("names")
    (tmp_path / "names.tar").write_bytes(b"".join(chunks))
    assert second_engine.load(tmp_path / "names.tar", Silence()) == image_id


@pytest.mark.engine
def test_missing_image_is_not_saved(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        engine.save_to("never-built:1", tmp_path / "none.tar")
    assert caught.value.code == "source.not_found"
    assert not (tmp_path / "none.tar").exists()


@pytest.mark.engine
def test_directory_that_is_not_there(daemon: Daemon, engine: Engine, tmp_path: Path) -> None:
    daemon.build("parcel:2")
    with pytest.raises(StoreError) as caught:
        engine.save_to("parcel:2", tmp_path / "absent" / "parcel.tar")
    assert caught.value.code == "engine.save_failed"
    with pytest.raises(StoreError) as caught:
        engine.load(tmp_path / "absent.tar", Silence())
    assert caught.value.code == "engine.load_failed"


@pytest.mark.engine
@pytest.mark.parametrize("content", [b"", b"no archive" * 100, tar({"manifest.json": b"[]"})])
def test_what_is_no_archive_is_told(engine: Engine, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.tar").write_bytes(content)
    with pytest.raises(StoreError) as caught:
        engine.load(tmp_path / "odd.tar", Silence())
    assert caught.value.code == "engine.load_failed"


@pytest.mark.engine
@pytest.mark.parametrize("docker", [True, False])
def test_image_of_a_layout_enters_the_daemon(
    second_daemon: Daemon, second_engine: Engine, layout: Store, docker: bool
) -> None:
    manifest = image(layout, content=b"from disk\n", runnable=True, docker=docker)
    ledger = Ledger()
    image_id = second_engine.load_from(layout, manifest, ledger)
    assert is_image(manifest, image_id)
    assert ledger.travelled == ledger.expected == sum(blob.size for blob in manifest.blobs)
    assert second_daemon.run(image_id) == "from disk\n"
    second_engine.tag(image_id, layout.repository, "v1.0")
    assert second_daemon.tags(image_id) == {"app:v1.0"}


@pytest.mark.engine
def test_this_machines_platform_enters_out_of_an_index(second_engine: Engine, layout: Store) -> None:
    multi = index(layout, ["linux/s390x", second_engine.platform, "linux/riscv64"])
    image_id = second_engine.load_from(layout, multi, Silence())
    own = for_platform(layout, multi, second_engine.platform)
    assert is_image(own, image_id)


@pytest.mark.engine
def test_lost_layer_leaves_nothing_in_the_daemon(
    second_daemon: Daemon, second_engine: Engine, memory: MemoryRegistry, store: Store
) -> None:
    manifest = image(store)
    memory.forget(store.repository, manifest.blobs[-1].digest)
    with pytest.raises(NotFound) as caught:
        second_engine.load_from(store, manifest, Silence())
    assert caught.value.code == "blob.not_found"
    assert second_daemon.client.images.list(all=True) == []


@pytest.mark.engine
def test_saved_image_enters_a_layout_and_comes_back(
    daemon: Daemon, engine: Engine, second_daemon: Daemon, second_engine: Engine, layout: Store, tmp_path: Path
) -> None:
    saved = daemon.build("circle:1", "round trip")
    engine.save_to("circle:1", tmp_path / "circle.tar")
    archive = open_archive(tmp_path / "circle.tar")
    manifest = archive.get(archive.sole())
    for blob in manifest.blobs:
        layout.write_blob(blob, partial(archive.read_blob, blob))
    layout.put(manifest, "v1.0")
    assert is_image(manifest, saved)
    assert second_engine.load_from(layout, manifest, Silence()) == saved
    assert second_daemon.run(saved) == "round trip"


def test_archive_holds_what_docker_save_writes(store: Store) -> None:
    layer = tar({"content": b"same"})
    manifest = image(store, layers=[layer, layer], docker=True)
    content = b"".join(archive_of(store, manifest, Silence()))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        contents = {name: file.read() for name, file in files.items() if file is not None}
    (item,) = json.loads(contents["manifest.json"])
    assert manifest.config is not None
    assert digest_of(contents[item["Config"]]) == manifest.config.digest
    assert [digest_of(contents[path]) for path in item["Layers"]] == [layer.digest for layer in manifest.blobs[1:]]
    (entry,) = json.loads(contents["index.json"])["manifests"]
    assert contents["blobs/" + entry["digest"].replace(":", "/")] == manifest.content
    assert entry["mediaType"] == manifest.media_type
    assert len(content) % 512 == 0


def test_a_layer_that_lives_elsewhere_is_told_as_that(store: Store) -> None:
    plain = image(store)
    layer = {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 99, "digest": absent()}
    foreign = {**layer, "urls": ["https://example.test/layer"]}
    manifest = put(store, {**plain.document, "layers": [foreign, *plain.document["layers"]]})
    with pytest.raises(NotFound) as caught:
        next(archive_of(store, manifest, Silence()))
    assert caught.value.code == "blob.not_found"
    assert f"live elsewhere (`urls`, as those of Windows) and are not there: {absent()}" in caught.value.message
    assert "allow-nondistributable-artifacts" in caught.value.hint


def test_artifact_is_no_archive(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        b"".join(archive_of(store, referrer(store, image(store)), Silence()))
    assert caught.value.code == "manifest.invalid"


@pytest.mark.parametrize(
    ("machine", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/arm64", ["linux/amd64", "linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/arm", ["linux/arm64", "linux/arm/v7", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
        ("linux/arm64/v8", ["linux/amd64", "linux/arm64"], "linux/arm64"),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
    ],
)
def test_choice_of_a_platform(store: Store, machine: str, offered: list[str], chosen: str) -> None:
    children = {name: image(store, platform=name, content=name.encode()) for name in offered}
    pointers = [pointer(child.descriptor, platform=platform_of(name)) for name, child in children.items()]
    assert for_platform(store, index_of(store, pointers), machine) == children[chosen]


def test_choice_of_a_platform_in_an_index_of_indexes(store: Store) -> None:
    child = image(store, platform="linux/arm64")
    inner = index_of(store, [pointer(child.descriptor, platform=platform_of("linux/arm64"))])
    middle = index_of(store, [pointer(inner.descriptor)])
    first = index(store, ["linux/amd64", "unknown/unknown"])  # as BuildKit writes an image and what it attests
    outer = index_of(store, [pointer(first.descriptor), pointer(middle.descriptor)])
    assert for_platform(store, outer, "linux/arm64") == child
    with pytest.raises(NotFound) as caught:
        for_platform(store, outer, "linux/s390x")
    assert caught.value.hint == "It has linux/amd64, linux/arm64."


def test_platform_that_is_not_offered(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        for_platform(store, index(store, ["linux/amd64", "linux/arm64"]), "linux/arm")
    assert caught.value.code == "platform.not_found"
    assert "linux/amd64, linux/arm64" in caught.value.hint
