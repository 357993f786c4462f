"""Layouts between tagflow and skopeo, which others wrote: each reads what the other writes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tagflow.domain.reference import Repository
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Manifest, Store
from tagflow.stores.transfer.copy import copy_image, missing_parts
from tests import images
from tests.servers import require

pytestmark = pytest.mark.skopeo


def skopeo(*arguments: object) -> bytes:
    """What skopeo prints; it must succeed."""
    done = subprocess.run([require("skopeo"), "--insecure-policy", *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(Repository(f"oci:{tmp_path}", "ours"))


@pytest.fixture
def theirs(tmp_path: Path) -> LayoutStore:
    return LayoutStore(Repository(f"oci:{tmp_path}", "theirs"))


def build_image(store: Store) -> Manifest:
    return images.image(store, tag="v1.0")


def build_index(store: Store) -> Manifest:
    return images.index(store, tag="v1.0")


def build_nested(store: Store) -> Manifest:
    """skopeo 1.9 reads the outer index of what it inspects, not more."""
    inner = images.pointer(images.index(store).descriptor)
    return images.index_of(store, [inner], tag="v1.0")


@pytest.mark.parametrize("build", [build_image, build_index, build_nested])
def test_skopeo_inspects_what_we_write(store: LayoutStore, tmp_path: Path, build: Any) -> None:
    manifest = build(store)
    assert skopeo("inspect", "--raw", f"oci:{tmp_path}/ours:v1.0") == manifest.content


def test_skopeo_sees_tags_as_we_move_them(store: LayoutStore, tmp_path: Path) -> None:
    first = images.image(store, tag="prod")
    second = images.image(store, content=b"2", tag="v2.0")
    store.move("prod", second, first.digest)
    store.untag("v2.0", second.digest)
    assert skopeo("inspect", "--raw", f"oci:{tmp_path}/ours:prod") == second.content
    listed = json.loads(skopeo("inspect", f"oci:{tmp_path}/ours:prod"))
    assert listed["Digest"] == second.digest


@pytest.mark.parametrize("build", [build_image, build_index])
def test_skopeo_copies_what_we_write(store: LayoutStore, theirs: LayoutStore, tmp_path: Path, build: Any) -> None:
    manifest = build(store)
    skopeo("copy", "--all", f"oci:{tmp_path}/ours:v1.0", f"oci:{tmp_path}/theirs:v1.0")
    assert theirs.get("v1.0").content == manifest.content
    assert missing_parts(theirs, manifest.digest) == []


@pytest.mark.parametrize("build", [build_image, build_index])
def test_we_copy_what_skopeo_writes(store: LayoutStore, theirs: LayoutStore, tmp_path: Path, build: Any) -> None:
    build(store)
    skopeo("copy", "--all", f"oci:{tmp_path}/ours:v1.0", f"oci:{tmp_path}/theirs:latest")
    ours_again = LayoutStore(Repository(f"oci:{tmp_path}", "again"))
    manifest = copy_image(theirs, ours_again, "latest")
    assert manifest.content == skopeo("inspect", "--raw", f"oci:{tmp_path}/theirs:latest")
    assert missing_parts(ours_again, manifest.digest) == []


def test_we_read_what_skopeo_writes_without_a_tag(store: LayoutStore, tmp_path: Path) -> None:
    manifest = build_image(store)
    skopeo("copy", f"oci:{tmp_path}/ours:v1.0", f"oci:{tmp_path}/theirs")
    source = LayoutStore(Repository(f"oci:{tmp_path}/theirs", "image"), tmp_path / "theirs")
    assert source.choose() == manifest.digest
    assert source.tags() == []


def test_both_write_into_one_layout(store: LayoutStore, tmp_path: Path) -> None:
    first = images.image(store, tag="v1.0")
    other = LayoutStore(Repository(f"oci:{tmp_path}", "other"))
    second = images.image(other, content=b"2", tag="x")
    skopeo("copy", f"oci:{tmp_path}/other:x", f"oci:{tmp_path}/ours:v2.0")
    third = images.image(store, content=b"3", tag="v3.0")
    assert [store.resolve(tag) for tag in store.tags()] == [first.digest, second.digest, third.digest]
    assert skopeo("inspect", "--raw", f"oci:{tmp_path}/ours:v2.0") == second.content


def test_skopeo_keeps_our_referrers_listed(store: LayoutStore, tmp_path: Path) -> None:
    manifest = images.image(store, tag="v1.0")
    sbom = images.referrer(store, manifest)
    other = LayoutStore(Repository(f"oci:{tmp_path}", "other"))
    images.image(other, content=b"2", tag="x")
    skopeo("copy", f"oci:{tmp_path}/other:x", f"oci:{tmp_path}/ours:v2.0")
    assert [found.digest for found in store.referrers(manifest.digest)] == [sbom.digest]
