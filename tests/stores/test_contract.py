"""One suite over every store: what the port promises, each medium keeps."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tagflow.context import Context
from tagflow.domain.history import Entry, Record
from tagflow.domain.own_tags import record_tag
from tagflow.domain.records import ARTIFACT_TYPE, to_annotations
from tagflow.domain.reference import Digest, Repository, digest_of
from tagflow.domain.state import Release, State
from tagflow.errors import NotFound, StoreError
from tagflow.execute.compose import Written, put_record
from tagflow.stores.artifact import artifact
from tagflow.stores.port import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    Store,
    TagMoved,
)
from tagflow.stores.transfer.copy import copy_image, missing_parts
from tests import images
from tests.marks import mostly_long
from tests.stores.media import ALL_MEDIA, LOGINS, MEDIA, SIMULATED, Medium, medium

EVERYWHERE = pytest.mark.everywhere
"""For what logins and brands change: rights, pages, uploads, mounts, redirects, referrers, removal."""
SHORT = (*MEDIA, "token", "ecr (simulated)")
"""The media that differ in code, one with a login, and the brand that differs most: the others take longer."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs over the media that differ in code, some over all. Another module that imports the classes has a
    ``place`` of its own."""
    given = any("place" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "place" in metafunc.fixturenames and not given:
        everywhere = metafunc.definition.get_closest_marker("everywhere") is not None
        metafunc.parametrize("place", mostly_long(ALL_MEDIA, *SHORT) if everywhere else MEDIA, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Medium:
    return medium(request.param, request, tmp_path)


@pytest.fixture
def store(place: Medium) -> Store:
    return place.fresh()


def schema2(store: Store) -> Manifest:
    return images.image(store, docker=True)


def oci_image(store: Store) -> Manifest:
    return images.image(store)


def oci_index(store: Store) -> Manifest:
    return images.index(store)


def docker_list(store: Store) -> Manifest:
    return images.index(store, docker=True)


def odd_json(store: Store) -> Manifest:
    """Whitespace, key order, escapes and unicode that no encoder would write again."""
    plain = images.image(store)
    parts = plain.document
    text = (
        '{ "layers" :\n\t'
        + json.dumps(parts["layers"], indent=3)
        + ' ,"annotations":{"z\\u00e9":"\\/ü","a":""},\r\n'
        + f'  "mediaType": "{OCI_MANIFEST}", "schemaVersion":2,\n"config": '
        + json.dumps(parts["config"], sort_keys=True)
        + " }\n\n"
    )
    return Manifest(OCI_MANIFEST, text.encode())


def silent_index(store: Store) -> Manifest:
    """An index that doesn't say its own media type, as older tools write it."""
    document = dict(images.index(store).document)
    del document["mediaType"]
    return Manifest(OCI_INDEX, json.dumps(document, indent=2).encode())


