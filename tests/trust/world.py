"""A world whose records are signed, and somebody in it who may push and has no key."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from tagflow.context import Context
from tagflow.decide.finding import Finding
from tagflow.domain.history import Entry, Record
from tagflow.domain.own_tags import parse_record_tag, record_tag
from tagflow.domain.plan import Outcome, Request
from tagflow.domain.records import ARTIFACT_TYPE, read_record, to_annotations
from tagflow.domain.reference import Digest, Repository, digest_of
from tagflow.stores.artifact import artifact
from tagflow.stores.port import OCI_MANIFEST, Manifest
from tagflow.trust.records import sign
from tagflow.trust.signing import SigningKey
from tagflow.verbs.apply import apply
from tagflow.verbs.approve import Approved, approve_plan
from tagflow.verbs.promote import promote
from tagflow.verbs.release import Options
from tagflow.verbs.repair import Repaired, repair
from tagflow.verbs.rollback import rollback
from tagflow.verbs.verify import verify
from tests import images
from tests.flows.world import World
from tests.trust.keyring import pair, public_file


def policy_text(*, signed: str = "[ci]", more: str = "", kinds: Mapping[str, str] | None = None) -> str:
    """A policy of two images; ``signed`` is who signs in test and prod (empty: nobody has to)."""
    by = f"signed_by: {signed}" if signed else ""
    kinds = kinds or {}
    names = ("ci", "alice", "bob", "carol")
    signers = "\n".join(f"  {name}: {{key: {public_file(name, kinds.get(name, 'ecdsa-p256'))}}}" for name in names)
    return f"""
version: 1
registry: registry.test/acme
images: {{app: app, api: services/api}}
signers:
{signers}
environments:
  dev: {{{by}}}
  test: {{{", ".join(filter(None, [by, "downgrades: allow"]))}}}
  prod: {{{", ".join(filter(None, [by, "floating: [latest, major]", "downgrades: allow", more]))}}}
