"""A repository with very many tags and records, made faster than by pushing them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from tagflow.domain.history import Entry, Parent, fingerprint
from tagflow.domain.own_tags import RecordTag, parse_record_tag, record_tag
from tagflow.domain.records import ARTIFACT_TYPE, to_annotations
from tagflow.domain.reference import Digest
from tagflow.domain.state import Release
from tagflow.observe.records import fetch
from tagflow.stores.artifact import artifact
from tagflow.stores.port import Manifest, Store


def following(head: Entry, seen: Iterable[RecordTag], count: int) -> dict[RecordTag, Manifest]:
    """So many records that say what ``head`` says, each the child of the one before; ``seen`` are those before."""
    known, written = {str(tag): tag for tag in seen}, dict[RecordTag, Manifest]()
    parent = Parent(head.tag, head.digest)
    for number in range(count):
        record = replace(
            head.record,
            release=Release(f"crowd-{number}", head.record.release.number + 1 + number),
            parents=(parent,),
            state=replace(head.record.state, seen=fingerprint(known.values())),
        )
        manifest = artifact(ARTIFACT_TYPE, to_annotations(record))
        tag = record_tag(record.environment, record.sequence, manifest.digest)
        written[tag] = manifest
        known[str(tag)] = tag
        parent = Parent(tag, manifest.digest)
    return written


def crowd(store: Store, storage: Path, *, environment: str, tags: int, records: int) -> None:
    """Fill a repository of `docker-registry`, whose files lie below ``storage``, by hand: ``tags`` release tags of what
    the environment runs, and ``records`` of it."""
    seen = [it for it in map(parse_record_tag, store.tags()) if it is not None and it.environment == environment]
    newest = max(seen, key=lambda tag: tag.sequence)
    head = fetch(store, newest)
    digest = store.resolve(environment)
    assert digest is not None
    manifests = storage / "docker/registry/v2/repositories" / store.repository.path / "_manifests"
    for number in range(tags):
        _tag(manifests, f"v0.{number}.0", digest)
    for tag, manifest in following(head, seen, records).items():
        _, _, digits = manifest.digest.partition(":")
        blob = storage / f"docker/registry/v2/blobs/sha256/{digits[:2]}/{digits}/data"
        blob.parent.mkdir(parents=True)
        blob.write_bytes(manifest.content)
        _link(manifests / f"revisions/sha256/{digits}/link", manifest.digest)
        _tag(manifests, str(tag), manifest.digest)


def _tag(manifests: Path, tag: str, digest: Digest) -> None:
    _link(manifests / f"tags/{tag}/current/link", digest)
    _link(manifests / f"tags/{tag}/index/sha256/{digest.partition(':')[2]}/link", digest)


def _link(path: Path, digest: Digest) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(digest)