KINDS: dict[str, tuple[Callable[[Store], Manifest], str]] = {
    "schema2": (schema2, DOCKER_MANIFEST),
    "oci-image": (oci_image, OCI_MANIFEST),
    "oci-index": (oci_index, OCI_INDEX),
    "docker-list": (docker_list, DOCKER_LIST),
    "odd-json": (odd_json, OCI_MANIFEST),
    "silent-index": (silent_index, OCI_INDEX),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestManifests:
    def test_is_kept_byte_for_byte(self, store: Store, kind: str) -> None:
        build, media_type = KINDS[kind]
        manifest = build(store)
        store.put(manifest, "v1.0")
        for reference in ("v1.0", manifest.digest):
            stored = store.get(reference)
            assert stored.content == manifest.content
            assert stored.media_type == media_type
        assert store.resolve("v1.0") == "sha256:" + hashlib.sha256(manifest.content).hexdigest()

    def test_is_kept_byte_for_byte_without_a_tag(self, store: Store, kind: str) -> None:
        build, media_type = KINDS[kind]
        manifest = build(store)
        store.put(manifest)
        assert store.get(manifest.digest) == Manifest(media_type, manifest.content)
        assert store.tags() == []

    @EVERYWHERE
    def test_has(self, store: Store) -> None:
        manifest = images.image(store)
        assert store.has(manifest.digest)
        assert not store.has(images.absent())

    @EVERYWHERE
    def test_get_of_what_is_not_there(self, store: Store) -> None:
        images.image(store, tag="v1.0")
        for reference in ("v2.0", images.absent()):
            with pytest.raises(NotFound) as caught:
                store.get(reference)
            assert caught.value.code == "manifest.not_found"

    def test_one_repository_does_not_answer_for_another(self, place: Medium) -> None:
        here, there = place.fresh(), place.fresh()
        manifest = images.image(here, tag="v1.0")
        images.image(there, content=b"other")
        assert here.get("v1.0") == manifest
        assert not there.has(manifest.digest)
        with pytest.raises(NotFound):
            there.get(manifest.digest)

    def test_what_it_names_must_be_there(self, store: Store) -> None:
        images.image(store, content=b"so that the repository exists")
        child = {"mediaType": OCI_MANIFEST, "digest": images.absent(), "size": 3}
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}
        manifest = Manifest(OCI_INDEX, images.as_json(document))
        with pytest.raises(StoreError):
            store.put(manifest, "v1.0")
        assert store.resolve("v1.0") is None
        assert not store.has(manifest.digest)

    @EVERYWHERE
    def test_the_blobs_that_it_names_must_be_there(self, store: Store) -> None:
        images.image(store, content=b"so that the repository exists")
        absent = {"mediaType": "application/x", "digest": images.absent("config"), "size": 2}
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": absent, "layers": []}
        with pytest.raises(StoreError) as caught:
            store.put(Manifest(OCI_MANIFEST, images.as_json(document)), "v1.0")
        assert caught.value.code == "manifest.incomplete"
        assert store.resolve("v1.0") is None

    def test_a_record_brings_along_the_blob_that_it_needs(self, store: Store) -> None:
        """Somebody cleaned up: only the first record of a repository writes it."""
        digest = images.image(store).digest
        release = Release("r1", 1)
        at = datetime(2026, 1, 2, tzinfo=UTC)
        record = Record("prod", "app", "promote", "v1.0", digest, None, None, release, "ann", "", (), at, (), State())
        manifest = artifact(ARTIFACT_TYPE, to_annotations(record))
        tag = record_tag("prod", 1, manifest.digest)
        context = Context(None, "", None, lambda: at, str, "ann", sleep=lambda _: None)  # type: ignore[arg-type]
        put_record(context, store, Written(Entry(tag, manifest.digest, record), manifest), first=False)
        assert store.resolve(str(tag)) == manifest.digest

    def test_are_whole_with_all_that_they_name(self, store: Store, kind: str) -> None:
        manifest = KINDS[kind][0](store)
        store.put(manifest)
        assert missing_parts(store, manifest.digest) == []
        assert [part.digest for part in missing_parts(store, images.absent())] == [images.absent()]

    def test_are_there_now(self, store: Store) -> None:
        manifest = images.image(store)
        assert store.get(manifest.digest, current=True) == manifest
        with pytest.raises(NotFound):
            store.get(images.absent(), current=True)


class TestTags:
    @EVERYWHERE
    def test_of_a_repository_that_does_not_exist(self, store: Store) -> None:
        assert store.tags() == []
        assert store.resolve("v1.0") is None
        assert not store.has(images.absent())
        assert not store.has_blob(images.absent())
        assert store.referrers(images.absent()) == []
        with pytest.raises(NotFound):
            store.get("v1.0")

    @EVERYWHERE
    def test_are_sorted(self, store: Store) -> None:
        manifest = images.image(store)
        names = ["v1.10", "v1.9", "_tagflow.prod.000001.0123456789ab", "Z", "latest", "1" * 128]
        for name in names:
            store.put(manifest, name)
        assert store.tags() == sorted(names)

    def test_are_listed_anew_each_time(self, store: Store) -> None:
        manifest = images.image(store, tag="a")
        assert store.tags() == ["a"]
        store.put(manifest, "b")
        assert store.tags() == ["a", "b"]
        store.create("c", manifest)
        assert store.tags() == ["a", "b", "c"]

    def test_put_overwrites(self, store: Store) -> None:
        first, second = images.image(store, tag="prod"), images.image(store, content=b"2")
        store.put(second, "prod")
        assert store.resolve("prod") == second.digest
        assert store.get(first.digest) == first, "what lost its tag stays"

    def test_several_for_one_manifest_move_alone(self, store: Store) -> None:
        first = images.image(store, tag="a")
        store.put(first, "b")
        second = images.image(store, content=b"2", tag="b")
        assert (store.resolve("a"), store.resolve("b")) == (first.digest, second.digest)


