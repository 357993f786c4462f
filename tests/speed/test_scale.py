"""Ten thousand tags and two thousand records in one repository: nothing is asked of each."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from tagflow.domain.history import Parent, Ran, Record, Release, State, fingerprint
from tagflow.domain.reference import Digest
from tagflow.domain.tagging import RecordTag, record_tag
from tagflow.flows.records import encode
from tagflow.stores.port import Manifest
from tests.flows.world import START, World
from tests.memory import Call

TAGS, RECORDS = 10_000, 2_000
POLICY = """
version: 1
registry: registry.test/acme
images: {app: app}
environments:
  dev: {}
  prod: {downgrades: allow}
"""


@pytest.fixture
def crowded() -> World:
    """v1.0.0 and v1.1.0 run in dev and prod, among very many tags and records of both."""
    world = World(POLICY, threads=8)
    for version in ("v1.0.0", "v1.1.0"):
        world.through(version, "dev", "prod")
    content = world.memory.content(world.repository("app"))
    digest = content.tags["v1.0.0"]
    content.tags.update({f"v0.{number}.0": digest for number in range(TAGS)})
    for environment in ("dev", "prod"):
        old = world.sight("app", environment).standing.head
        assert old is not None
        records = write_records(world, environment, content.tags["v1.1.0"], old.record.state)
        content.manifests.update({manifest.digest: manifest for manifest in records.values()})
        content.tags.update({str(tag): manifest.digest for tag, manifest in records.items()})
    world.memory.calls.clear()
    return world


def write_records(world: World, environment: str, digest: Digest, state: State) -> dict[RecordTag, Manifest]:
    """Records that follow those which are there, each the child of the one before."""
    sight = world.sight("app", environment)
    seen = {str(tag): tag for tag in sight.records}
    head = sight.standing.head
    assert head is not None
    parent, written = Parent(head.tag, head.digest), dict[RecordTag, Manifest]()
    for number in range(RECORDS):
        record = Record(
            environment=environment,
            repository="app",
            action="promote",
            version="v1.1.0",
            digest=digest,
            previous_version="v1.1.0",
            previous_digest=digest,
            release=Release(f"r{number}", 10 + number),
            members=("app",),
            actor="ann",
            reason="",
            overrides=(),
            at=START + timedelta(minutes=number),
            parents=(parent,),
            state=State(
                (*state.stack, Ran("v1.1.0", digest, Release(f"r{number}", 10 + number))),
                seen=fingerprint(seen.values()),
            ),
        )
        manifest = encode(record)
        tag = record_tag(environment, record.sequence, manifest.digest)
        written[tag] = manifest
        seen[str(tag)] = tag
        parent = Parent(tag, manifest.digest)
    return written


def operations(calls: list[Call]) -> Counter[str]:
    return Counter(call.operation for call in calls)


def test_status(crowded: World) -> None:
    assert crowded.runs("prod") == {"app": "v1.1.0"}
    assert operations(crowded.memory.calls) == {"tags": 1, "resolve": 1, "get": 1}


def test_promote(crowded: World) -> None:
    crowded.build("v1.2.0")
    for environment in ("dev", "prod"):
        crowded.memory.calls.clear()
        assert crowded.promote("v1.2.0", to=environment).applied
        assert sum(operations(crowded.memory.calls).values()) <= 14, crowded.memory.calls


def test_rollback(crowded: World) -> None:
    crowded.rollback("prod", "v1.0.0")
    assert sum(operations(crowded.memory.calls).values()) <= 24, crowded.memory.calls