"""


def key_of(name: str, kind: str = "ecdsa-p256") -> SigningKey:
    """The key of somebody, opened."""
    return SigningKey(pair(name, kind).key, pair(name, kind).sign)


@dataclass
class SignedWorld(World):
    """:class:`World`, whose runs have the key of ``holder`` (empty: none)."""

    text: str = field(default_factory=policy_text)
    holder: str = "ci"

    def twin(self) -> SignedWorld:
        """Another world that is as this one is now."""
        other = SignedWorld(self.text, now=self.now, threads=self.threads, actor=self.actor, holder=self.holder)
        for repository, tags in self.memory.snapshot().items():
            mine, its = self.memory.content(repository), other.memory.content(repository)
            its.tags.update(tags)
            its.manifests.update(mine.manifests)
            its.blobs.update(mine.blobs)
        other._last_id = self._last_id
        return other

    def context(self) -> Context:
        return replace(super().context(), signing_key=lambda: key_of(self.holder) if self.holder else None)

    def verify(self, *environments: str, expect: Path | None = None) -> list[Finding]:
        return verify(self.context(), environments, expect)

    def problems(self, *environments: str, expect: Path | None = None) -> set[str]:
        """The kinds of findings."""
        return {finding.problem for finding in self.verify(*environments, expect=expect)}

    def repair(self, *environments: str) -> Repaired:
        return repair(self.context(), environments)

    def promoting(self, *targets: str, to: str, override: tuple[str, ...] = (), **options: object) -> Outcome:
        """Promote, with options of the run."""
        request = Request("promote", to, targets, overrides=override, reason="because" if override else "")
        return promote(self.context(), request, Options(**options))  # type: ignore[arg-type]

    def rolling_back(self, environment: str, *targets: str, **options: object) -> Outcome:
        """Roll back, with options of the run."""
        return rollback(self.context(), Request("rollback", environment, targets), Options(**options))  # type: ignore[arg-type]

    def applying(self, path: Path, **options: object) -> Outcome:
        """Apply, with options of the run."""
        return apply(self.context(), path, Options(**options))  # type: ignore[arg-type]

    def approve(self, path: Path, by: str, out: Path | None = None) -> Approved:
        """Somebody approves a plan."""
        before, self.holder = self.holder, by
        try:
            return approve_plan(self.context(), path, out)
        finally:
            self.holder = before

    def head(self, image: str, environment: str) -> Entry:
        """The effective head."""
        head = self.seen(image, environment).standing.head
        assert head is not None
        return head

    def manifest(self, image: str, environment: str, tag: str) -> Manifest:
        """What stands under a tag of a history."""
        return self.memory.open(self.history_repository(image, environment)).get(tag)


@cache
def _released() -> SignedWorld:
    made = SignedWorld()
    for version in ("v1.0", "v1.1"):
        made.through(version, "dev", "test", "prod")
    return made


def released() -> SignedWorld:
    """v1.0 and v1.1 of both images went to prod; all of that is signed."""
    return _released().twin()


@dataclass
class Mallory:
    """May push and delete, and knows all that is public. Has no key but her own."""

    world: SignedWorld

    def put(self, image: str, environment: str, manifest: Manifest, tag: str) -> None:
        """Push a manifest under a tag of a history."""
        with self.world.memory.lock:
            content = self.world.memory.content(self.world.history_repository(image, environment))
            content.manifests[manifest.digest] = manifest
            content.tags[tag] = manifest.digest

    def build(self, image: str, seed: str = "evil", **more: object) -> Digest:
        """Push an image of hers, without a tag of tagflow's."""
        store = self.world.memory.open(self.world.repository(image))
        return images.index(store, seed=seed, tag="evil", **more).digest  # type: ignore[arg-type]

    def record(self, image: str, environment: str, change: Callable[[Record], Record], *, signed: str = "") -> str:
        """Write a record after the head's model, unsigned or signed with a key of hers; its tag."""
        base = self.world.head(image, environment)
        record = change(base.record)
        annotations: Mapping[str, str] = to_annotations(record)
        if signed:
            key = key_of(signed)
            annotations = sign(annotations, key.public, key.sign)
        manifest = artifact(ARTIFACT_TYPE, annotations)
        tag = str(record_tag(environment, record.sequence, manifest.digest))
        self.put(image, environment, manifest, tag)
        return tag

    def copy(self, source: Manifest, to: tuple[str, str], *, content: bytes = b"", sequence: int | None = None) -> str:
        """Push a record again, in the same or other bytes, where it may be taken for one; its tag."""
        manifest = Manifest(OCI_MANIFEST, content or source.content)
        kind = str(manifest.document.get("artifactType"))
        own = parse_record_tag(f"_tagflow.{to[1]}.{sequence or 1:06d}.{'0' * 12}")
        assert own is not None
        if sequence is None:
            text = manifest.annotations.get("io.tagflow.record.parents", "")
            parents = [parse_record_tag(word.partition("@")[0]) for word in text.split()]
            sequence = 1 + max((tag.sequence for tag in parents if tag), default=0)
        assert kind
        tag = str(record_tag(to[1], sequence, manifest.digest))
        self.put(*to, manifest, tag)
        return tag

    def junk(self, image: str, environment: str, sequence: int = 999) -> str:
        """Push something that is no record under a record's tag."""
        manifest = Manifest(OCI_MANIFEST, json.dumps({"schemaVersion": 2, "layers": [], "config": {}}).encode())
        tag = str(record_tag(environment, sequence, manifest.digest))
        self.put(image, environment, manifest, tag)
        return tag

    def repoint(self, image: str, environment: str, tag: str, to: Digest) -> None:
        """Move a record's tag."""
        self.world.memory.content(self.world.history_repository(image, environment)).tags[tag] = to

    def delete(self, image: str, environment: str, tag: str) -> None:
        """Delete a tag of a history."""
        del self.world.memory.content(self.world.history_repository(image, environment)).tags[tag]

    def move(self, image: str, tag: str, digest: Digest) -> None:
        """Move a tag of the image's repository by hand."""
        self.world.hand_move(image, tag, digest)


def other_bytes(manifest: Manifest) -> bytes:
    """The same record with a space more."""
    return json.dumps(json.loads(manifest.content), ensure_ascii=False).encode()


__all__ = ["Mallory", "Repository", "SignedWorld", "digest_of", "key_of", "other_bytes", "policy_text", "read_record"]