class TestMove:
    def test_creates(self, store: Store) -> None:
        manifest = images.image(store)
        store.move("prod", manifest, None)
        assert store.resolve("prod") == manifest.digest

    def test_stores_the_manifest_with_it(self, store: Store) -> None:
        manifest = odd_json(store)
        store.move("prod", manifest, None)
        assert store.get("prod") == manifest

    @EVERYWHERE
    def test_moves_from_the_expected_digest(self, store: Store) -> None:
        first, second = images.image(store, tag="prod"), images.image(store, content=b"2")
        store.move("prod", second, first.digest)
        assert store.resolve("prod") == second.digest
        store.move("prod", first, second.digest)
        assert store.resolve("prod") == first.digest

    @pytest.mark.parametrize("expected", [None, images.absent()], ids=["none", "another"])
    def test_refuses_when_it_stands_elsewhere(self, store: Store, expected: Digest | None) -> None:
        first, second = images.image(store, tag="prod"), images.image(store, content=b"2")
        with pytest.raises(TagMoved) as caught:
            store.move("prod", second, expected)
        assert (caught.value.code, caught.value.actual, caught.value.expected) == ("tag.moved", first.digest, expected)
        assert store.resolve("prod") == first.digest

    def test_refuses_when_it_is_gone(self, store: Store) -> None:
        manifest = images.image(store)
        with pytest.raises(TagMoved) as caught:
            store.move("prod", manifest, images.absent())
        assert caught.value.actual is None
        assert store.resolve("prod") is None

    @pytest.mark.parametrize("expected", [None, images.absent()], ids=["none", "another"])
    def test_leaves_alone_what_is_there_already(self, store: Store, expected: Digest | None) -> None:
        manifest = images.image(store, tag="prod")
        store.move("prod", manifest, expected)
        assert store.resolve("prod") == manifest.digest


class TestCreate:
    def test_gives_a_name(self, store: Store) -> None:
        manifest = images.image(store)
        store.create("v1.0-prod", manifest)
        assert store.resolve("v1.0-prod") == manifest.digest

    @EVERYWHERE
    def test_gives_a_name_that_a_list_did_not_have(self, store: Store) -> None:
        manifest = images.image(store, tag="v1.0")
        assert "v1.0-prod" not in store.tags()
        store.create("v1.0-prod", manifest)
        assert store.resolve("v1.0-prod") == manifest.digest

    def test_leaves_alone_what_is_there_already(self, store: Store) -> None:
        manifest = images.image(store, tag="v1.0-prod")
        store.create("v1.0-prod", manifest)
        assert store.resolve("v1.0-prod") == manifest.digest

    def test_looks_at_that_moment(self, store: Store) -> None:
        """A list from a moment ago that lacks the tag proves nothing."""
        first, second = images.image(store), images.image(store, content=b"2")
        assert "v1.0" not in store.tags()
        store.put(first, "v1.0")
        with pytest.raises(TagMoved) as caught:
            store.create("v1.0", second)
        assert (caught.value.expected, caught.value.actual) == (None, first.digest)
        assert store.resolve("v1.0") == first.digest

    @pytest.mark.parametrize("listed", [False, True])
    def test_refuses_when_it_stands_elsewhere(self, store: Store, listed: bool) -> None:
        first, second = images.image(store, tag="v1.0-prod"), images.image(store, content=b"2")
        assert not listed or "v1.0-prod" in store.tags()
        with pytest.raises(TagMoved):
            store.create("v1.0-prod", second)
        assert store.resolve("v1.0-prod") == first.digest


