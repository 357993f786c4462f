"""Images in tar files: what docker and skopeo write, and what somebody hostile could write."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import importlib
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagflow.domain.reference import Repository, digest_of
from tagflow.errors import NotFound, StoreError, TagflowError, UsageError
from tagflow.stores.archive.files import unpacked
from tagflow.stores.archive.reader import open_archive
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, Store
from tagflow.stores.transfer.copy import copy_image, missing_parts, platforms
from tests import images
from tests.marks import examples
from tests.memory import MemoryRegistry
from tests.servers import require

zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
LAYERS = (images.tar({"one": b"1"}), images.tar({"two": b"2"}))


@pytest.fixture
def target() -> Store:
    return MemoryRegistry().open(Repository("one.test", "app"))


def config_of(layers: Iterable[bytes] = LAYERS, **extra: object) -> bytes:
    """A configuration with odd whitespace, which must be kept."""
    diff_ids = [digest_of(layer) for layer in layers]
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}, **extra}
    return json.dumps(document, indent=3).encode() + b"\n"


def item(config: str = "config.json", layers: Iterable[str] = ("a/layer.tar", "b/layer.tar"), *names: str) -> Any:
    return {"Config": config, "RepoTags": list(names) or None, "Layers": list(layers)}


Member = bytes | tarfile.TarInfo


def write(path: Path, members: Mapping[str, Member] | Iterable[tuple[str, Member]]) -> Path:
    """A tar of files (bytes) and of anything else (a TarInfo)."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items() if isinstance(members, Mapping) else members:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def docker_members(**changes: Member | None) -> dict[str, Member]:
    """What `docker save` of version 1.10 to 24 writes."""
    members: dict[str, Member | None] = {
        "a/layer.tar": LAYERS[0],
        "a/json": b"{}",
        "b/layer.tar": LAYERS[1],
        "config.json": config_of(),
        "manifest.json": json.dumps([item("config.json", ("a/layer.tar", "b/layer.tar"), "app:1.0")]).encode(),
        **{name.replace("__", "."): content for name, content in changes.items()},
    }
    return {name: content for name, content in members.items() if content is not None}


