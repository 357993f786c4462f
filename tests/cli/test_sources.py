"""The SOURCE of a push, as the tools that made it call it."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Repository, digest_of
from tagflow.stores.layout.names import CONTAINERD_NAME, REF_NAME
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Manifest
from tests import images
from tests.cli.runner import Desk

POLICY = "version: 1\nregistry: oci:./registry\nimages: {app: app}\nenvironments: {dev: {}}\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write(POLICY)
    return desk


def layout(desk: Desk, *annotations: dict[str, str]) -> list[Manifest]:
    """A layout whose images carry these annotations."""
    store = LayoutStore(Repository(f"oci:{desk.path}", "build"))
    made = [images.index(store, seed=str(number), tag=f"t{number}") for number in range(len(annotations))]
    file = desk.path / "build/index.json"
    document = json.loads(file.read_bytes())
    for entry, names in zip(document["manifests"], annotations, strict=True):
        entry["annotations"] = names
    file.write_text(json.dumps(document))
    return made


def pushed(desk: Desk, source: str) -> str | None:
    done = desk.quickly("push", "v1.0", f"app={source}")
    assert done.status == 0, done.err
    return desk.tag("app", "v1.0")


def refused(desk: Desk, source: str, code: str, status: int) -> dict[str, Any]:
    document = desk.json("push", "v1.0", f"app={source}")
    assert (document["error"]["code"], document["exit_code"]) == (code, status)
    assert desk.tag("app", "v1.0") is None
    error: dict[str, Any] = document["error"]
    return error


@pytest.mark.parametrize("host", ["localhost:99999", "localhost:0", "r.test:65536", "[::1::]:5000"])
def test_a_registry_at_no_address(desk: Desk, host: str) -> None:
    refused(desk, f"docker://{host}/x:1", "reference.invalid", 2)


BUILDX = {CONTAINERD_NAME: "docker.io/library/app:v7", REF_NAME: "v7"}
FULL = {REF_NAME: "registry.example:5000/team/app:v7"}


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (BUILDX, "v7"),
        (BUILDX, "docker.io/library/app:v7"),
        (BUILDX, "app:v7"),
        (FULL, "v7"),
        (FULL, "registry.example:5000/team/app:v7"),
        ({CONTAINERD_NAME: "docker.io/acme/app:v7"}, "acme/app:v7"),
        ({REF_NAME: "team/app"}, "team/app"),
    ],
)
def test_names_in_a_layout(desk: Desk, names: dict[str, str], name: str) -> None:
    _, wanted = layout(desk, {REF_NAME: "v6", CONTAINERD_NAME: "docker.io/library/other:v6"}, names)
    assert pushed(desk, f"oci:build:{name}") == wanted.digest


def test_one_without_a_name(desk: Desk) -> None:
    [wanted] = layout(desk, {})
    assert pushed(desk, "oci:./build") == wanted.digest


def test_a_tag_that_several_have(desk: Desk) -> None:
    layout(desk, {REF_NAME: "docker.io/a/app:v7"}, {REF_NAME: "docker.io/b/app:v7"})
    error = refused(desk, "oci:build:v7", "source.ambiguous", 2)
    assert "docker.io/a/app:v7, docker.io/b/app:v7" in error["hint"]


def test_a_name_that_is_not_there(desk: Desk) -> None:
    layout(desk, BUILDX)
    for name in ("v8", "app:v8", "docker.io/other/app:v7"):
        refused(desk, f"oci:build:{name}", "source.not_found", 4)


def archive(desk: Desk) -> None:
    with tarfile.open(desk.path / "app.tar", "w") as tar:
        for path in sorted((desk.path / "build").rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                tar.add(path, str(path.relative_to(desk.path / "build")))


def test_a_name_in_an_archive(desk: Desk) -> None:
    _, wanted = layout(desk, {REF_NAME: "v6"}, BUILDX)
    archive(desk)
    assert "docker-archive:" in refused(desk, "docker-archive:app.tar", "source.ambiguous", 2)["hint"]
    assert pushed(desk, "docker-archive:app.tar:app:v7") == wanted.digest


def test_a_tar_is_no_directory(desk: Desk) -> None:
    layout(desk, BUILDX)
    archive(desk)
    error = refused(desk, "oci:app.tar", "source.not_found", 4)
    assert "docker-archive:app.tar" in error["hint"]


def test_a_layout_in_a_directory_that_may_not_be_entered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Path.stat

    def denied(path: Path, **more: Any) -> Any:
        if path.name == "build":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return looks(path, **more)

    monkeypatch.setattr(Path, "stat", denied)
    assert "Permission denied" in refused(desk, "oci:build", "layout.unreadable", 6)["message"]


def test_a_digest_in_a_layout(desk: Desk) -> None:
    _, wanted = layout(desk, {REF_NAME: "v6"}, BUILDX)
    assert pushed(desk, f"oci:build@{wanted.digest}") == wanted.digest


def test_a_digest_in_an_archive(desk: Desk) -> None:
    _, wanted = layout(desk, {REF_NAME: "v6"}, BUILDX)
    archive(desk)
    assert pushed(desk, f"docker-archive:app.tar@{wanted.digest}") == wanted.digest


def test_a_digest_that_is_not_there(desk: Desk) -> None:
    layout(desk, {REF_NAME: "v6"}, BUILDX)
    archive(desk)
    for source in ("oci:build", "docker-archive:app.tar"):
        error = refused(desk, f"{source}@{images.absent()}", "source.not_found", 4)
        assert "v6" in error["hint"]


def test_several_without_names_are_offered_by_digest(desk: Desk) -> None:
    first, second = layout(desk, {}, {})
    error = refused(desk, "oci:build", "source.ambiguous", 2)
    assert f"{first.digest}" in error["hint"]
    assert f"{second.digest}" in error["hint"]


def saved(desk: Desk, file: str, **names: str | None) -> dict[str, bytes]:
    """What `docker save` wrote of images with these names before Docker 25, without manifests; the layers by image."""
    layers = {name: images.tar({"content": name.encode()}) for name in names}
    described = [
        {"Config": f"{name}.json", "RepoTags": [tag] if tag else None, "Layers": [f"{name}/layer.tar"]}
        for name, tag in names.items()
    ]
    with tarfile.open(desk.path / file, "w") as tar:
        for name, layer in layers.items():
            config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [digest_of(layer)]}}
            add(tar, f"{name}.json", images.as_json(config))
            add(tar, f"{name}/layer.tar", layer)
        add(tar, "manifest.json", images.as_json(described))
    return layers


def test_two_images_of_one_archive(desk: Desk) -> None:
    desk.write(POLICY.replace("{app: app}", "{app: app, other: other}"))
    layers = saved(desk, "all.tar", one="one:1", two="two:1")
    done = desk.quickly("push", "v1.0", "app=docker-archive:all.tar:one:1", "other=docker-archive:all.tar:two:1")
    assert done.status == 0, done.err
    for image, name in (("app", "one"), ("other", "two")):
        store = LayoutStore(Repository(f"oci:{desk.path}/registry", image))
        assert [blob.digest for blob in store.get("v1.0").blobs[1:]] == [digest_of(layers[name])]


@pytest.mark.parametrize(("source", "tag"), [("all.tar", None), ("all.tar", "x:1"), ("all.tar:x:1", "x:1")])
def test_images_that_no_name_tells_apart_are_offered_by_digest(desk: Desk, source: str, tag: str | None) -> None:
    saved(desk, "all.tar", one=tag, two=tag)
    hint = refused(desk, f"docker-archive:{source}", "source.ambiguous", 2)["hint"]
    offered = re.findall("sha256:[0-9a-f]{64}", hint)
    assert len(set(offered)) == 2
    assert pushed(desk, f"docker-archive:all.tar@{offered[1]}") == offered[1]


def test_a_layout_with_colons_in_its_name(desk: Desk) -> None:
    _, wanted = layout(desk, {REF_NAME: "v6"}, BUILDX)
    (desk.path / "build").rename(desk.path / "c:d:e")
    assert pushed(desk, "oci:c:d:e:app:v7") == wanted.digest
    assert "v6" in desk.json("push", "v1.1", "app=oci:c:d:e")["error"]["hint"]


def test_a_file_with_a_colon_in_its_name(desk: Desk) -> None:
    saved(desk, "c:d.tar", one="one:1", two="two:1")
    assert pushed(desk, "docker-archive:c:d.tar:two:1")


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
