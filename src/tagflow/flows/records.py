"""Records as manifests: written under their own tag, read back and checked.

Each is an OCI image manifest with an ``artifactType``, the empty configuration and layer (image-spec 1.1, "Guidelines
for Artifact Usage"), and annotations. So any registry keeps it, and crane, oras or skopeo show it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from tagflow.domain.history import ACTIONS, Entry, Parent, Ran, Record, Release, State
from tagflow.domain.reference import Digest, is_digest
from tagflow.domain.tagging import RecordTag, parse_record_tag, record_tag
from tagflow.errors import Conflict, StoreError
from tagflow.stores.artifact import artifact, write_empty
from tagflow.stores.port import Manifest, Store

ARTIFACT_TYPE = "application/vnd.tagflow.record.v1+json"
PREFIX = "io.tagflow.record."
CREATED = "org.opencontainers.image.created"
_PAUSES = (0.05, 0.2, 0.5)
"""Seconds before a record that the registry refused for its blob is put again."""


class _Ran(msgspec.Struct, frozen=True, rename="kebab"):
    version: str | None
    digest: str
    release: str
    release_number: int


class _State(msgspec.Struct, frozen=True):
    stack: list[_Ran] = []
    holds: list[str] = []
    void: list[str] = []
    since: datetime | None = None
    seen: str = ""


_STATE = msgspec.json.Decoder(_State)
# Made once, here: msgspec 0.22 crashes where several threads are the first to decode a type.


def stamp(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def encode(record: Record) -> Manifest:
    """The manifest of a record. The same record always gives the same bytes."""
    texts = {
        "environment": record.environment,
        "repository": record.repository,
        "action": record.action,
        "version": record.version,
        "digest": record.digest,
        "previous-version": record.previous_version,
        "previous-digest": record.previous_digest,
        "release": record.release.id,
        "release-number": str(record.release.number),
        "members": ",".join(record.members),
        "actor": record.actor,
        "reason": record.reason,
        "overrides": ",".join(record.overrides),
        "intent": " ".join(f"{image}={wanted}" for image, wanted in record.intent),
        "parents": " ".join(f"{parent.tag}@{parent.digest}" for parent in record.parents),
        "state": _encode_state(record.state),
    }
    return artifact(
        ARTIFACT_TYPE, {CREATED: stamp(record.at)} | {PREFIX + key: text or "" for key, text in texts.items()}
    )


def decode(tag: RecordTag, manifest: Manifest) -> Entry:
    """Read a record.

    :raises Conflict: ``history.broken`` where the manifest under the tag is no record that tagflow wrote.
    """
    try:
        record = _decode(manifest.annotations)
    except (ValueError, KeyError, TypeError, msgspec.MsgspecError) as exc:
        raise _broken(tag, "it is no record that this version of tagflow reads") from exc
    if record.environment != tag.environment or record_tag(tag.environment, record.sequence, manifest.digest) != tag:
        raise _broken(tag, f"its content ({manifest.digest}) belongs under another tag")
    return Entry(tag, manifest.digest, record)


def write(store: Store, record: Record, *, first: bool) -> Entry:
    """Store a record under its own tag and return it. Writing the same record again changes nothing.

    One request, unless it is the ``first`` record of the repository: all others find the empty blob there.
    """
    manifest = encode(record)
    tag = record_tag(record.environment, record.sequence, manifest.digest)
    if first:
        write_empty(store)
    for pause in _PAUSES:
        try:
            store.put(manifest, str(tag))
            break
        except StoreError as error:
            # The empty blob is not there, or is being written: distribution 2.8 shows others half of an upload.
            if not error.code.startswith(("blob.", "manifest.")):
                raise
            time.sleep(pause)
            write_empty(store)
    else:
        store.put(manifest, str(tag))
    return Entry(tag, manifest.digest, record)


def _broken(tag: RecordTag, why: str) -> Conflict:
    return Conflict(
        "history.broken",
        f"the record {tag} cannot be trusted: {why}",
        hint="`tagflow verify` tells more. tagflow never changes or removes a record: look at who pushed it.",
    )


def _encode_state(state: State) -> str:
    document = _State(
        stack=[_Ran(ran.version, ran.digest, ran.release.id, ran.release.number) for ran in state.stack],
        holds=sorted(state.holds),
        void=sorted(state.void),
        since=state.since,
        seen=state.seen,
    )
    return msgspec.json.encode(document).decode()


def _decode(annotations: Mapping[str, str]) -> Record:
    def text(key: str) -> str:
        return annotations[PREFIX + key]

    action = text("action")
    if action not in ACTIONS:
        raise ValueError(action)
    return Record(
        environment=text("environment"),
        repository=text("repository"),
        action=action,
        version=text("version") or None,
        digest=_digest(text("digest")),
        previous_version=text("previous-version") or None,
        previous_digest=_digest(text("previous-digest")),
        release=Release(text("release"), int(text("release-number"))),
        members=_members(text("members")),
        actor=text("actor"),
        reason=text("reason"),
        overrides=_split(text("overrides"), ","),
        at=_moment(annotations[CREATED]),
        parents=tuple(map(_parent, _split(text("parents"), " "))),
        state=_decode_state(text("state")),
        intent=_intent(annotations.get(PREFIX + "intent", "")),
    )


def _decode_state(text: str) -> State:
    document = _STATE.decode(text)
    return State(
        stack=tuple(
            Ran(ran.version, _need(_digest(ran.digest)), Release(ran.release, ran.release_number))
            for ran in document.stack
        ),
        holds=frozenset(document.holds),
        void=frozenset(document.void),
        since=document.since,
        seen=document.seen,
    )


# The records of one release say the same of all its members: for a thousand images they share it in memory, too.
@lru_cache(maxsize=256)
def _members(text: str) -> tuple[str, ...]:
    return _split(text, ",")


@lru_cache(maxsize=256)
def _intent(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(map(_wanted, _split(text, " ")))


def _wanted(text: str) -> tuple[str, str]:
    image, _, wanted = text.partition("=")
    return image, wanted


def _parent(text: str) -> Parent:
    tag, _, digest = text.partition("@")
    return Parent(_need(parse_record_tag(tag)), _need(_digest(digest)))


def _split(text: str, separator: str) -> tuple[str, ...]:
    return tuple(text.split(separator)) if text else ()


def _digest(text: str) -> Digest | None:
    if text and not is_digest(text):
        raise ValueError(text)
    return Digest(text) if text else None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _need(value: Any) -> Any:
    if value is None:
        raise ValueError("missing")
    return value