def oci_members(directory: Path) -> dict[str, Member]:
    """All files of a layout."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
    "two streams of xz": lambda content: lzma.compress(content[:900]) + bytes(8) + lzma.compress(content[900:]),
}


class TestDocker:
    def test_keeps_configuration_and_layers(self, tmp_path: Path, target: Store) -> None:
        source = open_archive(write(tmp_path / "app.tar", docker_members()))
        manifest = copy_image(source, target, source.sole())
        assert manifest.media_type == manifest.document["mediaType"] == DOCKER_MANIFEST
        config, *layers = manifest.blobs
        assert b"".join(target.read_blob(config)) == config_of(), "so the image ID is kept"
        assert [b"".join(target.read_blob(layer)) for layer in layers] == list(LAYERS)
        assert [layer.media_type for layer in layers] == ["application/vnd.docker.image.rootfs.diff.tar"] * 2
        assert platforms(source, manifest) == {"linux/amd64"}
        assert source.tags() == ["1.0"]
        assert source.resolve("1.0") == manifest.digest == source.sole()
        assert source.resolve("2.0") is None
        assert source.get("1.0") == manifest

    def test_gives_the_same_digest_every_time(self, tmp_path: Path) -> None:
        first = open_archive(write(tmp_path / "one.tar", docker_members()))
        second = open_archive(write(tmp_path / "two.tar", dict(reversed(docker_members().items()))))
        assert first.sole() == second.sole()

    def test_compressed_layers_are_recognised(self, tmp_path: Path, target: Store) -> None:
        members = docker_members()
        members["b/layer.tar"] = gzip.compress(LAYERS[1], mtime=0)
        source = open_archive(write(tmp_path / "app.tar", members))
        manifest = copy_image(source, target, source.sole())
        assert [layer.media_type.rpartition(".")[2] for layer in manifest.blobs[1:]] == ["tar", "gzip"]

    @pytest.mark.parametrize(
        "layer",
        [gzip.compress(b"another", mtime=0), gzip.compress(LAYERS[1], mtime=0)[:-9]],
        ids=["another", "cut off"],
    )
    def test_a_compressed_layer_that_is_another(self, tmp_path: Path, layer: bytes) -> None:
        members = {**docker_members(), "b/layer.tar": layer}
        with pytest.raises(StoreError, match=r"b/layer\.tar") as caught:
            open_archive(write(tmp_path / "app.tar", members))
        assert caught.value.code == "archive.invalid"

    def test_a_compressed_layer_that_is_a_bomb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.archive.files._UNPACKED_LEAST", 1_000_000)
        members = {**docker_members(), "b/layer.tar": gzip.compress(bytes(50_000_000), mtime=0)}
        with pytest.raises(StoreError, match="times its size"):
            open_archive(write(tmp_path / "app.tar", members))

    @pytest.mark.parametrize("how", PACKED)
    def test_a_packed_archive(self, tmp_path: Path, target: Store, how: str) -> None:
        plain = write(tmp_path / "app.tar", docker_members())
        packed = tmp_path / f"app.{how}"
        packed.write_bytes(PACKED[how](plain.read_bytes()))
        source = open_archive(packed)
        assert source.sole() == open_archive(plain).sole()
        copy_image(source, target, source.sole())

    @pytest.mark.parametrize("before", ["/", "./", "//", "/./"])
    def test_names_from_the_root(self, tmp_path: Path, before: str) -> None:
        """Archivers write names as they were given them."""
        members = {f"{before}{name}": content for name, content in docker_members().items()}
        source = open_archive(write(tmp_path / "app.tar", members))
        assert source.sole() == open_archive(write(tmp_path / "plain.tar", docker_members())).sole()

    @pytest.mark.parametrize("target", ["/a/layer.tar", "../a/layer.tar", "../../../a/layer.tar", "/x/../a/layer.tar"])
    def test_links_from_the_root(self, tmp_path: Path, target: str) -> None:
        """As in a chroot: the root of the archive, whose parent is itself."""
        members = docker_members(config__json=config_of((LAYERS[0], LAYERS[0])))
        members["b/layer.tar"] = link(target)
        assert len(open_archive(write(tmp_path / "app.tar", members)).get("1.0").blobs) == 3

    def test_of_a_digest(self, tmp_path: Path) -> None:
        other = config_of(LAYERS[:1])
        items = [item("config.json"), item("other.json", ("a/layer.tar",))]
        members = {**docker_members(), "other.json": other, "manifest.json": json.dumps(items).encode()}
        path = write(tmp_path / "app.tar", members)
        alone = {**docker_members(), "other.json": other, "manifest.json": json.dumps(items[1:]).encode()}
        wanted = open_archive(write(tmp_path / "alone.tar", alone)).sole()
        assert open_archive(path, digest=wanted).sole() == wanted
        with pytest.raises(NotFound) as caught:
            open_archive(path, digest=images.absent())
        assert caught.value.code == "source.not_found"

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
    def test_layers_that_are_links(self, tmp_path: Path, kind: bytes) -> None:
        """Docker 1.10 to 24 writes a layer that it wrote before as a link."""
        layers = (LAYERS[0], LAYERS[0])
        members = docker_members(config__json=config_of(layers))
        members["b/layer.tar"] = link("../a/layer.tar" if kind == tarfile.SYMTYPE else "a/layer.tar", kind)
        source = open_archive(write(tmp_path / "app.tar", members))
        digests = [blob.digest for blob in source.get("1.0").blobs[1:]]
        assert digests == [digest_of(LAYERS[0])] * 2

    def test_of_several_images_needs_a_name(self, tmp_path: Path) -> None:
        other = config_of(LAYERS[:1])
        items = [
            item("config.json", ("a/layer.tar", "b/layer.tar"), "app:1.0", "registry.test:5000/team/app:one"),
            item("other.json", ("a/layer.tar",), "other:2.0"),
        ]
        members = {**docker_members(), "other.json": other, "manifest.json": json.dumps(items).encode()}
        path = write(tmp_path / "app.tar", members)
        with pytest.raises(UsageError) as caught:
            open_archive(path)
        assert caught.value.code == "source.ambiguous"
        assert "other:2.0" in caught.value.hint
        for name in ("other:2.0", "docker.io/library/other:2.0"):
            assert open_archive(path, name).get("2.0").config.digest == digest_of(other)  # type: ignore[union-attr]
        assert open_archive(path, "registry.test:5000/team/app:one").tags() == ["1.0", "one"]
        with pytest.raises(NotFound) as missed:
            open_archive(path, "other:3.0")
        assert missed.value.code == "source.not_found"

    def test_of_one_image_under_two_entries_needs_none(self, tmp_path: Path) -> None:
        items = [item("config.json", ("a/layer.tar", "b/layer.tar"), name) for name in ("app:1.0", "app:2.0")]
        members = {**docker_members(), "manifest.json": json.dumps(items).encode()}
        assert open_archive(write(tmp_path / "app.tar", members)).sole()

    def test_without_a_name(self, tmp_path: Path) -> None:
        members = {**docker_members(), "manifest.json": json.dumps([item()]).encode()}
        assert open_archive(write(tmp_path / "app.tar", members)).tags() == []

    def test_cannot_be_written(self, tmp_path: Path) -> None:
        source = open_archive(write(tmp_path / "app.tar", docker_members()))
        manifest = source.get("1.0")
        blob = manifest.blobs[0]
        writes: list[Callable[[], None]] = [
            lambda: source.put(manifest, "x"),
            lambda: source.move("x", manifest, None),
            lambda: source.untag("1.0", manifest.digest),
            lambda: source.write_blob(blob, lambda: iter([b""])),
        ]
        for operation in writes:
            with pytest.raises(StoreError) as caught:
                operation()
            assert caught.value.code == "archive.read_only"
        assert not source.mount(blob, source.repository)
        assert source.referrers(manifest.digest) == []

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        source = open_archive(write(tmp_path / "app.tar", docker_members()))
        for reference in ("2.0", images.absent()):
            with pytest.raises(NotFound):
                source.get(reference)
        with pytest.raises(NotFound):
            list(source.read_blob(Descriptor("x", images.absent(), 1)))
        with pytest.raises(NotFound) as caught:
            open_archive(tmp_path / "none.tar")
        assert caught.value.code == "source.not_found"
        assert caught.value.exit_status == 4


class TestBothInOne:
    """What `docker save` writes since Docker 25: its own description and an OCI layout of the same blobs."""

    @staticmethod
    def members(directory: Path, manifest: Manifest, **changes: Member) -> dict[str, Member]:
        """An archive whose manifest.json describes ``manifest``, which is somewhere in the layout."""
        names = [f"blobs/{blob.digest.replace(':', '/')}" for blob in manifest.blobs]
        described = json.dumps([item(names[0], names[1:], "app:v1.0")]).encode()
        return {**oci_members(directory), "manifest.json": described, **changes}

    @pytest.fixture
    def layout(self, tmp_path: Path) -> LayoutStore:
        return LayoutStore(Repository(f"oci:{tmp_path}", "app"))

    def test_an_image_keeps_its_digest(self, tmp_path: Path, layout: LayoutStore, target: Store) -> None:
        manifest = images.image(layout, tag="v1.0")
        source = open_archive(write(tmp_path / "app.tar", self.members(tmp_path / "app", manifest)))
        assert copy_image(source, target, "v1.0") == manifest

    def test_an_index_keeps_its_digest(self, tmp_path: Path, layout: LayoutStore, target: Store) -> None:
        root = images.index(layout, tag="v1.0")
        child = layout.get(root.children[0].digest)
        source = open_archive(write(tmp_path / "app.tar", self.members(tmp_path / "app", child)))
        assert copy_image(source, target, "v1.0") == root
        assert missing_parts(target, root.digest) == []

    def test_of_an_index_in_parts_the_part_is_taken(self, tmp_path: Path, layout: LayoutStore, target: Store) -> None:
        root = images.index(layout, tag="v1.0")
        child, other = (layout.get(it.digest) for it in root.children)
        members = self.members(tmp_path / "app", child)
        del members[f"blobs/{other.digest.replace(':', '/')}"]
        source = open_archive(write(tmp_path / "app.tar", members))
        assert copy_image(source, target, source.sole()) == child

    def test_a_manifest_without_its_layers_is_not_believed(self, tmp_path: Path, layout: LayoutStore) -> None:
        """Docker 25.0.0 wrote such."""
        manifest = images.image(layout)
        empty = Manifest(OCI_MANIFEST, json.dumps({**manifest.document, "layers": []}).encode())
        layout.put(empty, "v1.0")
        source = open_archive(write(tmp_path / "app.tar", self.members(tmp_path / "app", manifest)))
        assert source.get("v1.0").media_type == DOCKER_MANIFEST
        assert len(source.get("v1.0").blobs) == len(manifest.blobs)

    @pytest.mark.parametrize("index", [b'{"schemaVersion": 2, "manifests": null}', b'{"schemaVersion": 2}'])
    def test_a_layout_that_lists_nothing(self, tmp_path: Path, layout: LayoutStore, index: bytes) -> None:
        manifest = images.image(layout, tag="v1.0")
        members = self.members(tmp_path / "app", manifest, **{"index.json": index})
        made = open_archive(write(tmp_path / "app.tar", members)).get("v1.0")
        assert [blob.digest for blob in made.blobs] == [blob.digest for blob in manifest.blobs]


class TestLayoutInTar:
    def test_keeps_the_digest(self, tmp_path: Path, target: Store) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        root = images.index(layout, tag="v1.0")
        source = open_archive(write(tmp_path / "app.tar", oci_members(tmp_path / "app")))
        assert source.sole() == root.digest
        assert copy_image(source, target, "v1.0") == root
        assert target.get(root.digest).media_type == OCI_INDEX
        assert missing_parts(target, root.digest) == []

    def test_of_several_images_needs_a_name(self, tmp_path: Path) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        images.image(layout, tag="v1.0")
        second = images.image(layout, content=b"2", tag="v2.0")
        path = write(tmp_path / "app.tar", oci_members(tmp_path / "app"))
        with pytest.raises(UsageError, match="2 images"):
            open_archive(path)
        assert open_archive(path, "v2.0").sole() == second.digest

    def test_of_a_digest(self, tmp_path: Path) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        first = images.index(layout)
        layout.put(first, "v1.0")
        images.image(layout, content=b"2", tag="v2.0")
        path = write(tmp_path / "app.tar", oci_members(tmp_path / "app"))
        for digest in (first.digest, first.children[0].digest):
            assert open_archive(path, digest=digest).sole() == digest
        with pytest.raises(NotFound, match=images.absent()) as caught:
            open_archive(path, digest=images.absent())
        assert "v1.0, v2.0" in caught.value.hint

    def test_brings_along_what_hangs_on_it(self, tmp_path: Path, target: Store) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        root = images.index(layout, tag="v1.0")
        sbom = images.referrer(layout, root)
        signed = images.signature(layout, root, b"signature")
        source = open_archive(write(tmp_path / "app.tar", oci_members(tmp_path / "app")))
        assert source.sole() == root.digest, "a signature is no second image"
        copy_image(source, target, "v1.0", referrers="require")
        assert target.has(sbom.digest)
        assert target.resolve(f"sha256-{root.digest[7:]}.sig") == signed.digest

    def test_with_blobs_that_are_links(self, tmp_path: Path, target: Store) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        manifest = images.image(layout, tag="v1.0")
        members = oci_members(tmp_path / "app")
        for number, blob in enumerate(manifest.blobs):
            name = f"blobs/sha256/{blob.digest[7:]}"
            members[f"files/{number}"] = members[name]
            members[name] = link(f"/files/{number}")
        source = open_archive(write(tmp_path / "app.tar", members))
        assert copy_image(source, target, "v1.0") == manifest

    def test_that_is_damaged(self, tmp_path: Path, target: Store) -> None:
        layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
        manifest = images.image(layout, tag="v1.0")
        for digest, code in ((manifest.digest, "archive.invalid"), (manifest.blobs[1].digest, "blob.invalid")):
            members = oci_members(tmp_path / "app")
            name = f"blobs/sha256/{digest[7:]}"
            members[name] = b"x" * len(bytes(members[name]))  # type: ignore[arg-type]
            path = write(tmp_path / "app.tar", members)
            with pytest.raises(StoreError) as caught:
                copy_image(source := open_archive(path), target, source.sole())
            assert caught.value.code == code


class TestHostile:
    BAD: Mapping[str, Mapping[str, Member | None]] = {
        "no description": {"manifest__json": None},
        "no images": {"manifest__json": b"[]"},
        "not JSON": {"manifest__json": b"[{"},
        "not UTF-8": {"manifest__json": b'[{"Config":"\xff","Layers":[]}]'},
        "another shape": {"manifest__json": b'{"Config":1}'},
        "very deep": {"manifest__json": b"[" * 100_000},
        "very large": {"manifest__json": b" " * 5_000_000},
        "missing configuration": {"config__json": None},
        "missing layer": {"b/layer__tar": None},
        "configuration that is none": {"config__json": b"7"},
        "other layers than the configuration says": {"config__json": config_of(reversed(LAYERS))},
        "fewer layers than the configuration says": {"config__json": config_of((*LAYERS, b"x"))},
        "a way out": {"manifest__json": json.dumps([item("../../../../etc/passwd")]).encode()},
        "a way to the root": {"manifest__json": json.dumps([item("/etc/passwd")]).encode()},
        "a link out": {"config__json": link("../../../../etc/passwd")},
        "a link to the root": {"config__json": link("/etc/passwd")},
        "a hard link out": {"config__json": link("/etc/passwd", tarfile.LNKTYPE)},
        "a circle of links": {"config__json": link("x"), "x": link("config.json")},
        "a link to itself": {"config__json": link("config.json")},
        "a device": {"config__json": link("", tarfile.CHRTYPE)},
        "a directory": {"config__json": link("", tarfile.DIRTYPE)},
        "a pipe": {"config__json": link("", tarfile.FIFOTYPE)},
    }

    @pytest.mark.parametrize("name", BAD)
    def test_members(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / "app.tar", docker_members(**self.BAD[name]))
        with pytest.raises(StoreError) as caught:
            open_archive(path)
        assert caught.value.code == "archive.invalid"
        assert str(path) in caught.value.message

    @pytest.mark.parametrize(
        "content",
        [b"", b"x" * 600, b"\x1f\x8b", gzip.compress(b"x" * 600, mtime=0), gzip.compress(b"x" * 9999, mtime=0)[:40],
         b"BZh9", bz2.compress(b"x" * 600), bz2.compress(b"x" * 9999)[:-8], b"\xfd7zXZ\0", lzma.compress(b"x" * 600),
         lzma.compress(b"x" * 9999)[:-8], zstd.compress(b"x" * 9999)[:-2], gzip.compress(b"", mtime=0) + b"more"],
    )  # fmt: skip
    def test_no_archive_at_all(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "app.tar"
        path.write_bytes(content)
        with pytest.raises(StoreError) as caught:
            open_archive(path)
        assert caught.value.code == "archive.invalid"

    def test_a_directory(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError) as caught:
            open_archive(tmp_path)
        assert caught.value.code == "archive.unreadable"
        assert f"oci:{tmp_path}" in caught.value.hint

    def test_a_pipe_or_device_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero")):
            with pytest.raises(StoreError, match="not a regular file") as caught:
                open_archive(path)
            assert caught.value.code == "archive.unreadable"

    @pytest.mark.parametrize("how", ["gzip", "bzip2", "xz", "zstd"])
    def test_a_bomb_is_not_unpacked_to_its_end(self, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.archive.files._UNPACKED_LEAST", 1_000_000)
        path = tmp_path / "bomb"
        path.write_bytes(PACKED[how](bytes(50_000_000)))
        with pytest.raises(StoreError, match="times its size") as caught:
            open_archive(path)
        assert caught.value.code == "archive.invalid"

    def test_a_file_that_asks_for_too_much_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "app.tar.xz"
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
        path.write_bytes(lzma.compress(write(tmp_path / "app.tar", docker_members()).read_bytes(), filters=filters))
        with pytest.raises(StoreError, match="Memory usage limit") as caught:
            open_archive(path)
        assert caught.value.code == "archive.invalid"

    @pytest.mark.parametrize("how", ["gzip", "bzip2", "xz", "zstd"])
    def test_a_disk_that_fails_is_not_taken_for_damage(self, how: str) -> None:
        """What unpacks bzip2 raises OSError where the content is damaged."""

        def failing() -> Iterator[bytes]:
            yield PACKED[how](b"x" * 9999)[:20]
            raise OSError(errno.EIO, "Input/output error")

        with pytest.raises(OSError, match="Input/output"):
            list(unpacked(failing(), how))

    def test_zstd_without_what_unpacks_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("compression.zstd", "backports.zstd"):
            monkeypatch.setitem(sys.modules, name, None)
        path = tmp_path / "app.tar.zst"
        path.write_bytes(PACKED["zstd"](write(tmp_path / "app.tar", docker_members()).read_bytes()))
        with pytest.raises(StoreError, match="zstd -d"):
            open_archive(path)

    @pytest.mark.parametrize("size", [10**9, 2**40, -1, -512, -(2**40)])
    def test_sizes_that_lie(self, tmp_path: Path, size: int) -> None:
        info = tarfile.TarInfo("config.json")
        info.size = size
        header = info.tobuf(tarfile.GNU_FORMAT)
        path = write(tmp_path / "app.tar", docker_members(config__json=None))
        path.write_bytes(header + path.read_bytes())
        with pytest.raises(StoreError) as caught:
            open_archive(path)
        assert caught.value.code == "archive.invalid"

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
    @pytest.mark.parametrize("size", [0, 10**9, 2**40, -1, -512])
    def test_headers_that_lie(self, tmp_path: Path, kind: bytes, size: int) -> None:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, size
        path = tmp_path / "app.tar"
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) * 3)
        with pytest.raises(StoreError) as caught:
            open_archive(path)
        assert caught.value.code == "archive.invalid"

    def test_very_many_members(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tagflow.stores.archive.files._MEMBER_LIMIT", 50)
        members = {**{f"x{number}": b"" for number in range(60)}, **docker_members()}
        with pytest.raises(StoreError, match="more than 50 members"):
            open_archive(write(tmp_path / "app.tar", members))

    def test_cut_off_after_it_was_opened(self, tmp_path: Path) -> None:
        path = write(tmp_path / "app.tar", docker_members())
        source = open_archive(path)
        layer = source.get("1.0").blobs[1]
        with path.open("r+b") as file:
            file.truncate(600)
        with pytest.raises(StoreError) as caught:
            list(source.read_blob(layer))
        assert caught.value.exit_status == 6

    @settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(changes=st.lists(st.tuples(st.integers(0, 11_000), st.binary(min_size=1, max_size=8)), max_size=4),
           end=st.integers(0, 12_000))  # fmt: skip
    def test_any_damage_is_one_clear_error(self, tmp_path: Path, changes: list[tuple[int, bytes]], end: int) -> None:
        path = write(tmp_path / "app.tar", docker_members())
        content = bytearray(path.read_bytes())
        for offset, text in changes:
            content[offset : offset + len(text)] = text
        path.write_bytes(content[:end] if end < 11_000 else content)
        try:
            source = open_archive(path)
            for blob in source.get(source.sole()).blobs:
                hasher = hashlib.sha256(b"".join(source.read_blob(blob)))
                assert blob.digest == "sha256:" + hasher.hexdigest()
        except TagflowError as error:
            if error.code not in ("archive.invalid", "source.ambiguous"):
                raise


@pytest.mark.skopeo
@pytest.mark.parametrize("compress", [False, True])
def test_reads_what_skopeo_writes(tmp_path: Path, target: Store, compress: bool) -> None:
    layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
    image = images.image(layout, tag="v1.0", labels={"a": "ü"})
    path = tmp_path / "app.tar"
    command = [
        require("skopeo"),
        "--insecure-policy",
        "copy",
        f"oci:{tmp_path}/app:v1.0",
        f"docker-archive:{path}:app:9",
    ]
    subprocess.run(command, check=True, capture_output=True)
    if compress:
        path.write_bytes(gzip.compress(path.read_bytes()))
    source = open_archive(path)
    assert source.tags() == ["9"]
    manifest = copy_image(source, target, "9")
    assert manifest.config is not None
    assert image.config is not None
    assert manifest.config.digest == image.config.digest, "the image ID"
    layer = gzip.decompress(b"".join(layout.read_blob(image.blobs[1])))
    assert b"".join(target.read_blob(manifest.blobs[1])) == layer


@pytest.mark.skopeo
def test_reads_what_skopeo_writes_as_a_layout(tmp_path: Path, target: Store) -> None:
    layout = LayoutStore(Repository(f"oci:{tmp_path}", "app"))
    image = images.image(layout, tag="v1.0")
    path = tmp_path / "oci.tar"
    command = [require("skopeo"), "--insecure-policy", "copy", f"oci:{tmp_path}/app:v1.0", f"oci-archive:{path}:v2"]
    subprocess.run(command, check=True, capture_output=True)
    source = open_archive(path)
    assert source.tags() == ["v2"]
    assert copy_image(source, target, source.sole()) == image