def removed(store: Store, tag: str, expected: Digest) -> bool:
    """Whether the medium can remove tags: not all can."""
    try:
        store.untag(tag, expected)
    except StoreError as error:
        if error.code != "tag.undeletable":
            raise
        return False
    return True


class TestUntag:
    @EVERYWHERE
    def test_removes_or_says_that_it_cannot(self, store: Store) -> None:
        manifest = images.image(store, tag="prod")
        store.put(manifest, "v1.0")
        gone = removed(store, "prod", manifest.digest)
        assert store.resolve("prod") == (None if gone else manifest.digest)
        assert store.resolve("v1.0") == manifest.digest
        assert store.get("v1.0") == manifest

    @EVERYWHERE
    def test_leaves_what_stands_elsewhere(self, store: Store) -> None:
        manifest = images.image(store, tag="prod")
        with pytest.raises(TagMoved) as caught:
            store.untag("prod", images.absent())
        assert caught.value.actual == manifest.digest
        assert store.resolve("prod") == manifest.digest

    def test_of_what_is_not_there(self, store: Store) -> None:
        images.image(store)
        with pytest.raises(TagMoved) as caught:
            store.untag("prod", images.absent())
        assert caught.value.actual is None


class TestBlobs:
    @pytest.mark.parametrize("size", [1, 5, 3 * 1024 * 1024 + 1])
    def test_comes_out_as_it_went_in(self, store: Store, size: int) -> None:
        content = bytes(itertools.islice(itertools.cycle(b"tagflow"), size))
        blob = images.add_blob(store, content)
        assert store.has_blob(blob.digest)
        assert b"".join(store.read_blob(blob)) == content

    def test_may_be_empty(self, store: Store) -> None:
        blob = images.add_blob(store, b"")
        assert b"".join(store.read_blob(blob)) == b""

    @EVERYWHERE
    def test_arrives_in_pieces(self, store: Store) -> None:
        pieces = [b"a" * 70_000, b"", b"b", b"c" * 2_000_000]
        blob = Descriptor("application/x", digest_of(b"".join(pieces)), sum(map(len, pieces)))
        store.write_blob(blob, lambda: iter(pieces))
        assert b"".join(store.read_blob(blob)) == b"".join(pieces)

    def test_is_not_asked_for_when_it_is_there(self, store: Store) -> None:
        blob = images.add_blob(store, b"once")

        def never() -> Iterator[bytes]:
            raise AssertionError("asked for")

        store.write_blob(blob, never)

    @pytest.mark.parametrize("wrong", [b"wrong", b"much longer than it says", b"s"])
    def test_with_wrong_content_is_not_stored(self, store: Store, wrong: bytes) -> None:
        images.add_blob(store, b"so that the repository exists")
        blob = Descriptor("application/x", digest_of(b"right"), 5)
        with pytest.raises(StoreError):
            store.write_blob(blob, lambda: iter([wrong]))
        assert not store.has_blob(blob.digest)

    @EVERYWHERE
    def test_that_is_not_there(self, store: Store) -> None:
        images.add_blob(store, b"so that the repository exists")
        with pytest.raises(NotFound) as caught:
            list(store.read_blob(Descriptor("application/x", images.absent(), 3)))
        assert caught.value.code == "blob.not_found"

    def test_of_another_size_than_said_is_invalid(self, store: Store) -> None:
        blob = images.add_blob(store, b"twelve bytes")
        for size in (5, 50):
            with pytest.raises(StoreError) as caught:
                list(store.read_blob(Descriptor(blob.media_type, blob.digest, size)))
            assert caught.value.exit_status == 6

    @EVERYWHERE
    def test_is_mounted_from_a_neighbour(self, place: Medium) -> None:
        source, target = place.fresh("source"), place.fresh("target")
        blob = images.add_blob(source, b"shared")
        assert target.mount(blob, source.repository) == place.mounts
        target.write_blob(blob, lambda: source.read_blob(blob))
        assert b"".join(target.read_blob(blob)) == b"shared"

    @EVERYWHERE
    def test_is_not_mounted_from_where_it_is_not(self, place: Medium) -> None:
        source, target = place.fresh("source"), place.fresh("target")
        images.add_blob(source, b"another")
        blob = Descriptor("application/x", digest_of(b"nowhere"), 7)
        assert not target.mount(blob, source.repository)
        assert not target.mount(blob, Repository("elsewhere.test", "app"))
        assert not target.has_blob(blob.digest)


