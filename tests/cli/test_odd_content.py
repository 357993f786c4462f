"""Whole commands over repositories that hold what is no ordinary image, no ordinary record, or less than it should."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from tagflow.domain.reference import Digest, Repository
from tagflow.stores.layout.store import LayoutStore
from tagflow.stores.port import Manifest
from tests import images
from tests.cli.runner import POLICY, Desk
from tests.marks import mostly_long

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.write(POLICY)
    return made


def repository(desk: Desk, name: str = "frontend", place: str = "registry") -> LayoutStore:
    return LayoutStore(Repository(f"oci:{desk.path}/{place}", name))


def records(store: LayoutStore, environment: str = "prod") -> list[str]:
    return [tag for tag in store.tags() if tag.startswith(f"_tagflow.{environment}.")]


class TestOddChildren:
    """What a promotion admits, a rollback accepts, and `verify` finds whole."""

    def odd(self, kind: str, store: LayoutStore) -> Manifest:
        """An index of two platforms and something else, under the version v1.0."""
        pointers = [images.pointer(child) for child in images.index(store, seed="v1.0").children]
        if kind == "sha512":
            child = images.image(store, content=b"by another hash")
            child = Manifest(
                child.media_type, child.content, Digest("sha512:" + hashlib.sha512(child.content).hexdigest())
            )
        else:
            child = Manifest(kind, json.dumps({"schemaVersion": 1, "mediaType": kind, "blobs": []}).encode())
        store.put(child)
        return images.index_of(store, [*pointers, images.pointer(child.descriptor)], tag="v1.0")

    @pytest.mark.parametrize(
        ("kind", "apart"),
        mostly_long(
            [("sha512", False), ("sha512", True), (SCHEMA_1, False), (ARTIFACT, False), (ARTIFACT, True),
             ("application/vnd.example.unknown+json", False), ("application/vnd.example.unknown+json", True)],
            ("sha512", True), (SCHEMA_1, False), (ARTIFACT, True),
        ),
    )  # fmt: skip
    def test_go_forward_and_back(self, desk: Desk, kind: str, apart: bool) -> None:
        policy = POLICY.replace("backend: back_end", "").replace("frontend, }", "frontend}")
        desk.write(policy.replace("prod: {", "prod: {registry: 'oci:./production', ") if apart else policy)
        index = self.odd(kind, repository(desk))
        images.index(repository(desk), seed="v1.1", tag="v1.1")
        for version in ("v1.0", "v1.1"):
            for environment in ("dev", "test", "prod"):
                desk.act("promote", version, "--to", environment)
        desk.act("verify")
        desk.act("rollback", "prod")
        production = repository(desk, place="production" if apart else "registry")
        assert production.get("prod") == index
        assert production.has(index.children[-1].digest)
        desk.act("verify")

    def test_of_schema_1_do_not_travel_and_nothing_moves(self, desk: Desk) -> None:
        """Its digest is not that of its bytes, so that nobody could tell whether it arrived whole."""
        desk.write(POLICY.replace("prod: {", "prod: {registry: 'oci:./production', "))
        self.odd(SCHEMA_1, repository(desk))
        for environment in ("dev", "test"):
            desk.act("promote", "frontend=v1.0", "--to", environment)
        document = desk.json("promote", "frontend=v1.0", "--to", "prod")
        assert document["error"]["code"] == "manifest.unsupported"
        assert repository(desk, place="production").tags() == []


class TestAbsurdRecords:
    """Their hashes are right, and what they say is not: the history of that image is broken, and nothing else."""

    @pytest.mark.parametrize(
        "created",
        mostly_long(
            ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-26T00:00:00",
             "10000-01-01T00:00:00Z", ""],
            "0001-01-01T00:00:00+14:00", "2026-11-26T00:00:00",
        ),
    )  # fmt: skip
    @pytest.mark.parametrize("above", [False, True], ids=["the only one", "above others"])
    def test_of_times(self, desk: Desk, created: str, above: bool) -> None:
        for environment in ("dev", "test", "prod"):
            desk.through("v1.0", environment)
        store = repository(desk)
        (tag,) = records(store)
        record = store.get(tag)
        annotations = {**record.annotations, "org.opencontainers.image.created": created}
        if above:
            annotations["io.tagflow.record.parents"] = f"{tag}@{record.digest}"
        odd = Manifest(record.media_type, json.dumps({**record.document, "annotations": annotations}).encode())
        sequence = 2 if above else 1
        if not above:
            store.untag(tag, record.digest)
        store.put(odd, f"_tagflow.prod.{sequence:06d}.{odd.digest[7:19]}")
        desk.build("v1.1")
        for environment in ("dev", "test"):
            desk.act("promote", "v1.1", "--to", environment)
        for command in (
            ["status"],
            ["history", "prod"],
            ["stats", "prod"],
            ["verify"],
            ["rollback", "prod", "frontend"],
        ):
            done = desk.quickly(*command)
            assert done.status in (0, 4, 5), (command, done.err)
        desk.act("promote", "backend=v1.1", "--to", "prod")
        assert desk.tag("back_end", "prod") == desk.tag("back_end", "v1.1")

    def test_history_says_which_record_it_could_not_read(self, desk: Desk) -> None:
        """What is left out would else pass for what never was, where it is the only one for an empty history."""
        desk.through("v1.0", "dev")
        store = repository(desk)
        (tag,) = records(store, "dev")
        store.untag(tag, store.get(tag).digest)
        images.image(store, tag=tag)
        done = desk.quickly("history", "dev", "frontend")
        assert done.status == 0
        assert done.out.startswith("! ")
        assert tag in done.out
        assert "registry/frontend" in done.out


class TestRequiredReferrers:
    """`referrers: require` is decided before anything is copied, in a dry run as well."""

    def test_one_of_two_is_not_signed(self, desk: Desk) -> None:
        desk.write(POLICY.replace("prod: {", "prod: {registry: 'oci:./production', ") + "referrers: require\n")
        desk.build("v1.0")
        for environment in ("dev", "test"):
            desk.act("promote", "v1.0", "--to", environment)
        store = repository(desk)
        images.signature(store, store.get("v1.0"), b"signed")
        for options in (["--dry-run"], []):
            document = desk.json("promote", "v1.0", "--to", "prod", *options)
            assert (document["exit_code"], document["error"]["code"]) == (3, "referrers.missing")
            assert "back_end" in json.dumps(document["error"])
        assert not [path for path in (desk.path / "production").rglob("*") if path.is_file()]
        images.signature(repository(desk, "back_end"), repository(desk, "back_end").get("v1.0"), b"signed, too")
        desk.act("promote", "v1.0", "--to", "prod", "--dry-run")
        desk.act("promote", "v1.0", "--to", "prod")
        assert [tag for tag in repository(desk, place="production").tags() if tag.endswith(".sig")]


def test_a_plan_is_saved_whole_or_not_at_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the new one is written: the old one stays, and nothing lies beside it."""
    desk.through("v1.0", "dev")
    desk.act("promote", "v1.0", "--to", "test", "--save-plan", "plan.json")
    before = desk.files()
    desk.act("promote", "v1.0", "--to", "test", "--reason", "another", "--dry-run")
    assert desk.files() == before

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Path, "replace", full)
    done = desk.quickly("promote", "v1.0", "--to", "test", "--reason", "another", "--save-plan", "plan.json")
    assert (done.status, "plan.unwritable" in done.err) == (6, True), done.err
    assert desk.files() == before