class TestReferrers:
    @EVERYWHERE
    def test_are_found(self, store: Store) -> None:
        subject = images.index(store)
        assert store.referrers(subject.digest) == []
        sbom = images.referrer(store, subject)
        report = images.referrer(store, subject, "application/vnd.example.report", b"fine")
        images.referrer(store, images.image(store, content=b"other"))
        found = {descriptor.digest: descriptor for descriptor in store.referrers(subject.digest)}
        assert set(found) == {sbom.digest, report.digest}
        assert found[sbom.digest].artifact_type == "application/vnd.example.sbom.v1"
        assert found[sbom.digest].annotations == {"org.example.note": "refers"}
        assert found[sbom.digest].media_type == OCI_MANIFEST

    def test_are_found_once(self, store: Store) -> None:
        subject = images.image(store)
        sbom = images.referrer(store, subject)
        store.put(sbom)
        store.put(sbom, "sbom")
        assert [descriptor.digest for descriptor in store.referrers(subject.digest)] == [sbom.digest]

    @EVERYWHERE
    def test_may_come_before_their_subject(self, store: Store, place: Medium) -> None:
        subject = images.image(place.fresh("elsewhere"))
        sbom = images.referrer(store, subject)
        assert [descriptor.digest for descriptor in store.referrers(subject.digest)] == [sbom.digest]


class TestThreads:
    @EVERYWHERE
    def test_write_at_once(self, store: Store) -> None:
        manifest = images.image(store)
        threads = [threading.Thread(target=store.put, args=(manifest, f"t{number}")) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.tags() == sorted(f"t{number}" for number in range(16))


DIRECTIONS = [(source, target, "oci-index") for source in MEDIA for target in MEDIA]
KINDS_BOTH_WAYS = [(*way, kind) for way in (("layout", "registry"), ("registry", "layout")) for kind in KINDS]


@pytest.mark.parametrize(
    ("place", "to", "kind"), dict.fromkeys(DIRECTIONS + KINDS_BOTH_WAYS), indirect=["place", "kind"]
)
def test_copies_in_all_directions(
    place: Medium, to: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source, target = place.fresh("source"), medium(to, request, tmp_path / "to").fresh("target")
    manifest = KINDS[kind][0](source)
    source.put(manifest, "v1.0")
    assert copy_image(source, target, "v1.0") == manifest
    assert target.get(manifest.digest) == manifest
    for child in manifest.children or (manifest.descriptor,):
        part = target.get(child.digest)
        for blob in part.blobs:
            assert b"".join(target.read_blob(blob)) == b"".join(source.read_blob(blob))
    assert target.tags() == []


@pytest.mark.parametrize("to", mostly_long([*LOGINS, *SIMULATED], *SHORT))
@pytest.mark.parametrize("place", ["layout"], indirect=True)
def test_copies_there_and_back(place: Medium, to: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source, target = place.fresh("source"), medium(to, request, tmp_path / "to").fresh("target")
    manifest = images.index(source, tag="v1.0")
    sbom = images.referrer(source, manifest)
    copy_image(source, target, "v1.0")
    back = place.fresh("back")
    copy_image(target, back, manifest.digest)
    assert back.get(manifest.digest) == manifest
    assert [descriptor.digest for descriptor in back.referrers(manifest.digest)] == [sbom.digest]
